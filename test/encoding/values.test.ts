/** The walk over a binary message counts what protobuf-es makes of it, and never less, whatever the bytes are. */

import { create, createFileRegistry, type DescMessage, fromBinary, type Message, mergeFromBinary, toBinary } from "@bufbuild/protobuf";
import { isReflectMessage, type ReflectMessage, reflect } from "@bufbuild/protobuf/reflect";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import {
  FieldDescriptorProto_Label as Label,
  FieldDescriptorProtoSchema,
  FileDescriptorProtoSchema,
  FileDescriptorSetSchema,
} from "@bufbuild/protobuf/wkt";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { CreateJobRequestSchema, QueryJobRequestSchema } from "../../gen/kuscia/proto/api/v1alpha1/kusciaapi/job_pb.js";
import { binaryExcess, countValues, MAX_VALUES } from "../../src/encoding/values.js";
import { everything, Type } from "./everything.js";
import { messageOf } from "./messages.js";

const ANY = everything({ wrapped: false });
const WITH_KNOWN_TYPES = everything({ wrapped: true });

/** What an entry of a map and a packed list count for, besides what is in them. */
interface Counted {
  readonly entry: number;
  readonly packed: number;
}
/** As they are written: an entry is a message with a key and a value, a packed list one field with its elements in it. */
const WRITTEN: Counted = { entry: 3, packed: 1 };
/** The least that they can come as: an entry with neither, elements one by one. */
const LEAST: Counted = { entry: 1, packed: 0 };

/** What a message holds, told by the message: the fields that are set, with all that is in them. */
function valuesOf(message: ReflectMessage, counted: Counted): number {
  const contents = (items: Iterable<unknown>, own: number): number =>
    [...items].reduce<number>((sum, item) => sum + own + (isReflectMessage(item) ? valuesOf(item, counted) : 0), 0);
  return message.fields.filter((field) => message.isSet(field)).reduce((sum, field) => {
    if (field.fieldKind === "message") return sum + contents([message.get(field)], 1);
    if (field.fieldKind === "map") return sum + contents(message.get(field).values(), counted.entry);
    if (field.fieldKind !== "list") return sum + 1;
    return sum + contents(message.get(field), 1) + (field.packed ? counted.packed : 0);
  }, message.getUnknown()?.length ?? 0);
}

/** What is in memory where a body is decoded, also where it ends in the middle. */
function decoded(desc: DescMessage, bytes: Uint8Array): { readonly values: number; readonly fault: boolean } {
  const message: Message = create(desc);
  let fault = false;
  try {
    mergeFromBinary(desc, message, bytes);
  } catch {
    fault = true;
  }
  return { values: valuesOf(reflect(desc, message), LEAST), fault };
}

const count = (desc: DescMessage, bytes: Uint8Array): number => countValues(desc, bytes, Number.POSITIVE_INFINITY);

describe("a message", () => {
  it.each([
    ["of every kind of field", ANY],
    ["with well-known types", WITH_KNOWN_TYPES],
    ["of proto2", FieldDescriptorProtoSchema],
    ["of a call of ours", CreateJobRequestSchema],
  ])("%s is counted as protobuf-es reads it", (_name, desc) => {
    fc.assert(
      fc.property(messageOf(desc, 2), (given) => {
        const message = readBack(desc, given);
        if (message) expect(count(desc, toBinary(desc, message))).toBe(valuesOf(reflect(desc, message), WRITTEN));
      }),
      { numRuns: 100 },
    );
  });
});

/** As protobuf-es reads what it wrote; undefined where there is a text that is none in UTF-8. */
function readBack(desc: DescMessage, message: Message): Message | undefined {
  try {
    return fromBinary(desc, toBinary(desc, message));
  } catch {
    return undefined;
  }
}

