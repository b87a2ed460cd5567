import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { Health } from "../gen/health/v1/health_pb.js";
import { JobService } from "../gen/kuscia/proto/api/v1alpha1/kusciaapi/job_pb.js";
import { LogsService } from "../gen/muster/v1/logs_pb.js";
import { JobError } from "../src/core/error.js";
import { createServer, type RequestRecord, type ServerOptions } from "../src/server.js";
import { type RestResponse, type RestRoute, type Surface } from "../src/surface.js";
import { faultsOf, http2Request, MASTER, postJson, readLines, TRANSPORTS, useFronts } from "./front.js";

const RPC = "/kuscia.proto.api.v1alpha1.kusciaapi.JobService/QueryJob";
const WATCH = "/api/v1/job/watch";
const QUERY = "/api/v1/job/query";
const start = useFronts();
const transports = Object.entries(TRANSPORTS);

describe("paths", () => {
  it("that nobody claims, or not with this method, are 404", async () => {
    const { url } = await start();
    for (const [method, path] of [
      ["GET", "/nowhere"],
      ["GET", QUERY],
      ["PUT", QUERY],
      ["POST", "/probe"],
      ["POST", "/kuscia.proto.api.v1alpha1.kusciaapi.JobService/Nothing"],
      ["GET", "/v1/jobs//logs"],
      ["GET", "/v1/jobs/%zz/logs"],
    ] as const) {
      const answer = await fetch(url + path, { method });
      expect([method, path, answer.status]).toEqual([method, path, 404]);
      expect(answer.headers.get("content-type")).toMatch(/^text\/plain/);
    }
  });

  it("that are known have no slash at their end, which redirects say", async () => {
    const { url } = await start();
    const answer = await fetch(`${url}${QUERY}/?extensions=1`, { method: "POST", redirect: "manual" });
    expect([answer.status, answer.headers.get("location")]).toEqual([307, `${QUERY}?extensions=1`]);
    const followed = await postJson(`${url}${QUERY}/`, { job_id: "a" });
    expect([followed.status, await followed.json()]).toMatchObject([200, { status: { code: 11202 } }]);
    expect((await postJson(`${url}/nowhere/`, {})).status).toBe(404);
    expect((await fetch(`${url}${QUERY}/`)).status).toBe(404);
  });

  it("may be claimed once only", () => {
    const route: RestRoute = {
      method: "GET",
      path: "/x",
      handle: async () => ({ status: 200, headers: {}, body: "" }),
    };
    expect(() => createServer(optionsOf([surface(route), surface(route)]))).toThrow("two surfaces claim GET /x");
  });
});

describe("what handlers throw", () => {
  it("is logged, and said as no more than an internal error", async () => {
    const front = await start();
    front.logs.failure = new Error("secret detail");
    const client = createClient(LogsService, TRANSPORTS["gRPC"]!(front.url));
    const error = ConnectError.from(await client.getTaskLogs({ jobId: "job-1" }).catch((e: unknown) => e));
    expect([error.code, error.rawMessage]).toEqual([Code.Internal, "internal error"]);
    expect(faultsOf(front).map((line) => line.err?.message)).toEqual(["secret detail"]);
  });

  it.each([
    ["InvalidArgument", Code.InvalidArgument],
    ["AlreadyExists", Code.AlreadyExists],
    ["NotFound", Code.NotFound],
    ["Forbidden", Code.PermissionDenied],
    ["IllegalMove", Code.FailedPrecondition],
    ["ResourceExhausted", Code.ResourceExhausted],
    ["Unavailable", Code.Unavailable],
    ["Internal", Code.Internal],
  ] as const)("becomes its Connect code where it is a JobError: %s", async (reason, code) => {
    const front = await start();
    front.logs.failure = new JobError(reason, "why");
    const client = createClient(LogsService, TRANSPORTS["Connect JSON over HTTP/1.1"]!(front.url));
    const error = ConnectError.from(await client.getTaskLogs({ jobId: "job-1" }).catch((e: unknown) => e));
    expect([error.code, error.rawMessage]).toEqual([code, reason === "Internal" ? "internal error" : "why"]);
  });

  it("on a plain route is 500", async () => {
    const front = await start({ surfaces: [failing(() => Promise.reject(new Error("secret detail")))] });
    const answer = await fetch(`${front.url}/x`);
    expect([answer.status, await answer.text()]).toEqual([500, "internal error"]);
    expect(faultsOf(front).map((line) => line.err?.message)).toEqual(["secret detail"]);
  });

  it("in the middle of a stream breaks the response off", async () => {
    async function* broken(): AsyncGenerator<string> {
      yield "first";
      throw new Error("secret detail");
    }
    const front = await start({ surfaces: [failing(async () => ({ status: 200, headers: {}, body: broken() }))] });
    const answer = await fetch(`${front.url}/x`);
    await expect(answer.text()).rejects.toThrow();
    expect(faultsOf(front).map((line) => line.err?.message)).toEqual(["secret detail"]);
  });

  function failing(handle: RestRoute["handle"]): Surface {
    return surface({ method: "GET", path: "/x", handle });
  }
});

