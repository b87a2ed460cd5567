import { setTimeout as delay } from "node:timers/promises";
import { Failure } from "./failure.mjs";
import { fetchAnswer } from "./http.mjs";
import { holdLine } from "./line.mjs";

/** @import { Task } from "./config.mjs" */
/** @import { Session } from "./hello.mjs" */

const RETRY_MS = 200;
/** So long a party waits for the reason of a broken request, or tries to tell its own to a partner not met yet. */
const NOTICE_MS = 2000;

/** The asking side of an exchange. */
export class Caller {
  #task;
  #session;

  /**
   * @param {Task} task
   * @param {Session} session
   */
  constructor(task, session) {
    this.#task = task;
    this.#session = session;
  }

  /**
   * Greets the partner once.
   * @param {number} timeoutMs
   * @returns {Promise<boolean>} whether it answered as the one to work with
   * @throws {Failure} when it was told something else than this party
   */
  async greet(timeoutMs) {
    const body = Buffer.from(this.#session.hello);
    const answer = await this.#fetch("/psi/hello", { body, timeoutMs });
    const verdict = answer?.status === 200 ? this.#session.admit(answer.body.toString("utf8")) : "stranger";
    if (verdict instanceof Failure) throw verdict;
    return verdict === "met";
  }

  /**
   * @param {string} path
   * @param {Uint8Array} [body]
   * @returns {Promise<Buffer>}
   */
  async ask(path, body = new Uint8Array()) {
    const answer = await this.#fetch(path, { body });
    if (answer?.status === 200) return answer.body;
    // The partner's own notice tells more, and may be on its way over another connection.
    await delay(NOTICE_MS);
    const how = answer ? `HTTP ${answer.status}` : "no answer";
    throw new Failure(`partner ${this.#task.endpoints.partner} broke off the work (${how})`);
  }

  /**
   * Resolves when the partner is gone, or at the signal.
   * @param {AbortSignal} enough
   */
  hold(enough) {
    return holdLine(this.#task.endpoints.partnerEndpoint, this.#session.own, enough);
  }

  /**
   * Tells the partner that this party has failed, if it can be told soon. The cause stays at home: its sentence may
   * name columns and counts of this party's table.
   */
  async tellFailure() {
    const deadline = Date.now() + (this.#session.partner === "" ? NOTICE_MS : 0);
    const { taskId, endpoints } = this.#task;
    const body = Buffer.from(JSON.stringify({ party: endpoints.self, task_id: taskId }));
    while ((await this.#fetch("/psi/failed", { body, timeoutMs: 1000 }))?.status !== 200 && Date.now() < deadline) {
      await delay(RETRY_MS);
    }
  }

  /**
   * @param {string} path
   * @param {{ body: Uint8Array, timeoutMs?: number }} options
   */
  #fetch(path, options) {
    const { partnerEndpoint } = this.#task.endpoints;
    return fetchAnswer(partnerEndpoint, path, { session: this.#session.own, ...options }).catch(() => null);
  }
}
