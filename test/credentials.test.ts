/** Domains with credentials of their own on the real product, over MTLS and in cleartext, with real processes. */

import { once } from "node:events";
import { chmod, mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createClient, type Interceptor } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { AppImageService } from "../gen/kuscia/proto/api/v1alpha1/kusciaapi/appimage_pb.js";
import { EventType, JobService } from "../gen/kuscia/proto/api/v1alpha1/kusciaapi/job_pb.js";
import { LogsService } from "../gen/muster/v1/logs_pb.js";
import { makeTestCertificates, type TestCertificates } from "./certificates.js";
import { createTestDatabase, type TestDatabase } from "./database.js";
import { openGrpcClient } from "./grpc-client.js";
import { type ServerProcess, startServerProcess } from "./server-process.js";

let folder: string;
let certs: TestCertificates;
let database: TestDatabase;
let server: ServerProcess;

const CREDENTIALS = `
- {name: ops, role: master, token: ops-token}
- {name: gateway, role: master, token: gateway-token, gateway: true}
- {name: small, role: master, token: small-token, max-body-bytes: 500, rate-limit: {per-second: 0.01, burst: 3}}
`;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "muster-parties-"));
  await chmod(folder, 0o711);
  certs = await makeTestCertificates();
  database = await createTestDatabase();
  await writeFile(join(folder, "credentials.yaml"), CREDENTIALS);
  await writeFile(
    join(folder, "muster.yaml"),
    `
protocol: MTLS
tls: {cert: ${certs.folder}/server.crt, key: ${certs.folder}/server.key, ca: ${certs.folder}/ca.crt}
listen-reports: 127.0.0.1:0
listen-grpc: 127.0.0.1:0
credentials: ${folder}/credentials.yaml
domains: {alice: , bob: , carol: }
rate-limit: {per-second: 1000, burst: 1000}
`,
  );
  const args = ["--config", join(folder, "muster.yaml"), "--heartbeat-seconds", "0.2"];
  server = await startServerProcess({ dataDirectory: join(folder, "data"), databaseUrl: database.url, args });
});
afterAll(async () => {
  expect(await server.stop()).toBe(0);
  await database.drop();
  await certs.remove();
  await rm(folder, { recursive: true, force: true });
});

async function clientsOf(domain: string, headers: Record<string, string> = {}) {
  const show: Interceptor = (next) => (request) => {
    for (const [name, value] of Object.entries(headers)) request.header.set(name, value);
    return next(request);
  };
  const nodeOptions = { ca: certs.ca, ...(await certs.client(domain)) };
  const transport = createGrpcTransport({ baseUrl: server.url, nodeOptions, interceptors: [show] });
  return {
    jobs: createClient(JobService, transport),
    images: createClient(AppImageService, transport),
    logs: createClient(LogsService, transport),
  };
}
type Clients = Awaited<ReturnType<typeof clientsOf>>;

/** Follows the caller's jobs until this one has ended; the ids of all jobs that it was shown. */
async function follow({ jobs }: Clients, jobId: string): Promise<{ state: string; progress: number; shown: Set<string> }> {
  const shown = new Set<string>();
  for await (const { type, object } of jobs.watchJob({ timeoutSeconds: 20n })) {
    if (type === EventType.HEARTBEAT || !object) continue;
    shown.add(object.jobId);
    const state = object.status?.state ?? "";
    if (object.jobId === jobId && /Succeeded|Failed/.test(state)) {
      return { state, progress: object.status?.tasks[0]?.progress ?? 0, shown };
    }
  }
  throw new Error(`the watch ended before ${jobId} did`);
}

const jobOf = (jobId: string, domains: readonly string[]) => ({
  jobId,
  initiator: domains[0] ?? "",
  tasks: [{ alias: "a", appImage: "speaker", parties: domains.map((domainId) => ({ domainId })) }],
});

/** Says what it is told, and reports half of its work before it ends. */
const SPEAKER = `
  console.log("speaking");
  fetch(process.env.MUSTER_PROGRESS_URL, {
    method: "POST", headers: { "content-type": "application/json" }, body: '{"progress":0.5}',
  }).then((answer) => answer.text()).then(console.log);`;

