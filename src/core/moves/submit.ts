/** A new job: from a checked definition to its first state, its ready tasks opened. */

import { domainsOf, planTasks } from "../dag.js";
import type { Actor, DomainStatus, Instant, Job, JobDefinition, Task } from "../job.js";
import { approvalWait, start } from "./commands.js";
import { JobDraft } from "./draft.js";
import { moved } from "./states.js";

export interface SubmitInput {
  readonly uid: string;
  /** Checked, with defaults and every task_id filled in. */
  readonly definition: JobDefinition;
  readonly contentHash: string;
  readonly surface: string;
  readonly actor: Actor;
  readonly now: Instant;
  /** Domains that want to be asked; the initiator never is. */
  readonly manualDomains: ReadonlySet<string>;
  /** Per task: digest of its image's content, and replicas per party in definition order. */
  readonly launches: readonly { readonly imageDigest: string; readonly replicas: readonly number[] }[];
}

export function submit(input: SubmitInput): JobDraft {
  const { definition, now } = input;
  const domains: Record<string, DomainStatus> = {};
  for (const domain of domainsOf(definition)) {
    const asks = domain !== definition.initiator && input.manualDomains.has(domain);
    domains[domain] = { asked: asks, approval: asks ? "Waiting" : "JobAccepted", stage: "JobCreateStageSucceeded" };
  }
  const wait = approvalWait(domains);
  const tasks = tasksOf(input);
  const ready = tasks.filter((task) => task.waitingOn === 0).length;
  const job: Job = {
    uid: input.uid,
    jobId: definition.jobId,
    version: 0,
    initiator: definition.initiator,
    domains,
    maxParallelism: definition.maxParallelism,
    scheduleMode: definition.scheduleMode,
    customFields: definition.customFields,
    contentHash: input.contentHash,
    surface: input.surface,
    createdBy: input.actor,
    state: moved(wait ? "AwaitingApproval" : "Pending"),
    reason: wait?.reason ?? "None",
    message: wait?.message ?? "",
    since: now,
    wanted: null,
    cause: null,
    counts: { total: tasks.length, live: 0, ready, succeeded: 0, failed: 0, criticalFailed: 0 },
    begun: false,
    createdAt: now,
    updatedAt: now,
    startedAt: null,
    endedAt: null,
    interruptedMs: 0,
  };
  const draft = new JobDraft({ job, tasks, attempts: [], complete: true });
  definition.tasks.forEach((task, index) => draft.inputs.set(index, task.inputConfig));
  draft.emit({ kind: "JobCreated", time: now, actor: input.actor, to: job.state, reason: job.reason });
  if (!wait) start(draft, input.actor, now, null);
  return draft;
}

function tasksOf(input: SubmitInput): Task[] {
  const plan = planTasks(input.definition.tasks);
  return input.definition.tasks.map(({ inputConfig: _kept, ...definition }, index) => {
    const { waitingOn, dependents } = plan[index] ?? { waitingOn: 0, dependents: [] };
    const launch = input.launches[index];
    const reason = waitingOn > 0 ? "WaitingDependency" : "WaitingSlot";
    return {
      index,
      definition,
      imageDigest: launch?.imageDigest ?? "",
      waitingOn,
      dependents,
      state: moved("Pending"),
      reason,
      message: "",
      since: input.now,
      createdAt: null,
      startedAt: null,
      endedAt: null,
      progress: 0,
      attempt: 0,
      tries: 0,
      live: false,
      runner: null,
      stopping: null,
      notBefore: null,
      deadline: null,
      parties: definition.parties.map((party, i) => ({
        domain: party.domain,
        role: party.role,
        state: moved("Pending"),
        reason,
        message: "",
        since: input.now,
        endedAt: null,
        replicas: launch?.replicas[i] ?? 1,
        endpoints: [],
      })),
    } satisfies Task;
  });
}
