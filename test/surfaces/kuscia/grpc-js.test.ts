/** A client that knows nothing but the .proto files: grpc-js, with the protos loaded at run time. */

import { once } from "node:events";
import {
  type Client,
  type ClientReadableStream,
  credentials,
  loadPackageDefinition,
  type ServiceError,
  status,
} from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { definitionOf, viewOf } from "../../fakes.js";
import { type Front, startFront } from "../../front.js";

type Answer = Readonly<Record<string, unknown>>;
type Unary = (request: object, done: (error: ServiceError | null, answer: Answer) => void) => void;
type JobClient = Client &
  Record<"CreateJob" | "QueryJob", Unary> & {
    WatchJob(request: object): ClientReadableStream<Answer>;
  };

let front: Front;
let client: JobClient;
beforeAll(async () => {
  front = await startFront();
  const definition = loadSync("kuscia/proto/api/v1alpha1/kusciaapi/job.proto", {
    includeDirs: ["proto"],
    keepCase: true,
    enums: String,
    longs: String,
    defaults: true,
  });
  // A tree of packages; the service is where its package name says.
  const { kuscia } = loadPackageDefinition(definition) as unknown as {
    kuscia: { proto: { api: { v1alpha1: { kusciaapi: { JobService: new (...args: unknown[]) => JobClient } } } } };
  };
  const { JobService } = kuscia.proto.api.v1alpha1.kusciaapi;
  client = new JobService(`127.0.0.1:${front.port}`, credentials.createInsecure());
});
afterAll(async () => {
  client.close();
  await front.server.stop();
});

const call = (method: "CreateJob" | "QueryJob", request: object): Promise<Answer> =>
  new Promise((resolve, reject) => {
    client[method](request, (error, answer) => (error ? reject(error) : resolve(answer)));
  });

describe("grpc-js", () => {
  it("creates and queries a job", async () => {
    const tasks = [
      { alias: "psi", parties: [{ domain_id: "alice", bandwidth_limits: [{ destination_id: "b", limit_kbps: "7" }] }] },
    ];
    expect(await call("CreateJob", { job_id: "job-1", initiator: "alice", tasks })).toMatchObject({
      status: { code: 0, message: "success" },
      data: { job_id: "job-1" },
    });
    expect(await call("QueryJob", { job_id: "job-1" })).toMatchObject({
      status: { code: 0 },
      data: { job_id: "job-1", initiator: "alice", tasks, status: { state: "Pending" } },
    });
    expect(await call("QueryJob", { job_id: "nobody" })).toMatchObject({
      status: { code: 11202, reason: "NotFound" },
      data: null,
    });
  });

  it("watches, and its cancel ends the watch", async () => {
    const view = viewOf(definitionOf("job-2"));
    front.hub.present = [{ kind: "Added", from: 1n, revision: 1n, inSnapshot: false, view }];
    const ended = front.hub.ended();
    const stream = client.WatchJob({});
    const frames = stream[Symbol.asyncIterator]() as AsyncIterator<Answer>;
    expect(await frames.next()).toMatchObject({ value: { type: "ADDED", object: { job_id: "job-2" } } });
    expect(await frames.next()).toMatchObject({ value: { type: "HEARTBEAT", object: null } });
    const over = expect(frames.next()).rejects.toMatchObject({ code: status.CANCELLED });
    stream.cancel();
    expect((await ended).aborted).toBe(true);
    await over;
  });

  it("sees unavailable when the server stops", async () => {
    const own = await startFront();
    const stream = new (client.constructor as new (...args: unknown[]) => JobClient)(
      `127.0.0.1:${own.port}`,
      credentials.createInsecure(),
    ).WatchJob({});
    await once(stream, "data");
    const failed = once(stream, "error");
    const stopped = own.server.stop();
    expect((await failed)[0]).toMatchObject({ code: status.UNAVAILABLE, details: "the server is shutting down" });
    await stopped;
  });
});
