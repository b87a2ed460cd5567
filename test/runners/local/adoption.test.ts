import { mkdir, readdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { TaskLaunch } from "../../../src/runner.js";
import { identify, isAlive } from "../../../src/runners/local/processes.mjs";
import { attemptOf, fileAppears, launchOf, logOf, OBEDIENT, Place, script, tellToExit } from "./harness.js";

let place: Place;
beforeEach(async () => {
  place = await Place.make();
});
afterEach(() => place.remove());

const capacity = { cpu: "1" };
const launch = (): TaskLaunch => launchOf(OBEDIENT, [{ domain: "alice", resources: { cpu: "1" } }]);

describe("a runner that is opened after another", () => {
  it("takes up an app that still runs, with what it holds, and reports its end", async () => {
    const task = launch();
    const first = await place.open({ capacity });
    const instance = await place.beginOne(first, task);
    await place.whoIs(instance);
    await first.runner.close();

    const port = instance.ports[0]?.port ?? 0;
    const second = await place.open({ capacity, portRange: [port, port] });
    await second.runner.adopt([attemptOf(task, instance)]);
    await second.runner.adopt([attemptOf(task, instance)]);
    expect(second.reports.callsOf(instance.attemptUid)).toEqual(["started"]);
    expect(await second.runner.reserve(launch())).toMatchObject({ message: "needs cpu 1, 0 of 1 free on this runner" });
    expect(await second.runner.reserve(launchOf(OBEDIENT))).toMatchObject({ granted: false });

    await tellToExit(instance, 5);
    expect(await second.reports.end(instance.attemptUid)).toEqual({
      outcome: "Failed",
      reason: "AppFailed",
      exitCode: 5,
      signal: null,
      message: "told to end (exit code 5)",
    });
    expect(second.reports.callsOf(instance.attemptUid)).toEqual(["started", "ended"]);
    expect(first.reports.callsOf(instance.attemptUid)).toEqual(["started"]);
    expect((await logOf(second, task, instance)).split("\n").sort()).toEqual(["", "listening", "told to end"]);
    expect(await second.runner.reserve(launch())).toMatchObject({ granted: true });
  });

  it("can stop what it has taken up, also when it was not asked to take it up", async () => {
    const first = await place.open();
    const tasks = [launchOf(OBEDIENT), launchOf(OBEDIENT)];
    const instances = await Promise.all(tasks.map((task) => place.beginOne(first, task)));
    await first.runner.close();

    const second = await place.open();
    const [adopted, found] = instances;
    if (adopted === undefined || found === undefined || tasks[0] === undefined) throw new Error("two were to start");
    await second.runner.adopt([attemptOf(tasks[0], adopted)]);
    for (const { attemptUid } of [adopted, found]) {
      await second.runner.stop(attemptUid);
      expect(await second.reports.end(attemptUid)).toMatchObject({ outcome: "Failed", signal: "SIGTERM" });
      expect(second.reports.callsOf(attemptUid)).toEqual(["started", "ended"]);
    }
  });

  it("reports how an app ended in between", async () => {
    const task = launch();
    const first = await place.open();
    const instance = await place.beginOne(first, task);
    await place.whoIs(instance);
    await first.runner.close();
    await tellToExit(instance, 9);
    await fileAppears(join(place.folder, "attempts", task.jobUid, instance.attemptUid, "exit.json"));

    const second = await place.open();
    await second.runner.adopt([attemptOf(task, instance)]);
    expect(second.reports.callsOf(instance.attemptUid)).toEqual(["started", "ended"]);
    expect(await second.reports.end(instance.attemptUid)).toMatchObject({ reason: "AppFailed", exitCode: 9 });
  });

  it("reports why an app was not started", async () => {
    const task = launchOf(script("", { command: ["nod"] }));
    const first = await place.open();
    const instance = await place.beginOne(first, task);
    await first.runner.close();
    const second = await place.open();
    await second.runner.adopt([attemptOf(task, instance)]);
    expect(await second.reports.end(instance.attemptUid)).toMatchObject({
      reason: "AppNotStarted",
      message: 'command "nod" not found',
    });
    expect(second.reports.callsOf(instance.attemptUid)).toEqual(["ended"]);
  });

  it("reports an app as lost whose supervisor was killed in between, and leaves no process of it", async () => {
    const task = launch();
    const first = await place.open();
    const instance = await place.beginOne(first, task);
    const who = await place.whoIs(instance);
    const app = identify(who.pid);
    await first.runner.close();
    process.kill(who.supervisor, "SIGKILL");

    const second = await place.open();
    await second.runner.adopt([attemptOf(task, instance)]);
    expect(await second.reports.end(instance.attemptUid)).toEqual({
      outcome: "Lost",
      reason: "AttemptLost",
      exitCode: null,
      signal: null,
      message: "the process ended unseen: its supervisor is gone and did not say how the app ended",
    });
    expect(await isAlive(app)).toBe(false);
  });

  it("reports an app as lost whose supervisor is killed later", async () => {
    const task = launch();
    const first = await place.open();
    const instance = await place.beginOne(first, task);
    const who = await place.whoIs(instance);
    const app = identify(who.pid);
    await first.runner.close();
    const second = await place.open();
    await second.runner.adopt([attemptOf(task, instance)]);
    process.kill(who.supervisor, "SIGKILL");
    expect(await second.reports.end(instance.attemptUid)).toMatchObject({ outcome: "Lost" });
    expect(await isAlive(app)).toBe(false);
  });

  it("finds a supervisor that has not yet said who it is", async () => {
    const task = launch();
    const first = await place.open();
    const instance = await place.beginOne(first, task);
    await place.whoIs(instance);
    await first.runner.close();
    const folder = join(place.folder, "attempts", task.jobUid, instance.attemptUid);
    await rm(join(folder, "state.json"));
    const second = await place.open();
    await second.runner.adopt([attemptOf(task, instance)]);
    expect(second.reports.callsOf(instance.attemptUid)).toEqual([]);
    await tellToExit(instance, 0);
    expect(await second.reports.end(instance.attemptUid)).toMatchObject({ outcome: "Succeeded" });
  });

  it("reports what it has no trace of as lost", async () => {
    const task = launch();
    const first = await place.open();
    const reservation = await first.runner.reserve(task);
    const instance = reservation.granted ? reservation.instances[0] : undefined;
    if (instance === undefined) throw new Error("no instance");
    await first.runner.close();
    const second = await place.open();
    await second.runner.adopt([attemptOf(task, instance)]);
    expect(await second.reports.end(instance.attemptUid)).toMatchObject({
      outcome: "Lost",
      message: "the process ended unseen: this runner knows nothing of it",
    });
  });

  it("believes no file that is broken", async () => {
    const task = launch();
    const first = await place.open();
    const instance = await place.beginOne(first, task);
    const { pid } = await place.whoIs(instance);
    const app = identify(pid);
    await first.runner.close();
    const folder = join(place.folder, "attempts", task.jobUid, instance.attemptUid);
    // Pid 1 lives, and must not be taken for the supervisor.
    await writeFile(join(folder, "state.json"), '{"supervisor":{"pid":1,"start":"0.0"},"app":{"pid":1,"start":"0.0"}}');
    await writeFile(join(folder, "exit.json"), '{"exitCode":0');
    const second = await place.open();
    await second.runner.adopt([attemptOf(task, instance)]);
    expect(await second.reports.end(instance.attemptUid)).toMatchObject({ outcome: "Lost" });
    expect(await isAlive(app)).toBe(false);
  });
});

describe("a supervisor that is killed while its server watches", () => {
  it("loses the attempt and leaves no process of it", async () => {
    const open = await place.open();
    const instance = await place.beginOne(open, launch());
    const who = await place.whoIs(instance);
    const app = identify(who.pid);
    process.kill(who.supervisor, "SIGKILL");
    expect(await open.reports.end(instance.attemptUid)).toMatchObject({ outcome: "Lost" });
    expect(await isAlive(app)).toBe(false);
  });
});

describe("sweep", () => {
  it("removes the folders of jobs that are gone, but of none that is there or has a living attempt", async () => {
    const open = await place.open();
    const [gone, present, living] = [launchOf(script("")), launchOf(script("")), launchOf(OBEDIENT)];
    const instances = await Promise.all([gone, present, living].map((task) => place.beginOne(open, task)));
    const [first, second, third] = instances;
    if (first === undefined || second === undefined || third === undefined) throw new Error("three were to start");
    for (const { attemptUid } of [first, second]) await open.reports.end(attemptUid);

    const asked: string[] = [];
    const onlyPresent = async (uids: readonly string[]): Promise<ReadonlySet<string>> => {
      asked.push(...uids);
      return new Set([present.jobUid]);
    };
    const logs = (): Promise<boolean[]> =>
      Promise.all(
        [gone, present, living].map(async (task, index) => {
          const instance = instances[index];
          return instance !== undefined && (await open.runner.readLog(attemptOf(task, instance), 10)) !== null;
        }),
      );
    await open.runner.sweep(onlyPresent);
    expect(asked.sort()).toEqual([gone.jobUid, present.jobUid, living.jobUid].sort());
    expect(await logs()).toEqual([false, true, true]);

    // A server that has not adopted it still sees that it lives.
    await open.runner.close();
    const later = await place.open();
    await later.runner.sweep(onlyPresent);
    expect(await logs()).toEqual([false, true, true]);
    await later.runner.adopt([attemptOf(living, third)]);
    await later.runner.stop(third.attemptUid);
    await later.reports.end(third.attemptUid);
    await later.runner.sweep(onlyPresent);
    expect(await logs()).toEqual([false, true, false]);
    expect(later.logged.filter((line) => line.includes("could not be removed"))).toEqual([]);
  });

  it("passes over what is not its own", async () => {
    const open = await place.open();
    const task = launchOf(script(""));
    const { attemptUid } = await place.beginOne(open, task);
    await open.reports.end(attemptUid);
    const attempts = join(place.folder, "attempts");
    const strays = ["lost+found", "%zz", "tmp"];
    for (const name of strays) await mkdir(join(attempts, name, "inside"), { recursive: true });
    await writeFile(join(attempts, ".DS_Store"), "");
    await writeFile(join(attempts, "0190a0a0-0000-7000-8000-000000000000"), "");
    await writeFile(join(attempts, task.jobUid, "note"), "");

    const asked: string[] = [];
    await open.runner.sweep(async (uids) => {
      asked.push(...uids);
      return new Set();
    });
    expect(asked).toEqual([task.jobUid]);
    expect(await readdir(join(attempts, task.jobUid))).toEqual(["note"]);
    for (const name of strays) expect(await readdir(join(attempts, name))).toEqual(["inside"]);

    const unknown = "0190a0a0-0000-7000-8000-000000000001";
    await open.runner.stop(unknown);
    expect(await open.reports.end(unknown)).toMatchObject({ outcome: "Lost" });
  });
});
