/**
 * Private set intersection by elliptic-curve Diffie-Hellman, and the join of the two tables on it.
 *
 * Each party draws a secret, a or b, and turns each distinct key of its table into a curve point H(key).
 * 1. It sends a·H(key) of all its keys, in a random order that tells nothing about its file.
 * 2. The other side answers each with b·a·H(key), in the same order, and keeps these products.
 * 3. So each side has b·a·H(key) of its own keys, knowing which is which, and of the other's keys, not knowing which
 *    belongs to what. A product that both hold belongs to a shared key. Sorted by value, the shared products give both
 *    sides the same numbering of the shared keys: their handles.
 * 4. The leading side sends the order of its rows as handles, the other side its number of rows per handle.
 *
 * **What each side learns**, if both follow the protocol and the Diffie-Hellman assumption holds on the curve:
 * - how many distinct keys the other side has;
 * - which of its own keys the other side has too, and how many rows the other side has for each of them;
 * - in a left join, the side that is not the left one also learns how many rows of the left side match nothing and,
 *   when the result is sorted, between which shared keys they stand;
 * - nothing else about keys that are not shared, and nothing about any other column.
 * A party that lies can claim keys that it does not have, as in every protocol of this kind.
 */

import { bytesOfText } from "./csv.mjs";
import { Failure } from "./failure.mjs";
import { DataFolder } from "./folder.mjs";
import { checkOrder, followingHalf, groupByKey, keyName, leadingHalf, leadingOrder, NO_ROW } from "./join.mjs";
import { incomingList, sendList } from "./lists.mjs";
import { PointExchange } from "./products.mjs";

/** @import { Task } from "./config.mjs" */
/** @import { Row, Table } from "./csv.mjs" */
/** @import { Group } from "./join.mjs" */
/** @import { Work } from "./work.mjs" */

/**
 * @typedef {object} Settings
 * @property {string} protocol as requested
 * @property {boolean} sort
 * @property {boolean} duplicates whether a key may occur in several rows
 * @property {boolean} leftJoin
 * @property {string} leader the party whose order of rows the result has
 * @property {string} inputId own table
 * @property {readonly string[]} keyColumns own
 * @property {string} outputUri
 */

/** @param {Work} work */
export async function runPsi({ task, exchange, connectSeconds, log, progress }) {
  const settings = readSettings(task);
  log(`${settings.protocol.replace("PROTOCOL_", "")} requested, ECDH used`);
  const folder = new DataFolder(task.dataFolder, task.endpoints.self);
  const table = await folder.read(settings.inputId);
  const groups = groupRows(table, folder.describe(settings.inputId), settings);
  log(`${folder.describe(settings.inputId)} has ${table.rows.length} rows and ${groups.length} distinct keys`);

  const points = new PointExchange(exchange);
  const counts = incomingList(exchange, "counts");
  const order = incomingList(exchange, "order");
  await exchange.meet(connectSeconds);
  const shared = await points.share(groups.map(({ key }) => keyName(key)), (share) => progress(share * 0.9));

  /** @type {Int32Array} */
  let half;
  if (settings.leader === task.endpoints.self) {
    const how = { sort: settings.sort, keepUnmatched: settings.leftJoin };
    const own = leadingOrder(groups, shared.handles, how);
    await sendList(exchange, "order", own.order);
    half = leadingHalf(own.rows, own.order, await exchange.until(counts), shared.size);
  } else {
    const rowsOfHandle = rowsByHandle(groups, shared.handles, shared.size);
    await sendList(exchange, "counts", Uint32Array.from(rowsOfHandle, (rows) => rows.length));
    const theirs = await exchange.until(order);
    checkOrder(theirs, shared.size, settings.leftJoin);
    half = followingHalf(theirs, rowsOfHandle);
  }
  progress(0.95);

  const output = { uri: settings.outputUri, id: task.outputIds[0], header: table.header, rows: rowsOf(table, half) };
  const publish = await folder.stage([output], exchange.name, [table.file]);
  await exchange.finish();
  await publish();
  await folder.writeReport(settings.outputUri, {
    task_id: task.taskId,
    component: task.component,
    protocol_requested: settings.protocol,
    protocol_used: "ECDH on Curve25519",
    join_type: settings.leftJoin ? "left_join" : "inner_join",
    left_side: settings.leftJoin ? settings.leader : null,
    own_rows: table.rows.length,
    own_distinct_keys: groups.length,
    partner_distinct_keys: shared.partnerKeys,
    intersection_size: shared.size,
    output_rows: half.length,
  });
  log(`wrote ${half.length} rows to ${settings.outputUri}`);
  log(`intersection size: ${shared.size}`);
}

