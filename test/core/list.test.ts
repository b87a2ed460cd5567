import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { JOB_STATES, OUTCOMES } from "../../src/core/job.js";
import { durationMs, durationRank, SHOWN_STATUSES, shownStatus, standingsOf } from "../../src/core/list.js";
import { command } from "../../src/core/moves/commands.js";
import { moved } from "../../src/core/moves/states.js";
import { attemptEnded, attemptStarted } from "../../src/core/moves/tasks.js";
import { definitionOf, JobInMemory, killed, MASTER, succeeded, taskOf } from "./fixtures.js";

const only = [taskOf("a")];

describe("the shown status", () => {
  test.each([
    ["AwaitingApproval", "Waiting"],
    ["Pending", "Waiting"],
    ["Running", "Running"],
    ["Suspended", "Stopped"],
    ["Succeeded", "Finished"],
    ["Failed", "Error"],
    ["Cancelled", "Discarded"],
    ["ApprovalReject", "Discarded"],
  ] as const)("of a job that is %s is %s", (state, shown) => {
    expect(shownStatus({ state: moved(state), wanted: null, begun: true })).toBe(shown);
  });

  test.each([
    ["Suspended", "Stopped"],
    ["Failed", "Error"],
    ["Cancelled", "Discarded"],
    ["Deleted", "Discarded"],
  ] as const)("is that of an end as soon as it is asked for: %s is %s", (outcome, shown) => {
    const wanted = { outcome, reason: "None", message: "", actor: MASTER, since: 0 } as const;
    expect(shownStatus({ state: moved("Running"), wanted, begun: true })).toBe(shown);
  });

  test("is Waiting until the first attempt after a start or restart has begun", () => {
    const job = new JobInMemory(definitionOf(only));
    const shown: string[] = [];
    const note = (): void => void shown.push(shownStatus(job.job));
    note();
    const [first = "", second = ""] = job.claim(0);
    note();
    job.apply((draft, now) => attemptStarted(draft, { attemptUid: first, now }), 0);
    note();
    job.apply((draft, now) => command(draft, "Suspend", { actor: MASTER, reason: "", now }));
    note();
    for (const uid of [first, second]) job.apply((draft, now) => attemptEnded(draft, killed(uid, now)), 0);
    note();
    job.apply((draft, now) => command(draft, "Restart", { actor: MASTER, reason: "", now }));
    note();
    const [again = ""] = job.claim(0);
    job.apply((draft, now) => attemptStarted(draft, { attemptUid: again, now }), 0);
    note();
    expect(shown).toEqual(["Waiting", "Waiting", "Running", "Stopped", "Stopped", "Waiting", "Running"]);
  });
});

test("standings are what states and statuses allow together", () => {
  expect(standingsOf({ states: ["Failed"] })).toEqual(["Failed/Error"]);
  expect(standingsOf({ shown: ["Error"] })).toEqual(["Running/Error", "Failed/Error"]);
  expect(standingsOf({ states: ["Running"], shown: ["Waiting", "Finished"] })).toEqual(["Running/Waiting"]);
  expect(standingsOf({ states: ["Succeeded"], shown: ["Error"] })).toEqual([]);
  const each = JOB_STATES.flatMap((state) => standingsOf({ states: [state] }));
  expect(standingsOf({})).toEqual(each);
  for (const state of JOB_STATES) {
    for (const begun of [true, false]) {
      expect(standingsOf({})).toContain(`${state}/${shownStatus({ state: moved(state), wanted: null, begun })}`);
    }
  }
  for (const outcome of OUTCOMES) {
    const wanted = { outcome, reason: "None", message: "", actor: MASTER, since: 0 } as const;
    expect(standingsOf({})).toContain(`Running/${shownStatus({ state: moved("Running"), wanted, begun: true })}`);
  }
  expect(new Set(standingsOf({}).map((standing) => standing.split("/")[1]))).toEqual(new Set(SHOWN_STATUSES));
});

describe("the duration", () => {
  test("leaves out the time suspended, and stands still while suspended and after the end", () => {
    const job = new JobInMemory(definitionOf(only));
    const begin = job.now;
    job.now = begin + 100;
    job.apply((draft, now) => command(draft, "Suspend", { actor: MASTER, reason: "", now }));
    expect(durationMs(job.job, begin + 5_000)).toBe(101);
    job.now = begin + 1_000;
    job.apply((draft, now) => command(draft, "Restart", { actor: MASTER, reason: "", now }));
    expect(durationMs(job.job, begin + 1_001)).toBe(101);
    expect(durationMs(job.job, begin + 1_011)).toBe(111);
    const attempts = job.claim(0);
    for (const uid of attempts) job.apply((draft, now) => attemptStarted(draft, { attemptUid: uid, now }), 0);
    job.now = begin + 2_000;
    for (const uid of attempts) job.apply((draft, now) => attemptEnded(draft, succeeded(uid, now)), 0);
    expect(durationMs(job.job, begin + 9_000)).toBe(durationRank(job.job));
    expect(durationRank(job.job)).toBe(2_002 - 900);
  });

  test.each(["Cancel", "Stop"] as const)("of a suspended job does not grow by a %s", (verb) => {
    const job = new JobInMemory(definitionOf(only));
    job.now += 100;
    job.apply((draft, now) => command(draft, "Suspend", { actor: MASTER, reason: "", now }));
    const before = durationRank(job.job);
    job.now += 10_000;
    job.apply((draft, now) => command(draft, verb, { actor: MASTER, reason: "", now }));
    expect(durationRank(job.job)).toBe(before);
  });

  const timed = fc.record({
    state: fc.constantFrom(...JOB_STATES).map((state) => moved(state)),
    startedAt: fc.option(fc.nat(1_000)),
    interruptedMs: fc.nat(100),
    since: fc.integer({ min: 1_000, max: 2_000 }),
  });
  const job = timed.map((each) => {
    const ended = ["Succeeded", "Failed", "Cancelled", "ApprovalReject"].includes(each.state);
    return { ...each, endedAt: ended ? each.since : null };
  });
  const runs = (each: { startedAt: number | null; endedAt: number | null; state: string }) =>
    each.startedAt !== null && each.endedAt === null && each.state !== "Suspended";

  test("is ranked as it is: running jobs after the others, each group by duration, and no rank grows with the clock", () => {
    fc.assert(
      fc.property(job, job, fc.integer({ min: 2_000, max: 9_000 }), (a, b, now) => {
        const [x, y] = [durationMs(a, now), durationMs(b, now)];
        if (runs(a) === runs(b)) expect(Math.sign(durationRank(a) - durationRank(b))).toBe(Math.sign(x - y));
        else expect(durationRank(a) > durationRank(b)).toBe(runs(a));
        expect(x).toBeGreaterThanOrEqual(0);
      }),
    );
  });
});
