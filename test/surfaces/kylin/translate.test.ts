import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { JobError } from "../../../src/core/error.js";
import type { JobView } from "../../../src/core/job.js";
import { command } from "../../../src/core/moves/commands.js";
import { attemptEnded, attemptStarted, type End } from "../../../src/core/moves/tasks.js";
import { CUSTOM_FIELDS, type JobObject, jobObject } from "../../../src/surfaces/kylin/translate.js";
import { definitionOf, failed, JobInMemory, killed, MASTER, party, succeeded, taskOf } from "../../core/fixtures.js";
import { definitions, steps, take } from "../../core/random-jobs.js";

const VERSION = "1.2.3";
const viewOf = (job: JobInMemory): JobView => ({ job: job.job, tasks: [...job.tasks.values()] });
const shown = (job: JobInMemory, now = job.now): JobObject => jobObject(viewOf(job), { now, version: VERSION });
const statuses = (object: JobObject): string[] => object.steps.map((step) => step.step_status);

const start = (job: JobInMemory, index: number): string[] => {
  const uids = job.claim(index);
  for (const attemptUid of uids) job.apply((draft, now) => attemptStarted(draft, { attemptUid, now }), index);
  return uids;
};
const end = (job: JobInMemory, uids: readonly string[], how: (uid: string, now: number) => End): void => {
  for (const uid of uids) job.apply((draft, now) => attemptEnded(draft, how(uid, now)));
};
const order = (job: JobInMemory, verb: "Suspend" | "Restart" | "Cancel" | "Stop"): void => {
  job.apply((draft, now) => command(draft, verb, { actor: MASTER, reason: "", now }));
};
const alone = { parties: [party("alice")] };
const chain = (): JobInMemory =>
  new JobInMemory(definitionOf([taskOf("b", { ...alone, dependencies: ["a"] }), taskOf("a", alone), taskOf("c", { ...alone, dependencies: ["b"] })]));

test("a job that runs, field by field", () => {
  const job = chain();
  job.now = 10_000;
  end(job, start(job, 1), succeeded);
  job.now = 20_000;
  start(job, 0);
  // As the store does when it saves.
  job.job = { ...job.job, updatedAt: job.now };
  expect(shown(job, 31_999)).toEqual({
    uuid: "job",
    last_modified: 20_002,
    version: VERSION,
    name: "job",
    projectName: "",
    type: "BUILD",
    duration: 30,
    related_cube: "job",
    display_cube_name: "job",
    related_segment: null,
    related_segment_name: null,
    exec_start_time: 1_000,
    exec_end_time: 0,
    exec_interrupt_time: 0,
    mr_waiting: 9,
    steps: [
      {
        id: "job-00",
        name: "a",
        sequence_id: 0,
        exec_cmd: "image",
        interrupt_cmd: null,
        interruptCmd: null,
        exec_start_time: 10_002,
        exec_end_time: 10_003,
        exec_wait_time: 9,
        step_status: "FINISHED",
        cmd_type: "SHELL_CMD",
        info: {
          startTime: "10002",
          endTime: "10003",
          mapReduceWaitTime: "9002",
          task_id: "id-a",
          parties: "alice",
          attempt: "1",
          reason: "None",
          runner: "r",
        },
        run_async: false,
      },
      expect.objectContaining({ id: "job-01", name: "b", step_status: "RUNNING", exec_start_time: 20_002, exec_end_time: 0, exec_wait_time: 9 }),
      expect.objectContaining({ id: "job-02", name: "c", step_status: "PENDING", exec_start_time: 0, exec_wait_time: 0 }),
    ],
    submitter: "master",
    job_status: "RUNNING",
    progress: 100 / 3,
    build_instance: "r",
  });
});

