/**
 * How the two processes speak: each listens on its own port, and each asks the other over HTTP.
 *
 *   POST /psi/hello              who I am, my session, and what I was told to do; answered with the same of the partner
 *   GET  /psi/line               answered, but never to the end: when it breaks, the partner may be gone
 *   POST /psi/<kind>/<n>/more    the n-th piece of a kind, `last` instead of `more` for the last one
 *   POST /psi/failed             I have failed
 *   POST /psi/fin                I have all I need
 *
 * What holds:
 * - The parties may start in any order; each repeats its hello until the deadline.
 * - No piece is sent or accepted before this side has compared task id, component and settings with the partner's.
 * - A session is a random name of one process. Requests of any other session are refused and change nothing, so a
 *   leftover of an earlier run cannot mix in. It is no proof of identity: who may reach the port is the platform's
 * matter.
 * - Pieces of a kind come in order, one request at a time, each within a fixed size.
 * - A party ends well only after both have said fin: the partner has everything, and its last answer has been sent.
 * - A party that fails says so to the other, whose own sentence then is that its partner failed.
 */

import { setTimeout as delay } from "node:timers/promises";
import { Caller } from "./caller.mjs";
import { Door } from "./door.mjs";
import { Failure } from "./failure.mjs";
import { Session } from "./hello.mjs";
import { parseObject } from "./json.mjs";

/** @import { Task } from "./config.mjs" */
/** @import { Greeting, TakePiece } from "./door.mjs" */

const RETRY_MS = 200;
/** A greeting that stays unanswered for so long is repeated. */
const GREETING_MS = 5000;

export class Exchange {
  #task;
  #log;
  #session;
  #caller;
  #door = new Door({
    greeted: (hello) => this.#greeted(hello),
    isPartner: (session) => session !== "" && session === this.#session.partner,
    failed: (session, notice) => this.#partnerFailed(session, notice),
    done: () => this.#partnerIsDone(),
    broken: (failure) => this.#break(failure),
  });
  /** Aborted when the partner may go without a word. */
  #over = new AbortController();
  /** @type {() => void} */
  #partnerIsDone = () => {};
  /** @type {Promise<void>} */
  #partnerDone;
  /** @type {(failure: Failure) => void} only the first call counts */
  #break = () => {};
  /** @type {Promise<never>} */
  #broken;

  /**
   * @param {Task} task
   * @param {(line: string) => void} log
   */
  constructor(task, log) {
    this.#task = task;
    this.#session = new Session(task);
    this.#caller = new Caller(task, this.#session);
    this.#log = log;
    this.#broken = new Promise((_resolve, reject) => (this.#break = reject));
    this.#broken.catch(() => {}); // Whoever waits hears of it.
    this.#partnerDone = new Promise((resolve) => {
      this.#partnerIsDone = () => {
        this.#over.abort();
        resolve();
      };
    });
  }

  /** The random names of both processes, the same text at both. Known after `meet`. */
  get name() {
    return [this.#session.own, this.#session.partner].sort().join("-");
  }

  /**
   * Declares, before `meet`, what to do with the partner's pieces of a kind.
   * @param {string} kind lower-case letters
   * @param {TakePiece} take
   */
  answer(kind, take) {
    this.#door.expect(kind, take);
  }

  /**
   * Listens and greets the partner.
   * @param {number} withinSeconds how long the partner may take to come
   */
  async meet(withinSeconds) {
    const { partner, partnerEndpoint, listenHost, listenPort } = this.#task.endpoints;
    const deadline = Date.now() + withinSeconds * 1000;
    await this.#door.open(listenHost, listenPort);
    this.#log(`waiting for partner ${partner} at ${partnerEndpoint}`);
    for (;;) {
      const patience = Math.min(GREETING_MS, Math.max(RETRY_MS, deadline - Date.now()));
      if (await this.until(this.#caller.greet(patience))) break;
      if (Date.now() >= deadline) {
        throw new Failure(`partner ${partner} did not answer at ${partnerEndpoint} within ${withinSeconds} s`);
      }
      await this.until(delay(RETRY_MS));
    }
    this.#log(`met partner ${partner}`);
    void this.#watchPartner();
  }

  /**
   * Sends the n-th piece of a kind.
   * @param {string} kind
   * @param {number} n from 0, without holes
   * @param {Uint8Array} piece
   * @param {boolean} last
   * @returns {Promise<Buffer>} the partner's answer
   */
  send(kind, n, piece, last) {
    return this.until(this.#caller.ask(`/psi/${kind}/${n}/${last ? "last" : "more"}`, piece));
  }

  /** Waits until both parties have all they need. */
  async finish() {
    await this.until(this.#caller.ask("/psi/fin"));
    await this.until(this.#partnerDone);
    await this.#close();
  }

  /**
   * Ends the work without success, after telling the partner if it can be told.
   * @param {Failure} failure
   */
  async fail(failure) {
    if (!failure.partnerKnows) await this.#caller.tellFailure();
    await this.#close();
  }

  /**
   * Waits for something, but no longer than the exchange stands.
   * @template T
   * @param {Promise<T>} wanted
   * @returns {Promise<T>}
   */
  until(wanted) {
    return Promise.race([this.#broken, wanted]);
  }

  /**
   * @param {string} hello
   * @returns {Greeting}
   */
  #greeted(hello) {
    const verdict = this.#session.admit(hello);
    if (verdict === "stranger") return { status: 400, body: "", failure: null };
    if (verdict === "taken") return { status: 409, body: "", failure: null };
    return { status: 200, body: this.#session.hello, failure: verdict === "met" ? null : verdict };
  }

  /**
   * @param {string} session
   * @param {string} notice
   */
  #partnerFailed(session, notice) {
    const { party, task_id: taskId } = parseObject(notice, "a notice");
    const { partner } = this.#task.endpoints;
    const known = ["", session].includes(this.#session.partner);
    if (!known || party !== partner || taskId !== this.#task.taskId) return;
    this.#break(new Failure(`partner ${partner} failed`, { partnerKnows: true, partnerFailed: true }));
  }

  async #watchPartner() {
    await this.#caller.hold(this.#over.signal);
    if (this.#over.signal.aborted) return;
    const { partner } = this.#task.endpoints;
    this.#break(new Failure(`partner ${partner} ended before the work was done`, { partnerKnows: true }));
  }

  #close() {
    this.#over.abort();
    return this.#door.close();
  }
}
