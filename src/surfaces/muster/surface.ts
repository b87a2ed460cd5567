/** Muster's own API: what no published job API offers. Today: the logs of attempts. */

import { create, toJson } from "@bufbuild/protobuf";
import type { Logger } from "pino";
import {
  GetTaskLogsRequestSchema,
  type GetTaskLogsRequest,
  type GetTaskLogsResponse,
  GetTaskLogsResponseSchema,
  LogsService,
} from "../../../gen/muster/v1/logs_pb.js";
import type { Actor } from "../../core/job.js";
import type { Logs } from "../../logs.js";
import { actorOf, type Surface } from "../../surface.js";
import { checkText } from "../../text.js";
import { errorResponse } from "./errors.js";
import { logQueryFromRequest, requestFromQuery, wireFromTaskLog } from "./translate.js";

export interface MusterOptions {
  readonly logs: Logs;
  readonly log: Logger;
}

export function createMusterSurface({ logs, log }: MusterOptions): Surface {
  async function getTaskLogs(request: GetTaskLogsRequest, actor: Actor): Promise<GetTaskLogsResponse> {
    checkText(GetTaskLogsRequestSchema, request);
    const found = await logs.read(logQueryFromRequest(request), actor);
    return create(GetTaskLogsResponseSchema, { logs: found.map(wireFromTaskLog) });
  }

  return {
    name: "muster",
    register(router) {
      router.service(LogsService, { getTaskLogs: (request, context) => getTaskLogs(request, actorOf(context)) });
    },
    routes: [
      {
        method: "GET",
        path: "/v1/jobs/{job_id}/logs",
        async handle({ parameters, url, actor }) {
          try {
            const answer = await getTaskLogs(requestFromQuery(parameters.job_id ?? "", url.searchParams), actor);
            const body = toJson(GetTaskLogsResponseSchema, answer, {
              useProtoFieldName: true,
              alwaysEmitImplicit: true,
            });
            const headers = { "content-type": "application/json; charset=utf-8" };
            return { status: 200, headers, body: JSON.stringify(body) };
          } catch (error) {
            return errorResponse(error, log);
          }
        },
      },
    ],
  };
}
