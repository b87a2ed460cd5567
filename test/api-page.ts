/** Pages of documentation whose examples are run: shell commands, and below them the JSON that they print. */

import { spawn } from "node:child_process";
import { once } from "node:events";
import { expect } from "vitest";

export interface Example {
  readonly commands: string;
  /** JSON, or JSON lines; undefined where the page prints none. */
  readonly answer: string | undefined;
  /** The sentence above it where that begins with "Once": what has to have happened before. */
  readonly awaited: string | undefined;
}

export function examplesOf(page: string): Example[] {
  const block = /(?:^(Once [^\n]*:)\n\n)?^```sh\n([^]*?)^```$(?:\n\n```jsonl?\n([^]*?)^```$)?/gm;
  return [...page.matchAll(block)].map(([, awaited, commands = "", answer]) => ({ commands, answer, awaited }));
}

/** What the commands write to stdout. Fails with what they write to stderr unless all end with 0. */
export async function runExample(commands: string): Promise<string> {
  const child = spawn("bash", ["-euo", "pipefail", "-c", commands], { stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  let complaints = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => (output += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (complaints += text));
  const [code]: unknown[] = await once(child, "close");
  expect(code, `${commands}\n${complaints}`).toBe(0);
  return output;
}

/** The value of JSON, or the values of JSON lines. */
export function valuesOf(text: string): unknown {
  const isOne = !text.trimEnd().includes("}\n{");
  return isOne ? JSON.parse(text) : text.trimEnd().split("\n").map((line) => JSON.parse(line) as unknown);
}
