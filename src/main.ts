/**
 * The composition root: the only place that knows who implements what. Services start in the order of their needs and stop
 * in the opposite one: first the door, then what writes, then the database.
 */

import cluster from "node:cluster";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { type Authenticate, createAuthenticator } from "./access.js";
import type { Config, TlsFiles } from "./config.js";
import { createEngine, type Engine } from "./engine.js";
import { lockFolder } from "./folder-lock.js";
import { createLogs } from "./logs.js";
import { isLoopback } from "./loopback.js";
import { type EmbeddedPostgres, startEmbeddedPostgres } from "./postgres.js";
import type { Runner } from "./runner.js";
import { localLogs } from "./runners/local/logs.js";
import type { LocalRunnerOptions } from "./runners/local/options.js";
import { createLocalRunner } from "./runners/local/runner.js";
import { Scheduler } from "./scheduler.js";
import { type Address, createServer } from "./server.js";
import { migrate } from "./store/migrate.js";
import { loadAppImages } from "./surfaces/kuscia/app-image-file.js";
import { createKusciaSurface } from "./surfaces/kuscia/surface.js";
import { createKylinSurface } from "./surfaces/kylin/surface.js";
import { createMusterSurface } from "./surfaces/muster/surface.js";
import { createReportSurface, createSystemSurface, type SystemOptions } from "./surfaces/system/surface.js";
import type { Log } from "./telemetry.js";
import { createTlsSource, type TlsMaterial } from "./tls.js";
import { primaryOf, startWorkers } from "./workers.js";

export interface Muster {
  /** `http://host:port`, with TLS `https://...`, that clients on this machine can use. */
  readonly url: string;
  /** Resolves with the reason when the server cannot go on by itself. */
  readonly broken: Promise<string>;
  /** Drains and ends everything; running tasks go on and are adopted by the next start. Idempotent. */
  stop(): Promise<void>;
}

const LEASE_MS = 30_000;

/** Another runner in place of the local one, which gets what that would be given. */
export type RunnerFactory = (options: LocalRunnerOptions) => Promise<Runner>;
type OnStop = (stop: () => Promise<void>) => void;

/**
 * Starts everything in this process, or, where workers are asked for, what there must be once, and them. In a worker it
 * starts what serves.
 */
