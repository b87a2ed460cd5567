/** What the app makes of what it is given: config file, attributes, ids and uris. */

import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { parse } from "yaml";
import { Attributes } from "../attributes.mjs";
import { readTask } from "../config.mjs";
import { DataFolder } from "../folder.mjs";
import { psiOrder } from "./parties.js";

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(path.join(tmpdir(), "psi-task-"));
});
afterEach(() => rm(dir, { recursive: true }));

function party(name: string, endpoints: readonly string[], portName = "psi") {
  return { name, role: "", services: [{ portName, endpoints }] };
}

/** A config file as bob gets it; `changes` replace parts of it. */
function configOfBob(changes: Record<string, unknown> = {}): Record<string, unknown> {
  return {
    task_id: "job-psi",
    task_input_config: psiOrder().input,
    task_cluster_def: JSON.stringify({
      parties: [party("bob", ["127.0.0.1:1002"]), party("alice", ["psi.alice.svc"])],
      selfPartyIdx: 0,
      selfEndpointIdx: 0,
    }),
    allocated_ports: JSON.stringify({ ports: [{ name: "spu", port: 1001 }, { name: "psi", port: 1002 }] }),
    ...changes,
  };
}

async function taskOf(config: Record<string, unknown>, dataFolder: string | undefined = dir) {
  const file = path.join(dir, "task-config.conf");
  await writeFile(file, JSON.stringify(config));
  return readTask(file, dataFolder);
}

describe("a config file", () => {
  it("says who speaks to whom, whatever the order of parties", async () => {
    const task = await taskOf(configOfBob());
    expect(task).toMatchObject({ taskId: "job-psi", parties: ["alice", "bob"], component: "data_prep/psi 0.0.5" });
    expect(task.endpoints).toEqual({
      self: "bob",
      partner: "alice",
      partnerEndpoint: "psi.alice.svc",
      listenHost: "127.0.0.1",
      listenPort: 1002,
    });
  });

  it("gives the same settings only for the same input", async () => {
    const settings = async (input: string) => (await taskOf(configOfBob({ task_input_config: input }))).settings;
    const { input } = psiOrder();
    expect(await settings(JSON.stringify(JSON.parse(input), null, 2))).toBe(await settings(input));
    expect(await settings(psiOrder({ sort_result: { b: false } }).input)).not.toBe(await settings(input));
    expect(await settings(input.replace("psi-output.csv", "other.csv"))).not.toBe(await settings(input));
  });

  const alice = party("alice", ["127.0.0.1:1"]);
  const cluster = (parties: readonly unknown[]) => JSON.stringify({ parties, selfPartyIdx: 0, selfEndpointIdx: 0 });
  it.each<[string, Record<string, unknown>]>([
    ["task_id is missing or not a text", { task_id: 7 }],
    ["task_input_config is not valid JSON", { task_input_config: "{" }],
    ["task_input_config is missing or not a text", { task_input_config: "" }],
    ["exactly two parties, but the task has 1", { task_cluster_def: cluster([alice]) }],
    ["exactly two parties, but the task has 3", { task_cluster_def: cluster([alice, alice, alice]) }],
    ["runs at carol and alice", { task_cluster_def: cluster([party("carol", ["127.0.0.1:3"]), alice]) }],
    ["party bob has no endpoint for the port psi", { task_cluster_def: cluster([party("bob", ["a"], "spu"), alice]) }],
    ["party bob runs 2 instances", { task_cluster_def: cluster([party("bob", ["a", "b"]), alice]) }],
    ["no port named psi was allocated to this party", { allocated_ports: JSON.stringify({ ports: [] }) }],
    [
      'data source "lake" of bob is not known',
      { task_input_config: psiOrder().input.replaceAll("default-data-source", "lake") },
    ],
    [
      "sf_output_ids has 1 entries and sf_output_uris has 2",
      { task_input_config: psiOrder().input.replace('"psi-output.csv"', '"a.csv","b.csv"') },
    ],
  ])("is refused because %s", async (sentence, changes) => {
    await expect(taskOf(configOfBob(changes))).rejects.toThrow(sentence);
  });

  it("is refused when it is not there, or when the data folder is not told", async () => {
    await expect(readTask(path.join(dir, "none.conf"), dir)).rejects.toThrow("cannot read the config file");
    await expect(taskOf(configOfBob(), "")).rejects.toThrow("MUSTER_DOMAIN_DATA is missing");
  });
});

