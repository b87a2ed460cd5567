import { create } from "@bufbuild/protobuf";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  CreateJobRequestSchema,
  JobState_State,
  JobStatusSchema,
  QueryJobResponseDataSchema,
  ScheduleConfigSchema,
} from "../../../gen/kuscia/proto/api/v1alpha1/kusciaapi/job_pb.js";
import {
  JOB_STATES,
  type JobDefinition,
  type JobRecord,
  type JobState,
  type JobView,
  type Party,
  type Task,
  TASK_STATES,
} from "../../../src/core/job.js";
import { moved } from "../../../src/core/moves/states.js";
import {
  definitionFromRequest,
  jobStatusFromView,
  queryDataFromRecord,
  timeFromInstant,
} from "../../../src/surfaces/kuscia/translate.js";
import { definitionOf, partyOf, taskOf, viewOf } from "../../fakes.js";

const text = fc.string({ unit: "grapheme", maxLength: 8 });
const int32 = fc.integer();
const party = fc.record(
  {
    domainId: text,
    role: text,
    resources: fc.record({ cpu: text, memory: text, bandwidth: text }),
    bandwidthLimits: fc.array(
      fc.record({ destinationId: text, limitKbps: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }) }),
      {
        maxLength: 2,
      },
    ),
  },
  { requiredKeys: ["domainId", "role", "bandwidthLimits"] },
);
const task = fc.record(
  {
    appImage: text,
    parties: fc.array(party, { maxLength: 3 }),
    alias: text,
    taskId: text,
    dependencies: fc.array(text, { maxLength: 3 }),
    taskInputConfig: text,
    priority: int32,
    scheduleConfig: fc.record({
      taskTimeoutSeconds: int32,
      resourceReservedSeconds: int32,
      resourceReallocationIntervalSeconds: int32,
    }),
    tolerable: fc.boolean(),
    retry: fc.record({ maxAttempts: fc.integer({ min: 2, max: 10 }), backoffSeconds: int32 }),
    runTimeoutSeconds: int32,
  },
  { requiredKeys: ["appImage", "parties", "alias", "taskId", "dependencies", "taskInputConfig", "priority"] },
);
const request = fc.record({
  jobId: text,
  initiator: text,
  maxParallelism: int32,
  customFields: fc.dictionary(text, text, { maxKeys: 3 }),
  scheduleMode: fc.constantFrom("BestEffort", "Strict"),
  tasks: fc.array(task, { maxLength: 4 }),
});

const recordOf = (definition: JobDefinition): JobRecord => ({
  ...viewOf(definition),
  commands: [],
  inputs: definition.tasks.map((task) => task.inputConfig),
});

const DEFAULTS = { taskTimeoutSeconds: 300, resourceReservedSeconds: 30, resourceReallocationIntervalSeconds: 30 };

it("what a request defines is what a query shows, and the schedule that holds where it defines none", () => {
  fc.assert(
    fc.property(request, (init) => {
      const shown = create(
        QueryJobResponseDataSchema,
        queryDataFromRecord(recordOf(definitionFromRequest(create(CreateJobRequestSchema, init)))),
      );
      const { status: _status, ...definition } = shown;
      const { status: _none, ...expected } = create(QueryJobResponseDataSchema, init);
      for (const task of expected.tasks) task.scheduleConfig ??= create(ScheduleConfigSchema, DEFAULTS);
      expect(definition).toEqual(expected);
    }),
  );
});

it("silence about the schedule mode means BestEffort, an unknown word is refused", () => {
  expect(definitionFromRequest(create(CreateJobRequestSchema)).scheduleMode).toBe("BestEffort");
  const odd = create(CreateJobRequestSchema, { scheduleMode: "Lax" });
  expect(() => definitionFromRequest(odd)).toThrow('schedule_mode: must be BestEffort or Strict, got "Lax"');
});

it("one try is no retry policy, and 0 tries are one", () => {
  const tasks = [{ retry: { maxAttempts: 0, backoffSeconds: 5 } }];
  const [task] = definitionFromRequest(create(CreateJobRequestSchema, { tasks })).tasks;
  expect(task?.retry).toEqual({ maxAttempts: 1, backoffSeconds: 5 });
});

it("shows the commands that took effect, with who, why and when", () => {
  const commands = [
    { verb: "Suspend", actor: { role: "domain", domain: "bob" }, reason: "lunch", time: 1000, result: "Suspended" },
    { verb: "Restart", actor: { role: "master", domain: null }, reason: "", time: 2000, result: "Running" },
  ] as const;
  const shown = create(QueryJobResponseDataSchema, queryDataFromRecord({ ...recordOf(definitionOf("a")), commands }));
  expect(shown.commandHistory).toMatchObject([
    { command: "Suspend", domainId: "bob", role: "domain", reason: "lunch", time: "1970-01-01T00:00:01Z", result: "Suspended" },
    { command: "Restart", domainId: "", role: "master", reason: "", time: "1970-01-01T00:00:02Z", result: "Running" },
  ]);
});

