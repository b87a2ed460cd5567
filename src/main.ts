/**
 * The composition root: the only place that knows who implements what. Services start in the order of their needs and stop
 * in the opposite one: first the door, then what writes, then the database.
 */

import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { createAuthenticator } from "./access.js";
import { type Config, isLoopback, type TlsFiles } from "./config.js";
import { lockFolder } from "./folder-lock.js";
import { createImages } from "./images.js";
import { createJobs } from "./jobs.js";
import { createLogs } from "./logs.js";
import { type EmbeddedPostgres, startEmbeddedPostgres } from "./postgres.js";
import { createLocalRunner } from "./runners/local/runner.js";
import { Scheduler } from "./scheduler.js";
import { type Address, createServer } from "./server.js";
import { Writer } from "./store/batch.js";
import { Listener } from "./store/listen.js";
import { migrate } from "./store/migrate.js";
import { createPool } from "./store/pool.js";
import { loadAppImages } from "./surfaces/kuscia/app-image-file.js";
import { createKusciaSurface } from "./surfaces/kuscia/surface.js";
import { createKylinSurface } from "./surfaces/kylin/surface.js";
import { createMusterSurface } from "./surfaces/muster/surface.js";
import { createReportSurface, createSystemSurface } from "./surfaces/system/surface.js";
import { createMetrics, type Log } from "./telemetry.js";
import { createTlsSource, type TlsMaterial } from "./tls.js";
import { WatchHub } from "./watch.js";

export interface Muster {
  /** `http://host:port`, with TLS `https://...`, that clients on this machine can use. */
  readonly url: string;
  /** Resolves with the reason when the server cannot go on by itself. */
  readonly broken: Promise<string>;
  /** Drains and ends everything; running tasks go on and are adopted by the next start. Idempotent. */
  stop(): Promise<void>;
}

const LEASE_MS = 30_000;
/** How long a lost notification may go unnoticed. */
const POLL_MS = 5_000;

