/** An id that stays the same over restarts: kept in a file, made at first. */

import { readFile, writeFile } from "node:fs/promises";
import { v7 as newUid, validate } from "uuid";

/** Throws where the file can be neither read nor written. */
export async function keptId(file: string): Promise<string> {
  const known = (await readFile(file, "utf8").catch(() => "")).trim();
  if (validate(known)) return known;
  const id = newUid();
  await writeFile(file, `${id}\n`, { mode: 0o600 });
  return id;
}
