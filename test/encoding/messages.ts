/** Any message of a type, from its descriptor alone. */

import { create, type DescField, type DescMessage, type Message, ScalarType } from "@bufbuild/protobuf";
import fc from "fast-check";
import type { MessageInit } from "../../src/encoding/compile.js";

/** Texts with what JSON escapes, what UTF-8 needs more bytes for, lone surrogates, and lengths around every bound. */
export const text: fc.Arbitrary<string> = fc.oneof(
  fc.string({ unit: "grapheme-ascii", maxLength: 20 }),
  fc.string({ unit: "binary", maxLength: 60 }),
  fc.array(fc.integer({ min: 0, max: 0xffff }), { maxLength: 8 }).map((codes) => String.fromCharCode(...codes)),
  fc.nat(300).map((length) => "a".repeat(length)),
  fc.constantFrom("", "__proto__", "1", "\ud800", '"', "\\", "\u2028", "\x7f\x80"),
);

const int32 = fc.oneof(fc.integer(), fc.constantFrom(0, 1, 127, 128, -1, 2147483647, -2147483648));
const uint32 = fc.oneof(fc.nat(), fc.constantFrom(0, 127, 128, 16383, 16384, 4294967295));
const int64 = fc.oneof(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), fc.constantFrom(0n, -1n, 2n ** 53n, 2n ** 53n - 1n));
const uint64 = fc.oneof(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), fc.constantFrom(0n, 127n, 128n, 2n ** 63n));

const time = fc.record({
  seconds: fc.bigInt({ min: -62_135_596_800n, max: 253_402_300_799n }),
  nanos: fc.oneof(fc.constantFrom(0, 1_000_000, 120_000, 999_999_999), fc.nat(999_999_999)),
});

const SCALARS: Readonly<Record<ScalarType, fc.Arbitrary<unknown>>> = {
  [ScalarType.STRING]: text,
  [ScalarType.BYTES]: fc.uint8Array({ maxLength: 40 }),
  [ScalarType.BOOL]: fc.boolean(),
  [ScalarType.DOUBLE]: fc.oneof(fc.double(), fc.constantFrom(0, -0)),
  [ScalarType.FLOAT]: fc.oneof(fc.float(), fc.constantFrom(0, -0)),
  [ScalarType.INT32]: int32,
  [ScalarType.SINT32]: int32,
  [ScalarType.SFIXED32]: int32,
  [ScalarType.UINT32]: uint32,
  [ScalarType.FIXED32]: uint32,
  [ScalarType.INT64]: int64,
  [ScalarType.SINT64]: int64,
  [ScalarType.SFIXED64]: int64,
  [ScalarType.UINT64]: uint64,
  [ScalarType.FIXED64]: uint64,
};

/** `depth` bounds how deep messages hold messages. */
export function messageOf(desc: DescMessage, depth = 4): fc.Arbitrary<Message> {
  // The first is made by `make`, which gives messages.
  return initOf(desc, depth, fc.constant(make)) as fc.Arbitrary<Message>;
}

/** What a message is made of: plain objects, with messages among them here and there. */
export function plainOf(desc: DescMessage, depth = 4): fc.Arbitrary<MessageInit> {
  return initOf(desc, depth, fc.oneof({ weight: 4, arbitrary: fc.constant(plain) }, fc.constant(make)));
}

type Maker = (desc: DescMessage, set: Readonly<Record<string, unknown>>, unknown: Message["$unknown"]) => MessageInit;

const make: Maker = (desc, set, $unknown) => {
  const message = create(desc, set as never) as Message;
  if ($unknown) message.$unknown = $unknown;
  return message;
};

const plain: Maker = (_desc, set, $unknown) => ({ ...set, ...($unknown && { $unknown }) });

function initOf(desc: DescMessage, depth: number, maker: fc.Arbitrary<Maker>): fc.Arbitrary<MessageInit> {
  const single = desc.fields.filter((field) => field.oneof === undefined);
  const fields = Object.fromEntries(single.map((field) => [field.localName, fieldOf(field, depth, maker)]));
  const oneofs = Object.fromEntries(
    desc.oneofs.map(({ localName, fields: cases }) => [
      localName,
      fc.oneof(
        fc.constant({ case: undefined }),
        ...cases.map((field) => valueOf(field, depth, maker).map((value) => ({ case: field.localName, value }))),
      ),
    ]),
  );
  const unknown = fc.record({ no: fc.integer({ min: 5000, max: 6000 }), wireType: fc.constant(2), data: fc.constant(Uint8Array.of(1, 65)) });
  const extra = fc.option(fc.array(unknown, { maxLength: 2 }), { nil: undefined, freq: 10 });
  return fc.tuple(fc.record({ ...fields, ...oneofs }), extra, maker).map(([init, $unknown, by]) => {
    // Undefined means unset.
    const set = Object.fromEntries(Object.entries(init).filter(([, value]) => value !== undefined));
    return by(desc, set, $unknown);
  });
}

function fieldOf(field: DescField, depth: number, maker: fc.Arbitrary<Maker>): fc.Arbitrary<unknown> {
  const value = valueOf(field, depth, maker);
  if (field.fieldKind === "list") return fc.array(value, { maxLength: depth > 0 ? 3 : 0 });
  if (field.fieldKind === "map") return fc.dictionary(keyOf(field.mapKey), value, { maxKeys: depth > 0 ? 3 : 0 });
  return fc.option(value, { nil: undefined });
}

function keyOf(type: ScalarType): fc.Arbitrary<string> {
  return type === ScalarType.STRING ? text : SCALARS[type].map(String);
}

function valueOf(field: DescField, depth: number, maker: fc.Arbitrary<Maker>): fc.Arbitrary<unknown> {
  const { message } = field;
  // Generated messages hold these in a form of their own.
  if (message?.typeName === "google.protobuf.StringValue") return text;
  if (message?.typeName === "google.protobuf.Struct") return fc.dictionary(text, fc.jsonValue(), { maxKeys: 3 });
  // Most numbers are no time, and JSON refuses those.
  if (message?.typeName === "google.protobuf.Timestamp") return fc.oneof({ weight: 50, arbitrary: time }, initOf(message, 0, maker));
  if (message) return depth > 0 ? fc.constant(null).chain(() => initOf(message, depth - 1, maker)) : maker.map((by) => by(message, {}, undefined));
  if (field.enum) return fc.oneof(fc.constantFrom(...field.enum.values.map((each) => each.number)), fc.constant(77));
  return SCALARS[field.scalar ?? ScalarType.STRING];
}
