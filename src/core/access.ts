/**
 * Who a caller is and who may do what; pure. A master sees and does everything. A domain sees the jobs it takes part in,
 * makes jobs only as their initiator (the initiator is exempt from approval, so anything else would start work at others
 * unasked), and commands by a rule: the initiator everything, the other parties what ends work at their own side, or, by
 * a switch, everything too, as in Kuscia.
 */

import { domainsOf } from "./dag.js";
import { JobError } from "./error.js";
import type { Actor, Instant, Job, JobDefinition, Verb } from "./job.js";
import type { RateLimit } from "./rate.js";

/** How much a caller may send; null = as much as everyone. What is wider than for everyone changes nothing. */
export interface Bounds {
  readonly maxBodyBytes: number | null;
  readonly rateLimit: RateLimit | null;
}

const NO_BOUNDS: Bounds = { maxBodyBytes: null, rateLimit: null };

/** A token's entry, without the token. */
export interface Credential extends Bounds {
  /** Unique among the credentials in force. */
  readonly name: string;
  readonly role: "master" | "domain";
  /** Null for a master. */
  readonly domain: string | null;
  /** From this moment on it is worth nothing; null = never. */
  readonly expires: Instant | null;
  /** Its holder speaks for other domains, whose name it puts in `Kuscia-Source`. */
  readonly gateway: boolean;
}

/** What counts of a client certificate that the CA has signed. */
export interface ClientCertificate {
  /** Null where it has none, or several. */
  readonly commonName: string | null;
  readonly expires: Instant;
}

/** What a request shows of its sender. */
export interface Shown {
  /** Null where no token came; `unknown` for one that is nobody's. */
  readonly token: Credential | "unknown" | null;
  readonly certificate: ClientCertificate | null;
  /** The header `Kuscia-Source`. */
  readonly source: string | null;
}

export interface IdentityRules {
  readonly now: Instant;
  /** True where no credential is asked for at all: everyone is a master. */
  readonly open: boolean;
  /** Whether the name is a domain's here. */
  isDomain(name: string): boolean;
}

export interface Identity {
  readonly actor: Actor;
  /** Whose requests are counted together, e.g. `token:ci` or `certificate:alice`. */
  readonly credential: string;
  /** The credential's own. */
  readonly bounds: Bounds;
  /** True where the sender did nothing to prove itself in this request: a browser may have sent it for a web page. */
  readonly ambient: boolean;
}

/**
 * A token decides when one is shown; a certificate is identity only without one, and must not be another domain's than
 * the token's. Undefined = nobody.
 */
export function identify(shown: Shown, rules: IdentityRules): Identity | undefined {
  const { token, certificate, source } = shown;
  if (rules.open) return { actor: { role: "master", domain: null }, credential: "none", bounds: NO_BOUNDS, ambient: true };
  if (certificate && certificate.expires <= rules.now) return undefined;
  const name = certificate?.commonName ?? null;
  const certified = name !== null && rules.isDomain(name) ? name : null;
  if (token === null) {
    if (certified === null) return undefined;
    const credential = `certificate:${certified}`;
    return { actor: { role: "domain", domain: certified, credential }, credential, bounds: NO_BOUNDS, ambient: true };
  }
  if (token === "unknown" || (token.expires !== null && token.expires <= rules.now)) return undefined;
  if (token.domain !== null && certified !== null && certified !== token.domain) return undefined;
  const credential = `token:${token.name}`;
  if (!token.gateway || source === null) {
    return { actor: { role: token.role, domain: token.domain, credential }, credential, bounds: token, ambient: false };
  }
  if (!rules.isDomain(source)) return undefined;
  return { actor: { role: "domain", domain: source, credential }, credential, bounds: token, ambient: false };
}

/** What parties other than the initiator may command: what ends work (`safe`), or everything, as in Kuscia. */
export type PartyCommands = "safe" | "kuscia";

const PARTY_MAY = {
  Approve: true,
  Stop: true,
  Suspend: true,
  Restart: false,
  Cancel: true,
  Delete: false,
} as const satisfies Record<Verb, boolean>;

export function maySee(actor: Actor, job: Pick<Job, "domains">): boolean {
  return actor.role !== "domain" || (actor.domain !== null && Object.hasOwn(job.domains, actor.domain));
}

export function checkSubmit(actor: Actor, definition: JobDefinition): void {
  if (actor.role !== "domain") return;
  if (actor.domain === null || !domainsOf(definition).includes(actor.domain)) {
    throw new JobError("Forbidden", `domain "${actor.domain ?? ""}" takes no part in the job`, { field: "tasks" });
  }
  if (actor.domain !== definition.initiator) {
    throw new JobError("Forbidden", "initiator: a domain may create jobs only as their initiator", { field: "initiator" });
  }
}

export function checkCommand(actor: Actor, verb: Verb, job: Job, partyCommands: PartyCommands = "safe"): void {
  if (actor.role !== "domain") return;
  if (!maySee(actor, job)) throw new JobError("Forbidden", `domain "${actor.domain ?? ""}" takes no part in job "${job.jobId}"`);
  if (actor.domain === job.initiator || partyCommands === "kuscia" || PARTY_MAY[verb]) return;
  throw new JobError("Forbidden", `only the initiator may ${verb.toLowerCase()} job "${job.jobId}"`);
}

/** Managing app images decides what can be executed, so it is the master's. */
export function checkImages(actor: Actor): void {
  if (actor.role === "domain") throw new JobError("Forbidden", "app images are managed with a master credential only");
}
