/**
 * Plain unary calls are answered on a way of their own. Whatever is sent, the answer is the Connect router's: the same
 * bytes go to two servers, one with that way and one without, and all that a client and a handler can see is equal.
 */

import { gzipSync } from "node:zlib";
import { create, type MessageInitShape, toBinary, toJsonString } from "@bufbuild/protobuf";
import { Code, ConnectError, type HandlerContext } from "@connectrpc/connect";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { HealthCheckRequestSchema } from "../../gen/health/v1/health_pb.js";
import {
  CreateJobRequestSchema,
  JobService,
  QueryJobRequestSchema,
  type QueryJobResponseSchema,
} from "../../gen/kuscia/proto/api/v1alpha1/kusciaapi/job_pb.js";
import { JobError } from "../../src/core/error.js";
import type { Surface } from "../../src/surface.js";
import { usePair } from "./both-paths.js";

const SERVICE = "/kuscia.proto.api.v1alpha1.kusciaapi.JobService";
const MAX_BODY_BYTES = 4000;

/** What the handler does, by the job_id it is asked for. */
const HANDLERS: Readonly<
  Record<string, (context: HandlerContext) => MessageInitShape<typeof QueryJobResponseSchema>>
> = {
  plain: () => ({ status: { message: "ok" }, data: { jobId: "plain" } }),
  empty: () => ({}),
  // Over and under the length from which answers are compressed.
  large: () => ({ status: { message: "x".repeat(3000) } }),
  medium: () => ({ status: { message: "y".repeat(1000) } }),
  text: () => ({ status: { message: "\u00e9 \u{1f600} \ud800 \" \\ \n" } }),
  headers({ responseHeader, responseTrailer }) {
    responseHeader.set("x-one", "1");
    responseHeader.append("set-cookie", "a=1");
    responseHeader.append("set-cookie", "b=2");
    responseTrailer.set("x-two", "2");
    return { status: { message: "with headers" } };
  },
  headersAndError({ responseHeader, responseTrailer }) {
    responseHeader.set("x-one", "1");
    responseTrailer.set("x-two", "2");
    throw new JobError("NotFound", "not here, 100% sure: \u00e9");
  },
  signal: ({ signal }) => ({ status: { message: signal.aborted ? "aborted" : "open" } }),
  fault() {
    throw new Error("secret detail");
  },
  exhausted() {
    throw new JobError("ResourceExhausted", "later");
  },
  metadata() {
    throw new ConnectError("with metadata", Code.FailedPrecondition, { "x-meta": "m", "content-type": "text/plain" });
  },
  details() {
    const detail = { desc: QueryJobRequestSchema, value: { jobId: "detail" } };
    throw new ConnectError("with details", Code.Aborted, undefined, [detail]);
  },
  longError() {
    throw new ConnectError("e".repeat(2000), Code.Unknown);
  },
  unwritable: () => ({ status: { code: 1.5 } }),
  notAMessage: () => 5 as never,
};

function surface(tell: (context: HandlerContext) => void): Surface {
  return {
    name: "test",
    routes: [],
    register(router) {
      router.service(JobService, {
        async queryJob(request, context) {
          tell(context);
          const handle = HANDLERS[request.jobId];
          return handle ? handle(context) : { status: { message: `asked for ${request.jobId}` } };
        },
        createJob: (request, context) => {
          tell(context);
          return { status: { message: `${request.jobId} ${request.tasks.length}` } };
        },
      });
    },
  };
}

const pair = usePair(surface, { maxBodyBytes: MAX_BODY_BYTES });

// Deadlines are counted from now, so the same headers give both servers the same ones.
beforeAll(() => void vi.spyOn(Date, "now").mockReturnValue(Date.parse("2026-01-01T00:00:00Z")));
afterAll(() => void vi.restoreAllMocks());

type Format = "grpc" | "grpc-web" | "connect";

