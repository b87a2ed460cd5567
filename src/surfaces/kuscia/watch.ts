/**
 * WatchJob: from the hub's items to frames of the wire. A frame is built once per change and shared by all watchers, as
 * a message and as the line that REST sends.
 */

import { create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  EventType,
  type WatchJobEventResponse,
  WatchJobEventResponseSchema,
  type WatchJobRequest,
  WatchJobRequestSchema,
} from "../../../gen/kuscia/proto/api/v1alpha1/kusciaapi/job_pb.js";
import { DOMAIN_ID } from "../../core/dag.js";
import { invalid, JobError } from "../../core/error.js";
import { type Actor, JOB_STATES, type JobState } from "../../core/job.js";
import { after } from "../../service.js";
import {
  type Hub,
  type JobFrame,
  type JobFrameKind,
  type WatchFilter,
  type WatchItem,
  watchItems,
  type WatchStart,
} from "../../watch.js";
import { checkText } from "../../text.js";
import { checkChosen } from "./names.js";
import { jobStatusFromView } from "./translate.js";

/** Most seconds that a watch may be asked to last; 0 asks for no end. */
export const MAX_TIMEOUT_SECONDS = 2_147_483_647n;

const FRAME_TYPES = {
  Added: EventType.ADDED,
  Modified: EventType.MODIFIED,
  Deleted: EventType.DELETED,
} as const satisfies Record<JobFrameKind, EventType>;

/** What a request asks for, checked. */
export interface WatchTerms {
  readonly filter: WatchFilter;
  readonly start: WatchStart;
  /** Null = without end. */
  readonly timeoutMs: number | null;
}

/** Throws InvalidArgument. */
export function termsOf(request: WatchJobRequest): WatchTerms {
  checkText(WatchJobRequestSchema, request);
  const { timeoutSeconds, jobIds, domain, states } = request;
  if (timeoutSeconds < 0n || timeoutSeconds > MAX_TIMEOUT_SECONDS) {
    throw invalid("timeout_seconds", `must be between 0 and ${MAX_TIMEOUT_SECONDS}, got ${timeoutSeconds}`);
  }
  checkChosen("job_ids", jobIds);
  if (domain !== "" && !DOMAIN_ID.test(domain)) throw invalid("domain", `must be a domain id, got ${JSON.stringify(domain)}`);
  return {
    filter: {
      jobIds: jobIds.length === 0 ? null : new Set(jobIds),
      domain: domain === "" ? null : domain,
      states: states.length === 0 ? null : new Set(states.map(stateFromWire)),
    },
    start: startOf(request),
    timeoutMs: timeoutSeconds === 0n ? null : Number(timeoutSeconds) * 1000,
  };
}

function stateFromWire(text: string, i: number): JobState {
  const state = JOB_STATES.find((each) => each === text);
  if (!state) throw invalid(`states[${i}]`, `must be one of ${JOB_STATES.join(", ")}, got ${JSON.stringify(text)}`);
  return state;
}

function startOf({ resumeRevision, skipSnapshot }: WatchJobRequest): WatchStart {
  if (resumeRevision < 0n) throw invalid("resume_revision", `must not be negative, got ${resumeRevision}`);
  if (resumeRevision > 0n) return { kind: "After", revision: resumeRevision };
  return { kind: skipSnapshot ? "Now" : "Present" };
}

/**
 * The frames of one watch, which is open at once: throws InvalidArgument, and ResourceExhausted. They end when its time is
 * over or after an ERROR frame, whose object's err_msg says how to go on. Taking them throws the signal's reason when that
 * aborts, and Unavailable when the hub stops by itself.
 */
export function watchFrames(
  hub: Hub,
  request: WatchJobRequest,
  actor: Actor,
  signal: AbortSignal,
): AsyncGenerator<WatchJobEventResponse> {
  const { filter, start, timeoutMs } = termsOf(request);
  const end = new AbortController();
  const items = watchItems(hub, { actor, signal: end.signal, filter, start });
  let timeIsOver = false;
  const onTime = (): void => {
    timeIsOver = true;
    end.abort();
  };
  const cancelTimer = timeoutMs === null ? undefined : after(timeoutMs, onTime);
  // All is let go here, since a caller that is cut off in the middle of a write may never come back for the end.
  const onAbort = (): void => {
    cancelTimer?.();
    end.abort(signal.reason);
  };
  if (signal.aborted) onAbort();
  signal.addEventListener("abort", onAbort, { once: true });
  return take();

  async function* take(): AsyncGenerator<WatchJobEventResponse> {
    try {
      for await (const item of items) {
        yield frameFromItem(item);
        if (item.kind === "Error") return;
      }
    } finally {
      cancelTimer?.();
      signal.removeEventListener("abort", onAbort);
      // Also where the caller has stopped reading: the hub may let go at once.
      end.abort();
    }
    if (signal.aborted) throw signal.reason;
    if (!timeIsOver) throw new JobError("Unavailable", "the watch has ended; start it again");
  }
}

const framesSoFar = new WeakMap<JobFrame, WatchJobEventResponse>();

export function frameFromItem(item: WatchItem): WatchJobEventResponse {
  if (item.kind === "Heartbeat" || item.kind === "Error") return create(WatchJobEventResponseSchema, frameInit(item));
  const known = framesSoFar.get(item);
  if (known) return known;
  const frame = create(WatchJobEventResponseSchema, frameInit(item));
  framesSoFar.set(item, frame);
  return frame;
}

/** What a frame is made of, for who encodes it at once. */
export function frameInit(item: WatchItem): MessageInitShape<typeof WatchJobEventResponseSchema> {
  const { kind, revision } = item;
  if (kind === "Heartbeat") return { type: EventType.HEARTBEAT, revision };
  if (kind === "Error") return { type: EventType.ERROR, object: { status: { errMsg: item.message } }, revision };
  return {
    type: FRAME_TYPES[item.kind],
    object: jobStatusFromView(item.view),
    ...(item.inSnapshot ? { snapshotRevision: revision } : { revision }),
    coalescedFrom: item.from,
  };
}
