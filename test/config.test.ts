import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Config, ConfigError, loadConfig } from "../src/config.js";

let cwd: string;
beforeAll(async () => {
  cwd = await mkdtemp(join(tmpdir(), "muster-config-"));
});
afterAll(() => rm(cwd, { recursive: true }));

const load = (flags: Record<string, string> = {}, env: Record<string, string> = {}): Config => loadConfig({ flags, env, cwd });

function faultsOf(flags: Record<string, string>, env: Record<string, string> = {}): readonly string[] {
  try {
    load(flags, env);
  } catch (error) {
    if (error instanceof ConfigError) return error.faults;
    throw error;
  }
  throw new Error("was accepted");
}

async function withFile<T>(text: string, work: () => T): Promise<T> {
  await writeFile(join(cwd, "muster.yaml"), text);
  try {
    return work();
  } finally {
    await rm(join(cwd, "muster.yaml"));
  }
}

test("without any setting: loopback, an embedded Postgres, every domain, no credential", () => {
  expect(load()).toMatchObject({
    listen: { host: "127.0.0.1", port: 8082 },
    dataDirectory: join(cwd, ".muster"),
    databaseUrl: null,
    appImagesDirectory: null,
    domains: null,
    tokenFile: null,
    credentialsFile: null,
    tls: null,
    listenGrpc: null,
    listenReports: null,
    partyCommands: "safe",
    rateLimit: null,
    maxWatches: 20_000,
    heartbeatMs: 10_000,
    maxBodyBytes: 64 * 1024 * 1024,
  });
});

test("a flag beats the environment, which beats the file", async () => {
  await withFile("listen: 127.0.0.1:1\ndata: from-file\nheartbeat-seconds: 3\n", () => {
    const config = load({ listen: "127.0.0.1:3" }, { MUSTER_LISTEN: "127.0.0.1:2", MUSTER_DATA: "from-env" });
    expect(config.listen.port).toBe(3);
    expect(config.dataDirectory).toBe(join(cwd, "from-env"));
    expect(config.heartbeatMs).toBe(3_000);
  });
});

test("domains say where their data is and how they approve; left empty they have the defaults", async () => {
  await withFile("domains:\n  alice: {approval: manual, data: a}\n  bob:\nrunner: {cpu: 2, memory: 4Gi, ports: [30000, 30100]}\n", () => {
    const config = load();
    expect([...(config.domains ?? [])]).toEqual([
      ["alice", { approval: "manual", dataDirectory: join(cwd, "a") }],
      ["bob", { approval: "auto" }],
    ]);
    expect(config.capacity).toEqual({ cpu: "2", memory: "4Gi" });
    expect(config.portRange).toEqual([30_000, 30_100]);
  });
});

test("commands of images are all, none or listed, for all domains and for each", async () => {
  expect(load().imageCommands).toBe("any");
  await withFile("image-commands: [node]\ndomains:\n  alice: {image-commands: none}\n  bob: {image-commands: [node, python3]}\n", () => {
    const { imageCommands, domains } = load();
    expect(imageCommands).toEqual(new Set(["node"]));
    expect(domains?.get("alice")).toEqual({ approval: "auto", imageCommands: "none" });
    expect(domains?.get("bob")?.imageCommands).toEqual(new Set(["node", "python3"]));
  });
  await withFile("image-commands: some\ndomains: {alice: {image-commands: node}}\n", () => {
    const rule = "must be any, none or a list of commands";
    expect(faultsOf({}).toSorted()).toEqual([
      `muster.yaml: domains.alice.image-commands: ${rule}`,
      `muster.yaml: image-commands: ${rule}`,
    ]);
  });
});

test("all faults at once, each with the place it came from", async () => {
  await withFile("heartbeat-seconds: never\nrunner: {cpu: lots}\nspelling: wrong\n", () => {
    const faults = faultsOf({ listen: "nowhere" }, { DATABASE_URL: "mysql://x" });
    const of = (start: string) => faults.filter((fault) => fault.startsWith(start));
    expect(of("--listen: must be host:port")).toHaveLength(1);
    expect(of("DATABASE_URL: must begin with postgres://")).toHaveLength(1);
    expect(of("muster.yaml: heartbeat-seconds")).toHaveLength(1);
    expect(of("muster.yaml: runner.cpu: must be a quantity")).toHaveLength(1);
    expect(faults.some((fault) => fault.includes("spelling"))).toBe(true);
  });
});

