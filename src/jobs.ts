/**
 * The waist: the verbs of a job. Every surface ends here with plain values, and nothing below knows a protocol.
 * A verb that answers has been committed. Every verb throws JobError and nothing else that a caller should see.
 */

import { hash, randomBytes, randomFillSync, randomUUID } from "node:crypto";
import { v7 as uuid, validate as isUuid } from "uuid";
import { checkCommand, checkSubmit, maySee, type PartyCommands } from "./core/access.js";
import { contentOf } from "./core/content.js";
import { checkDefinition, domainsOf, type Limits } from "./core/dag.js";
import { invalid, JobError, jobNotFound, quoted } from "./core/error.js";
import { templateForRole } from "./core/image.js";
import { checkPartyCommands, type ImageRules } from "./core/image-commands.js";
import { type Actor, actorName, type Instant, type JobDefinition, type JobRecord, type JobState, type JobView, type TaskRequest, type Verb } from "./core/job.js";
import type { EventPage, EventQuery, JobPage, JobQuery } from "./core/list.js";
import { approve, command, type ShownRules } from "./core/moves/commands.js";
import type { JobDraft } from "./core/moves/draft.js";
import { submit } from "./core/moves/submit.js";
import { reportProgress } from "./core/moves/tasks.js";
import type { CreateContext, Writer } from "./store/batch.js";
import { createLists } from "./store/lists.js";
import type { Pool } from "./store/pool.js";
import { Records } from "./store/records.js";
import { viewsByJobId } from "./store/views.js";
import { attemptByUid } from "./store/work.js";

/** A job as a client asks for it: ids that it left out are empty strings, numbers that it left out are 0. */
export interface Submission {
  readonly definition: JobDefinition;
  /** The language it was made through, e.g. `kuscia`. */
  readonly surface: string;
  /** The client's own id of the request: under it, a repeat is answered as the first time, also after the job is gone. */
  readonly requestId?: string;
}

export interface Submitted {
  readonly jobId: string;
  /** True where the same job with the same content was there already. */
  readonly repeated: boolean;
}

export interface QueriedJobs {
  /** In the order asked for. */
  readonly found: readonly JobView[];
  /** Asked for but absent, or not for this caller to see; in the order asked for. */
  readonly missing: readonly string[];
}

export type Command = Exclude<Verb, "Approve">;

export interface CommandOptions {
  /** The surface's own narrower rule: states from which it allows the command at all (repeats are judged first). */
  readonly onlyFrom?: readonly JobState[];
  /** The surface's own table by the status that it shows, in which repeats have their place too. */
  readonly rules?: ShownRules;
}

export interface ApprovalRequest {
  readonly decision: "JobAccepted" | "JobRejected";
  /** Free text of the caller, may be empty. */
  readonly reason: string;
  /** The content that the decision is about; absent where the caller does not say. */
  readonly contentHash?: string;
}

export interface Jobs {
  /** Errors: InvalidArgument (an unknown image too), AlreadyExists, Forbidden. */
  submit(submission: Submission, actor: Actor): Promise<Submitted>;
  /** Errors: NotFound, also for a job that the caller may not see. */
  query(jobId: string, actor: Actor): Promise<JobRecord>;
  /** One database round, all jobs as of one moment. */
  queryMany(jobIds: readonly string[], actor: Actor): Promise<QueriedJobs>;
  /** The jobs that the caller may see and the filter lets through. Errors: InvalidArgument. */
  list(query: JobQuery, actor: Actor): Promise<JobPage>;
  /** The history of a job. Errors: InvalidArgument, NotFound. */
  events(query: EventQuery, actor: Actor): Promise<EventPage>;
  /**
   * The job as the command left it; of a Delete, as it was before. Errors: NotFound, Forbidden, IllegalMove. Repeating the
   * command that caused the present state changes nothing.
   */
  command(verb: Command, jobId: string, actor: Actor, reason: string, options?: CommandOptions): Promise<JobView>;
  /** Errors: as `command`; the opposite of an earlier decision, and another content than `contentHash`, are IllegalMove. */
  approve(jobId: string, approval: ApprovalRequest, actor: Actor): Promise<void>;
  /** An app's own progress in [0, 1]; one that is not above the stored is ignored (false). Errors: NotFound, InvalidArgument. */
  progress(attemptUid: string, progress: number): Promise<boolean>;
}

