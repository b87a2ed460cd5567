/**
 * The content rules of a job and the shape of its DAG. `checkDefinition` runs at submit: what it lets through can be
 * run, so no later stage fails a job for its definition. Rules follow the Kuscia Job API (request checks of CreateJob and
 * limits of its job schema); cycles, duplicate names and tolerable dependencies are refused here rather than found later.
 */

import { type JobError, invalid, quoted } from "./error.js";
import { DEFAULT_SCHEDULE, type JobDefinition, type PartyDefinition, type Task, type TaskDefinition } from "./job.js";
import { parseQuantity } from "./quantity.js";

export interface Limits {
  readonly tasks: number;
  readonly dependencies: number;
  readonly parallelism: number;
  readonly parties: number;
  readonly customFields: number;
}

export const DEFAULT_LIMITS: Limits = { tasks: 128, dependencies: 128, parallelism: 128, parties: 64, customFields: 64 };

const JOB_ID = /^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$/;
const TASK_ID = /^[a-z0-9]([a-z0-9.-]{0,126}[a-z0-9])?$/;
/** A domain's name: a DNS label. */
export const DOMAIN_ID = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;
const ROLE = /^[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$/;
const LABEL_NAME = /^[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$/;
const ALIAS = /^[^\p{Cc}\p{Cs}]{1,128}$/u;

/** Reads as the end of "must ...". */
const LABEL_RULE = "match ^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$";

/** Fills in defaults and checks every rule; throws the first broken one with its field. */
export function checkDefinition(asked: JobDefinition, limits: Limits = DEFAULT_LIMITS): JobDefinition {
  const definition = withDefaults(asked);
  if (definition.jobId === "") throw invalid("job_id", "must not be empty");
  if (!JOB_ID.test(definition.jobId)) throw invalid("job_id", `must match ${JOB_ID.source}, got ${quoted(definition.jobId)}`);
  if (definition.tasks.length === 0) throw invalid("tasks", "must not be empty");
  if (definition.tasks.length > limits.tasks) {
    throw invalid("tasks", `must be at most ${limits.tasks}, got ${definition.tasks.length}`);
  }
  checkDomain("initiator", definition.initiator);
  if (definition.maxParallelism > limits.parallelism) {
    throw invalid("max_parallelism", `must be at most ${limits.parallelism}, got ${definition.maxParallelism}`);
  }
  checkCustomFields(definition.customFields, limits);
  definition.tasks.forEach((task, i) => checkTask(`tasks[${i}]`, task, limits));
  checkNames(definition);
  checkDependencies(definition);
  return definition;
}

function withDefaults(asked: JobDefinition): JobDefinition {
  return {
    ...asked,
    maxParallelism: asked.maxParallelism <= 0 ? 1 : asked.maxParallelism,
    tasks: asked.tasks.map((task) => ({
      ...task,
      schedule: task.schedule && {
        taskTimeoutSeconds: positive(task.schedule.taskTimeoutSeconds, DEFAULT_SCHEDULE.taskTimeoutSeconds),
        resourceReservedSeconds: positive(task.schedule.resourceReservedSeconds, DEFAULT_SCHEDULE.resourceReservedSeconds),
        resourceReallocationIntervalSeconds: positive(
          task.schedule.resourceReallocationIntervalSeconds,
          DEFAULT_SCHEDULE.resourceReallocationIntervalSeconds,
        ),
      },
    })),
  };
}

function positive(value: number, otherwise: number): number {
  return value > 0 ? value : otherwise;
}

function checkTask(path: string, task: TaskDefinition, limits: Limits): void {
  if (task.alias === "") throw invalid(`${path}.alias`, "must not be empty");
  if (!ALIAS.test(task.alias)) throw invalid(`${path}.alias`, "must be at most 128 characters without control characters");
  if (task.parties.length === 0) throw invalid(`${path}.parties`, "must not be empty");
  if (task.parties.length > limits.parties) {
    throw invalid(`${path}.parties`, `must be at most ${limits.parties}, got ${task.parties.length}`);
  }
  if (task.taskId !== "" && !TASK_ID.test(task.taskId)) {
    throw invalid(`${path}.task_id`, `must match ${TASK_ID.source}, got ${quoted(task.taskId)}`);
  }
  if (task.appImage === "") throw invalid(`${path}.app_image`, "must not be empty");
  if (task.dependencies.length > limits.dependencies) {
    throw invalid(`${path}.dependencies`, `must be at most ${limits.dependencies}, got ${task.dependencies.length}`);
  }
  checkTries(path, task);
  const seen = new Map<string, number>();
  task.parties.forEach((party, i) => {
    checkParty(`${path}.parties[${i}]`, party);
    const key = `${party.domain}/${party.role}`;
    const first = seen.get(key);
    if (first !== undefined) {
      throw invalid(`${path}.parties[${i}]`, `has the domain_id and role of ${path}.parties[${first}]; each pair may be there once`);
    }
    seen.set(key, i);
  });
}

/** Upper bounds of a retry policy and of run_timeout_seconds. */
const MAX_ATTEMPTS = 10;
const MAX_BACKOFF_SECONDS = 3_600;
const MAX_RUN_SECONDS = 365 * 86_400;

function checkTries(path: string, { retry, runTimeoutSeconds }: TaskDefinition): void {
  const within = (field: string, value: number, least: number, most: number): void => {
    if (value < least || value > most) throw invalid(`${path}.${field}`, `must be ${least} to ${most}, got ${value}`);
  };
  within("retry.max_attempts", retry.maxAttempts, 1, MAX_ATTEMPTS);
  within("retry.backoff_seconds", retry.backoffSeconds, 0, MAX_BACKOFF_SECONDS);
  within("run_timeout_seconds", runTimeoutSeconds, 0, MAX_RUN_SECONDS);
}

function checkParty(path: string, party: PartyDefinition): void {
  checkDomain(`${path}.domain_id`, party.domain);
  if (party.role !== "" && !ROLE.test(party.role)) {
    throw invalid(`${path}.role`, `must match ${ROLE.source}, got ${quoted(party.role)}`);
  }
  for (const name of ["cpu", "memory", "bandwidth"] as const) {
    const text = party.resources?.[name] ?? "";
    if (text === "") continue;
    const value = parseQuantity(text);
    if (value === undefined) {
      throw invalid(`${path}.resources.${name}`, `must be a quantity such as "500m" or "2Gi", got ${quoted(text)}`);
    }
    if (value < 0) throw invalid(`${path}.resources.${name}`, `must not be negative, got ${quoted(text)}`);
  }
  party.bandwidthLimits.forEach((limit, i) => {
    if (limit.kbps === "0") throw invalid(`${path}.bandwidth_limits[${i}].limit_kbps`, "must be above 0");
    if (limit.destination === "") throw invalid(`${path}.bandwidth_limits[${i}].destination_id`, "must not be empty");
  });
}

function checkDomain(path: string, domain: string): void {
  if (domain === "") throw invalid(path, "must not be empty");
  if (!DOMAIN_ID.test(domain)) throw invalid(path, `must ${LABEL_RULE}, got ${quoted(domain)}`);
}

function checkCustomFields(fields: Readonly<Record<string, string>>, limits: Limits): void {
  const entries = Object.entries(fields);
  if (entries.length > limits.customFields) {
    throw invalid("custom_fields", `must be at most ${limits.customFields}, got ${entries.length}`);
  }
  for (const [key, value] of entries) {
    if (!LABEL_NAME.test(key)) {
      throw invalid(`custom_fields[${quoted(key)}]`, `the key must match ${LABEL_NAME.source}`);
    }
    if (value !== "" && !LABEL_NAME.test(value)) {
      throw invalid(`custom_fields[${quoted(key)}]`, `the value must be empty or match ${LABEL_NAME.source}`);
    }
  }
}

function checkNames(definition: JobDefinition): void {
  for (const [name, of] of [["alias", (t: TaskDefinition) => t.alias], ["task_id", (t: TaskDefinition) => t.taskId]] as const) {
    const seen = new Map<string, number>();
    definition.tasks.forEach((task, i) => {
      const value = of(task);
      if (value === "") return;
      const first = seen.get(value);
      if (first !== undefined) throw invalid(`tasks[${i}].${name}`, `${quoted(value)} is used by tasks[${first}] already`);
      seen.set(value, i);
    });
  }
}

function checkDependencies(definition: JobDefinition): void {
  const byAlias = new Map(definition.tasks.map((task) => [task.alias, task]));
  definition.tasks.forEach((task, i) => {
    task.dependencies.forEach((name, d) => {
      const path = `tasks[${i}].dependencies[${d}]`;
      const dependency = byAlias.get(name);
      if (!dependency) throw invalid(path, `no task has the alias ${quoted(name)}`);
      if (dependency.tolerable) {
        throw invalid(path, `${quoted(name)} is tolerable, and a tolerable task cannot be depended on`);
      }
    });
  });
  const cycle = findCycle(definition.tasks);
  if (cycle) throw cycleError(cycle);
}

function cycleError(cycle: readonly string[]): JobError {
  return invalid("tasks", `the dependencies form a cycle: ${cycle.join(" -> ")}`);
}

/** Aliases along a cycle, the first repeated at the end; undefined where the tasks form a DAG. Iterative: depth is bounded by count only. */
export function findCycle(tasks: readonly Pick<TaskDefinition, "alias" | "dependencies">[]): string[] | undefined {
  const byAlias = new Map(tasks.map((task) => [task.alias, task]));
  const done = new Set<string>();
  for (const root of tasks) {
    if (done.has(root.alias)) continue;
    const path: { alias: string; next: number }[] = [{ alias: root.alias, next: 0 }];
    const onPath = new Set([root.alias]);
    for (let top = path.at(-1); top !== undefined; top = path.at(-1)) {
      const dependency = byAlias.get(top.alias)?.dependencies[top.next++];
      if (dependency === undefined) {
        done.add(top.alias);
        onPath.delete(top.alias);
        path.pop();
      } else if (onPath.has(dependency)) {
        const from = path.findIndex((step) => step.alias === dependency);
        return [...path.slice(from).map((step) => step.alias), dependency];
      } else if (!done.has(dependency)) {
        path.push({ alias: dependency, next: 0 });
        onPath.add(dependency);
      }
    }
  }
  return undefined;
}

/** Per task, in definition order: how many tasks it waits for and which wait for it. A dependency named twice counts once. */
export function planTasks(
  tasks: readonly Pick<TaskDefinition, "alias" | "dependencies">[],
): { waitingOn: number; dependents: number[] }[] {
  const indexOf = new Map(tasks.map((task, i) => [task.alias, i]));
  const plan = tasks.map((task) => ({ waitingOn: new Set(task.dependencies).size, dependents: [] as number[] }));
  tasks.forEach((task, i) => {
    for (const name of new Set(task.dependencies)) {
      const dependency = indexOf.get(name);
      if (dependency !== undefined) plan[dependency]?.dependents.push(i);
    }
  });
  return plan;
}

/**
 * Each task after all that it depends on. Of those that could come next always the first in the definition, so the order
 * never changes.
 */
export function inDependencyOrder(tasks: readonly Task[]): readonly Task[] {
  const open = new Map(tasks.map((task) => [task.index, new Set(task.definition.dependencies).size]));
  const byIndex = new Map(tasks.map((task) => [task.index, task]));
  const ready = new Set(tasks.filter((task) => open.get(task.index) === 0).map((task) => task.index));
  const ordered: Task[] = [];
  while (ready.size > 0) {
    const index = Math.min(...ready);
    ready.delete(index);
    const task = byIndex.get(index);
    if (!task) continue;
    ordered.push(task);
    for (const dependent of task.dependents) {
      const left = (open.get(dependent) ?? 0) - 1;
      open.set(dependent, left);
      if (left === 0) ready.add(dependent);
    }
  }
  return ordered;
}

/** Every domain that takes part, the initiator first, each once. */
export function domainsOf(definition: JobDefinition): string[] {
  const domains = new Set([definition.initiator]);
  for (const task of definition.tasks) for (const party of task.parties) domains.add(party.domain);
  return [...domains];
}
