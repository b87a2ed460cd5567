/**
 * The only reader of process.env, flags and muster.yaml. A flag beats the environment, which beats the file, which beats
 * the default. Every fault is reported at once, each with the place it came from.
 */

import { existsSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import { parse as parseYaml } from "yaml";
import { contradictions, SCALARS, schema, type Settings } from "./config/settings.js";
import type { PartyCommands } from "./core/access.js";
import { DEFAULT_LIMITS, type Limits } from "./core/dag.js";
import type { ImageCommands } from "./core/image-commands.js";
import { type RateLimit, rateLimitOf } from "./core/rate.js";

export interface DomainConfig {
  /** Folder of the domain's own data; absent = under the data directory. */
  readonly dataDirectory?: string;
  readonly approval: "auto" | "manual";
  /** Beside the rule for all domains, of what its parties run. */
  readonly imageCommands?: ImageCommands;
}

/** Absolute paths of PEM files. */
export interface TlsFiles {
  readonly cert: string;
  readonly key: string;
  /** Signs client certificates; null = none are asked for. */
  readonly clientCa: string | null;
}

export interface Config {
  readonly listen: { readonly host: string; readonly port: number };
  /** A second port for the same; null = none. */
  readonly listenGrpc: { readonly host: string; readonly port: number } | null;
  /** Where apps of this machine report their progress in cleartext; null = at `listen`. */
  readonly listenReports: { readonly host: string; readonly port: number } | null;
  /** Null = cleartext (NOTLS). */
  readonly tls: TlsFiles | null;
  /** Absolute. Holds the embedded Postgres, the domains' folders and the attempts. */
  readonly dataDirectory: string;
  /** Null = the embedded Postgres. */
  readonly databaseUrl: string | null;
  /** Absolute; null = no images from files. */
  readonly appImagesDirectory: string | null;
  /** Null = any domain that a job names. */
  readonly domains: ReadonlyMap<string, DomainConfig> | null;
  /** Absolute; null = none. Without either file and without client certificates no credential is asked for. */
  readonly tokenFile: string | null;
  readonly credentialsFile: string | null;
  readonly partyCommands: PartyCommands;
  /** For each credential; null = no limit. */
  readonly rateLimit: RateLimit | null;
  /** Watches that each credential may have open at once. */
  readonly maxWatches: number;
  /** Of images made through the API. */
  readonly imageCommands: ImageCommands;
  readonly capacity: { readonly cpu?: string; readonly memory?: string };
  readonly portRange: readonly [number, number];
  /** Where the commands of apps are looked up: the server's own PATH. */
  readonly commandPath: string | undefined;
  readonly heartbeatMs: number;
  readonly maxBodyBytes: number;
  readonly historyMs: number;
  /** Events that are kept at most, whatever their age. */
  readonly historyEvents: number;
  /** How long a job may wait for approval; null = without limit. */
  readonly approvalMs: number | null;
  /** Processes that serve the port beside this one; 0 = this one serves it. */
  readonly workers: number;
  readonly poolSize: number;
  readonly limits: Limits;
  readonly logLevel: string;
}

export class ConfigError extends Error {
  override readonly name = "ConfigError";

  constructor(readonly faults: readonly string[]) {
    super(`the configuration has ${faults.length === 1 ? "a fault" : `${faults.length} faults`}:\n  ${faults.join("\n  ")}`);
  }
}

export interface ConfigSources {
  /** Values of `--listen`, `--data`, ... without the dashes; undefined where not given. */
  readonly flags: Readonly<Record<string, string | undefined>>;
  /** The process's own where left out. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly cwd?: string;
}

type Sources = Required<ConfigSources>;

export function loadConfig(given: ConfigSources): Config {
  return parseConfig({ env: process.env, cwd: process.cwd(), ...given });
}

function parseConfig(sources: Sources): Config {
  const faults: string[] = [];
  const file = readConfigFile(sources, faults);
  const given: Record<string, unknown> = { ...file.values };
  const origin = new Map(Object.keys(file.values).map((key) => [key, `${file.name}: ${key}`]));
  for (const [key, variable] of Object.entries(SCALARS)) {
    const fromEnv = sources.env[variable];
    if (fromEnv !== undefined && fromEnv !== "") {
      given[key] = fromEnv;
      origin.set(key, variable);
    }
    const fromFlag = sources.flags[key];
    if (fromFlag !== undefined) {
      given[key] = fromFlag;
      origin.set(key, `--${key}`);
    }
  }
  nestTls(given, origin);
  const parsed = schema.safeParse(given);
  for (const issue of parsed.error?.issues ?? []) {
    const [key, ...rest] = issue.path.map(String);
    const nested = origin.get(`${key}.${rest[0]}`);
    const where = nested === undefined ? [origin.get(key ?? "") ?? file.name, ...rest] : [nested];
    faults.push(`${where.join(".")}: ${issue.message}`);
  }
  if (parsed.data) faults.push(...contradictions(parsed.data, (key) => origin.get(key) ?? key));
  if (!parsed.success || faults.length > 0) throw new ConfigError(faults);
  const { data } = parsed;
  const path = (text: string | undefined): string | null => (text === undefined ? null : resolve(sources.cwd, text));
  const domains = data.domains && Object.entries(data.domains).map(([domain, entry]) => [domain, domainFrom(entry, path)] as const);
  return Object.freeze({
    listen: data.listen,
    listenGrpc: data["listen-grpc"] ?? null,
    // A cleartext port of the server takes the reports itself.
    listenReports: data.protocol === "NOTLS" ? null : data["listen-reports"],
    tls: tlsFrom(data, path),
    dataDirectory: resolve(sources.cwd, data.data),
    databaseUrl: data["database-url"] ?? null,
    appImagesDirectory: path(data["app-images"]),
    domains: domains ? new Map(domains) : null,
    tokenFile: path(data["token-file"]),
    credentialsFile: path(data.credentials),
    partyCommands: data["party-commands"],
    rateLimit: rateLimitFrom(data["rate-limit"]),
    maxWatches: data["max-watches"],
    imageCommands: data["image-commands"],
    capacity: {
      ...(data.runner.cpu === undefined ? {} : { cpu: data.runner.cpu }),
      ...(data.runner.memory === undefined ? {} : { memory: data.runner.memory }),
    },
    portRange: data.runner.ports,
    commandPath: sources.env["PATH"],
    heartbeatMs: data["heartbeat-seconds"] * 1000,
    maxBodyBytes: data["max-body-bytes"],
    historyMs: data["history-hours"] * 3_600_000,
    historyEvents: data["history-events"],
    approvalMs: data["approval-hours"] === undefined ? null : data["approval-hours"] * 3_600_000,
    workers: data.workers,
    poolSize: data["pool-size"],
    limits: {
      ...DEFAULT_LIMITS,
      ...Object.fromEntries(Object.entries(data.limits).filter(([, value]) => value !== undefined)),
    },
    logLevel: data["log-level"],
  });
}

/** In the file these are the mapping `tls`; flags and environment are flat. */
function nestTls(given: Record<string, unknown>, origin: Map<string, string>): void {
  for (const name of ["cert", "key", "ca"]) {
    const flat = given[`tls-${name}`];
    const from = origin.get(`tls-${name}`);
    if (flat === undefined || from === undefined || from.endsWith(`: tls-${name}`)) continue;
    delete given[`tls-${name}`];
    const mapping = given["tls"];
    given["tls"] = { ...(typeof mapping === "object" ? mapping : {}), [name]: flat };
    origin.set(`tls.${name}`, from);
  }
}

function tlsFrom({ protocol, tls }: Settings, path: (text: string) => string | null): TlsFiles | null {
  const [cert, key] = [path(tls.cert ?? ""), path(tls.key ?? "")];
  if (protocol === "NOTLS" || cert === null || key === null) return null;
  return { cert, key, clientCa: protocol === "MTLS" ? path(tls.ca ?? "") : null };
}

function rateLimitFrom(given: Settings["rate-limit"]): RateLimit | null {
  if (!given) return null;
  return rateLimitOf(given["per-second"], given.burst);
}

function domainFrom(
  entry: NonNullable<Settings["domains"]>[string],
  path: (text: string | undefined) => string | null,
): DomainConfig {
  const dataDirectory = path(entry?.data);
  const imageCommands = entry?.["image-commands"];
  return {
    approval: entry?.approval ?? "auto",
    ...(dataDirectory === null ? {} : { dataDirectory }),
    ...(imageCommands === undefined ? {} : { imageCommands }),
  };
}

/** `muster.yaml` of the working directory where it exists, or the file that `--config` names. */
function readConfigFile(sources: Sources, faults: string[]): { name: string; values: Record<string, unknown> } {
  const named = sources.flags["config"] ?? sources.env["MUSTER_CONFIG"];
  const name = named ?? "muster.yaml";
  const path = resolve(sources.cwd, name);
  if (named === undefined && !existsSync(path)) return { name, values: {} };
  try {
    const parsed: unknown = parseYaml(readFileSync(path, "utf8")) ?? {};
    if (typeof parsed === "object" && parsed !== null && !Array.isArray(parsed)) return { name, values: { ...parsed } };
    faults.push(`${name}: must be a mapping of settings`);
  } catch (error) {
    faults.push(`${name}: ${error instanceof Error ? error.message : String(error)}`);
  }
  return { name, values: {} };
}
