import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { promisify } from "node:util";
import { createClient } from "@connectrpc/connect";
import { fromBinary } from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import { Code } from "@connectrpc/connect";
import { Counter } from "prom-client";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import * as v1 from "../../gen/grpc/reflection/v1/reflection_pb.js";
import * as v1alpha from "../../gen/grpc/reflection/v1alpha/reflection_pb.js";
import { Health, HealthCheckResponse_ServingStatus as Serving } from "../../gen/health/v1/health_pb.js";
import { createSystemSurface } from "../../src/surfaces/system/surface.js";
import { FakeJobs } from "../fakes.js";
import { type Front, postJson, startFront, TRANSPORTS } from "../front.js";

const SERVICES = [
  "grpc.health.v1.Health",
  "grpc.reflection.v1.ServerReflection",
  "grpc.reflection.v1alpha.ServerReflection",
  "kuscia.proto.api.v1alpha1.kusciaapi.AppImageService",
  "kuscia.proto.api.v1alpha1.kusciaapi.HealthService",
  "kuscia.proto.api.v1alpha1.kusciaapi.JobService",
  "muster.v1.JobsService",
  "muster.v1.LogsService",
];
const grpc = TRANSPORTS["gRPC"]!;

let front: Front;
beforeAll(async () => {
  front = await startFront();
});
afterAll(() => front.server.stop());
beforeEach(() => {
  front.jobs.failure = undefined;
  front.logged.length = 0;
});

describe("reflection", () => {
  type Question = v1.ServerReflectionRequest["messageRequest"];
  const ask = async (...questions: Question[]) => {
    async function* requests() {
      for (const messageRequest of questions) yield { host: "h", messageRequest };
    }
    const answers: v1.ServerReflectionResponse["messageResponse"][] = [];
    const responses = createClient(v1.ServerReflection, grpc(front.url)).serverReflectionInfo(requests());
    for await (const response of responses) {
      expect(response).toMatchObject({
        validHost: "h",
        originalRequest: { messageRequest: questions[answers.length] },
      });
      answers.push(response.messageResponse);
    }
    return answers;
  };
  const filesOf = (answer: v1.ServerReflectionResponse["messageResponse"] | undefined): string[] =>
    answer?.case === "fileDescriptorResponse"
      ? answer.value.fileDescriptorProto.map((bytes) => fromBinary(FileDescriptorProtoSchema, bytes).name)
      : [];

  it("lists the services of all surfaces", async () => {
    const [answer] = await ask({ case: "listServices", value: "" });
    expect(answer).toMatchObject({ value: { service: SERVICES.map((name) => ({ name })) } });
  });

  it("gives a file with all that it imports, by its name, by a symbol in it, and by an extension", async () => {
    const job = "kuscia/proto/api/v1alpha1/kusciaapi/job.proto";
    const all = [job, "kuscia/proto/api/v1alpha1/common.proto", "google/protobuf/any.proto"];
    const inJob = "kuscia.proto.api.v1alpha1.kusciaapi";
    const answers = await ask(
      { case: "fileByFilename", value: job },
      { case: "fileContainingSymbol", value: `${inJob}.JobService` },
      { case: "fileContainingSymbol", value: `${inJob}.JobService.WatchJob` },
      { case: "fileContainingSymbol", value: `${inJob}.JobState.State` },
      extension(72295728),
    );
    expect(answers.slice(0, 4).map(filesOf)).toEqual([all, all, all, all]);
    expect(filesOf(answers[4])).toContain("google/api/annotations.proto");
  });

  it("gives the numbers of a type's extensions", async () => {
    const [options, job] = await ask(
      { case: "allExtensionNumbersOfType", value: "google.protobuf.MethodOptions" },
      { case: "allExtensionNumbersOfType", value: "kuscia.proto.api.v1alpha1.Status" },
    );
    expect(options).toMatchObject({ value: { extensionNumber: [72295728] } });
    expect(job).toMatchObject({ value: { extensionNumber: [] } });
  });

  it("says what it does not know", async () => {
    const answers = await ask(
      { case: "fileByFilename", value: "no.proto" },
      { case: "fileContainingSymbol", value: "no.Symbol" },
      extension(5),
      { case: "allExtensionNumbersOfType", value: "no.Type" },
      { case: undefined },
    );
    expect(answers.map((answer) => (answer.case === "errorResponse" ? answer.value.errorCode : answer.case))).toEqual([
      5, 5, 5, 5, 3,
    ]);
  });

  it("speaks v1alpha too", async () => {
    async function* requests() {
      yield { messageRequest: { case: "listServices", value: "" } } as const;
    }
    const responses = createClient(v1alpha.ServerReflection, grpc(front.url)).serverReflectionInfo(requests());
    for await (const { messageResponse } of responses) {
      expect(messageResponse).toMatchObject({ value: { service: SERVICES.map((name) => ({ name })) } });
    }
    expect.assertions(1);
  });

  const buf = "node_modules/@bufbuild/buf-linux-x64/bin/buf";
  it.skipIf(!existsSync(buf))("serves buf curl, without a schema of its own", async () => {
    const curl = async (...args: string[]) =>
      (await promisify(execFile)(buf, ["curl", "--http2-prior-knowledge", ...args])).stdout;
    for (const protocol of ["grpc-v1", "grpc-v1alpha"]) {
      const list = await curl("--list-services", "--reflect-protocol", protocol, front.url);
      expect(list.trim().split("\n")).toEqual(SERVICES);
    }
    const check = await curl("--protocol", "grpc", "-d", "{}", `${front.url}/grpc.health.v1.Health/Check`);
    expect(JSON.parse(check)).toEqual({ status: "SERVING" });
  });

  function extension(extensionNumber: number): Question {
    const value = { containingType: "google.protobuf.MethodOptions", extensionNumber };
    return { case: "fileContainingExtension", value: { $typeName: "grpc.reflection.v1.ExtensionRequest", ...value } };
  }
});