export async function startMuster(
  config: Config,
  log: Log,
  version: string,
  createRunner: RunnerFactory = createLocalRunner,
): Promise<Muster> {
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
  const onStop: OnStop = (each) => stops.push(each);
  try {
    const started = cluster.isWorker ? serveOnly(config, log, version, onStop) : start(config, log, version, createRunner, onStop);
    return { ...(await started), stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function start(
  config: Config,
  log: Log,
  version: string,
  createRunner: RunnerFactory,
  onStop: OnStop,
): Promise<Omit<Muster, "stop">> {
  // Searchable, since the database and the apps of other users live below; each folder there guards itself.
  await mkdir(config.dataDirectory, { recursive: true, mode: 0o711 });
  // Attempts of this folder have one runner; a second server on it would adopt them too.
  const lock = await lockFolder(join(config.dataDirectory, "runner"));
  onStop(() => lock.release());
  // What is wrong with the files of credentials and certificates is said before anything starts.
  const door = openDoor(config, log);
  const postgres = config.databaseUrl === null ? await embeddedPostgres(config, log, onStop) : undefined;
  const connectionString = config.databaseUrl ?? postgres?.connectionString ?? "";

  const applied = await migrate(connectionString);
  if (applied.length > 0) log.info({ applied }, "migrated the database");

  const engine = createEngine({
    config,
    log,
    connectionString,
    onCommit: (commit) => scheduler.take(commit),
    onHint: ({ work }) => {
      if (work) scheduler.poke();
    },
    onStop,
  });
  const { pool, writer, hub, listener, jobs } = engine;
  if (config.appImagesDirectory !== null) {
    const loaded = await loadAppImages(config.appImagesDirectory);
    for (const image of loaded) await engine.images.put(image);
    log.info({ images: loaded.map((image) => image.name), from: config.appImagesDirectory }, "loaded app images");
  }

  const runner = await createRunner({
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
    onFault: engine.fault("scheduler"),
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
  // The door opens before work starts, since the apps of adopted and new tasks report to it.
  const { url, also } =
    config.workers === 0
      ? await serve({ config, log, version, engine, door, logs: runner, metrics: engine.metrics.registry, onStop })
      : await forkWorkers(config, log, engine, connectionString, onStop);
  if (reports) onStop(() => reports.stop());
  const reportUrl = reports ? urlOf("http", await reports.start()) : url;
  await scheduler.start();
  const workers = config.workers > 0 && { workers: config.workers };
  log.info({ listen: url, ...(also !== undefined && { listenGrpc: also }), ...workers, runner: runner.id }, "serving");
  const broken = postgres
    ? postgres.exited.then(({ code, signal }) => `the embedded Postgres ended by itself (${signal ?? `code ${code}`})`)
    : new Promise<string>(() => undefined);
  return { url, broken };
}

/** With the last worker its listening socket goes; a port that the system chose must be asked for by its number then. */
function portsKept({ listen, listenGrpc }: Config, url: string, also: string | undefined): string[] {
  const kept = (flag: string, address: Address | null, at: string | undefined): string[] =>
    address?.port !== 0 || at === undefined ? [] : [flag, `${nameInUrl(address.host)}:${new URL(at).port}`];
  return [...kept("--listen", listen, url), ...kept("--listen-grpc", listenGrpc, also)];
}

async function forkWorkers(
  config: Config,
  log: Log,
  { metrics }: Engine,
  connectionString: string,
  onStop: OnStop,
): Promise<{ url: string; also: string | undefined }> {
  const workers = await startWorkers({
    count: config.workers,
    registry: metrics.registry,
    env: { DATABASE_URL: connectionString },
    laterArguments: ({ url, also }) => portsKept(config, url, also),
    log,
  });
  onStop(() => workers.stop());
  return workers;
}

/** A worker: it serves, and leaves the rest to its primary. */
async function serveOnly(config: Config, log: Log, version: string, onStop: OnStop): Promise<Omit<Muster, "stop">> {
  const door = openDoor(config, log);
  const engine = createEngine({ config, log, connectionString: config.databaseUrl ?? "", onStop });
  const primary = primaryOf(engine.metrics.registry);
  onStop(() => engine.listener.stop());
  await engine.listener.start();
  onStop(() => engine.hub.stop());
  const logs = localLogs(config.dataDirectory);
  const metrics = primary?.metrics ?? engine.metrics.registry;
  const { url, also } = await serve({ config, log, version, engine, door, logs, metrics, onStop });
  primary?.serving(url, also);
  return { url, broken: (primary?.gone ?? Promise.resolve()).then(() => "the primary process is gone") };
}

/** How callers are told apart, and what the port shows of itself. */
interface Door {
  readonly authenticate: Authenticate;
  readonly tls: (() => TlsMaterial) | null;
}

function openDoor(config: Config, log: Log): Door {
  const authenticate = createAuthenticator({
    tokenFile: config.tokenFile,
    credentialsFile: config.credentialsFile,
    certificates: config.tls !== null && config.tls.clientCa !== null,
    domains: config.domains && new Set(config.domains.keys()),
    rateLimit: config.rateLimit,
    now: Date.now,
    onReload: (file, result) => {
      if ("error" in result) log.error({ err: result.error, file }, "the changed file is broken; the old credentials stay");
      else log.info({ file, ...result }, "took over changed credentials");
    },
  });
  return { authenticate, tls: config.tls && openTls(config.tls, log) };
}

interface Serving {
  readonly config: Config;
  readonly log: Log;
  readonly version: string;
  readonly engine: Engine;
  readonly door: Door;
  readonly logs: Pick<Runner, "readLog">;
  readonly metrics: SystemOptions["metrics"];
  readonly onStop: OnStop;
}

async function serve(serving: Serving): Promise<{ readonly url: string; readonly also: string | undefined }> {
  const { config, log, version, door, metrics, onStop } = serving;
  const { jobs, images, hub, pool, metrics: counters } = serving.engine;
  const { tls, authenticate } = door;
  const logs = createLogs({ pool, jobs, runner: serving.logs });
  const server = createServer({
    listen: config.listen,
    ...(config.listenGrpc === null ? {} : { alsoListen: config.listenGrpc }),
    ...(tls === null ? {} : { tls }),
    surfaces: [
      createKusciaSurface({ jobs, images, hub, log, version }),
      createKylinSurface({ jobs, logs, now: Date.now, version, log }),
      createMusterSurface({ jobs, logs, now: Date.now, log }),
      createSystemSurface({ jobs, metrics, log }),
    ],
    authenticate,
    maxBodyBytes: config.maxBodyBytes,
    log,
    onRequest: ({ route, protocol, status }) =>
      counters.requests.inc({ route, protocol, status: `${Math.floor(status / 100)}xx` }),
  });
  onStop(() => server.stop());
  const bound = await server.start();
  const scheme = tls === null ? "http" : "https";
  return { url: urlOf(scheme, bound), also: bound.also && urlOf(scheme, bound.also) };
}

async function embeddedPostgres(
  config: Config,
  log: Log,
  onStop: OnStop,
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
  return `${scheme}://${nameInUrl(name)}:${port}`;
}

function nameInUrl(host: string): string {
  return host.includes(":") ? `[${host}]` : host;
}