describe("bytes that may be no message", () => {
  const changes = fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 3 });
  const tag = fc.tuple(fc.constantFrom(...ANY.fields.map((field) => field.number), 9999), fc.nat(7)).map(([no, type]) => new BinaryWriter().uint32(((no << 3) | type) >>> 0).finish());
  const piece = fc.oneof(tag, fc.uint8Array({ maxLength: 3 }), fc.constantFrom(Uint8Array.of(0), Uint8Array.of(1, 1), Uint8Array.of(0xff, 0xff, 0xff, 0xff, 0x0f)));
  const changed = fc.tuple(messageOf(ANY, 1), changes, fc.nat()).map(([message, all, length]) => {
    const bytes = toBinary(ANY, readBack(ANY, message) ?? create(ANY)).slice();
    for (const [at, value] of all) if (bytes.length > 0) bytes[at % bytes.length] = value;
    return length % 3 === 0 ? bytes.subarray(0, length % (bytes.length + 1)) : bytes;
  });
  const made = fc.array(piece, { maxLength: 30 }).map((pieces) => new Uint8Array(Buffer.concat(pieces)));

  it("are never counted for less than what protobuf-es makes of them", () => {
    fc.assert(
      fc.property(fc.oneof(changed, { weight: 9, arbitrary: made }), (bytes) => {
        expect(count(ANY, bytes)).toBeGreaterThanOrEqual(decoded(ANY, bytes).values);
      }),
      { numRuns: 2000 },
    );
  });

  const tasks = (many: number): Uint8Array => Buffer.from("2a00".repeat(many), "hex");
  const hex = (text: string): Uint8Array => Buffer.from(text, "hex");
  const job = (...parts: Uint8Array[]): Uint8Array => Buffer.concat(parts);
  it.each([
    ["behind a group that nobody knows", job(hex("fb3e2a05ffffffffff0b0cfc3e"), tasks(50))],
    ["behind a known field of another wire type", job(hex("0d00"), tasks(50))],
    ["in a field whose length goes beyond the message around it", job(hex("2a0312ff7f"), tasks(50))],
    ["in front of what is no message", job(tasks(50), hex("ffffffff"))],
    ["behind a number with more bytes than any has", job(hex(`f8f004${"80".repeat(20)}00`), tasks(50))],
  ])("are counted %s", (_name, bytes) => {
    expect(count(CreateJobRequestSchema, bytes)).toBeGreaterThanOrEqual(50);
  });

  it("are walked no further than the bound", () => {
    expect(countValues(CreateJobRequestSchema, tasks(100), 10)).toBe(11);
    const packed = new BinaryWriter().tag(1000 + Type.INT32, WireType.LengthDelimited).bytes(new Uint8Array(100)).finish();
    expect([countValues(ANY, packed, 10), countValues(ANY, packed, 1000)]).toEqual([11, 101]);
  });

  it("are not walked deeper than protobuf-es reads", () => {
    const deep = (levels: number): Uint8Array => {
      let bytes = new Uint8Array();
      for (let i = 0; i < levels; i++) bytes = new BinaryWriter().tag(Type.MESSAGE, WireType.LengthDelimited).bytes(bytes).finish();
      return bytes;
    };
    expect([count(ANY, deep(99)), decoded(ANY, deep(99))]).toEqual([99, { values: 99, fault: false }]);
    expect([count(ANY, deep(100)), decoded(ANY, deep(100)).fault]).toEqual([100, true]);
    expect(count(ANY, deep(5000))).toBe(100);
  });
});

describe("messages in groups", () => {
  const set = create(FileDescriptorSetSchema, {
    file: [
      create(FileDescriptorProtoSchema, {
        name: "test/group.proto",
        syntax: "proto2",
        messageType: [
          {
            name: "Outer",
            field: [create(FieldDescriptorProtoSchema, { name: "inner", number: 1, type: Type.GROUP, typeName: ".Outer.Inner", label: Label.REPEATED })],
            nestedType: [{ name: "Inner", field: [create(FieldDescriptorProtoSchema, { name: "a", number: 2, type: Type.INT32, label: Label.OPTIONAL })] }],
          },
        ],
      }),
    ],
  });
  const desc = createFileRegistry(set).getMessage("Outer");

  it("are counted as well", () => {
    if (!desc) throw new Error("the type is missing");
    const one = Buffer.from("0b10050c", "hex");
    expect(decoded(desc, Buffer.concat([one, one]))).toEqual({ values: 4, fault: false });
    // With the two tags that end them.
    expect(count(desc, Buffer.concat([one, one]))).toBe(6);
  });
});

describe("binaryExcess", () => {
  it("names the rule from the first value too many on", () => {
    expect(binaryExcess(QueryJobRequestSchema, Buffer.from("2a00".repeat(MAX_VALUES), "hex"))).toBeUndefined();
    expect(binaryExcess(QueryJobRequestSchema, Buffer.from("2a00".repeat(MAX_VALUES + 1), "hex"))).toBe("holds more than 250000 values");
  });

  it("counts no text", () => {
    const text = toBinary(QueryJobRequestSchema, create(QueryJobRequestSchema, { jobId: "*\0".repeat(MAX_VALUES) }));
    expect(binaryExcess(QueryJobRequestSchema, text)).toBeUndefined();
  });
});
