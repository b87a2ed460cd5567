/** Muster as it is measured: `muster serve` from dist/ in a process of its own, configured by its public settings. */

import { mkdtemp, writeFile, mkdir, chmod } from "node:fs/promises";
import { join } from "node:path";
import { stringify } from "yaml";
import { startServerProcess } from "../test/server-process.js";
import type { Bench } from "./bench.js";
import { IMAGE } from "./job.js";
import { endLater, type Part, startPart } from "./parts.js";
import type { NoopServer } from "./server-noop.js";

export interface MusterServer {
  readonly url: string;
  readonly pid: number;
  readonly databaseUrl: string;
  readonly dataDirectory: string;
  stop(): Promise<void>;
}

/** Settings of muster.yaml; see docs/muster.example.yaml. */
export type MusterSettings = Readonly<Record<string, unknown>>;

/** Jobs wait for bob's word, so that a create is measured and not the work that it starts. */
export const WAITING: MusterSettings = { domains: { alice: {}, bob: { approval: "manual" } } };

const LONGEST_STOP_MS = 30_000;

const COMMAND_THAT_DOES_NOTHING = {
  apiVersion: "kuscia.secretflow/v1alpha1",
  kind: "AppImage",
  metadata: { name: IMAGE },
  spec: {
    deployTemplates: [{ name: "bench", spec: { containers: [{ name: "bench", command: ["true"] }] } }],
    image: { name: "muster/bench", tag: "1" },
  },
};

/** On a new database of that name, with an image for the jobs of job.ts. */
export async function startMuster(bench: Bench, database: string, settings: MusterSettings): Promise<MusterServer> {
  return serve(bench, await bench.postgres.database(database), settings);
}

/** On a database that is there; with another folder of images where one is given. */
export async function serve(
  bench: Bench,
  databaseUrl: string,
  settings: MusterSettings,
  images?: string,
): Promise<MusterServer> {
  const { dataDirectory, config, ownImages } = await prepare(bench, settings);
  const args = ["--config", config, "--app-images", images ?? ownImages];
  const server = await startServerProcess({ dataDirectory, databaseUrl, args });
  const stop = endLater(async () => {
    const patience = setTimeout(() => void server.kill9(), LONGEST_STOP_MS);
    const code = await server.stop();
    clearTimeout(patience);
    if (code !== 0) throw new Error(`muster serve ended ${code === null ? "only when killed" : `with ${code}`}. It wrote:\n${server.logs()}`);
    refuseFaults(server.logs());
  });
  return { url: server.url, pid: server.pid, databaseUrl, dataDirectory, stop };
}

/** The same parts with a runner that ends every attempt at once (see server-noop.ts). */
export async function startNoop(bench: Bench, database: string, settings: MusterSettings = {}): Promise<MusterServer> {
  const databaseUrl = await bench.postgres.database(database);
  const { dataDirectory, config, ownImages } = await prepare(bench, settings);
  const server: Part<NoopServer> = startPart("server-noop.ts");
  const flags = { config, "app-images": ownImages, data: dataDirectory, listen: "127.0.0.1:0", "database-url": databaseUrl };
  const url = await server.ask("start", flags);
  const stop = endLater(async () => {
    await server.ask("stop");
    await server.stop();
  });
  return { url, pid: server.pid, databaseUrl, dataDirectory, stop };
}

interface Prepared {
  readonly dataDirectory: string;
  readonly config: string;
  readonly ownImages: string;
}

async function prepare(bench: Bench, settings: MusterSettings): Promise<Prepared> {
  const folder = await mkdtemp(join(bench.folder, "muster-"));
  await chmod(folder, 0o711);
  const ownImages = join(folder, "images");
  await mkdir(ownImages);
  await writeFile(join(ownImages, "bench.yaml"), stringify(COMMAND_THAT_DOES_NOTHING));
  const config = join(folder, "muster.yaml");
  await writeFile(config, stringify(settings));
  return { dataDirectory: join(folder, "data"), config, ownImages };
}

/** A server that has met a fault has not been measured at what it does. */
function refuseFaults(logs: string): void {
  const fault = logs.split("\n").find((line) => /"level":[56]0/.test(line));
  if (fault !== undefined) throw new Error(`the server met a fault: ${fault}`);
}
