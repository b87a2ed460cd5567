import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { ERROR_REASONS, type ErrorReason, JobError } from "../../../src/core/error.js";
import { type Front, startFront } from "../../front.js";

let front: Front;
beforeAll(async () => {
  front = await startFront();
});
afterAll(() => front.server.stop());
beforeEach(() => {
  front.logged.length = 0;
});

const STATUS = {
  InvalidArgument: 400,
  AlreadyExists: 400,
  NotFound: 404,
  Forbidden: 403,
  IllegalMove: 400,
  ResourceExhausted: 429,
  Unavailable: 503,
  Internal: 500,
} as const satisfies Record<ErrorReason, number>;

async function listed(failure: unknown): Promise<readonly [number, unknown]> {
  front.jobs.failure = failure;
  const answer = await fetch(`${front.url}/kylin/api/jobs?timeFilter=4`);
  return [answer.status, await answer.json()];
}
const envelope = (msg: string) => ({
  code: "999",
  data: null,
  msg,
  exception: msg,
  stacktrace: "",
  url: `${front.url}/kylin/api/jobs?timeFilter=4`,
});

test.each(ERROR_REASONS.filter((reason) => reason !== "Internal"))("%s has its status, and its words are told", async (reason) => {
  expect(await listed(new JobError(reason, "what is wrong"))).toEqual([STATUS[reason], envelope("what is wrong")]);
  expect(front.logged).toEqual([]);
});

describe("a fault of ours is logged, and its words are not told", () => {
  test.each([new JobError("Internal", "secret"), new Error("secret"), new TypeError("secret")])("%s", async (fault) => {
    expect(await listed(fault)).toEqual([500, envelope("internal error")]);
    expect(front.logged).toMatchObject([{ msg: "a Kylin call failed", err: { message: "secret" } }]);
  });
});
