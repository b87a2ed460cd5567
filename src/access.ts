/**
 * From a request's headers to the caller. Without a token file there are no credentials: every caller is a master without
 * a domain, which is why such a server listens on loopback only. With one, a caller shows a token out of it, as header
 * `Token`, as metadata `token`, or as `Authorization: Bearer`.
 */

import { createHash, timingSafeEqual } from "node:crypto";
import { readFileSync } from "node:fs";
import type { Actor } from "./core/job.js";

export type Authenticate = (headers: Headers) => Actor | undefined;

const MASTER: Actor = { role: "master", domain: null };

const digest = (text: string): Buffer => createHash("sha256").update(text).digest();

/** Throws where the file cannot be read or holds no token. One token a line; blank lines and `#` lines are skipped. */
export function createAuthenticator(tokenFile: string | null): Authenticate {
  if (tokenFile === null) return () => MASTER;
  const tokens = readFileSync(tokenFile, "utf8")
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "" && !line.startsWith("#"))
    .map(digest);
  if (tokens.length === 0) throw new Error(`${tokenFile} holds no token`);
  return (headers) => {
    const shown = headers.get("token") ?? bearer(headers.get("authorization"));
    if (!shown) return undefined;
    // Digests have one length and every token is compared, so time tells nothing about how much of a guess was right.
    const guess = digest(shown);
    let known = false;
    for (const token of tokens) known = timingSafeEqual(token, guess) || known;
    return known ? MASTER : undefined;
  };
}

function bearer(header: string | null): string | undefined {
  return /^Bearer +(\S+)$/i.exec(header ?? "")?.[1];
}
