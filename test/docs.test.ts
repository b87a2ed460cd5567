import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { parseCredentials } from "../src/access/credentials.js";
import { SCALARS, schema } from "../src/config/settings.js";
import { loadConfig } from "../src/config.js";
import { renderStateTables, withStateTables } from "./state-tables.js";

test("docs/architecture.md shows the state tables as they are", () => {
  const document = readFileSync("docs/architecture.md", "utf8");
  expect(document).toContain(renderStateTables());
  expect(withStateTables(document)).toBe(document);
});

test("docs name no file that is not there", () => {
  for (const name of ["README.md", "docs/architecture.md", "docs/security.md"]) {
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
    ["gateway", "master", true],
  ]);
});
