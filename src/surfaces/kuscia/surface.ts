/** The Kuscia surface: JobService and AppImageService on every protocol, and Kuscia's own probes. */

import type { MethodImpl } from "@connectrpc/connect";
import type { DescMethodUnary } from "@bufbuild/protobuf";
import { JobService } from "../../../gen/kuscia/proto/api/v1alpha1/kusciaapi/job_pb.js";
import { actorOf, type RestRoute, type Surface } from "../../surface.js";
import type { Hub } from "../../watch.js";
import { json, refuse, unaryRoute } from "./rest.js";
import { watchRoute } from "./rest-watch.js";
import { type KusciaCall, kusciaCalls, type KusciaDependencies } from "./routes.js";
import { watchFrames } from "./watch.js";

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
    register(router) {
      for (const call of calls) router.rpc(call.method, implementation(call));
      router.rpc(JobService.method.watchJob, (request, context) =>
        watchFrames(options.hub, request, actorOf(context), context.signal),
      );
    },
  };
}

function implementation(call: KusciaCall): MethodImpl<DescMethodUnary> {
  return (request, context) => call.answer(request, actorOf(context));
}

function probes(version: string): RestRoute[] {
  const ready = json(200, { status: { code: 0, message: "success", details: [] }, data: { ready: true } });
  return [
    { method: "POST", path: "/healthZ", handle: async () => ready },
    { method: "GET", path: "/probe", open: true, handle: async () => json(200, { ready: true }) },
    { method: "GET", path: "/version", open: true, handle: async () => json(200, { version }) },
  ];
}
