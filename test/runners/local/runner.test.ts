import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { holdsIn, launchOf, logOf, OBEDIENT, Place, script } from "./harness.js";

let place: Place;
beforeEach(async () => {
  place = await Place.make();
});
afterEach(() => place.remove());

describe("createLocalRunner", () => {
  it("keeps its id", async () => {
    const first = await place.open();
    const second = await place.open();
    expect(first.runner.id).toMatch(/^[0-9a-f-]{36}$/);
    expect(second.runner.id).toBe(first.runner.id);
  });

  it.each([
    [{ dataDirectory: "relative" }, "not an absolute path"],
    [{ capacity: { cpu: "two" } }, 'capacity.cpu: "two" is not a quantity'],
    [{ capacity: { memory: "-1" } }, 'capacity.memory: "-1" is not a quantity'],
    [{ portRange: [5, 4] as const }, "5-4 is not a range of ports"],
  ])("refuses %j", async (options, message) => {
    await expect(place.open(options)).rejects.toThrow(message);
  });
});

describe("the log", () => {
  it("of a noisy app keeps its start and its end, and can be read while it runs", async () => {
    const open = await place.open({ logLimitBytes: 64 * 1024 });
    const noisy = script(`
      const line = "x".repeat(99) + "\\n";
      process.stdout.write("the start\\n");
      for (let i = 0; i < 20000; i++) process.stdout.write(line);
      process.stdout.write("the end\\n");`);
    const launch = launchOf(noisy);
    const instance = await place.beginOne(open, launch);
    await open.reports.end(instance.attemptUid);
    const log = await logOf(open, launch, instance);
    expect(log).toMatch(/^the start\n[\s\S]*\n\[\d+ bytes of output are not kept\]\n[\s\S]*\nthe end\n$/);
    expect(Buffer.byteLength(log)).toBeLessThan(65 * 1024);

    const running = launchOf(OBEDIENT);
    const other = await place.beginOne(open, running);
    const folder = join(place.folder, "attempts", running.jobUid, other.attemptUid, "log");
    await holdsIn(folder, async () => (await logOf(open, running, other)) === "listening\n");
    expect(open.reports.callsOf(other.attemptUid)).toEqual(["started"]);
  });
});
