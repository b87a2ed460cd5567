/** All lines, in the order of the table. */

import type { Line } from "./line.js";
import { create } from "./lines/create.js";
import { dag } from "./lines/dag.js";
import { kylin, listed, lists } from "./lines/lists.js";
import { noop } from "./lines/noop.js";
import { psi } from "./lines/psi.js";
import { growth, memory, query } from "./lines/stored.js";
import { unaryGrpc, unaryJson } from "./lines/unary.js";
import { fanout, idle, latency, watched } from "./lines/watch.js";

export const LINES: readonly Line[] = [
  unaryGrpc,
  unaryJson,
  query,
  create,
  watched,
  latency,
  idle,
  fanout,
  noop,
  growth,
  lists,
  kylin,
  listed,
  dag,
  memory,
  psi,
];
