/** A client that does not read, on the real product over gRPC: what it costs the server is bounded, and it can go on. */

import { connect, constants } from "node:http2";
import { once } from "node:events";
import { create, toBinary } from "@bufbuild/protobuf";
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { afterAll, beforeAll, expect, test } from "vitest";
import { JobService, WatchJobRequestSchema } from "../gen/kuscia/proto/api/v1alpha1/kusciaapi/job_pb.js";
import { createTestDatabase, type TestDatabase } from "./database.js";
import { type ServerProcess, startServerProcess } from "./server-process.js";

let database: TestDatabase;
let server: ServerProcess;
beforeAll(async () => {
  database = await createTestDatabase();
  server = await startServerProcess({ databaseUrl: database.url, args: ["--config", "test/fixtures/manual-bob.yaml"] });
  await fetch(`${server.url}/api/v1/appimage/create`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({
      name: "noop",
      image: { name: "example/noop", tag: "1" },
      deploy_templates: [{ name: "main", replicas: 1, containers: [{ name: "app", command: ["true"] }] }],
    }),
  });
});
afterAll(async () => {
  await server.stop();
  await database.drop();
});

test("what a client that does not read has missed is merged, and comes when it reads", async () => {
  const client = createClient(JobService, createGrpcTransport({ baseUrl: server.url }));
  const parties = [{ domainId: "alice" }, { domainId: "bob" }];
  // Large enough that a few fill every buffer between the two.
  const customFields = Object.fromEntries(Array.from({ length: 10 }, (_, i) => [`field-${i}`, "x".repeat(60)]));
  const tasks = Array.from({ length: 40 }, (_, i) => ({ alias: `task-${i}`, appImage: "noop", parties }));
  expect((await client.createJob({ jobId: "busy", initiator: "alice", tasks, customFields })).status?.code).toBe(0);

  const session = connect(server.url, { settings: { initialWindowSize: 16_384 } });
  const request = session.request({ ":method": "POST", ":path": "/kuscia.proto.api.v1alpha1.kusciaapi.JobService/WatchJob", "content-type": "application/grpc", te: "trailers" });
  const message = toBinary(WatchJobRequestSchema, create(WatchJobRequestSchema, { jobIds: ["busy"] }));
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.length, 1);
  request.end(Buffer.concat([head, message]));
  const [headers] = (await once(request, "response")) as [Record<string, unknown>];
  expect(headers[constants.HTTP2_HEADER_STATUS]).toBe(200);

  // It reads nothing while the job changes hundreds of times.
  const rounds = 150;
  for (let i = 0; i < rounds; i++) {
    expect((await client.stopJob({ jobId: "busy", reason: `round ${i}` })).status?.code).toBe(0);
    expect((await client.restartJob({ jobId: "busy" })).status?.code).toBe(0);
  }
  expect((await client.cancelJob({ jobId: "busy", reason: "the end" })).status?.code).toBe(0);

  let received = 0;
  let text = "";
  request.on("data", (chunk: Buffer) => {
    received += chunk.length;
    text = (text + chunk.toString("latin1")).slice(-20_000);
  });
  while (!text.includes("the end")) await once(request, "data");
  const one = (await client.queryJob({ jobId: "busy" })).data;
  expect(one?.status?.state).toBe("Cancelled");
  // Every change as a frame of its own would be two a round, each of some kilobytes.
  expect(received).toBeLessThan(rounds * 4_000);
  request.close();
  session.close();
});
