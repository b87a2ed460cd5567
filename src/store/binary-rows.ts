/**
 * Rows in Postgres' own binary form: one argument of a statement is an array of rows of a composite type.
 *
 * As JSON, a batch was read three times: when it came, when it was taken apart, and once more for each value. In this form
 * each value is copied to where it belongs. What the bytes are is told by Postgres' `array_recv` and `record_recv`:
 *
 *   array   dimensions (1, or 0 when empty), has nulls (0), oid of the row type, number of rows, first index (1), rows
 *   row     length, number of columns, then each: oid of its type, length (-1 = null), value
 *
 * Integers are big-endian. A layout names the columns in the order of the type. Postgres (14 and newer) asks for the right number of
 * columns and for the oids of their types, not for that of the row type, which differs from database to database.
 */

import type { Instant } from "../core/job.js";

/** Types of columns, by the names that `format_type` gives them. Their oids are the same in every database. */
const OIDS = {
  boolean: 16,
  bigint: 20,
  integer: 23,
  text: 25,
  json: 114,
  real: 700,
  "integer[]": 1007,
  "text[]": 1009,
  "timestamp with time zone": 1184,
  uuid: 2950,
  jsonb: 3802,
} as const;
type ColumnType = keyof typeof OIDS;
/** `record`: any row type. */
const ROW_OID = 2249;

const FIRST_BYTES = 64 * 1024;
/** Memory that one large batch needed is not kept for good. */
const MOST_KEPT_BYTES = 4 << 20;
/** Up to this length a loop over the characters beats a call into the engine. */
const SHORT_TEXT = 40;
/** Most bytes that a UTF-16 unit takes in UTF-8. */
const MOST_BYTES = 3;
/** Postgres counts from the year 2000. */
const POSTGRES_EPOCH = Date.UTC(2000, 0, 1);
const TWO_32 = 2 ** 32;

const HEX_VALUE = new Uint8Array(128);
for (let value = 0; value < 16; value += 1) {
  HEX_VALUE[value.toString(16).charCodeAt(0)] = value;
  HEX_VALUE[value.toString(16).toUpperCase().charCodeAt(0)] = value;
}

/** Writes values, each behind its length. */
export class ValueWriter {
  #bytes: Buffer = Buffer.allocUnsafeSlow(FIRST_BYTES);
  #at = 0;

  /** Forgets what was written. */
  clear(): void {
    this.#at = 0;
    if (this.#bytes.length > MOST_KEPT_BYTES) this.#bytes = Buffer.allocUnsafeSlow(FIRST_BYTES);
  }

  /** All that was written, as a copy of just its size. */
  copy(): Buffer {
    return Buffer.from(this.#bytes.subarray(0, this.#at));
  }

  int32(value: number): void {
    this.#reserve(4);
    this.#put32(this.#at, value);
    this.#at += 4;
  }

  /** Leaves place for a length, which `close` fills in. */
  open(): number {
    this.#reserve(4);
    this.#at += 4;
    return this.#at;
  }

  close(opened: number): void {
    this.#put32(opened - 4, this.#at - opened);
  }

  null(): void {
    this.int32(-1);
  }

  integer(value: number): void {
    this.int32(4);
    this.int32(value);
  }

  /** A safe integer. */
  bigint(value: number): void {
    this.int32(8);
    this.int32(Math.floor(value / TWO_32));
    this.int32(value % TWO_32);
  }

  boolean(value: boolean): void {
    this.int32(1);
    this.#reserve(1);
    this.#bytes[this.#at++] = value ? 1 : 0;
  }

  real(value: number): void {
    this.int32(4);
    this.#reserve(4);
    this.#at = this.#bytes.writeFloatBE(value, this.#at);
  }

  instant(value: Instant): void {
    this.bigint((value - POSTGRES_EPOCH) * 1000);
  }

  uuid(value: string): void {
    this.int32(16);
    this.#reserve(16);
    const bytes = this.#bytes;
    let at = this.#at;
    for (let i = 0; i < 36; i += 2) {
      // One after 8, 12, 16 and 20 digits.
      if (i === 8 || i === 13 || i === 18 || i === 23) i += 1;
      bytes[at++] = (hexValue(value, i) << 4) | hexValue(value, i + 1);
    }
    this.#at = at;
  }

  text(value: string): void {
    const begin = this.open();
    this.#string(value);
    this.close(begin);
  }

  json(value: unknown): void {
    this.text(JSON.stringify(value));
  }

  jsonb(value: unknown): void {
    const begin = this.open();
    this.#reserve(1);
    // The version of the format.
    this.#bytes[this.#at++] = 1;
    this.#string(JSON.stringify(value));
    this.close(begin);
  }

  /** `write` is called for each element. */
  array<T>(elementOid: number, values: readonly T[], write: (value: T) => void): void {
    this.int32(values.length === 0 ? 0 : 1);
    this.int32(0);
    this.int32(elementOid);
    if (values.length === 0) return;
    this.int32(values.length);
    this.int32(1);
    for (const value of values) write(value);
  }

  #string(value: string): void {
    const { length } = value;
    this.#reserve(length * MOST_BYTES);
    const bytes = this.#bytes;
    const begin = this.#at;
    if (length > SHORT_TEXT) {
      this.#at += bytes.write(value, begin);
      return;
    }
    for (let i = 0; i < length; i += 1) {
      const code = value.charCodeAt(i);
      if (code > 0x7f) {
        this.#at = begin + bytes.write(value, begin);
        return;
      }
      bytes[begin + i] = code;
    }
    this.#at = begin + length;
  }

  #put32(at: number, value: number): void {
    const bytes = this.#bytes;
    bytes[at] = value >>> 24;
    bytes[at + 1] = value >>> 16;
    bytes[at + 2] = value >>> 8;
    bytes[at + 3] = value;
  }

