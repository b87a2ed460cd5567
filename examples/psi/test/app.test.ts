/** The app as the platform runs it: two processes, handmade folders and config files, free ports. */

import { once } from "node:events";
import { readFile } from "node:fs/promises";
import net from "node:net";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { hashToPoints } from "../curve.mjs";
import { prepareData } from "../prepare.mjs";
import { psiOrder, TwoParties, type Order } from "./parties.js";

vi.setConfig({ testTimeout: 60_000 });

const REQUEST = JSON.parse(await readFile(new URL("../request.json", import.meta.url), "utf8")) as {
  tasks: { task_id: string; task_input_config: string }[]; // As the Kuscia Job API shapes it.
};

function publishedOrder(taskId: string): Order {
  const task = REQUEST.tasks.find((candidate) => candidate.task_id === taskId);
  return { taskId, input: task?.task_input_config ?? "" };
}

let parties: TwoParties;
beforeEach(async () => {
  parties = await TwoParties.create();
});
afterEach(() => parties.remove());

/** Lines after the header; enough for tables without line breaks in cells. */
function lines(table: string): string[] {
  return table.trimEnd().split("\n").slice(1);
}

function firstCell(line: string): string {
  return line.split(",")[0] ?? "";
}

describe("the published request", () => {
  it("intersects the airports and splits the result, row by row alike at both parties", async () => {
    await prepareData(parties.data("alice"), parties.data("bob"));
    const psi = await parties.run(publishedOrder("job-psi"));
    expect([psi.alice.stderr, psi.bob.stderr]).toEqual(["", ""]);
    expect([psi.alice.code, psi.bob.code]).toEqual([0, 0]);

    const aliceTable = lines(await parties.read("alice", "alice-table.csv"));
    const bobTable = new Map(lines(await parties.read("bob", "bob-table.csv")).map((line) => [firstCell(line), line]));
    const sorted = aliceTable.sort((a, b) => (firstCell(a) < firstCell(b) ? -1 : 1));
    const shared = sorted.map(firstCell).filter((key) => bobTable.has(key)).length;
    expect(shared).toBeGreaterThan(1000);
    const aliceHalf = await parties.read("alice", "psi-output.csv");
    const bobHalf = await parties.read("bob", "psi-output.csv");
    expect(lines(aliceHalf)).toEqual(sorted);
    expect(lines(bobHalf)).toEqual(sorted.map((line) => bobTable.get(firstCell(line)) ?? ",,,"));
    for (const { stdout } of [psi.alice, psi.bob]) {
      expect(stdout).toContain(`\nintersection size: ${shared}\n`);
      expect(stdout).toContain("\nRR22 requested, ECDH used\n");
    }
    for (const party of ["alice", "bob"] as const) {
      const report: unknown = JSON.parse(await parties.read(party, "psi-output.report.json"));
      expect(report).toMatchObject({ intersection_size: shared, output_rows: sorted.length, join_type: "left_join" });
    }

    const split = await parties.run(publishedOrder("job-split"));
    expect([split.alice.stderr, split.bob.stderr]).toEqual(["", ""]);
    const parts = await Promise.all(
      ["train-dataset.csv", "test-dataset.csv"].map(async (file) => ({
        alice: lines(await parties.read("alice", file)),
        bob: lines(await parties.read("bob", file)),
      })),
    );
    const joined = lines(aliceHalf).map((line, index) => `${line}|${lines(bobHalf)[index]}`);
    const divided = parts.flatMap(({ alice, bob }) => alice.map((line, index) => `${line}|${bob[index]}`));
    expect(divided.sort()).toEqual(joined.sort());
    expect(parts.map(({ alice }) => alice.length)).toEqual([
      Math.floor(sorted.length * 0.75),
      Math.ceil(sorted.length * 0.25),
    ]);
  });
});

