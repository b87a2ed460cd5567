import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { identify, isAlive } from "../../../src/runners/local/processes.mjs";
import { container, launchOf, OBEDIENT, Place, SAY_READY, script } from "./harness.js";

let place: Place;
beforeEach(async () => {
  place = await Place.make();
});
afterEach(() => place.remove());

describe("stopping", () => {
  it("ends an app by SIGTERM, and may be asked for again", async () => {
    const open = await place.open();
    const { attemptUid } = await place.beginOne(open, launchOf(OBEDIENT));
    await Promise.all([open.runner.stop(attemptUid), open.runner.stop(attemptUid)]);
    expect(await open.reports.end(attemptUid)).toMatchObject({ outcome: "Failed", signal: "SIGTERM" });
    expect(open.reports.callsOf(attemptUid)).toEqual(["started", "ended"]);
  });

  it("lets an app end in its own way", async () => {
    const open = await place.open();
    const app = `process.on("SIGTERM", () => process.exit(0)); setInterval(() => {}, 1000); sayReady(true);`;
    const instance = await place.beginOne(open, launchOf(script(SAY_READY + app)));
    await place.ready(instance);
    await open.runner.stop(instance.attemptUid);
    expect(await open.reports.end(instance.attemptUid)).toMatchObject({ outcome: "Succeeded", exitCode: 0 });
  });

  it("ends an app that ignores SIGTERM by SIGKILL", async () => {
    const open = await place.open({ graceMs: 50 });
    const app = `process.on("SIGTERM", () => {}); setInterval(() => {}, 1000); sayReady(true);`;
    const instance = await place.beginOne(open, launchOf(script(SAY_READY + app)));
    await place.ready(instance);
    await open.runner.stop(instance.attemptUid);
    expect(await open.reports.end(instance.attemptUid)).toMatchObject({
      outcome: "Failed",
      signal: "SIGKILL",
      message: "the app was ended by SIGKILL",
    });
  });

  it("asks each process once, also those that have left the group", async () => {
    const open = await place.open();
    const app = `${SAY_READY}
      let asked = 0;
      process.on("SIGTERM", () => asked++);
      const polite = 'process.on("SIGTERM", () => process.exit(0)); setInterval(() => {}, 1000); console.log("ready")';
      const child = require("node:child_process").spawn(process.execPath, ["-e", polite], { detached: true });
      child.stdout.once("data", () => sayReady(true));
      child.once("exit", (code, signal) => process.exit(signal === null ? 10 + asked : 1));`;
    const instance = await place.beginOne(open, launchOf(script(app)));
    await place.ready(instance);
    await open.runner.stop(instance.attemptUid);
    expect(await open.reports.end(instance.attemptUid)).toMatchObject({ outcome: "Failed", exitCode: 11 });
  });

  it("ends many at once without losing one", async () => {
    const open = await place.open();
    const parties = [{ domain: "alice" }, { domain: "bob" }];
    const sleep = container({ command: ["sleep", "1000"] });
    const instances = [];
    for (let i = 0; i < 15; i++) instances.push(...(await place.begin(open, launchOf(sleep, parties))));
    await Promise.all(instances.map(({ attemptUid }) => open.runner.stop(attemptUid)));
    const ends = await Promise.all(instances.map(({ attemptUid }) => open.reports.end(attemptUid)));
    expect(new Set(ends.map(({ signal }) => signal))).toEqual(new Set(["SIGTERM"]));
  });

  /** Starts deaf children that outlive it: in its group, in a session of their own, and also without environment. */
  const family = (then: string): string => `${SAY_READY}
    const deaf = 'process.on("SIGTERM", () => {}); setInterval(() => {}, 1000); process.stdout.write("deaf")';
    const begin = (options) => {
      const child = require("node:child_process").spawn(process.execPath, ["-e", deaf], options);
      return new Promise((resolve) => child.stdout.once("data", () => resolve(child.pid)));
    };
    Promise.all([begin({}), begin({ detached: true }), begin({ detached: true, env: {} })]).then((pids) => {
      sayReady(pids);
      ${then}
    });`;

  it("leaves no process of the app behind, wherever they went", async () => {
    const open = await place.open();
    const instance = await place.beginOne(open, launchOf(script(family(""))));
    const pids = await place.ready<number[]>(instance);
    await open.runner.stop(instance.attemptUid);
    expect(await open.reports.end(instance.attemptUid)).toMatchObject({ outcome: "Failed", signal: "SIGTERM" });
    expect(pids).toHaveLength(3);
    for (const pid of pids) expect(await isAlive({ pid, start: null })).toBe(false);
  });

  it("is not needed for what an app leaves behind when it ends", async () => {
    const open = await place.open();
    const instance = await place.beginOne(open, launchOf(script(family("process.exit(0);"))));
    const pids = await place.ready<number[]>(instance);
    expect(await open.reports.end(instance.attemptUid)).toMatchObject({ outcome: "Succeeded", exitCode: 0 });
    // Without users of their own there is no way to find a process that left everything behind after its parent ended.
    const findable = open.logged.includes("apps of each domain run as a user of their own") ? 3 : 2;
    for (const pid of pids.slice(0, findable)) expect(await isAlive({ pid, start: null })).toBe(false);
    for (const pid of pids.slice(findable)) process.kill(pid, "SIGKILL");
  });

  it("ends an attempt whose supervisor does not answer", async () => {
    const open = await place.open({ graceMs: 50 });
    const instance = await place.beginOne(open, launchOf(OBEDIENT));
    const { pid, supervisor } = await place.whoIs(instance);
    const app = identify(pid);
    process.kill(supervisor, "SIGSTOP");
    await open.runner.stop(instance.attemptUid);
    expect(await open.reports.end(instance.attemptUid)).toMatchObject({ outcome: "Lost", reason: "AttemptLost" });
    expect(await isAlive(app)).toBe(false);
  });

  it("of an attempt that nobody knows reports it as lost", async () => {
    const open = await place.open();
    await open.runner.stop("0190a0a0-0000-7000-8000-000000000000");
    expect(await open.reports.end("0190a0a0-0000-7000-8000-000000000000")).toEqual({
      outcome: "Lost",
      reason: "AttemptLost",
      exitCode: null,
      signal: null,
      message: "the process ended unseen: this runner knows nothing of it",
    });
  });
});
