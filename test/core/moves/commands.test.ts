import { describe, expect, test } from "vitest";
import { JobError } from "../../../src/core/error.js";
import { type Actor, JOB_STATES, type JobState, VERBS, type Verb } from "../../../src/core/job.js";
import { approve, command, expireApproval } from "../../../src/core/moves/commands.js";
import { COMMAND_RULES } from "../../../src/core/moves/states.js";
import { attemptEnded, attemptStarted } from "../../../src/core/moves/tasks.js";
import { definitionOf, failed, JobInMemory, killed, MASTER, party, succeeded, taskOf } from "../fixtures.js";

const by = { actor: MASTER, reason: "" };

/** A job brought into each state by moves alone, with no end under way. */
const IN_STATE: Record<JobState, () => JobInMemory> = {
  AwaitingApproval: () => new JobInMemory(definitionOf([taskOf("a")]), ["bob"]),
  // Pending is passed through at once where nothing has to be waited for; core still has rules for it.
  Pending: () => {
    const job = new JobInMemory(definitionOf([taskOf("a")]), ["bob"]);
    job.job = { ...job.job, state: pendingState() };
    return job;
  },
  Running: () => new JobInMemory(definitionOf([taskOf("a")])),
  Suspended: () => commanded(IN_STATE.Running(), "Suspend"),
  Succeeded: () => ended(IN_STATE.Running(), true),
  Failed: () => ended(IN_STATE.Running(), false),
  Cancelled: () => commanded(IN_STATE.Running(), "Cancel"),
  ApprovalReject: () => {
    const job = IN_STATE.AwaitingApproval();
    job.apply((draft, now) => approve(draft, { decision: "JobRejected", actor: MASTER, reason: "no", now }));
    return job;
  },
};

/** The brand can only come from a move: a fresh job with nobody to ask has been Pending on its way. */
function pendingState() {
  const job = new JobInMemory(definitionOf([taskOf("a")]), ["bob"]);
  const task = job.tasks.get(0);
  if (task?.state !== "Pending") throw new Error("a new task is Pending");
  return task.state;
}

function commanded(job: JobInMemory, verb: Exclude<Verb, "Approve">): JobInMemory {
  job.apply((draft, now) => command(draft, verb, { ...by, now }));
  return job;
}

function ended(job: JobInMemory, well: boolean): JobInMemory {
  for (const uid of job.claim(0)) {
    if (job.attempts.get(uid)?.endedAt !== null) continue;
    job.apply((draft, now) => attemptEnded(draft, well ? succeeded(uid, now) : failed(uid, now)), 0);
  }
  return job;
}

/** What each command leads to where it applies. */
const RESULT: Record<Verb, JobState | "gone"> = {
  Approve: "Running",
  Stop: "Failed",
  Suspend: "Suspended",
  Restart: "Running",
  Cancel: "Cancelled",
  Delete: "gone",
};

function run(job: JobInMemory, verb: Verb): "applied" | "repeated" {
  if (verb === "Approve") {
    return job.apply((draft, now) => approve(draft, { decision: "JobAccepted", actor: MASTER, reason: "", now }));
  }
  return job.apply((draft, now) => command(draft, verb, { ...by, now }));
}

describe.each(JOB_STATES)("a job that is %s", (state) => {
  test.each(VERBS)("%s", (verb) => {
    const job = IN_STATE[state]();
    expect(job.job.state).toBe(state);
    const before = { job: job.job, tasks: new Map(job.tasks), events: job.events.length };
    const rule = COMMAND_RULES[state][verb];
    // None of these jobs got to its state by the command at hand, so a rule that asks for that refuses.
    const refused = rule === "refuse" || rule === "ifCause";
    if (rule === "apply") {
      expect(run(job, verb)).toBe("applied");
      if (verb === "Delete") expect(job.deleted).toBe(true);
      else expect(job.job.state).toBe(verb === "Approve" && state !== "AwaitingApproval" ? state : RESULT[verb]);
      expect(job.job.counts.live > 0 && job.job.endedAt !== null).toBe(false);
    } else if (refused) {
      expect(() => run(job, verb)).toThrow(JobError);
      expect({ job: job.job, tasks: new Map(job.tasks), events: job.events.length }).toEqual(before);
    } else {
      expect(run(job, verb)).toBe("repeated");
      expect(job.events.length).toBe(before.events);
      expect(job.job.state).toBe(state);
    }
  });
});

