/** The example at the size of real work: two processes of two parties intersect 100,000 rows each. For information. */

import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { create as createMessage, fromJsonString, toBinary } from "@bufbuild/protobuf";
import { CreateJobRequestSchema } from "../../gen/kuscia/proto/api/v1alpha1/kusciaapi/job_pb.js";
import type { Line } from "../line.js";
import { JOB_SERVICE } from "../job.js";
import type { CallsLoad } from "../load/calls.js";
import { envelope } from "../load/grpc.js";
import { serve } from "../muster.js";
import { startPart } from "../parts.js";
import { openConnection } from "../postgres.js";

export const psi: Line = {
  name: "psi",
  about: "the example's private set intersection with 100,000 rows a side",
  async run(bench) {
    const rows = bench.quick ? 2_000 : 100_000;
    const databaseUrl = await bench.postgres.database("psi");
    const server = await serve(bench, databaseUrl, {}, "examples/psi");
    const domains = join(server.dataDirectory, "domains");
    // Two rows in three are at both parties.
    await writeTable(join(domains, "alice/data"), "alice-table.csv", "id1,name", rows, 0);
    await writeTable(join(domains, "bob/data"), "bob-table.csv", "id2,state", rows, Math.floor(rows / 3));
    const request = fromJsonString(CreateJobRequestSchema, await readFile("examples/psi/request.json", "utf8"));
    const only = request.tasks.slice(0, 1);
    const body = envelope(toBinary(CreateJobRequestSchema, createMessage(CreateJobRequestSchema, { ...request, tasks: only })));
    const load = startPart<CallsLoad>("load/calls.ts");
    await load.ask("open", { protocol: "grpc", url: server.url, path: `${JOB_SERVICE}/CreateJob`, body, inFlight: 1 });
    const client = await openConnection(databaseUrl);
    const begin = performance.now();
    await load.ask("run", { ids: { from: 0 }, calls: 1 });
    const ended = async (): Promise<{ state: string; message: string } | undefined> =>
      (await client.query<{ state: string; message: string }>("select state, message from jobs where ended_at is not null"))[0];
    let end = await ended();
    for (; !end; end = await ended()) await delay(50);
    const seconds = (performance.now() - begin) / 1000;
    await client.end();
    await load.stop();
    await server.stop();
    if (end.state !== "Succeeded") throw new Error(`the job ended as ${end.state}: ${end.message}`);
    return [{ what: `PSI of ${rows} rows a side, from CreateJob to its end`, unit: "s", ours: seconds, detail: { rows } }];
  },
};

async function writeTable(folder: string, name: string, header: string, rows: number, from: number): Promise<void> {
  await mkdir(folder, { recursive: true });
  const lines = Array.from({ length: rows }, (_, i) => `key-${from + i},value ${from + i}`);
  await writeFile(join(folder, name), `${[header, ...lines].join("\n")}\n`);
}
