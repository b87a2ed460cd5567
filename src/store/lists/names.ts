/**
 * The lists that a job is in. None changes in the job's life. A domain's jobs are those of two lists, which saves a row per
 * job; a field's value counts in lower case, so that one list serves both ways of comparing.
 */

import type { Job } from "../../core/job.js";

export const EVERY_JOB: readonly string[] = ["all"];

export function listsOfJob({ initiator, domains, customFields }: Pick<Job, "initiator" | "domains" | "customFields">): string[] {
  const partners = Object.keys(domains).filter((domain) => domain !== initiator);
  return [
    ...EVERY_JOB,
    initiatorList(initiator),
    ...partners.map(partnerList),
    ...Object.entries(customFields).map(([key, value]) => fieldList(key, value)),
  ];
}

export function initiatorList(domain: string): string {
  return `initiator:${domain}`;
}

/** Jobs that the domain takes part in, but does not initiate. */
export function partnerList(domain: string): string {
  return `partner:${domain}`;
}

export function fieldList(key: string, value: string): string {
  return `field:${key}=${value.toLowerCase()}`;
}