describe("attributes", () => {
  const of = (value: Record<string, unknown>) => new Attributes({ attr_paths: ["x"], attrs: [value] });

  it("are whole numbers as a number or a text", () => {
    expect(of({ i64: 1234 }).integer("x", 0n)).toBe(1234n);
    expect(of({ i64: "-9223372036854775808" }).integer("x", 0n)).toBe(-9223372036854775808n);
    for (const i64 of ["9223372036854775808", "1.5", 1.5, 2 ** 60, true, ""]) {
      expect(() => of({ i64 }).integer("x", 0n)).toThrow("attribute x is");
    }
  });

  it("take their default when left out or not applicable", () => {
    expect(of({ is_na: true }).truth("x", true)).toBe(true);
    expect(of({ s: "a" }).choice("y", ["b"], "b")).toBe("b");
  });

  it.each([
    [() => of({ s: "c" }).choice("x", ["a", "b"], "a"), 'attribute x is "c", but must be one of a, b'],
    [() => of({ s: "c" }).truth("x", true), "attribute x has no value of type b"],
    [() => of({ f: 1.5 }).share("x", 1), "attribute x is 1.5, but must be a number from 0 to 1"],
    [() => of({ s: "c" }).refuseUnread("a component"), "attribute x is not known to a component"],
    [() => new Attributes({ attr_paths: ["x"], attrs: [] }), "attr_paths has 1 entries and attrs has 0"],
    [() => new Attributes({ attr_paths: ["x", "x"], attrs: [{}, {}] }), "attribute x is given twice"],
  ])("are refused otherwise (%#)", (read, sentence) => {
    expect(read).toThrow(sentence);
  });
});

describe("a data folder", () => {
  const output = { uri: "out/result.csv", id: "result", header: ["a"], rows: [["1"]] };

  it("shows an output under its name and id only when it is published", async () => {
    const folder = new DataFolder(dir, "alice");
    const publish = await folder.stage([output], "run-7", []);
    await expect(folder.read("result")).rejects.toThrow('table "result" of alice is missing');
    await publish();
    const { header, rows } = output;
    expect(await folder.read("result")).toEqual({ header, rows, file: "out/result.csv", alignment: "run-7" });
  });

  const unsafeIds = ["../bob/bob-table", "/etc/passwd", ".hidden", "a/b", "", "a\0", "..", "a b"];
  it.each(unsafeIds)("has no table %j", async (id) => {
    await expect(new DataFolder(dir, "alice").read(id)).rejects.toThrow("is not a plain name");
  });

  const unsafeUris = ["../bob.csv", "/tmp/x.csv", "a/../../x.csv", ".tables/x.json", "a//b", "a/", "~/x"];
  it.each(unsafeUris)("has no output %j", async (uri) => {
    const folder = new DataFolder(dir, "alice");
    await expect(folder.stage([{ ...output, uri }], "", [])).rejects.toThrow("is not a plain name");
  });

  it("does not let an id's record lead outside", async () => {
    await mkdir(path.join(dir, ".tables"));
    await writeFile(path.join(dir, ".tables/t.json"), '{"file":"../other/t.csv","alignment":""}');
    await expect(new DataFolder(dir, "alice").read("t")).rejects.toThrow("is not a plain name");
  });

  it("keeps a task from overwriting its input, and two outputs from being one", async () => {
    const folder = new DataFolder(dir, "alice");
    await expect(folder.stage([output], "", [output.uri])).rejects.toThrow("would overwrite the task's own input");
    await expect(folder.stage([output, output], "", [])).rejects.toThrow("two outputs have the same uri");
  });
});

describe("the files beside the app", () => {
  it("are an app image whose config template is the config file that the app reads", async () => {
    const image = parse(await readFile(new URL("../app-image.yaml", import.meta.url), "utf8")) as {
      metadata: { name: string };
      spec: { configTemplates: Record<string, string> };
    }; // Kuscia's AppImage resource.
    expect(image.metadata.name).toBe("secretflow-image");
    const values = configOfBob();
    const names: Record<string, string> = {
      TASK_ID: "task_id", TASK_INPUT_CONFIG: "task_input_config",
      TASK_CLUSTER_DEFINE: "task_cluster_def", ALLOCATED_PORTS: "allocated_ports",
    };
    const template = image.spec.configTemplates["task-config.conf"] ?? "";
    const valueOf = (name: string) => JSON.stringify(values[names[name] ?? ""]).slice(1, -1);
    const rendered = template.replace(/\{\{\.([A-Z_]+)\}\}/g, (_all, name: string) => valueOf(name));
    expect(JSON.parse(rendered)).toEqual(values);
  });
});
