/**
 * Page tokens: a position, signed for one question of one caller. Whoever shows a token again with another filter, order
 * or credential is told so, and none can be made up. The key is the database's, so a token is good at every server.
 */

import { createHash, createHmac, timingSafeEqual } from "node:crypto";
import { invalid } from "../../core/error.js";
import type { Actor } from "../../core/job.js";
import { type Pool, read } from "../pool.js";

const QUESTION_BYTES = 16;
const MAC_BYTES = 32;

export interface Tokens {
  /** `question` is all that the token is bound to; the position is the store's own. */
  sign(question: unknown, actor: Actor, position: readonly string[]): Promise<string>;
  /** The position. Throws InvalidArgument naming `page_token`. */
  open(token: string, question: unknown, actor: Actor): Promise<readonly string[]>;
}

export function createTokens(pool: Pool): Tokens {
  let key: Promise<Buffer> | undefined;
  const readKey = async (): Promise<Buffer> => {
    key ??= read<{ key: Buffer }>(pool, "select key from page_token_key", []).then(([row]) => row?.key ?? Buffer.alloc(0));
    // What failed is tried anew by the next page.
    key.catch(() => (key = undefined));
    return key;
  };
  return {
    async sign(question, actor, position) {
      const content = Buffer.concat([digest(question, actor), Buffer.from(JSON.stringify(position))]);
      return Buffer.concat([mac(await readKey(), content), content]).toString("base64url");
    },
    async open(token, question, actor) {
      const bytes = Buffer.from(token, "base64url");
      const content = bytes.subarray(MAC_BYTES);
      const signed = bytes.length > MAC_BYTES && timingSafeEqual(bytes.subarray(0, MAC_BYTES), mac(await readKey(), content));
      if (!signed) throw invalid("page_token", "is not a token that this server gave");
      if (!content.subarray(0, QUESTION_BYTES).equals(digest(question, actor))) {
        throw invalid("page_token", "was given for another filter, order or caller; ask for the first page again");
      }
      // Signed by us, so it is what `sign` was given.
      return JSON.parse(content.toString("utf8", QUESTION_BYTES)) as string[];
    },
  };
}

function mac(key: Buffer, content: Buffer): Buffer {
  return createHmac("sha256", key).update(content).digest();
}

function digest(question: unknown, { role, domain }: Actor): Buffer {
  return createHash("sha256").update(JSON.stringify([question, role, domain])).digest().subarray(0, QUESTION_BYTES);
}