describe("an intersection", () => {
  it("joins duplicate keys of both sides in an inner join, whatever the cells hold", async () => {
    await parties.write("alice", "alice-table.csv", 'id1,"a,1"\nk1,"x,""1"""\nk2,x2\nk1,x3\n"k, 3",x4\n');
    await parties.write("bob", "bob-table.csv", "id2\r\n\"k, 3\"\r\nk1\r\nk4\r\nk1\r\nk1 \r\n");
    const order = psiOrder({ "allow_duplicate_keys/yes/join_type": { s: "inner_join" } });
    const { alice, bob } = await parties.run(order);
    expect([alice.stderr, bob.stderr]).toEqual(["", ""]);
    expect(await parties.read("alice", "psi-output.csv")).toBe(
      'id1,"a,1"\n"k, 3",x4\nk1,"x,""1"""\nk1,"x,""1"""\nk1,x3\nk1,x3\n',
    );
    expect(await parties.read("bob", "psi-output.csv")).toBe('id2\n"k, 3"\nk1\nk1\nk1\nk1\n');
    expect(bob.stdout).toContain("\nintersection size: 2\n");
  });

  it("lets the sender be the left side and keeps its unmatched rows, unsorted and with two key columns", async () => {
    await parties.write("alice", "alice-table.csv", "a,b,v\n1,11,p\n11,1,q\n2,2,r\n");
    await parties.write("bob", "bob-table.csv", "w,c,d\ns,11,1\nt,9,9\nu,1,1\n");
    const order = psiOrder({
      sort_result: { b: false },
      "allow_duplicate_keys/yes/join_type/left_join/left_side": { ss: ["bob"] },
      "input/receiver_input/key": { ss: ["a", "b"] },
      "input/sender_input/key": { ss: ["c", "d"] },
    });
    const { alice, bob } = await parties.run(order);
    expect([alice.stderr, bob.stderr]).toEqual(["", ""]);
    const bobHalf = lines(await parties.read("bob", "psi-output.csv"));
    const aliceHalf = lines(await parties.read("alice", "psi-output.csv"));
    const joined = bobHalf.map((line, index) => `${line}|${aliceHalf[index]}`);
    expect(joined.sort()).toEqual(["s,11,1|11,1,q", "t,9,9|,,", "u,1,1|,,"]);
  });

  it("works when one party starts later, and with empty tables", async () => {
    await parties.write("alice", "alice-table.csv", "id1,v\n");
    await parties.write("bob", "bob-table.csv", "id2,w\nk1,1\n");
    const bob = await parties.start("bob", psiOrder());
    await bob.logged("waiting for partner alice");
    const alice = await parties.start("alice", psiOrder());
    expect(await alice.ended).toMatchObject({ code: 0, stderr: "" });
    expect(await bob.ended).toMatchObject({ code: 0, stderr: "" });
    expect(await parties.read("bob", "psi-output.csv")).toBe("id2,w\n");
  });

  it("puts neither keys, their points nor other cells on the wire", async () => {
    const keys = Array.from({ length: 40 }, (_, index) => `a-long-key-${index}`);
    const table = (header: string, some: string[], cell: string) =>
      [header, ...some.map((key) => `${key},${cell}`), ""].join("\n");
    await parties.write("alice", "alice-table.csv", table("id1,v", keys.slice(10), "secret-a"));
    await parties.write("bob", "bob-table.csv", table("id2,w", keys.slice(0, 30), "secret-b"));
    const wire = await recordingProxy(parties.ports.bob);
    const alice = await parties.start("alice", psiOrder(), [], { ...parties.ports, bob: wire.port });
    const bob = await parties.start("bob", psiOrder());
    expect(await alice.ended).toMatchObject({ code: 0, stderr: "" });
    expect(await bob.ended).toMatchObject({ code: 0, stderr: "" });
    const recorded = Buffer.concat(wire.recorded);
    wire.close();
    expect(recorded.length).toBeGreaterThan(30 * 32 * 2);
    expect(recorded.includes("/psi/points/0/last")).toBe(true);
    for (const text of ["a-long-key", "secret-a", "secret-b"]) expect(recorded.includes(text)).toBe(false);
    for (const key of keys) {
      const hashed = `${key.length}:${key}`; // How the app writes a key of one column down before it hashes it.
      expect(recorded.includes(hashToPoints([Buffer.from(hashed)]))).toBe(false);
    }
  });
});

