/** Starts the app as the platform does: a process per party, each with its own folders, config file and environment. */

import { spawn, type ChildProcess } from "node:child_process";
import { randomInt } from "node:crypto";
import { once } from "node:events";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";

const PARTIES = ["alice", "bob"] as const;
export type Party = (typeof PARTIES)[number];

const APP = fileURLToPath(new URL("../app.mjs", import.meta.url));

export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** What one party is told to do. */
export interface Order {
  readonly taskId: string;
  /** `task_input_config` of the job's task. */
  readonly input: string;
}

export type Attributes = Readonly<Record<string, unknown>>;

/** The input of an intersection of `alice-table` and `bob-table`; `changes` replace attributes, undefined drops one. */
export function psiOrder(changes: Attributes = {}, component = "psi"): Order {
  const attributes = Object.entries({
    protocol: { s: "PROTOCOL_RR22" },
    sort_result: { b: true },
    allow_duplicate_keys: { s: "yes" },
    "allow_duplicate_keys/yes/join_type": { s: "left_join" },
    "allow_duplicate_keys/yes/join_type/left_join/left_side": { ss: ["alice"] },
    "input/receiver_input/key": { ss: ["id1"] },
    "input/sender_input/key": { ss: ["id2"] },
    ...changes,
  }).filter(([, value]) => value !== undefined);
  return {
    taskId: "job-psi",
    input: JSON.stringify({
      sf_datasource_config: { alice: { id: "default-data-source" }, bob: { id: "default-data-source" } },
      sf_cluster_desc: { parties: ["alice", "bob"] },
      sf_node_eval_param: {
        domain: "data_prep",
        name: component,
        version: "0.0.5",
        attr_paths: attributes.map(([path]) => path),
        attrs: attributes.map(([, value]) => value),
      },
      sf_input_ids: ["alice-table", "bob-table"],
      sf_output_ids: ["psi-output"],
      sf_output_uris: ["psi-output.csv"],
    }),
  };
}

/** One started party. */
export interface Started {
  readonly child: ChildProcess;
  readonly ended: Promise<Ended>;
  /** Resolves when the party's log has the text. */
  logged(text: string): Promise<void>;
}

/** Two parties on this machine, in a folder of their own. */
export class TwoParties {
  readonly #children: ChildProcess[] = [];

  private constructor(
    readonly root: string,
    readonly ports: { readonly alice: number; readonly bob: number },
  ) {}

  static async create(): Promise<TwoParties> {
    const root = await mkdtemp(path.join(tmpdir(), "psi-"));
    const [alice, bob] = await freePorts();
    const made = new TwoParties(root, { alice, bob });
    for (const party of PARTIES) await mkdir(made.data(party), { recursive: true });
    return made;
  }

  /** The party's data folder. */
  data(party: Party): string {
    return path.join(this.root, "data", party);
  }

  async write(party: Party, file: string, text: string): Promise<void> {
    await writeFile(path.join(this.data(party), file), text);
  }

  async read(party: Party, file: string): Promise<string> {
    return readFile(path.join(this.data(party), file), "utf8");
  }

  /** Runs both parties to their ends. */
  async run(order: Order, bobsOrder = order): Promise<{ alice: Ended; bob: Ended }> {
    const [alice, bob] = await Promise.all([this.start("alice", order), this.start("bob", bobsOrder)]);
    return { alice: await alice.ended, bob: await bob.ended };
  }

  /** `endpoints` replace where the party is told to find the two. */
  async start(party: Party, order: Order, args: readonly string[] = [], endpoints = this.ports): Promise<Started> {
    const work = path.join(this.root, "work", `${party}-${this.#children.length}`);
    await mkdir(path.join(work, "kuscia"), { recursive: true });
    await writeFile(path.join(work, "kuscia/task-config.conf"), this.#config(party, order, endpoints));
    const env = { PATH: process.env["PATH"], HOME: work, TMPDIR: work, MUSTER_DOMAIN_DATA: this.data(party) };
    const child = spawn(process.execPath, [APP, "./kuscia/task-config.conf", ...args], { cwd: work, env });
    this.#children.push(child);
    const said = { stdout: "", stderr: "" };
    child.stdout.on("data", (text) => (said.stdout += String(text)));
    child.stderr.on("data", (text) => (said.stderr += String(text)));
    const ended = once(child, "close").then(([code]) => ({ code: typeof code === "number" ? code : null, ...said }));
    const logged = async (text: string) => {
      while (!said.stdout.includes(text)) await once(child.stdout, "data");
    };
    return { child, ended, logged };
  }

  async remove(): Promise<void> {
    for (const child of this.#children) child.kill("SIGKILL");
    await rm(this.root, { recursive: true });
  }

  #config(party: Party, order: Order, endpoints: TwoParties["ports"]): string {
    const parties = PARTIES.map((name) => ({
      name,
      role: "",
      services: [{ portName: "psi", endpoints: [`127.0.0.1:${endpoints[name]}`] }],
    }));
    const ports = [{ name: "psi", port: this.ports[party], scope: "Cluster", protocol: "HTTP" }];
    return JSON.stringify({
      task_id: order.taskId,
      task_input_config: order.input,
      task_cluster_def: JSON.stringify({ parties, selfPartyIdx: PARTIES.indexOf(party), selfEndpointIdx: 0 }),
      allocated_ports: JSON.stringify({ ports }),
    });
  }
}

/**
 * Two ports that nobody listens on now. They lie below the range that the system gives to outgoing connections, so that
 * none of those can take one before the app listens.
 */
async function freePorts(): Promise<[number, number]> {
  const first = await freePort();
  for (;;) {
    const second = await freePort();
    if (second !== first) return [first, second];
  }
}

async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(10_000, 20_000);
    const server = createServer();
    const free = await new Promise<boolean>((resolve) => {
      server.once("error", () => resolve(false)).listen(port, "127.0.0.1", () => resolve(true));
    });
    if (!free) continue;
    await once(server.close(), "close");
    return port;
  }
}
