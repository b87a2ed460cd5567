/** Every endpoint in one table: its method, its path and what it answers as `data`. No endpoint reads a body. */

import type { Logger } from "pino";
import { jobNotFound } from "../../core/error.js";
import type { Instant, JobView } from "../../core/job.js";
import type { Jobs } from "../../jobs.js";
import type { Logs } from "../../logs.js";
import type { RestRequest, RestResponse, RestRoute } from "../../surface.js";
import { act } from "./actions.js";
import { failure, refusal, success } from "./errors.js";
import { listJobs } from "./list.js";
import { JSON_TYPE, mediaTypeFor, V2_TYPE } from "./media-type.js";
import { stepOutput } from "./output.js";
import { listParameters } from "./parameters.js";
import type { ActionName } from "./states.js";
import { type JobObject, jobObject } from "./translate.js";

export interface KylinDependencies {
  readonly jobs: Pick<Jobs, "query" | "queryMany" | "list" | "command">;
  readonly logs: Logs;
  readonly now: () => Instant;
  /** The product's, shown with every job. */
  readonly version: string;
  readonly log: Logger;
}

/** What a successful answer says. */
interface Answer {
  readonly data: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

type Answerer = (request: RestRequest) => Promise<Answer>;

/** Beside a `size` that is no exact count. */
const ESTIMATED = { "muster-size": "estimated" } as const;

const JOBS = "/kylin/api/jobs";

export function kylinRoutes({ jobs, logs, now, version, log }: KylinDependencies): readonly RestRoute[] {
  const route = (method: RestRoute["method"], path: string, answer: Answerer): RestRoute => ({
    method,
    path,
    handle: (request) => respond(request, answer, log),
  });
  const shown = (view: JobView): JobObject => jobObject(view, { now: now(), version });
  const action = (method: "PUT" | "DELETE", name: ActionName): RestRoute =>
    route(method, `${JOBS}/{jobId}/${name}`, async ({ parameters, actor, signal }) => {
      return { data: shown(await act(jobs, { name, jobId: jobIdOf(parameters), actor, signal })) };
    });
  return [
    route("GET", JOBS, async ({ url, actor }) => {
      const { views, size } = await listJobs(jobs, listParameters(url.searchParams, now()), actor);
      return { data: { size: size.value, jobs: views.map(shown) }, ...(!size.exact && { headers: ESTIMATED }) };
    }),
    route("GET", `${JOBS}/{jobId}`, async ({ parameters, actor }) => {
      return { data: shown(await jobs.query(jobIdOf(parameters), actor)) };
    }),
    route("GET", `${JOBS}/{jobId}/steps/{stepId}/output`, async ({ parameters, actor }) => {
      return { data: await stepOutput({ jobs, logs }, jobIdOf(parameters), parameters.stepId ?? "", actor) };
    }),
    action("PUT", "pause"),
    action("PUT", "resume"),
    action("PUT", "cancel"),
    action("DELETE", "drop"),
  ];
}

/** A name that Postgres cannot even compare is nobody's. */
function jobIdOf({ jobId = "" }: RestRequest["parameters"]): string {
  if (jobId.includes("\0")) throw jobNotFound(jobId);
  return jobId;
}

/** What the client cannot read is not done either. */
async function respond(request: RestRequest, answer: Answerer, log: Logger): Promise<RestResponse> {
  const { url, headers } = request;
  const type = mediaTypeFor(headers.get("accept"));
  if (!type) return refusal(406, `this API answers ${V2_TYPE} and ${JSON_TYPE}`, url, JSON_TYPE);
  try {
    const { data, headers: more } = await answer(request);
    return success(data, type, more);
  } catch (error) {
    return failure(error, url, type, log);
  }
}