/** A way to the port that keeps what passes in both directions. */
async function recordingProxy(port: number) {
  const recorded: Buffer[] = [];
  const server = net.createServer((near) => {
    const far = net.connect(port, "127.0.0.1");
    for (const [from, to] of [[near, far], [far, near]] as const) {
      from.on("data", (bytes: Buffer) => recorded.push(bytes));
      from.on("error", () => to.destroy());
      from.pipe(to);
    }
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("the proxy has no port");
  return { port: address.port, recorded, close: () => server.close() };
}

describe("a failure is one sentence", () => {
  beforeEach(async () => {
    await parties.write("alice", "alice-table.csv", "id1,v\nk1,1\nk1,2\nk2,3\n");
    await parties.write("bob", "bob-table.csv", "id2,w\nk1,1\n");
  });

  it.each([
    [
      "a missing column",
      { "input/receiver_input/key": { ss: ["id9"] } },
      'table "alice-table" of alice has no column "id9"',
    ],
    [
      "duplicate keys that are not allowed",
      { allow_duplicate_keys: { s: "no" } },
      'table "alice-table" of alice has duplicate keys (1 of 2 keys), but allow_duplicate_keys is "no"',
    ],
  ])("of %s at one party, and the other says that its partner failed", async (_name, changes, sentence) => {
    const { alice, bob } = await parties.run(psiOrder(changes));
    expect(alice).toMatchObject({ code: 1, stderr: `${sentence}\n` });
    expect(bob).toMatchObject({ code: 1, stderr: "partner alice failed\n" });
  });

  it("of a missing file", async () => {
    const order = psiOrder();
    const { alice, bob } = await parties.run({ ...order, input: order.input.replace('"bob-table"', '"bob-tables"') });
    const sentence = 'table "bob-tables" of bob is missing: there is no file bob-tables.csv in its data folder';
    expect(bob).toMatchObject({ code: 1, stderr: `${sentence}\n` });
    expect(alice).toMatchObject({ code: 1, stderr: "partner bob failed\n" });
  });

  it("of an unknown component", async () => {
    const alice = await parties.start("alice", psiOrder({}, "union"));
    const { code, stderr } = await alice.ended;
    expect(code).toBe(1);
    expect(stderr).toBe(
      "component data_prep/union 0.0.5 is not known, only data_prep/psi 0.0.5 and data_prep/train_test_split 0.0.1\n",
    );
  });

  it("of a partner that never comes", async () => {
    const alice = await parties.start("alice", psiOrder(), ["--connect-timeout", "0.5"]);
    const sentence = `partner bob did not answer at 127.0.0.1:${parties.ports.bob} within 0.5 s\n`;
    expect(await alice.ended).toMatchObject({ code: 1, stderr: sentence });
  });

  it("of different settings, at both parties", async () => {
    const { alice, bob } = await parties.run(psiOrder(), psiOrder({ sort_result: { b: false } }));
    const given = "were given different settings for data_prep/psi 0.0.5\n";
    expect(alice).toMatchObject({ code: 1, stderr: `alice and bob ${given}` });
    expect(bob).toMatchObject({ code: 1, stderr: `bob and alice ${given}` });
  });

  it("of different tasks, at both parties", async () => {
    const { alice, bob } = await parties.run(psiOrder(), { ...psiOrder(), taskId: "job-other" });
    expect(alice).toMatchObject({ code: 1, stderr: "alice was given task job-psi and bob task job-other\n" });
    expect(bob).toMatchObject({ code: 1, stderr: "bob was given task job-other and alice task job-psi\n" });
  });

  it("of tables of different length, at both parties of a split", async () => {
    await parties.write("alice", "psi-output.csv", "a\n1\n2\n");
    await parties.write("bob", "psi-output.csv", "b\n1\n");
    const { alice, bob } = await parties.run(publishedOrder("job-split"));
    expect(alice).toMatchObject({ code: 1, stderr: 'table "psi-output" has 2 rows at alice and 1 at bob\n' });
    expect(bob).toMatchObject({ code: 1, stderr: 'table "psi-output" has 1 rows at bob and 2 at alice\n' });
  });

  it("of a partner that is killed in the middle", async () => {
    const many = Array.from({ length: 20_000 }, (_, index) => `k${index}\n`).join("");
    await parties.write("alice", "alice-table.csv", `id1\n${many}`);
    await parties.write("bob", "bob-table.csv", `id2\n${many}`);
    const [alice, bob] = await Promise.all([parties.start("alice", psiOrder()), parties.start("bob", psiOrder())]);
    await Promise.all([alice.logged("met partner"), bob.logged("met partner")]);
    bob.child.kill("SIGKILL");
    const { code, stderr } = await alice.ended;
    expect(code).toBe(1);
    expect(stderr).toMatch(/^partner bob (ended before the work was done|broke off the work \(no answer\))\n$/);
  });
});

it("ends at once on SIGTERM", async () => {
  await parties.write("alice", "alice-table.csv", "id1\n");
  const alice = await parties.start("alice", psiOrder());
  await alice.logged("waiting for partner bob");
  alice.child.kill("SIGTERM");
  expect(await alice.ended).toMatchObject({ code: null, stderr: "" });
  expect(alice.child.signalCode).toBe("SIGTERM");
});
