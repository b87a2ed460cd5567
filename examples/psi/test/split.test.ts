import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { SeededRandom, shuffledIndices, splitMix64 } from "../random.mjs";
import { splitRows } from "../split.mjs";

const seeds = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n });

describe("a split", () => {
  it("puts each row into at most one part, and leaves none out when the shares add up to 1", () => {
    fc.assert(
      fc.property(fc.nat(500), fc.nat(100), fc.option(seeds), (n, percent, seed) => {
        const { train, test } = splitRows(n, { train: percent / 100, test: (100 - percent) / 100 }, seed);
        expect([...train, ...test].sort((a, b) => a - b)).toEqual(Array.from({ length: n }, (_, index) => index));
        expect(train.length).toBe(Math.floor((n * percent) / 100));
      }),
    );
  });

  it("leaves out what neither share takes", () => {
    const { train, test } = splitRows(10, { train: 0.5, test: 0.25 }, null);
    expect([[...train], [...test]]).toEqual([[0, 1, 2, 3, 4], [5, 6, 7]]);
  });

  it("is the same for the same random state and another for another", () => {
    fc.assert(
      fc.property(seeds, (seed) => {
        const sizes = { train: 0.75, test: 0.25 };
        expect(splitRows(100, sizes, seed)).toEqual(splitRows(100, sizes, seed));
        expect(splitRows(100, sizes, seed)).not.toEqual(splitRows(100, sizes, seed + 1n));
      }),
    );
  });

  it("stays the same over releases", () => {
    const { train, test } = splitRows(12, { train: 0.75, test: 0.25 }, 1234n);
    expect([[...train], [...test]]).toEqual([[3, 11, 6, 10, 4, 1, 2, 8, 5], [9, 0, 7]]);
  });

  it("is refused when the shares are more than the whole", () => {
    expect(() => splitRows(10, { train: 0.8, test: 0.3 }, null)).toThrow(
      "train_size 0.8 and test_size 0.3 are together more than 1",
    );
  });
});

describe("the repeatable random numbers", () => {
  it("are those of SplitMix64", () => {
    const step = 0x9e3779b97f4a7c15n;
    expect([0n, 1n, 2n].map((n) => splitMix64(1234567n + n * step))).toEqual([
      6457827717110365317n, 3203168211198807973n, 9817491932198370423n,
    ]);
  });

  it("are those of xoshiro128**", () => {
    const random = new SeededRandom(Uint32Array.of(1, 2, 3, 4));
    const drawn = Array.from({ length: 6 }, () => random.next());
    expect(drawn).toEqual([11520, 0, 5927040, 70819200, 2031721883, 1637235492]);
  });

  it("shuffle to a permutation, without favouring a place", () => {
    const random = SeededRandom.fromSeed(7n);
    const firsts = new Map<number, number>();
    for (let round = 0; round < 6000; round++) {
      const order = shuffledIndices(6, (bound) => random.below(bound));
      expect(new Set(order).size).toBe(6);
      firsts.set(order[0] ?? -1, (firsts.get(order[0] ?? -1) ?? 0) + 1);
    }
    for (const count of firsts.values()) expect(Math.abs(count - 1000)).toBeLessThan(150);
  });
});
