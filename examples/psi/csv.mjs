/**
 * Comma-separated tables as RFC 4180 describes them, read strictly: a quote inside a bare cell, text after a closing
 * quote, a quote that never closes and a row of another width than the header are failures, not guesses.
 *
 * **A cell is a byte string**: each character of it stands for one byte of the file (latin1). So a table passes through
 * unchanged whatever its encoding, two keys are equal exactly when their bytes are, and cells compare in byte order.
 * Text from elsewhere (a column name of the request) is turned into that form with `bytesOfText`.
 *
 * Lines end with LF or CRLF, the last one may end with the file. A leading UTF-8 byte order mark is dropped. A wholly
 * empty line is skipped; a row whose only cell is empty is therefore written as `""`. Rows are written with LF.
 */

import { createReadStream, createWriteStream } from "node:fs";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { Failure } from "./failure.mjs";

/** @typedef {readonly string[]} Row */

/**
 * @typedef {object} Table
 * @property {Row} header
 * @property {readonly Row[]} rows
 */

/**
 * The bytes of a text's UTF-8 form, one per character.
 * @param {string} text
 */
export function bytesOfText(text) {
  return Buffer.from(text, "utf8").toString("latin1");
}

const BYTE_ORDER_MARK = bytesOfText("\ufeff");
/** What ends a run of plain characters in a bare cell. */
const BARE_END = /[",\n]/g;

/** Splits a stream of latin1 text into rows. */
export class CsvParser {
  /**
   * `closed` is right after a quote inside a quoted cell, which either ends the cell or is the first of two;
   * `return` is after the CR that follows a closed cell.
   * @type {"start" | "bare" | "quoted" | "closed" | "return"}
   */
  #state = "start";
  #cell = "";
  /** @type {string[]} */
  #row = [];
  #rowNumber = 1;
  #onRow;

  /** @param {(row: Row) => void} onRow */
  constructor(onRow) {
    this.#onRow = onRow;
  }

  /** @param {string} text the next piece; it may begin and end anywhere */
  push(text) {
    for (let at = 0; at < text.length; at++) {
      const end = this.#runEnd(text, at);
      if (end > at) {
        this.#cell += text.slice(at, end);
        if (this.#state === "start") this.#state = "bare";
        at = end;
      }
      if (at < text.length) this.#take(text.charAt(at));
    }
  }

  /** The end of the file. */
  end() {
    if (this.#state === "quoted") throw new Failure(`row ${this.#rowNumber} has a quote that never closes`);
    if (this.#row.length > 0 || this.#state !== "start") this.#endRow();
  }

  /**
   * Where the characters end that are simply part of the cell.
   * @param {string} text
   * @param {number} from
   */
  #runEnd(text, from) {
    if (this.#state === "closed" || this.#state === "return") return from;
    if (this.#state === "quoted") {
      const quote = text.indexOf('"', from);
      return quote < 0 ? text.length : quote;
    }
    BARE_END.lastIndex = from;
    return BARE_END.exec(text)?.index ?? text.length;
  }

  /** @param {string} char one that is not simply part of the cell */
  #take(char) {
    const afterQuotes = this.#state === "closed" || this.#state === "return";
    if (char === "\n") {
      this.#endRow();
    } else if (char === '"' && this.#state === "bare") {
      throw new Failure(`row ${this.#rowNumber} has a quote inside a cell that is not quoted`);
    } else if (char === '"' && this.#state !== "return") {
      if (this.#state === "closed") this.#cell += char;
      this.#state = this.#state === "quoted" ? "closed" : "quoted";
    } else if (char === "," && this.#state !== "return") {
      this.#endCell();
    } else if (char === "\r" && this.#state === "closed") {
      this.#state = "return";
    } else if (afterQuotes) {
      throw new Failure(`row ${this.#rowNumber} has text after a closing quote`);
    }
  }

  #endCell() {
    this.#row.push(this.#cell);
    this.#cell = "";
    this.#state = "start";
  }

  #endRow() {
    if (this.#state === "bare" && this.#cell.endsWith("\r")) this.#cell = this.#cell.slice(0, -1);
    const quoted = this.#state === "closed" || this.#state === "return";
    const blank = this.#row.length === 0 && this.#cell === "" && !quoted;
    this.#endCell();
    const row = this.#row;
    this.#row = [];
    if (blank) return;
    this.#onRow(row);
    this.#rowNumber++;
  }
}

/**
 * @param {string} path
 * @returns {Promise<Table>} rows as wide as the header, whose names differ from each other
 */
export async function readCsvFile(path) {
  /** @type {Row[]} */
  const rows = [];
  const parser = new CsvParser((row) => {
    const width = rows[0]?.length ?? row.length;
    if (row.length !== width) {
      throw new Failure(`row ${rows.length + 1} has ${row.length} cells, but the header has ${width}`);
    }
    rows.push(row);
  });
  let first = true;
  for await (const piece of createReadStream(path, { encoding: "latin1" })) {
    const text = String(piece);
    parser.push(first && text.startsWith(BYTE_ORDER_MARK) ? text.slice(BYTE_ORDER_MARK.length) : text);
    first = false;
  }
  parser.end();
  const header = rows.shift();
  if (header === undefined) throw new Failure("the file is empty");
  if (new Set(header).size !== header.length) throw new Failure("the header has a column name twice");
  return { header, rows };
}

/**
 * One line with its LF.
 * @param {Row} row
 */
export function formatRow(row) {
  if (row.length === 1 && row[0] === "") return '""\n';
  return `${row.map((cell) => (/[",\r\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell)).join(",")}\n`;
}

/**
 * @param {string} path
 * @param {Row} header
 * @param {Iterable<Row>} rows
 */
export async function writeCsvFile(path, header, rows) {
  function* pieces() {
    let piece = formatRow(header);
    for (const row of rows) {
      piece += formatRow(row);
      if (piece.length < 65_536) continue;
      yield Buffer.from(piece, "latin1");
      piece = "";
    }
    yield Buffer.from(piece, "latin1");
  }
  await pipeline(Readable.from(pieces()), createWriteStream(path));
}