test.each(["0.0.0.0:8082", "[::]:8082", "10.0.0.1:80", "muster.example:80"])(
  "%s can be reached from elsewhere, so a credential is needed",
  (listen) => {
    expect(faultsOf({ listen })[0]).toMatch(/callers need a credential/);
    expect(load({ listen, "token-file": "tokens" }).tokenFile).toBe(join(cwd, "tokens"));
    expect(load({ listen, credentials: "who.yaml" }).credentialsFile).toBe(join(cwd, "who.yaml"));
    expect(faultsOf({ "listen-grpc": listen })[0]).toMatch(/^--listen-grpc: .* callers need a credential/);
    const tls = { "tls-cert": "c", "tls-key": "k", "tls-ca": "ca" };
    expect(faultsOf({ listen, protocol: "TLS", ...tls })[0]).toMatch(/callers need a credential/);
    expect(load({ listen, protocol: "MTLS", ...tls }).listen.host).toBe(listen.replace(/[[\]]|:\d+$/g, ""));
  },
);

test("certificate files come from the file, the environment or flags, one by one", async () => {
  await withFile("protocol: MTLS\ntls: {cert: a.crt, key: a.key, ca: ca.crt}\n", () => {
    const tls = { cert: join(cwd, "a.crt"), key: join(cwd, "b.key"), clientCa: join(cwd, "ca.crt") };
    expect(load({ "tls-key": "b.key" }, { MUSTER_TLS_KEY: "c.key" }).tls).toEqual(tls);
    expect(load({}, { MUSTER_TLS_KEY: "b.key" }).tls).toEqual(tls);
    expect(load({}, { MUSTER_TLS_KEY: "b.key", MUSTER_PROTOCOL: "TLS" }).tls).toEqual({ ...tls, clientCa: null });
    expect(load({ protocol: "NOTLS" }).tls).toBeNull();
  });
});

test("a protocol without its files, and settings of TLS that there are not, are faults", async () => {
  expect(faultsOf({ protocol: "MTLS", "tls-key": "k" })).toEqual([
    "--protocol: MTLS needs tls.cert (--tls-cert)",
    "--protocol: MTLS needs tls.ca (--tls-ca)",
  ]);
  expect(faultsOf({ protocol: "SSL" })[0]).toMatch(/^--protocol: /);
  await withFile("tls: {cert: 1, keys: x}\ntls-cert: flat\n", () => {
    const faults = faultsOf({});
    expect(faults.find((fault) => fault.startsWith("muster.yaml: tls.cert: "))).toMatch(/string/);
    expect(faults.some((fault) => fault.includes('"keys"'))).toBe(true);
    expect(faults.some((fault) => fault.includes('"tls-cert"'))).toBe(true);
  });
});

test("with TLS apps report to a loopback port of its own", () => {
  const tls = { protocol: "TLS", "tls-cert": "c", "tls-key": "k" };
  expect(load(tls).listenReports).toEqual({ host: "127.0.0.1", port: 8050 });
  expect(load({ ...tls, "listen-reports": "[::1]:1" }).listenReports).toEqual({ host: "::1", port: 1 });
  expect(faultsOf({ ...tls, "listen-reports": "0.0.0.0:1" })[0]).toMatch(/^--listen-reports: must be a loopback address/);
});

test("a limit of requests has a burst of a second's worth unless it names one", async () => {
  await withFile("rate-limit: {per-second: 2.5}\nparty-commands: kuscia\n", () => {
    expect(load()).toMatchObject({ rateLimit: { perSecond: 2.5, burst: 3 }, partyCommands: "kuscia" });
  });
  await withFile("rate-limit: {per-second: 5, burst: 50}\n", () => expect(load().rateLimit).toEqual({ perSecond: 5, burst: 50 }));
  await withFile("max-watches: 7\n", () => expect(load().maxWatches).toBe(7));
  await withFile("max-watches: 0\n", () => expect(faultsOf({}).map((fault) => fault.split(": ", 2)[1])).toEqual(["max-watches"]));
  await withFile("rate-limit: {per-second: 0}\nparty-commands: all\n", () => {
    expect(faultsOf({}).map((fault) => fault.split(": ", 2)[1])).toEqual(["party-commands", "rate-limit.per-second"]);
  });
});

test.each(["127.0.0.1:0", "127.9.9.9:1", "[::1]:1", "localhost:1"])("%s is loopback", (listen) => {
  expect(load({ listen }).tokenFile).toBeNull();
});

test("a settings file that was named must be there, and be a mapping", async () => {
  expect(faultsOf({ config: "absent.yaml" })[0]).toMatch(/absent\.yaml: ENOENT/);
  await withFile("- a\n", () => expect(faultsOf({})[0]).toMatch(/must be a mapping/));
});