const TYPES: Readonly<Record<string, readonly [format: Format, binary: boolean]>> = {
  "application/grpc": ["grpc", true],
  "application/grpc+proto": ["grpc", true],
  "application/grpc+json": ["grpc", false],
  "APPLICATION/GRPC": ["grpc", true],
  "application/grpc-web+proto": ["grpc-web", true],
  "application/json": ["connect", false],
  "application/json; charset=utf-8": ["connect", false],
  "application/json;charset=utf8": ["connect", false],
  "application/proto": ["connect", true],
  "application/connect+json": ["grpc", false],
  "text/plain": ["connect", false],
  "": ["connect", false],
};

const jobId = fc.oneof({ weight: 6, arbitrary: fc.constantFrom(...Object.keys(HANDLERS)) }, fc.string({ maxLength: 30 }));
const request = fc.oneof(
  { weight: 4, arbitrary: jobId.map((id) => create(QueryJobRequestSchema, { jobId: id })) },
  // Of another type: unknown fields in binary, unknown names in JSON.
  fc.string().map((service) => create(HealthCheckRequestSchema, { service })),
  fc.nat(40).map((count) => create(CreateJobRequestSchema, { jobId: "many", tasks: Array.from({ length: count }, () => ({ alias: "a".repeat(99) })) })),
);

const SCHEMAS = { QueryJobRequest: QueryJobRequestSchema, CreateJobRequest: CreateJobRequestSchema, HealthCheckRequest: HealthCheckRequestSchema };

const UNIT_MS: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1000, m: 1, u: 1e-3, n: 1e-6, "": 1 };

/** A deadline has passed when the call begins (less than a millisecond is none), or does not pass in the time of the test. */
const timeout = fc.oneof(
  fc.constantFrom("0m", "0", "0n", "999u", "99999999H", "900000", "9999999999", "", "1x", "-1", "1.5S", "123456789S", "10 S", "2147483647m"),
  fc
    .tuple(fc.nat(99_999_999), fc.constantFrom(...Object.keys(UNIT_MS)))
    .filter(([count, unit]) => count * (UNIT_MS[unit] ?? 1) < 1 || count * (UNIT_MS[unit] ?? 1) >= 600_000)
    .map(([count, unit]) => `${count}${unit}`),
);
const encoding = fc.constantFrom("identity", "gzip", "br", "", "GZIP", "identity,gzip");
const accepted = fc.constantFrom("gzip", "identity", "identity,deflate,gzip", "gzip, br", "br", "", "gzip;q=0.5", "*", " gzip ");

const extraHeaders = fc.record(
  {
    "grpc-timeout": timeout,
    "connect-timeout-ms": timeout,
    "grpc-encoding": encoding,
    "content-encoding": encoding,
    "grpc-accept-encoding": accepted,
    "accept-encoding": accepted,
    "connect-protocol-version": fc.constantFrom("1", "2"),
    te: fc.constant("trailers"),
    "x-custom": fc.string({ unit: "grapheme-ascii", maxLength: 10 }).map((value) => value.trim()),
    origin: fc.constantFrom("http://localhost:1", "https://evil.com", "null"),
    "sec-fetch-site": fc.constantFrom("same-origin", "cross-site"),
  },
  { requiredKeys: [] },
);

/** What becomes of a body on its way. */
const mutation = fc.oneof(
  { weight: 6, arbitrary: fc.constant((body: Buffer) => body) },
  fc.tuple(fc.nat(), fc.nat(255)).map(([at, value]) => (body: Buffer) => {
    const copy = Buffer.from(body);
    if (copy.length > 0) copy[at % copy.length] = value;
    return copy;
  }),
  fc.nat().map((length) => (body: Buffer) => body.subarray(0, length % (body.length + 1))),
  fc.uint8Array({ maxLength: 12 }).map((more) => (body: Buffer) => Buffer.concat([body, more])),
  fc.constant((body: Buffer) => Buffer.concat([body, body])),
  fc.constant((body: Buffer) => gzipSync(body)),
  fc.constant(() => Buffer.alloc(0)),
  fc.uint8Array({ maxLength: 40 }).map((bytes) => () => Buffer.from(bytes)),
  fc.constantFrom("null", "{}", "[]", '{"job_id":1}', '{"jobId":"plain"}', '{"job_id":"plain"} ', "{", "\ufeff{}").map((text) => () => Buffer.from(text)),
);
/** A prefix with flags, and with a compressed message where they say so or not. */
const envelope = fc.record({
  flags: fc.oneof({ weight: 6, arbitrary: fc.constant(0) }, fc.constantFrom(1, 2, 128, 255)),
  compress: fc.oneof({ weight: 6, arbitrary: fc.constant(false) }, fc.constant(true)),
});

