/** Starting parts (see part.ts) and asking them; and everything else that has to be ended when the benchmark ends. */

import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import type { Answer, Methods } from "./part.js";

export interface Part<M extends Methods> {
  readonly pid: number;
  ask<K extends keyof M & string>(method: K, ...argument: Parameters<M[K]>): Promise<Awaited<ReturnType<M[K]>>>;
  stop(): Promise<void>;
}

/** A part that does not answer breaks its line; without a limit it would hold up the whole run. */
const LONGEST_ANSWER_MS = 300_000;

/** What was started and has not been stopped yet, oldest first. */
const running = new Set<() => Promise<void>>();

/** Sees to it that something is ended, here or at the benchmark's end. Returns the way to end it here. */
export function endLater(end: () => Promise<void>): () => Promise<void> {
  let ended: Promise<void> | undefined;
  const stop = (): Promise<void> =>
    (ended ??= end().finally(() => {
      running.delete(stop);
    }));
  running.add(stop);
  return stop;
}

/** Ends all that still runs, the youngest first; what was running at a moment before may be kept. */
export async function endAll(kept: ReadonlySet<() => Promise<void>> = new Set()): Promise<void> {
  for (const stop of [...running].toReversed()) {
    if (!kept.has(stop)) await stop().catch((error: unknown) => console.error(error));
  }
}

/** What runs at this moment. */
export function runningNow(): ReadonlySet<() => Promise<void>> {
  return new Set(running);
}

/** Starts `file`, relative to this folder. Its output goes to the benchmark's stderr. */
export function startPart<M extends Methods>(file: string): Part<M> {
  const path = fileURLToPath(new URL(file, import.meta.url));
  const child = fork(path, { execArgv: ["--import", "tsx"], serialization: "advanced", stdio: ["ignore", 2, 2, "ipc"] });
  const open = new Map<number, { resolve: (value: unknown) => void; reject: (error: Error) => void }>();
  child.on("message", (answer: Answer) => {
    const waiting = open.get(answer.id);
    open.delete(answer.id);
    if ("error" in answer) waiting?.reject(new Error(`${file}: ${answer.error}`));
    else waiting?.resolve(answer.value);
  });
  child.on("exit", (code, signal) => {
    for (const { reject } of open.values()) reject(new Error(`${file} ended by ${signal ?? `code ${code}`}`));
    open.clear();
  });
  let questions = 0;
  return {
    pid: child.pid ?? -1,
    ask: (method, ...[argument]) => {
      const id = (questions += 1);
      let late: NodeJS.Timeout | undefined;
      const answer = new Promise<unknown>((resolve, reject) => {
        open.set(id, { resolve, reject });
        const seconds = LONGEST_ANSWER_MS / 1000;
        late = setTimeout(() => reject(new Error(`${file}: no answer to ${method} in ${seconds} s`)), LONGEST_ANSWER_MS);
        child.send({ id, method, argument }, (error) => error && reject(error));
      });
      // The part's own method gave the value, so it has that method's type.
      return answer.finally(() => clearTimeout(late)) as Promise<Awaited<ReturnType<M[typeof method]>>>;
    },
    stop: endLater(() => end(child)),
  };
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, "exit");
  if (child.connected) child.disconnect();
  const limit = setTimeout(() => child.kill("SIGKILL"), 5000);
  await exited;
  clearTimeout(limit);
}
