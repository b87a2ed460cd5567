/**
 * WatchJob over gRPC on HTTP/2: each frame is encoded once, with the prefix that gRPC puts before a message, and the same
 * bytes go to all watchers.
 */

import { isMessage, type Message } from "@bufbuild/protobuf";
import { JobService, WatchJobEventResponseSchema, WatchJobRequestSchema } from "../../../gen/kuscia/proto/api/v1alpha1/kusciaapi/job_pb.js";
import { JobError } from "../../core/error.js";
import { encodeBinary } from "../../encoding/binary.js";
import { after } from "../../service.js";
import type { OpenStream, SharedStream, SharedStreamContext } from "../../surface.js";
import type { Hub, WatchItem } from "../../watch.js";
import { frameInit, termsOf } from "./watch.js";

export function watchStream(hub: Hub): SharedStream {
  return { method: JobService.method.watchJob, open: (request, context) => openWatch(hub, request, context) };
}

function openWatch(hub: Hub, request: Message, { actor, signal, wake }: SharedStreamContext): OpenStream {
  if (!isMessage(request, WatchJobRequestSchema)) throw new JobError("Internal", "the stream is not WatchJob's");
  const { filter, start, timeoutMs } = termsOf(request);
  let cancelTimer: (() => void) | undefined;
  /** Its time is over, or it has told its Error: an end as it should be. */
  let complete = false;
  const watch = hub.open({ actor, signal, filter, start }, wake);
  if (timeoutMs !== null) {
    cancelTimer = after(timeoutMs, () => {
      complete = true;
      watch.close();
      wake();
    });
  }
  return {
    take(maxBytes) {
      const taken: Uint8Array[] = [];
      for (let bytes = 0; bytes < maxBytes; ) {
        const item = watch.next();
        if (!item) break;
        complete ||= item.kind === "Error";
        const message = bytesOf(item);
        taken.push(message);
        bytes += message.length;
      }
      return taken;
    },
    get ended() {
      if (!watch.ended) return undefined;
      if (complete) return {};
      return { error: signal.aborted ? signal.reason : new JobError("Unavailable", "the watch has ended; start it again") };
    },
    close() {
      cancelTimer?.();
      watch.close();
    },
  };
}

function bytesOf(item: WatchItem): Uint8Array {
  if (item.kind === "Heartbeat" || item.kind === "Error") return encode(item);
  if (item.encoded?.of === item) return item.encoded.bytes;
  const bytes = encode(item);
  item.encoded = { of: item, bytes };
  return bytes;
}

const PREFIX_BYTES = 5;

/** A flag (0: not compressed), the length as 32 bits, the message. */
function encode(item: WatchItem): Uint8Array {
  const bytes = encodeBinary(WatchJobEventResponseSchema, frameInit(item), PREFIX_BYTES);
  bytes[0] = 0;
  bytes.writeUInt32BE(bytes.length - PREFIX_BYTES, 1);
  return bytes;
}
