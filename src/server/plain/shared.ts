/**
 * Streams whose messages are encoded once for all who watch, over gRPC on HTTP/2. The bytes go from the surface straight
 * to Node's stream; the Connect router would encode each message for each stream, one by one.
 *
 * A stream pulls: when it is woken it takes what is ready and writes it in one piece, and while the client does not keep
 * up it takes nothing, so that what waits does so in the surface, which can merge it.
 */

import type { DescMessage } from "@bufbuild/protobuf";
import { createMethodSerializationLookup, type MethodSerializationLookup } from "@connectrpc/connect/protocol";
import type { Logger } from "pino";
import type { Admission } from "../../access.js";
import type { SharedStream } from "../../surface.js";
import { collect, type Collected } from "../body.js";
import { toConnectError } from "../boundary.js";
import { Http2Exchange } from "../http2.js";
import { jsonOptions } from "../json.js";
import { Lifetime } from "../lifetime.js";
import type { Standing } from "../standing.js";
import { NO_LIMITS, requestOf } from "./decode.js";
import type { CallPlan, Incoming } from "./plan.js";
import { DueStreams, SentStream } from "./sent-stream.js";

export interface SharedOptions {
  readonly shutdownSignal: AbortSignal;
  readonly standing: Standing;
  readonly log: Logger;
}

export class SharedCall {
  private readonly name: string;
  private readonly messages: MethodSerializationLookup<DescMessage, DescMessage>;
  private readonly due = new DueStreams();

  constructor(
    private readonly shared: SharedStream,
    private readonly options: SharedOptions,
  ) {
    const { method } = shared;
    this.name = `${method.parent.typeName}/${method.name}`;
    this.messages = createMethodSerializationLookup(method, undefined, jsonOptions, NO_LIMITS);
  }

  /** Resolves when the stream is open; by `fallBack`, with what was read of its body, where the router has to answer. */
  async serve(
    plan: CallPlan,
    call: Incoming,
    admission: Admission | undefined,
    fallBack: (read: Collected) => Promise<void>,
  ): Promise<void> {
    const { exchange, actor, share } = call;
    const read = await collect(exchange.body, plan.maxBodyBytes, share);
    const request = requestOf(read, { format: plan.format, head: call.head, method: this.shared.method }, this.messages);
    if (request === undefined || actor === undefined || !(exchange instanceof Http2Exchange)) return fallBack(read);
    const { shutdownSignal, standing, log } = this.options;
    const lifetime = new Lifetime({ exchange, shutdownSignal, deadline: plan.deadline, standing: { keeper: standing, admission } });
    const { signal } = lifetime;
    const sent = new SentStream(exchange, this.due, {
      open: (wake) => this.shared.open(request, { actor, signal, wake }),
      translate: (error) => toConnectError(error, { call: this.name, isReason: (each) => lifetime.isReason(each), log }),
      onEnd: () => lifetime.end(),
    });
    sent.open();
    if (signal.aborted) sent.end(signal.reason);
    else signal.addEventListener("abort", () => sent.end(signal.reason), { once: true });
  }
}