export async function startMuster(config: Config, log: Log, version: string): Promise<Muster> {
  const stops: (() => Promise<void>)[] = [];
  let stopping: Promise<void> | undefined;
  const stop = (): Promise<void> => {
    stopping ??= (async () => {
      for (const each of stops.toReversed()) {
        await each().catch((error: unknown) => log.error({ err: error }, "a service did not stop well"));
      }
    })();
    return stopping;
  };
  try {
    return { ...(await start(config, log, version, (each) => stops.push(each))), stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function start(
  config: Config,
  log: Log,
  version: string,
  onStop: (stop: () => Promise<void>) => void,
): Promise<Omit<Muster, "stop">> {
  // Searchable, since the database and the apps of other users live below; each folder there guards itself.
  await mkdir(config.dataDirectory, { recursive: true, mode: 0o711 });
  // Attempts of this folder have one runner; a second server on it would adopt them too.
  const lock = await lockFolder(join(config.dataDirectory, "runner"));
  onStop(() => lock.release());
  const domains = config.domains && new Set(config.domains.keys());
  const authenticate = createAuthenticator({
    tokenFile: config.tokenFile,
    credentialsFile: config.credentialsFile,
    certificates: config.tls !== null && config.tls.clientCa !== null,
    domains,
    rateLimit: config.rateLimit,
    now: Date.now,
    onReload: (file, result) => {
      if ("error" in result) log.error({ err: result.error, file }, "the changed file is broken; the old credentials stay");
      else log.info({ file, ...result }, "took over changed credentials");
    },
  });
  const tls = config.tls && openTls(config.tls, log);
  const postgres = config.databaseUrl === null ? await embeddedPostgres(config, log, onStop) : undefined;
  const connectionString = config.databaseUrl ?? postgres?.connectionString ?? "";

  const applied = await migrate(connectionString);
  if (applied.length > 0) log.info({ applied }, "migrated the database");

  const metrics = createMetrics(() => hub.watchers);
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
      scheduler.take(commit);
    },
    onFault: fault("writer"),
  });
  onStop(() => writer.close());

  const hub = new WatchHub({
    pool,
    heartbeatMs: config.heartbeatMs,
    onFault: fault("watch"),
  });
  const manual = [...(config.domains ?? [])].filter(([, domain]) => domain.approval === "manual").map(([domain]) => domain);
  const { limits, partyCommands } = config;
  const imageRules = {
    everywhere: config.imageCommands,
    byDomain: new Map([...(config.domains ?? [])].map(([domain, { imageCommands = "any" }]) => [domain, imageCommands])),
  };
  const jobs = createJobs({ pool, writer, limits, domains, manualDomains: new Set(manual), partyCommands, imageRules });
  const images = createImages({ pool, commands: config.imageCommands });
  if (config.appImagesDirectory !== null) {
    const loaded = await loadAppImages(config.appImagesDirectory);
    for (const image of loaded) await images.put(image);
    log.info({ images: loaded.map((image) => image.name), from: config.appImagesDirectory }, "loaded app images");
  }

  const runner = await createLocalRunner({
    dataDirectory: config.dataDirectory,
    progressUrl: (attemptUid) => `${reportUrl}/v1/attempts/${attemptUid}/progress`,
    domains: config.domains,
    capacity: config.capacity,
    portRange: config.portRange,
    ...(config.commandPath === undefined ? {} : { path: config.commandPath }),
    log,
  });
  const scheduler = new Scheduler({
    pool,
    writer,
    runner,
    now: Date.now,
    leaseMs: LEASE_MS,
    history: { maxAgeMs: config.historyMs, maxEvents: config.historyEvents },
    approvalMs: config.approvalMs,
    onFault: fault("scheduler"),
  });
  const listener = new Listener({
    connectionString,
    pollMs: POLL_MS,
    onHint: async ({ work, revision }) => {
      // What this process wrote it has handed over.
      if (revision !== undefined && (await writer.wrote(revision))) return;
      hub.poke(revision);
      if (work) scheduler.poke();
    },
    onFault: fault("listener"),
  });

  const logs = createLogs({ pool, jobs, runner });
  const surfaces = [
    createKusciaSurface({ jobs, images, hub, log, version }),
    createKylinSurface({ jobs, logs, now: Date.now, version, log }),
    createMusterSurface({ jobs, logs, now: Date.now, log }),
    createSystemSurface({ jobs, metrics: metrics.registry, log }),
  ];
  const server = createServer({
    listen: config.listen,
    ...(config.listenGrpc === null ? {} : { alsoListen: config.listenGrpc }),
    ...(tls === null ? {} : { tls }),
    surfaces,
    authenticate,
    maxBodyBytes: config.maxBodyBytes,
    log,
    onRequest: ({ route, protocol, status }) => metrics.requests.inc({ route, protocol, status: `${Math.floor(status / 100)}xx` }),
  });

  // Apps hold no certificate, so they report over a cleartext port that only this machine can reach.
  const reports =
    config.listenReports &&
    createServer({
      listen: config.listenReports,
      surfaces: [createReportSurface({ jobs, log })],
      authenticate: () => ({ kind: "Unauthenticated" }),
      maxBodyBytes: config.maxBodyBytes,
      log,
    });

  onStop(() => scheduler.stop());
  onStop(() => listener.stop());
  await listener.start();
  onStop(() => hub.stop());
  onStop(() => server.stop());
  // The door opens before work starts, since the apps of adopted and new tasks report to it.
  const bound = await server.start();
  const scheme = tls === null ? "http" : "https";
  const url = urlOf(scheme, bound);
  if (reports) onStop(() => reports.stop());
  const reportUrl = reports ? urlOf("http", await reports.start()) : url;
  await scheduler.start();
  const also = bound.also && { listenGrpc: urlOf(scheme, bound.also) };
  log.info({ listen: url, ...also, runner: runner.id }, "serving");
  const broken = postgres
    ? postgres.exited.then(({ code, signal }) => `the embedded Postgres ended by itself (${signal ?? `code ${code}`})`)
    : new Promise<string>(() => undefined);
  return { url, broken };
}

async function embeddedPostgres(
  config: Config,
  log: Log,
  onStop: (stop: () => Promise<void>) => void,
): Promise<EmbeddedPostgres> {
  const postgres = await startEmbeddedPostgres({
    dataDirectory: join(config.dataDirectory, "postgres"),
    log: (line) => log.info({ postgres: line }, "embedded Postgres"),
  });
  onStop(() => postgres.stop());
  return postgres;
}

function openTls(files: TlsFiles, log: Log): () => TlsMaterial {
  return createTlsSource({
    files,
    now: Date.now,
    onReload: (error) => {
      if (error === undefined) log.info("took over a changed certificate");
      else log.error({ err: error }, "the changed certificate files cannot be used; the old ones stay");
    },
  });
}

/** A wildcard address is reached over loopback from here. */
function urlOf(scheme: "http" | "https", { host, port }: Address): string {
  const wildcard = host === "0.0.0.0" || host === "::";
  const name = wildcard || (isLoopback(host) && host !== "::1") ? "127.0.0.1" : host;
  return `${scheme}://${name.includes(":") ? `[${name}]` : name}:${port}`;
}
