/** The Kuscia surface: JobService, AppImageService and HealthService on every protocol, and Kuscia's own probes. */

import type { MethodImpl } from "@connectrpc/connect";
import { create, type DescMethodUnary } from "@bufbuild/protobuf";
import { HealthResponseSchema, HealthService } from "../../../gen/kuscia/proto/api/v1alpha1/kusciaapi/health_pb.js";
import { JobService } from "../../../gen/kuscia/proto/api/v1alpha1/kusciaapi/job_pb.js";
import { actorOf, type RestRoute, type Surface } from "../../surface.js";
import type { Hub } from "../../watch.js";
import { SUCCESS } from "./errors.js";
import { bodyFormat, encode, json, refuse, unaryRoute, wantsExtensions } from "./rest.js";
import { watchRoute } from "./rest-watch.js";
import { type KusciaCall, kusciaCalls, type KusciaDependencies } from "./routes.js";
import { watchFrames } from "./watch.js";
import { watchStream } from "./watch-stream.js";

export interface KusciaOptions extends KusciaDependencies {
  readonly hub: Hub;
  /** Shown by GET /version. */
  readonly version?: string;
}

export function createKusciaSurface(options: KusciaOptions): Surface {
  const calls = kusciaCalls(options);
  return {
    name: "kuscia",
    refuse,
    routes: [
      ...calls.map((call) => unaryRoute(call, options.log)),
      watchRoute(options.hub),
      ...probes(options.version ?? ""),
    ],
    sharedStreams: [watchStream(options.hub)],
    register(router) {
      for (const call of calls) router.rpc(call.method, implementation(call));
      router.rpc(HealthService.method.healthZ, () => HEALTHY);
      router.rpc(JobService.method.watchJob, (request, context) =>
        watchFrames(options.hub, request, actorOf(context), context.signal),
      );
    },
  };
}

function implementation(call: KusciaCall): MethodImpl<DescMethodUnary> {
  return (request, context) => call.answer(request, actorOf(context));
}

/** Who is not ready does not answer, so there is one answer, whatever the request says. */
const HEALTHY = create(HealthResponseSchema, { status: SUCCESS, data: { ready: true } });

function probes(version: string): RestRoute[] {
  return [
    {
      method: "POST",
      path: "/healthZ",
      handle: async (request) => encode(HealthResponseSchema, HEALTHY, bodyFormat(request.headers), wantsExtensions(request)),
    },
    { method: "GET", path: "/probe", open: true, handle: async () => json(200, { ready: true }) },
    { method: "GET", path: "/version", open: true, handle: async () => json(200, { version }) },
  ];
}
