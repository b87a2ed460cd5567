/** What the database's faults do to watches: nothing but take time. */

import { chmod, mkdtemp, rm } from "node:fs/promises";
import { createConnection, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { afterEach, expect, test } from "vitest";
import { EventType, JobService, type WatchJobEventResponse } from "../gen/kuscia/proto/api/v1alpha1/kusciaapi/job_pb.js";
import { startEmbeddedPostgres } from "../src/postgres.js";
import { createTestDatabase } from "./database.js";
import { startServerProcess } from "./server-process.js";

const cleanUps: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const each of cleanUps.splice(0).toReversed()) await each();
});

const IMAGE = {
  name: "noop",
  image: { name: "example/noop", tag: "1" },
  deployTemplates: [{ name: "main", replicas: 1, containers: [{ name: "app", command: ["true"] }] }],
};

async function folder(): Promise<string> {
  const made = await mkdtemp(join(tmpdir(), "muster-faults-"));
  // As root, Postgres is another user.
  await chmod(made, 0o755);
  cleanUps.push(() => rm(made, { recursive: true, force: true }));
  return made;
}

async function serve(databaseUrl: string) {
  const server = await startServerProcess({ databaseUrl, args: ["--config", "test/fixtures/manual-bob.yaml"] });
  cleanUps.push(() => server.stop());
  const transport = createGrpcTransport({ baseUrl: server.url });
  return {
    create: async (jobId: string) => {
      const parties = [{ domainId: "alice" }, { domainId: "bob" }];
      return createClient(JobService, transport).createJob({ jobId, initiator: "alice", tasks: [{ alias: "a", appImage: "noop", parties }] });
    },
    addImage: () =>
      fetch(`${server.url}/api/v1/appimage/create`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify(IMAGE),
      }),
    watch: () => {
      const end = new AbortController();
      cleanUps.push(async () => end.abort());
      const frames = createClient(JobService, transport).watchJob({}, { signal: end.signal })[Symbol.asyncIterator]();
      return {
        async until(fits: (event: WatchJobEventResponse) => boolean): Promise<WatchJobEventResponse> {
          for (;;) {
            const { value, done } = await frames.next();
            if (done) throw new Error("the watch ended");
            if (fits(value)) return value;
          }
        },
      };
    },
  };
}

const isHeartbeat = ({ type }: WatchJobEventResponse): boolean => type === EventType.HEARTBEAT;
const isOf = (jobId: string) => (event: WatchJobEventResponse) => event.object?.jobId === jobId;

test("Postgres is restarted: an open watch goes on and misses nothing", async () => {
  const dataDirectory = join(await folder(), "postgres");
  let postgres = await startEmbeddedPostgres({ dataDirectory, durable: false });
  cleanUps.push(() => postgres.stop());
  const way = await wayTo(postgres.connectionString, await folder());
  cleanUps.push(() => way.close());
  const server = await serve(way.url);
  await server.addImage();
  const watch = server.watch();
  await watch.until(isHeartbeat);
  expect((await server.create("before")).status?.code).toBe(0);
  const before = await watch.until(isOf("before"));
  await postgres.stop();
  const creating = server.create("during");
  postgres = await startEmbeddedPostgres({ dataDirectory, durable: false });
  way.leadTo(postgres.connectionString);
  expect((await creating).status?.code).toBe(0);
  const during = await watch.until(isOf("during"));
  expect(during.coalescedFrom).toBeGreaterThan(before.revision);
});

test("notifications get lost without a word: the slow poll finds what they would have told", async () => {
  const database = await createTestDatabase();
  cleanUps.push(() => database.drop());
  const way = await wayTo(database.url, await folder());
  cleanUps.push(() => way.close());
  const server = await serve(way.url);
  const other = await serve(database.url);
  await other.addImage();
  const watch = server.watch();
  await watch.until(isHeartbeat);
  way.loseListeners();
  expect((await other.create("unheard")).status?.code).toBe(0);
  expect((await watch.until(isOf("unheard"))).type).toBe(EventType.ADDED);
});

interface Way {
  /** Of the database by this way. */
  readonly url: string;
  /** Where it leads from now on. */
  leadTo(databaseUrl: string): void;
  /** The LISTEN connections go dead, without either side being told. */
  loseListeners(): void;
  close(): Promise<void>;
}

/** A socket between a server and its database. */
async function wayTo(databaseUrl: string, directory: string): Promise<Way> {
  let target = new URL(databaseUrl.replace("@/", "@localhost/"));
  const socketIn = (host: string): string => join(host, `.s.PGSQL.${target.searchParams.get("port")}`);
  const listeners = new Set<Socket>();
  const all = new Set<Socket>();
  const proxy: Server = createServer((near) => {
    const far = createConnection(socketIn(target.searchParams.get("host") ?? ""));
    for (const socket of [near, far]) {
      all.add(socket);
      socket.on("error", () => near.destroy()).on("close", () => all.delete(socket));
    }
    // The name of the connection is in its first message.
    near.once("data", (first) => {
      if (first.includes("muster listen")) listeners.add(far);
    });
    near.pipe(far).pipe(near);
  });
  await new Promise<void>((resolve) => proxy.listen(socketIn(directory), resolve));
  const url = new URL(target);
  url.searchParams.set("host", directory);
  return {
    url: url.href.replace("@localhost/", "@/"),
    leadTo: (next) => {
      target = new URL(next.replace("@/", "@localhost/"));
    },
    loseListeners: () => listeners.forEach((far) => far.unpipe()),
    async close() {
      for (const socket of all) socket.destroy();
      await new Promise((resolve) => proxy.close(resolve));
    },
  };
}
