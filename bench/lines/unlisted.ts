/** A migrated database made to do without lists: no `job_entries`, and a `save_batch` that does not write them. */

import { openConnection } from "../postgres.js";

const ENTRIES = "job_entries";
/** Of the function's text: the insert beside that of new jobs, and the statements for changed and deleted ones. */
const WRITES = [
  /,\s*listed as \([^;]*?\bas l\(list\)\s*\)/,
  /update job_entries[^;]*;/,
  /delete from job_entries[^;]*;/,
];

export async function withoutEntries(databaseUrl: string): Promise<void> {
  const client = await openConnection(databaseUrl);
  try {
    const [row] = await client.query<{ text: string }>("select pg_get_functiondef('save_batch'::regproc) as text");
    let text = row?.text ?? "";
    for (const write of WRITES) {
      if (!write.test(text)) throw new Error(`save_batch does not write ${ENTRIES} as expected: ${write}`);
      text = text.replace(write, "");
    }
    if (text.includes(ENTRIES)) throw new Error(`save_batch writes ${ENTRIES} elsewhere too`);
    await client.query(text);
    await client.query(`drop table ${ENTRIES}`);
  } finally {
    await client.end();
  }
}
