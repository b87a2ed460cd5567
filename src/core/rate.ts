/** A token bucket; pure. It holds at most `burst` requests and gets `perSecond` of them back each second. */

import type { Instant } from "./job.js";

export interface RateLimit {
  readonly perSecond: number;
  readonly burst: number;
}

export interface Bucket {
  readonly left: number;
  readonly at: Instant;
}

/** Takes one request out of the bucket. `waitMs` is 0 where there was one, else how long until there is. */
export function takeOne(bucket: Bucket | undefined, limit: RateLimit, now: Instant): { bucket: Bucket; waitMs: number } {
  const passed = bucket ? Math.max(0, now - bucket.at) : 0;
  const filled = bucket ? Math.min(limit.burst, bucket.left + (passed / 1000) * limit.perSecond) : limit.burst;
  if (filled >= 1) return { bucket: { left: filled - 1, at: now }, waitMs: 0 };
  return { bucket: { left: filled, at: now }, waitMs: Math.ceil(((1 - filled) / limit.perSecond) * 1000) };
}
