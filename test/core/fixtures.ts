/** A job kept in memory: applies moves the way the store does, whole or with the part that a report needs. */

import type { Attempt, Job, JobDefinition, JobEvent, PartyDefinition, Task, TaskRequest } from "../../src/core/job.js";
import { attemptEnded as hasEnded, NO_RETRY } from "../../src/core/job.js";
import { JobDraft, NeedsWholeJob, type Slice } from "../../src/core/moves/draft.js";
import { submit } from "../../src/core/moves/submit.js";
import { claim } from "../../src/core/moves/tasks.js";

export function party(domain: string, role = ""): PartyDefinition {
  return { domain, role, resources: null, bandwidthLimits: [] };
}

export function taskOf(alias: string, more: Partial<TaskRequest> = {}): TaskRequest {
  return {
    alias,
    taskId: `id-${alias}`,
    appImage: "image",
    parties: [party("alice"), party("bob")],
    dependencies: [],
    inputConfig: "",
    priority: 0,
    tolerable: false,
    schedule: null,
    retry: NO_RETRY,
    runTimeoutSeconds: 0,
    ...more,
  };
}

export function definitionOf(tasks: readonly TaskRequest[], more: Partial<JobDefinition> = {}): JobDefinition {
  return {
    jobId: "job",
    initiator: "alice",
    maxParallelism: 2,
    scheduleMode: "BestEffort",
    customFields: {},
    tasks,
    ...more,
  };
}

export const MASTER = { role: "master", domain: null } as const;

export class JobInMemory {
  job: Job;
  tasks: Map<number, Task>;
  attempts = new Map<string, Attempt>();
  events: JobEvent[] = [];
  deleted = false;
  now = 1_000;
  /** Moves that had to be replayed on the whole job. */
  replays = 0;
  #nextAttempt = 1;

  constructor(definition: JobDefinition, manualDomains: readonly string[] = [], replicas = 1) {
    const draft = submit({
      uid: "uid",
      definition,
      contentHash: "hash",
      surface: "test",
      actor: MASTER,
      now: this.now,
      manualDomains: new Set(manualDomains),
      launches: definition.tasks.map((task) => ({ imageDigest: "d", replicas: task.parties.map(() => replicas) })),
    });
    this.job = { ...draft.job, version: 1 };
    this.tasks = new Map(draft.tasks);
    this.events.push(...draft.events);
  }

  task(alias: string): Task {
    const task = [...this.tasks.values()].find((t) => t.definition.alias === alias);
    if (!task) throw new Error(`no task ${alias}`);
    return task;
  }

  openAttempts(): Attempt[] {
    return [...this.attempts.values()].filter((attempt) => !hasEnded(attempt));
  }

  liveTasks(): Task[] {
    return [...this.tasks.values()].filter((task) => task.live);
  }

  /** Runs a move on a fresh draft of the whole job, or of what the store reads for one task. Refusals change nothing. */
  apply<T>(move: (draft: JobDraft, now: number) => T, touch: number | "whole" = "whole"): T {
    this.now += 1;
    let draft = new JobDraft(touch === "whole" ? this.#whole() : this.#part(touch));
    let value: T;
    try {
      value = move(draft, this.now);
    } catch (error) {
      if (!(error instanceof NeedsWholeJob)) throw error;
      this.replays += 1;
      draft = new JobDraft(this.#whole());
      value = move(draft, this.now);
    }
    this.job = { ...draft.job, version: draft.job.version + 1 };
    for (const index of draft.changedTasks) this.tasks.set(index, draft.task(index));
    for (const uid of [...draft.newAttempts, ...draft.changedAttempts]) {
      const attempt = draft.attempts.get(uid);
      if (attempt) this.attempts.set(uid, attempt);
    }
    this.events.push(...draft.events);
    this.deleted ||= draft.deleted;
    return value;
  }

  /** A runner takes the task: one attempt per replica of each party. Returns their uids. */
  claim(index: number): string[] {
    const task = this.tasks.get(index);
    if (!task) throw new Error(`no task ${index}`);
    const instances = task.parties.flatMap((p) =>
      Array.from({ length: p.replicas }, (_, replica) => ({
        attemptUid: `attempt-${this.#nextAttempt++}`,
        domain: p.domain,
        role: p.role,
        replica,
        endpoints: [],
      })),
    );
    this.apply((draft, now) => claim(draft, { taskIndex: index, number: task.attempt, runner: "r", instances, now }), index);
    return instances.map((instance) => instance.attemptUid);
  }

  #whole(): Slice {
    return { job: this.job, tasks: [...this.tasks.values()], attempts: [...this.attempts.values()], complete: true };
  }

  #part(index: number): Slice {
    const touched = new Set([index, ...(this.tasks.get(index)?.dependents ?? [])]);
    const ready = [...this.tasks.values()].filter((t) => t.state === "Pending" && !t.live && t.waitingOn === 0);
    ready.sort((a, b) => b.definition.priority - a.definition.priority || a.index - b.index);
    for (const task of ready.slice(0, this.job.maxParallelism + 1)) touched.add(task.index);
    const tasks = [...touched].flatMap((i) => this.tasks.get(i) ?? []);
    const attempts = [...this.attempts.values()].filter((a) => touched.has(a.taskIndex));
    return { job: this.job, tasks, attempts, complete: false };
  }
}

export const succeeded = (attemptUid: string, now: number) =>
  ({ attemptUid, outcome: "Succeeded", reason: "None", exitCode: 0, signal: null, message: "", now }) as const;

export const failed = (attemptUid: string, now: number, message = "it broke") =>
  ({ attemptUid, outcome: "Failed", reason: "AppFailed", exitCode: 1, signal: null, message, now }) as const;

/** How the runner reports an app that it had to stop. */
export const killed = (attemptUid: string, now: number) =>
  ({ ...failed(attemptUid, now, "the app was ended by SIGTERM"), exitCode: null, signal: "SIGTERM" }) as const;
