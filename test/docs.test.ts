import { readFileSync } from "node:fs";
import { type DescField, type DescMessage, ScalarType } from "@bufbuild/protobuf";
import { describe, expect, test } from "vitest";
import { file_kuscia_proto_api_v1alpha1_common } from "../gen/kuscia/proto/api/v1alpha1/common_pb.js";
import { file_kuscia_proto_api_v1alpha1_kusciaapi_appimage } from "../gen/kuscia/proto/api/v1alpha1/kusciaapi/appimage_pb.js";
import { file_kuscia_proto_api_v1alpha1_kusciaapi_job } from "../gen/kuscia/proto/api/v1alpha1/kusciaapi/job_pb.js";
import { ERROR_REASONS } from "../src/core/error.js";
import { REASONS } from "../src/core/job.js";
import { renderStateTables, withStateTables } from "./state-tables.js";

test("docs/architecture.md shows the state tables as they are", () => {
  const document = readFileSync("docs/architecture.md", "utf8");
  expect(document).toContain(renderStateTables());
  expect(withStateTables(document)).toBe(document);
});

test("docs name no file that is not there", () => {
  for (const name of ["README.md", "docs/architecture.md", "docs/wire-extensions.md"]) {
    const document = readFileSync(name, "utf8");
    for (const [, path = ""] of document.matchAll(/`((?:docs|test|examples|src)\/[\w./-]+\.\w+)`/g)) {
      expect(() => readFileSync(path), `${name} names ${path}`).not.toThrow();
    }
  }
});

describe("docs/wire-extensions.md", () => {
  const document = readFileSync("docs/wire-extensions.md", "utf8");
  const messages = [
    file_kuscia_proto_api_v1alpha1_common,
    file_kuscia_proto_api_v1alpha1_kusciaapi_job,
    file_kuscia_proto_api_v1alpha1_kusciaapi_appimage,
  ].flatMap((file) => file.messages);
  const ownFields = messages.flatMap((message) => message.fields).filter((field) => field.number >= 1000);
  /** Messages that only those fields use. */
  const ownMessages = [...new Set(ownFields.flatMap((field): DescMessage[] => (field.message ? [field.message] : [])))];

  const typeOf = (field: DescField): string => {
    if (field.fieldKind === "map") return `map of ${ScalarType[field.scalar ?? 0]?.toLowerCase()}`;
    const one = field.message?.name ?? ScalarType[field.scalar ?? 0]?.toLowerCase() ?? "";
    return field.fieldKind === "list" ? `repeated ${one}` : one;
  };
  const rowOf = (field: DescField): string =>
    `| \`${field.parent.name}\` | ${field.number} | \`${field.name}\` | ${typeOf(field)} |`;
  /** First cells of the table with this heading. */
  const words = (heading: string): string[] => {
    const [, table = ""] = document.split(`| \`${heading}\` |`);
    return [...(table.split("\n\n")[0] ?? "").matchAll(/^\| `(\w+)` \|/gm)].map(([, word = ""]) => word);
  };

  test("has a row for every field of our own, and for no other", () => {
    const fields = [...ownFields, ...ownMessages.flatMap((message) => message.fields)];
    expect(ownMessages.map((message) => message.name).toSorted()).toEqual(["CommandRecord", "RetryPolicy", "StateReason"]);
    const rows = [...document.matchAll(/^\| `\w+` \| \d+ \| `\w+` \| [\w ]+ \|/gm)].map(([row]) => row);
    expect(rows.toSorted()).toEqual(fields.map(rowOf).toSorted());
  });

  test("has every reason of a state and of an error, and no other", () => {
    expect(words("StateReason.reason")).toEqual([...REASONS]);
    expect(words("Status.reason")).toEqual([...ERROR_REASONS]);
  });
});
