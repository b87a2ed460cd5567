/**
 * The one error class. Every refusal in Muster is a JobError with a reason out of a closed set; each surface turns the
 * reason into its own codes in its `errors.ts`. Anything else that is thrown is a fault of ours.
 */

export const ERROR_REASONS = [
  "InvalidArgument", // the request's content breaks a rule; `field` names where
  "AlreadyExists", // another job of this name is present
  "NotFound", // no such job, task, image or log
  "Forbidden", // the caller may not do this, or may not see it
  "IllegalMove", // the job's state does not allow the command
  "ResourceExhausted", // a bound of ours is reached; trying later may help
  "Unavailable", // storage or a peer cannot be reached now
  "Internal", // a fault of ours; the details are in the log only
] as const;

export type ErrorReason = (typeof ERROR_REASONS)[number];

export interface ErrorDetails {
  /** Path of the offending field in the caller's own words, e.g. `tasks[1].parties[0].domain_id`. */
  readonly field?: string;
  /** Small facts that a client may match on, e.g. `{ job_id: "a" }`. */
  readonly metadata?: Readonly<Record<string, string>>;
  /** Kept for logs, never sent. */
  readonly cause?: unknown;
}

export class JobError extends Error {
  override readonly name = "JobError";
  readonly field: string | undefined;
  readonly metadata: Readonly<Record<string, string>>;

  constructor(
    readonly reason: ErrorReason,
    message: string,
    details: ErrorDetails = {},
  ) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.field = details.field;
    this.metadata = details.metadata ?? {};
  }
}

/** A rule of the request broken: the message always begins with the field. */
export function invalid(field: string, rule: string): JobError {
  return new JobError("InvalidArgument", `${field}: ${rule}`, { field });
}

export function jobNotFound(jobId: string): JobError {
  return new JobError("NotFound", `job ${quoted(jobId)} not found`, { metadata: { job_id: jobId } });
}

/** A caller's own text inside a sentence: escaped, and no more of it than a reader needs. */
export function quoted(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text);
}
