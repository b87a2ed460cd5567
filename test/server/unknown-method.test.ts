import { Client, credentials, type ServiceError, status } from "@grpc/grpc-js";
import { expect, test } from "vitest";
import { useFronts } from "../front.js";

const start = useFronts();

const callOf = (port: number, path: string): Promise<ServiceError | null> =>
  new Promise((resolve) => {
    const client = new Client(`127.0.0.1:${port}`, credentials.createInsecure());
    const bytes = (buffer: Buffer) => buffer;
    client.makeUnaryRequest(path, bytes, bytes, Buffer.alloc(0), (error) => {
      client.close();
      resolve(error);
    });
  });

test.each(["/kuscia.proto.api.v1alpha1.kusciaapi.JobService/ListJob", "/no.such.Service/Call"])(
  "gRPC reads %s as unimplemented, with the method's name",
  async (path) => {
    const { port } = await start();
    expect(await callOf(port, path)).toMatchObject({ code: status.UNIMPLEMENTED, details: `no method ${path} here` });
  },
);

test("without a credential nothing is told about which methods there are", async () => {
  const { port } = await start({ authenticate: () => ({ kind: "Unauthenticated" }) });
  expect(await callOf(port, "/no.such.Service/Call")).toMatchObject({ code: status.UNAUTHENTICATED });
});

test("more than ten calls at once cause no warning", async () => {
  const warnings: Error[] = [];
  const onWarning = (warning: Error) => warnings.push(warning);
  process.on("warning", onWarning);
  const { url } = await start();
  const leave = new AbortController();
  const body = { method: "POST", headers: { "content-type": "application/json" }, body: "{}", signal: leave.signal };
  await Promise.all(Array.from({ length: 30 }, () => fetch(`${url}/api/v1/job/watch`, body)));
  leave.abort();
  await new Promise((resolve) => setImmediate(resolve));
  process.off("warning", onWarning);
  expect(warnings).toEqual([]);
});
