/** Our encoders write what protobuf-es writes, for every message that a call of ours has and for every kind of field. */

import { create, type DescMessage, type DescService, type Message, toBinary, toJsonString } from "@bufbuild/protobuf";
import { AnySchema, anyPack, FieldDescriptorProtoSchema, StringValueSchema, TimestampSchema } from "@bufbuild/protobuf/wkt";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Health } from "../../gen/health/v1/health_pb.js";
import { StatusSchema } from "../../gen/kuscia/proto/api/v1alpha1/common_pb.js";
import { AppImageService } from "../../gen/kuscia/proto/api/v1alpha1/kusciaapi/appimage_pb.js";
import { JobService, QueryJobResponseSchema } from "../../gen/kuscia/proto/api/v1alpha1/kusciaapi/job_pb.js";
import { LogsService } from "../../gen/muster/v1/logs_pb.js";
import { encodeBinary } from "../../src/encoding/binary.js";
import { encodeJson } from "../../src/encoding/json.js";
import { everything, Type } from "./everything.js";
import { messageOf } from "./messages.js";

function typesOf(...services: DescService[]): DescMessage[] {
  const types = services.flatMap((service) => service.methods.flatMap(({ input, output }) => [input, output]));
  return [...new Set(types)];
}

/** The bytes in hex, or what was thrown. */
function outcome(write: () => Uint8Array | string): string {
  try {
    return Buffer.from(write()).toString("hex");
  } catch (error) {
    return String(error);
  }
}

function expectSame(desc: DescMessage, message: Message): void {
  const json = { useProtoFieldName: true, alwaysEmitImplicit: true };
  expect(outcome(() => encodeBinary(desc, message))).toBe(outcome(() => toBinary(desc, message)));
  expect(outcome(() => encodeJson(desc, message))).toBe(outcome(() => toJsonString(desc, message, json)));
}

const ofOurCalls = typesOf(JobService, AppImageService, LogsService, Health).map((desc) => [desc.typeName, desc] as const);

it.each(ofOurCalls)("%s is written as protobuf-es writes it", (_name, desc) => {
  fc.assert(
    fc.property(messageOf(desc), (message) => expectSame(desc, message)),
    { numRuns: 50 },
  );
});

describe("every kind of field", () => {
  const fixed = [Type.SINT32, Type.SINT64, Type.FIXED32, Type.FIXED64, Type.SFIXED32, Type.SFIXED64];
  it.each([
    ["that is written by us", everything({ without: fixed, wrapped: false })],
    ["with those that are not", everything({ wrapped: false })],
    ["with the well-known types", everything({ without: fixed, wrapped: true })],
    ["of proto2", FieldDescriptorProtoSchema],
    ["of a well-known type", TimestampSchema],
  ] as const)("%s", (_name, desc) => {
    fc.assert(
      fc.property(messageOf(desc, 2), (message) => expectSame(desc, message)),
      { numRuns: 100 },
    );
  });
});

describe("values that do not fit", () => {
  // As a fault of ours would make them.
  const broken = (change: object): Message => Object.assign(create(QueryJobResponseSchema, { data: { jobId: "a" } }), change);

  it.each<[string, Message]>([
    ["a message of another type", create(StatusSchema)],
    ["a fraction as an integer", create(QueryJobResponseSchema, { status: { code: 1.5 } })],
    ["a number beyond its type", create(QueryJobResponseSchema, { status: { code: 2 ** 31 } })],
    ["a number that is none", create(QueryJobResponseSchema, { status: { code: Number.NaN } })],
    ["no message where one belongs", broken({ status: 5 })],
    ["no text where one belongs", broken({ status: create(StatusSchema, { message: 5 as never }) })],
    ["no list where one belongs", broken({ status: Object.assign(create(StatusSchema), { details: 5 }) })],
  ])("end as with protobuf-es: %s", (_name, message) => expectSame(QueryJobResponseSchema, message));

  it("leave nothing behind for the next message", () => {
    const good = create(QueryJobResponseSchema, { status: { message: "good" } });
    expect(() => encodeBinary(QueryJobResponseSchema, create(QueryJobResponseSchema, { status: { code: 1.5 } }))).toThrow();
    expectSame(QueryJobResponseSchema, good);
  });
});

it("an Any is written where JSON can tell its type, and refused where not", () => {
  const packed = anyPack(StringValueSchema, create(StringValueSchema, { value: "a" }));
  expectSame(StatusSchema, create(StatusSchema, { details: [packed] }));
  expectSame(StatusSchema, create(StatusSchema, { details: [create(AnySchema)] }));
});

it("messages larger than any memory that is kept", () => {
  for (const length of [70_000, 2_000_000, 10]) {
    const message = create(QueryJobResponseSchema, { status: { message: "\u00e9".repeat(length) }, data: { jobId: "x".repeat(length) } });
    expectSame(QueryJobResponseSchema, message);
  }
});

it("a prefix has room where it is asked for", () => {
  const message = create(StatusSchema, { message: "a" });
  const bytes = encodeBinary(StatusSchema, message, 5);
  expect(bytes.subarray(5)).toEqual(Buffer.from(toBinary(StatusSchema, message)));
  expect(encodeBinary(StatusSchema, create(StatusSchema, { code: 5 }), 5)).toHaveLength(7);
});
