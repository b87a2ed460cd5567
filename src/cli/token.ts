/** `muster token`: a secret that nobody guesses, and what the credentials file keeps of it. */

import { createHash, randomBytes } from "node:crypto";

/** 256 random bits in base64url. */
export function newToken(): { readonly token: string; readonly sha256: string } {
  const token = randomBytes(32).toString("base64url");
  return { token, sha256: createHash("sha256").update(token).digest("hex") };
}
