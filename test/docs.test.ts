import { readFileSync } from "node:fs";
import { type DescField, type DescMessage, ScalarType } from "@bufbuild/protobuf";
import { describe, expect, test } from "vitest";
import { file_kuscia_proto_api_v1alpha1_common } from "../gen/kuscia/proto/api/v1alpha1/common_pb.js";
import { file_kuscia_proto_api_v1alpha1_kusciaapi_appimage } from "../gen/kuscia/proto/api/v1alpha1/kusciaapi/appimage_pb.js";
import { file_kuscia_proto_api_v1alpha1_kusciaapi_job } from "../gen/kuscia/proto/api/v1alpha1/kusciaapi/job_pb.js";
import { parseCredentials } from "../src/access/credentials.js";
import { SCALARS, schema } from "../src/config/settings.js";
import { loadConfig } from "../src/config.js";
import { ERROR_REASONS } from "../src/core/error.js";
import { REASONS } from "../src/core/job.js";
import { renderStateTables, withStateTables } from "./state-tables.js";

test("docs/architecture.md shows the state tables as they are", () => {
  const document = readFileSync("docs/architecture.md", "utf8");
  expect(document).toContain(renderStateTables());
  expect(withStateTables(document)).toBe(document);
});

test("docs name no file that is not there", () => {
  for (const name of ["README.md", "docs/architecture.md", "docs/jobs-api.md", "docs/kuscia-api.md", "docs/kylin-api.md", "docs/security.md", "docs/wire-extensions.md"]) {
    const document = readFileSync(name, "utf8");
    for (const [, path = ""] of document.matchAll(/`((?:docs|test|examples|src)\/[\w./-]+\.\w+)`/g)) {
      expect(() => readFileSync(path), `${name} names ${path}`).not.toThrow();
    }
  }
});

test("the example of muster.yaml is one, and names every setting that there is", () => {
  const example = "docs/muster.example.yaml";
  expect(loadConfig({ flags: { config: example }, env: {} })).toMatchObject({ partyCommands: "safe", listenGrpc: { port: 8083 } });
  const text = readFileSync(example, "utf8");
  for (const setting of Object.keys(schema.shape)) expect(text).toMatch(new RegExp(`^${setting}:`, "m"));
});

test("the README's table names every flag and variable", () => {
  const readme = readFileSync("README.md", "utf8").replace("`MUSTER_TLS_CERT`, `_KEY`, `_CA`", "`MUSTER_TLS_CERT`, `MUSTER_TLS_KEY`, `MUSTER_TLS_CA`");
  for (const [flag, variable] of Object.entries(SCALARS)) {
    expect(readme).toContain(`\`--${flag}\``);
    expect(readme).toContain(`\`${variable}\``);
  }
});

test("the credentials that docs/security.md shows are some", () => {
  const [, example = ""] = /```yaml\n(# credentials\.yaml\n[^`]*)```/.exec(readFileSync("docs/security.md", "utf8")) ?? [];
  const shown = parseCredentials(example, (name) => name === "alice");
  expect(shown.map(({ name, role, gateway }) => [name, role, gateway])).toEqual([
    ["ops", "master", false],
    ["alice-2026", "domain", false],
    ["batch", "domain", false],
    ["gateway", "master", true],
  ]);
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