/**
 * @param {Task} task
 * @returns {Settings}
 */
function readSettings({ attributes, parties, endpoints, component, inputIds, outputUris }) {
  const protocol = attributes.choice("protocol", ["PROTOCOL_RR22", "PROTOCOL_ECDH", "PROTOCOL_KKRT"], "PROTOCOL_RR22");
  const sort = attributes.truth("sort_result", true);
  const duplicates = attributes.choice("allow_duplicate_keys", ["yes", "no"], "no") === "yes";
  const joinTypes = ["inner_join", "left_join"];
  const joinType = attributes.choice("allow_duplicate_keys/yes/join_type", joinTypes, "inner_join");
  const leftSide = attributes.texts("allow_duplicate_keys/yes/join_type/left_join/left_side");
  const receiverKey = attributes.texts("input/receiver_input/key");
  const senderKey = attributes.texts("input/sender_input/key");
  attributes.refuseUnread(component);

  if (receiverKey.length === 0 || receiverKey.length !== senderKey.length) {
    throw new Failure(`the receiver's key has ${receiverKey.length} columns and the sender's ${senderKey.length}`);
  }
  const leftJoin = duplicates && joinType === "left_join";
  const leader = leftJoin ? leftSide[0] : parties[0];
  if (leader === undefined || !parties.includes(leader) || (leftJoin && leftSide.length > 1)) {
    throw new Failure(`the left side is [${leftSide.join(", ")}], but must be one of ${parties.join(", ")}`);
  }
  const [receiverId, senderId, ...moreIds] = inputIds;
  const [outputUri, ...moreUris] = outputUris;
  if (receiverId === undefined || senderId === undefined || moreIds.length > 0) {
    throw new Failure(`${component} needs two input ids, one of each party, but got ${inputIds.length}`);
  }
  if (outputUri === undefined || moreUris.length > 0) {
    throw new Failure(`${component} writes one output, but got ${outputUris.length} output uris`);
  }
  const own = endpoints.self === parties[0]
    ? { inputId: receiverId, keyColumns: receiverKey }
    : { inputId: senderId, keyColumns: senderKey };
  return { protocol, sort, duplicates, leftJoin, leader, outputUri, ...own };
}

/**
 * @param {Table} table
 * @param {string} name of the table, for people
 * @param {Settings} settings
 * @returns {Group[]}
 */
function groupRows({ header, rows }, name, { keyColumns, duplicates }) {
  const columns = keyColumns.map((column) => {
    const index = header.indexOf(bytesOfText(column));
    if (index < 0) throw new Failure(`${name} has no column ${JSON.stringify(column)}`);
    return index;
  });
  const groups = groupByKey(rows, columns);
  const repeated = groups.filter((group) => group.rows.length > 1).length;
  if (repeated > 0 && !duplicates) {
    throw new Failure(
      `${name} has duplicate keys (${repeated} of ${groups.length} keys), but allow_duplicate_keys is "no"`,
    );
  }
  return groups;
}

/**
 * @param {readonly Group[]} groups
 * @param {Int32Array} handles
 * @param {number} size
 * @returns {(readonly number[])[]}
 */
function rowsByHandle(groups, handles, size) {
  /** @type {(readonly number[])[]} */
  const rows = Array.from({ length: size }, () => []);
  handles.forEach((handle, index) => {
    if (handle >= 0) rows[handle] = groups[index]?.rows ?? [];
  });
  return rows;
}

/**
 * @param {Table} table
 * @param {Int32Array} half
 * @returns {Iterable<Row>}
 */
function* rowsOf({ header, rows }, half) {
  const empty = header.map(() => "");
  for (const index of half) yield index === NO_ROW ? empty : (rows[index] ?? empty);
}
