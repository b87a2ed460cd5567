/**
 * One party of a two-party job: reads what the platform gives it, does its half of the work together with the partner's
 * process, and ends with 0, or with 1 and one sentence on stderr. See README.md.
 *
 *   node app.mjs <config file> [--connect-timeout <seconds>]
 */

import { parseArgs } from "node:util";
import { readTask } from "./config.mjs";
import { Exchange } from "./exchange.mjs";
import { Failure } from "./failure.mjs";
import { progressReporter } from "./progress.mjs";
import { runComponent } from "./work.mjs";

/** @param {string} line */
function log(line) {
  process.stdout.write(`${line}\n`);
}

/** @param {unknown} error */
function asFailure(error) {
  if (error instanceof Failure) return error;
  // A fault of this app or of the machine: the details are for the log.
  log(error instanceof Error && error.stack ? error.stack : String(error));
  return new Failure(`the app met an unexpected error: ${error instanceof Error ? error.message : String(error)}`);
}

/** @param {Failure} failure */
function endWith({ message, partnerFailed }) {
  process.stderr.write(`${message.replace(/\s+/g, " ")}\n`);
  // The cause is at the partner. Its end is to be heard of first; the platform then stops this party anyway.
  setTimeout(() => process.exit(1), partnerFailed ? 1_000 : 0);
}

async function main() {
  const options = /** @type {const} */ ({ "connect-timeout": { type: "string", default: "60" } });
  const { positionals, values } = parseArgs({ options, allowPositionals: true });
  const connectSeconds = Number(values["connect-timeout"]);
  const [configPath] = positionals;
  if (configPath === undefined) throw new Failure("the app was started without the path of its config file");
  if (!(connectSeconds > 0)) throw new Failure("--connect-timeout is not a number of seconds");

  const task = await readTask(configPath, process.env["MUSTER_DOMAIN_DATA"]);
  const exchange = new Exchange(task, log);
  const progress = progressReporter(process.env["MUSTER_PROGRESS_URL"]);
  log(`task ${task.taskId}: ${task.component} at ${task.endpoints.self} with ${task.endpoints.partner}`);
  try {
    await runComponent({ task, exchange, connectSeconds, log, progress });
  } catch (error) {
    const failure = asFailure(error);
    await exchange.fail(failure);
    throw failure;
  }
}

process.on("uncaughtException", (error) => endWith(asFailure(error)));
main().then(
  () => process.exit(0),
  (error) => endWith(asFailure(error)),
);
