/** What a handler is told about its call. The same as the Connect router tells, made part by part when it is asked for. */

import type { DescMethod, DescService } from "@bufbuild/protobuf";
import { type ContextValues, createContextValues, type HandlerContext } from "@connectrpc/connect";
import { actorKey } from "../../surface.js";
import { clampDeadline } from "../guard.js";
import { Lifetime } from "../lifetime.js";
import type { AnswerHeaders } from "./format.js";
import type { Incoming, CallPlan } from "./plan.js";

export class CallContext implements HandlerContext, AnswerHeaders {
  private ownLifetime: Lifetime | undefined;
  private ownValues: ContextValues | undefined;
  private ownHeader: Headers | undefined;
  private ownTrailer: Headers | undefined;

  constructor(
    readonly method: DescMethod,
    private readonly plan: CallPlan,
    private readonly call: Incoming,
    private readonly shutdownSignal: AbortSignal,
  ) {}

  get service(): DescService {
    return this.method.parent;
  }

  get signal(): AbortSignal {
    return this.lifetime.signal;
  }

  get timeoutMs(): () => number | undefined {
    const { deadline } = this.plan;
    return () => (deadline === undefined ? undefined : deadline - Date.now());
  }

  get requestMethod(): string {
    return this.call.head.method;
  }

  get requestHeader(): Headers {
    const { headers } = this.call.head;
    clampDeadline(headers);
    return headers;
  }

  get protocolName(): string {
    return this.plan.format.protocolName;
  }

  get values(): ContextValues {
    this.ownValues ??= createContextValues().set(actorKey, this.call.actor);
    return this.ownValues;
  }

  get url(): string {
    return this.call.head.url.toString();
  }

  get responseHeader(): Headers {
    this.ownHeader ??= new Headers(this.plan.format.header(this.plan.gzip));
    return this.ownHeader;
  }

  get responseTrailer(): Headers {
    this.ownTrailer ??= new Headers(this.plan.format.trailer);
    return this.ownTrailer;
  }

  /** The header and trailer as the handler left them; undefined where it never looked. */
  get changed(): { readonly header: Headers | undefined; readonly trailer: Headers | undefined } {
    return { header: this.ownHeader, trailer: this.ownTrailer };
  }

  private get lifetime(): Lifetime {
    const { exchange } = this.call;
    this.ownLifetime ??= new Lifetime({ exchange, shutdownSignal: this.shutdownSignal, deadline: this.plan.deadline });
    return this.ownLifetime;
  }

  /** Whether the signal was aborted with this error. */
  get isReason(): (error: unknown) => boolean {
    return (error) => this.ownLifetime?.isReason(error) === true;
  }

  /** The handler is done. A signal that it never asked for needs no end. */
  end(reason?: unknown): void {
    this.ownLifetime?.end(reason);
  }
}