describe("custom fields", () => {
  const withFields = (customFields: Record<string, string>): JobObject =>
    shown(new JobInMemory(definitionOf([taskOf("a")], { customFields })));

  test("say what other surfaces have no word for", () => {
    const given = withFields({
      [CUSTOM_FIELDS.type]: "merge",
      [CUSTOM_FIELDS.project]: "learn_kylin",
      [CUSTOM_FIELDS.cube]: "sales_cube",
      [CUSTOM_FIELDS.cubeTitle]: "Sales",
      [CUSTOM_FIELDS.segment]: "5c8f",
      [CUSTOM_FIELDS.segmentName]: "20120101000000_20120201000000",
    });
    expect(given).toMatchObject({
      type: "MERGE",
      projectName: "learn_kylin",
      related_cube: "sales_cube",
      display_cube_name: "Sales",
      related_segment: "5c8f",
      related_segment_name: "20120101000000_20120201000000",
    });
  });

  test("need not be there, nor make sense", () => {
    expect(withFields({ [CUSTOM_FIELDS.cube]: "c", [CUSTOM_FIELDS.project]: "" })).toMatchObject({
      display_cube_name: "c",
      projectName: "",
    });
    expect(withFields({ [CUSTOM_FIELDS.type]: "paint" }).type).toBe("BUILD");
  });
});

test.each([
  [7, 36, 19.444444444444443],
  [5, 36, 13.88888888888889],
  [13, 36, 36.111111111111114],
  [5, 16, 31.25],
  [16, 16, 100],
])("%d finished steps of %d are %d percent", (finished, all, percent) => {
  const tasks = Array.from({ length: all }, (_, i) => taskOf(`t${i}`, alone));
  const job = new JobInMemory(definitionOf(tasks, { maxParallelism: all }));
  for (let i = 0; i < finished; i++) end(job, start(job, i), succeeded);
  expect(shown(job).progress).toBe(percent);
});

describe("a paused job", () => {
  test("has stopped at once, at the step that ran, and its clock too", () => {
    const job = chain();
    const uids = start(job, 1);
    job.now = 9_000;
    order(job, "Suspend");
    const paused = shown(job, 60_000);
    expect(paused).toMatchObject({ job_status: "STOPPED", exec_end_time: 9_001, duration: 8, exec_interrupt_time: 0 });
    expect(statuses(paused)).toEqual(["STOPPED", "PENDING", "PENDING"]);
    end(job, uids, killed);
    expect(statuses(shown(job))).toEqual(["STOPPED", "PENDING", "PENDING"]);
    job.now = 50_000;
    order(job, "Restart");
    expect(shown(job)).toMatchObject({ exec_end_time: 0, exec_interrupt_time: 50_001 - 9_002 });
    expect(statuses(shown(job))).toEqual(["PENDING", "PENDING", "PENDING"]);
  });

  test("has stopped at its first step where none ran", () => {
    const job = new JobInMemory(definitionOf([taskOf("a"), taskOf("b")]), ["bob"]);
    order(job, "Suspend");
    expect(shown(job)).toMatchObject({ job_status: "STOPPED", exec_start_time: 0, duration: 0 });
    expect(statuses(shown(job))).toEqual(["STOPPED", "PENDING"]);
  });

  test("is no longer at work when it is cancelled later", () => {
    const job = chain();
    end(job, start(job, 1), succeeded);
    job.now = 11_000;
    order(job, "Suspend");
    job.now = 90_000;
    order(job, "Cancel");
    const discarded = shown(job, 1_000_000);
    expect(discarded).toMatchObject({ job_status: "DISCARDED", exec_end_time: 90_001, duration: 10 });
    expect(statuses(discarded)).toEqual(["FINISHED", "DISCARDED", "DISCARDED"]);
  });
});

test("a cancelled job is discarded at once, with every step that is not done", () => {
  const job = chain();
  end(job, start(job, 1), succeeded);
  start(job, 0);
  order(job, "Cancel");
  expect(shown(job).job_status).toBe("DISCARDED");
  expect(statuses(shown(job))).toEqual(["FINISHED", "DISCARDED", "DISCARDED"]);
});

