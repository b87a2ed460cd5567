/** Our encoders write what protobuf-es writes, for every message that a call of ours has and for every kind of field. */

import { create, type DescMessage, type DescService, type Message, toBinary, toJsonString } from "@bufbuild/protobuf";
import { AnySchema, anyPack, FieldDescriptorProtoSchema, StringValueSchema, TimestampSchema } from "@bufbuild/protobuf/wkt";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Health } from "../../gen/health/v1/health_pb.js";
import { StatusSchema } from "../../gen/kuscia/proto/api/v1alpha1/common_pb.js";
import { AppImageService } from "../../gen/kuscia/proto/api/v1alpha1/kusciaapi/appimage_pb.js";
import { JobService, QueryJobRequestSchema, QueryJobResponseDataSchema, QueryJobResponseSchema, StopJobRequestSchema } from "../../gen/kuscia/proto/api/v1alpha1/kusciaapi/job_pb.js";
import { JobsService } from "../../gen/muster/v1/jobs_pb.js";
import { LogsService } from "../../gen/muster/v1/logs_pb.js";
import { encodeBinary } from "../../src/encoding/binary.js";
import { encodeJson } from "../../src/encoding/json.js";
import type { MessageInit } from "../../src/encoding/compile.js";
import { everything, Type } from "./everything.js";
import { messageOf, plainOf } from "./messages.js";

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

function expectSame(desc: DescMessage, init: MessageInit): void {
  const json = { useProtoFieldName: true, alwaysEmitImplicit: true };
  expect(outcome(() => encodeBinary(desc, init))).toBe(outcome(() => toBinary(desc, create(desc, init))));
  expect(outcome(() => encodeJson(desc, init))).toBe(outcome(() => toJsonString(desc, create(desc, init), json)));
}

const ofOurCalls = typesOf(JobService, AppImageService, JobsService, LogsService, Health).map((desc) => [desc.typeName, desc] as const);

it.each(ofOurCalls)("%s is written as protobuf-es writes it", (_name, desc) => {
  fc.assert(
    fc.property(messageOf(desc), (message) => expectSame(desc, message)),
    { numRuns: 50 },
  );
});

it.each(ofOurCalls)("%s is written of what it would be made of", (_name, desc) => {
  fc.assert(
    fc.property(plainOf(desc), (init) => expectSame(desc, init)),
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
      fc.property(fc.oneof(messageOf(desc, 2), plainOf(desc, 2)), (init) => expectSame(desc, init)),
      { numRuns: 100 },
    );
  });
});

describe("values that do not fit", () => {
  // As a fault of ours would make them.
  const broken = (change: object): Message => Object.assign(create(QueryJobResponseSchema, { data: { jobId: "a" } }), change);

  it.each<[string, Message]>([
    ["a message of another type", create(StatusSchema)],
    ["a message of another type in a field", broken({ status: create(QueryJobResponseDataSchema, { jobId: "a" }) })],
    ["a fraction as an integer", create(QueryJobResponseSchema, { status: { code: 1.5 } })],
    ["a number beyond its type", create(QueryJobResponseSchema, { status: { code: 2 ** 31 } })],
    ["a number that is none", create(QueryJobResponseSchema, { status: { code: Number.NaN } })],
    ["no message where one belongs", broken({ status: 5 })],
    ["no text where one belongs", broken({ status: create(StatusSchema, { message: 5 as never }) })],
    ["no list where one belongs", broken({ status: Object.assign(create(StatusSchema), { details: 5 }) })],
    ["a message without a field that it always has", broken({ data: Object.assign(create(QueryJobResponseDataSchema), { jobId: undefined }) })],
    ["a message without a list", broken({ data: Object.assign(create(QueryJobResponseDataSchema), { tasks: undefined }) })],
    ["a message without a map", broken({ data: Object.assign(create(QueryJobResponseDataSchema), { customFields: undefined }) })],
  ])("end as with protobuf-es: %s", (_name, message) => expectSame(QueryJobResponseSchema, message));

  it.each<[string, unknown]>([
    ["nothing", null],
    ["a number", 5],
    ["a list", [1]],
    ["null in a field", { data: { jobId: null, tasks: null, customFields: null, status: null } }],
    ["a list as a message", { status: [] }],
    ["a number as a message", { status: 5 }],
    ["a text as a list", { data: { tasks: "ab" } }],
    ["null in a list", { data: { tasks: [null] } }],
    ["a list with holes", { data: { tasks: Array(2) } }],
    ["a number as a map", { data: { customFields: 5 } }],
    ["undefined in a map", { data: { customFields: { a: undefined } } }],
    ["a message of another type", { status: create(QueryJobResponseDataSchema, { jobId: "a" }) }],
    ["unknown names", { status: { code: 1, nothing: 2 }, toString: 5 }],
    ["a name of a type that is no text", { $typeName: 5, status: { code: 1 } }],
    // As a fault of a handler would give them.
  ])("end as with protobuf-es, given by a handler: %s", (_name, init) => expectSame(QueryJobResponseSchema, init as MessageInit));

  it("end as with protobuf-es: a message of another type that has all fields of this one", () => {
    const other = create(StopJobRequestSchema, { jobId: "a" });
    other.$unknown = [{ no: 5000, wireType: 2, data: Uint8Array.of(1, 65) }];
    expectSame(QueryJobRequestSchema, other);
  });

  const all = everything({ wrapped: false });
  it.each<[string, unknown]>([
    ["of nothing", { choice: undefined }],
    ["of null", { choice: null }],
    ["of a number", { choice: 5 }],
    ["without a case", { choice: {} }],
    ["of an unknown case", { choice: { case: "nothing", value: 5 } }],
    ["without a value", { choice: { case: "choice9" } }],
    ["bytes as a list of numbers", { one12: [1, 2], many12: [[3]], choice: { case: "choice12", value: [4] } }],
  ])("end as with protobuf-es, given by a handler: a oneof %s", (_name, init) => {
    expectSame(all, init as MessageInit);
    const message = create(all);
    expectSame(all, Object.assign(message, init));
  });

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