describe("health", () => {
  it("is told for the server, for each service, and not for others", async () => {
    const health = createClient(Health, grpc(front.url));
    for (const service of ["", ...SERVICES]) expect((await health.check({ service })).status).toBe(Serving.SERVING);
    await expect(health.check({ service: "no.Service" })).rejects.toMatchObject({ code: Code.NotFound });
    const { statuses } = await health.list({});
    expect(Object.keys(statuses).sort()).toEqual(["", ...SERVICES]);
  });

  it("is watched", async () => {
    const health = createClient(Health, grpc(front.url));
    const first = async (service: string) => (await health.watch({ service })[Symbol.asyncIterator]().next()).value;
    expect(await first("")).toMatchObject({ status: Serving.SERVING });
    expect(await first("no.Service")).toMatchObject({ status: Serving.SERVICE_UNKNOWN });
  });

  it("is not good where the server cannot do its work", async () => {
    const { log, metrics } = front;
    const surface = createSystemSurface({ jobs: new FakeJobs(), metrics, log, isReady: () => false });
    const own = await startFront({ surfaces: [surface] });
    const health = createClient(Health, grpc(own.url));
    expect((await health.check({})).status).toBe(Serving.NOT_SERVING);
    await own.server.stop();
  });
});

it("metrics are those of the registry", async () => {
  new Counter({ name: "muster_test_total", help: "a test", registers: [front.metrics] }).inc(3);
  const answer = await fetch(`${front.url}/metrics`);
  expect(answer.headers.get("content-type")).toBe(front.metrics.contentType);
  expect(await answer.text()).toContain("muster_test_total 3");
});

describe("progress", () => {
  const report = async (body: unknown, uid = "attempt-1"): Promise<unknown[]> => {
    const answer = await postJson(`${front.url}/v1/attempts/${uid}/progress`, body);
    return [answer.status, await answer.json()];
  };

  it("is taken, or ignored where it is no news", async () => {
    expect(await report({ progress: 0.6 })).toEqual([200, { code: 0, message: "success" }]);
    expect(front.jobs.last("progress")).toEqual(["attempt-1", 0.6]);
    expect(await report({ progress: 0.4 })).toEqual([200, { code: 0, message: "ignored" }]);
  });

  it.each([{ progress: -0.1 }, { progress: 1.1 }, { progress: "0.5" }, { progress: null }, {}, [], "null", "{", ""])(
    "is refused as %o",
    async (body) => {
      front.jobs.calls.length = 0;
      const message = "progress: must be a number from 0 to 1";
      expect(await report(body)).toEqual([400, { code: 3000, message }]);
      expect(front.jobs.calls).toEqual([]);
    },
  );

  it("of an unknown attempt is 404", async () => {
    expect(await report({ progress: 1 }, "attempt-2")).toEqual([404, { code: 3000, message: "no such attempt" }]);
  });

  it("that fails is a fault of ours", async () => {
    front.jobs.failure = new Error("secret detail");
    expect(await report({ progress: 1 })).toEqual([500, { code: 3001, message: "internal error" }]);
    expect(front.logged.map((line) => line.err?.message)).toEqual(["secret detail"]);
  });
});
