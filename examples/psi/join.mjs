/**
 * The join of two tables that never meet. Each side knows its own rows and, for each shared key, a handle: a number
 * that is the same at both sides. One side leads: it decides the order of its rows and sends it as a list of handles;
 * the other side sends how many rows it has per handle. From these two lists each side works out its own half of each
 * joined row, and the halves line up.
 *
 * A row of the leading side that meets m rows of the other stands m times in a row, the other's rows in their file
 * order. Where the leading side keeps its unmatched rows (left join), each stands once and the other half of it is
 * empty.
 */

import { Failure } from "./failure.mjs";
import { secretBelow, shuffledIndices } from "./random.mjs";

/** @import { Row } from "./csv.mjs" */

/** Stands in an order for a row without a shared key. */
export const NO_HANDLE = 0xffffffff;
/** Stands in the result for an empty half. */
export const NO_ROW = -1;
/** Rows of a join, beyond which it is refused: many rows of one key on both sides multiply. */
export const MAX_JOINED_ROWS = 10_000_000;

/**
 * The rows of one distinct key.
 * @typedef {object} Group
 * @property {Row} key its cells
 * @property {number[]} rows in file order
 */

/**
 * @param {readonly Row[]} rows
 * @param {readonly number[]} columns positions of the key's cells
 * @returns {Group[]} in the order of their first rows
 */
export function groupByKey(rows, columns) {
  /** @type {Map<string, Group>} */
  const groups = new Map();
  rows.forEach((row, index) => {
    const key = columns.map((column) => row[column] ?? "");
    const name = keyName(key);
    const group = groups.get(name);
    if (group) group.rows.push(index);
    else groups.set(name, { key, rows: [index] });
  });
  return [...groups.values()];
}

/**
 * One byte string per key: each cell with its length before it, so that ("a", "bc") differs from ("ab", "c").
 * @param {Row} key
 */
export function keyName(key) {
  return key.map((cell) => `${cell.length}:${cell}`).join("");
}

/**
 * The order in which the leading side's rows go into the join.
 * @param {readonly Group[]} groups
 * @param {Int32Array} handles of each group, negative = not shared
 * @param {{ sort: boolean, keepUnmatched: boolean }} how sorted by the keys' bytes and then as in the file, else random
 * @returns {{ rows: Uint32Array, order: Uint32Array }} for each place the own row and its handle, or NO_HANDLE
 */
export function leadingOrder(groups, handles, { sort, keepUnmatched }) {
  const chosen = groups
    .map(({ key, rows }, index) => ({ key, rows, handle: handles[index] ?? -1 }))
    .filter(({ handle }) => keepUnmatched || handle >= 0);
  if (sort) chosen.sort((a, b) => compareKeys(a.key, b.key));
  const places = chosen.flatMap(({ rows, handle }) => rows.map((row) => ({ row, handle })));
  const sequence = sort ? places.keys() : shuffledIndices(places.length, secretBelow);
  const ordered = [...sequence].flatMap((index) => places[index] ?? []);
  return {
    rows: Uint32Array.from(ordered, ({ row }) => row),
    order: Uint32Array.from(ordered, ({ handle }) => (handle < 0 ? NO_HANDLE : handle)),
  };
}

/**
 * @param {Row} a
 * @param {Row} b
 */
function compareKeys(a, b) {
  for (const [index, cell] of a.entries()) {
    const other = b[index] ?? "";
    if (cell !== other) return cell < other ? -1 : 1;
  }
  return 0;
}

/**
 * The leading side's half.
 * @param {Uint32Array} rows
 * @param {Uint32Array} order
 * @param {Uint32Array} counts the other side's rows per handle, as it sent them
 * @param {number} handles how many there are
 * @returns {Int32Array} own row of each joined row
 */
export function leadingHalf(rows, order, counts, handles) {
  if (counts.length !== handles || counts.includes(0)) throw new Failure("the partner's row counts do not fit");
  const joined = new Int32Array(joinedRows(order, counts));
  let at = 0;
  order.forEach((handle, place) => {
    const times = handle === NO_HANDLE ? 1 : (counts[handle] ?? 0);
    joined.fill(rows[place] ?? NO_ROW, at, at + times);
    at += times;
  });
  return joined;
}

/**
 * @param {Uint32Array} order as the leading side sent it
 * @param {number} handles how many there are
 * @param {boolean} unmatched whether rows without a handle may be among them
 */
export function checkOrder(order, handles, unmatched) {
  const seen = new Set(order);
  const foreign = seen.delete(NO_HANDLE) && !unmatched;
  if (foreign || seen.size !== handles || [...seen].some((handle) => handle >= handles)) {
    throw new Failure("the partner's order of rows does not fit");
  }
}

/**
 * The other side's half.
 * @param {Uint32Array} order checked
 * @param {readonly (readonly number[])[]} rowsOfHandle
 * @returns {Int32Array} own row of each joined row, or NO_ROW
 */
export function followingHalf(order, rowsOfHandle) {
  const counts = Uint32Array.from(rowsOfHandle, (rows) => rows.length);
  const joined = new Int32Array(joinedRows(order, counts));
  let at = 0;
  for (const handle of order) {
    for (const row of handle === NO_HANDLE ? [NO_ROW] : (rowsOfHandle[handle] ?? [])) joined[at++] = row;
  }
  return joined;
}

/**
 * @param {Uint32Array} order
 * @param {Uint32Array} counts
 */
function joinedRows(order, counts) {
  let total = 0;
  for (const handle of order) total += handle === NO_HANDLE ? 1 : (counts[handle] ?? 0);
  if (total > MAX_JOINED_ROWS) throw new Failure(`the join would have ${total} rows, more than ${MAX_JOINED_ROWS}`);
  return total;
}
