/**
 * Where apps report how far they are (Kuscia's progress reporter: bounds, codes and the word `ignored`). The
 * unguessable uid of the attempt in the path is the credential.
 */

import type { Logger } from "pino";
import { JobError } from "../../core/error.js";
import type { Jobs } from "../../jobs.js";
import type { RestResponse, RestRoute } from "../../surface.js";

const INVALID = 3000;
const UNEXPECTED = 3001;

export function progressRoute(jobs: Pick<Jobs, "progress">, log: Logger): RestRoute {
  return {
    method: "POST",
    path: "/v1/attempts/{attempt_uid}/progress",
    open: true,
    async handle({ parameters, body }) {
      const progress = progressOf(body);
      if (progress === undefined) return answer(400, INVALID, "progress: must be a number from 0 to 1");
      try {
        const taken = await jobs.progress(parameters.attempt_uid ?? "", progress);
        return answer(200, 0, taken ? "success" : "ignored");
      } catch (error) {
        if (error instanceof JobError && error.reason === "NotFound") return answer(404, INVALID, error.message);
        if (error instanceof JobError && error.reason === "InvalidArgument") return answer(400, INVALID, error.message);
        log.error({ err: error }, "a progress report failed");
        return answer(500, UNEXPECTED, "internal error");
      }
    },
  };
}

/** The number in `{"progress": 0.4}`, undefined where the body is anything else. */
function progressOf(body: Uint8Array): number | undefined {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder().decode(body));
  } catch {
    return undefined;
  }
  const progress = typeof value === "object" && value !== null && "progress" in value ? value.progress : undefined;
  return typeof progress === "number" && progress >= 0 && progress <= 1 ? progress : undefined;
}

function answer(status: number, code: number, message: string): RestResponse {
  const headers = { "content-type": "application/json; charset=utf-8" };
  return { status, headers, body: JSON.stringify({ code, message }) };
}
