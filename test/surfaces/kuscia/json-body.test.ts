/** Bodies are read as protobuf JSON reads them; what that refuses is told by a path, or had `null` where it was harmless. */

import { fromJsonString, type JsonValue, type MessageShape } from "@bufbuild/protobuf";
import fc from "fast-check";
import { expect, it } from "vitest";
import { CreateJobRequestSchema } from "../../../gen/kuscia/proto/api/v1alpha1/kusciaapi/job_pb.js";
import { readJson } from "../../../src/surfaces/kuscia/json-body.js";

type Outcome = { readonly message: MessageShape<typeof CreateJobRequestSchema> } | { readonly refusal: string };

function outcomeOf(read: () => MessageShape<typeof CreateJobRequestSchema>): Outcome {
  try {
    return { message: read() };
  } catch (error) {
    return { refusal: error instanceof Error ? error.message : String(error) };
  }
}
const ours = (text: string): Outcome => outcomeOf(() => readJson(CreateJobRequestSchema, text));
const protobuf = (text: string): Outcome =>
  outcomeOf(() => fromJsonString(CreateJobRequestSchema, text, { ignoreUnknownFields: true }));

const KEYS = [
  ["job_id", "jobId", "tasks", "custom_fields", "customFields", "max_parallelism", "header", "custom_headers", "alias"],
  ["parties", "dependencies", "domain_id", "bandwidth_limits", "limit_kbps", "tolerable", "schedule_config", "__proto__", ""],
].flat();
const key = fc.constantFrom(...KEYS);
const { value: json } = fc.letrec<{ value: JsonValue }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 5, withCrossShrink: true },
    fc.constantFrom<JsonValue>(null, "", "a", "5", 0, -1, 1.5, 2 ** 40, true),
    fc.array(tie("value"), { maxLength: 3 }),
    fc.dictionary(key, tie("value"), { maxKeys: 4 }).map((object): JsonValue => object as { [name: string]: JsonValue }),
  ),
}));

it("a body that protobuf JSON takes is the same message here", () => {
  fc.assert(
    fc.property(json, (value) => {
      const text = JSON.stringify(value);
      const expected = protobuf(text);
      if ("message" in expected) expect(ours(text)).toEqual(expected);
    }),
  );
});

it("one that it refuses is refused by a path, or has a null in a list or a map", () => {
  fc.assert(
    fc.property(json, (value) => {
      const text = JSON.stringify(value);
      if ("message" in protobuf(text)) return;
      const outcome = ours(text);
      if ("message" in outcome) expect(text).toMatch(/null/);
      else expect(outcome.refusal).toMatch(/^(the body|[a-z_]+(\[\d+\]|\["[^"]*"\]|\.[a-z_]+)*): (expected|is given twice)/);
    }),
    { numRuns: 2000 },
  );
});

it("a null in a list or a map changes no other value of the body", () => {
  const strings = fc.array(fc.oneof(fc.string(), fc.constant(null)), { maxLength: 4 });
  const fields = fc.dictionary(fc.string(), fc.oneof(fc.string(), fc.constant(null)));
  const body = fc.record({ job_id: fc.string(), custom_fields: fields, tasks: fc.array(fc.record({ alias: fc.string(), dependencies: strings })) });
  fc.assert(
    fc.property(body, (value) => {
      const filled = JSON.stringify(value, (_key, item: unknown) => (item === null ? "" : item));
      expect(ours(JSON.stringify(value))).toEqual(protobuf(filled));
    }),
  );
});

it.each(["", "{", "{}x", '{"a":1,"a":2}', "nul"])("%j is no JSON", (text) => {
  expect(ours(text)).toEqual({ refusal: expect.stringMatching(/^the body is no JSON: /) });
});
