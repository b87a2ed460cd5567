import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { askedToEnd, exitCodeOf } from "../../src/cli/signals.js";

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["performance"] });
});
afterEach(() => {
  process.removeAllListeners("SIGHUP");
  vi.useRealTimers();
  vi.restoreAllMocks();
});

test("the first signal asks, its echo is ignored, a later one ends the process at once", async () => {
  // The real one does not return; what is after it is nothing.
  const exit = vi.spyOn(process, "exit").mockImplementation(() => undefined as never);
  const asked = askedToEnd(["SIGHUP"]);
  vi.advanceTimersByTime(5_000);
  process.emit("SIGHUP");
  expect(await asked).toBe("SIGHUP");
  process.emit("SIGHUP");
  vi.advanceTimersByTime(999);
  process.emit("SIGHUP");
  expect(exit).not.toHaveBeenCalled();
  vi.advanceTimersByTime(2);
  process.emit("SIGHUP");
  expect(exit.mock.calls).toEqual([[129]]);
});

test("exit codes are those of shells", () => {
  expect([exitCodeOf("SIGHUP"), exitCodeOf("SIGINT"), exitCodeOf("SIGTERM")]).toEqual([129, 130, 143]);
});