describe("repeats of the command that caused the state", () => {
  test.each(["Stop", "Suspend", "Cancel"] as const)("%s again changes nothing", (verb) => {
    const job = commanded(IN_STATE.Running(), verb);
    const events = job.events.length;
    expect(run(job, verb)).toBe("repeated");
    expect(job.events.length).toBe(events);
  });

  test("Restart again changes nothing, Restart of a job that nobody restarted is refused", () => {
    const job = commanded(IN_STATE.Suspended(), "Restart");
    expect(run(job, "Restart")).toBe("repeated");
    expect(() => run(IN_STATE.Running(), "Restart")).toThrow('cannot restart job "job": it is Running and must be Suspended or Failed');
  });

  test("the same decision again is accepted, the opposite one refused", () => {
    const job = IN_STATE.AwaitingApproval();
    expect(run(job, "Approve")).toBe("applied");
    expect(run(job, "Approve")).toBe("repeated");
    const reject = () => job.apply((draft, now) => approve(draft, { decision: "JobRejected", actor: MASTER, reason: "", now }));
    expect(reject).toThrow('cannot reject job "job": bob has accepted it already');
  });
});

describe("an end takes effect when the last attempt is gone", () => {
  test("the job keeps its state, with reason Stopping, until then", () => {
    const job = IN_STATE.Running();
    const [alice, bob] = job.claim(0);
    job.apply((draft, now) => attemptStarted(draft, { attemptUid: alice ?? "", now }), 0);
    commanded(job, "Cancel");
    expect(job.job).toMatchObject({ state: "Running", reason: "Stopping" });
    job.apply((draft, now) => attemptEnded(draft, failed(alice ?? "", now)), 0);
    expect(job.job.state).toBe("Running");
    job.apply((draft, now) => attemptEnded(draft, failed(bob ?? "", now)), 0);
    expect(job.job).toMatchObject({ state: "Cancelled", reason: "Cancelled", message: "cancelled by master" });
    expect(job.task("a")).toMatchObject({ state: "Failed", reason: "Cancelled" });
  });

  test("a stronger wish replaces a weaker one, a weaker is refused, Restart too", () => {
    const job = IN_STATE.Running();
    job.claim(0);
    commanded(job, "Suspend");
    commanded(job, "Stop");
    expect(() => run(job, "Suspend")).toThrow(/it is being stopped/);
    expect(() => run(job, "Restart")).toThrow(/it is being stopped/);
    commanded(job, "Cancel");
    expect(run(job, "Cancel")).toBe("repeated");
    commanded(job, "Delete");
    expect(job.deleted).toBe(false);
    for (const attempt of job.openAttempts()) job.apply((draft, now) => attemptEnded(draft, failed(attempt.uid, now)), 0);
    expect(job.deleted).toBe(true);
  });

  test("a task that finished well in spite of the stop is Succeeded", () => {
    const job = IN_STATE.Running();
    const uids = job.claim(0);
    commanded(job, "Suspend");
    for (const uid of uids) job.apply((draft, now) => attemptEnded(draft, succeeded(uid, now)), 0);
    expect(job.task("a").state).toBe("Succeeded");
    expect(job.job.state).toBe("Suspended");
    commanded(job, "Restart");
    expect(job.job.state).toBe("Succeeded");
  });
});

test("Restart runs what has not Succeeded, keeps what has, and forgets the old failure", () => {
  const job = new JobInMemory(definitionOf([taskOf("a"), taskOf("b", { dependencies: ["a"] }), taskOf("c", { dependencies: ["b"] })]));
  for (const uid of job.claim(0)) job.apply((draft, now) => attemptEnded(draft, succeeded(uid, now)), 0);
  const [alice, bob] = job.claim(1);
  job.apply((draft, now) => attemptEnded(draft, failed(bob ?? "", now, "no such column")), 1);
  job.apply((draft, now) => attemptEnded(draft, killed(alice ?? "", now)), 1);
  expect(job.job).toMatchObject({ state: "Failed", reason: "TaskFailed", message: "Task[b]-Party[bob]: no such column" });
  expect(job.task("c")).toMatchObject({ state: "Failed", reason: "NotRun" });
  commanded(job, "Restart");
  expect(job.job).toMatchObject({ state: "Running", message: "", endedAt: null });
  expect(job.task("a")).toMatchObject({ state: "Succeeded", attempt: 1 });
  expect(job.task("b")).toMatchObject({ state: "Pending", live: true, attempt: 2 });
  expect(job.task("c")).toMatchObject({ state: "Pending", live: false, waitingOn: 1 });
  for (const index of [1, 2]) {
    for (const uid of job.claim(index)) job.apply((draft, now) => attemptEnded(draft, succeeded(uid, now)), index);
  }
  expect(job.job).toMatchObject({ state: "Succeeded", message: "" });
});

