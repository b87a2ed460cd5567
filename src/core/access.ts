/**
 * Who may do what; pure. A master sees and does everything. A domain sees the jobs it takes part in, makes jobs only
 * as their initiator (the initiator is exempt from approval, so anything else would start work at others unasked), and
 * commands by a fixed rule: the initiator everything, the other parties what ends work at their own side.
 */

import { domainsOf } from "./dag.js";
import { JobError } from "./error.js";
import type { Actor, Job, JobDefinition, Verb } from "./job.js";

const PARTY_MAY = {
  Approve: true,
  Stop: true,
  Suspend: true,
  Restart: false,
  Cancel: true,
  Delete: false,
} as const satisfies Record<Verb, boolean>;

export function maySee(actor: Actor, job: Pick<Job, "domains">): boolean {
  return actor.role !== "domain" || (actor.domain !== null && actor.domain in job.domains);
}

export function checkSubmit(actor: Actor, definition: JobDefinition): void {
  if (actor.role !== "domain") return;
  if (actor.domain === null || !domainsOf(definition).includes(actor.domain)) {
    throw new JobError("Forbidden", `domain "${actor.domain ?? ""}" takes no part in the job`, { field: "tasks" });
  }
  if (actor.domain !== definition.initiator) {
    throw new JobError("Forbidden", "initiator: a domain may create jobs only as their initiator", { field: "initiator" });
  }
}

export function checkCommand(actor: Actor, verb: Verb, job: Job): void {
  if (actor.role !== "domain") return;
  if (!maySee(actor, job)) throw new JobError("Forbidden", `domain "${actor.domain ?? ""}" takes no part in job "${job.jobId}"`);
  if (actor.domain === job.initiator || PARTY_MAY[verb]) return;
  throw new JobError("Forbidden", `only the initiator may ${verb.toLowerCase()} job "${job.jobId}"`);
}

/** Managing app images decides what can be executed, so it is the master's. */
export function checkImages(actor: Actor): void {
  if (actor.role === "domain") throw new JobError("Forbidden", "app images are managed with a master credential only");
}
