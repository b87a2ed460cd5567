/** What a job queue of somebody else has to offer as a baseline. Adding and working happen in two processes of the same part. */

export interface QueueOptions {
  readonly databaseUrl: string;
  /** Connections of the pool. */
  readonly pool: number;
}

export interface AddOptions {
  readonly seconds: number;
  /** Adds at once; each is awaited and followed by the next. */
  readonly inFlight: number;
  /** Adds a second at a steady pace, in place of as many as can be. */
  readonly perSecond?: number;
}

export interface Added {
  readonly jobs: number;
  readonly perSecond: number;
}

export interface QueueMethods extends Readonly<Record<string, (argument: never) => unknown>> {
  /** Makes the tables where they are not there yet. */
  open(options: QueueOptions): Promise<void>;
  /** With a payload as large as the request of the usual job. */
  add(options: AddOptions): Promise<Added>;
  /** Begins to work on jobs that do nothing, so many at once, fetched and completed one by one. */
  work(concurrency: number): Promise<void>;
  /** Resolves when so many jobs have been completed since `work`, in the database. */
  done(jobs: number): Promise<void>;
  /** Milliseconds from added to started of the jobs since the last time it was asked. */
  waits(): number[];
}

export interface QueueSetting {
  readonly name: "graphile-worker" | "pg-boss";
  /** Of those tried (4 to 32) the fastest. */
  readonly pool: number;
  readonly concurrency: number;
}

export const QUEUES: readonly QueueSetting[] = [
  { name: "graphile-worker", pool: 10, concurrency: 10 },
  { name: "pg-boss", pool: 20, concurrency: 16 },
];

/** Adds until the time is over. */
export async function addUntil({ seconds, inFlight, perSecond }: AddOptions, add: () => Promise<unknown>): Promise<Added> {
  const begin = performance.now();
  const elapsed = (): number => (performance.now() - begin) / 1000;
  let begun = 0;
  let jobs = 0;
  const lane = async (): Promise<void> => {
    while (elapsed() < seconds) {
      if (perSecond !== undefined && begun >= elapsed() * perSecond) {
        await new Promise((resolve) => setTimeout(resolve, 1));
        continue;
      }
      begun += 1;
      await add();
      jobs += 1;
    }
  };
  await Promise.all(Array.from({ length: inFlight }, lane));
  return { jobs, perSecond: jobs / elapsed() };
}

/** What a worker has done, and who waits for it. */
export class Progress {
  #done = 0;
  #waits: number[] = [];
  #wanted = Infinity;
  #wake: () => void = () => undefined;

  started(addedAt: Date): void {
    this.#waits.push(Date.now() - addedAt.getTime());
  }

  completed(): void {
    this.#done += 1;
    if (this.#done >= this.#wanted) this.#wake();
  }

  until(jobs: number): Promise<void> {
    if (this.#done >= jobs) return Promise.resolve();
    this.#wanted = jobs;
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }

  takeWaits(): number[] {
    const waits = this.#waits;
    this.#waits = [];
    return waits;
  }
}