test("onlyFrom narrows a command for one surface, but not its repeats", () => {
  const waiting = IN_STATE.AwaitingApproval();
  const narrow = { ...by, onlyFrom: ["Running"] as const };
  expect(() => waiting.apply((draft, now) => command(draft, "Suspend", { ...narrow, now }))).toThrow(/it is AwaitingApproval/);
  const suspended = IN_STATE.Suspended();
  expect(suspended.apply((draft, now) => command(draft, "Suspend", { ...narrow, now }))).toBe("repeated");
});

describe("approvals", () => {
  const two = () => new JobInMemory(definitionOf([taskOf("a")]), ["bob", "carol", "alice"]);

  test("the initiator is never asked; each domain decides for itself", () => {
    const job = new JobInMemory(
      definitionOf([taskOf("a", { parties: [...taskOf("a").parties, { domain: "carol", role: "", resources: null, bandwidthLimits: [] }] })]),
      ["alice", "bob", "carol"],
    );
    expect(job.job.domains["alice"]?.approval).toBe("JobAccepted");
    const accept = (domain: string) =>
      job.apply((draft, now) => approve(draft, { decision: "JobAccepted", actor: { role: "domain", domain }, reason: "", now }));
    accept("bob");
    expect(job.job.state).toBe("AwaitingApproval");
    expect(accept("bob")).toBe("repeated");
    expect(() => accept("alice")).toThrow('cannot approve job "job": domain "alice" does not have to approve it');
    accept("carol");
    expect(job.job.state).toBe("Running");
    expect(job.liveTasks()).toHaveLength(1);
  });

  test("a rejection that ended the job can be repeated, whatever others had decided before", () => {
    const parties = ["alice", "bob", "carol"].map((domain) => party(domain));
    const job = new JobInMemory(definitionOf([taskOf("a", { parties })]), ["bob", "carol"]);
    const decide = (decision: "JobAccepted" | "JobRejected", actor: Actor) =>
      job.apply((draft, now) => approve(draft, { decision, actor, reason: "", now }));
    decide("JobAccepted", { role: "domain", domain: "bob" });
    expect(decide("JobRejected", MASTER)).toBe("applied");
    expect(decide("JobRejected", MASTER)).toBe("repeated");
    expect(() => decide("JobAccepted", MASTER)).toThrow(JobError);
  });

  test("a decision about other content than the job's is refused and changes nothing", () => {
    const job = two();
    const decide = (contentHash: string) =>
      job.apply((draft, now) => approve(draft, { decision: "JobAccepted", actor: MASTER, reason: "", contentHash, now }));
    expect(() => decide("of another job")).toThrow(/its content is not the one that was decided about/);
    expect(job.job.state).toBe("AwaitingApproval");
    expect(decide(job.job.contentHash)).toBe("applied");
  });

  test("a job that nobody approves in time is rejected, and says who was silent", () => {
    const job = two();
    job.apply((draft, now) => expireApproval(draft, { waitingSince: job.job.since - 1, now }));
    expect(job.job.state).toBe("AwaitingApproval");
    job.apply((draft, now) => expireApproval(draft, { waitingSince: job.job.since, now }));
    expect(job.job).toMatchObject({ state: "ApprovalReject", reason: "ApprovalExpired", message: "not approved in time by bob" });
    expect(job.task("a")).toMatchObject({ state: "Failed", reason: "NotRun" });
    expect(() => run(job, "Approve")).toThrow(JobError);
  });

  test("a job that waited for approval says so again after a restart", () => {
    const job = commanded(IN_STATE.AwaitingApproval(), "Suspend");
    commanded(job, "Restart");
    expect(job.job).toMatchObject({ state: "AwaitingApproval", message: "waiting for approval by bob" });
  });

  test("one rejection ends the job with the reason given; nothing ever ran", () => {
    const job = two();
    job.apply((draft, now) => approve(draft, { decision: "JobRejected", actor: MASTER, reason: "not our data", now }));
    expect(job.job).toMatchObject({ state: "ApprovalReject", message: "rejected by bob: not our data" });
    expect(job.task("a")).toMatchObject({ state: "Failed", reason: "NotRun" });
  });
});
