import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { checkDefinition, findCycle, planTasks } from "../../src/core/dag.js";
import { JobError } from "../../src/core/error.js";
import type { JobDefinition, TaskDefinition } from "../../src/core/job.js";
import { definitionOf, party, taskOf } from "./fixtures.js";

function refusal(definition: JobDefinition): JobError {
  try {
    checkDefinition(definition);
  } catch (error) {
    if (error instanceof JobError) return error;
    throw error;
  }
  throw new Error("was accepted");
}

const one = (more: Partial<TaskDefinition>) => definitionOf([taskOf("a", more)]);
const resources = (cpu: string) => [{ ...party("alice"), resources: { cpu, memory: "", bandwidth: "" } }];

describe("each broken rule is refused with its field", () => {
  test.each<[string, JobDefinition, string, RegExp]>([
    ["empty job_id", definitionOf([taskOf("a")], { jobId: "" }), "job_id", /must not be empty/],
    ["bad job_id", definitionOf([taskOf("a")], { jobId: "Job_1" }), "job_id", /must match .* got "Job_1"/],
    ["long job_id", definitionOf([taskOf("a")], { jobId: "a".repeat(64) }), "job_id", /must match/],
    ["no tasks", definitionOf([]), "tasks", /must not be empty/],
    ["129 tasks", definitionOf(Array.from({ length: 129 }, (_, i) => taskOf(`t${i}`))), "tasks", /at most 128/],
    ["no initiator", definitionOf([taskOf("a")], { initiator: "" }), "initiator", /must not be empty/],
    ["initiator as a path", definitionOf([taskOf("a")], { initiator: "../x" }), "initiator", /must match/],
    ["parallelism", definitionOf([taskOf("a")], { maxParallelism: 129 }), "max_parallelism", /at most 128/],
    ["empty alias", one({ alias: "" }), "tasks[0].alias", /must not be empty/],
    ["no parties", one({ parties: [] }), "tasks[0].parties", /must not be empty/],
    ["empty domain", one({ parties: [party("")] }), "tasks[0].parties[0].domain_id", /must not be empty/],
    ["same party twice", one({ parties: [party("bob"), party("bob")] }), "tasks[0].parties[1]", /has the domain_id and role of tasks\[0\]\.parties\[0\]/],
    ["empty image", one({ appImage: "" }), "tasks[0].app_image", /must not be empty/],
    ["bad task_id", one({ taskId: "a/b" }), "tasks[0].task_id", /must match/],
    ["bad quantity", one({ parties: resources("2 cores") }), "tasks[0].parties[0].resources.cpu", /must be a quantity/],
    ["negative quantity", one({ parties: resources("-1") }), "tasks[0].parties[0].resources.cpu", /must not be negative/],
    [
      "zero bandwidth limit",
      one({ parties: [{ ...party("alice"), bandwidthLimits: [{ destination: "bob", kbps: "0" }] }] }),
      "tasks[0].parties[0].bandwidth_limits[0].limit_kbps",
      /above 0/,
    ],
    ["custom field key", definitionOf([taskOf("a")], { customFields: { "-a": "" } }), 'custom_fields["-a"]', /the key/],
    ["custom field value", definitionOf([taskOf("a")], { customFields: { a: "x ".repeat(9) } }), 'custom_fields["a"]', /the value/],
    ["alias twice", definitionOf([taskOf("a"), taskOf("a", { taskId: "" })]), "tasks[1].alias", /used by tasks\[0\] already/],
    ["task_id twice", definitionOf([taskOf("a"), taskOf("b", { taskId: "id-a" })]), "tasks[1].task_id", /used by tasks\[0\]/],
    ["unknown dependency", one({ dependencies: ["x"] }), "tasks[0].dependencies[0]", /no task has the alias "x"/],
    [
      "tolerable dependency",
      definitionOf([taskOf("a", { tolerable: true }), taskOf("b", { dependencies: ["a"] })]),
      "tasks[1].dependencies[0]",
      /is tolerable/,
    ],
    ["itself", one({ dependencies: ["a"] }), "tasks", /cycle: a -> a/],
    [
      "cycle",
      definitionOf([taskOf("a", { dependencies: ["c"] }), taskOf("b", { dependencies: ["a"] }), taskOf("c", { dependencies: ["b"] })]),
      "tasks",
      /cycle: a -> c -> b -> a/,
    ],
  ])("%s", (_name, definition, field, rule) => {
    const error = refusal(definition);
    expect(error).toMatchObject({ reason: "InvalidArgument", field });
    expect(error.message).toMatch(rule);
    expect(error.message.startsWith(field)).toBe(true);
  });
});

test("defaults: parallelism 1, schedule numbers where a schedule_config is given", () => {
  const schedule = { taskTimeoutSeconds: 0, resourceReservedSeconds: -1, resourceReallocationIntervalSeconds: 7 };
  const checked = checkDefinition(definitionOf([taskOf("a", { schedule }), taskOf("b")], { maxParallelism: 0 }));
  expect(checked.maxParallelism).toBe(1);
  expect(checked.tasks[0]?.schedule).toEqual({
    taskTimeoutSeconds: 300,
    resourceReservedSeconds: 30,
    resourceReallocationIntervalSeconds: 7,
  });
  expect(checked.tasks[1]?.schedule).toBeNull();
});

const graphs = fc.array(fc.array(fc.nat({ max: 11 }), { maxLength: 4 }), { minLength: 1, maxLength: 12 }).map((edges) =>
  edges.map((to, i) => ({ alias: `t${i}`, dependencies: to.filter((t) => t < edges.length).map((t) => `t${t}`) })),
);

test("findCycle: a found cycle is one, and where none is found the tasks can be put in order", () => {
  fc.assert(
    fc.property(graphs, (tasks) => {
      const dependenciesOf = new Map(tasks.map((task) => [task.alias, task.dependencies]));
      const cycle = findCycle(tasks);
      if (cycle) {
        expect(cycle.length).toBeGreaterThan(1);
        expect(cycle[0]).toBe(cycle.at(-1));
        cycle.slice(1).forEach((alias, i) => expect(dependenciesOf.get(cycle[i] ?? "")).toContain(alias));
        return;
      }
      const plan = planTasks(tasks);
      const waiting = plan.map((p) => p.waitingOn);
      const queue = waiting.flatMap((n, i) => (n === 0 ? [i] : []));
      for (const index of queue) {
        for (const d of plan[index]?.dependents ?? []) if (--waiting[d]! === 0) queue.push(d);
      }
      expect(queue).toHaveLength(tasks.length);
    }),
  );
});

test("a chain as deep as the limit allows is no problem", () => {
  const tasks = Array.from({ length: 20_000 }, (_, i) => ({ alias: `t${i}`, dependencies: i === 0 ? [] : [`t${i - 1}`] }));
  expect(findCycle(tasks)).toBeUndefined();
});