  #reserve(bytes: number): void {
    if (this.#bytes.length - this.#at >= bytes) return;
    const larger = Buffer.allocUnsafeSlow(Math.max(this.#bytes.length * 2, this.#at + bytes));
    this.#bytes.copy(larger, 0, 0, this.#at);
    this.#bytes = larger;
  }
}

/** Of a digit at a place; a uuid is text of ours, so nothing else stands there. */
function hexValue(text: string, at: number): number {
  return HEX_VALUE[text.charCodeAt(at)] ?? 0;
}

export interface Column<Source> {
  readonly type: ColumnType;
  readonly write: (out: ValueWriter, source: Source) => void;
}

/** A column whose value may be null. */
function nullable<Source, Value>(
  type: ColumnType,
  of: (source: Source) => Value | null,
  write: (out: ValueWriter, value: Value) => void,
): Column<Source> {
  return {
    type,
    write(out, source) {
      const value = of(source);
      if (value === null) out.null();
      else write(out, value);
    },
  };
}

export const text = <S>(of: (source: S) => string | null): Column<S> => nullable("text", of, (out, value) => out.text(value));
export const uuid = <S>(of: (source: S) => string): Column<S> => nullable("uuid", of, (out, value) => out.uuid(value));
export const int = <S>(of: (source: S) => number | null): Column<S> => nullable("integer", of, (out, value) => out.integer(value));
export const bigint = <S>(of: (source: S) => number): Column<S> => nullable("bigint", of, (out, value) => out.bigint(value));
export const real = <S>(of: (source: S) => number): Column<S> => nullable("real", of, (out, value) => out.real(value));
export const boolean = <S>(of: (source: S) => boolean): Column<S> => nullable("boolean", of, (out, value) => out.boolean(value));
export const instant = <S>(of: (source: S) => Instant | null): Column<S> =>
  nullable("timestamp with time zone", of, (out, value) => out.instant(value));
/** Null is SQL's null, not JSON's. */
export const json = <S>(of: (source: S) => object | null): Column<S> => nullable("json", of, (out, value) => out.json(value));
export const jsonb = <S>(of: (source: S) => object | null): Column<S> => nullable("jsonb", of, (out, value) => out.jsonb(value));

export const ints = <S>(of: (source: S) => readonly number[]): Column<S> =>
  nullable("integer[]", of, (out, values) => {
    const begin = out.open();
    out.array(OIDS.integer, values, (value) => out.integer(value));
    out.close(begin);
  });

export const texts = <S>(of: (source: S) => readonly string[]): Column<S> =>
  nullable("text[]", of, (out, values) => {
    const begin = out.open();
    out.array(OIDS.text, values, (value) => out.text(value));
    out.close(begin);
  });

/** The columns of a composite type, in its order. `Source` is what a row of it is made of. */
export interface Layout<Source> {
  readonly typeName: string;
  readonly columns: Readonly<Record<string, Column<Source>>>;
  readonly writes: readonly { readonly oid: number; readonly write: Column<Source>["write"] }[];
}

export function layout<Source>(typeName: string, columns: Readonly<Record<string, Column<Source>>>): Layout<Source> {
  return { typeName, columns, writes: Object.values(columns).map(({ type, write }) => ({ oid: OIDS[type], write })) };
}

/** Postgres' own text of an empty array. */
const EMPTY = "{}";

/** One for all: an argument is written at one go. A writer of its own for each would be memory for the collector. */
const out = new ValueWriter();

/** An array of rows as the argument of a statement. */
export function rowsArgument<Source>({ writes }: Layout<Source>, sources: readonly Source[]): Buffer | string {
  if (sources.length === 0) return EMPTY;
  // A write that broke off may have left something.
  out.clear();
  out.array(ROW_OID, sources, (source) => {
    const begin = out.open();
    out.int32(writes.length);
    for (const column of writes) {
      out.int32(column.oid);
      column.write(out, source);
    }
    out.close(begin);
  });
  return out.copy();
}
