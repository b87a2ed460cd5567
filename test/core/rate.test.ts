import { expect, test } from "vitest";
import { narrower, rateLimitOf, takeOne, type Bucket } from "../../src/core/rate.js";

const LIMIT = { perSecond: 2, burst: 3 };

/** How long each of these requests is told to wait. */
function waits(...times: readonly number[]): number[] {
  let bucket: Bucket | undefined;
  return times.map((now) => {
    const taken = takeOne(bucket, LIMIT, now);
    bucket = taken.bucket;
    return taken.waitMs;
  });
}

test("a burst passes, then as many as come back each second", () => {
  expect(waits(0, 0, 0, 0)).toEqual([0, 0, 0, 500]);
  expect(waits(0, 0, 0, 250, 500, 500, 1000)).toEqual([0, 0, 0, 250, 0, 500, 0]);
});

test("who asks too early does not wait longer for it, and a long rest saves up no more than the burst", () => {
  expect(waits(0, 0, 0, 100, 200, 300, 500)).toEqual([0, 0, 0, 400, 300, 200, 0]);
  expect(waits(0, 1e9, 1e9, 1e9, 1e9)).toEqual([0, 0, 0, 0, 500]);
});

test("a clock that is set back gives nothing and takes nothing", () => {
  expect(waits(1000, 1000, 1000, 0, 500)).toEqual([0, 0, 0, 500, 0]);
});

test("of two limits the narrower holds, in each of its parts", () => {
  const [steady, bursty] = [rateLimitOf(5), rateLimitOf(2.5, 100)];
  expect([steady, bursty, rateLimitOf(0.1)]).toEqual([
    { perSecond: 5, burst: 5 },
    { perSecond: 2.5, burst: 100 },
    { perSecond: 0.1, burst: 1 },
  ]);
  expect(narrower(steady, bursty)).toEqual({ perSecond: 2.5, burst: 5 });
  expect([narrower(null, bursty), narrower(steady, null), narrower(null, null)]).toEqual([bursty, steady, null]);
});
