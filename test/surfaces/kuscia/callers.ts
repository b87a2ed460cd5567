/** The unary calls of the Kuscia API through every protocol, under one signature. */

import {
  create,
  type DescMessage,
  type DescMethodUnary,
  fromBinary,
  fromJson,
  type JsonValue,
  type MessageInitShape,
  type MessageShape,
  toBinary,
  toJson,
} from "@bufbuild/protobuf";
import { expect } from "vitest";
import { AppImageService } from "../../../gen/kuscia/proto/api/v1alpha1/kusciaapi/appimage_pb.js";
import { JobService } from "../../../gen/kuscia/proto/api/v1alpha1/kusciaapi/job_pb.js";
import { TRANSPORTS } from "../../front.js";

const job = JobService.method;
const image = AppImageService.method;

/** As the published API says. */
export const PATHS = new Map<DescMethodUnary, string>([
  [job.createJob, "/api/v1/job/create"],
  [job.queryJob, "/api/v1/job/query"],
  [job.batchQueryJobStatus, "/api/v1/job/status/batchQuery"],
  [job.deleteJob, "/api/v1/job/delete"],
  [job.stopJob, "/api/v1/job/stop"],
  [job.approveJob, "/api/v1/job/approve"],
  [job.suspendJob, "/api/v1/job/suspend"],
  [job.restartJob, "/api/v1/job/restart"],
  [job.cancelJob, "/api/v1/job/cancel"],
  [image.createAppImage, "/api/v1/appimage/create"],
  [image.updateAppImage, "/api/v1/appimage/update"],
  [image.deleteAppImage, "/api/v1/appimage/delete"],
  [image.queryAppImage, "/api/v1/appimage/query"],
  [image.listAppImage, "/api/v1/appimage/list"],
  [image.batchQueryAppImage, "/api/v1/appimage/batchQuery"],
]);

export type Caller = <I extends DescMessage, O extends DescMessage>(
  method: DescMethodUnary<I, O>,
  request: MessageInitShape<I>,
) => Promise<MessageShape<O>>;

export const restJson =
  (url: string): Caller =>
  async (method, request) => {
    const body = JSON.stringify(toJson(method.input, create(method.input, request)));
    const headers = { "content-type": "application/json", "muster-extensions": "1" };
    const answer = await fetch(url + PATHS.get(method), { method: "POST", headers, body });
    expect(answer.headers.get("content-type")).toBe("application/json; charset=utf-8");
    return fromJson(method.output, (await answer.json()) as JsonValue);
  };

const restProtobuf =
  (url: string): Caller =>
  async (method, request) => {
    const body = toBinary(method.input, create(method.input, request));
    const headers = { "content-type": "application/x-protobuf" };
    const answer = await fetch(url + PATHS.get(method), { method: "POST", headers, body });
    expect(answer.headers.get("content-type")).toBe("application/x-protobuf");
    return fromBinary(method.output, new Uint8Array(await answer.arrayBuffer()));
  };

/** Every way to make a unary call, for a server's URL. */
export const CALLERS: readonly (readonly [string, (url: string) => Caller])[] = [
  ["REST JSON", restJson],
  ["REST protobuf", restProtobuf],
  ...Object.entries(TRANSPORTS).map(([name, transport]): readonly [string, (url: string) => Caller] => [
    name,
    (url) => async (method, request) =>
      (await transport(url).unary(method, undefined, undefined, undefined, request)).message,
  ]),
];
