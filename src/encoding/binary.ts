/**
 * Messages to protobuf's binary format, byte for byte as protobuf-es writes them and several times as fast. It is written
 * from its end to its start, so that the length of each part is known when its place comes, into memory that is kept;
 * the result is one copy of it.
 *
 * What our messages have no use for (proto2, groups, zigzag and fixed-size integers, wrapped scalars) and values that do
 * not fit their field are left to protobuf-es, which also knows how to complain about them.
 */

import { type DescField, type DescMessage, type Message, ScalarType, toBinary } from "@bufbuild/protobuf";
import { Edition, FeatureSet_FieldPresence } from "@bufbuild/protobuf/wkt";
import { WireType } from "@bufbuild/protobuf/wire";
import { BackwardWriter } from "./backward-writer.js";
import { chosen, compileOnce, type Fields, Unusual } from "./compile.js";

/** The message, behind `headroom` bytes for the caller to fill. */
export function encodeBinary(desc: DescMessage, message: Message, headroom = 0): Buffer {
  const start = writer.mark;
  try {
    writeMessage(desc)(writer, message);
    return writer.copy(start, headroom);
  } catch (error) {
    if (!(error instanceof Unusual)) throw error;
    return Buffer.concat([Buffer.allocUnsafe(headroom), toBinary(desc, message)]);
  } finally {
    writer.reset(start);
  }
}

/** One for all: encoding never waits, so no two messages are in it at once. */
const writer = new BackwardWriter();

type Write<T = unknown> = (out: BackwardWriter, value: T) => void;

const writeMessage = compileOnce<Write<Fields>>((desc) => {
  const { typeName } = desc;
  if (!isPlain(desc)) return (out, message) => out.bytes(toBinary(desc, message));
  const writers = desc.fields.toSorted((a, b) => b.number - a.number).map(fieldWriter);
  return (out, message) => {
    if (message.$typeName !== typeName) throw new Unusual();
    if (message.$unknown) writeUnknown(out, message.$unknown);
    for (const write of writers) write(out, message);
  };
});

function writeUnknown(out: BackwardWriter, fields: NonNullable<Fields["$unknown"]>): void {
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
  // Generated messages hold wrapped scalars and structs in a form of their own.
  return !/^google\.protobuf\.(\w+Value|Struct)$/.test(field.message?.typeName ?? "");
}

/** Writes a field of the message where it is set. */
function fieldWriter(field: DescField): Write<Fields> {
  const { localName } = field;
  if (field.fieldKind === "list") return listWriter(field);
  if (field.fieldKind === "map") return mapWriter(field);
  const { write, isZero } = valueOf(field);
  const tag = tagOf(field.number, wireTypeOf(field));
  if (field.oneof) {
    const oneofName = field.oneof.localName;
    return (out, message) => {
      const value = chosen(message[oneofName], localName);
      if (value === undefined) return;
      write(out, value);
      out.varint(tag);
    };
  }
  if (field.scalar === ScalarType.STRING && field.presence === FeatureSet_FieldPresence.IMPLICIT) {
    // Most fields are such, and most of the time goes into them.
    return (out, message) => {
      const value = message[localName];
      if (value === "") return;
      if (typeof value !== "string") throw new Unusual();
      out.text(value);
      out.varint(tag);
    };
  }
  const isUnset = field.presence === FeatureSet_FieldPresence.IMPLICIT ? isZero : (value: unknown) => value === undefined;
  return (out, message) => {
    const value = message[localName];
    if (isUnset(value)) return;
    write(out, value);
    out.varint(tag);
  };
}

function listWriter(field: DescField & { fieldKind: "list" }): Write<Fields> {
  const { localName } = field;
  const { write } = valueOf(field);
  const tag = tagOf(field.number, field.packed ? WireType.LengthDelimited : wireTypeOf(field));
  return (out, message) => {
    const items = message[localName];
    if (!Array.isArray(items)) throw new Unusual();
    if (items.length === 0) return;
    const start = out.mark;
    for (let i = items.length - 1; i >= 0; i--) {
      write(out, items[i]);
      if (!field.packed) out.varint(tag);
    }
    if (field.packed) closePart(out, start, tag);
  };
}

function mapWriter(field: DescField & { fieldKind: "map" }): Write<Fields> {
  const { localName } = field;
  const { write } = valueOf(field);
  const tag = tagOf(field.number, WireType.LengthDelimited);
  const keyTag = tagOf(1, WireType.LengthDelimited);
  const valueTag = tagOf(2, wireTypeOf(field));
  const isText = field.mapKey === ScalarType.STRING;
  return (out, message) => {
    const entries = message[localName];
    if (typeof entries !== "object" || entries === null) throw new Unusual();
    const keys = Object.keys(entries);
    if (keys.length > 0 && !isText) throw new Unusual();
    for (const key of keys.toReversed()) {
      const start = out.mark;
      write(out, (entries as Fields)[key]);
      out.varint(valueTag);
      out.text(key);
      out.varint(keyTag);
      closePart(out, start, tag);
    }
  };
}

function closePart(out: BackwardWriter, start: number, tag: number): void {
  out.varint(out.mark - start);
  out.varint(tag);
}

function tagOf(number: number, wireType: WireType): number {
  return number * 8 + wireType;
}

interface Value {
  /** Without its tag. Throws Unusual where the value does not fit. */
  readonly write: Write;
  readonly isZero: (value: unknown) => boolean;
}

function valueOf({ message, scalar }: DescField): Value {
  if (message) {
    let write: Write<Fields> | undefined;
    return {
      write(out, value) {
        // Compiled here, since a message may hold others of its own type.
        write ??= writeMessage(message);
        if (typeof value !== "object" || value === null) throw new Unusual();
        const start = out.mark;
        write(out, value as Fields);
        out.varint(out.mark - start);
      },
      isZero: () => false,
    };
  }
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

const SCALARS: ReadonlyMap<ScalarType, Value> = new Map<ScalarType, Value>([
  [
    ScalarType.STRING,
    {
      write(out, value) {
        if (typeof value !== "string") throw new Unusual();
        out.text(value);
      },
      isZero: (value) => value === "",
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
      isZero: (value) => value instanceof Uint8Array && value.byteLength === 0,
    },
  ],
  [
    ScalarType.BOOL,
    {
      write(out, value) {
        if (typeof value !== "boolean") throw new Unusual();
        out.varint(value ? 1 : 0);
      },
      isZero: (value) => value === false,
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
      isZero: (value) => value === 0,
    },
  ],
  [
    ScalarType.UINT32,
    {
      write(out, value) {
        if (typeof value !== "number" || value >>> 0 !== value) throw new Unusual();
        out.varint(value);
      },
      isZero: (value) => value === 0,
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
      isZero: (value) => Object.is(value, 0),
    },
  ],
  [
    ScalarType.DOUBLE,
    {
      write(out, value) {
        if (typeof value !== "number") throw new Unusual();
        out.double(value);
      },
      isZero: (value) => Object.is(value, 0),
    },
  ],
]);

function int64(least: bigint, most: bigint): Value {
  return {
    write(out, value) {
      if (typeof value !== "bigint" || value < least || value > most) throw new Unusual();
      out.varint64(value);
    },
    isZero: (value) => value === 0n,
  };
}
