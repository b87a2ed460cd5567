/**
 * A Connect router that also keeps the implementations of unary calls, so that they can be called without it. Both are given
 * the same ones, bound by their calls' deadlines.
 */

import type { DescMethod, DescMethodUnary, DescService } from "@bufbuild/protobuf";
import type { ConnectRouter, MethodImpl, ServiceImpl } from "@connectrpc/connect";
import { createMethodUrl, type UniversalHandler, type UniversalHandlerOptions } from "@connectrpc/connect/protocol";
import type { Logger } from "pino";
import { toConnectError } from "./boundary.js";
import { withDeadline } from "./deadline.js";

export interface UnaryImplementation {
  readonly method: DescMethodUnary;
  readonly implementation: MethodImpl<DescMethodUnary>;
}

type Options = Partial<UniversalHandlerOptions>;

export class RecordingRouter implements ConnectRouter {
  private readonly recorded = new Map<string, UnaryImplementation>();

  constructor(
    private readonly router: ConnectRouter,
    private readonly log: Logger,
  ) {}

  get handlers(): UniversalHandler[] {
    return this.router.handlers;
  }

  /** By path. Calls that were registered with options of their own are left to the router. */
  get unary(): ReadonlyMap<string, UnaryImplementation> {
    return this.recorded;
  }

  service<T extends DescService>(service: T, implementation: Partial<ServiceImpl<T>>, options?: Options): this {
    const bound: Record<string, unknown> = {};
    for (const method of service.methods) {
      const own: unknown = implementation[method.localName];
      if (typeof own === "function") bound[method.localName] = this.record(method, own.bind(implementation), options);
    }
    // Each is what was given, or that within its deadline.
    this.router.service(service, bound as Partial<ServiceImpl<T>>, options);
    return this;
  }

  rpc<M extends DescMethod>(method: M, implementation: MethodImpl<M>, options?: Options): this {
    // What was given, or that within its deadline.
    this.router.rpc(method, this.record(method, implementation, options) as MethodImpl<M>, options);
    return this;
  }

  /** What is to be registered. */
  private record(method: DescMethod, implementation: unknown, options: Options | undefined): unknown {
    if (!isUnary(method)) return implementation;
    // The router's types tie an implementation to its method's kind.
    const timely = withDeadline(implementation as MethodImpl<DescMethodUnary>, this.onLate(method));
    if (options === undefined) this.recorded.set(createMethodUrl("/", method), { method, implementation: timely });
    return timely;
  }

  /** Logs what is a fault of ours. */
  private onLate(method: DescMethodUnary): (error: unknown) => void {
    const call = `${method.parent.typeName}/${method.name}`;
    const isReason = (error: unknown): boolean => error instanceof Error && error.name === "AbortError";
    return (error) => void toConnectError(error, { call, isReason, log: this.log });
  }
}

function isUnary(method: DescMethod): method is DescMethodUnary {
  return method.methodKind === "unary";
}
