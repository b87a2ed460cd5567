/**
 * A party's data folder. A table id stands for the file that a task wrote for it, as `.tables/<id>.json` says;
 * otherwise for `<id>.csv`. Each id has a record of its own, so tasks that run at once never overwrite each other's.
 * Files appear under their name only when they are whole.
 */

import { access, mkdir, readFile, rename, writeFile } from "node:fs/promises";
import path from "node:path";
import { readCsvFile, writeCsvFile } from "./csv.mjs";
import { Failure } from "./failure.mjs";
import { asText, parseObject } from "./json.mjs";

/** @import { Row, Table } from "./csv.mjs" */

/** Nothing that could leave the folder, be hidden or be mistaken for an option. */
const SAFE_NAME = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/;

/**
 * @typedef {object} Output
 * @property {string} uri path within the folder
 * @property {string | undefined} id
 * @property {Row} header
 * @property {Iterable<Row>} rows
 */

/**
 * @typedef {object} StoredTable
 * @property {string} file path within the folder
 * @property {string} alignment the same text at both parties when rows of the same number belong together; else empty
 */

export class DataFolder {
  #root;
  #party;

  /**
   * @param {string} root
   * @param {string} party its owner
   */
  constructor(root, party) {
    this.#root = root;
    this.#party = party;
  }

  /**
   * @param {string} id
   * @returns {Promise<Table & StoredTable>}
   */
  async read(id) {
    const { file, alignment } = await this.#find(id);
    const whole = this.#path(file);
    await access(whole).catch(() => {
      throw new Failure(`${this.describe(id)} is missing: there is no file ${file} in its data folder`);
    });
    try {
      return { ...(await readCsvFile(whole)), file, alignment };
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      throw new Failure(`cannot read ${this.describe(id)} from ${file}: ${reason}`);
    }
  }

  /** @param {string} id */
  describe(id) {
    return `table "${id}" of ${this.#party}`;
  }

  /**
   * Writes outputs under passing names.
   * @param {readonly Output[]} outputs
   * @param {string} alignment
   * @param {readonly string[]} inputFiles which no output may replace
   * @returns {Promise<() => Promise<void>>} gives them their names and makes their ids known
   */
  async stage(outputs, alignment, inputFiles) {
    const files = outputs.map(({ uri }) => this.#outputFile(uri));
    if (new Set(files).size !== files.length) throw new Failure("two outputs have the same uri");
    for (const file of files) {
      if (inputFiles.includes(file)) throw new Failure(`output ${file} would overwrite the task's own input`);
    }
    const ids = outputs.map(({ id }) => (id === undefined ? undefined : safeName(id, "output id")));
    for (const [index, { header, rows }] of outputs.entries()) {
      const whole = this.#path(files[index] ?? "");
      await mkdir(path.dirname(whole), { recursive: true });
      await writeCsvFile(partOf(whole), header, rows);
    }
    return async () => {
      await mkdir(this.#path(".tables"), { recursive: true });
      for (const [index, file] of files.entries()) {
        await rename(partOf(this.#path(file)), this.#path(file));
        const id = ids[index];
        if (id !== undefined) await this.#writeWhole(recordOf(id), { file, alignment });
      }
    };
  }

  /**
   * Writes a report beside an output: `psi-output.report.json` for `psi-output.csv`.
   * @param {string} uri
   * @param {Record<string, unknown>} report
   */
  async writeReport(uri, report) {
    await this.#writeWhole(`${this.#outputFile(uri).replace(/\.csv$/, "")}.report.json`, report);
  }

  /**
   * @param {string} id
   * @returns {Promise<StoredTable>}
   */
  async #find(id) {
    const plain = { file: `${safeName(id, "input id")}.csv`, alignment: "" };
    const record = await readFile(this.#path(recordOf(id)), "utf8").catch(() => null);
    if (record === null) return plain;
    const { file, alignment } = parseObject(record, `the record of ${this.describe(id)}`);
    return { file: this.#outputFile(asText(file, "its file")), alignment: String(alignment) };
  }

  /** @param {string} uri */
  #outputFile(uri) {
    return uri.split("/").map((part) => safeName(part, "output uri", uri)).join("/");
  }

  /** @param {string} file */
  #path(file) {
    return path.join(this.#root, file);
  }

  /**
   * @param {string} file
   * @param {Record<string, unknown>} content
   */
  async #writeWhole(file, content) {
    const whole = this.#path(file);
    await writeFile(partOf(whole), `${JSON.stringify(content, null, 2)}\n`);
    await rename(partOf(whole), whole);
  }
}

/** @param {string} id */
function recordOf(id) {
  return `.tables/${id}.json`;
}

/** @param {string} whole */
function partOf(whole) {
  return path.join(path.dirname(whole), `.${path.basename(whole)}.part`);
}

/**
 * @param {string} name
 * @param {string} what
 * @param {string} [whole] what the name is a part of
 */
function safeName(name, what, whole = name) {
  if (SAFE_NAME.test(name)) return name;
  throw new Failure(`${what} ${JSON.stringify(whole)} is not a plain name of letters, digits, ".", "_" and "-"`);
}
