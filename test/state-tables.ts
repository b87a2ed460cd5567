/** The state machine as Markdown, printed from the tables of core/moves. `npm run docs:states` writes it into the docs. */

import { readFileSync, writeFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { JOB_STATES, VERBS } from "../src/core/job.js";
import { COMMAND_RULES, JOB_MOVES, OUTCOME_OF, type Rule, TASK_MOVES } from "../src/core/moves/states.js";

export const BEGIN = "<!-- states: printed from src/core/moves/states.ts by npm run docs:states -->";
export const END = "<!-- end of states -->";

function diagram(moves: Readonly<Record<string, readonly string[]>>): string[] {
  const arrows = Object.entries(moves).flatMap(([from, to]) => to.map((state) => `  ${from} --> ${state}`));
  return ["```mermaid", "stateDiagram-v2", ...arrows, "```"];
}

const WORDS = {
  apply: "yes",
  repeat: "repeat",
  ifCause: "if cause",
  refuse: "no",
} satisfies Record<Rule, string>;

export function renderStateTables(): string {
  const rows = JOB_STATES.map((state) => `| ${state} | ${VERBS.map((verb) => WORDS[COMMAND_RULES[state][verb]]).join(" | ")} |`);
  const outcomes = VERBS.map((verb) => OUTCOME_OF[verb] ?? "-");
  return [
    "Jobs:",
    "",
    ...diagram(JOB_MOVES),
    "",
    "Tasks and parties (Failed --> Pending is Restart only):",
    "",
    ...diagram(TASK_MOVES),
    "",
    `| job is | ${VERBS.join(" | ")} |`,
    `|---|${VERBS.map(() => "---|").join("")}`,
    ...rows,
    `| *asks for* | ${outcomes.join(" | ")} |`,
  ].join("\n");
}

export function withStateTables(document: string): string {
  const begin = document.indexOf(BEGIN);
  const end = document.indexOf(END);
  if (begin < 0 || end < begin) throw new Error(`the document has no place for the states: ${BEGIN} ... ${END}`);
  return `${document.slice(0, begin + BEGIN.length)}\n\n${renderStateTables()}\n\n${document.slice(end)}`;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const path = "docs/architecture.md";
  writeFileSync(path, withStateTables(readFileSync(path, "utf8")));
}
