import { create, toJson } from "@bufbuild/protobuf";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  CreateAppImageRequestSchema,
  type DeployTemplateSchema,
  QueryAppImageResponseDataSchema,
  UpdateAppImageRequestSchema,
} from "../../../gen/kuscia/proto/api/v1alpha1/kusciaapi/appimage_pb.js";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { JobError } from "../../../src/core/error.js";
import { checkNewImage } from "../../../src/surfaces/kuscia/app-image-rules.js";
import { updateAppImage } from "../../../src/surfaces/kuscia/app-image-service.js";
import { imageDataFromImage, imageFromRequest } from "../../../src/surfaces/kuscia/app-image-translate.js";
import { FakeImages } from "../../fakes.js";
import { MASTER } from "../../front.js";

const text = fc.string({ unit: "grapheme", maxLength: 6 });
const name = fc.stringMatching(/^[a-z][a-z0-9]{0,5}$/);
const texts = fc.array(text, { maxLength: 2 });
const spec = fc.record({ cpu: text, memory: text });
const int32 = fc.integer();
const probe = fc.record(
  {
    exec: fc.record({ command: texts }),
    httpGet: fc.record({
      path: text,
      port: text,
      host: text,
      scheme: text,
      httpHeaders: fc.array(fc.record({ name: text, value: text }), { maxLength: 2 }),
    }),
    tcpSocket: fc.record({ port: text, host: text }),
    grpc: fc.record({ port: int32, service: text }),
    initialDelaySeconds: int32,
    terminationGracePeriodSeconds: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  },
  { requiredKeys: ["initialDelaySeconds", "terminationGracePeriodSeconds"] },
);
const container = fc.record(
  {
    name,
    command: texts,
    args: texts,
    workingDir: text,
    configVolumeMounts: fc.array(fc.record({ mountPath: text, subPath: text }), { maxLength: 2 }),
    ports: fc.array(
      fc.record({
        name,
        protocol: fc.constantFrom("HTTP", "GRPC"),
        scope: fc.constantFrom("Cluster", "Domain", "Local"),
      }),
      { maxLength: 2 },
    ),
    envFrom: fc.array(
      fc.record({ prefix: text, configMapRef: fc.record({ name: text }), secretRef: fc.record({ name: text }) }),
      { maxLength: 2 },
    ),
    env: fc.array(fc.record({ name, value: text }), { maxLength: 2 }),
    resources: fc.record({ limits: spec, requests: spec }),
    livenessProbe: probe,
    readinessProbe: probe,
    startupProbe: probe,
    imagePullPolicy: text,
  },
  {
    requiredKeys: [
      "name",
      "command",
      "args",
      "workingDir",
      "configVolumeMounts",
      "ports",
      "envFrom",
      "env",
      "imagePullPolicy",
    ],
  },
);
const image = fc.record({
  name,
  image: fc.record({ name, tag: text, id: text, sign: text }),
  configTemplates: fc.dictionary(text, text, { maxKeys: 3 }),
  deployTemplates: fc.array(
    fc.record({
      name,
      role: text,
      replicas: fc.integer({ min: 1, max: 9 }),
      restartPolicy: text,
      containers: fc.array(container, { maxLength: 2 }),
    }),
    { maxLength: 2 },
  ),
});

it("what is created is what a query gives back, also after storage as JSON", () => {
  fc.assert(
    fc.property(image, (init) => {
      const stored = JSON.stringify(imageFromRequest(create(CreateAppImageRequestSchema, init), ""));
      const shown = create(QueryAppImageResponseDataSchema, imageDataFromImage(JSON.parse(stored)));
      expect(toJson(QueryAppImageResponseDataSchema, shown)).toEqual(
        toJson(QueryAppImageResponseDataSchema, create(QueryAppImageResponseDataSchema, init)),
      );
    }),
  );
});

it("what is left out gets its default: one replica, HTTP, Local", () => {
  const request = create(CreateAppImageRequestSchema, {
    deployTemplates: [{ containers: [{ ports: [{ name: "p" }] }] }],
  });
  expect(imageFromRequest(request, "/dir")).toMatchObject({
    directory: "/dir",
    deployTemplates: [{ replicas: 1, containers: [{ ports: [{ name: "p", protocol: "HTTP", scope: "Local" }] }] }],
  });
});

type TemplateInit = MessageInitShape<typeof DeployTemplateSchema>;

