/**
 * Jobs as this process saved them last. The moves of a job that runs follow one another within milliseconds, mostly in the
 * process that made the last one, so what was saved need not be read again for the next.
 *
 * Nothing rests on a kept job alone. It may have been changed elsewhere; then the save loses its compare-and-set on the
 * job's version, the job is forgotten, and the moves are made again on what is read. The same where a move changed nothing,
 * since then nothing was compared.
 *
 * Only jobs that are known as a whole and have something that lives are kept: the others are not written often.
 */

import type { Job } from "../core/job.js";
import type { JobDraft, Slice } from "../core/moves/draft.js";

/** Tasks of all kept jobs; the job that was saved longest ago goes first. */
const MOST_TASKS = 8_192;
/** No single job may push out all others. */
const MOST_SHARE = 1 / 4;

export class KeptJobs {
  readonly #jobs = new Map<string, Slice>();
  readonly #mostTasks: number;
  #tasks = 0;

  constructor(mostTasks = MOST_TASKS) {
    this.#mostTasks = mostTasks;
  }

  get(uid: string): Slice | undefined {
    return this.#jobs.get(uid);
  }

  /** `draft` is what the moves made of it, `job` the job as it was saved. */
  keep(draft: JobDraft, job: Job): void {
    const known = this.#jobs.get(job.uid);
    // Answers of two saves may come in the other order.
    if (known && known.job.version > job.version) return;
    this.forget(job.uid);
    if (!draft.complete || job.counts.live === 0 || draft.tasks.size > this.#mostTasks * MOST_SHARE) return;
    const tasks = [...draft.tasks.values()];
    // As it would be read: with the attempts that the next moves are about.
    const attempts = [...draft.attempts.values()].filter(({ taskIndex, number }) => {
      const task = draft.tasks.get(taskIndex);
      return task?.live === true && task.attempt === number;
    });
    this.#jobs.set(job.uid, { job, tasks, attempts, complete: true });
    this.#tasks += tasks.length;
    for (const uid of this.#jobs.keys()) {
      if (this.#tasks <= this.#mostTasks) break;
      this.forget(uid);
    }
  }

  forget(uid: string): void {
    this.#tasks -= this.#jobs.get(uid)?.tasks.length ?? 0;
    this.#jobs.delete(uid);
  }
}
