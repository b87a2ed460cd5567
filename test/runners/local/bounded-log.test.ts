import { mkdtemp, readdir, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { BoundedLog, readBoundedLog } from "../../../src/runners/local/bounded-log.mjs";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "muster-log-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

async function bytesOnDisk(log: string): Promise<number> {
  const sizes = await Promise.all((await readdir(log)).map(async (name) => (await stat(join(log, name))).size));
  return sizes.reduce((sum, size) => sum + size, 0);
}

describe("the bounded log", () => {
  it("gives back all of a short output", async () => {
    const log = new BoundedLog(join(folder, "log"), 1000);
    log.write(Buffer.from("first\n"));
    log.write(Buffer.from("second\n"));
    expect(await readBoundedLog(join(folder, "log"), 1000)).toEqual({ text: "first\nsecond\n", truncated: false });
    log.close();
  });

  it("is null where there is none", async () => {
    expect(await readBoundedLog(join(folder, "nothing"), 10)).toBeNull();
  });

  it("gives the last bytes, from a whole character on, and says that more is there", async () => {
    const log = new BoundedLog(join(folder, "log"), 1000);
    log.write(Buffer.from("aß€𝄞b\0c"));
    log.close();
    expect(await readBoundedLog(join(folder, "log"), 6)).toEqual({ text: "b\uFFFDc", truncated: true });
    expect(await readBoundedLog(join(folder, "log"), 7)).toEqual({ text: "𝄞b\uFFFDc", truncated: true });
    expect(await readBoundedLog(join(folder, "log"), 0)).toEqual({ text: "", truncated: true });
  });

  it("keeps start and end within its limit, whatever is written, and says how much is not kept", async () => {
    const limits = fc.integer({ min: 4, max: 64 });
    const chunkSizes = fc.array(fc.integer({ min: 0, max: 50 }));
    const alphabet = "abcdefghijklmnopqrstuvwxyz".repeat(3);
    let run = 0;
    await fc.assert(
      fc.asyncProperty(limits, chunkSizes, async (limit, sizes) => {
        const path = join(folder, String(run++));
        const log = new BoundedLog(path, limit);
        let output = "";
        for (const size of sizes) {
          const before = output.length;
          output += alphabet.slice(before % 26, (before % 26) + size);
          log.write(Buffer.from(output.slice(before)));
          expect(await bytesOnDisk(path)).toBeLessThanOrEqual(limit);
        }
        log.close();
        const read = await readBoundedLog(path, 10_000);
        const [head = "", dropped, tail = ""] = read?.text.split(/\n\[(\d+) bytes of output are not kept\]\n/) ?? [];
        expect(output.startsWith(head)).toBe(true);
        expect(output.endsWith(tail)).toBe(true);
        expect(head.length + tail.length + Number(dropped ?? 0)).toBe(output.length);
        expect(read?.truncated).toBe(dropped !== undefined);
        if (output.length <= limit / 2) expect(head).toBe(output);
        if (dropped !== undefined) expect(tail.length).toBeGreaterThanOrEqual(Math.floor(limit / 4));
      }),
      { numRuns: 60 },
    );
  });
});
