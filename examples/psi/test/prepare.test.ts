import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { readCsvFile } from "../csv.mjs";
import { prepareData } from "../prepare.mjs";

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(path.join(tmpdir(), "psi-data-"));
});
afterEach(() => rm(dir, { recursive: true }));

it("gives each party its own columns of its own airports, the same each time", async () => {
  const folders = ["alice", "bob", "again/alice", "again/bob"].map((name) => path.join(dir, name));
  const [aliceDir = "", bobDir = "", aliceAgain = "", bobAgain = ""] = folders;
  const counts = await prepareData(aliceDir, bobDir);
  expect(await prepareData(aliceAgain, bobAgain)).toEqual(counts);

  const alice = await readCsvFile(path.join(aliceDir, "alice-table.csv"));
  const bob = await readCsvFile(path.join(bobDir, "bob-table.csv"));
  expect(alice.header).toEqual(["id1", "name", "city"]);
  expect(bob.header).toEqual(["id2", "state", "latitude", "longitude"]);
  const [aliceKeys, bobKeys] = [alice, bob].map(({ rows }) => rows.map(([key]) => key));
  const shared = aliceKeys?.filter((key) => bobKeys?.includes(key)) ?? [];
  expect(counts).toEqual({ aliceRows: alice.rows.length, bobRows: bob.rows.length, sharedKeys: shared.length });
  expect(shared.length).toBeGreaterThan(1000);
  expect(shared.length).toBeLessThan(Math.min(alice.rows.length, bob.rows.length) - 500);
  const bytes = await Promise.all([bobDir, bobAgain].map((folder) => readFile(path.join(folder, "bob-table.csv"))));
  expect(bytes[0]).toEqual(bytes[1]);
});
