/** A Connect router that also keeps the implementations of unary calls, so that they can be called without it. */

import type { DescMethod, DescMethodUnary, DescService } from "@bufbuild/protobuf";
import type { ConnectRouter, MethodImpl, ServiceImpl } from "@connectrpc/connect";
import { createMethodUrl, type UniversalHandler, type UniversalHandlerOptions } from "@connectrpc/connect/protocol";

export interface UnaryImplementation {
  readonly method: DescMethodUnary;
  readonly implementation: MethodImpl<DescMethodUnary>;
}

type Options = Partial<UniversalHandlerOptions>;

export class RecordingRouter implements ConnectRouter {
  private readonly recorded = new Map<string, UnaryImplementation>();

  constructor(private readonly router: ConnectRouter) {}

  get handlers(): UniversalHandler[] {
    return this.router.handlers;
  }

  /** By path. Calls that were registered with options of their own are left to the router. */
  get unary(): ReadonlyMap<string, UnaryImplementation> {
    return this.recorded;
  }

  service<T extends DescService>(service: T, implementation: Partial<ServiceImpl<T>>, options?: Options): this {
    this.router.service(service, implementation, options);
    for (const method of service.methods) {
      const own: unknown = implementation[method.localName];
      if (typeof own === "function") this.record(method, own.bind(implementation), options);
    }
    return this;
  }

  rpc<M extends DescMethod>(method: M, implementation: MethodImpl<M>, options?: Options): this {
    this.router.rpc(method, implementation, options);
    this.record(method, implementation, options);
    return this;
  }

  private record(method: DescMethod, implementation: unknown, options: Options | undefined): void {
    if (!isUnary(method) || options !== undefined) return;
    // The router's types tie an implementation to its method's kind.
    this.recorded.set(createMethodUrl("/", method), { method, implementation: implementation as MethodImpl<DescMethodUnary> });
  }
}

function isUnary(method: DescMethod): method is DescMethodUnary {
  return method.methodKind === "unary";
}
