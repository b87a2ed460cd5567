/** Verbs of the waist, where surfaces cannot show what they promise. */

import { afterAll, beforeAll, expect, test } from "vitest";
import { DEFAULT_LIMITS } from "../src/core/dag.js";
import type { ShownRules } from "../src/core/moves/commands.js";
import { createJobs } from "../src/jobs.js";
import { type ChangeRequest, Writer } from "../src/store/batch.js";
import { MASTER } from "./core/fixtures.js";
import { jobNamed, openTestStore, type TestStore } from "./store/fixtures.js";

let store: TestStore;
beforeAll(async () => {
  store = await openTestStore();
});
afterAll(() => store.close());

/** Makes each change a second time after it was saved, as a writer does that lost its connection before it heard so. */
class ForgetfulWriter extends Writer {
  override async change<T>(request: ChangeRequest<T>): Promise<T> {
    await super.change(request);
    return super.change(request);
  }
}

test("a command that a surface's rules do not allow twice is not refused for its own effect", async () => {
  const { pool } = store;
  const writer = new ForgetfulWriter({ pool, now: Date.now });
  const jobs = createJobs({ pool, writer, limits: DEFAULT_LIMITS, domains: null, manualDomains: new Set() });
  const onlyStopped: ShownRules = {
    Waiting: "refuse",
    Running: "refuse",
    Stopped: "apply",
    Error: "refuse",
    Finished: "refuse",
    Discarded: "refuse",
  };
  await store.jobs.submit({ definition: jobNamed("job"), surface: "test" }, MASTER);
  await store.jobs.command("Suspend", "job", MASTER, "");
  const { job } = await jobs.command("Restart", "job", MASTER, "", { rules: onlyStopped });
  expect([job.state, job.cause]).toEqual(["Running", "Restart"]);
  await expect(jobs.command("Restart", "job", MASTER, "", { rules: onlyStopped })).rejects.toMatchObject({
    reason: "IllegalMove",
    metadata: { state: "Running", shown: "Waiting" },
  });
  const { commands } = await store.jobs.query("job", MASTER);
  expect(commands.map(({ verb }) => verb)).toEqual(["Suspend", "Restart"]);
  await writer.close();
});