describe("a new image is refused", () => {
  const good = {
    name: "c",
    configVolumeMounts: [{ mountPath: "/f", subPath: "f" }],
    ports: [{ name: "http", scope: "Cluster" }],
  };
  const withContainer = (patch: object, index = 0): TemplateInit[] => {
    const containers = [good, { name: "second" }].map((each, i) => (i === index ? { ...each, ...patch } : each));
    return [{ name: "t", containers }];
  };
  const refusal = (patch: object): string => {
    const init = {
      name: "img",
      image: { name: "repo" },
      configTemplates: { f: "" },
      deployTemplates: withContainer({}),
      ...patch,
    };
    try {
      checkNewImage(create(CreateAppImageRequestSchema, init));
    } catch (error) {
      return error instanceof JobError && error.reason === "InvalidArgument" ? error.message : String(error);
    }
    return "none";
  };
  const at = "deploy_templates[0].containers";

  it("only where it breaks a rule", () => {
    expect(refusal({})).toBe("none");
  });

  it.each<[string, object]>([
    ["name: must not be empty", { name: "" }],
    ["name: must match", { name: "Img" }],
    ["name: must match", { name: "a".repeat(64) }],
    ["image.name: must not be empty", { image: {} }],
    ["deploy_templates: must not be empty", { deployTemplates: [] }],
    ["deploy_templates[0].name: must not be empty", { deployTemplates: [{ containers: [good] }] }],
    ["deploy_templates[0].replicas: must not be negative, got -1", { deployTemplates: [{ name: "t", replicas: -1 }] }],
    ["deploy_templates[0].containers: must not be empty", { deployTemplates: [{ name: "t" }] }],
    [`${at}[0].name: must not be empty`, { deployTemplates: withContainer({ name: "" }) }],
    [`${at}[0].ports[0].name: must match`, { deployTemplates: withContainer({ ports: [{ name: "Port_1" }] }) }],
    [
      `${at}[1].ports[0].name: "http" is taken by ${at}[0].ports[0]`,
      { deployTemplates: withContainer({ ports: [{ name: "http" }] }, 1) },
    ],
    [
      `${at}[0].ports[0].scope: must be one of Cluster, Domain, Local, got "World"`,
      { deployTemplates: withContainer({ ports: [{ name: "p", scope: "World" }] }) },
    ],
    [
      `${at}[0].config_volume_mounts[0].mount_path: must not be empty`,
      { deployTemplates: withContainer({ configVolumeMounts: [{ subPath: "f" }] }) },
    ],
    [
      `${at}[0].config_volume_mounts[0].sub_path: "g" is not in config_templates`,
      { deployTemplates: withContainer({ configVolumeMounts: [{ mountPath: "/g", subPath: "g" }] }) },
    ],
    [
      `${at}[0].config_volume_mounts[0].sub_path: "toString" is not`,
      { deployTemplates: withContainer({ configVolumeMounts: [{ mountPath: "/g", subPath: "toString" }] }) },
    ],
    [
      `${at}[0].env[0].name: must not be empty and must not contain =`,
      { deployTemplates: withContainer({ env: [{ name: "A=B" }] }) },
    ],
    [
      `${at}[0].resources.limits.cpu: must be a quantity`,
      { deployTemplates: withContainer({ resources: { limits: { cpu: "lots" } } }) },
    ],
    [
      `${at}[0].resources.requests.memory: must be a quantity`,
      { deployTemplates: withContainer({ resources: { requests: { memory: "1 GB" } } }) },
    ],
  ])("with %s", (message, patch) => {
    expect(refusal(patch)).toContain(message);
  });
});

describe("a change", () => {
  const template: TemplateInit = {
    name: "t",
    containers: [{ name: "c", configVolumeMounts: [{ mountPath: "/f", subPath: "f" }] }],
  };
  const stored = async (): Promise<FakeImages> => {
    const images = new FakeImages();
    const init = {
      name: "img",
      image: { name: "repo", tag: "1" },
      configTemplates: { f: "1" },
      deployTemplates: [template],
    };
    await images.create(imageFromRequest(create(CreateAppImageRequestSchema, init), ""));
    return images;
  };
  interface Change {
    readonly name?: string;
    readonly image?: { readonly name?: string; readonly tag?: string };
    readonly configTemplates?: Record<string, string>;
    readonly deployTemplates?: TemplateInit[];
  }
  const change = async (images: FakeImages, init: Change) =>
    updateAppImage(
      images,
      create(UpdateAppImageRequestSchema, { name: "img", image: { name: "repo" }, ...init }),
      MASTER,
    );

  it("replaces the image and keeps the templates that are not sent", async () => {
    const images = await stored();
    await change(images, { image: { name: "repo", tag: "2" } });
    expect(await images.query("img")).toMatchObject({
      image: { name: "repo", tag: "2" },
      configTemplates: { f: "1" },
      deployTemplates: [{ name: "t" }],
    });
  });

  it("replaces the templates that are sent", async () => {
    const images = await stored();
    await change(images, { configTemplates: { f: "2", g: "" } });
    await change(images, { deployTemplates: [{ ...template, name: "u" }] });
    expect(await images.query("img")).toMatchObject({ configTemplates: { f: "2" }, deployTemplates: [{ name: "u" }] });
  });

  it("may not take away a file that is mounted, nor mount one that is not there", async () => {
    const images = await stored();
    const message =
      'deploy_templates[0].containers[0].config_volume_mounts[0].sub_path: "f" is not in config_templates';
    await expect(change(images, { configTemplates: { g: "" } })).rejects.toThrow(message);
    const mounted = { name: "c", configVolumeMounts: [{ mountPath: "/g", subPath: "g" }] };
    await expect(change(images, { deployTemplates: [{ name: "t", containers: [mounted] }] })).rejects.toThrow(
      '"g" is not',
    );
    expect(await images.query("img")).toMatchObject({ configTemplates: { f: "1" } });
  });

  it("needs names, but an image that is there already may have any", async () => {
    const images = await stored();
    await expect(change(images, { image: {} })).rejects.toThrow("image.name: must not be empty");
    await expect(change(images, { name: "" })).rejects.toThrow("name: must not be empty");
    await expect(change(images, { name: "Not_A_Label" })).rejects.toMatchObject({ reason: "NotFound" });
  });
});