describe("stop", () => {
  it.each(transports)("ends open streams with unavailable over %s", async (_name, transport) => {
    const { url, server } = await start();
    const frames = createClient(JobService, transport(url)).watchJob({})[Symbol.asyncIterator]();
    await frames.next();
    const stopped = server.stop();
    await expect(frames.next()).rejects.toMatchObject({ code: Code.Unavailable });
    await stopped;
  });

  it("ends REST streams and says so to health watchers", async () => {
    const { url, server } = await start();
    const lines = readLines(await postJson(url + WATCH, {}));
    await lines.next();
    const health = createClient(Health, TRANSPORTS["gRPC"]!(url)).watch({})[Symbol.asyncIterator]();
    await health.next();
    const stopped = server.stop();
    expect(await lines.next()).toEqual({ done: true, value: undefined });
    await expect(health.next()).rejects.toMatchObject({ code: Code.Unavailable });
    await stopped;
  });

  it("lets other requests finish and takes no new ones", async () => {
    let release: () => void = () => undefined;
    const started = new Promise<void>((entered) => {
      slow = async () => {
        entered();
        await new Promise<void>((resolve) => (release = resolve));
        return { status: 200, headers: {}, body: "done" };
      };
    });
    const front = await start({ surfaces: [surface({ method: "GET", path: "/x", handle: () => slow() })] });
    const answer = fetch(`${front.url}/x`);
    await started;
    const stopped = front.server.stop();
    await expect(fetch(`${front.url}/x`)).rejects.toThrow();
    release();
    expect(await (await answer).text()).toBe("done");
    await stopped;
  });
  let slow: () => Promise<RestResponse>;

  it("cuts off what does not finish within the drain time", async () => {
    const never: RestRoute = { method: "GET", path: "/x", handle: () => new Promise(() => undefined) };
    const front = await start({ surfaces: [surface(never)], timeouts: { drain: 50 } });
    const http1 = fetch(`${front.url}/x`);
    const http2 = http2Request(front.url, { ":path": "/x" });
    const cut = Promise.all([expect(http1).rejects.toThrow(), expect(http2).rejects.toThrow()]);
    await fetch(`${front.url}/nowhere`);
    await front.server.stop();
    await cut;
  });

  it("may be repeated, and may come before start", async () => {
    const front = await start();
    await Promise.all([front.server.stop(), front.server.stop()]);
    await createServer(optionsOf([])).stop();
  });
});

describe("start", () => {
  it("tells its address and rejects where the port is taken", async () => {
    const front = await start();
    expect(await front.server.start()).toEqual({ host: "127.0.0.1", port: front.port });
    const second = createServer({ ...optionsOf([]), listen: { host: "127.0.0.1", port: front.port } });
    await expect(second.start()).rejects.toMatchObject({ code: "EADDRINUSE" });
    await second.stop();
  });
});

describe("onRequest", () => {
  it("tells route, protocol and status of each request", async () => {
    const records: RequestRecord[] = [];
    let count: () => void = () => undefined;
    const front = await start({
      onRequest: (record) => {
        records.push(record);
        count();
      },
    });
    const all = new Promise<void>((resolve) => (count = () => records.length === 4 && resolve()));
    await createClient(JobService, TRANSPORTS["gRPC"]!(front.url)).queryJob({ jobId: "a" });
    await createClient(JobService, TRANSPORTS["gRPC-Web over HTTP/1.1"]!(front.url)).queryJob({ jobId: "a" });
    await (await fetch(`${front.url}/v1/jobs/some-job/logs`)).text();
    await (await fetch(`${front.url}/made/up`)).text();
    await all;
    expect(records.map(({ route, protocol, status }) => [route, protocol, status])).toEqual([
      [RPC, "grpc", 200],
      [RPC, "grpc-web", 200],
      ["/v1/jobs/{job_id}/logs", "rest", 404],
      ["unmatched", "rest", 404],
    ]);
    expect(records.every((record) => record.seconds >= 0)).toBe(true);
  });
});

function surface(route: RestRoute): Surface {
  return { name: "test", routes: [route] };
}

function optionsOf(surfaces: readonly Surface[]): ServerOptions {
  return {
    listen: { host: "127.0.0.1", port: 0 },
    surfaces,
    authenticate: () => ({ kind: "Admitted", actor: MASTER, ambient: true }),
    maxBodyBytes: 1000,
    log: { error: () => undefined } as unknown as ServerOptions["log"],
  };
}
