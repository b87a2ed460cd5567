/**
 * Messages to protobuf's binary format, byte for byte as protobuf-es writes them and several times as fast. It is written
 * from its end to its start, so that the length of each part is known when its place comes, into memory that is kept;
 * the result is one copy of it.
 *
 * What our messages have no use for (proto2, groups, zigzag and fixed-size integers, wrapped scalars) and values that do
 * not fit their field are left to protobuf-es, which also knows how to complain about them.
 */

import { create, type DescField, type DescMessage, type Message, ScalarType, toBinary } from "@bufbuild/protobuf";
import { Edition, FeatureSet_FieldPresence } from "@bufbuild/protobuf/wkt";
import { WireType } from "@bufbuild/protobuf/wire";
import { BackwardWriter } from "./backward-writer.js";
import { Code, compileOnce, isWrapped, type MessageInit, read, Unusual } from "./compile.js";

/** The message, behind `headroom` bytes for the caller to fill. */
export function encodeBinary(desc: DescMessage, init: MessageInit, headroom = 0): Buffer {
  const start = writer.mark;
  try {
    writerOf(desc)(writer, init);
    return writer.copy(start, headroom);
  } catch (error) {
    if (!(error instanceof Unusual)) throw error;
    return Buffer.concat([Buffer.allocUnsafe(headroom), toBinary(desc, create(desc, init))]);
  } finally {
    writer.reset(start);
  }
}

/** One for all: encoding never waits, so no two messages are in it at once. */
const writer = new BackwardWriter();

type Write = (out: BackwardWriter, init: MessageInit) => void;

// The generated function takes what is written to, and a value.
const writerOf = compileOnce((desc: DescMessage) => new Code("out, m", writeMessage).compile(desc) as Write);

function writeMessage(desc: DescMessage, code: Code): string {
  if (!isPlain(desc)) {
    const whole = (message: MessageInit): Uint8Array => toBinary(desc, create(desc, message));
    return `out.bytes(${code.valueOf(whole)}(m));`;
  }
  const fields = desc.fields.toSorted((a, b) => b.number - a.number).map((field) => writeField(field, code));
  return `if (!init && m.$unknown) ${code.valueOf(writeUnknown)}(out, m.$unknown);
    ${fields.join("\n")}`;
}

function writeUnknown(out: BackwardWriter, fields: NonNullable<Message["$unknown"]>): void {
  for (const { no, wireType, data } of fields.toReversed()) {
    out.bytes(data);
    out.varint(tagOf(no, wireType));
  }
}

function isPlain(desc: DescMessage): boolean {
  return desc.file.edition === Edition.EDITION_PROTO3 && desc.fields.every(isPlainField);
}

function isPlainField(field: DescField): boolean {
  if (field.scalar !== undefined && !SCALARS.has(field.scalar)) return false;
  return !field.message || !isWrapped(field.message);
}

/** Writes a field of the message where it is set. */
function writeField(field: DescField, code: Code): string {
  const { unusual } = code;
  const tag = tagOf(field.number, field.fieldKind === "list" && field.packed ? WireType.LengthDelimited : wireTypeOf(field));
  const item = (value: string): string => writeItem(field, value, code);
  if (field.oneof) {
    return `v = ${read(field.oneof.localName)};
      if (v === undefined ? !init : typeof v !== "object" || v === null || (!init && !("case" in v))) ${unusual}
      if (v !== undefined && v.case === ${JSON.stringify(field.localName)}) { v = v.value; ${item("v")} out.varint(${tag}); }`;
  }
  const value = `v = ${read(field.localName)};`;
  if (field.fieldKind === "list") {
    return `${value}
      if (v !== undefined || !init) {
        if (!Array.isArray(v)) ${unusual}
        ${field.packed ? "const start = out.mark;" : ""}
        for (let i = v.length - 1; i >= 0; i--) {
          ${item("v[i]")}
          ${field.packed ? "" : `out.varint(${tag});`}
        }
        ${field.packed ? `if (v.length > 0) { out.varint(out.mark - start); out.varint(${tag}); }` : ""}
      }`;
  }
  if (field.fieldKind === "map") return `${value} if (v !== undefined || !init) ${writeMap(field, item("v[keys[i]]"), code)}`;
  if (field.presence !== FeatureSet_FieldPresence.IMPLICIT) return `${value} if (v !== undefined) { ${item("v")} out.varint(${tag}); }`;
  const { isZero } = scalarOf(field);
  return `${value} if (!(${isZero}) && !(v === undefined && init)) { ${item("v")} out.varint(${tag}); }`;
}

