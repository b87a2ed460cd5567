/** What every process that serves, or schedules, has of the engine: the database, the writer, the hub and the verbs. */

import type { Config } from "./config.js";
import { createImages, type Images } from "./images.js";
import { createJobs, type Jobs } from "./jobs.js";
import { Writer } from "./store/batch.js";
import type { Commit } from "./store/changes.js";
import { type Hint, Listener } from "./store/listen.js";
import { createPool, type Pool } from "./store/pool.js";
import { createMetrics, type Log, type Metrics } from "./telemetry.js";
import { WatchHub } from "./watch.js";

export interface Engine {
  readonly metrics: Metrics;
  readonly pool: Pool;
  readonly writer: Writer;
  readonly hub: WatchHub;
  readonly jobs: Jobs;
  readonly images: Images;
  readonly listener: Listener;
  /** What a fault of a room does: it is counted and logged. */
  fault(room: string): (error: unknown) => void;
}

export interface EngineOptions {
  readonly config: Config;
  readonly log: Log;
  readonly connectionString: string;
  /** What this process commits. */
  readonly onCommit?: (commit: Commit) => void;
  /** What another process may have committed. */
  readonly onHint?: (hint: Hint) => void;
  readonly onStop: (stop: () => Promise<void>) => void;
}

/** How long a lost notification may go unnoticed. */
const POLL_MS = 5_000;

/** The listener and the hub are stopped by who starts the listener; all else by `onStop`. */
export function createEngine({ config, log, connectionString, onCommit, onHint, onStop }: EngineOptions): Engine {
  const metrics = createMetrics(
    () => hub.watchers,
    () => hub.watchersByCredential,
  );
  const fault =
    (room: string) =>
    (error: unknown): void => {
      metrics.faults.inc({ room });
      log.error({ err: error, room }, "fault");
    };
  const pool = createPool({ connectionString, size: config.poolSize, onError: fault("pool") });
  onStop(() => pool.end());
  const writer = new Writer({
    pool,
    now: Date.now,
    onBatch: (writes) => metrics.batchWrites.observe(writes),
    onCommit: (commit) => {
      hub.take(commit);
      onCommit?.(commit);
    },
    onFault: fault("writer"),
  });
  onStop(() => writer.close());
  const hub = new WatchHub({ pool, heartbeatMs: config.heartbeatMs, maxWatches: config.maxWatches, onFault: fault("watch") });
  const listener = new Listener({
    connectionString,
    pollMs: POLL_MS,
    onHint: async (hint) => {
      // What this process wrote it has handed over.
      if (hint.revision !== undefined && (await writer.wrote(hint.revision))) return;
      hub.poke(hint.revision);
      onHint?.(hint);
    },
    onFault: fault("listener"),
  });
  const known = [...(config.domains ?? [])];
  const jobs = createJobs({
    pool,
    writer,
    limits: config.limits,
    domains: config.domains && new Set(config.domains.keys()),
    manualDomains: new Set(known.filter(([, domain]) => domain.approval === "manual").map(([domain]) => domain)),
    partyCommands: config.partyCommands,
    imageRules: {
      everywhere: config.imageCommands,
      byDomain: new Map(known.map(([domain, { imageCommands = "any" }]) => [domain, imageCommands])),
    },
  });
  const images = createImages({ pool, commands: config.imageCommands });
  return { metrics, pool, writer, hub, jobs, images, listener, fault };
}
