/** Logs (JSON lines) and counters. A leaf: it knows no other room. */

import pino from "pino";
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from "prom-client";

export type Log = pino.Logger;

/** Lines go to stdout unless told otherwise. */
export function createLog(level: string, destination: pino.DestinationStream = pino.destination(1)): Log {
  const options: pino.LoggerOptions = {
    level,
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    serializers: { err: errorFields },
    redact: { paths: ["token", "authorization", "headers.token", "headers.authorization"], censor: "[redacted]" },
  };
  return pino(options, destination);
}

/** What is logged of an error. Its other properties may hold whole statements and connections. */
function errorFields(error: unknown): object {
  if (!(error instanceof Error)) return { type: typeof error, message: String(error) };
  const { message, stack, cause } = error;
  return {
    type: error.constructor.name,
    message,
    stack,
    ...("code" in error && { code: error.code }),
    ...("constraint" in error && { constraint: error.constraint }),
    ...(cause instanceof Error && { cause: cause.message }),
  };
}

export interface Metrics {
  readonly registry: Registry;
  readonly requests: Counter<"route" | "protocol" | "status">;
  readonly batchWrites: Histogram;
  readonly watchers: Gauge;
  readonly credentialWatchers: Gauge<"credential">;
  readonly faults: Counter<"room">;
}

/** `watchers` and `watchersByCredential` are asked when the metrics are: how many watches are open, and how many of each credential. */
export function createMetrics(watchers: () => number, watchersByCredential: () => ReadonlyMap<string, number>): Metrics {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const registers = [registry];
  return {
    registry,
    requests: new Counter({
      name: "muster_requests_total",
      help: "Requests answered, by route, protocol and HTTP status class",
      labelNames: ["route", "protocol", "status"],
      registers,
    }),
    batchWrites: new Histogram({
      name: "muster_batch_writes",
      help: "Writes that shared one database batch",
      buckets: [1, 2, 4, 8, 16, 32, 64, 128, 256],
      registers,
    }),
    watchers: new Gauge({
      name: "muster_watchers",
      help: "Open watches",
      registers,
      collect() {
        this.set(watchers());
      },
    }),
    credentialWatchers: new Gauge({
      name: "muster_credential_watchers",
      help: "Open watches of each credential that has any",
      labelNames: ["credential"],
      registers,
      collect() {
        this.reset();
        for (const [credential, count] of watchersByCredential()) this.set({ credential }, count);
      },
    }),
    faults: new Counter({ name: "muster_faults_total", help: "Faults that were logged", labelNames: ["room"], registers }),
  };
}
