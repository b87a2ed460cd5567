/**
 * Plain unary calls, answered without the Connect router. The router defines every call and writes every error of a
 * protocol; it also needs ten times as long for a call as the handler does. So what is well-formed and asks for nothing
 * unusual is decoded, handled and encoded here, by the same implementation and with the same answer. Everything else
 * goes to the router, with the bytes that were read already: another method than POST, a compressed request, a broken
 * deadline, a body that is too long, holds too many values, is cut short, or is not one message of the method's type.
 */

import { create, type DescMessage, type DescMethodUnary } from "@bufbuild/protobuf";
import type { ConnectError, MethodImpl } from "@connectrpc/connect";
import { createMethodSerializationLookup, type MethodSerializationLookup } from "@connectrpc/connect/protocol";
import type { Logger } from "pino";
import type { Body } from "../../encoding/ascii.js";
import type { MessageInit } from "../../encoding/compile.js";
import { collect, type Collected } from "../body.js";
import { toConnectError } from "../boundary.js";
import { jsonOptions } from "../json.js";
import { CallContext } from "./context.js";
import { NO_LIMITS, requestOf } from "./decode.js";
import type { Answer, PlainFormat } from "./format.js";
import type { Incoming, CallPlan } from "./plan.js";

export interface UnaryOptions {
  readonly shutdownSignal: AbortSignal;
  readonly log: Logger;
}

export class UnaryCall {
  private readonly name: string;
  private readonly messages: MethodSerializationLookup<DescMessage, DescMessage>;

  constructor(
    private readonly method: DescMethodUnary,
    private readonly implementation: MethodImpl<DescMethodUnary>,
    private readonly options: UnaryOptions,
  ) {
    this.name = `${method.parent.typeName}/${method.name}`;
    this.messages = createMethodSerializationLookup(method, undefined, jsonOptions, NO_LIMITS);
  }

  /** Resolves when the call is answered; by `fallBack`, with what was read of its body, where the router has to. */
  async serve(plan: CallPlan, call: Incoming, fallBack: (read: Collected) => Promise<void>): Promise<void> {
    const { exchange, head, share } = call;
    const read = await collect(exchange.body, plan.maxBodyBytes, share);
    const { format } = plan;
    const request = requestOf(read, { format, head, method: this.method }, this.messages);
    if (request === undefined) return fallBack(read);
    const context = new CallContext(this.method, plan, call, this.options.shutdownSignal);
    const answer: Answer = { exchange, context, gzip: plan.gzip };
    let body: Body;
    try {
      body = this.encode(format, await this.implementation(request, context));
    } catch (thrown) {
      const error = this.translate(thrown, context);
      context.end(error);
      return format.fail(answer, error);
    }
    context.end();
    return format.succeed(answer, body);
  }

  private encode(format: PlainFormat, init: MessageInit): Body {
    const { output } = this.method;
    try {
      return format.encode(output, init);
    } catch {
      // Fails as well, in the router's words.
      return this.messages.getO(format.binary).serialize(create(output, init));
    }
  }

  private translate(error: unknown, context: CallContext): ConnectError {
    return toConnectError(error, { call: this.name, isReason: context.isReason, log: this.options.log });
  }
}
