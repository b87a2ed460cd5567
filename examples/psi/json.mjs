/** Reading JSON that others wrote: each reader returns a value of the type it is named after or says what is wrong. */

import { Failure } from "./failure.mjs";

/**
 * @param {string} text
 * @param {string} what name of the document in the failure's sentence
 * @returns {Record<string, unknown>}
 */
export function parseObject(text, what) {
  /** @type {unknown} */
  let value;
  try {
    value = JSON.parse(text);
  } catch {
    throw new Failure(`${what} is not valid JSON`);
  }
  return asObject(value, what);
}

/**
 * @param {unknown} value
 * @param {string} what
 * @returns {Record<string, unknown>}
 */
export function asObject(value, what) {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new Failure(`${what} is not a JSON object`);
  }
  return /** @type {Record<string, unknown>} any object can be read by key */ (value);
}

/**
 * @param {unknown} value
 * @param {string} what
 * @returns {string}
 */
export function asText(value, what) {
  if (typeof value !== "string" || value === "") throw new Failure(`${what} is missing or not a text`);
  return value;
}

/**
 * @param {unknown} value
 * @param {string} what
 * @returns {readonly unknown[]}
 */
export function asList(value, what) {
  if (!Array.isArray(value)) throw new Failure(`${what} is missing or not a list`);
  return value;
}

/**
 * @param {unknown} value
 * @param {string} what
 * @returns {readonly string[]}
 */
export function asTexts(value, what) {
  return asList(value, what).map((item, index) => asText(item, `${what}[${index}]`));
}

/**
 * The same text for equal values, whatever the order of their keys.
 * @param {unknown} value a value that came from JSON
 * @returns {string}
 */
export function canonicalJson(value) {
  return JSON.stringify(value, (_key, item) =>
    typeof item === "object" && item !== null && !Array.isArray(item)
      ? Object.fromEntries(Object.entries(item).sort(([a], [b]) => (a < b ? -1 : 1)))
      : item,
  );
}
