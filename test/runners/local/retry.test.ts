import { describe, expect, it } from "vitest";
import { retrying } from "../../../src/runners/local/retry.mjs";

/** Work that fails with each of the errors in turn and then answers how often it was done. */
function failing(...codes: string[]): () => Promise<number> {
  let done = 0;
  return async () => {
    const code = codes[done++];
    if (code !== undefined) throw Object.assign(new Error(code), { code });
    return done;
  };
}

describe("retrying", () => {
  it("goes on while the machine is short of something", async () => {
    expect(await retrying(failing("EMFILE", "EAGAIN"))).toBe(3);
  });

  it("rejects at once with any other error", async () => {
    const work = failing("ENFILE", "ENOENT");
    await expect(retrying(work)).rejects.toThrow("ENOENT");
    expect(await work()).toBe(3);
  });
});
