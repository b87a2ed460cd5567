/** Pages of ListJobs far behind the first, which no client reaches but by reading all between. */

import { createHmac } from "node:crypto";
import { create, toBinary, toJson } from "@bufbuild/protobuf";
import { type ListJobsRequest, ListJobsRequestSchema } from "../../gen/muster/v1/jobs_pb.js";
import { envelope } from "../load/grpc.js";
import type { Question } from "../load/pages.js";
import type { Connection } from "../postgres.js";

export const PAGE = 50;
export const LIST_JOBS = "/muster.v1.JobsService/ListJobs";

export type Request = Partial<Omit<ListJobsRequest, "$typeName" | "$unknown">>;

/** What a page is sorted by: its column, and the text that a token has of it. */
export const ORDERS = {
  create_time: { column: "created_at", rank: "''" },
  update_time: { column: "updated_at", rank: "updated_at::text" },
  job_id: { column: "job_id", rank: "job_id" },
  duration: { column: "duration_rank", rank: "duration_rank::text" },
} as const;
type Order = keyof typeof ORDERS;

/** Behind how many of which jobs a page begins. */
interface Depth {
  readonly where: string;
  /** 0.5 is half of them. */
  readonly depth: number;
}

export interface Asked {
  readonly request: Request;
  readonly order: Order;
  /** Absent where there is no second page. */
  readonly deep?: Depth;
}

export function questionOf(init: Request): Question {
  const request = create(ListJobsRequestSchema, { ...init, pageSize: PAGE });
  const withoutToken = create(ListJobsRequestSchema, { ...init, pageToken: "" });
  const name = JSON.stringify(toJson(ListJobsRequestSchema, withoutToken, { useProtoFieldName: true }));
  return { name, ask: envelope(toBinary(ListJobsRequestSchema, request)), jobs: request.jobId === "" ? PAGE : 1 };
}

const MAC_BYTES = 32;
const QUESTION_BYTES = 16;

/**
 * Turns a question into that of a deep page, without reading all pages before: the token of the first page, with another
 * position in it, signed with the key of the database. The server takes it as its own.
 */
export async function deepener(client: Connection, url: string): Promise<(asked: Asked) => Promise<Question | undefined>> {
  const [row] = await client.query<{ key: Buffer }>("select key from page_token_key");
  if (!row) throw new Error("the database has no key for tokens");
  const positions = new Map<string, [string, string]>();
  return async ({ request, order, deep }) => {
    if (!deep) return undefined;
    const place = `${order} ${JSON.stringify(deep)}`;
    const position = positions.get(place) ?? (await positionOf(client, order, deep));
    positions.set(place, position);
    const token = Buffer.from(await firstToken(url, request), "base64url");
    const content = Buffer.concat([token.subarray(MAC_BYTES, MAC_BYTES + QUESTION_BYTES), Buffer.from(JSON.stringify(position))]);
    const signed = Buffer.concat([createHmac("sha256", row.key).update(content).digest(), content]);
    return questionOf({ ...request, pageToken: signed.toString("base64url") });
  };
}

async function positionOf(client: Connection, order: Order, { where, depth }: Depth): Promise<[string, string]> {
  const { column, rank } = ORDERS[order];
  const [row] = await client.query<{ rank: string; uid: string }>(
    `select ${rank} as rank, uid from jobs where ${where} order by ${column}, uid limit 1
     offset (select count(*) * ${depth} from jobs where ${where})::int`,
  );
  if (!row) throw new Error(`no jobs where ${where}`);
  return [row.rank, row.uid];
}

async function firstToken(url: string, init: Request): Promise<string> {
  const request = toJson(ListJobsRequestSchema, create(ListJobsRequestSchema, { ...init, pageSize: PAGE }));
  const headers = { "content-type": "application/json" };
  const response = await fetch(new URL(LIST_JOBS, url), { method: "POST", headers, body: JSON.stringify(request) });
  const text = await response.text();
  const token = /"next_?[pP]age_?[tT]oken":\s*"([^"]+)"/.exec(text)?.[1];
  if (token === undefined) throw new Error(`no second page of ${JSON.stringify(request)}: ${text.slice(0, 500)}`);
  return token;
}
