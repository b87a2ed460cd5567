/** Who asks too often is told so in the words of its own protocol, before its body is read. */

import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { expect, it } from "vitest";
import { JobService } from "../../gen/kuscia/proto/api/v1alpha1/kusciaapi/job_pb.js";
import type { ServerOptions } from "../../src/server.js";
import { drain, http2Request, postJson, TRANSPORTS, useFronts } from "../front.js";

const start = useFronts();
const tooMany: Partial<ServerOptions> = { authenticate: () => ({ kind: "TooMany", waitMs: 1500 }) };

it.each(Object.entries(TRANSPORTS))("over %s as resource_exhausted, for calls and for streams", async (_name, transport) => {
  const front = await start(tooMany);
  const client = createClient(JobService, transport(front.url));
  const error = await client.queryJob({ jobId: "a" }).catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(ConnectError);
  expect(error).toMatchObject({ code: Code.ResourceExhausted, rawMessage: expect.stringContaining("too many requests") });
  await expect(drain(client.watchJob({}))).rejects.toMatchObject({ code: Code.ResourceExhausted });
  expect(front.jobs.calls).toEqual([]);
});

it("on REST as 429, in the surface's words, with the time to wait", async () => {
  const { url, jobs } = await start(tooMany);
  const query = await postJson(`${url}/api/v1/job/query`, "{ no json");
  const message = "too many requests with this credential; try again later";
  expect([query.status, query.headers.get("retry-after"), await query.json()]).toEqual([429, "2", { status: { code: 11101, message } }]);
  const logs = await fetch(`${url}/v1/jobs/a/logs`);
  expect([logs.status, await logs.json()]).toEqual([429, { message }]);
  expect((await fetch(`${url}/nowhere`)).status).toBe(429);
  expect((await fetch(`${url}/probe`)).status).toBe(200);
  expect(jobs.calls).toEqual([]);
});

it("for gRPC calls of no known method too", async () => {
  const { url } = await start(tooMany);
  const { headers } = await http2Request(url, { ":method": "POST", ":path": "/no.Such/Method", "content-type": "application/grpc" });
  expect(headers).toMatchObject({ "grpc-status": String(Code.ResourceExhausted), "retry-after": "2" });
});