const call = fc
  .record({
    http: fc.constantFrom(1 as const, 2 as const, 2 as const),
    method: fc.oneof({ weight: 12, arbitrary: fc.constant("POST") }, fc.constantFrom("GET", "PUT", "OPTIONS")),
    path: fc.oneof(
      { weight: 12, arbitrary: fc.constantFrom(`${SERVICE}/QueryJob`, `${SERVICE}/QueryJob`, `${SERVICE}/CreateJob`) },
      fc.constantFrom(`${SERVICE}/QueryJob?x=1`, `${SERVICE}/StopJob`, `${SERVICE}/Nothing`, `${SERVICE}/./QueryJob`),
    ),
    type: fc.oneof(
      { weight: 6, arbitrary: fc.constantFrom("application/grpc", "application/json", "application/proto") },
      fc.constantFrom(...Object.keys(TYPES)),
    ),
    request,
    extraHeaders,
    plain: fc.boolean(),
    deadline: fc.oneof({ weight: 3, arbitrary: fc.constant(undefined) }, fc.constantFrom("0", "900000")),
    mutation,
    envelope,
    pieces: fc.array(fc.nat(60), { maxLength: 3 }),
    contentLength: fc.boolean(),
  })
  .map((given) => {
    const [format, binary] = TYPES[given.type] ?? ["connect", false];
    const desc = SCHEMAS[given.request.$typeName.split(".").at(-1) as keyof typeof SCHEMAS];
    const message = binary ? Buffer.from(toBinary(desc, given.request)) : Buffer.from(toJsonString(desc, given.request));
    const body = given.mutation(format === "connect" ? message : enveloped(message, given.envelope));
    // Half of the calls ask for nothing unusual; some of them set a deadline, which may have passed.
    const { deadline } = given;
    const deadlines = deadline === undefined ? {} : { "grpc-timeout": `${deadline}m`, "connect-timeout-ms": deadline };
    const headers: Record<string, string> = given.plain ? deadlines : { ...given.extraHeaders };
    if (given.type !== "") headers["content-type"] = given.type;
    const hasBody = given.method !== "GET";
    if (hasBody && given.contentLength) headers["content-length"] = String(body.length);
    return { http: given.http, method: given.method, path: given.path, headers, chunks: hasBody ? cut(body, given.pieces) : [] };
  });

function enveloped(message: Buffer, { flags, compress }: { flags: number; compress: boolean }): Buffer {
  const data = compress ? gzipSync(message) : message;
  const prefix = Buffer.of(flags, 0, 0, 0, 0);
  prefix.writeUInt32BE(data.length, 1);
  return Buffer.concat([prefix, data]);
}

function cut(body: Buffer, pieces: readonly number[]): Buffer[] {
  const chunks: Buffer[] = [];
  let rest = body;
  for (const length of pieces) {
    chunks.push(rest.subarray(0, length));
    rest = rest.subarray(length);
  }
  return [...chunks, rest].filter((chunk) => chunk.length > 0);
}

const RUNS = Number(process.env.FUZZ_RUNS ?? 400);

describe("whatever is sent", () => {
  it("both ways answer the same, and tell the handler the same", { timeout: 60_000 + RUNS * 50 }, async () => {
    await fc.assert(
      fc.asyncProperty(call, async (sent) => {
        const [fast, router] = await pair.call(sent);
        expect(fast).toEqual(router);
      }),
      { numRuns: RUNS },
    );
  });
});
