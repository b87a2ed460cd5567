/** In-memory stand-ins for what lies behind the surfaces, and views to show. */

import { EventEmitter, once } from "node:events";
import { JobError, jobNotFound } from "../src/core/error.js";
import { type AppImage, imageNotFound } from "../src/core/image.js";
import {
  type Actor,
  type CommandRecord,
  type JobDefinition,
  type JobRecord,
  type JobView,
  NO_RETRY,
  type Party,
  type Task,
  type TaskDefinition,
} from "../src/core/job.js";
import type { EventPage, EventQuery, JobPage, JobQuery } from "../src/core/list.js";
import { moved } from "../src/core/moves/states.js";
import type { ImagePage, Images } from "../src/images.js";
import type { ApprovalRequest, Command, CommandOptions, Jobs, QueriedJobs, Submission, Submitted } from "../src/jobs.js";
import type { LogQuery, Logs, TaskLog } from "../src/logs.js";
import type { Hub, JobFrame, OpenWatch, WatchItem, WatchOptions } from "../src/watch.js";

const CREATED = Date.UTC(2026, 0, 2, 3, 4, 5, 678);

/** A job just submitted: nothing has run yet. */
export function viewOf(definition: JobDefinition): JobView {
  const domains = new Set([definition.initiator, ...definition.tasks.flatMap((t) => t.parties.map((p) => p.domain))]);
  return {
    job: {
      uid: `uid-${definition.jobId}`,
      jobId: definition.jobId,
      version: 1,
      initiator: definition.initiator,
      domains: Object.fromEntries(
        [...domains].map((domain) => [
          domain,
          { asked: false, approval: "JobAccepted", stage: "JobCreateStageSucceeded" } as const,
        ]),
      ),
      maxParallelism: definition.maxParallelism,
      scheduleMode: definition.scheduleMode,
      customFields: definition.customFields,
      contentHash: "",
      surface: "kuscia",
      createdBy: { role: "master", domain: null },
      state: moved("Pending"),
      reason: "None",
      message: "",
      since: CREATED,
      wanted: null,
      cause: null,
      counts: { total: definition.tasks.length, live: 0, ready: 0, succeeded: 0, failed: 0, criticalFailed: 0 },
      begun: false,
      createdAt: CREATED,
      updatedAt: CREATED,
      startedAt: null,
      endedAt: null,
      interruptedMs: 0,
    },
    tasks: definition.tasks.map(taskOf),
  };
}

export function taskOf(definition: TaskDefinition, index = 0): Task {
  return {
    index,
    definition,
    imageDigest: "",
    waitingOn: 0,
    dependents: [],
    state: moved("Pending"),
    reason: "WaitingRunner",
    message: "waiting for a runner",
    since: CREATED,
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
    parties: definition.parties.map((party) => partyOf({ domain: party.domain, role: party.role })),
  };
}

export function partyOf(given: Partial<Party> & Pick<Party, "domain">): Party {
  return {
    role: "",
    state: moved("Pending"),
    reason: "WaitingRunner",
    message: "",
    since: CREATED,
    endedAt: null,
    replicas: 1,
    endpoints: [],
    ...given,
  };
}

/** One task of alice and bob. */
export function definitionOf(jobId: string): JobDefinition {
  const party = (domain: string) => ({ domain, role: "", resources: null, bandwidthLimits: [] });
  return {
    jobId,
    initiator: "alice",
    maxParallelism: 2,
    scheduleMode: "BestEffort",
    customFields: {},
    tasks: [
      {
        alias: "job-psi",
        taskId: `${jobId}-psi`,
        appImage: "psi-image",
        parties: [party("alice"), party("bob")],
        dependencies: [],
        inputConfig: "{}",
        priority: 0,
        tolerable: false,
        schedule: null,
        retry: NO_RETRY,
        runTimeoutSeconds: 0,
      },
    ],
  };
}

/** Keeps what was submitted; every call is recorded, and `failure` is thrown instead of answering. */
export class FakeJobs implements Jobs {
  readonly views = new Map<string, JobView>();
  commands: readonly CommandRecord[] = [];
  history: EventPage["events"] = [];
  readonly submitted = new Map<string, JobDefinition>();
  readonly calls: { readonly verb: string; readonly args: readonly unknown[] }[] = [];
  failure: unknown;

  async submit(submission: Submission, actor: Actor): Promise<Submitted> {
    this.record("submit", submission, actor);
    const { definition } = submission;
    if (this.views.has(definition.jobId)) {
      throw new JobError("AlreadyExists", `job "${definition.jobId}" already exists`);
    }
    this.views.set(definition.jobId, viewOf(definition));
    this.submitted.set(definition.jobId, definition);
    return { jobId: definition.jobId, repeated: false };
  }

  async query(jobId: string, actor: Actor): Promise<JobRecord> {
    this.record("query", jobId, actor);
    const inputs = this.submitted.get(jobId)?.tasks.map((task) => task.inputConfig) ?? [];
    return { ...this.view(jobId), commands: this.commands, inputs };
  }

  async queryMany(jobIds: readonly string[], actor: Actor): Promise<QueriedJobs> {
    this.record("queryMany", jobIds, actor);
    return {
      found: jobIds.flatMap((jobId) => this.views.get(jobId) ?? []),
      missing: jobIds.filter((jobId) => !this.views.has(jobId)),
    };
  }

