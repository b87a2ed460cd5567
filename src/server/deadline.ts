/**
 * A unary call that is not done when its deadline passes is answered `deadline_exceeded`, whether its handler looks at its
 * signal or not: nobody waits for its answer. What the handler has begun goes on. A call whose deadline has passed before
 * its handler is entered does nothing.
 */

import type { DescMethodUnary } from "@bufbuild/protobuf";
import { Code, ConnectError, type MethodImpl } from "@connectrpc/connect";

export const timedOut = (): ConnectError => new ConnectError("the operation timed out", Code.DeadlineExceeded);

type Implementation = MethodImpl<DescMethodUnary>;

/** `onLate` is told what a handler throws that nobody waits for any more. */
export function withDeadline(implementation: Implementation, onLate: (error: unknown) => void): Implementation {
  return (request, context) => {
    const left = context.timeoutMs();
    if (left === undefined) return implementation(request, context);
    if (left <= 0) throw timedOut();
    return new Promise((resolve, reject) => {
      let isLate = false;
      const timer = setTimeout(() => {
        isLate = true;
        reject(timedOut());
      }, left);
      const handle = async () => implementation(request, context);
      handle()
        .finally(() => clearTimeout(timer))
        .then(resolve, (error: unknown) => (isLate ? onLate(error) : reject(error)));
    });
  };
}
