/**
 * How many values a message in protobuf's binary format holds, told by its bytes before anything is made of them. Two
 * bytes can be an object of many times their size, so a body within its bound of bytes can still fill the memory.
 *
 * The walk goes where protobuf-es goes, also in bytes that are no message: it has counted at any place at least what
 * protobuf-es has made up to there. It gives up only where protobuf-es has given up already, which then says what is wrong.
 */

import { type DescField, type DescMessage, ScalarType } from "@bufbuild/protobuf";
import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";
import { compileOnce } from "./compile.js";

/** What the body of a request may hold in all, in any format. The largest job that the limits allow has a third of it. */
export const MAX_VALUES = 250_000;

/** What makes a binary message too costly to decode; undefined where nothing does. */
export function binaryExcess(desc: DescMessage, bytes: Uint8Array): string | undefined {
  // A value takes a byte at least.
  if (bytes.byteLength <= MAX_VALUES || countValues(desc, bytes, MAX_VALUES) <= MAX_VALUES) return undefined;
  return `holds more than ${MAX_VALUES} values`;
}

/** Fields, known or not, with those of nested messages and map entries, and the elements of packed lists; counts to `most` + 1. */
export function countValues(desc: DescMessage, bytes: Uint8Array, most: number): number {
  const walk = new Walk(bytes, most);
  try {
    walk.message(fieldsOf(desc), bytes.byteLength, 1);
  } catch {
    // No message. What was counted up to there may be too much already.
  }
  return walk.values;
}

/** By number. */
type Fields = ReadonlyMap<number, Field>;

interface Field {
  /** How the field is read. protobuf-es reads a known field so, whatever wire type the bytes say. */
  readonly wireType: WireType;
  /** Whether it is a list whose elements may come in one piece. */
  readonly isPackable: boolean;
  /** Of the message, or of the map's entry, that it holds. */
  readonly inner?: () => Fields;
  /** How much deeper `inner` is nested in the eyes of protobuf-es. */
  readonly levels?: 0 | 1;
}

const fieldsOf = compileOnce((desc: DescMessage): Fields => new Map(desc.fields.map((field) => [field.number, fieldOf(field)])));

function fieldOf(field: DescField): Field {
  if (field.fieldKind === "map") {
    const entry: Fields = new Map([[1, scalar(field.mapKey)], [2, field.message ? nested(field.message, false) : scalar(field.scalar)]]);
    return { wireType: WireType.LengthDelimited, isPackable: false, inner: () => entry, levels: 0 };
  }
  if (field.message) return nested(field.message, field.delimitedEncoding);
  const one = scalar(field.scalar);
  return { ...one, isPackable: field.fieldKind === "list" && one.wireType !== WireType.LengthDelimited };
}

function nested(desc: DescMessage, isGroup: boolean): Field {
  const wireType = isGroup ? WireType.StartGroup : WireType.LengthDelimited;
  return { wireType, isPackable: false, inner: () => fieldsOf(desc), levels: 1 };
}

/** Undefined: an enum. */
function scalar(type: ScalarType | undefined): Field {
  return { wireType: wireTypeOf(type), isPackable: false };
}

function wireTypeOf(type: ScalarType | undefined): WireType {
  switch (type) {
    case ScalarType.STRING:
    case ScalarType.BYTES:
      return WireType.LengthDelimited;
    case ScalarType.FIXED32:
    case ScalarType.SFIXED32:
    case ScalarType.FLOAT:
      return WireType.Bit32;
    case ScalarType.FIXED64:
    case ScalarType.SFIXED64:
    case ScalarType.DOUBLE:
      return WireType.Bit64;
    default:
      return WireType.Varint;
  }
}

/** The depth at which protobuf-es gives up. */
const MAX_DEPTH = 100;

class Walk {
  values = 0;
  private readonly reader: BinaryReader;

  constructor(
    private readonly bytes: Uint8Array,
    private readonly most: number,
  ) {
    this.reader = new BinaryReader(bytes);
  }

  /** `end` may lie beyond that of the message around it: protobuf-es reads on as well. */
  message(fields: Fields, end: number, depth: number): void {
    const { reader } = this;
    if (depth > MAX_DEPTH) throw new Error("nested too deep");
    while (reader.pos < end && this.values <= this.most) this.record(fields, this.tag(), depth);
  }

  private group(fields: Fields, depth: number): void {
    if (depth > MAX_DEPTH) throw new Error("nested too deep");
    for (let tag = this.tag(); wireTypeIn(tag) !== WireType.EndGroup; tag = this.tag()) {
      this.record(fields, tag, depth);
      if (this.values > this.most) return;
    }
  }

  private tag(): number {
    const tag = this.reader.uint32();
    this.values += 1;
    return tag;
  }

  private record(fields: Fields, tag: number, depth: number): void {
    const { reader } = this;
    const field = fields.get(tag >>> 3);
    const wireType = wireTypeIn(tag);
    if (field === undefined) {
      this.skip(wireType);
    } else if (field.inner) {
      const level = depth + (field.levels ?? 0);
      if (field.wireType === WireType.StartGroup) this.group(field.inner(), level);
      else this.message(field.inner(), reader.uint32() + reader.pos, level);
    } else if (field.isPackable && wireType === WireType.LengthDelimited) {
      const end = reader.uint32() + reader.pos;
      for (; reader.pos < end && this.values <= this.most; this.values += 1) this.skip(field.wireType);
    } else {
      this.skip(field.wireType);
    }
  }

  private skip(wireType: WireType): void {
    const { reader, bytes } = this;
    switch (wireType) {
      case WireType.Varint:
        while ((bytes[reader.pos++] ?? 0) >= 0x80);
        break;
      case WireType.Bit32:
        reader.pos += 4;
        break;
      case WireType.Bit64:
        reader.pos += 8;
        break;
      case WireType.LengthDelimited:
        // The length is read before it is added: an assignment would take the position before both.
        reader.pos = reader.uint32() + reader.pos;
        break;
      case WireType.StartGroup:
        this.skipGroup();
        break;
      default:
        throw new Error("no value begins so");
    }
    if (reader.pos > reader.len) throw new RangeError("the bytes end in a value");
  }

  /** A group that nobody knows, with the groups in it. */
  private skipGroup(): void {
    for (let open = 1; open > 0 && this.values <= this.most; ) {
      const wireType = wireTypeIn(this.tag());
      if (wireType === WireType.StartGroup) open += 1;
      else if (wireType === WireType.EndGroup) open -= 1;
      else this.skip(wireType);
    }
  }
}

/** Six and seven are none, and are refused where they would be skipped. */
function wireTypeIn(tag: number): WireType {
  return tag & 7;
}
