/** A part: graphile-worker, unbatched, as its documentation has it. */

import { Logger, makeWorkerUtils, run, type Runner, type WorkerUtils } from "graphile-worker";
import { jobRequest, USUAL } from "../job.js";
import { answer } from "../part.js";
import { addUntil, Progress, type QueueMethods, type QueueOptions } from "./queue.js";

const quiet = new Logger(() => () => undefined);
const payload = jobRequest(USUAL);
const progress = new Progress();

let options: QueueOptions | undefined;
let utils: WorkerUtils | undefined;
let runner: Runner | undefined;

const methods = {
  async open(given: QueueOptions): Promise<void> {
    options = given;
    utils = await makeWorkerUtils({ connectionString: given.databaseUrl, maxPoolSize: given.pool, logger: quiet });
    await utils.migrate();
  },
  add: (how) => addUntil(how, async () => utils?.addJob("noop", payload)),
  async work(concurrency) {
    runner = await run({
      connectionString: options?.databaseUrl ?? "",
      maxPoolSize: options?.pool ?? 10,
      concurrency,
      logger: quiet,
      noHandleSignals: true,
      taskList: { noop: (_payload, { job }) => progress.started(job.created_at) },
    });
    runner.events.on("job:complete", () => progress.completed());
  },
  done: (jobs) => progress.until(jobs),
  waits: () => progress.takeWaits(),
} satisfies QueueMethods;

answer(methods);
