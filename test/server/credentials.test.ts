import { once } from "node:events";
import { connect as connectHttp2 } from "node:http2";
import { Code, createClient } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { Health } from "../../gen/health/v1/health_pb.js";
import { JobService } from "../../gen/kuscia/proto/api/v1alpha1/kusciaapi/job_pb.js";
import { type ServerOptions } from "../../src/server.js";
import { drain, http2Request, MASTER, postJson, TRANSPORTS, useFronts } from "../front.js";

const RPC = "/kuscia.proto.api.v1alpha1.kusciaapi.JobService/QueryJob";
const QUERY = "/api/v1/job/query";
const start = useFronts();
const transports = Object.entries(TRANSPORTS);

describe("credentials", () => {
  const withToken: Partial<ServerOptions> = {
    authenticate: (headers) =>
      headers.get("token") === "secret" ? { kind: "Admitted", actor: MASTER, ambient: false } : { kind: "Unauthenticated" },
  };

  it("that are missing or wrong give 401 with an empty body on REST, on unknown paths too", async () => {
    const { url, jobs } = await start(withToken);
    for (const path of [QUERY, "/metrics", "/nowhere"]) {
      for (const token of ["", "wrong"]) {
        const answer = await postJson(url + path, "{ no json", { token });
        expect([path, answer.status, await answer.text()]).toEqual([path, 401, ""]);
      }
    }
    expect((await postJson(`${url}/nowhere`, {}, { token: "secret" })).status).toBe(404);
    expect(jobs.calls).toEqual([]);
  });

  it.each(transports)("that are missing give unauthenticated over %s", async (_name, transport) => {
    const { url, jobs } = await start(withToken);
    const client = createClient(JobService, transport(url));
    await expect(client.queryJob({ jobId: "a" })).rejects.toMatchObject({ code: Code.Unauthenticated });
    await expect(drain(client.watchJob({}))).rejects.toMatchObject({ code: Code.Unauthenticated });
    await client.queryJob({ jobId: "a" }, { headers: { token: "secret" } });
    expect(jobs.calls).toHaveLength(1);
  });

  it("are judged before the body is read", async () => {
    const front = await start({ ...withToken, maxBodyBytes: 10 });
    const answer = await postJson(front.url + RPC, "[".repeat(1000));
    expect([answer.status, await answer.json()]).toEqual([
      401,
      { code: "unauthenticated", message: "a valid credential is needed" },
    ]);
    const session = connectHttp2(front.url);
    const stream = session.request({ ":method": "POST", ":path": RPC, "content-type": "application/grpc" });
    stream.write("not the whole of any message");
    const [headers] = (await once(stream, "response")) as [Record<string, unknown>];
    const [trailers] = headers["grpc-status"]
      ? [headers]
      : ((await once(stream, "trailers")) as [Record<string, unknown>]);
    expect(trailers?.["grpc-status"]).toBe("16");
    session.destroy();
  });

  it("are not needed for health and probes, but for reflection", async () => {
    const { url } = await start(withToken);
    const health = createClient(Health, TRANSPORTS["gRPC"]!(url));
    expect(await health.check({})).toMatchObject({ status: 1 });
    expect((await fetch(`${url}/probe`)).status).toBe(200);
    const reflection = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
    const { headers, trailers } = await http2Request(url, {
      ":method": "POST",
      ":path": reflection,
      "content-type": "application/grpc",
    });
    expect(trailers["grpc-status"] ?? headers["grpc-status"]).toBe("16");
  });

  it("let JSON pass under any content type that Kuscia reads as JSON", async () => {
    const { url } = await start(withToken);
    for (const type of ["text/plain", "application/json; charset=utf-8"]) {
      const answer = await postJson(url + QUERY, { job_id: "a" }, { token: "secret", "content-type": type });
      expect(await answer.json()).toMatchObject({ status: { code: 11202 } });
    }
  });
});
