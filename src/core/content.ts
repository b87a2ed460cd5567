/** What a job is, as one text: two requests ask for the same job where their texts are equal. */

import type { JobDefinition, TaskRequest } from "./job.js";

/** Equal definitions give equal text. A list of values, since their names would only make it longer. */
export function contentOf(definition: JobDefinition): string {
  const { jobId, initiator, maxParallelism, scheduleMode, customFields, tasks, ...rest } = definition;
  const fields = Object.entries(customFields).sort(([one], [other]) => (one < other ? -1 : 1));
  return JSON.stringify([jobId, initiator, maxParallelism, scheduleMode, fields, tasks.map(contentOfTask), nothing(rest)]);
}

function contentOfTask(task: TaskRequest): unknown[] {
  const { alias, taskId, appImage, parties, dependencies, inputConfig, priority, tolerable, schedule, retry, runTimeoutSeconds, ...rest } = task;
  return [
    alias,
    taskId,
    appImage,
    parties.map(({ domain, role, resources, bandwidthLimits, ...more }) => [
      domain,
      role,
      resources && [resources.cpu, resources.memory, resources.bandwidth],
      bandwidthLimits.map(({ destination, kbps }) => [destination, kbps]),
      nothing(more),
    ]),
    dependencies,
    inputConfig,
    priority,
    tolerable,
    schedule && [schedule.taskTimeoutSeconds, schedule.resourceReservedSeconds, schedule.resourceReallocationIntervalSeconds],
    [retry.maxAttempts, retry.backoffSeconds],
    runTimeoutSeconds,
    nothing(rest),
  ];
}

/** A field that is added to a definition does not compile here until it is part of the content. */
function nothing(_rest: Record<string, never>): 0 {
  return 0;
}