  async list(query: JobQuery, actor: Actor): Promise<JobPage> {
    this.record("list", query, actor);
    const all = [...this.views.values()];
    const start = "offset" in query.start ? query.start.offset : Number(query.start.pageToken);
    const end = start + query.pageSize;
    const count = query.count ? { value: all.length, exact: true } : null;
    return { jobs: all.slice(start, end), nextPageToken: end < all.length ? String(end) : "", count };
  }

  async events(query: EventQuery, actor: Actor): Promise<EventPage> {
    this.record("events", query, actor);
    this.view(query.jobId);
    return { events: this.history, nextPageToken: "" };
  }

  async command(verb: Command, jobId: string, actor: Actor, reason: string, options?: CommandOptions): Promise<JobView> {
    this.record(verb, jobId, actor, reason, options);
    return this.view(jobId);
  }

  async approve(jobId: string, approval: ApprovalRequest, actor: Actor): Promise<void> {
    this.record("approve", jobId, approval, actor);
    this.view(jobId);
  }

  async progress(attemptUid: string, progress: number): Promise<boolean> {
    this.record("progress", attemptUid, progress);
    if (attemptUid !== "attempt-1") throw new JobError("NotFound", "no such attempt");
    return progress > 0.5;
  }

  /** The arguments of the last call of the verb. */
  last(verb: string): readonly unknown[] | undefined {
    return this.calls.findLast((call) => call.verb === verb)?.args;
  }

  private record(verb: string, ...args: readonly unknown[]): void {
    this.calls.push({ verb, args });
    if (this.failure !== undefined) throw this.failure;
  }

  private view(jobId: string): JobView {
    const view = this.views.get(jobId);
    if (!view) throw jobNotFound(jobId);
    return view;
  }
}

export class FakeImages implements Images {
  readonly images = new Map<string, AppImage>();

  async create(image: AppImage): Promise<void> {
    if (this.images.has(image.name)) throw new JobError("AlreadyExists", `app image "${image.name}" already exists`);
    this.images.set(image.name, image);
  }

  async update(change: Parameters<Images["update"]>[0]): Promise<void> {
    this.images.set(change.name, { ...this.get(change.name), ...change });
  }

  async put(image: AppImage): Promise<void> {
    this.images.set(image.name, image);
  }

  async remove(name: string): Promise<void> {
    this.get(name);
    this.images.delete(name);
  }

  async query(name: string): Promise<AppImage> {
    return this.get(name);
  }

  async queryMany(names: readonly string[]): Promise<readonly AppImage[]> {
    return names.map((name) => this.get(name));
  }

  async list(pageSize: number, pageToken: string): Promise<ImagePage> {
    const names = [...this.images.keys()].sort().filter((name) => name > pageToken);
    const page = names.slice(0, pageSize || 10);
    const nextPageToken = page.length < names.length ? (page.at(-1) ?? "") : "";
    return { images: page.map((name) => this.get(name)), nextPageToken };
  }

  private get(name: string): AppImage {
    const image = this.images.get(name);
    if (!image) throw imageNotFound(name);
    return image;
  }
}

/** Shows `present`, then a heartbeat, then what is emitted. `started` and `ended` tell of each watcher. */
export class FakeHub implements Hub {
  present: readonly JobFrame[] = [];
  private readonly events = new EventEmitter().setMaxListeners(0);

  open(options: WatchOptions, wake: () => void): OpenWatch {
    const queue: WatchItem[] = [...this.present, { kind: "Heartbeat", revision: 7n }];
    const { events } = this;
    let ended = false;
    const onItem = (item: WatchItem): void => {
      queue.push(item);
      wake();
    };
    const close = (): void => {
      if (ended) return;
      ended = true;
      options.signal.removeEventListener("abort", onStop);
      events.off("item", onItem).off("stop", onStop);
      events.emit("ended", options.signal);
    };
    const onStop = (): void => {
      close();
      wake();
    };
    events.on("item", onItem).on("stop", onStop);
    options.signal.addEventListener("abort", onStop, { once: true });
    events.emit("started", options);
    if (options.signal.aborted) close();
    return {
      next: () => {
        if (ended) return undefined;
        const item = queue.shift();
        if (item?.kind === "Error") close();
        return item;
      },
      get ended() {
        return ended;
      },
      close,
    };
  }

  emit(item: WatchItem): void {
    this.events.emit("item", item);
  }

  /** Ends every watch, as a hub that stops does. */
  stop(): void {
    this.events.emit("stop");
  }

  /** Ask before the watch begins. */
  async started(): Promise<WatchOptions> {
    const [options] = (await once(this.events, "started")) as [WatchOptions];
    return options;
  }

  /** Resolves with the signal of the next watch that ends. Ask before it does. */
  async ended(): Promise<AbortSignal> {
    const [signal] = (await once(this.events, "ended")) as [AbortSignal];
    return signal;
  }
}

export class FakeLogs implements Logs {
  readonly queries: { readonly query: LogQuery; readonly actor: Actor }[] = [];
  logs: readonly TaskLog[] = [];
  failure: unknown;

  async read(query: LogQuery, actor: Actor): Promise<readonly TaskLog[]> {
    this.queries.push({ query, actor });
    if (this.failure !== undefined) throw this.failure;
    if (query.jobId !== "job-1") throw jobNotFound(query.jobId);
    return this.logs;
  }
}
