import pg from "pg";
import { expect, inject, test } from "vitest";
import { createLog } from "../src/telemetry.js";

const lines: string[] = [];
const log = createLog("info", { write: (line) => void lines.push(line) });
const logged = (error: unknown): Record<string, unknown> => {
  log.error({ err: error }, "it failed");
  const { err }: { err: Record<string, unknown> } = JSON.parse(lines.at(-1) ?? "");
  return err;
};

test("an error of Postgres is logged without its connection and its statement", async () => {
  const client = new pg.Client(inject("postgresUrl"));
  await client.connect();
  const failure = await client
    .query("create temporary table t (id int constraint positive check (id > 0)); insert into t values (-4711)")
    .catch((error: unknown) => error);
  // As pg does with the error of a lost connection.
  Object.assign(failure as Error, { client });
  expect(logged(failure)).toEqual({
    type: "DatabaseError",
    message: 'new row for relation "t" violates check constraint "positive"',
    stack: expect.stringContaining("positive"),
    code: "23514",
    constraint: "positive",
  });
  await client.end();
});

test("of a cause the message is kept, and what is no error is text", () => {
  const err = logged(new TypeError("outer", { cause: Object.assign(new Error("inner"), { secret: "s3cret" }) }));
  expect(err).toEqual({ type: "TypeError", message: "outer", stack: expect.any(String), cause: "inner" });
  expect(logged({ secret: "s3cret" })).toEqual({ type: "object", message: "[object Object]" });
  expect(logged("a word")).toEqual({ type: "string", message: "a word" });
  expect(lines.join("")).not.toContain("s3cret");
});
