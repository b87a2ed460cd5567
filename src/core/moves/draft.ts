/**
 * A working copy of one job for a batch of moves. Loaded from rows, changed by moves, saved as a whole or thrown away.
 * It holds the job's head, the tasks that the moves at hand can touch, and the attempts of those tasks' present numbers.
 * A move that finds it needs more throws NeedsWholeJob before or after it wrote; the caller drops the draft, loads the
 * whole job and replays. So a report about one task costs its neighbours, not the DAG.
 *
 * Moves refuse (JobError) before they write anything.
 */

import type { Attempt, CommandRecord, Counts, Job, JobEvent, Party, Task } from "../job.js";

export class NeedsWholeJob extends Error {
  override readonly name = "NeedsWholeJob";
}

export interface Slice {
  readonly job: Job;
  readonly tasks: readonly Task[];
  readonly attempts: readonly Attempt[];
  /** True where all tasks are in. */
  readonly complete: boolean;
}

export class JobDraft {
  readonly tasks = new Map<number, Task>();
  readonly attempts = new Map<string, Attempt>();
  readonly complete: boolean;
  readonly changedTasks = new Set<number>();
  readonly changedAttempts = new Set<string>();
  readonly newAttempts = new Set<string>();
  readonly events: JobEvent[] = [];
  readonly commands: CommandRecord[] = [];
  /** What the apps are told, by task; only a new job brings it. */
  readonly inputs = new Map<number, string>();
  /** The job is to be removed; set once no attempt lives. */
  deleted = false;
  #job: Job;
  #changed = false;

  /** As it was loaded. */
  readonly origin: Slice;

  constructor(slice: Slice) {
    this.origin = slice;
    this.#job = slice.job;
    this.complete = slice.complete;
    for (const task of slice.tasks) this.tasks.set(task.index, task);
    for (const attempt of slice.attempts) this.attempts.set(attempt.uid, attempt);
  }

  get job(): Job {
    return this.#job;
  }

  get changed(): boolean {
    return this.#changed || this.deleted || this.events.length > 0 || this.changedTasks.size > 0;
  }

  requireWhole(): void {
    if (!this.complete) throw new NeedsWholeJob("the move needs every task of the job");
  }

  task(index: number): Task {
    const task = this.tasks.get(index);
    if (!task) throw new NeedsWholeJob(`task ${index} is not loaded`);
    return task;
  }

  setJob(patch: Partial<Job>): void {
    this.#job = { ...this.#job, ...patch };
    this.#changed = true;
  }

  count(delta: Partial<Counts>): void {
    const counts = { ...this.#job.counts };
    for (const key of Object.keys(delta) as (keyof Counts)[]) counts[key] += delta[key] ?? 0;
    this.setJob({ counts });
  }

  setTask(index: number, patch: Partial<Task>): Task {
    const next = { ...this.task(index), ...patch };
    this.tasks.set(index, next);
    this.changedTasks.add(index);
    return next;
  }

  setParty(index: number, which: (party: Party) => boolean, patch: Partial<Party>): void {
    const parties = this.task(index).parties.map((party) => (which(party) ? { ...party, ...patch } : party));
    this.setTask(index, { parties });
  }

  addAttempt(attempt: Attempt): void {
    this.attempts.set(attempt.uid, attempt);
    this.newAttempts.add(attempt.uid);
  }

  setAttempt(attempt: Attempt): void {
    this.attempts.set(attempt.uid, attempt);
    if (!this.newAttempts.has(attempt.uid)) this.changedAttempts.add(attempt.uid);
  }

  attemptsOf(task: Task): Attempt[] {
    return [...this.attempts.values()].filter((a) => a.taskIndex === task.index && a.number === task.attempt);
  }

  emit(event: JobEvent): void {
    this.events.push(event);
  }

  record(command: CommandRecord): void {
    this.commands.push(command);
  }
}
