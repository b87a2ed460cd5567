/** Rows in Postgres' binary form: what is written must be what Postgres reads. */

import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { bigint, boolean, instant, int, ints, json, jsonb, layout, real, rowsArgument, text, texts, uuid } from "../../src/store/binary-rows.js";
import { migrate } from "../../src/store/migrate.js";
import { createPool, type Pool } from "../../src/store/pool.js";
import { LAYOUTS } from "../../src/store/saved-rows.js";
import { createTestDatabase, type TestDatabase } from "../database.js";

interface Sample {
  readonly uuid: string;
  readonly text: string | null;
  readonly int: number | null;
  readonly bigint: number;
  readonly real: number;
  readonly boolean: boolean;
  readonly instant: number | null;
  readonly json: object | null;
  readonly jsonb: object | null;
  readonly ints: readonly number[];
  readonly texts: readonly string[];
}

const SAMPLE = layout<Sample>("sample", {
  a: uuid((sample) => sample.uuid),
  b: text((sample) => sample.text),
  c: int((sample) => sample.int),
  d: bigint((sample) => sample.bigint),
  e: real((sample) => sample.real),
  f: boolean((sample) => sample.boolean),
  g: instant((sample) => sample.instant),
  h: json((sample) => sample.json),
  i: jsonb((sample) => sample.jsonb),
  j: ints((sample) => sample.ints),
  k: texts((sample) => sample.texts),
});

const CREATE = `create type sample as (a uuid, b text, c int, d bigint, e real, f boolean, g timestamptz, h json, i jsonb, j int[], k text[])`;

let database: TestDatabase;
let pool: Pool;

beforeAll(async () => {
  database = await createTestDatabase();
  pool = createPool({ connectionString: database.url, size: 1, onError: () => undefined });
  await migrate(database.url);
  await pool.query(CREATE);
});
afterAll(async () => {
  await pool.end();
  await database.drop();
});

/** Any text that Postgres takes: without U+0000 and halves of pairs. */
const anyText = fc.oneof(
  fc.string({ unit: "grapheme", maxLength: 60 }),
  fc.string({ unit: "binary-ascii", maxLength: 60 }),
  fc.string({ unit: "grapheme", minLength: 5_000, maxLength: 6_000, size: "max" }),
).map((value) => value.replaceAll("\0", ""));
const int32 = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 });

const anySample: fc.Arbitrary<Sample> = fc.record({
  uuid: fc.uuid(),
  text: fc.option(anyText),
  int: fc.option(int32),
  bigint: fc.maxSafeInteger(),
  real: fc.float({ noNaN: true, noDefaultInfinity: true }),
  boolean: fc.boolean(),
  instant: fc.option(fc.integer({ min: Date.UTC(1900, 0), max: Date.UTC(2200, 0) })),
  json: fc.option(fc.dictionary(anyText, anyText)),
  jsonb: fc.option(fc.record({ name: anyText, list: fc.array(int32) })),
  ints: fc.array(int32),
  texts: fc.array(anyText),
});

test("Postgres reads every value as it was", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(anySample, { maxLength: 20 }), async (samples) => {
      const { rows } = await pool.query<Record<string, unknown>>({
        text: `select a, b, c, d::text, e::double precision, f, (extract(epoch from g) * 1000)::bigint::text as g, h, i, j, k from unnest($1::sample[])`,
        values: [rowsArgument(SAMPLE, samples)],
      });
      const expected = samples.map((sample) => ({
        a: sample.uuid,
        b: sample.text,
        c: sample.int,
        d: String(sample.bigint),
        e: sample.real === 0 ? expect.closeTo(0) : sample.real,
        f: sample.boolean,
        g: sample.instant === null ? null : String(sample.instant),
        h: sample.json,
        i: sample.jsonb,
        j: sample.ints,
        k: sample.texts,
      }));
      expect(rows).toEqual(expected);
    }),
    { numRuns: 25 },
  );
});

test("the layouts of what is saved are the types of the database", async () => {
  const { rows } = await pool.query<{ name: string; columns: string[] }>({
    text: `select t.typname as name, array_agg(a.attname || ' ' || format_type(a.atttypid, null) order by a.attnum) as columns
      from pg_type t join pg_attribute a on a.attrelid = t.typrelid and a.attnum > 0
      where t.typname = any ($1) group by t.typname`,
    values: [LAYOUTS.map(({ typeName }) => typeName)],
  });
  const laidOut = LAYOUTS.map(({ typeName, columns }) => [typeName, Object.entries(columns).map(([name, { type }]) => `${name} ${type}`)]);
  expect(Object.fromEntries(rows.map(({ name, columns }) => [name, columns]))).toEqual(Object.fromEntries(laidOut));
});
