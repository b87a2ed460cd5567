import { create } from "@bufbuild/protobuf";
import fc from "fast-check";
import { expect, it } from "vitest";
import { ServerReflectionRequestSchema } from "../gen/grpc/reflection/v1/reflection_pb.js";
import {
  CreateJobRequestSchema,
  type CreateJobRequestSchema as Schema,
} from "../gen/kuscia/proto/api/v1alpha1/kusciaapi/job_pb.js";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { checkText } from "../src/text.js";

const check = (init: MessageInitShape<typeof Schema>) => () =>
  checkText(CreateJobRequestSchema, create(CreateJobRequestSchema, init));

it.each<[string, MessageInitShape<typeof Schema>]>([
  ["job_id", { jobId: "a\0" }],
  ["job_id", { jobId: "\ud800" }],
  ["job_id", { jobId: "x\udc00y" }],
  ["tasks[1].dependencies[2]", { tasks: [{}, { dependencies: ["", "", "\0"] }] }],
  ["tasks[0].parties[0].resources.cpu", { tasks: [{ parties: [{ resources: { cpu: "\0" } }] }] }],
  ['custom_fields["k"]', { customFields: { k: "\0" } }],
  ['custom_fields["\\u0000"]', { customFields: { "\0": "v" } }],
  ['header.custom_headers["a"]', { header: { customHeaders: { a: "\0" } } }],
])("names %s", (field, init) => {
  expect(check(init)).toThrow(`${field}: must not contain U+0000 or a lone surrogate`);
});

it("lets all other text pass", () => {
  fc.assert(
    fc.property(fc.string({ unit: "grapheme" }), (text) => {
      fc.pre(!text.includes("\0"));
      expect(check({ jobId: text, customFields: { [text]: text }, tasks: [{ dependencies: [text] }] })).not.toThrow();
    }),
  );
  expect(check({ jobId: "😀 \u0001 \ufffd" })).not.toThrow();
});

it("looks into the field of a oneof that is set", () => {
  const request = create(ServerReflectionRequestSchema, { messageRequest: { case: "fileByFilename", value: "\0" } });
  expect(() => checkText(ServerReflectionRequestSchema, request)).toThrow("file_by_filename: must not contain");
});
