/**
 * The two files that name callers: the token file (one master token a line) and the credentials file (YAML, each entry
 * with a role). Neither keeps a token longer than it takes to hash it.
 */

import { createHash, timingSafeEqual } from "node:crypto";
import { parse as parseYaml, YAMLParseError } from "yaml";
import { z } from "zod";
import type { Credential } from "../core/access.js";
import { rateLimitOf } from "../core/rate.js";

export interface HashedCredential extends Credential {
  /** SHA-256 of the token. */
  readonly digest: Buffer;
}

export function digestOf(token: string): Buffer {
  return createHash("sha256").update(token).digest();
}

/** Digests have one length and every one is compared, so time tells nothing about how much of a guess was right. */
export function findCredential(all: readonly HashedCredential[], token: string): HashedCredential | undefined {
  const guess = digestOf(token);
  let found: HashedCredential | undefined;
  for (const each of all) if (timingSafeEqual(each.digest, guess)) found = each;
  return found;
}

/** Blank lines and `#` lines are skipped. Throws where no token is left. */
export function parseTokenFile(text: string): readonly HashedCredential[] {
  const tokens = text
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "" && !line.startsWith("#"));
  if (tokens.length === 0) throw new Error("holds no token");
  return [...new Set(tokens)].map((token) => {
    const digest = digestOf(token);
    const name = `sha256 ${digest.toString("hex").slice(0, 12)}`;
    return { name, role: "master", domain: null, expires: null, gateway: false, maxBodyBytes: null, rateLimit: null, digest };
  });
}

function amount(form: RegExp, rule: string) {
  return z.string().regex(form, rule).transform(Number);
}

const entrySchema = z
  .strictObject({
    name: z.string().min(1),
    role: z.enum(["master", "domain"]),
    domain: z.string().optional(),
    // A header's value: visible ASCII without spaces.
    token: z.string().regex(/^[!-~]+$/, "must be a word of visible ASCII characters").optional(),
    "token-sha256": z.string().regex(/^[0-9a-fA-F]{64}$/, "must be 64 hexadecimal digits").optional(),
    expires: z
      .union([z.iso.datetime({ offset: true }), z.iso.date()], "must be an ISO time, e.g. 2027-01-31T00:00:00Z")
      .optional(),
    gateway: z
      .enum(["true", "false"])
      .default("false")
      .transform((word) => word === "true"),
    "max-body-bytes": amount(/^[1-9]\d{0,14}$/, "must be a whole number of bytes above 0").optional(),
    "rate-limit": z
      .strictObject({
        "per-second": amount(/^(?!0*\.?0*$)\d{1,6}(\.\d{1,6})?$/, "must be a number above 0 and below 1000000"),
        burst: amount(/^[1-9]\d{0,5}$/, "must be a whole number from 1 to 999999").optional(),
      })
      .optional(),
  })
  .superRefine((entry, context) => {
    const fault = (field: string, message: string): void => {
      context.addIssue({ code: "custom", path: [field], message });
    };
    if (entry.role === "domain" && entry.domain === undefined) fault("domain", 'is needed for role "domain"');
    if (entry.role === "master" && entry.domain !== undefined) fault("domain", 'does not go with role "master"');
    if (entry.token === undefined && entry["token-sha256"] === undefined) fault("token-sha256", "is needed, or token");
    if (entry.token !== undefined && entry["token-sha256"] !== undefined) fault("token", "does not go with token-sha256");
  });

/** Every fault of the file, each with its entry and field. */
export class CredentialsError extends Error {
  override readonly name = "CredentialsError";

  constructor(readonly faults: readonly string[]) {
    super(faults.join("; "));
  }
}

/** Throws CredentialsError. `isDomain` tells the domains that there are. */
export function parseCredentials(text: string, isDomain: (name: string) => boolean): readonly HashedCredential[] {
  const entries = parseList(text);
  const faults: string[] = [];
  const credentials: HashedCredential[] = [];
  for (const [index, value] of entries.entries()) {
    const parsed = entrySchema.safeParse(value);
    const where = `entry ${index + 1}${nameOf(value)}`;
    for (const issue of parsed.error?.issues ?? []) {
      faults.push(`${where}: ${[...issue.path.map(String), issue.message].join(": ")}`);
    }
    if (!parsed.success) continue;
    const { name, role, domain = null, token, "token-sha256": hash = "", expires, gateway } = parsed.data;
    const { "max-body-bytes": maxBodyBytes = null, "rate-limit": rate } = parsed.data;
    const rateLimit = rate ? rateLimitOf(rate["per-second"], rate.burst) : null;
    if (domain !== null && !isDomain(domain)) faults.push(`${where}: domain: "${domain}" is no domain of this server`);
    const digest = token === undefined ? Buffer.from(hash, "hex") : digestOf(token);
    if (credentials.some((other) => other.name === name)) faults.push(`${where}: name: another entry has it`);
    if (credentials.some((other) => other.digest.equals(digest))) faults.push(`${where}: token: another entry has the same`);
    const until = expires === undefined ? null : Date.parse(expires);
    credentials.push({ name, role, domain, expires: until, gateway, maxBodyBytes, rateLimit, digest });
  }
  if (faults.length > 0) throw new CredentialsError(faults);
  return credentials;
}

function parseList(text: string): readonly unknown[] {
  let value: unknown;
  try {
    // Every scalar is a text: a token of digits is no number. Warnings would be printed, and quote the file.
    value = parseYaml(text, { schema: "failsafe", prettyErrors: false, logLevel: "error" });
  } catch (error) {
    throw new CredentialsError([`is no YAML: ${faultIn(text, error)}`]);
  }
  if (!Array.isArray(value) || value.length === 0) throw new CredentialsError(["must be a list with at least one entry"]);
  return value;
}

/** What is wrong and where. The parser's own sentences quote the file, tokens and all. */
function faultIn(text: string, error: unknown): string {
  if (!(error instanceof YAMLParseError)) return "an alias has no anchor, or is used too often";
  const line = text.slice(0, error.pos[0]).split("\n").length;
  return `${error.code.toLowerCase().replaceAll("_", " ")} in line ${line}`;
}

function nameOf(value: unknown): string {
  const name = typeof value === "object" && value !== null && "name" in value ? value.name : undefined;
  return typeof name === "string" ? ` "${name}"` : "";
}
