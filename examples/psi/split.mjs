/**
 * Splits a table that two parties hold row by row into training and test rows, the same rows at both.
 *
 * With n rows, train_size of them (rounded down) are for training and test_size of them (rounded up) for testing, so
 * that shares which add up to 1 leave no row out. Without shuffle they are the first rows and the ones after them. With
 * shuffle the rows are first put in the order of a Fisher-Yates shuffle by random_state (random.mjs), and the outputs
 * keep that order. Both parties compute this alone; all they tell each other is how many rows they have and, when their
 * tables come from an intersection, from which one.
 */

import { Failure } from "./failure.mjs";
import { DataFolder } from "./folder.mjs";
import { SeededRandom, shuffledIndices } from "./random.mjs";
import { parseObject } from "./json.mjs";

/** @import { Work } from "./work.mjs" */

/** Shares such as 0.7 are not exact in binary: 0.29 of 100 is 28.999999999999996. */
const TOLERANCE = 1e-9;
const KIND = "table";

/** @param {Work} work */
export async function runSplit({ task, exchange, connectSeconds, log, progress }) {
  const { attributes, component, inputIds, outputIds, outputUris, endpoints } = task;
  const sizes = { train: attributes.share("train_size", 0.75), test: attributes.share("test_size", 0.25) };
  const seed = attributes.integer("random_state", 1024n);
  const shuffle = attributes.truth("shuffle", true);
  attributes.refuseUnread(component);
  const [inputId, ...moreIds] = inputIds;
  const [trainUri, testUri, ...moreUris] = outputUris;
  if (inputId === undefined || moreIds.length > 0) throw new Failure(`${component} needs one input id`);
  if (trainUri === undefined || testUri === undefined || moreUris.length > 0) {
    throw new Failure(`${component} writes two outputs, but got ${outputUris.length} output uris`);
  }

  const folder = new DataFolder(task.dataFolder, endpoints.self);
  const table = await folder.read(inputId);
  const { train, test } = splitRows(table.rows.length, sizes, shuffle ? seed : null);
  /** @type {Promise<Buffer>} */
  const theirs = new Promise((resolve) => {
    exchange.answer(KIND, (piece) => {
      resolve(piece);
      return new Uint8Array();
    });
  });
  await exchange.meet(connectSeconds);
  const mine = { rows: table.rows.length, alignment: table.alignment };
  await exchange.send(KIND, 0, Buffer.from(JSON.stringify(mine)), true);
  const partner = parseObject((await exchange.until(theirs)).toString("utf8"), "what the partner said of its table");
  compareTables(endpoints, inputId, mine, partner);
  progress(0.5);

  const outputs = [
    { uri: trainUri, id: outputIds[0], indices: train },
    { uri: testUri, id: outputIds[1], indices: test },
  ].map(({ uri, id, indices }) => ({ uri, id, header: table.header, rows: pick(table.rows, indices) }));
  const publish = await folder.stage(outputs, exchange.name, [table.file]);
  await exchange.finish();
  await publish();
  log(`wrote ${train.length} rows to ${trainUri} and ${test.length} rows to ${testUri}`);
}

/**
 * @param {number} n
 * @param {{ train: number, test: number }} sizes shares of n, each 0 to 1
 * @param {bigint | null} seed null = keep the order
 * @returns {{ train: Uint32Array, test: Uint32Array }} row numbers, none twice
 */
export function splitRows(n, sizes, seed) {
  if (sizes.train + sizes.test > 1 + TOLERANCE) {
    throw new Failure(`train_size ${sizes.train} and test_size ${sizes.test} are together more than 1`);
  }
  const rows = seed === null ? Uint32Array.from({ length: n }, (_, index) => index) : seededOrder(n, seed);
  const trainRows = Math.floor(sizes.train * n + TOLERANCE);
  const testRows = Math.min(Math.ceil(sizes.test * n - TOLERANCE), n - trainRows);
  return { train: rows.slice(0, trainRows), test: rows.slice(trainRows, trainRows + testRows) };
}

/**
 * @param {number} n
 * @param {bigint} seed
 */
function seededOrder(n, seed) {
  const random = SeededRandom.fromSeed(seed);
  return shuffledIndices(n, (bound) => random.below(bound));
}

/**
 * @param {{ self: string, partner: string }} endpoints
 * @param {string} id
 * @param {{ rows: number, alignment: string }} mine
 * @param {Record<string, unknown>} theirs
 */
function compareTables({ self, partner }, id, mine, theirs) {
  const known = { partnerKnows: true };
  if (theirs["rows"] !== mine.rows) {
    const rows = `${mine.rows} rows at ${self} and ${Number(theirs["rows"])} at ${partner}`;
    throw new Failure(`table "${id}" has ${rows}`, known);
  }
  if (theirs["alignment"] !== mine.alignment) {
    throw new Failure(`table "${id}" of ${self} and of ${partner} come from different intersections`, known);
  }
}

/**
 * @template T
 * @param {readonly T[]} rows
 * @param {Uint32Array} indices
 * @returns {Iterable<T>}
 */
function* pick(rows, indices) {
  for (const index of indices) yield* rows.slice(index, index + 1);
}
