import { expect, test } from "vitest";
import { JobError } from "../../../src/core/error.js";
import { MASTER } from "../../core/fixtures.js";
import { act } from "../../../src/surfaces/kylin/actions.js";

/** Refuses as the engine does while processes are being stopped. */
function stillStopping() {
  let calls = 0;
  const command = async (): Promise<never> => {
    calls += 1;
    throw new JobError("IllegalMove", "cannot restart job: it is being suspended");
  };
  return { command, calls: () => calls };
}

test("a resume whose client has gone is tried once more and then given up", async () => {
  const jobs = stillStopping();
  const leave = new AbortController();
  leave.abort();
  const resumed = act(jobs, { name: "resume", jobId: "j", actor: MASTER, signal: leave.signal });
  await expect(resumed).rejects.toMatchObject({
    reason: "IllegalMove",
    message: 'cannot resume job "j": its processes are still being stopped; try again',
  });
  expect(jobs.calls()).toBe(2);
});

test("other refusals are passed on as they are", async () => {
  const forbidden = new JobError("Forbidden", "not for you");
  const command = async (): Promise<never> => Promise.reject(forbidden);
  const { signal } = new AbortController();
  await expect(act({ command }, { name: "pause", jobId: "j", actor: MASTER, signal })).rejects.toBe(forbidden);
});