describe("over MTLS", () => {
  test("a master prepares, a domain runs its job, and each sees what is its own", async () => {
    const master = await clientsOf("alice", { token: "ops-token" });
    const [alice, bob, carol] = [await clientsOf("alice"), await clientsOf("bob"), await clientsOf("carol")];
    const image = {
      name: "speaker",
      image: { name: "speaker" },
      deployTemplates: [{ name: "main", containers: [{ name: "app", command: ["node"], args: ["-e", SPEAKER] }] }],
    };
    expect((await alice.images.createAppImage(image)).status?.code).toBe(11102);
    expect((await master.images.createAppImage(image)).status?.code).toBe(0);

    expect((await carol.jobs.createJob(jobOf("alone", ["carol"]))).status?.code).toBe(0);
    expect((await bob.jobs.createJob(jobOf("together", ["alice", "bob"]))).status?.code).toBe(11102);
    expect((await alice.jobs.createJob(jobOf("together", ["alice", "bob"]))).status?.code).toBe(0);
    expect(await follow(alice, "together")).toMatchObject({ state: "Succeeded", shown: new Set(["together"]) });
    expect((await follow(carol, "alone")).shown).toEqual(new Set(["alone"]));
    const seen = await follow(master, "together");
    expect((await follow(master, "alone")).state).toBe("Succeeded");
    expect(seen.progress).toBe(1);

    const { logs } = await alice.logs.getTaskLogs({ jobId: "together" });
    expect(logs.map((log) => [log.domainId, log.text])).toEqual([
      ["alice", expect.stringMatching(/^speaking\n\{"code":0,"message":"(success|ignored)"\}\n$/)],
    ]);
    await expect(alice.logs.getTaskLogs({ jobId: "together", domainId: "bob" })).rejects.toThrow(/permission_denied/);
    await expect(carol.logs.getTaskLogs({ jobId: "together" })).rejects.toThrow(/not_found/);
    expect((await master.logs.getTaskLogs({ jobId: "together" })).logs).toHaveLength(2);
  });

  test("a gateway speaks for the domain it names, others do not", async () => {
    const gateway = await clientsOf("alice", { token: "gateway-token", "kuscia-source": "carol" });
    expect((await gateway.jobs.createJob(jobOf("through", ["carol"]))).status?.code).toBe(0);
    expect((await gateway.jobs.createJob(jobOf("not-mine", ["alice"]))).status?.code).toBe(11102);
    const pretender = await clientsOf("bob", { "kuscia-source": "carol" });
    expect((await pretender.jobs.queryJob({ jobId: "through" })).status?.code).toBe(11202);
    await follow(gateway, "through");
  });

  test("an entry narrows how large and how many its requests may be, and those of no other", async () => {
    const small = await clientsOf("bob", { token: "small-token" });
    const other = await clientsOf("bob", { token: "ops-token" });
    const large = { jobId: "x".repeat(1000) };
    await expect(small.jobs.queryJob(large)).rejects.toThrow(/resource_exhausted.*500/);
    expect((await small.jobs.queryJob({ jobId: "x" })).status?.code).toBe(11202);
    expect((await small.jobs.queryJob({ jobId: "x" })).status?.code).toBe(11202);
    await expect(small.jobs.queryJob({ jobId: "x" })).rejects.toThrow(/resource_exhausted.*too many requests/);
    for (let i = 0; i < 5; i += 1) expect((await other.jobs.queryJob(large)).status?.code).toBe(11202);
  });

  test("the second port serves the same", async () => {
    const also = /"listenGrpc":"https:\/\/([^"]+)"/.exec(server.logs())?.[1] ?? "";
    const client = openGrpcClient(also, { ca: certs.ca, ...(await certs.client("carol")) });
    expect((await client.call("QueryJob", { job_id: "alone" })).status.code).toBe(0);
    client.close();
  });

  test("a token is taken away and another given without a restart; a broken file changes nothing", async () => {
    const later = await clientsOf("bob", { token: "second-token" });
    const replace = async (text: string): Promise<void> => {
      await writeFile(join(folder, "next.yaml"), text);
      await rename(join(folder, "next.yaml"), join(folder, "credentials.yaml"));
    };
    await expect(later.jobs.queryJob({ jobId: "x" })).rejects.toThrow(/unauthenticated/);
    await replace("- {name: bob, role: domain, token: second-token}\n");
    // Each look at the file is asked for by a request.
    const first = await clientsOf("alice", { token: "ops-token" });
    await expect
      .poll(async () => {
        await first.jobs.queryJob({ jobId: "x" });
        return server.logs();
      }, { timeout: 10_000 })
      .toContain('is needed for role \\"domain\\"');
    await replace("- {name: bob, role: domain, domain: bob, token: second-token}\n");
    await expect
      .poll(() => later.jobs.queryJob({ jobId: "x" }).then((answer) => answer.status?.code, () => "refused"), { timeout: 10_000 })
      .toBe(11202);
    await expect(first.jobs.queryJob({ jobId: "x" })).rejects.toThrow(/unauthenticated/);
    expect(server.logs()).not.toMatch(/(ops|second|gateway)-token/);
  });
});

describe("a server does not start", () => {
  const start = (args: readonly string[]): Promise<ServerProcess> => startServerProcess({ databaseUrl: database.url, args });

  test("with broken credentials, and names the entry and the field", async () => {
    const path = join(folder, "broken.yaml");
    await writeFile(path, "- {name: ops, role: master, token: t}\n- {name: bob, role: domain, token: hidden}\n");
    const failure = await start(["--credentials", path]).catch((error: unknown) => String(error));
    expect(failure).toContain(`${path}: entry 2 "bob": domain: is needed for role "domain"`);
    expect(failure).not.toContain("hidden");
  });

  test("with a key of another certificate", async () => {
    const files = ["--tls-cert", join(certs.folder, "server.crt"), "--tls-key", join(certs.folder, "client-bob.key")];
    await expect(start(["--protocol", "TLS", ...files])).rejects.toThrow(/tls: .*key values mismatch/);
  });

  test("with a port of two that is taken, and lets go of the other", async () => {
    const taken = createServer().listen(0, "127.0.0.1");
    await once(taken, "listening");
    const address = taken.address();
    const port = typeof address === "object" ? address?.port : undefined;
    await expect(start(["--listen-grpc", `127.0.0.1:${port}`])).rejects.toThrow(/EADDRINUSE/);
    taken.close();
  });
});
