/** What every server offers beside its job APIs: health, reflection, metrics, and the reports of apps. */

import type { Logger } from "pino";
import { Health } from "../../../gen/health/v1/health_pb.js";
import type { Jobs } from "../../jobs.js";
import type { Surface } from "../../surface.js";
import { registerHealth } from "./health.js";
import { progressRoute } from "./progress.js";
import { registerReflection } from "./reflection.js";

export interface SystemOptions {
  readonly jobs: Pick<Jobs, "progress">;
  readonly metrics: { readonly contentType: string; metrics(): Promise<string> };
  /** Whether the server can do its work now; true where it is left out. */
  readonly isReady?: () => boolean;
  readonly log: Logger;
}

export function createSystemSurface({ jobs, metrics, isReady = () => true, log }: SystemOptions): Surface {
  return {
    name: "system",
    openServices: [Health.typeName],
    register(router) {
      registerReflection(router);
      registerHealth(router, isReady);
    },
    routes: [
      progressRoute(jobs, log),
      {
        method: "GET",
        path: "/metrics",
        async handle({ actor }) {
          // They tell of everybody's work.
          if (actor.role === "domain") return { status: 403, headers: {}, body: "" };
          return { status: 200, headers: { "content-type": metrics.contentType }, body: await metrics.metrics() };
        },
      },
    ],
  };
}

/** The reports of apps alone, for a port that only this machine can reach. */
export function createReportSurface({ jobs, log }: Pick<SystemOptions, "jobs" | "log">): Surface {
  return { name: "reports", routes: [progressRoute(jobs, log)] };
}
