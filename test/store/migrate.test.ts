import pg from "pg";
import { expect, test } from "vitest";
import { migrate, readMigrations } from "../../src/store/migrate.js";
import { createTestDatabase } from "../database.js";

test("twenty servers that start at once migrate once", async () => {
  const database = await createTestDatabase();
  const migrations = await readMigrations();
  const results = await Promise.all(Array.from({ length: 20 }, () => migrate(database.url)));
  expect(results.flat().sort()).toEqual(migrations.map((migration) => migration.name));
  expect(await migrate(database.url)).toEqual([]);
  await database.drop();
});

test("a database that a newer server has migrated is refused", async () => {
  const database = await createTestDatabase();
  await migrate(database.url);
  const client = new pg.Client({ connectionString: database.url });
  await client.connect();
  await client.query("insert into schema_migrations (version, name) values (9999, 'later')");
  await client.end();
  await expect(migrate(database.url)).rejects.toThrow(/at migration 9999, this server knows only/);
  await database.drop();
});
