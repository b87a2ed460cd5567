/**
 * A numeric user and group of its own for each domain, so that the operating system keeps domains apart. The numbers
 * are written down beside the data and are never given to another domain, also not when the first is long gone: files
 * of it may still be there.
 */

import { createHash } from "node:crypto";
import { readFile, rename, writeFile } from "node:fs/promises";
import { z } from "zod";

/** A user and group of the operating system, by number; neither needs a name there. */
export interface DomainUser {
  readonly uid: number;
  readonly gid: number;
}

/** Between Debian's own numbers and `nobody`; also inside what user namespaces usually map. */
const FIRST = 64_000;
const LAST = 65_519;
/** Another server on this machine counts on its own; starting at different places they rarely give the same number. */
const STARTS = 1_000;

/** A user to try things with before any domain is known. */
export const PROBE_USER: DomainUser = { uid: FIRST, gid: FIRST };

const fileSchema = z.record(z.string(), z.number().int().min(FIRST).max(LAST));

export class DomainUsers {
  readonly #file: string;
  readonly #numbers: Map<string, number>;
  readonly #taken: Set<number>;
  #saved: Promise<void> = Promise.resolve();

  private constructor(file: string, numbers: Map<string, number>, taken: Set<number>) {
    this.#file = file;
    this.#numbers = numbers;
    this.#taken = taken;
  }

  /** Reads the file of numbers, absent at first. Throws where it is there and cannot be understood. */
  static async open(file: string): Promise<DomainUsers> {
    const text = await readFile(file, "utf8").catch((error: unknown) => {
      if (error instanceof Error && "code" in error && error.code === "ENOENT") return "{}";
      throw error;
    });
    const numbers = new Map(Object.entries(fileSchema.parse(JSON.parse(text))));
    const system = await Promise.all([numbersIn("/etc/passwd"), numbersIn("/etc/group")]);
    return new DomainUsers(file, numbers, new Set([...system.flat(), ...numbers.values()]));
  }

  /** The domain's user, made at first; resolves when it is written down. Throws when no number is left. */
  async of(domain: string): Promise<DomainUser> {
    const number = this.#numbers.get(domain) ?? this.#give(domain);
    await this.#saved;
    return { uid: number, gid: number };
  }

  #give(domain: string): number {
    const start = createHash("sha256").update(this.#file).digest().readUInt32BE() % STARTS;
    for (let step = 0; step <= LAST - FIRST; step++) {
      const number = FIRST + ((start + step) % (LAST - FIRST + 1));
      if (this.#taken.has(number)) continue;
      this.#taken.add(number);
      this.#numbers.set(domain, number);
      this.#saved = this.#saved.then(() => this.#save(), () => this.#save());
      return number;
    }
    throw new Error(`no user number between ${FIRST} and ${LAST} is left for domain ${domain}`);
  }

  async #save(): Promise<void> {
    await writeFile(`${this.#file}.new`, JSON.stringify(Object.fromEntries(this.#numbers)), { mode: 0o600 });
    await rename(`${this.#file}.new`, this.#file);
  }
}

/** The third fields of a passwd or group file. */
async function numbersIn(file: string): Promise<number[]> {
  const text = await readFile(file, "utf8").catch(() => "");
  return text.split("\n").map((line) => Number(line.split(":")[2])).filter(Number.isInteger);
}
