/**
 * The only reader of process.env, flags and muster.yaml. A flag beats the environment, which beats the file, which beats
 * the default. Every fault is reported at once, each with the place it came from.
 */

import { existsSync, readFileSync } from "node:fs";
import { isIP } from "node:net";
import { resolve } from "node:path";
import { parse as parseYaml } from "yaml";
import { z } from "zod";
import { DEFAULT_LIMITS, type Limits } from "./core/dag.js";
import { parseQuantity } from "./core/quantity.js";

export interface DomainConfig {
  /** Folder of the domain's own data; absent = under the data directory. */
  readonly dataDirectory?: string;
  readonly approval: "auto" | "manual";
}

export interface Config {
  readonly listen: { readonly host: string; readonly port: number };
  /** Absolute. Holds the embedded Postgres, the domains' folders and the attempts. */
  readonly dataDirectory: string;
  /** Null = the embedded Postgres. */
  readonly databaseUrl: string | null;
  /** Absolute; null = no images from files. */
  readonly appImagesDirectory: string | null;
  /** Null = any domain that a job names. */
  readonly domains: ReadonlyMap<string, DomainConfig> | null;
  /** Absolute; null = no credential is asked for. */
  readonly tokenFile: string | null;
  readonly imageCommands: "any" | "none" | ReadonlySet<string>;
  readonly capacity: { readonly cpu?: string; readonly memory?: string };
  readonly portRange: readonly [number, number];
  /** Where the commands of apps are looked up: the server's own PATH. */
  readonly commandPath: string | undefined;
  readonly heartbeatMs: number;
  readonly maxBodyBytes: number;
  readonly historyMs: number;
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

/** Settings that flag, environment and file all know. */
const SCALARS = {
  listen: "MUSTER_LISTEN",
  data: "MUSTER_DATA",
  "database-url": "DATABASE_URL",
  "app-images": "MUSTER_APP_IMAGES",
  "token-file": "MUSTER_TOKEN_FILE",
  "log-level": "MUSTER_LOG_LEVEL",
  "heartbeat-seconds": "MUSTER_HEARTBEAT_SECONDS",
} as const;

const DEFAULT_LISTEN = "127.0.0.1:8082";

const quantity = z
  .union([z.string(), z.number()])
  .transform(String)
  .refine((text) => (parseQuantity(text) ?? -1) >= 0, "must be a quantity such as 2, 500m or 4Gi");

const seconds = z.coerce.number().positive().max(86_400);

const schema = z.strictObject({
  listen: z.string().default(DEFAULT_LISTEN),
  data: z.string().default(".muster"),
  "database-url": z
    .string()
    .regex(/^postgres(ql)?:\/\//, "must begin with postgres:// or postgresql://")
    .optional(),
  "app-images": z.string().optional(),
  "token-file": z.string().optional(),
  "log-level": z.enum(["fatal", "error", "warn", "info", "debug", "trace", "silent"]).default("info"),
  "heartbeat-seconds": seconds.default(10),
  "max-body-bytes": z.coerce.number().int().positive().default(64 << 20),
  "history-hours": z.coerce.number().positive().default(24 * 7),
  "pool-size": z.coerce.number().int().min(2).max(100).default(3),
  "image-commands": z.union([z.enum(["any", "none"]), z.array(z.string().min(1))]).default("any"),
  domains: z
    .record(
      z.string().regex(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/, "must be a domain id"),
      z.strictObject({ data: z.string().optional(), approval: z.enum(["auto", "manual"]).default("auto") }).nullable(),
    )
    .optional(),
  runner: z
    .strictObject({
      cpu: quantity.optional(),
      memory: quantity.optional(),
      ports: z.tuple([z.int().min(1024).max(65_535), z.int().min(1024).max(65_535)]).default([20_000, 32_767]),
    })
    .default({ ports: [20_000, 32_767] }),
  limits: z
    .strictObject({
      tasks: z.int().positive().optional(),
      dependencies: z.int().positive().optional(),
      parallelism: z.int().positive().optional(),
      parties: z.int().positive().optional(),
    })
    .default({}),
});

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
  const parsed = schema.safeParse(given);
  for (const issue of parsed.error?.issues ?? []) {
    const [key, ...rest] = issue.path.map(String);
    const where = origin.get(key ?? "") ?? file.name;
    faults.push(`${[where, ...rest].join(".")}: ${issue.message}`);
  }
  const listen = parseListen(typeof given["listen"] === "string" ? given["listen"] : DEFAULT_LISTEN);
  if (!listen) faults.push(`${origin.get("listen") ?? "listen"}: must be host:port, e.g. 127.0.0.1:8082`);
  const tokenFile = parsed.data?.["token-file"] ?? null;
  if (listen && !isLoopback(listen.host) && tokenFile === null) {
    faults.push(
      `${origin.get("listen") ?? "listen"}: ${listen.host} can be reached from other machines, so callers need a credential: ` +
        "set token-file, or listen on 127.0.0.1",
    );
  }
  if (!parsed.success || !listen || faults.length > 0) throw new ConfigError(faults);
  const { data } = parsed;
  const path = (text: string | undefined): string | null => (text === undefined ? null : resolve(sources.cwd, text));
  const domains = data.domains && Object.entries(data.domains).map(([domain, entry]) => [domain, domainFrom(entry, path)] as const);
  return Object.freeze({
    listen,
    dataDirectory: resolve(sources.cwd, data.data),
    databaseUrl: data["database-url"] ?? null,
    appImagesDirectory: path(data["app-images"]),
    domains: domains ? new Map(domains) : null,
    tokenFile: path(tokenFile ?? undefined),
    imageCommands: Array.isArray(data["image-commands"]) ? new Set(data["image-commands"]) : data["image-commands"],
    capacity: {
      ...(data.runner.cpu === undefined ? {} : { cpu: data.runner.cpu }),
      ...(data.runner.memory === undefined ? {} : { memory: data.runner.memory }),
    },
    portRange: data.runner.ports,
    commandPath: sources.env["PATH"],
    heartbeatMs: data["heartbeat-seconds"] * 1000,
    maxBodyBytes: data["max-body-bytes"],
    historyMs: data["history-hours"] * 3_600_000,
    poolSize: data["pool-size"],
    limits: {
      ...DEFAULT_LIMITS,
      ...Object.fromEntries(Object.entries(data.limits).filter(([, value]) => value !== undefined)),
    },
    logLevel: data["log-level"],
  });
}

function domainFrom(
  entry: { data?: string | undefined; approval: "auto" | "manual" } | null,
  path: (text: string | undefined) => string | null,
): DomainConfig {
  const dataDirectory = path(entry?.data);
  return { approval: entry?.approval ?? "auto", ...(dataDirectory === null ? {} : { dataDirectory }) };
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

function parseListen(text: string): { host: string; port: number } | undefined {
  const match = /^(\[[0-9a-fA-F:.]+\]|[^:\s]+):(\d{1,5})$/.exec(text);
  const port = Number(match?.[2]);
  if (!match?.[1] || !(port <= 65_535)) return undefined;
  return { host: match[1].replace(/^\[|\]$/g, ""), port };
}

export function isLoopback(host: string): boolean {
  if (host === "localhost") return true;
  return isIP(host) === 4 ? host.startsWith("127.") : host === "::1";
}
