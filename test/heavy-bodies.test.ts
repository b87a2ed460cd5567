/** Bodies that are far larger in memory than on the wire, sent to a server that has little of it. */

import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, expect, test } from "vitest";
import { http2Request } from "./front.js";
import { type ServerProcess, startServerProcess } from "./server-process.js";

const SERVICE = "/kuscia.proto.api.v1alpha1.kusciaapi.JobService";
/** Of Node's heap. What nine million tasks take is many times as much, and a process that has no more of it ends. */
const HEAP_MIB = 192;
/** 18 MB: nine million empty tasks of a CreateJobRequest; to the other calls, fields that nobody knows. */
const HEAVY = Buffer.alloc(18_000_000, Buffer.of(0x2a, 0));

let server: ServerProcess;

beforeAll(async () => {
  server = await startServerProcess({ nodeArgs: [`--max-old-space-size=${HEAP_MIB}`] });
}, 90_000);
afterAll(async () => void (await server.stop()));

function enveloped(message: Buffer, flags: number): Buffer {
  const prefix = Buffer.of(flags, 0, 0, 0, 0);
  prefix.writeUInt32BE(message.length, 1);
  return Buffer.concat([prefix, message]);
}

const plain = enveloped(HEAVY, 0);
const zipped = enveloped(gzipSync(HEAVY), 1);

test.each<[string, string, Record<string, string>, Buffer]>([
  ["gRPC", `${SERVICE}/CreateJob`, { "content-type": "application/grpc" }, plain],
  ["gRPC, compressed", `${SERVICE}/CreateJob`, { "content-type": "application/grpc", "grpc-encoding": "gzip" }, zipped],
  ["gRPC, with unknown fields", `${SERVICE}/QueryJob`, { "content-type": "application/grpc" }, plain],
  ["gRPC, for a stream", `${SERVICE}/WatchJob`, { "content-type": "application/grpc" }, plain],
  ["gRPC-Web", `${SERVICE}/CreateJob`, { "content-type": "application/grpc-web+proto" }, plain],
  ["gRPC-Web, compressed", `${SERVICE}/WatchJob`, { "content-type": "application/grpc-web+proto", "grpc-encoding": "gzip" }, zipped],
  ["Connect", `${SERVICE}/CreateJob`, { "content-type": "application/proto" }, HEAVY],
  ["Connect, compressed", `${SERVICE}/CreateJob`, { "content-type": "application/proto", "content-encoding": "gzip" }, gzipSync(HEAVY)],
  ["Connect, for a stream", `${SERVICE}/WatchJob`, { "content-type": "application/connect+proto" }, plain],
  ["REST", "/api/v1/job/create", { "content-type": "application/x-protobuf" }, HEAVY],
  ["REST, for a stream", "/api/v1/job/watch", { "content-type": "application/x-protobuf" }, HEAVY],
])("nine million values are refused, and the server lives: %s", async (_name, path, headers, body) => {
  const answer = await http2Request(server.url, { ":method": "POST", ":path": path, ...headers }, body);
  const said = `${answer.text} ${String(answer.trailers["grpc-message"])}`.replaceAll("%20", " ");
  expect(said).toContain("holds more than 250000 values");
  expect((await fetch(`${server.url}/probe`)).status).toBe(200);
});
