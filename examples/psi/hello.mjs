/**
 * What each party tells the other before the work: who it is and what it was told to do.
 */

import { randomBytes } from "node:crypto";
import { Failure } from "./failure.mjs";
import { asText, parseObject } from "./json.mjs";

/** @import { Task } from "./config.mjs" */

/** Raised with any change of what the parties say to each other. */
const VERSION = "muster-psi 1";

/**
 * @typedef {object} Hello
 * @property {string} version
 * @property {string} party
 * @property {string} session
 * @property {string} taskId
 * @property {string} component
 * @property {string} settings digest
 */

/** The random names of the two processes that work together. */
export class Session {
  #task;
  #partner = "";
  own = randomBytes(16).toString("hex");

  /** @param {Task} task */
  constructor(task) {
    this.#task = task;
  }

  /** The partner's, empty before it was met. */
  get partner() {
    return this.#partner;
  }

  /** This party's hello, as text. */
  get hello() {
    const { endpoints, taskId, component, settings } = this.#task;
    const { own: session } = this;
    return JSON.stringify({ version: VERSION, party: endpoints.self, session, task_id: taskId, component, settings });
  }

  /**
   * Compares the partner's hello with the own one. The first partner that was told the same is the one of this session.
   * @param {string} text
   * @returns {"met" | "stranger" | "taken" | Failure} `stranger`: not a hello of the partner; `taken`: another process
   *   of it was met before; a failure: it was told something else
   */
  admit(text) {
    const theirs = parseHello(text);
    if (theirs === null || theirs.party !== this.#task.endpoints.partner) return "stranger";
    if (this.#partner !== "" && this.#partner !== theirs.session) return "taken";
    const failure = compareHellos(this.#task, theirs);
    if (failure) return failure;
    this.#partner = theirs.session;
    return "met";
  }
}

/**
 * @param {string} text
 * @returns {Hello | null} null when it is none
 */
function parseHello(text) {
  try {
    const hello = parseObject(text, "hello");
    return {
      version: plainText(hello["version"]),
      party: plainText(hello["party"]),
      session: plainText(hello["session"]),
      taskId: plainText(hello["task_id"]),
      component: plainText(hello["component"]),
      settings: plainText(hello["settings"]),
    };
  } catch {
    return null;
  }
}

/**
 * What comes from the partner may end up in a sentence for users.
 * @param {unknown} value
 */
function plainText(value) {
  const text = asText(value, "a part of the hello");
  if (!/^[\x20-\x7e]{1,300}$/.test(text)) throw new Failure("a part of the hello is not plain text");
  return text;
}

/**
 * @param {Task} task
 * @param {Hello} theirs
 * @returns {Failure | null} the same cause at both parties, or null when both were told the same
 */
function compareHellos({ endpoints, taskId, component, settings }, theirs) {
  const { self, partner } = endpoints;
  const known = { partnerKnows: true };
  if (theirs.version !== VERSION) {
    return new Failure(`${self} speaks ${VERSION} and ${partner} ${theirs.version}`, known);
  }
  if (theirs.taskId !== taskId) {
    return new Failure(`${self} was given task ${taskId} and ${partner} task ${theirs.taskId}`, known);
  }
  if (theirs.component !== component) {
    return new Failure(`${self} was given component ${component} and ${partner} ${theirs.component}`, known);
  }
  if (theirs.settings === settings) return null;
  return new Failure(`${self} and ${partner} were given different settings for ${component}`, known);
}