test("a failed job has an ERROR step, and those after it stay PENDING", () => {
  const job = chain();
  end(job, start(job, 1), failed);
  expect(shown(job)).toMatchObject({ job_status: "ERROR", progress: 0 });
  expect(statuses(shown(job))).toEqual(["ERROR", "PENDING", "PENDING"]);
  expect(shown(job).steps[0]?.info.message).toContain("it broke");
});

test("a job that was stopped before anything ran has its error at the first step", () => {
  const job = chain();
  order(job, "Stop");
  expect(shown(job).job_status).toBe("ERROR");
  expect(statuses(shown(job))).toEqual(["ERROR", "PENDING", "PENDING"]);
});

test("from the hundredth step on ids grow", () => {
  const tasks = Array.from({ length: 101 }, (_, i) => taskOf(`t${i}`, alone));
  const ids = shown(new JobInMemory(definitionOf(tasks))).steps.map((step) => step.id);
  expect([ids[0], ids[99], ids[100]]).toEqual(["job-00", "job-99", "job-100"]);
});

test("whatever happens to a job, what is shown of it agrees with itself", () => {
  fc.assert(
    fc.property(definitions, steps, fc.boolean(), (definition, sequence, manual) => {
      const job = new JobInMemory(definition, manual ? ["bob"] : []);
      const names = shown(job).steps.map((step) => step.name);
      for (const step of sequence) {
        try {
          take(job, step);
        } catch (error) {
          if (!(error instanceof JobError)) throw error;
        }
        const object = shown(job);
        expect(object.steps.map((each) => each.name)).toEqual(names);
        checkOrder(object, job);
        checkStatuses(object);
        checkTimes(object);
      }
    }),
  );
});

function checkOrder(object: JobObject, job: JobInMemory): void {
  const names = object.steps.map((step) => step.name);
  expect(new Set(names).size).toBe(job.tasks.size);
  for (const [position, step] of object.steps.entries()) {
    expect([step.id, step.sequence_id]).toEqual([`job-0${position}`, position]);
    for (const before of job.task(step.name).definition.dependencies) expect(names.indexOf(before)).toBeLessThan(position);
  }
}

function checkStatuses(object: JobObject): void {
  const all = statuses(object);
  const count = (status: string): number => all.filter((each) => each === status).length;
  expect(object.progress).toBe((100 * count("FINISHED")) / all.length);
  const open = count("PENDING") + count("RUNNING");
  switch (object.job_status) {
    case "FINISHED":
      expect(open + count("STOPPED") + count("DISCARDED")).toBe(0);
      break;
    case "DISCARDED":
      expect(count("DISCARDED") + count("FINISHED")).toBe(all.length);
      break;
    case "STOPPED":
      expect(count("STOPPED") > 0 || open === 0).toBe(true);
      expect(count("RUNNING") + count("DISCARDED")).toBe(0);
      break;
    case "ERROR":
      // A job that was told to stop ends as Failed, though its last task may have succeeded meanwhile.
      expect(count("ERROR") > 0 || count("FINISHED") === all.length).toBe(true);
      expect(count("DISCARDED") + count("STOPPED")).toBe(0);
      break;
    default:
      expect(open).toBeGreaterThan(0);
      expect(count("DISCARDED") + count("STOPPED")).toBe(0);
  }
}

function checkTimes(object: JobObject): void {
  const goesOn = object.job_status === "PENDING" || object.job_status === "RUNNING";
  expect(object.exec_end_time === 0).toBe(goesOn);
  if (object.exec_start_time === 0) expect(object.duration).toBe(0);
  for (const time of [object.duration, object.mr_waiting, object.exec_interrupt_time]) {
    expect(Number.isInteger(time) && time >= 0).toBe(true);
  }
  for (const step of object.steps) {
    expect(step.exec_wait_time).toBeGreaterThanOrEqual(0);
    for (const value of Object.values(step.info)) expect(typeof value).toBe("string");
    if (step.step_status === "FINISHED") expect(step.exec_start_time > 0 && step.exec_end_time > 0).toBe(true);
  }
}
