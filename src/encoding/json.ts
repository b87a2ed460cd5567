/**
 * Messages to protobuf's JSON, character for character as protobuf-es and `JSON.stringify` write them with the names of
 * the proto files and with defaults, and a good deal faster. The well-known types, and values that do not fit their field,
 * are left to protobuf-es.
 */

import { type DescEnum, type DescField, type DescMessage, type Message, ScalarType, toJsonString } from "@bufbuild/protobuf";
import { Edition, FeatureSet_FieldPresence } from "@bufbuild/protobuf/wkt";
import { base64Encode } from "@bufbuild/protobuf/wire";
import { TextWriter } from "./text-writer.js";
import { chosen, compileOnce, type Fields, Unusual } from "./compile.js";

export function encodeJson(desc: DescMessage, message: Message): Uint8Array {
  try {
    writeMessage(desc)(writer, message);
    return writer.copy();
  } catch (error) {
    if (!(error instanceof Unusual)) throw error;
    return Buffer.from(toJsonString(desc, message, { useProtoFieldName: true, alwaysEmitImplicit: true }));
  } finally {
    writer.reset();
  }
}

/** One for all: encoding never waits, so no two messages are in it at once. */
const writer = new TextWriter();

type Write<T = unknown> = (out: TextWriter, value: T) => void;

const COMMA = 0x2c;
const COLON = 0x3a;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;
const OPEN_ARRAY = 0x5b;
const CLOSE_ARRAY = 0x5d;

const writeMessage = compileOnce<Write<Fields>>((desc) => {
  const { typeName } = desc;
  const unusual = desc.file.edition !== Edition.EDITION_PROTO3 || typeName.startsWith("google.protobuf.");
  const writers = desc.fields.toSorted((a, b) => a.number - b.number).map(fieldWriter);
  return (out, message) => {
    if (unusual || message.$typeName !== typeName) throw new Unusual();
    out.byte(OPEN_OBJECT);
    const start = out.position;
    for (const write of writers) write(out, message, start);
    out.byte(CLOSE_OBJECT);
  };
});

/** Writes a field with its name; nothing where it is unset and has no default to write. `start` is where the first begins. */
function fieldWriter(field: DescField): (out: TextWriter, message: Fields, start: number) => void {
  const { localName } = field;
  const oneofName = field.oneof?.localName;
  const write = valueWriter(field);
  const name = `${JSON.stringify(field.name)}:`;
  const [first, next] = withComma(name);
  const always = field.fieldKind === "list" || field.fieldKind === "map" || field.presence === FeatureSet_FieldPresence.IMPLICIT;
  // Most fields of most messages have their default, which is written in one piece.
  const zero = field.fieldKind === "scalar" ? ZEROS.get(field.scalar) : undefined;
  const [firstZero, nextZero] = withComma(name + (zero?.text ?? ""));
  return (out, message, start) => {
    const value = oneofName === undefined ? message[localName] : chosen(message[oneofName], localName);
    if (value === undefined && !always) return;
    const isFirst = out.position === start;
    if (zero && value === zero.value) return out.bytes(isFirst ? firstZero : nextZero);
    out.bytes(isFirst ? first : next);
    write(out, value);
  };
}

/** The text as the first of an object's parts, and as a further one. */
function withComma(text: string): readonly [first: Buffer, next: Buffer] {
  return [Buffer.from(text), Buffer.from(`,${text}`)];
}

const ZEROS: ReadonlyMap<ScalarType, { readonly value: unknown; readonly text: string }> = new Map([
  [ScalarType.STRING, { value: "", text: '""' }],
  [ScalarType.BOOL, { value: false, text: "false" }],
  [ScalarType.INT32, { value: 0, text: "0" }],
  [ScalarType.INT64, { value: 0n, text: '"0"' }],
]);

function valueWriter(field: DescField): Write {
  const write = itemWriter(field);
  if (field.fieldKind === "list") {
    return (out, items) => {
      if (!Array.isArray(items)) throw new Unusual();
      out.byte(OPEN_ARRAY);
      for (let i = 0; i < items.length; i++) {
        if (i > 0) out.byte(COMMA);
        write(out, items[i]);
      }
      out.byte(CLOSE_ARRAY);
    };
  }
  if (field.fieldKind === "map") {
    return (out, entries) => {
      if (typeof entries !== "object" || entries === null) throw new Unusual();
      out.byte(OPEN_OBJECT);
      const start = out.position;
      for (const [key, value] of Object.entries(entries)) {
        if (out.position !== start) out.byte(COMMA);
        out.quoted(key);
        out.byte(COLON);
        write(out, value);
      }
      out.byte(CLOSE_OBJECT);
    };
  }
  return write;
}

function itemWriter({ message, enum: desc, scalar }: DescField): Write {
  if (message) {
    let write: Write<Fields> | undefined;
    return (out, value) => {
      // Compiled here, since a message may hold others of its own type.
      write ??= writeMessage(message);
      if (typeof value !== "object" || value === null) throw new Unusual();
      write(out, value as Fields);
    };
  }
  if (desc) return enumWriter(desc);
  return SCALARS[scalar ?? ScalarType.STRING];
}

/** Open enums hold numbers that they do not name, which are written as they are. */
function enumWriter(desc: DescEnum): Write {
  const names = new Map(desc.values.map((value) => [value.number, Buffer.from(`"${value.name}"`)]));
  return (out, value) => {
    if (typeof value !== "number" || desc.typeName.startsWith("google.protobuf.")) throw new Unusual();
    const name = names.get(value);
    if (name) out.bytes(name);
    else number(out, value);
  };
}

const text: Write = (out, value) => {
  if (typeof value !== "string") throw new Unusual();
  out.quoted(value);
};

const DIGIT_ZERO = 0x30;

const number: Write = (out, value) => {
  if (typeof value !== "number" || !Number.isFinite(value)) throw new Unusual();
  if (value >= 0 && value < 10 && Number.isInteger(value)) out.byte(DIGIT_ZERO + value);
  else out.plain(String(value));
};

const integer64: Write = (out, value) => {
  if (typeof value !== "bigint") throw new Unusual();
  out.plain(`"${value}"`);
};

const TRUE = Buffer.from("true");
const FALSE = Buffer.from("false");

const bool: Write = (out, value) => {
  if (typeof value !== "boolean") throw new Unusual();
  out.bytes(value ? TRUE : FALSE);
};

const bytes: Write = (out, value) => {
  if (!(value instanceof Uint8Array)) throw new Unusual();
  out.plain(`"${base64Encode(value)}"`);
};

const SCALARS = {
  [ScalarType.STRING]: text,
  [ScalarType.BYTES]: bytes,
  [ScalarType.BOOL]: bool,
  [ScalarType.DOUBLE]: number,
  [ScalarType.FLOAT]: number,
  [ScalarType.INT32]: number,
  [ScalarType.UINT32]: number,
  [ScalarType.SINT32]: number,
  [ScalarType.FIXED32]: number,
  [ScalarType.SFIXED32]: number,
  [ScalarType.INT64]: integer64,
  [ScalarType.UINT64]: integer64,
  [ScalarType.SINT64]: integer64,
  [ScalarType.FIXED64]: integer64,
  [ScalarType.SFIXED64]: integer64,
} as const satisfies Record<ScalarType, Write>;
