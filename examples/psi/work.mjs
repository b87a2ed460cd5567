import { Failure } from "./failure.mjs";
import { runPsi } from "./psi.mjs";
import { runSplit } from "./split.mjs";

/** @import { Task } from "./config.mjs" */
/** @import { Exchange } from "./exchange.mjs" */

/**
 * What a component works with.
 * @typedef {object} Work
 * @property {Task} task
 * @property {Exchange} exchange
 * @property {number} connectSeconds how long the partner may take to come
 * @property {(line: string) => void} log
 * @property {(share: number) => void} progress 0 to 1
 */

/** @type {ReadonlyMap<string, (work: Work) => Promise<void>>} */
const COMPONENTS = new Map([
  ["data_prep/psi 0.0.5", runPsi],
  ["data_prep/train_test_split 0.0.1", runSplit],
]);

/**
 * Runs the component that the task names.
 * @param {Work} work
 */
export async function runComponent(work) {
  const run = COMPONENTS.get(work.task.component);
  if (run === undefined) {
    throw new Failure(`component ${work.task.component} is not known, only ${[...COMPONENTS.keys()].join(" and ")}`);
  }
  await run(work);
}
