/** Muster's own API: what no published job API offers. Finding and reading jobs, their history, and the logs of attempts. */

import type { DescMethodUnary } from "@bufbuild/protobuf";
import type { MethodImpl } from "@connectrpc/connect";
import type { Logger } from "pino";
import { encodeJson } from "../../encoding/json.js";
import { actorOf, type RestRoute, type Surface } from "../../surface.js";
import { type MusterCall, musterCalls, type MusterDependencies } from "./calls.js";
import { errorResponse } from "./errors.js";
import { requestFromQuery } from "./query-string.js";

export interface MusterOptions extends MusterDependencies {
  readonly log: Logger;
}

export function createMusterSurface({ log, ...dependencies }: MusterOptions): Surface {
  const calls = musterCalls(dependencies);
  return {
    name: "muster",
    register(router) {
      for (const call of calls) router.rpc(call.method, implementation(call));
    },
    routes: calls.flatMap((call) => (call.path === null ? [] : [routeOf(call, call.path, log)])),
  };
}

function implementation(call: MusterCall): MethodImpl<DescMethodUnary> {
  return (request, context) => call.answer(request, actorOf(context));
}

function routeOf(call: MusterCall, path: string, log: Logger): RestRoute {
  const { input, output } = call.method;
  return {
    method: "GET",
    path,
    async handle({ parameters, url, actor }) {
      try {
        const answer = await call.answer(requestFromQuery(input, parameters, url.searchParams), actor);
        return { status: 200, headers: { "content-type": "application/json; charset=utf-8" }, body: encodeJson(output, answer) };
      } catch (error) {
        return errorResponse(error, log);
      }
    },
  };
}
