/**
 * Requests that stay open longer than their credential is good for. Each is asked again from time to time; a watch ends
 * soon after its token has expired or was taken away, or its certificate has expired.
 */

import { Code, ConnectError } from "@connectrpc/connect";
import type { Admission } from "../access.js";

export interface Standing {
  /** Calls back with `unauthenticated` once the admission holds no longer. Gives what ends that. */
  watch(admission: Admission | undefined, onEnd: (reason: ConnectError) => void): () => void;
  start(): void;
  stop(): void;
}

interface Watched {
  readonly holds: () => boolean;
  readonly onEnd: (reason: ConnectError) => void;
}

export function createStanding(everyMs: number): Standing {
  const open = new Set<Watched>();
  let timer: NodeJS.Timeout | undefined;
  return {
    watch(admission, onEnd) {
      if (admission?.kind !== "Admitted" || !admission.holds) return () => undefined;
      const watched: Watched = { holds: admission.holds, onEnd };
      open.add(watched);
      return () => open.delete(watched);
    },
    start() {
      timer ??= setInterval(() => {
        for (const watched of open) {
          if (watched.holds()) continue;
          open.delete(watched);
          watched.onEnd(new ConnectError("the credential is no longer valid", Code.Unauthenticated));
        }
      }, everyMs);
      timer.unref();
    },
    stop() {
      clearInterval(timer);
    },
  };
}
