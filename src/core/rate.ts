/** A token bucket; pure. It holds at most `burst` requests and gets `perSecond` of them back each second. */

import type { Instant } from "./job.js";

export interface RateLimit {
  readonly perSecond: number;
  readonly burst: number;
}

/** The burst is a second's worth unless it is given. */
export function rateLimitOf(perSecond: number, burst?: number): RateLimit {
  return { perSecond, burst: burst ?? Math.max(1, Math.ceil(perSecond)) };
}

/** A limit that lets nothing through which either keeps back; null = no limit. */
export function narrower(one: RateLimit | null, other: RateLimit | null): RateLimit | null {
  if (one === null || other === null) return one ?? other;
  return { perSecond: Math.min(one.perSecond, other.perSecond), burst: Math.min(one.burst, other.burst) };
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
