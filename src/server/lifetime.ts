/**
 * How long a request may be worked on: until it is answered or its client has gone, its deadline has passed, its
 * credential holds no longer, or the server stops. Most requests are over before anybody asks, so the signal, with its
 * timer and its listeners, is made when it is first asked for.
 */

import type { Admission } from "../access.js";
import { timedOut } from "./deadline.js";
import type { Exchange } from "./exchange.js";
import type { Standing } from "./standing.js";

export interface LifetimeOptions {
  readonly exchange: Exchange;
  /** Aborted with a ConnectError when the server stops. */
  readonly shutdownSignal: AbortSignal;
  /** In milliseconds of the system's clock; absent = none. */
  readonly deadline?: number | undefined;
  /** Where the request may last longer than its credential. */
  readonly standing?: { readonly keeper: Standing; readonly admission: Admission | undefined } | undefined;
}

export class Lifetime {
  private controller: AbortController | undefined;
  private over = false;
  private release: () => void = () => undefined;

  constructor(private readonly options: LifetimeOptions) {}

  get signal(): AbortSignal {
    this.controller ??= this.watch(new AbortController());
    return this.controller.signal;
  }

  /** Whether the error is what the signal was aborted with. */
  isReason(error: unknown): boolean {
    return this.controller?.signal.aborted === true && error === this.controller.signal.reason;
  }

  /** The request is answered. */
  end(reason?: unknown): void {
    this.over = true;
    this.release();
    this.controller?.abort(reason);
  }

  private watch(controller: AbortController): AbortController {
    const { exchange, shutdownSignal, deadline, standing } = this.options;
    const left = deadline === undefined ? undefined : deadline - Date.now();
    if (this.over || exchange.isGone) controller.abort(exchange.fault);
    else if (shutdownSignal.aborted) controller.abort(shutdownSignal.reason);
    else if (left !== undefined && left <= 0) controller.abort(timedOut());
    if (controller.signal.aborted) return controller;
    const abort = (reason: unknown): void => {
      this.release();
      controller.abort(reason);
    };
    const onShutdown = (): void => abort(shutdownSignal.reason);
    const timer = left === undefined ? undefined : setTimeout(() => abort(timedOut()), left);
    const forget = standing?.keeper.watch(standing.admission, abort);
    this.release = () => {
      clearTimeout(timer);
      shutdownSignal.removeEventListener("abort", onShutdown);
      forget?.();
    };
    shutdownSignal.addEventListener("abort", onShutdown);
    exchange.onClose(() => abort(exchange.fault));
    return controller;
  }
}
