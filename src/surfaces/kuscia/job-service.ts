/** The handlers of JobService: from a request to a verb of the engine. Content rules of a job are the engine's. */

import type { MessageInitShape } from "@bufbuild/protobuf";
import { ErrorCode } from "../../../gen/kuscia/proto/api/v1alpha1/errorcode/error_code_pb.js";
import {
  type ApproveJobRequest,
  ApproveResult,
  type BatchQueryJobStatusRequest,
  type BatchQueryJobStatusResponseSchema,
  type CreateJobRequest,
  type QueryJobRequest,
  type QueryJobResponseDataSchema,
} from "../../../gen/kuscia/proto/api/v1alpha1/kusciaapi/job_pb.js";
import { invalid, quoted } from "../../core/error.js";
import type { Actor, JobState } from "../../core/job.js";
import type { Command, CommandOptions, Jobs } from "../../jobs.js";
import type { StatusInit } from "./errors.js";
import { checkNames } from "./names.js";
import { definitionFromRequest, jobStatusFromView, queryDataFromRecord } from "./translate.js";

export interface JobIdData {
  readonly data: { readonly jobId: string };
}

export async function createJob(jobs: Jobs, request: CreateJobRequest, actor: Actor): Promise<JobIdData> {
  const definition = definitionFromRequest(request);
  const { jobId } = await jobs.submit({ definition, surface: "kuscia", requestId: request.requestId }, actor);
  return { data: { jobId } };
}

export async function queryJob(
  jobs: Jobs,
  request: QueryJobRequest,
  actor: Actor,
): Promise<{ data: MessageInitShape<typeof QueryJobResponseDataSchema> }> {
  return { data: queryDataFromRecord(await jobs.query(jobIdOf(request), actor)) };
}

/** Kuscia gives nothing where one job is missing. Here the others come along with the same error. */
export async function batchQueryJobStatus(
  jobs: Jobs,
  request: BatchQueryJobStatusRequest,
  actor: Actor,
): Promise<MessageInitShape<typeof BatchQueryJobStatusResponseSchema>> {
  checkNames("job_ids", request.jobIds);
  const { found, missing } = await jobs.queryMany(request.jobIds, actor);
  const data = { jobs: found.map(jobStatusFromView) };
  return missing.length === 0 ? { data } : { status: missingJobs([...new Set(missing)]), data };
}

function missingJobs(missing: readonly string[]): StatusInit {
  const names = missing.map(quoted).join(", ");
  return {
    code: ErrorCode.KusciaAPIErrQueryJobStatus,
    message: missing.length === 1 ? `job ${names} not found` : `jobs ${names} not found`,
    reason: "NotFound",
    domain: "muster",
    metadata: { job_ids: missing.join(",") },
  };
}

interface CommandRequest {
  readonly jobId: string;
  readonly reason?: string;
}

/** In these states Kuscia knows the command; the engine allows more of them. */
const ONLY_FROM: Partial<Readonly<Record<Command, readonly JobState[]>>> = { Suspend: ["Running"] };

export async function commandJob(jobs: Jobs, verb: Command, request: CommandRequest, actor: Actor): Promise<JobIdData> {
  const jobId = jobIdOf(request);
  const onlyFrom = ONLY_FROM[verb];
  const options: CommandOptions | undefined = onlyFrom && { onlyFrom };
  await jobs.command(verb, jobId, actor, request.reason ?? "", options);
  return { data: { jobId } };
}

const DECISIONS = {
  [ApproveResult.UNKNOWN]: undefined,
  [ApproveResult.ACCEPT]: "JobAccepted",
  [ApproveResult.REJECT]: "JobRejected",
} as const satisfies Record<ApproveResult, "JobAccepted" | "JobRejected" | undefined>;

export async function approveJob(jobs: Jobs, request: ApproveJobRequest, actor: Actor): Promise<JobIdData> {
  const jobId = jobIdOf(request);
  // An open enum: a number that the proto does not name may arrive.
  const decision = (DECISIONS as Readonly<Partial<typeof DECISIONS>>)[request.result];
  if (!decision) throw invalid("result", `must be APPROVE_RESULT_ACCEPT (1) or APPROVE_RESULT_REJECT (2), got ${request.result}`);
  const { reason, contentHash } = request;
  await jobs.approve(jobId, { decision, reason, ...(contentHash === "" ? {} : { contentHash }) }, actor);
  return { data: { jobId } };
}

function jobIdOf({ jobId }: { readonly jobId: string }): string {
  if (jobId === "") throw invalid("job_id", "must not be empty");
  return jobId;
}
