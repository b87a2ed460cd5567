/** A local runner on a temporary folder, small apps for it, and its reports as promises. */

import { once } from "node:events";
import { watch } from "node:fs";
import { access, chmod, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { v7 as newUid } from "uuid";
import type { Container, DeployTemplate } from "../../../src/core/image.js";
import type { Attempt, Moved, AttemptState, Resources } from "../../../src/core/job.js";
import type { AttemptEnd, ReservedInstance, Runner, RunnerObserver, TaskLaunch } from "../../../src/runner.js";
import { createLocalRunner, type LocalRunnerOptions } from "../../../src/runners/local/runner.js";

/** Collects what a runner reports; every report can be awaited, also one that has come already. */
export class Reports implements RunnerObserver {
  readonly calls: string[] = [];
  readonly #ends = new Map<string, AttemptEnd[]>();
  readonly #waiting: (() => void)[] = [];

  started(uid: string): void {
    this.#note(`started ${uid}`);
  }

  ended(uid: string, end: AttemptEnd): void {
    this.#ends.set(uid, [...(this.#ends.get(uid) ?? []), end]);
    this.#note(`ended ${uid}`);
  }

  async end(uid: string): Promise<AttemptEnd> {
    for (;;) {
      const [end] = this.#ends.get(uid) ?? [];
      if (end !== undefined) return end;
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }

  callsOf(uid: string): string[] {
    return this.calls.filter((call) => call.endsWith(uid)).map((call) => call.split(" ")[0] ?? "");
  }

  #note(call: string): void {
    this.calls.push(call);
    for (const wake of this.#waiting.splice(0)) wake();
  }
}

export interface OpenRunner {
  readonly runner: Runner;
  readonly reports: Reports;
  readonly logged: string[];
}

/** One data directory with any number of runners on it, one after the other. */
export class Place {
  readonly #runners: OpenRunner[] = [];
  readonly #begun = new Map<string, OpenRunner>();
  private constructor(readonly folder: string) {}

  static async make(): Promise<Place> {
    const folder = await mkdtemp(join(tmpdir(), "muster-runner-"));
    await chmod(folder, 0o755);
    return new Place(folder);
  }

  async open(options: Partial<LocalRunnerOptions> = {}): Promise<OpenRunner> {
    const logged: string[] = [];
    const note = (_facts: object, message: string): void => void logged.push(message);
    const runner = await createLocalRunner({
      dataDirectory: this.folder,
      progressUrl: (uid) => `http://127.0.0.1:1/progress/${uid}`,
      domains: null,
      capacity: {},
      log: { info: note, warn: note, error: note },
      ...options,
    });
    const reports = new Reports();
    runner.observe(reports);
    const open = { runner, reports, logged };
    this.#runners.push(open);
    return open;
  }

  /** Reserves and starts; throws where there is no room. */
  async begin(open: OpenRunner, launch: TaskLaunch): Promise<readonly ReservedInstance[]> {
    const reservation = await open.runner.reserve(launch);
    if (!reservation.granted) throw new Error(reservation.message);
    for (const { attemptUid } of reservation.instances) this.#begun.set(attemptUid, open);
    await open.runner.start(launch, reservation.instances);
    return reservation.instances;
  }

  /** Begins a task of one instance. */
  async beginOne(open: OpenRunner, launch: TaskLaunch): Promise<ReservedInstance> {
    const [instance] = await this.begin(open, launch);
    if (instance === undefined) throw new Error("no instance");
    return instance;
  }

  /** What an app said when it was ready. */
  async ready<T>({ domain, attemptUid }: ReservedInstance): Promise<T> {
    const file = join(this.folder, "domains", domain, "data", `ready-${attemptUid}`);
    await fileAppears(file);
    // The test wrote the app, so it knows the shape.
    return JSON.parse(await readFile(file, "utf8")) as T;
  }

  /** Who an OBEDIENT app and its supervisor are. */
  whoIs(instance: ReservedInstance): Promise<{ pid: number; supervisor: number }> {
    return this.ready(instance);
  }

  /** Ends every attempt that still runs, closes the runners and removes the folder. */
  async remove(): Promise<void> {
    const last = this.#runners.at(-1);
    if (last !== undefined) {
      await Promise.all(
        [...this.#begun].map(async ([uid, open]) => {
          const { runner, reports } = open.reports.callsOf(uid).includes("ended") ? open : last;
          if (reports.callsOf(uid).includes("ended")) return;
          await runner.stop(uid);
          await reports.end(uid);
        }),
      );
    }
    for (const { runner } of this.#runners) await runner.close();
    await rm(this.folder, { recursive: true, force: true });
  }
}

export function container(parts: Partial<Container>): Container {
  const empty = { name: "app", command: [], args: [], workingDir: "", configVolumeMounts: [], ports: [], env: [] };
  return { ...empty, extra: {}, ...parts };
}

export interface PartySketch {
  readonly domain: string;
  readonly role?: string;
  readonly replicas?: number;
  readonly containers?: readonly Container[];
  readonly resources?: Partial<Resources>;
}

/** A launch of one task: each party runs `app` unless it has containers of its own. */
export function launchOf(
  app: Container,
  parties: readonly PartySketch[] = [{ domain: "alice" }],
  parts: Partial<Omit<TaskLaunch, "image">> & { readonly image?: Partial<TaskLaunch["image"]> } = {},
): TaskLaunch {
  const { image, ...rest } = parts;
  return {
    jobUid: newUid(),
    jobId: "job",
    taskIndex: 0,
    taskId: "task-1",
    alias: "task",
    number: 1,
    inputConfig: "{}",
    image: {
      name: "app-image",
      image: { name: "app", tag: "1", id: "", sign: "" },
      configTemplates: {},
      deployTemplates: [],
      directory: "",
      ...image,
    },
    parties: parties.map(({ domain, role = "", replicas = 1, containers = [app], resources }) => ({
      definition: {
        domain,
        role,
        resources: resources === undefined ? null : { cpu: "", memory: "", bandwidth: "", ...resources },
        bandwidthLimits: [],
      },
      template: { name: "main", role, replicas, restartPolicy: "Never", containers } satisfies DeployTemplate,
    })),
    ...rest,
  };
}

/** A container that runs a piece of JavaScript (CommonJS). */
export function script(source: string, parts: Partial<Container> = {}): Container {
  return container({ command: ["node", "-e", source], ...parts });
}

/** An app that runs until it is told over its port `control`; answers who it is. */
/** JavaScript by which an app says that it is ready, with a value that the test reads; see `Place.ready`. */
export const SAY_READY = `
  const sayReady = (value) => {
    const file = process.env.MUSTER_DOMAIN_DATA + "/ready-" + process.env.MUSTER_ATTEMPT;
    require("node:fs").writeFileSync(file + ".new", JSON.stringify(value));
    require("node:fs").renameSync(file + ".new", file);
  };`;

/** An app that runs until it is told over its port to end, with what exit code. */
export const OBEDIENT = script(
  `${SAY_READY}
   const server = require("node:http").createServer((request, response) => {
     console.error("told to end");
     response.end("bye", () => process.exit(Number(request.url.slice("/exit/".length))));
   });
   server.listen(Number(process.env.KUSCIA_PORT_CONTROL_NUMBER), "127.0.0.1", () => {
     console.log("listening");
     sayReady({ pid: process.pid, supervisor: process.ppid });
   });`,
  { ports: [{ name: "control", protocol: "HTTP", scope: "Local" }] },
);

/** Tells an OBEDIENT app that is ready to end. */
export async function tellToExit(instance: ReservedInstance, exitCode: number): Promise<void> {
  await (await fetch(`http://${instance.ports[0]?.endpoint}/exit/${exitCode}`)).text();
}

export function attemptOf(launch: TaskLaunch, { attemptUid, domain, role, replica }: ReservedInstance): Attempt {
  return {
    uid: attemptUid,
    jobUid: launch.jobUid,
    taskIndex: launch.taskIndex,
    number: launch.number,
    domain,
    role,
    replica,
    runner: "any",
    // The runner does not look at it; in the store it is written by moves alone.
    state: "Running" as Moved<AttemptState>,
    exitCode: null,
    signal: null,
    message: "",
    createdAt: 0,
    startedAt: null,
    endedAt: null,
  };
}

export async function logOf(open: OpenRunner, launch: TaskLaunch, instance: ReservedInstance): Promise<string> {
  return (await open.runner.readLog(attemptOf(launch, instance), 1_000_000))?.text ?? "";
}

/** Resolves when the condition holds; it is tried again whenever something changes in the folder. */
export async function holdsIn(folder: string, condition: () => Promise<boolean>): Promise<void> {
  const watcher = watch(folder);
  try {
    for (;;) {
      const change = once(watcher, "change");
      if (await condition()) return;
      await change;
    }
  } finally {
    watcher.close();
  }
}

/** Resolves when the file is there. */
export function fileAppears(path: string): Promise<void> {
  return holdsIn(dirname(path), () => access(path).then(() => true, () => false));
}
