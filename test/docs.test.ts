import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { renderStateTables, withStateTables } from "./state-tables.js";

test("docs/architecture.md shows the state tables as they are", () => {
  const document = readFileSync("docs/architecture.md", "utf8");
  expect(document).toContain(renderStateTables());
  expect(withStateTables(document)).toBe(document);
});

test("docs name no file that is not there", () => {
  for (const name of ["README.md", "docs/architecture.md"]) {
    const document = readFileSync(name, "utf8");
    for (const [, path = ""] of document.matchAll(/`((?:docs|test|examples|src)\/[\w./-]+\.\w+)`/g)) {
      expect(() => readFileSync(path), `${name} names ${path}`).not.toThrow();
    }
  }
});
