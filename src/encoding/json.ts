/**
 * Messages to protobuf's JSON, character for character as protobuf-es and `JSON.stringify` write them with the names of
 * the proto files and with defaults, and several times as fast. The well-known types are written by protobuf-es, one by
 * one where they are messages; what has a form of its own in a field, and values that do not fit theirs, are left to it as
 * a whole.
 */

import { create, type DescEnum, type DescField, type DescMessage, ScalarType, toJsonString } from "@bufbuild/protobuf";
import { Edition, FeatureSet_FieldPresence } from "@bufbuild/protobuf/wkt";
import { base64Encode } from "@bufbuild/protobuf/wire";
import type { Ascii, Body } from "./ascii.js";
import { Code, compileOnce, isWrapped, type MessageInit, read, Unusual } from "./compile.js";

export function encodeJson(desc: DescMessage, init: MessageInit): Body {
  try {
    isAscii = true;
    const json = writerOf(desc)(init);
    // Every text that is not has been seen while it was written.
    return isAscii ? (json as Ascii) : Buffer.from(json);
  } catch (error) {
    if (!(error instanceof Unusual)) throw error;
    return Buffer.from(toJsonString(desc, create(desc, init), OPTIONS));
  }
}

const OPTIONS = { useProtoFieldName: true, alwaysEmitImplicit: true } as const;

/** Whether what is written is; one for all, since encoding never waits. */
let isAscii = true;

type Write = (init: MessageInit) => string;

// The generated function takes one value and gives a text.
const writerOf = compileOnce((desc: DescMessage) => new Code("m", writeMessage).compile(desc) as Write);

function writeMessage(desc: DescMessage, code: Code): string {
  if (isWrapped(desc) || desc.file.edition !== Edition.EDITION_PROTO3) return code.unusual;
  if (desc.typeName.startsWith("google.protobuf.")) {
    const whole = (init: MessageInit): string => checked(toJsonString(desc, create(desc, init), OPTIONS));
    return `return ${code.valueOf(whole)}(m);`;
  }
  const parts = ['let s = "{", e;'];
  /** Whether some field before is always written. */
  let follows = false;
  for (const field of desc.fields.toSorted((a, b) => a.number - b.number)) {
    const name = `${JSON.stringify(field.name)}:`;
    const begun = (text: string): string => {
      const next = JSON.stringify(`,${name}${text}`);
      return follows ? next : `(s.length > 1 ? ${next} : ${JSON.stringify(name + text)})`;
    };
    parts.push(writeField(field, begun, code));
    follows ||= isAlwaysWritten(field);
  }
  return `${parts.join("\n")} return s + "}";`;
}

function isAlwaysWritten({ fieldKind, presence }: DescField): boolean {
  return fieldKind === "list" || fieldKind === "map" || presence === FeatureSet_FieldPresence.IMPLICIT;
}

/** `begun` gives the code of a text that comes after the field's name. */
function writeField(field: DescField, begun: (text: string) => string, code: Code): string {
  const item = (value: string): string => writeItem(field, value, code);
  if (field.oneof) {
    const unusual = code.unusual;
    return `v = ${read(field.oneof.localName)};
      if (v === undefined ? !init : typeof v !== "object" || v === null || (!init && !("case" in v))) ${unusual}
      if (v !== undefined && v.case === ${JSON.stringify(field.localName)}) { v = v.value; s += ${begun("")} + ${item("v")}; }`;
  }
  const value = `v = ${read(field.localName)};`;
  if (field.fieldKind === "list") {
    return `${value}
      if (v === undefined && init) s += ${begun("[]")};
      else {
        if (!Array.isArray(v)) ${code.unusual}
        s += ${begun("[")};
        for (let i = 0; i < v.length; i++) {
          if (i > 0) s += ",";
          s += ${item("v[i]")};
        }
        s += "]";
      }`;
  }
  if (field.fieldKind === "map") {
    return `${value}
      if (v === undefined && init) s += ${begun("{}")};
      else {
        if (typeof v !== "object" || v === null) ${code.unusual}
        e = "";
        for (const k of Object.keys(v)) e += (e === "" ? "" : ",") + ${code.valueOf(text)}(k) + ":" + ${item("v[k]")};
        s += ${begun("{")} + e + "}";
      }`;
  }
  if (field.presence !== FeatureSet_FieldPresence.IMPLICIT) return `${value} if (v !== undefined) s += ${begun("")} + ${item("v")};`;
  // Most fields of most messages have their default, which is written in one piece.
  const zero = zeroOf(field);
  const whole = `s += ${begun("")} + ${item("v")};`;
  if (!zero) return `${value} ${whole}`;
  return `${value} if (v === ${zero.code} || (v === undefined && init)) s += ${begun(zero.text)}; else ${whole}`;
}

