import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { bytesOfText, CsvParser, formatRow, readCsvFile, writeCsvFile, type Row } from "../csv.mjs";

function parse(...pieces: readonly string[]): Row[] {
  const rows: Row[] = [];
  const parser = new CsvParser((row) => rows.push(row));
  for (const piece of pieces) parser.push(piece);
  parser.end();
  return rows;
}

/** Any bytes, with the characters that mean something in the format often among them. */
const anyByte = fc.integer({ min: 0, max: 255 }).map((byte) => String.fromCharCode(byte));
const cell = fc.string({ unit: fc.oneof(fc.constantFrom('"', ",", "\r", "\n", " "), anyByte), maxLength: 8 });
const table = fc.integer({ min: 1, max: 4 }).chain((width) =>
  fc.array(fc.array(cell, { minLength: width, maxLength: width }), { maxLength: 8 }),
);

let dir: string;
beforeAll(async () => {
  dir = await mkdtemp(path.join(tmpdir(), "psi-csv-"));
});
afterAll(() => rm(dir, { recursive: true }));

describe("rows", () => {
  it("come back as they were written, however the text is cut", () => {
    fc.assert(
      fc.property(table, fc.array(fc.nat(200), { maxLength: 6 }), (rows, cuts) => {
        const text = rows.map(formatRow).join("");
        const places = [0, ...cuts.map((cut) => Math.min(cut, text.length)).sort((a, b) => a - b), text.length];
        const pieces = places.slice(1).map((end, index) => text.slice(places[index], end));
        expect(parse(...pieces)).toEqual(rows);
      }),
    );
  });

  it("may end in CRLF", () => {
    const harmless = fc.array(fc.tuple(fc.stringMatching(/^[a-z", ]*$/), fc.stringMatching(/^[a-z", ]*$/)));
    fc.assert(
      fc.property(harmless, (rows) => {
        expect(parse(rows.map((row) => formatRow(row).replace(/\n$/, "\r\n")).join(""))).toEqual(rows);
      }),
    );
  });

  it.each([
    ['a,b\nc,"d\ne"', [["a", "b"], ["c", "d\ne"]]],
    ["a,\n,b\n", [["a", ""], ["", "b"]]],
    ["a\n\n\r\nb\n", [["a"], ["b"]]],
    ['a\n""\n"b"""\n', [["a"], [""], ['b"']]],
    ["a\rb\r", [["a\rb"]]],
    ['"a"\r\n"b"\r', [["a"], ["b"]]],
    ["", []],
  ])("of %j are read", (text, rows) => {
    expect(parse(text)).toEqual(rows);
  });

  it.each([
    ['a\nb"c\n', "row 2 has a quote inside a cell that is not quoted"],
    ['"a"b\n', "row 1 has text after a closing quote"],
    ['"a"\rb\n', "row 1 has text after a closing quote"],
    ['"a"\r"b"\n', "row 1 has text after a closing quote"],
    ['a\n"b\n', "row 2 has a quote that never closes"],
  ])("of %j are refused", (text, message) => {
    expect(() => parse(text)).toThrow(message);
  });
});

describe("files", () => {
  it("keep their bytes, whatever the encoding", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(cell, cell), { maxLength: 20 }), async (rows) => {
        const file = path.join(dir, "bytes.csv");
        await writeCsvFile(file, ["a", "b"], rows);
        expect(await readCsvFile(file)).toEqual({ header: ["a", "b"], rows });
      }),
      { numRuns: 30 },
    );
  });

  it("may begin with a byte order mark and name columns in UTF-8", async () => {
    const file = path.join(dir, "mark.csv");
    await writeFile(file, "\ufeffschlüssel,值\n1,2\n");
    expect((await readCsvFile(file)).header).toEqual([bytesOfText("schlüssel"), bytesOfText("值")]);
  });

  it("are read over many pieces", async () => {
    const file = path.join(dir, "long.csv");
    const rows = Array.from({ length: 20_000 }, (_, index) => [`${index}`, `"${index}",`]);
    await writeCsvFile(file, ["a", "b"], rows);
    expect((await readCsvFile(file)).rows).toEqual(rows);
  });

  it.each([
    ["", "the file is empty"],
    ["a,b\n1,2\n1\n", "row 3 has 1 cells, but the header has 2"],
    ["a,a\n", "the header has a column name twice"],
  ])("of %j are refused", async (text, message) => {
    const file = path.join(dir, "bad.csv");
    await writeFile(file, text);
    await expect(readCsvFile(file)).rejects.toThrow(message);
  });
});
