/** The names and numbers of statuses, and what each action does in each of them. */

import type { ShownStatus } from "../../core/list.js";
import type { ShownRules } from "../../core/moves/commands.js";
import type { Command } from "../../jobs.js";

export type JobStatus = "PENDING" | "RUNNING" | "FINISHED" | "ERROR" | "DISCARDED" | "STOPPED";

export const JOB_STATUS = {
  Waiting: "PENDING",
  Running: "RUNNING",
  Finished: "FINISHED",
  Error: "ERROR",
  Discarded: "DISCARDED",
  Stopped: "STOPPED",
} as const satisfies Record<ShownStatus, JobStatus>;

/** 0 is NEW, which no job is ever shown as; it finds the same jobs as PENDING. */
export const SHOWN_OF_NUMBER: ReadonlyMap<string, ShownStatus> = new Map([
  ["0", "Waiting"],
  ["1", "Waiting"],
  ["2", "Running"],
  ["4", "Finished"],
  ["8", "Error"],
  ["16", "Discarded"],
  ["32", "Stopped"],
]);
export const STATUS_NUMBERS: readonly string[] = [...SHOWN_OF_NUMBER.keys()];

export interface Action {
  readonly verb: Command;
  readonly rules: ShownRules;
}

export const ACTIONS = {
  pause: {
    verb: "Suspend",
    rules: {
      Waiting: "apply",
      Running: "apply",
      Stopped: "repeat",
      Error: "refuse",
      Finished: "refuse",
      Discarded: "refuse",
    },
  },
  resume: {
    verb: "Restart",
    rules: {
      Waiting: "refuse",
      Running: "refuse",
      Stopped: "apply",
      Error: "apply",
      Finished: "refuse",
      Discarded: "refuse",
    },
  },
  cancel: {
    verb: "Cancel",
    rules: {
      Waiting: "apply",
      Running: "apply",
      Stopped: "apply",
      Error: "apply",
      Finished: "refuse",
      Discarded: "repeat",
    },
  },
  drop: {
    verb: "Delete",
    rules: {
      Waiting: "refuse",
      Running: "refuse",
      Stopped: "refuse",
      Error: "refuse",
      Finished: "apply",
      Discarded: "apply",
    },
  },
} as const satisfies Record<string, Action>;
export type ActionName = keyof typeof ACTIONS;
