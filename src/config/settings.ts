/** What settings there are, each by itself and together. */

import { z } from "zod";
import { DOMAIN_ID } from "../core/dag.js";
import type { ImageCommands } from "../core/image-commands.js";
import { parseQuantity } from "../core/quantity.js";
import { isLoopback } from "../loopback.js";

/** Settings that flag, environment and file all know. */
export const SCALARS = {
  listen: "MUSTER_LISTEN",
  "listen-grpc": "MUSTER_LISTEN_GRPC",
  "listen-reports": "MUSTER_LISTEN_REPORTS",
  protocol: "MUSTER_PROTOCOL",
  "tls-cert": "MUSTER_TLS_CERT",
  "tls-key": "MUSTER_TLS_KEY",
  "tls-ca": "MUSTER_TLS_CA",
  credentials: "MUSTER_CREDENTIALS",
  data: "MUSTER_DATA",
  "database-url": "DATABASE_URL",
  "app-images": "MUSTER_APP_IMAGES",
  "token-file": "MUSTER_TOKEN_FILE",
  "log-level": "MUSTER_LOG_LEVEL",
  workers: "MUSTER_WORKERS",
  "heartbeat-seconds": "MUSTER_HEARTBEAT_SECONDS",
} as const;

const DEFAULT_LISTEN = "127.0.0.1:8082";
const DEFAULT_REPORTS = "127.0.0.1:8050";

const address = z.string().transform((text, context) => {
  const parsed = parseAddress(text);
  if (parsed) return parsed;
  context.addIssue({ code: "custom", message: "must be host:port, e.g. 127.0.0.1:8082" });
  return z.NEVER;
});

const quantity = z
  .union([z.string(), z.number()])
  .transform(String)
  .refine((text) => (parseQuantity(text) ?? -1) >= 0, "must be a quantity such as 2, 500m or 4Gi");

const seconds = z.coerce.number().positive().max(86_400);

const imageCommands = z
  .union([z.enum(["any", "none"]), z.array(z.string().min(1))], 'must be any, none or a list of commands')
  .transform((given): ImageCommands => (Array.isArray(given) ? new Set(given) : given));

/** `muster.yaml` as it may be; flags and environment are put into the same shape. */
export const schema = z.strictObject({
  listen: address.prefault(DEFAULT_LISTEN),
  "listen-grpc": address.optional(),
  "listen-reports": address.prefault(DEFAULT_REPORTS),
  protocol: z.enum(["NOTLS", "TLS", "MTLS"]).default("NOTLS"),
  tls: z.strictObject({ cert: z.string().optional(), key: z.string().optional(), ca: z.string().optional() }).default({}),
  credentials: z.string().optional(),
  "party-commands": z.enum(["safe", "kuscia"]).default("safe"),
  "rate-limit": z
    .strictObject({ "per-second": z.number().positive().max(1e6), burst: z.number().min(1).max(1e6).optional() })
    .optional(),
  data: z.string().default(".muster"),
  "database-url": z
    .string()
    .regex(/^postgres(ql)?:\/\//, "must begin with postgres:// or postgresql://")
    .optional(),
  "app-images": z.string().optional(),
  "token-file": z.string().optional(),
  "log-level": z.enum(["fatal", "error", "warn", "info", "debug", "trace", "silent"]).default("info"),
  "heartbeat-seconds": seconds.default(10),
  "max-watches": z.coerce.number().int().positive().default(20_000),
  "max-body-bytes": z.coerce.number().int().positive().default(64 << 20),
  "history-hours": z.coerce.number().positive().default(24 * 7),
  "history-events": z.coerce.number().int().positive().default(5_000_000),
  "approval-hours": z.coerce.number().positive().optional(),
  workers: z.coerce.number().int().min(0).max(64).default(0),
  "pool-size": z.coerce.number().int().min(2).max(100).default(3),
  "image-commands": imageCommands.default("any"),
  domains: z
    .record(
      z.string().regex(DOMAIN_ID, "must be a domain id"),
      z
        .strictObject({
          data: z.string().optional(),
          approval: z.enum(["auto", "manual"]).default("auto"),
          "image-commands": imageCommands.optional(),
        })
        .nullable(),
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

export type Settings = z.infer<typeof schema>;

/** What is well-formed by itself and does not go together. */
export function contradictions(data: Settings, originOf: (key: string) => string): string[] {
  const faults: string[] = [];
  const { protocol, tls } = data;
  const needs = { NOTLS: [], TLS: ["cert", "key"], MTLS: ["cert", "key", "ca"] } as const;
  for (const name of needs[protocol]) {
    if (tls[name] === undefined) faults.push(`${originOf("protocol")}: ${protocol} needs tls.${name} (--tls-${name})`);
  }
  const asksForCredential = data["token-file"] !== undefined || data.credentials !== undefined || protocol === "MTLS";
  for (const key of ["listen", "listen-grpc"] as const) {
    const host = data[key]?.host;
    if (host === undefined || isLoopback(host) || asksForCredential) continue;
    faults.push(
      `${originOf(key)}: ${host} can be reached from other machines, so callers need a credential: ` +
        "set credentials or token-file, or protocol MTLS, or listen on 127.0.0.1",
    );
  }
  if (!isLoopback(data["listen-reports"].host)) {
    faults.push(`${originOf("listen-reports")}: must be a loopback address, since it is cleartext and asks for no credential`);
  }
  return faults;
}

/** Undefined where the text is no `host:port`. */
function parseAddress(text: string): { host: string; port: number } | undefined {
  const match = /^(\[[0-9a-fA-F:.]+\]|[^:\s]+):(\d{1,5})$/.exec(text);
  const port = Number(match?.[2]);
  if (!match?.[1] || !(port <= 65_535)) return undefined;
  return { host: match[1].replace(/^\[|\]$/g, ""), port };
}
