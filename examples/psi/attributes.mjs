import { Failure } from "./failure.mjs";
import { asList, asObject, asTexts } from "./json.mjs";

/**
 * The attributes of a component: `attr_paths` names them and `attrs` holds, at the same position, an object with the
 * value under the name of its type: `s` text, `ss` texts, `b` truth value, `f` number, `i64` whole number (a JSON
 * number or, as protobuf's JSON form writes it, a text). An attribute that is left out or has `is_na` true takes its
 * default.
 */
export class Attributes {
  /** @type {Map<string, Record<string, unknown>>} */
  #values = new Map();
  /** @type {Set<string>} */
  #unread = new Set();

  /** @param {Record<string, unknown>} evalParam `sf_node_eval_param` */
  constructor(evalParam) {
    const paths = asTexts(evalParam["attr_paths"] ?? [], "attr_paths");
    const attrs = asList(evalParam["attrs"] ?? [], "attrs");
    if (paths.length !== attrs.length) {
      throw new Failure(`attr_paths has ${paths.length} entries and attrs has ${attrs.length}`);
    }
    paths.forEach((path, index) => {
      if (this.#values.has(path)) throw new Failure(`attribute ${path} is given twice`);
      const value = asObject(attrs[index], `attribute ${path}`);
      this.#values.set(path, value);
      this.#unread.add(path);
    });
  }

  /** All values as they came, in the order of their paths, for comparing with the partner's. */
  entries() {
    return [...this.#values].sort(([a], [b]) => (a < b ? -1 : 1));
  }

  /**
   * @param {string} path
   * @param {readonly string[]} allowed
   * @param {string} fallback
   */
  choice(path, allowed, fallback) {
    const value = this.#value(path, "s") ?? fallback;
    if (typeof value !== "string" || !allowed.includes(value)) {
      throw new Failure(`attribute ${path} is ${JSON.stringify(value)}, but must be one of ${allowed.join(", ")}`);
    }
    return value;
  }

  /**
   * @param {string} path
   * @returns {readonly string[]} empty when not given
   */
  texts(path) {
    return asTexts(this.#value(path, "ss") ?? [], `attribute ${path}`);
  }

  /**
   * @param {string} path
   * @param {boolean} fallback
   */
  truth(path, fallback) {
    const value = this.#value(path, "b") ?? fallback;
    if (typeof value !== "boolean") throw new Failure(`attribute ${path} is not true or false`);
    return value;
  }

  /**
   * A share of a whole.
   * @param {string} path
   * @param {number} fallback
   * @returns {number} 0 to 1
   */
  share(path, fallback) {
    const value = this.#value(path, "f") ?? fallback;
    if (typeof value !== "number" || !(value >= 0 && value <= 1)) {
      throw new Failure(`attribute ${path} is ${JSON.stringify(value)}, but must be a number from 0 to 1`);
    }
    return value;
  }

  /**
   * @param {string} path
   * @param {bigint} fallback
   * @returns {bigint} in the range of a signed 64-bit integer
   */
  integer(path, fallback) {
    const value = this.#value(path, "i64") ?? fallback.toString();
    const exact = Number.isSafeInteger(value) || (typeof value === "string" && /^-?[0-9]{1,19}$/.test(value));
    const whole = exact ? BigInt(/** @type {string | number} what `exact` lets through */ (value)) : null;
    if (whole === null || BigInt.asIntN(64, whole) !== whole) {
      throw new Failure(`attribute ${path} is ${JSON.stringify(value)}, but must be a whole number of 64 bits`);
    }
    return whole;
  }

  /**
   * Called when a component has read all it knows: a setting that would be ignored is a failure.
   * @param {string} component
   */
  refuseUnread(component) {
    for (const path of this.#unread) throw new Failure(`attribute ${path} is not known to ${component}`);
  }

  /**
   * @param {string} path
   * @param {string} type
   * @returns {unknown} undefined when not given
   */
  #value(path, type) {
    this.#unread.delete(path);
    const value = this.#values.get(path);
    if (value === undefined || value["is_na"] === true) return undefined;
    if (value[type] === undefined) throw new Failure(`attribute ${path} has no value of type ${type}`);
    return value[type];
  }
}
