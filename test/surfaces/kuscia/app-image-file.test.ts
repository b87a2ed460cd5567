import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { imagesFromYaml, loadAppImages } from "../../../src/surfaces/kuscia/app-image-file.js";

const PSI = `apiVersion: kuscia.secretflow/v1alpha1
kind: AppImage
metadata:
  name: psi-image
  labels: { team: a }
spec:
  image:
    name: repo/psi
    tag: "1.0"
    id: abc
    sign: def
  configTemplates:
    task.conf: |
      {"task_id": "{{.TASK_ID}}"}
  deployTemplates:
    - name: psi
      role: guest,host
      replicas: 2
      networkPolicy: { ingresses: [] }
      spec:
        restartPolicy: Never
        containers:
          - name: app
            command: [node, app.js]
            args: ["--x"]
            workingDir: /work
            configVolumeMounts:
              - { mountPath: /work/task.conf, subPath: task.conf }
            ports:
              - { name: fed, protocol: GRPC, scope: Cluster }
              - { name: local }
            env:
              - { name: A, value: "1" }
            envFrom:
              - { prefix: P_, configMapRef: { name: cm } }
            resources:
              limits: { cpu: 1, memory: 2Gi }
            readinessProbe:
              httpGet: { path: /, port: 8080 }
              terminationGracePeriodSeconds: 5
            imagePullPolicy: Never
`;

const MINIMAL = (name: string): string => `kind: AppImage
metadata: { name: ${name} }
spec:
  image: { name: repo }
  deployTemplates:
    - name: t
      containers: [{ name: c, command: [run] }]
`;

describe("a document", () => {
  it("becomes an image with all that it says", () => {
    expect(imagesFromYaml(PSI, "psi.yaml", "/images")).toEqual([
      {
        name: "psi-image",
        image: { name: "repo/psi", tag: "1.0", id: "abc", sign: "def" },
        configTemplates: { "task.conf": '{"task_id": "{{.TASK_ID}}"}\n' },
        directory: "/images",
        deployTemplates: [
          {
            name: "psi",
            role: "guest,host",
            replicas: 2,
            restartPolicy: "Never",
            containers: [
              {
                name: "app",
                command: ["node", "app.js"],
                args: ["--x"],
                workingDir: "/work",
                configVolumeMounts: [{ mountPath: "/work/task.conf", subPath: "task.conf" }],
                ports: [
                  { name: "fed", protocol: "GRPC", scope: "Cluster" },
                  { name: "local", protocol: "HTTP", scope: "Local" },
                ],
                env: [{ name: "A", value: "1" }],
                extra: {
                  env_from: [{ prefix: "P_", config_map_ref: { name: "cm" } }],
                  resources: { limits: { cpu: "1", memory: "2Gi" } },
                  readiness_probe: { http_get: { path: "/", port: "8080" }, termination_grace_period_seconds: "5" },
                  image_pull_policy: "Never",
                },
              },
            ],
          },
        ],
      },
    ]);
  });

  it("may have its containers under the template itself, and no replicas", () => {
    expect(imagesFromYaml(MINIMAL("a"), "a.yaml", "/")).toMatchObject([
      { name: "a", deployTemplates: [{ replicas: 1, containers: [{ name: "c", command: ["run"] }] }] },
    ]);
  });

  it.each<[string, string, string]>([
    [
      "another kind",
      MINIMAL("a").replace("AppImage", "Deployment"),
      'f.yaml: kind: Invalid input: expected "AppImage"',
    ],
    ["no name", MINIMAL("a").replace("name: a", ""), "f.yaml: metadata.name: "],
    ["a name that is none", MINIMAL("A_b"), "f.yaml: metadata.name: must match"],
    ["no image", MINIMAL("a").replace("  image: { name: repo }\n", ""), "f.yaml: spec.image: "],
    ["an image without a name", MINIMAL("a").replace("name: repo", ""), "f.yaml: spec.image.name: must not be empty"],
    ["a wrong type", MINIMAL("a").replace("[run]", "run"), "f.yaml: spec.deployTemplates[0].containers[0].command: "],
    [
      "a word that is no field",
      MINIMAL("a").replace("command", "comand"),
      'f.yaml: spec.deployTemplates[0].containers[0]: Unrecognized key: "comand"',
    ],
    [
      "a rule of the content broken",
      MINIMAL("a").replace("name: c,", 'name: "",'),
      "f.yaml: spec.deployTemplates[0].containers[0].name: must not be empty",
    ],
    [
      "the same under spec",
      PSI.replace("name: fed", "name: Fed"),
      "f.yaml: spec.deployTemplates[0].spec.containers[0].ports[0].name: must match",
    ],
    [
      "a mount of nothing",
      PSI.replace("subPath: task.conf", "subPath: x"),
      'spec.deployTemplates[0].spec.containers[0].configVolumeMounts[0].subPath: "x" is not in config_templates',
    ],
    [
      "text that cannot be stored",
      PSI.replace('value: "1"', String.raw`value: "\0"`),
      "f.yaml: spec.deployTemplates[0].spec.containers[0].env[0].value: must not contain U+0000",
    ],
    ["broken YAML", "kind: [", "f.yaml: "],
    ["no object", "just text", "f.yaml: the document: "],
  ])("with %s is a fault with file, field and rule", (_name, yaml, message) => {
    expect(() => imagesFromYaml(yaml, "f.yaml", "/")).toThrow(message);
  });

  it("is told apart from others in the same file", () => {
    const both = `${MINIMAL("a")}---\n${MINIMAL("b")}---\n`;
    expect(imagesFromYaml(both, "f.yaml", "/").map((image) => image.name)).toEqual(["a", "b"]);
    expect(() => imagesFromYaml(both.replace("name: b", "name: B"), "f.yaml", "/")).toThrow(
      "f.yaml (document 2): metadata.name: must match",
    );
  });
});

describe("a folder", () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "muster-images-"));
  });
  afterEach(() => rm(folder, { recursive: true }));

  it("gives the images of its YAML files in order, each with the folder, and passes over the rest", async () => {
    await writeFile(join(folder, "b.yml"), MINIMAL("b"));
    await writeFile(join(folder, "a.yaml"), `${MINIMAL("a1")}---\n${MINIMAL("a2")}`);
    await writeFile(join(folder, "readme.txt"), "not YAML: [");
    await mkdir(join(folder, "more"));
    const images = await loadAppImages(folder);
    expect(images.map((image) => [image.name, image.directory])).toEqual([
      ["a1", folder],
      ["a2", folder],
      ["b", folder],
    ]);
  });

  it("may not define one name twice", async () => {
    await writeFile(join(folder, "a.yaml"), MINIMAL("same"));
    await writeFile(join(folder, "b.yaml"), MINIMAL("same"));
    await expect(loadAppImages(folder)).rejects.toThrow(
      `${join(folder, "b.yaml")}: metadata.name: "same" is also defined in ${join(folder, "a.yaml")}`,
    );
  });

  it("must be there", async () => {
    await expect(loadAppImages(join(folder, "nowhere"))).rejects.toMatchObject({ code: "ENOENT" });
  });
});