it("says why a task waits, and for what", () => {
  const definition = definitionOf("a");
  const second = { ...definition.tasks[0]!, alias: "second", taskId: "second", dependencies: ["job-psi"] };
  const view = viewOf({ ...definition, tasks: [...definition.tasks, second] });
  const [first, waiting] = view.tasks;
  const tasks = [first!, { ...waiting!, reason: "WaitingDependency", message: "", since: 3000 } as const];
  const status = create(JobStatusSchema, jobStatusFromView({ ...view, tasks })).status;
  expect(status?.tasks[1]?.reason).toMatchObject({
    reason: "WaitingDependency",
    since: "1970-01-01T00:00:03Z",
    waitsFor: ["job-psi"],
  });
  expect(status?.tasks[0]?.reason).toMatchObject({ reason: "WaitingRunner", message: "waiting for a runner", waitsFor: [] });
});

const statusOf = (view: JobView) => create(JobStatusSchema, jobStatusFromView(view)).status;

describe("the status of a job", () => {
  const base = viewOf(definitionOf("a"));
  const job = (patch: Partial<JobView["job"]>): JobView => ({ ...base, job: { ...base.job, ...patch } });

  it.each(JOB_STATES)("names the state %s, and explains it only where it is an end that needs a reason", (state) => {
    const status = statusOf(job({ state: moved<JobState>(state), message: "why" }));
    expect(Object.keys(JobState_State)).toContain(status?.state);
    expect(status?.state).toBe(state);
    const explained = ["Failed", "Cancelled", "ApprovalReject"].includes(state);
    expect(status?.errMsg).toBe(explained ? "why" : "");
  });

  it("has times in whole seconds, or none", () => {
    expect(timeFromInstant(Date.UTC(2026, 10, 24, 1, 2, 3, 999))).toBe("2026-11-24T01:02:03Z");
    expect(timeFromInstant(null)).toBe("");
    const status = statusOf(job({ startedAt: 1000, endedAt: 2999 }));
    expect([status?.startTime, status?.endTime]).toEqual(["1970-01-01T00:00:01Z", "1970-01-01T00:00:02Z"]);
  });

  it("lists the stage of every domain, and the approvals that were given", () => {
    const status = statusOf(
      job({
        domains: {
          alice: { asked: false, approval: "JobAccepted", stage: "JobStartStageSucceeded" },
          bob: { asked: true, approval: "Waiting", stage: "JobCreateStageSucceeded" },
          carol: { asked: true, approval: "JobRejected", stage: "JobStopStageFailed" },
        },
      }),
    );
    expect(status).toMatchObject({
      stageStatusList: [
        { domainId: "alice", state: "JobStartStageSucceeded" },
        { domainId: "bob", state: "JobCreateStageSucceeded" },
        { domainId: "carol", state: "JobStopStageFailed" },
      ],
      approveStatusList: [
        { domainId: "alice", state: "JobAccepted" },
        { domainId: "carol", state: "JobRejected" },
      ],
    });
  });

  it("has a job that is stopping in its old state, without a message", () => {
    expect(statusOf(job({ state: moved("Running"), reason: "Stopping", message: "stopping" }))).toMatchObject({
      state: "Running",
      errMsg: "",
    });
  });
});

describe("the status of a task", () => {
  const definition = definitionOf("a").tasks[0]!;
  const show = (patch: Partial<Task>) =>
    statusOf({ ...viewOf(definitionOf("a")), tasks: [{ ...taskOf(definition), ...patch }] })?.tasks[0];

  it.each(TASK_STATES)("%s is explained only where it is Failed", (state) => {
    const shown = show({ state: moved(state), message: "why", progress: 0.4 });
    expect(shown).toMatchObject({ taskId: "a-psi", alias: "job-psi", state, progress: 0.4 });
    expect(shown?.errMsg).toBe(state === "Failed" ? "why" : "");
  });

  it("has no parties until it is scheduled", () => {
    expect(show({ attempt: 0 })?.parties).toEqual([]);
    expect(show({ attempt: 1 })?.parties.map((each) => each.domainId)).toEqual(["alice", "bob"]);
  });

  it.each([
    [["Failed", "Running"], "Failed"],
    [["Succeeded", "Running"], "Running"],
    [["Succeeded", "Succeeded"], "Succeeded"],
    [["Succeeded", "Pending"], "Pending"],
    [["Pending", "Pending"], "Pending"],
  ] as const)("merges roles of one domain: %s is %s", (states, merged) => {
    const parties = states.map((state, i) => partyOf({ domain: "alice", role: `r${i}`, state: moved(state) }));
    expect(show({ attempt: 1, parties })?.parties.map((each) => each.state)).toEqual([merged]);
  });

  it("joins what went wrong and where the roles of a domain are reached", () => {
    const endpoint = (portName: string, scope: string) => ({ portName, scope, endpoint: `127.0.0.1:${portName}` });
    const failed: Partial<Party> = { state: moved("Failed") };
    const parties = [
      partyOf({ domain: "alice", role: "a", ...failed, message: "no disk", endpoints: [endpoint("1", "Cluster")] }),
      partyOf({ domain: "bob", message: "waiting", endpoints: [endpoint("2", "Local"), endpoint("3", "Domain")] }),
      partyOf({ domain: "alice", role: "b", ...failed, message: "no memory", endpoints: [endpoint("4", "Cluster")] }),
    ];
    expect(show({ attempt: 1, parties })?.parties).toMatchObject([
      {
        domainId: "alice",
        errMsg: "no disk; no memory",
        endpoints: [endpoint("1", "Cluster"), endpoint("4", "Cluster")],
      },
      { domainId: "bob", errMsg: "", endpoints: [endpoint("3", "Domain")] },
    ]);
  });
});
