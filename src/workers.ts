/**
 * Several processes on one port. The primary owns what there must be once: the embedded Postgres, the runner and its
 * scheduler. Workers serve, each with an engine of its own on the same database; they find each other's commits as those
 * of any other server. The primary takes each connection and hands it to one of them in turn.
 *
 * A worker that ends by itself is replaced. Workers end with their primary, however that ends.
 */

import cluster, { type Worker } from "node:cluster";
import { setTimeout as delay } from "node:timers/promises";
import { AggregatorRegistry, type MetricObjectWithValues, type MetricValue, type Registry } from "prom-client";
import type { Log } from "./telemetry.js";

/** What the processes tell each other. Counters go to the primary, which adds them up. */
type Message =
  | { readonly kind: "serving"; readonly url: string; readonly also?: string }
  | { readonly kind: "sum"; readonly id: number }
  | { readonly kind: "summed"; readonly id: number; readonly text: string }
  | { readonly kind: "count"; readonly id: number }
  | { readonly kind: "counted"; readonly id: number; readonly metrics: Metrics };
type Metrics = MetricObjectWithValues<MetricValue<string>>[];

const KINDS = ["serving", "sum", "summed", "count", "counted"] satisfies Message["kind"][];

/** Only our own programs are at the other end: a message with one of our kinds is one of ours. */
function isMessage(message: unknown): message is Message {
  return typeof message === "object" && message !== null && "kind" in message && KINDS.some((kind) => kind === message.kind);
}

export interface Workers {
  /** Where the workers serve. */
  readonly url: string;
  readonly also: string | undefined;
  /** Asks all to drain and end, and waits. Idempotent. */
  stop(): Promise<void>;
}

export interface WorkersOptions {
  readonly count: number;
  /** Of the primary's own process. */
  readonly registry: Registry;
  /** Environment variables that the workers need beside the primary's. */
  readonly env: Readonly<Record<string, string>>;
  /** Further arguments of workers that are started later, once it is known where the first ones serve. */
  readonly laterArguments: (serving: { readonly url: string; readonly also: string | undefined }) => readonly string[];
  readonly log: Log;
}

const RESTART_MS = 500;
const COUNT_MS = 2_000;
/** Longer than a worker needs to drain and to have its last writes answered. */
const STOP_MS = 40_000;

/** Resolves when all serve. Rejects where one ends before that. */
export async function startWorkers({ count, registry, env, laterArguments, log }: WorkersOptions): Promise<Workers> {
  let stopping = false;
  let asked = 0;
  const counting = new Map<number, (metrics: Metrics) => void>();
  const all = (): Worker[] => Object.values(cluster.workers ?? {}).filter((worker) => worker !== undefined);
  /** A worker may be gone before that is noticed here; its exit is told then. */
  const send = (worker: Worker, message: Message): void => void worker.send(message, () => undefined);

  /** The metrics of all processes, added up; a worker that does not answer in time is left out. */
  async function sum(): Promise<string> {
    const answers = all().map(async (worker) => {
      const id = (asked += 1);
      const answer = new Promise<Metrics>((resolve) => counting.set(id, resolve));
      send(worker, { kind: "count", id });
      const late = delay(COUNT_MS, []);
      return Promise.race([answer, late]).finally(() => counting.delete(id));
    });
    const metrics = await Promise.all([registry.getMetricsAsJSON(), ...answers]);
    return AggregatorRegistry.aggregate(metrics).metrics();
  }

  function start(): Promise<{ url: string; also: string | undefined }> {
    return new Promise((resolve, reject) => {
      const worker = cluster.fork(env);
      worker.on("message", (message: unknown) => {
        if (!isMessage(message)) return;
        if (message.kind === "serving") resolve({ url: message.url, also: message.also });
        else if (message.kind === "counted") counting.get(message.id)?.(message.metrics);
        else if (message.kind === "sum") {
          void sum().then((text) => send(worker, { kind: "summed", id: message.id, text }));
        }
      });
      // It could not be started, or not be told something; its end is told as well.
      worker.on("error", reject);
      worker.on("exit", (code, signal) => reject(new Error(`a worker ended before it served (${signal ?? `code ${code}`})`)));
    });
  }

  cluster.on("exit", (worker, code, signal) => {
    if (stopping) return;
    log.error({ pid: worker.process.pid, code, signal }, "a worker ended by itself; another one takes its place");
    setTimeout(() => {
      if (!stopping) start().catch((error: unknown) => log.error({ err: error }, "a worker could not be replaced"));
    }, RESTART_MS);
  });

  async function stop(): Promise<void> {
    stopping = true;
    await Promise.all(
      all().map(async (worker) => {
        const ended = new Promise((resolve) => worker.once("exit", resolve));
        if (worker.isDead()) return;
        worker.process.kill("SIGTERM");
        const late = setTimeout(() => worker.process.kill("SIGKILL"), STOP_MS);
        await ended;
        clearTimeout(late);
      }),
    );
  }

  try {
    const [first] = await Promise.all(Array.from({ length: count }, start));
    if (!first) throw new Error("there are no workers");
    cluster.setupPrimary({ args: [...process.argv.slice(2), ...laterArguments(first)] });
    return { ...first, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

export interface Primary {
  /** Told once this worker serves. */
  serving(url: string, also: string | undefined): void;
  /** The metrics of all processes. */
  readonly metrics: { readonly contentType: string; metrics(): Promise<string> };
  /** Resolves when the primary is gone. */
  readonly gone: Promise<void>;
}

/** The other end, in a worker. Undefined in a process that is none. */
export function primaryOf(registry: Registry): Primary | undefined {
  if (!cluster.isWorker) return undefined;
  const waiting = new Map<number, (text: string) => void>();
  let asked = 0;
  // A primary that is gone is noticed by the end of the tie to it.
  const send = (message: Message): void => void process.send?.(message, undefined, undefined, () => undefined);
  process.on("message", (message: unknown) => {
    if (!isMessage(message)) return;
    if (message.kind === "summed") waiting.get(message.id)?.(message.text);
    if (message.kind !== "count") return;
    const { id } = message;
    void registry.getMetricsAsJSON().then((metrics) => send({ kind: "counted", id, metrics }));
  });
  return {
    serving: (url, also) => send({ kind: "serving", url, ...(also !== undefined && { also }) }),
    metrics: {
      contentType: registry.contentType,
      metrics: async () => {
        const id = (asked += 1);
        const answer = new Promise<string>((resolve) => waiting.set(id, resolve));
        send({ kind: "sum", id });
        return answer.finally(() => waiting.delete(id));
      },
    },
    gone: new Promise((resolve) => process.once("disconnect", resolve)),
  };
}
