/** A machine on which nobody can look for processes. */

import { afterEach, beforeEach, expect, it, vi } from "vitest";
import type * as Processes from "../../../src/runners/local/processes.mjs";
import { identify, isAlive } from "../../../src/runners/local/processes.mjs";
import { launchOf, OBEDIENT, Place } from "./harness.js";

vi.mock("../../../src/runners/local/processes.mjs", async (original) => ({
  ...(await original<typeof Processes>()),
  killMembers: () => Promise.reject(Object.assign(new Error("EMFILE: too many open files"), { code: "EMFILE" })),
}));

let place: Place;
beforeEach(async () => {
  place = await Place.make();
});
afterEach(() => place.remove());

it("an attempt is reported as lost all the same, and the operator is told", async () => {
  const open = await place.open();
  const instance = await place.beginOne(open, launchOf(OBEDIENT));
  const who = await place.whoIs(instance);
  const app = identify(who.pid);
  process.kill(who.supervisor, "SIGKILL");
  expect(await open.reports.end(instance.attemptUid)).toMatchObject({ outcome: "Lost", reason: "AttemptLost" });
  expect(open.logged).toContain("processes of a lost attempt cannot be looked for");
  expect(await isAlive(app)).toBe(true);
  process.kill(app.pid, "SIGKILL");
});
