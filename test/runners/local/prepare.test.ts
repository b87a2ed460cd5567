import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { launchOf, logOf, Place, script } from "./harness.js";

let place: Place;
beforeEach(async () => {
  place = await Place.make();
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await place.remove();
});

describe("what an app is given", () => {
  it("is a clean environment, its own folders and its files", async () => {
    vi.stubEnv("MUSTER_TEST_SECRET", "s3cret");
    const open = await place.open();
    const source = `
      const fs = require("node:fs");
      fs.writeFileSync(process.env.MUSTER_DOMAIN_DATA + "/seen.json", JSON.stringify({
        env: process.env, cwd: process.cwd(), argv: process.argv.slice(1),
        config: fs.readFileSync("conf/app.json", "utf8"), absolute: fs.readFileSync(process.argv[1], "utf8"),
        input: fs.readFileSync(process.env.TASK_INPUT_CONFIG_FILE, "utf8"),
        outside: fs.existsSync("/app/conf/app.json") || fs.existsSync("/escaped"),
        temporary: fs.statSync(process.env.TMPDIR).isDirectory(), home: fs.statSync(process.env.HOME).isDirectory(),
      }));`;
    const app = script(source, {
      args: ["$(MUSTER_ROOT)/etc/app.json", "$(TASK_ID)", "$$(TASK_ID)", "$(NOBODY)", "; echo `id` && $HOME"],
      workingDir: "/app",
      configVolumeMounts: [
        { mountPath: "/app/conf/app.json", subPath: "app" },
        { mountPath: "/etc/app.json", subPath: "app" },
        { mountPath: "../../../../../../../../escaped", subPath: "app" },
      ],
      env: [
        { name: "level", value: "debug" },
        { name: "PATH", value: "/forged" },
      ],
    });
    const launch = launchOf(app, [{ domain: "alice" }], {
      inputConfig: '{"a":"b"}',
      image: {
        directory: import.meta.dirname,
        configTemplates: { app: '{"id":"{{.TASK_ID}}","in":"{{.TASK_INPUT_CONFIG}}","level":"{{.LEVEL}}"}' },
      },
    });
    const { attemptUid } = await place.beginOne(open, launch);
    expect(await open.reports.end(attemptUid)).toMatchObject({ outcome: "Succeeded" });

    const attempt = join(place.folder, "attempts", launch.jobUid, attemptUid);
    const data = join(place.folder, "domains", "alice", "data");
    const seen = JSON.parse(await readFile(join(data, "seen.json"), "utf8"));
    const config = '{"id":"task-1","in":"{\\"a\\":\\"b\\"}","level":"debug"}';
    expect(seen).toEqual({
      cwd: join(attempt, "root", "app"),
      argv: [join(attempt, "root", "etc", "app.json"), "task-1", "$(TASK_ID)", "$(NOBODY)", "; echo `id` && $HOME"],
      config,
      absolute: config,
      input: '{"a":"b"}',
      outside: false,
      temporary: true,
      home: true,
      env: {
        PATH: expect.stringMatching(/^\/.*:\/usr\/bin/),
        HOME: join(attempt, "root", "home"),
        TMPDIR: join(attempt, "root", "tmp"),
        LANG: "C.UTF-8",
        TASK_ID: "task-1",
        KUSCIA_DOMAIN_ID: "alice",
        TASK_INPUT_CONFIG: '{"a":"b"}',
        TASK_INPUT_CONFIG_FILE: join(attempt, "task-input-config"),
        TASK_CLUSTER_DEFINE:
          '{"parties":[{"name":"alice","role":"","services":[]}],"selfPartyIdx":0,"selfEndpointIdx":0}',
        ALLOCATED_PORTS: '{"ports":[]}',
        MUSTER_ROOT: join(attempt, "root"),
        MUSTER_ATTEMPT: attemptUid,
        MUSTER_DOMAIN_DATA: data,
        MUSTER_PROGRESS_URL: `http://127.0.0.1:1/progress/${attemptUid}`,
        APP_IMAGE_DIR: import.meta.dirname,
        level: "debug",
      },
    });
    expect(await readFile(join(attempt, "root", "escaped"), "utf8")).toBe(config);
  });

  it("is the same cluster at every instance, each with its own place in it", async () => {
    const open = await place.open();
    const ports = [
      { name: "fed", protocol: "GRPC", scope: "Cluster" as const },
      { name: "inner", protocol: "HTTP", scope: "Domain" as const },
      { name: "own", protocol: "HTTP", scope: "Local" as const },
    ];
    const app = script(
      `const e = process.env;
       console.log(JSON.stringify([e.TASK_CLUSTER_DEFINE, e.ALLOCATED_PORTS, e.KUSCIA_PORT_FED_NUMBER]));`,
      { ports },
    );
    const launch = launchOf(app, [
      { domain: "bob", role: "guest" },
      { domain: "alice", role: "host", replicas: 2 },
      { domain: "bob", role: "arbiter" },
    ]);
    const instances = await place.begin(open, launch);
    const numbers = instances.flatMap((instance) => instance.ports.map((port) => port.port));
    expect(new Set(numbers).size).toBe(12);
    expect(instances.map(({ domain, role, replica }) => [domain, role, replica])).toEqual([
      ["bob", "guest", 0],
      ["alice", "host", 0],
      ["alice", "host", 1],
      ["bob", "arbiter", 0],
    ]);

    const endpoint = (instance: number, port: number): string => instances[instance]?.ports[port]?.endpoint ?? "";
    const service = (portName: string, ...endpoints: string[]): object => ({ portName, endpoints });
    const seenBy = (self: string): object[] => [
      { name: "bob", role: "guest", services: servicesOf(self === "bob", 0) },
      { name: "alice", role: "host", services: servicesOf(self === "alice", 1, 2) },
      { name: "bob", role: "arbiter", services: servicesOf(self === "bob", 3) },
    ];
    const servicesOf = (same: boolean, ...of: number[]): object[] => [
      service("fed", ...of.map((instance) => endpoint(instance, 0))),
      ...(same ? [service("inner", ...of.map((instance) => endpoint(instance, 1)))] : []),
    ];
    const places = [[0, 0], [1, 0], [1, 1], [2, 0]];
    for (const [index, instance] of instances.entries()) {
      expect(await open.reports.end(instance.attemptUid)).toMatchObject({ outcome: "Succeeded" });
      const [cluster, allocated, fed] = JSON.parse(await logOf(open, launch, instance));
      expect(JSON.parse(cluster)).toEqual({
        parties: seenBy(instance.domain),
        selfPartyIdx: places[index]?.[0],
        selfEndpointIdx: places[index]?.[1],
      });
      expect(endpoint(index, 0)).toBe(`127.0.0.1:${instance.ports[0]?.port}`);
      expect(fed).toBe(String(instance.ports[0]?.port));
      const expected = ports.map((port, at) => ({ ...port, port: instance.ports[at]?.port }));
      expect(JSON.parse(allocated)).toEqual({ ports: expected });
    }
  });

  it("is a data folder that stays from task to task", async () => {
    const open = await place.open();
    const file = `const fs = require("node:fs"), file = process.env.MUSTER_DOMAIN_DATA + "/kept";`;
    const write = script(`${file} fs.writeFileSync(file, "from before")`);
    const read = script(`${file} process.stdout.write(fs.readFileSync(file))`);
    const first = await place.beginOne(open, launchOf(write));
    expect(await open.reports.end(first.attemptUid)).toMatchObject({ outcome: "Succeeded" });
    const launch = launchOf(read);
    const second = await place.beginOne(open, launch);
    await open.reports.end(second.attemptUid);
    expect(await logOf(open, launch, second)).toBe("from before");
  });

  it("is the data folder that the domain's settings name", async () => {
    const data = join(place.folder, "elsewhere", "alice");
    const open = await place.open({ domains: new Map([["alice", { dataDirectory: data }]]) });
    const app = script(`require("node:fs").writeFileSync(process.env.MUSTER_DOMAIN_DATA + "/mark", "x")`);
    const { attemptUid } = await place.beginOne(open, launchOf(app));
    expect(await open.reports.end(attemptUid)).toMatchObject({ outcome: "Succeeded" });
    expect(await readFile(join(data, "mark"), "utf8")).toBe("x");
  });

  it("is a long input as a file only", async () => {
    const open = await place.open();
    const app = script(
      `const { TASK_INPUT_CONFIG, TASK_INPUT_CONFIG_FILE } = process.env;
       console.log(TASK_INPUT_CONFIG, require("node:fs").statSync(TASK_INPUT_CONFIG_FILE).size);`,
    );
    const launch = launchOf(app, [{ domain: "alice" }], { inputConfig: "x".repeat(300_000) });
    const instance = await place.beginOne(open, launch);
    await open.reports.end(instance.attemptUid);
    expect(await logOf(open, launch, instance)).toBe("undefined 300000\n");
  });
});
