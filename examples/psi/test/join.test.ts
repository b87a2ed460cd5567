import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  checkOrder, followingHalf, groupByKey, keyName, leadingHalf, leadingOrder, NO_HANDLE, NO_ROW, type Group,
} from "../join.mjs";

/** Tables of a key and a number that tells rows apart; few keys, so that many meet. */
const rows = fc
  .array(fc.constantFrom("", "a", "b", "B", "é", "aa", "10", "9"), { maxLength: 12 })
  .map((keys) => keys.map((key, index) => [key, String(index)]));

/** The join as one reads it in a textbook. */
function naiveJoin(left: readonly string[][], right: readonly string[][], keepUnmatched: boolean): string[] {
  return left.flatMap((l) => {
    const matches = right.filter((r) => r[0] === l[0]).map((r) => `${l.join()}|${r.join()}`);
    return matches.length === 0 && keepUnmatched ? [`${l.join()}|`] : matches;
  });
}

/** Numbers the shared keys at both sides, in an arbitrary order that both know. */
function handlesOf(left: readonly Group[], right: readonly Group[]) {
  const names = (groups: readonly Group[]) => groups.map(({ key }) => keyName(key));
  const shared = names(left).filter((name) => names(right).includes(name)).toReversed();
  const numbered = (groups: readonly Group[]) => Int32Array.from(names(groups), (name) => shared.indexOf(name));
  return { left: numbered(left), right: numbered(right), size: shared.length };
}

function joinAsParties(left: string[][], right: string[][], how: { sort: boolean; keepUnmatched: boolean }): string[] {
  const [leftGroups, rightGroups] = [groupByKey(left, [0]), groupByKey(right, [0])];
  const handles = handlesOf(leftGroups, rightGroups);
  const rowsOfHandle: number[][] = Array.from({ length: handles.size }, () => []);
  rightGroups.forEach((group, index) => {
    const handle = handles.right[index] ?? -1;
    if (handle >= 0) rowsOfHandle[handle] = group.rows;
  });
  const { rows: leftRows, order } = leadingOrder(leftGroups, handles.left, how);
  checkOrder(order, handles.size, how.keepUnmatched);
  const counts = Uint32Array.from(rowsOfHandle, (group) => group.length);
  const leftHalf = leadingHalf(leftRows, order, counts, handles.size);
  const rightHalf = followingHalf(order, rowsOfHandle);
  expect(rightHalf.length).toBe(leftHalf.length);
  return [...leftHalf].map((row, place) => {
    const other = rightHalf[place] ?? NO_ROW;
    return `${left[row]?.join()}|${other === NO_ROW ? "" : right[other]?.join()}`;
  });
}

describe("the halves of a join", () => {
  it("make the rows of the textbook join, sorted by key and then as in the files", () => {
    fc.assert(
      fc.property(rows, rows, fc.boolean(), (left, right, keepUnmatched) => {
        const sorted = left.toSorted(([a = ""], [b = ""]) => (a === b ? 0 : a < b ? -1 : 1));
        const expected = naiveJoin(sorted, right, keepUnmatched);
        expect(joinAsParties(left, right, { sort: true, keepUnmatched })).toEqual(expected);
      }),
    );
  });

  it("make the same rows in some order when not sorted", () => {
    fc.assert(
      fc.property(rows, rows, fc.boolean(), (left, right, keepUnmatched) => {
        const expected = naiveJoin(left, right, keepUnmatched);
        const joined = joinAsParties(left, right, { sort: false, keepUnmatched });
        expect(joined.toSorted()).toEqual(expected.toSorted());
      }),
    );
  });

  it("are refused when they would be too large", () => {
    const order = new Uint32Array(4000);
    expect(() => followingHalf(order, [Array.from({ length: 4000 }, (_, row) => row)])).toThrow(
      "the join would have 16000000 rows, more than 10000000",
    );
  });
});

describe("what the partner says of its rows", () => {
  it.each([
    ["an unknown handle", [0, 1, 2], 2, false],
    ["a handle left out", [0, 0], 2, false],
    ["an unmatched row in an inner join", [0, NO_HANDLE], 1, false],
  ])("is refused with %s in the order", (_name, order, handles, unmatched) => {
    expect(() => checkOrder(Uint32Array.from(order), handles, unmatched)).toThrow("order of rows does not fit");
  });

  it.each([[[1]], [[1, 0]], [[1, 1, 1]]])("is refused with the row counts %j for two handles", (counts) => {
    const rows = Uint32Array.from([0, 1]);
    expect(() => leadingHalf(rows, rows, Uint32Array.from(counts), 2)).toThrow("row counts do not fit");
  });
});

describe("keys of several columns", () => {
  it("have the same name only when all cells are the same", () => {
    const cell = fc.string({ unit: fc.constantFrom("1", ":", "a"), maxLength: 3 });
    const key = fc.array(cell, { minLength: 2, maxLength: 2 });
    fc.assert(
      fc.property(key, key, (a, b) => {
        expect(keyName(a) === keyName(b)).toBe(JSON.stringify(a) === JSON.stringify(b));
      }),
    );
  });

  it("sort column by column", () => {
    const table = [["b", "1"], ["a", "2"], ["a", "10"]];
    const groups = groupByKey(table, [0, 1]);
    const { rows: sorted } = leadingOrder(groups, new Int32Array(3), { sort: true, keepUnmatched: false });
    expect([...sorted]).toEqual([2, 1, 0]);
  });
});
