/** Finding jobs: what a page costs with a long history beside a short one, and what being found costs a create. */

import type { Line, Row } from "../line.js";
import type { Question } from "../load/pages.js";
import { serve, startMuster, WAITING } from "../muster.js";
import { openConnection } from "../postgres.js";
import { cpuText, roundsOf, takeTurns } from "../rounds.js";
import { createContender, IN_FLIGHT } from "./create.js";
import { LIST_JOBS, PAGE } from "./deep.js";
import { compare, type Comparison, type Depth, type Pages, startStored } from "./pages.js";
import { documentedGroups } from "./questions.js";
import { withoutEntries } from "./unlisted.js";

/** Filters as in questions.ts. */
const OFFSET_LISTS = ["true", "initiator = 'alice'", "custom_fields ->> 'flow_id' = 'flow-7'", "state in ('Succeeded', 'Failed')"];

export const lists: Line = {
  name: "lists",
  about: "a page of ListJobs over gRPC with a million jobs stored beside 10,000, for every filter and order documented as fast",
  async run(bench) {
    const stored = await startStored(bench);
    const groups = [];
    for (const { jobs, server } of stored) {
      const client = await openConnection(server.databaseUrl);
      groups.push(await documentedGroups(client, server.url, jobs));
      await client.end();
    }
    const [few = [], many = []] = groups;
    const rows: Row[] = [];
    for (const [i, group] of many.entries()) {
      const other = few[i];
      if (!other) throw new Error("both sizes are asked the same");
      const offset = { ask: OFFSET_LISTS.map((where) => ({ where, orderBy: "created_at desc" })), deep: 0.5 };
      const comparison: Comparison = {
        what: `ListJobs ${group.name}`,
        method: LIST_JOBS,
        pages: [other, group],
        ...(i === 0 ? { offset } : {}),
      };
      rows.push(...(await compare(bench, stored, comparison)));
    }
    for (const { server } of stored) await server.stop();
    return rows;
  },
};

/** Windows of time with how many pages deep both sizes have jobs: a month, a year, any time. */
const WINDOWS = [
  { timeFilter: 2, deep: 8 },
  { timeFilter: 3, deep: 100 },
  { timeFilter: 4, deep: 100 },
] as const;
const STATUSES = ["status=4", "status=4&status=8"] as const;

function kylinPages(): Pages {
  const pagesOf = (depth: Depth): Question[] =>
    WINDOWS.flatMap(({ timeFilter, deep }) =>
      STATUSES.flatMap((status) =>
        [true, false].map((reverse) => {
          const name = `timeFilter=${timeFilter}&${status}&reverse=${reverse}&pageOffset=${depth === "deep" ? deep : 0}`;
          return { name, ask: `/kylin/api/jobs?${name}&pageSize=${PAGE}`, jobs: PAGE };
        }),
      ),
    );
  return { first: pagesOf("first"), deep: pagesOf("deep") };
}

export const kylin: Line = {
  name: "kylin",
  about: "a page of Kylin's job list, by status and time, with a million jobs stored beside 10,000",
  async run(bench) {
    const stored = await startStored(bench);
    const where = "updated_at >= now() - interval '1 year' and state in ('Succeeded', 'Failed')";
    const deep = (100 * PAGE) / (stored[1].jobs * 0.8);
    const rows = await compare(bench, stored, {
      what: "Kylin's list by status and time",
      pages: [kylinPages(), kylinPages()],
      offset: { ask: [{ where, orderBy: "updated_at desc" }], deep },
    });
    for (const { server } of stored) await server.stop();
    return rows;
  },
};

export const listed: Line = {
  name: "listed",
  about: "CreateJob with what lists are read from, beside the same server on a database without",
  async run(bench) {
    const server = await startMuster(bench, "listed", WAITING);
    const other = await startMuster(bench, "unlisted", WAITING);
    await other.stop();
    await withoutEntries(other.databaseUrl);
    const bare = await serve(bench, other.databaseUrl, WAITING);
    const ours = await createContender(bench, server);
    const without = await createContender(bench, bare, { name: "without entries" });
    const rounds = await takeTurns(bench, [ours, without]);
    for (const each of [ours, without, server, bare]) await each.stop();
    const own = roundsOf(rounds, ours);
    return [
      {
        what: `CreateJob (2 tasks x 2 parties) with the indexes of lists, ${IN_FLIGHT} in flight`,
        unit: "jobs/s",
        ours: own.median.value,
        baseline: { name: without.name, value: roundsOf(rounds, without).median.value },
        bars: [{ of: "ratio", is: "at least", value: 0.9 }],
        note:
          "without: table job_entries with its 3 indexes is dropped, and the statements of save_batch that write it; " +
          `the columns of jobs that lists read stay; a job has 4 entries; ${cpuText(own)}`,
        detail: Object.fromEntries(rounds),
      },
    ];
  },
};
