/**
 * What is decided about a request by its head alone, before its body is read. Pure.
 *
 * A server on a developer's machine is reachable by every web page that the developer opens. Three rules keep pages
 * out, and none of them costs an honest client anything:
 * - on a loopback listener the Host must be a loopback name, so that a foreign name that resolves to 127.0.0.1 fails;
 * - a browser says where a request comes from (Origin, Sec-Fetch-Site), and anything foreign is refused;
 * - without credentials a body must carry a content type that a page cannot send without asking first (a preflight,
 *   which is never answered with permission); PUT and DELETE it cannot send unasked at all.
 */

import { MAX_VALUES } from "../encoding/values.js";
import { isLoopback } from "../loopback.js";

/** Longest delay that a timer of Node can hold; 24.8 days. */
export const MAX_TIMEOUT_MS = 2_147_483_647;

/** The host of a Host header or `:authority`, in lower case; undefined where it is none. */
export function hostOf(authority: string | undefined): string | undefined {
  if (!authority || /[/\\?#@\s]/.test(authority)) return undefined;
  try {
    return new URL(`http://${authority}`).hostname;
  } catch {
    return undefined;
  }
}

/** Why a request may come from a foreign web page; undefined where it does not. */
export function foreignPage(headers: Pick<Headers, "get">, authority: string): string | undefined {
  const site = headers.get("sec-fetch-site");
  if (site !== null && site !== "same-origin" && site !== "none") {
    return `requests from other sites are refused (Sec-Fetch-Site: ${site})`;
  }
  const origin = headers.get("origin");
  if (origin === null) return undefined;
  try {
    const url = new URL(origin);
    if (isLoopback(url.hostname) || url.host === new URL(`${url.protocol}//${authority}`).host) return undefined;
  } catch {
    // `null` and other texts that are no URL: not ours.
  }
  return `requests from other origins are refused (Origin: ${origin})`;
}

/** True for the content types that a web page may send to any server without a preflight, and for none at all. */
export function isFormContentType(contentType: string | null): boolean {
  const type = (contentType ?? "").split(";", 1)[0]?.trim().toLowerCase() ?? "";
  return ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data"].includes(type);
}

/** True for the methods with which a web page may send a body to any server without a preflight. */
export function needsNoPreflight(method: string): boolean {
  return method !== "PUT" && method !== "DELETE";
}

const GRPC_UNIT_MS: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1000, m: 1, u: 1e-3, n: 1e-6 };

/** Shortens deadlines that no timer can hold. A client that asks for a year gets 24.8 days rather than an error. */
export function clampDeadline(headers: Headers): void {
  const grpc = /^(\d{1,8})([HMSmun])$/.exec(headers.get("grpc-timeout") ?? "");
  if (grpc && Number(grpc[1]) * (GRPC_UNIT_MS[grpc[2] ?? ""] ?? 0) > MAX_TIMEOUT_MS) {
    headers.set("grpc-timeout", `${Math.floor(MAX_TIMEOUT_MS / 1000)}S`);
  }
  const connect = headers.get("connect-timeout-ms") ?? "";
  if (/^\d{1,10}$/.test(connect) && Number(connect) > MAX_TIMEOUT_MS) {
    headers.set("connect-timeout-ms", String(MAX_TIMEOUT_MS));
  }
}

/** The bound of a body where no credential is asked for: who may be anybody must not fill the memory. */
export const MAX_OPEN_BODY_BYTES = 64 * 1024;

/** Objects and arrays may be nested this deep in a JSON body; the deepest message of ours needs 10. */
export const MAX_JSON_DEPTH = 64;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const OPEN_ARRAY = 0x5b;
const CLOSE_ARRAY = 0x5d;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;

/**
 * What makes a JSON text too costly to parse; undefined where nothing does. Brackets and commas outside strings are
 * counted, in one pass, before any parser sees the text: a few bytes of it can become many times as much memory.
 */
export function jsonExcess(json: Uint8Array): string | undefined {
  let depth = 0;
  let values = 0;
  let inString = false;
  for (let i = 0; i < json.length; i++) {
    const byte = json[i];
    if (inString) {
      if (byte === BACKSLASH) i += 1;
      else if (byte === QUOTE) inString = false;
    } else if (byte === QUOTE) {
      inString = true;
    } else if (byte === OPEN_OBJECT || byte === OPEN_ARRAY) {
      depth += 1;
      values += 1;
      if (depth > MAX_JSON_DEPTH) return `is nested deeper than ${MAX_JSON_DEPTH} levels`;
    } else if (byte === CLOSE_OBJECT || byte === CLOSE_ARRAY) {
      depth -= 1;
    } else if (byte === COMMA) {
      values += 1;
    }
    if (values > MAX_VALUES) return `holds more than ${MAX_VALUES} values`;
  }
  return undefined;
}