export interface JobsOptions {
  readonly pool: Pool;
  readonly writer: Writer;
  readonly limits: Limits;
  /** Domains that may be named; null = any. */
  readonly domains: ReadonlySet<string> | null;
  /** Domains that approve by hand. */
  readonly manualDomains: ReadonlySet<string>;
  /** `safe` where left out. */
  readonly partyCommands?: PartyCommands;
  /** Any command may run where left out. */
  readonly imageRules?: ImageRules;
}

const REQUEST_ID = /^[^\p{Cc}\p{Cs}]{0,128}$/u;

export function createJobs(options: JobsOptions): Jobs {
  const { pool, writer } = options;
  const records = new Records(pool);
  const lists = createLists(pool);
  return {
    async submit(submission, actor) {
      const asked = checkDefinition(submission.definition, options.limits);
      checkKnownDomains(asked, options.domains);
      checkSubmit(actor, asked);
      const { requestId = "" } = submission;
      if (!REQUEST_ID.test(requestId)) throw invalid("request_id", "must be at most 128 characters without control characters");
      const content = contentOf(asked);
      const contentHash = hash("sha256", content);
      const definition = withTaskIds(asked);
      const { repeated } = await writer.create({
        jobId: definition.jobId,
        contentHash,
        images: [...new Set(definition.tasks.map((task) => task.appImage))],
        taskIds: asked.tasks.map((task) => task.taskId).filter((taskId) => taskId !== ""),
        request: requestId === "" ? null : { caller: actorName(actor), id: requestId },
        bytes: content.length,
        build: (context) => {
          const launches = resolveLaunches(asked, context, actor, options.imageRules);
          const { surface } = submission;
          const { manualDomains } = options;
          return submit({ uid: newUid(context.now), definition, contentHash, surface, actor, now: context.now, manualDomains, launches });
        },
      });
      return { jobId: definition.jobId, repeated };
    },

    async query(jobId, actor) {
      const record = await records.byJobId(jobId);
      // A job that the caller may not see reads like one that is not there.
      if (!record || !maySee(actor, record.job)) throw jobNotFound(jobId);
      return record;
    },

    async queryMany(jobIds, actor) {
      const { views } = await viewsByJobId(pool, [...new Set(jobIds)]);
      const visible = new Map(views.filter((v) => maySee(actor, v.job)).map((view) => [view.job.jobId, view]));
      const found = jobIds.flatMap((jobId) => visible.get(jobId) ?? []);
      return { found, missing: jobIds.filter((jobId) => !visible.has(jobId)) };
    },

    list: lists.list,

    async events(query, actor) {
      const [view] = (await viewsByJobId(pool, [query.jobId])).views;
      if (!view || !maySee(actor, view.job)) throw jobNotFound(query.jobId);
      return lists.events(query, view.job.uid, actor);
    },

    async command(verb, jobId, actor, reason, { onlyFrom, rules } = {}) {
      let tried: Instant | undefined;
      return writer.change({
        target: { jobId },
        touch: "whole",
        move: (draft, now) => {
          checkCommand(actor, verb, draft.job, options.partyCommands);
          // A move is made again where it is not known whether it was saved: its own effect is no reason to refuse it.
          const ownEffect = draft.job.cause === verb && draft.job.since === tried;
          const input = { actor, reason, now, ...(onlyFrom && { onlyFrom }), ...(rules && !ownEffect && { rules }) };
          const before = viewOf(draft);
          if (command(draft, verb, input) === "applied") tried = now;
          return verb === "Delete" ? before : viewOf(draft);
        },
      });
    },

    async approve(jobId, approval, actor) {
      await writer.change({
        target: { jobId },
        touch: "whole",
        move: (draft, now) => {
          checkCommand(actor, "Approve", draft.job);
          return approve(draft, { ...approval, actor, now });
        },
      });
    },

    async progress(attemptUid, progress) {
      if (!(progress >= 0 && progress <= 1)) throw invalid("progress", "must be a number from 0 to 1");
      const attempt = isUuid(attemptUid) ? await attemptByUid(pool, attemptUid) : undefined;
      if (!attempt) throw new JobError("NotFound", "no such attempt");
      return writer.change({
        target: { uid: attempt.jobUid },
        touch: attempt.taskIndex,
        move: (draft, now) => reportProgress(draft, { attemptUid, progress, now }),
      });
    },
  };
}

