/** The house rules of docs/architecture.md, read from the sources' import lines and words. */

import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { describe, expect, test } from "vitest";

interface Source {
  /** From the repository's root, e.g. `src/core/job.ts`. */
  readonly path: string;
  readonly text: string;
  readonly imports: readonly { readonly from: string; readonly typeOnly: boolean }[];
}

const IMPORT = /^(?:import|export)\s+(type\s)?(?:[^;"']*?\sfrom\s+)?["']([^"']+)["'];/gm;

function sourcesUnder(folder: string): Source[] {
  return readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((name) => /\.(ts|mjs)$/.test(name))
    .map((name) => {
      const path = normalize(join(folder, name));
      const text = readFileSync(path, "utf8");
      const imports = [...text.matchAll(IMPORT)].map(([, typeOnly, from = ""]) => ({
        from: from.startsWith(".") ? normalize(join(dirname(path), from)).replace(/\.js$/, ".ts") : from,
        typeOnly: typeOnly !== undefined,
      }));
      return { path, text, imports };
    });
}

const sources = sourcesUnder("src");
const importsOf = (test: (path: string) => boolean) =>
  sources.filter((source) => test(source.path)).flatMap((s) => s.imports.map((i) => ({ path: s.path, ...i })));
const room = (path: string): string => path.split("/").slice(1, 3).join("/").replace(/\.ts$/, "");

test("the sources were found", () => {
  expect(sources.length).toBeGreaterThan(40);
  expect(sources.flatMap((source) => source.imports).length).toBeGreaterThan(100);
});

describe("core is pure", () => {
  const core = sources.filter((source) => source.path.startsWith("src/core/"));

  test("it imports only core", () => {
    const foreign = importsOf((path) => path.startsWith("src/core/")).filter((i) => !i.from.startsWith("src/core/"));
    expect(foreign).toEqual([]);
  });

  test("it knows no clock and no randomness", () => {
    const impure = core.filter(({ text }) => /Date\.now|new Date\b|Math\.random|performance\.|setTimeout|crypto\./.test(text));
    expect(impure.map((source) => source.path)).toEqual([]);
  });
});

test("pg is imported only in store/", () => {
  const users = importsOf((path) => !path.startsWith("src/store/")).filter((i) => i.from === "pg" || i.from.startsWith("pg-"));
  expect(users).toEqual([]);
});

test("process.env is read only in config.ts, and where a child's environment is made", () => {
  const allowed = /^src\/(config\.ts|cli\/demo\/server\.ts)/;
  const readers = sources.filter(({ path, text }) => !allowed.test(path) && /process\.env/.test(text));
  expect(readers.map((source) => source.path)).toEqual([]);
});

test("generated code is imported only by those who speak a wire", () => {
  const allowed = /^src\/(surfaces|peers|cli|console)\//;
  const users = importsOf((path) => !allowed.test(path)).filter((i) => i.from.startsWith("gen/"));
  expect(users).toEqual([]);
});

test("surfaces import neither the store nor each other", () => {
  const wrong = importsOf((path) => path.startsWith("src/surfaces/")).filter(
    (i) => i.from.startsWith("src/store/") || (i.from.startsWith("src/surfaces/") && room(i.from) !== room(i.path)),
  );
  expect(wrong).toEqual([]);
});

test("implementations are imported by the composition root alone", () => {
  const implementation = /^src\/(runners|surfaces|peers)\//;
  const wrong = importsOf((path) => path !== "src/main.ts").filter(
    (i) => implementation.test(i.from) && room(i.from) !== room(i.path),
  );
  expect(wrong).toEqual([]);
});

test("what a room keeps in its folder is imported only from that room", () => {
  const folders = ["watch", "scheduler", "server", "postgres", "access", "config"];
  const wrong = importsOf(() => true).filter(({ path, from }) =>
    folders.some((name) => from.startsWith(`src/${name}/`) && !path.startsWith(`src/${name}`)),
  );
  expect(wrong).toEqual([]);
});

test("the product knows neither its tests nor its benchmark", () => {
  const outside = importsOf(() => true).filter((i) => /^(bench|test)\//.test(i.from));
  expect(outside).toEqual([]);
});

describe("the benchmark", () => {
  const bench = sourcesUnder("bench");

  test("was found", () => {
    expect(bench.length).toBeGreaterThan(10);
  });

  test("runs the compiled product: of the sources it takes types, and what is not measured", () => {
    const notMeasured = ["src/postgres.ts"];
    const imports = bench.flatMap((source) => source.imports.map((i) => ({ path: source.path, ...i })));
    const values = imports.filter((i) => i.from.startsWith("src/") && !i.typeOnly && !notMeasured.includes(i.from));
    expect(values).toEqual([]);
  });
});

test("a state is branded only by moves and by the store's row reader", () => {
  const users = importsOf(() => true).filter((i) => i.from === "src/core/moves/states.ts");
  const branding = users.filter(({ path }) => /\bmoved\b/.test(readFileSync(path, "utf8").match(/import \{[^}]*\} from "[^"]*states\.js"/)?.[0] ?? ""));
  expect(branding.map((i) => i.path).filter((path) => !/^src\/(core\/moves\/|store\/rows\.ts)/.test(path))).toEqual([]);
});

test("no import cycles", () => {
  const graph = new Map(sources.map((s) => [s.path, s.imports.filter((i) => i.from.startsWith("src/")).map((i) => i.from)]));
  const state = new Map<string, "open" | "done">();
  const cycles: string[] = [];
  const visit = (path: string, trail: readonly string[]): void => {
    if (state.get(path) === "done") return;
    if (state.get(path) === "open") {
      cycles.push([...trail.slice(trail.indexOf(path)), path].join(" -> "));
      return;
    }
    state.set(path, "open");
    for (const next of graph.get(path) ?? []) visit(next, [...trail, path]);
    state.set(path, "done");
  };
  for (const path of graph.keys()) visit(path, []);
  expect(cycles).toEqual([]);
});

test("names and sizes: no buckets, no default exports, no file past a talk", () => {
  const bucket = /(^|\/)(utils?|common|helpers?|types|misc)(\.ts|\/)/;
  expect(sources.filter((s) => bucket.test(s.path)).map((s) => s.path)).toEqual([]);
  expect(sources.filter((s) => /^export default/m.test(s.text)).map((s) => s.path)).toEqual([]);
  expect(sources.filter((s) => s.text.split("\n").length > 500).map((s) => s.path)).toEqual([]);
});
