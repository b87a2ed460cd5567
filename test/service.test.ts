import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { after, Poked, Ticker } from "../src/service.js";

const rethrow = (error: unknown): void => {
  throw error;
};

/** A round that the test lets go on. */
function gate(): { round: () => Promise<void>; rounds: () => number; open: () => void } {
  let rounds = 0;
  const waiting: (() => void)[] = [];
  return {
    round: () =>
      new Promise((resolve) => {
        rounds += 1;
        waiting.push(resolve);
      }),
    rounds: () => rounds,
    open: () => waiting.shift()?.(),
  };
}

const settled = () => new Promise<void>((resolve) => setImmediate(resolve));

describe("after", () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  test("waits longer than one timer can hold", () => {
    const callback = vi.fn();
    after(2_147_483_647_000, callback);
    vi.advanceTimersByTime(2_147_483_646_000);
    expect(callback).not.toHaveBeenCalled();
    vi.advanceTimersByTime(2_000);
    expect(callback).toHaveBeenCalledOnce();
  });

  test("does not call back once it is called off", () => {
    const callback = vi.fn();
    after(5, callback)();
    vi.advanceTimersByTime(10_000);
    expect(callback).not.toHaveBeenCalled();
  });
});

describe("a round on demand", () => {
  test("many pokes during a round make one more", async () => {
    const { round, rounds, open } = gate();
    const poked = new Poked(round, rethrow);
    poked.poke();
    for (let i = 0; i < 10; i++) poked.poke();
    expect(rounds()).toBe(1);
    open();
    await settled();
    expect(rounds()).toBe(2);
    open();
    await settled();
    expect(rounds()).toBe(2);
    poked.poke();
    expect(rounds()).toBe(3);
    open();
    await poked.stop();
  });

  test("a failed round is reported and does not end the rounds; stop waits for the one under way", async () => {
    const faults: unknown[] = [];
    let fail = true;
    const poked = new Poked(async () => {
      if (fail) throw new Error("once");
    }, (error) => faults.push(error));
    poked.poke();
    await settled();
    fail = false;
    poked.poke();
    await poked.stop();
    expect(faults).toEqual([new Error("once")]);
  });
});

test("a ticker never runs twice at once, and stop waits for the round under way", async () => {
  vi.useFakeTimers();
  const { round, rounds, open } = gate();
  const ticker = new Ticker({ everyMs: 10, runOnce: round, onFault: rethrow });
  await ticker.start();
  vi.advanceTimersByTime(100);
  expect(rounds()).toBe(1);
  vi.useRealTimers();
  const stopped = ticker.stop();
  open();
  await stopped;
  await ticker.stop();
  expect(rounds()).toBe(1);
});
