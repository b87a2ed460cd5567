/**
 * WatchJob: from the hub's items to frames of the wire. A frame is built once per change and shared by all watchers, as
 * a message and as the line that REST sends.
 */

import { create } from "@bufbuild/protobuf";
import {
  EventType,
  type WatchJobEventResponse,
  WatchJobEventResponseSchema,
  type WatchJobRequest,
} from "../../../gen/kuscia/proto/api/v1alpha1/kusciaapi/job_pb.js";
import { invalid, JobError } from "../../core/error.js";
import type { Actor } from "../../core/job.js";
import { after } from "../../service.js";
import type { Hub, JobFrame, JobFrameKind, WatchItem } from "../../watch.js";
import { jobStatusFromView } from "./translate.js";

/** Most seconds that a watch may be asked to last; 0 asks for no end. */
export const MAX_TIMEOUT_SECONDS = 2_147_483_647n;

const FRAME_TYPES = {
  Added: EventType.ADDED,
  Modified: EventType.MODIFIED,
  Deleted: EventType.DELETED,
} as const satisfies Record<JobFrameKind, EventType>;

const HEARTBEAT = create(WatchJobEventResponseSchema, { type: EventType.HEARTBEAT });

const framesSoFar = new WeakMap<JobFrame, WatchJobEventResponse>();

/** Throws InvalidArgument where the request asks for a time that no watch can last. */
export function checkWatch({ timeoutSeconds }: WatchJobRequest): void {
  if (timeoutSeconds >= 0n && timeoutSeconds <= MAX_TIMEOUT_SECONDS) return;
  throw invalid("timeout_seconds", `must be between 0 and ${MAX_TIMEOUT_SECONDS}, got ${timeoutSeconds}`);
}

/**
 * The frames of one watch. Returns when its time is over or after an ERROR frame, whose object's err_msg says how to go
 * on. Throws the signal's reason when that aborts, and Unavailable when the hub stops by itself.
 */
export async function* watchFrames(
  hub: Hub,
  request: WatchJobRequest,
  actor: Actor,
  signal: AbortSignal,
): AsyncGenerator<WatchJobEventResponse> {
  checkWatch(request);
  const end = new AbortController();
  const onAbort = (): void => end.abort(signal.reason);
  if (signal.aborted) onAbort();
  signal.addEventListener("abort", onAbort, { once: true });
  let timeIsOver = false;
  const seconds = request.timeoutSeconds === 0n ? MAX_TIMEOUT_SECONDS : request.timeoutSeconds;
  const cancelTimer = after(Number(seconds) * 1000, () => {
    timeIsOver = true;
    end.abort();
  });
  try {
    for await (const item of hub.watch({ actor, signal: end.signal })) {
      yield frameFromItem(item);
      if (item.kind === "Error") return;
    }
  } finally {
    cancelTimer();
    signal.removeEventListener("abort", onAbort);
    // Also where the caller has stopped reading: the hub may let go at once.
    end.abort();
  }
  if (signal.aborted) throw signal.reason;
  if (!timeIsOver) throw new JobError("Unavailable", "the watch has ended; start it again");
}

function frameFromItem(item: WatchItem): WatchJobEventResponse {
  if (item.kind === "Heartbeat") return HEARTBEAT;
  if (item.kind === "Error") {
    return create(WatchJobEventResponseSchema, { type: EventType.ERROR, object: { status: { errMsg: item.message } } });
  }
  const known = framesSoFar.get(item);
  if (known) return known;
  const frame = create(WatchJobEventResponseSchema, {
    type: FRAME_TYPES[item.kind],
    object: jobStatusFromView(item.view),
  });
  framesSoFar.set(item, frame);
  return frame;
}
