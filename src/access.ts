/**
 * From a request's head and the connection's client certificate to the caller. A token comes as header `Token`, as gRPC
 * metadata `token`, as `Authorization: Bearer`, or as the password of `Authorization: Basic`, whose user name says
 * nothing. What that means is decided in core/access.ts; here are the files, the clock and the count of requests.
 */

import { CredentialsError, findCredential, type HashedCredential, parseCredentials, parseTokenFile } from "./access/credentials.js";
import { ConfigError } from "./config.js";
import { type ClientCertificate, type Identity, identify } from "./core/access.js";
import { DOMAIN_ID } from "./core/dag.js";
import type { Actor } from "./core/job.js";
import { type Bucket, narrower, type RateLimit, takeOne } from "./core/rate.js";
import { KeptFile } from "./kept-file.js";

export type Admission =
  | {
      readonly kind: "Admitted";
      readonly actor: Actor;
      /** True where no token was shown, or one that browsers keep: one may have sent the request for a web page. */
      readonly ambient: boolean;
      /** The credential's own bound of a body, in bytes; absent, or wider than the server's = the server's. */
      readonly maxBodyBytes?: number;
      /** Whether the same credential would still make the same caller; absent = for ever. Counts no request. */
      readonly holds?: () => boolean;
    }
  | { readonly kind: "Unauthenticated" }
  | { readonly kind: "TooMany"; readonly waitMs: number };

/** Headers by lower-case name. `certificate` is verified already. Counts the request, where there is a limit. */
export type Authenticate = (headers: Pick<Headers, "get">, certificate: ClientCertificate | null) => Admission;

export interface AccessOptions {
  /** Null = none. Where neither file is there and certificates are not demanded, everyone is a master. */
  readonly tokenFile: string | null;
  readonly credentialsFile: string | null;
  /** True where every connection shows a client certificate. */
  readonly certificates: boolean;
  /** Null = every well-formed name is a domain's. */
  readonly domains: ReadonlySet<string> | null;
  /** Null = no limit. For each credential by itself, which may have a narrower one of its own. */
  readonly rateLimit: RateLimit | null;
  readonly now: () => number;
  /** A file has changed: what is in force now, or why the old content stays. */
  readonly onReload: (file: string, result: { readonly credentials: number } | { readonly error: unknown }) => void;
}

/** Throws ConfigError where a file cannot be read or is broken, naming the file, the entry and the field. */
export function createAuthenticator(options: AccessOptions): Authenticate {
  const { tokenFile, credentialsFile, domains, rateLimit, now } = options;
  const isDomain = (name: string): boolean => domains?.has(name) ?? DOMAIN_ID.test(name);
  const files = [
    ...(tokenFile === null ? [] : [openFile(tokenFile, parseTokenFile, options)]),
    ...(credentialsFile === null ? [] : [openFile(credentialsFile, (text) => parseCredentials(text, isDomain), options)]),
  ];
  const open = files.length === 0 && !options.certificates;
  const buckets = new Map<string, Bucket>();

  return (headers, certificate) => {
    const explicit = headers.get("token") ?? bearer(headers.get("authorization"));
    const token = explicit ?? basicPassword(headers.get("authorization"));
    const source = headers.get("kuscia-source");
    const whoIsIt = (): Identity | undefined => {
      const credential = token === null ? null : (credentialOf(files, token) ?? "unknown");
      return identify({ token: credential, certificate, source }, { now: now(), open, isDomain });
    };
    const identity = whoIsIt();
    if (!identity) return { kind: "Unauthenticated" };
    const { actor, bounds } = identity;
    // A browser that was given a name and a password once shows them again unasked.
    const ambient = identity.ambient || explicit === null;
    const limit = narrower(rateLimit, bounds.rateLimit);
    if (limit) {
      const { bucket, waitMs } = takeOne(buckets.get(identity.credential), limit, now());
      buckets.set(identity.credential, bucket);
      if (waitMs > 0) return { kind: "TooMany", waitMs };
    }
    const holds = (): boolean => {
      const latest = whoIsIt()?.actor;
      return latest?.role === actor.role && latest.domain === actor.domain;
    };
    const { maxBodyBytes } = bounds;
    return { kind: "Admitted", actor, ambient, ...(maxBodyBytes === null ? {} : { maxBodyBytes }), ...(open ? {} : { holds }) };
  };
}

type Credentials = readonly HashedCredential[];

function openFile(path: string, parse: (text: string) => Credentials, options: AccessOptions): KeptFile<Credentials> {
  try {
    return new KeptFile(path, {
      parse,
      now: options.now,
      onFault: (error) => options.onReload(path, { error }),
      onChange: (content) => options.onReload(path, { credentials: content.length }),
    });
  } catch (error) {
    const faults = error instanceof CredentialsError ? error.faults : [error instanceof Error ? error.message : String(error)];
    throw new ConfigError(faults.map((fault) => `${path}: ${fault}`));
  }
}

/** The credentials file rules where both files hold the token. */
function credentialOf(files: readonly KeptFile<Credentials>[], token: string): HashedCredential | undefined {
  return files.map((file) => findCredential(file.content, token)).findLast((found) => found !== undefined);
}

function bearer(header: string | null): string | null {
  return /^Bearer +(\S+)$/i.exec(header ?? "")?.[1] ?? null;
}

/** Null where the header is of another scheme. What is malformed is nobody's password. */
function basicPassword(header: string | null): string | null {
  const encoded = /^Basic +(\S*)$/i.exec(header ?? "")?.[1];
  if (encoded === undefined) return null;
  const pair = Buffer.from(encoded, "base64").toString("utf8");
  const colon = pair.indexOf(":");
  return colon < 0 ? "" : pair.slice(colon + 1);
}