function writeMap(field: DescField & { fieldKind: "map" }, item: string, code: Code): string {
  return `{
    if (typeof v !== "object" || v === null) ${code.unusual}
    const keys = Object.keys(v);
    ${field.mapKey === ScalarType.STRING ? "" : `if (keys.length > 0) ${code.unusual}`}
    for (let i = keys.length - 1; i >= 0; i--) {
      const start = out.mark;
      ${item}
      out.varint(${tagOf(2, wireTypeOf(field))});
      out.text(keys[i]);
      out.varint(${tagOf(1, WireType.LengthDelimited)});
      out.varint(out.mark - start);
      out.varint(${tagOf(field.number, WireType.LengthDelimited)});
    }
  }`;
}

/** Writes a value without its tag. */
function writeItem(field: DescField, value: string, code: Code): string {
  if (!field.message) return `${code.valueOf(scalarOf(field).write)}(out, ${value});`;
  return `{ const start = out.mark; ${code.functionOf(field.message)}(out, ${value}); out.varint(out.mark - start); }`;
}

function tagOf(number: number, wireType: WireType): number {
  return number * 8 + wireType;
}

interface Scalar {
  /** Without its tag. Throws Unusual where the value does not fit. */
  readonly write: (out: BackwardWriter, value: unknown) => void;
  /** The code that tells whether `v` is the default. */
  readonly isZero: string;
}

function scalarOf({ scalar }: DescField): Scalar {
  // A field without a message or a scalar is an enum.
  const known = SCALARS.get(scalar ?? ScalarType.INT32);
  if (!known) throw new Unusual();
  return known;
}

function wireTypeOf({ message, scalar }: DescField): WireType {
  if (message || scalar === ScalarType.STRING || scalar === ScalarType.BYTES) return WireType.LengthDelimited;
  if (scalar === ScalarType.FLOAT) return WireType.Bit32;
  return scalar === ScalarType.DOUBLE ? WireType.Bit64 : WireType.Varint;
}

const MAX_FLOAT = 3.4028234663852886e38;

const SCALARS: ReadonlyMap<ScalarType, Scalar> = new Map<ScalarType, Scalar>([
  [
    ScalarType.STRING,
    {
      write(out, value) {
        if (typeof value !== "string") throw new Unusual();
        out.text(value);
      },
      isZero: 'v === ""',
    },
  ],
  [
    ScalarType.BYTES,
    {
      write(out, value) {
        if (!(value instanceof Uint8Array)) throw new Unusual();
        out.bytes(value);
        out.varint(value.byteLength);
      },
      isZero: "v instanceof Uint8Array && v.byteLength === 0",
    },
  ],
  [
    ScalarType.BOOL,
    {
      write(out, value) {
        if (typeof value !== "boolean") throw new Unusual();
        out.varint(value ? 1 : 0);
      },
      isZero: "v === false",
    },
  ],
  [
    ScalarType.INT32,
    {
      write(out, value) {
        if (typeof value !== "number" || (value | 0) !== value) throw new Unusual();
        if (value >= 0) out.varint(value);
        else out.varint64(BigInt(value));
      },
      isZero: "v === 0",
    },
  ],
  [
    ScalarType.UINT32,
    {
      write(out, value) {
        if (typeof value !== "number" || value >>> 0 !== value) throw new Unusual();
        out.varint(value);
      },
      isZero: "v === 0",
    },
  ],
  [ScalarType.INT64, int64(-(2n ** 63n), 2n ** 63n - 1n)],
  [ScalarType.UINT64, int64(0n, 2n ** 64n - 1n)],
  [
    ScalarType.FLOAT,
    {
      write(out, value) {
        if (typeof value !== "number" || !(Math.abs(value) <= MAX_FLOAT)) throw new Unusual();
        out.float(value);
      },
      isZero: "Object.is(v, 0)",
    },
  ],
  [
    ScalarType.DOUBLE,
    {
      write(out, value) {
        if (typeof value !== "number") throw new Unusual();
        out.double(value);
      },
      isZero: "Object.is(v, 0)",
    },
  ],
]);

function int64(least: bigint, most: bigint): Scalar {
  return {
    write(out, value) {
      if (typeof value !== "bigint" || value < least || value > most) throw new Unusual();
      out.varint64(value);
    },
    isZero: "v === 0n",
  };
}
