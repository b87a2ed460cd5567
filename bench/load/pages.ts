/** A part: pages of lists, one call after the other, each question in its turn, over gRPC or as a GET of JSON. */

import { answer } from "../part.js";
import { Fields } from "./grpc.js";
import { encodeGet, Http1Connection } from "./http1.js";
import { encodeHead, Http2Connection } from "./http2.js";

export interface Question {
  readonly name: string;
  /** A message with its envelope (gRPC), or a path with its parameters. */
  readonly ask: Uint8Array | string;
  /** Jobs that the page must have, so that no other work is measured than what was asked for. */
  readonly jobs: number;
}

export interface PagesTarget {
  readonly url: string;
  /** Of the gRPC method; absent where the questions are paths. */
  readonly method?: string;
  readonly questions: readonly Question[];
}

type Ask = (question: Question) => Promise<void>;

const GRPC_HEADERS = { "content-type": "application/grpc", te: "trailers", "user-agent": "muster-bench" };
const ENVELOPE = 5;

let questions: readonly Question[] = [];
let ask: Ask | undefined;
let asked = 0;

async function open(target: PagesTarget): Promise<void> {
  questions = target.questions;
  ask = target.method === undefined ? await askPaths(target.url) : await askMethod(target.url, target.method);
}

async function askMethod(url: string, method: string): Promise<Ask> {
  const connection = await Http2Connection.open(url);
  const head = encodeHead(url, method, GRPC_HEADERS);
  return (question) =>
    new Promise((resolve, reject) => {
      const pieces: Buffer[] = [];
      connection.request(head, Buffer.from(question.ask), {
        data: (bytes) => void pieces.push(Buffer.from(bytes)),
        end: () => settle(question, jobsOf(Buffer.concat(pieces)), resolve, reject),
        fail: (reason) => reject(new Error(reason)),
      });
    });
}

/** The jobs are the first field of the answer; a call that failed has no message at all. */
function jobsOf(answered: Buffer): number {
  const fields = new Fields(answered, Math.min(ENVELOPE, answered.length), answered.length);
  let jobs = 0;
  while (fields.next()) jobs += fields.number === 1 ? 1 : 0;
  return jobs;
}

async function askPaths(url: string): Promise<Ask> {
  const connection = await Http1Connection.open(url);
  return (question) =>
    new Promise((resolve, reject) => {
      connection.request(
        encodeGet(url, String(question.ask)),
        // Once per job, and not in its steps.
        ({ body }) => settle(question, body.split('"job_status":').length - 1, resolve, reject),
        (reason) => reject(new Error(reason)),
      );
    });
}

function settle({ name, jobs }: Question, found: number, resolve: () => void, reject: (error: Error) => void): void {
  if (found === jobs) resolve();
  else reject(new Error(`${name}: a page of ${found} jobs, not of ${jobs}`));
}

/** Milliseconds of each call, by question. The next run goes on with the question after the last. */
async function run({ seconds }: { seconds: number }): Promise<number[][]> {
  if (!ask) throw new Error("no target is open");
  const times = questions.map((): number[] => []);
  for (const begin = performance.now(); performance.now() - begin < seconds * 1000; asked += 1) {
    const which = asked % questions.length;
    const question = questions[which];
    if (!question) throw new Error("no questions");
    const sent = performance.now();
    await ask(question);
    times[which]?.push(performance.now() - sent);
  }
  return times;
}

const methods = { open, run };

export type PagesLoad = typeof methods;
answer(methods);
