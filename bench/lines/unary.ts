/** Unary calls without a database: what the server itself costs, beside other servers with the same handler. */

import type { BareServer } from "../baselines/front.js";
import type { ConnectServer } from "../baselines/connect-node.js";
import type { Bench } from "../bench.js";
import { JOB_SERVICE, queryBody } from "../job.js";
import type { Bar, Line, Row } from "../line.js";
import type { CallsLoad, Target } from "../load/calls.js";
import { ID_PLACE } from "../load/messages.js";
import { type Part, startPart } from "../parts.js";
import { type Contender, cpuText, roundsOf, takeTurns } from "../rounds.js";

const IN_FLIGHT = 64;
const PATH = `${JOB_SERVICE}/QueryJob`;

interface Rival {
  readonly name: string;
  readonly start: () => Promise<{ pid: number; url: string; stop: () => Promise<void> }>;
  readonly bars?: readonly Bar[];
}

const ours: Rival = { name: "muster", start: () => bare("baselines/front.ts") };

const atLeast = (value: number): readonly Bar[] => [{ of: "ratio", is: "at least", value }];

export const unaryGrpc: Line = {
  name: "unary",
  about: "unary gRPC without a database, beside grpc-js and stock connect-node",
  run: (bench) =>
    compare(bench, "unary gRPC, no database", { protocol: "grpc", body: queryBody() }, [
      { name: "grpc-js", start: () => bare("baselines/grpc-js.ts"), bars: atLeast(1.2) },
      { name: "connect-node", start: () => connectNode("2"), bars: atLeast(5) },
    ]),
};

export const unaryJson: Line = {
  name: "json",
  about: "unary Connect JSON over HTTP/1.1 without a database, beside stock connect-node and plain node:http",
  run: (bench) =>
    compare(bench, "unary JSON, no database", { protocol: "json", body: Buffer.from(`{"job_id":"bench-${ID_PLACE}"}`) }, [
      { name: "connect-node", start: () => connectNode("1.1"), bars: atLeast(4) },
      { name: "node:http", start: () => bare("baselines/node-http.ts"), bars: atLeast(0.7) },
    ]),
};

async function compare(
  bench: Bench,
  what: string,
  target: Pick<Target, "protocol" | "body">,
  rivals: readonly Rival[],
): Promise<Row[]> {
  const load = startPart<CallsLoad>("load/calls.ts");
  const all = await Promise.all([ours, ...rivals].map(async (rival) => ({ rival, server: await rival.start() })));
  const contenders = all.map(({ rival, server }): Contender => ({
    name: rival.name,
    processes: { server: [server.pid], load: [load.pid] },
    async round(seconds) {
      await load.ask("open", { ...target, url: server.url, path: PATH, inFlight: IN_FLIGHT });
      const { perSecond, p50, p99 } = await load.ask("run", { ids: { from: 0 }, seconds });
      return { value: perSecond, p50, p99 };
    },
  }));
  const rounds = await takeTurns(bench, contenders);
  await Promise.all([load.stop(), ...all.map(({ server }) => server.stop())]);
  const own = roundsOf(rounds, ours);
  return rivals.map(({ name, bars }) => {
    const theirs = roundsOf(rounds, { name });
    return {
      what: `${what}, ${IN_FLIGHT} in flight`,
      unit: "calls/s",
      ours: own.median.value,
      baseline: { name, value: theirs.median.value },
      ...(bars ? { bars } : {}),
      note: `beside ${name}: ours ${cpuText(own)}, p99 ${own.median["p99"]?.toFixed(1)} ms; theirs ${cpuText(theirs)}`,
      detail: { ours: own, theirs },
    };
  });
}

async function bare(file: string): ReturnType<Rival["start"]> {
  const server = startPart<BareServer>(file);
  return { pid: server.pid, url: await server.ask("start"), stop: () => server.stop() };
}

async function connectNode(httpVersion: "1.1" | "2"): ReturnType<Rival["start"]> {
  const server: Part<ConnectServer> = startPart<ConnectServer>("baselines/connect-node.ts");
  return { pid: server.pid, url: await server.ask("start", httpVersion), stop: () => server.stop() };
}