function writeItem({ message, enum: desc, scalar }: DescField, value: string, code: Code): string {
  if (message) return `${code.functionOf(message)}(${value})`;
  if (!desc) return `${code.valueOf(SCALARS[scalar ?? ScalarType.STRING])}(${value})`;
  return `${code.valueOf(enumText)}(${value}, ${code.valueOf(namesOf(desc))})`;
}

interface Zero {
  /** The value in the generated code. */
  readonly code: string;
  readonly text: string;
}

function zeroOf({ enum: desc, scalar }: DescField): Zero | undefined {
  if (!desc) return ZEROS[scalar ?? ScalarType.STRING];
  const text = namesOf(desc).get(0);
  return text === undefined ? undefined : { code: "0", text };
}

const ZERO: Zero = { code: "0", text: "0" };
const ZERO_64: Zero = { code: "0n", text: '"0"' };

const ZEROS = {
  [ScalarType.STRING]: { code: '""', text: '""' },
  [ScalarType.BYTES]: { code: "undefined", text: '""' },
  [ScalarType.BOOL]: { code: "false", text: "false" },
  [ScalarType.DOUBLE]: ZERO,
  [ScalarType.FLOAT]: ZERO,
  [ScalarType.INT32]: ZERO,
  [ScalarType.UINT32]: ZERO,
  [ScalarType.SINT32]: ZERO,
  [ScalarType.FIXED32]: ZERO,
  [ScalarType.SFIXED32]: ZERO,
  [ScalarType.INT64]: ZERO_64,
  [ScalarType.UINT64]: ZERO_64,
  [ScalarType.SINT64]: ZERO_64,
  [ScalarType.FIXED64]: ZERO_64,
  [ScalarType.SFIXED64]: ZERO_64,
} as const satisfies Record<ScalarType, Zero>;

type Names = ReadonlyMap<number, string>;

/** As they are written. Of the well-known types none is known here. */
const namesOf = compileOnce<DescEnum, Names>((desc) => {
  const values = desc.typeName.startsWith("google.protobuf.") ? [] : desc.values;
  return new Map(values.map((value) => [value.number, JSON.stringify(value.name)]));
});

/** Open enums hold numbers that they do not name, which are written as they are. */
function enumText(value: unknown, names: Names): string {
  if (typeof value !== "number" || names.size === 0) throw new Unusual();
  return names.get(value) ?? number(value);
}

/** Up to this length a loop over the characters beats a regular expression. */
const SHORT_TEXT = 48;
const ESCAPED = /[^ !#-[\]-~]/;
const NOT_ASCII = /[^\0-\x7f]/;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const SPACE = 0x20;
const LAST_PLAIN = 0x7e;

function text(value: unknown): string {
  if (typeof value !== "string") throw new Unusual();
  const { length } = value;
  if (length > SHORT_TEXT) return ESCAPED.test(value) ? escaped(value) : `"${value}"`;
  for (let i = 0; i < length; i++) {
    const code = value.charCodeAt(i);
    if (code < SPACE || code > LAST_PLAIN || code === QUOTE || code === BACKSLASH) return escaped(value);
  }
  return `"${value}"`;
}

function escaped(value: string): string {
  return checked(JSON.stringify(value));
}

/** Notes what is not ASCII. */
function checked(json: string): string {
  if (NOT_ASCII.test(json)) isAscii = false;
  return json;
}

function number(value: unknown): string {
  if (typeof value !== "number" || !Number.isFinite(value)) throw new Unusual();
  return String(value);
}

function integer64(value: unknown): string {
  if (typeof value !== "bigint") throw new Unusual();
  return `"${value}"`;
}

function bool(value: unknown): string {
  if (typeof value !== "boolean") throw new Unusual();
  return value ? "true" : "false";
}

function bytes(value: unknown): string {
  if (!(value instanceof Uint8Array)) throw new Unusual();
  return `"${base64Encode(value)}"`;
}

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
} as const satisfies Record<ScalarType, (value: unknown) => string>;