/** Counts the jobs of this process, from anywhere, so that those of one millisecond are in the order of their creation. */
let sequence = randomBytes(4).readUInt32BE();

/** Random bytes are asked for in one go: each call costs more than the bytes. */
const RANDOM_BYTES = 16;
const randomPool = new Uint8Array(256 * RANDOM_BYTES);
let taken = randomPool.length;

function random16(): Uint8Array {
  if (taken === randomPool.length) {
    randomFillSync(randomPool);
    taken = 0;
  }
  taken += RANDOM_BYTES;
  return randomPool.subarray(taken - RANDOM_BYTES, taken);
}

/** Begins with the job's time of creation, so the order of uids is the order of creation (lists rest on that). */
function newUid(createdAt: Instant): string {
  sequence = (sequence + 1) >>> 0;
  return uuid({ msecs: createdAt, seq: sequence, random: random16() });
}

/** Of a draft that holds the whole job. */
function viewOf(draft: JobDraft): JobView {
  return { job: draft.job, tasks: [...draft.tasks.values()].sort((a, b) => a.index - b.index) };
}

function checkKnownDomains(definition: JobDefinition, known: ReadonlySet<string> | null): void {
  if (known === null) return;
  const unknown = domainsOf(definition).find((domain) => !known.has(domain));
  if (unknown === undefined) return;
  if (unknown === definition.initiator) throw invalid("initiator", `domain "${unknown}" is not known here`);
  definition.tasks.forEach((task, i) => {
    const p = task.parties.findIndex((party) => party.domain === unknown);
    if (p >= 0) throw invalid(`tasks[${i}].parties[${p}].domain_id`, `domain "${unknown}" is not known here`);
  });
}

/** Generated as Kuscia does: `<job_id>-<12 lower-case hex digits>`. */
function withTaskIds(definition: JobDefinition): JobDefinition {
  const named = (task: TaskRequest): TaskRequest =>
    task.taskId === "" ? { ...task, taskId: `${definition.jobId}-${randomUUID().slice(-12)}` } : task;
  return { ...definition, tasks: definition.tasks.map(named) };
}

/** What only the store knows: that images and task_ids are as the request needs them. Fields are the request's own. */
function resolveLaunches(
  asked: JobDefinition,
  context: CreateContext,
  actor: Actor,
  rules: ImageRules = { everywhere: "any", byDomain: new Map() },
): { imageDigest: string; replicas: number[] }[] {
  return asked.tasks.map((task, i) => {
    const taken = task.taskId === "" ? undefined : context.takenTaskIds.get(task.taskId);
    // The owner is named only to who may see every job.
    const owner = actor.role === "domain" ? "another job" : `job "${taken}"`;
    if (taken !== undefined) throw invalid(`tasks[${i}].task_id`, `"${task.taskId}" is used by ${owner} already`);
    const resolved = context.images.get(task.appImage);
    if (!resolved) throw invalid(`tasks[${i}].app_image`, `app image ${quoted(task.appImage)} not found`);
    const replicas = task.parties.map((party, p) => {
      const field = `tasks[${i}].parties[${p}]`;
      const template = templateForRole(resolved.image, party.role);
      if (!template) throw invalid(`${field}.role`, `app image ${quoted(task.appImage)} has no deploy template for role "${party.role}"`);
      checkPartyCommands({ field, domain: party.domain, image: resolved.image, template }, rules);
      return template.replicas;
    });
    return { imageDigest: resolved.digest, replicas };
  });
}
