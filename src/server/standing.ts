/**
 * Requests that stay open longer than their credential is good for. Each is asked again from time to time; a watch ends
 * soon after its token has expired or was taken away, or its certificate has expired.
 */

import { Code, ConnectError } from "@connectrpc/connect";
import type { Admission } from "../access.js";
import type { NodeResponse } from "./listener.js";

export interface Standing {
  /** Aborts with `unauthenticated` once the admission holds no longer. Forgotten when the response closes. */
  signalOf(admission: Admission | undefined, response: NodeResponse): AbortSignal;
  start(): void;
  stop(): void;
}

export function createStanding(everyMs: number): Standing {
  const open = new Map<AbortController, () => boolean>();
  let timer: NodeJS.Timeout | undefined;
  return {
    signalOf(admission, response) {
      const controller = new AbortController();
      if (admission?.kind === "Admitted" && admission.holds) {
        open.set(controller, admission.holds);
        response.once("close", () => open.delete(controller));
      }
      return controller.signal;
    },
    start() {
      timer ??= setInterval(() => {
        for (const [controller, holds] of open) {
          if (holds()) continue;
          open.delete(controller);
          controller.abort(new ConnectError("the credential is no longer valid", Code.Unauthenticated));
        }
      }, everyMs);
      timer.unref();
    },
    stop() {
      clearInterval(timer);
    },
  };
}
