/**
 * JSON bodies of REST requests (Kuscia Job API, HTTP binding). Kuscia reads a body as protobuf JSON and, where that
 * refuses it, once more as plain JSON, in which `null` may stand in a list or a map for the empty value. Here the
 * second reading differs from the first in this alone. Faults are told by their path in the body.
 */

import {
  type DescField,
  type DescMessage,
  fromJson,
  fromJsonString,
  type JsonObject,
  type JsonValue,
  type MessageShape,
  ScalarType,
} from "@bufbuild/protobuf";
import { ValueSchema } from "@bufbuild/protobuf/wkt";

const OPTIONS = { ignoreUnknownFields: true } as const;

/** Throws an Error that names the first fault's path and rule. */
export function readJson<M extends DescMessage>(desc: M, text: string): MessageShape<M> {
  try {
    return fromJsonString(desc, text, OPTIONS);
  } catch (refusal) {
    const value = parse(text);
    const fault = faultIn(desc, value, "");
    if (fault !== undefined) throw new Error(fault, { cause: refusal });
    return fromJson(desc, withoutNulls(desc, value), OPTIONS);
  }
}

/** Unlike JSON.parse, refuses an object with a key twice, of which two readers might take different ones. */
function parse(text: string): JsonValue {
  try {
    fromJsonString(ValueSchema, text);
  } catch (error) {
    const what = error instanceof Error ? error.message.replace(/^cannot decode message \S+ from JSON: /, "") : "";
    throw new Error(`the body is no JSON: ${what}`, { cause: error });
  }
  // JSON.parse gives nothing but JSON.
  return JSON.parse(text) as JsonValue;
}

/** What does not fit the message, as `path: rule`; undefined where all does. `null` fits everywhere. */
function faultIn(desc: DescMessage, value: JsonValue, path: string): string | undefined {
  if (value === null) return undefined;
  if (!isObject(value)) return `${path === "" ? "the body" : path}: expected an object, got ${kindOf(value)}`;
  const seen = new Map<DescField, string>();
  for (const [key, item] of Object.entries(value)) {
    const field = fieldNamed(desc, key);
    // Unknown names are skipped, and null is the same as no name at all.
    if (!field || item === null) continue;
    const at = path === "" ? field.name : `${path}.${field.name}`;
    const other = seen.get(field);
    if (other !== undefined) return `${at}: is given twice, as ${other} and as ${key}`;
    seen.set(field, key);
    const fault = faultInField(field, item, at);
    if (fault !== undefined) return fault;
  }
  return undefined;
}

function faultInField(field: DescField, value: JsonValue, at: string): string | undefined {
  const items = itemsOf(field, value, at);
  if (items === undefined) return `${at}: expected ${field.fieldKind === "map" ? "an object" : "a list"}, got ${kindOf(value)}`;
  for (const [path, item] of items) {
    const fault = field.message ? faultIn(field.message, item, path) : faultInScalar(field, item, path);
    if (fault !== undefined) return fault;
  }
  return undefined;
}

/** A field's values, each with its path; undefined where a list is none, or a map. */
function itemsOf(field: DescField, value: JsonValue, at: string): readonly (readonly [string, JsonValue])[] | undefined {
  if (field.fieldKind === "list") return Array.isArray(value) ? value.map((item, i) => [`${at}[${i}]`, item] as const) : undefined;
  if (field.fieldKind !== "map") return [[at, value]];
  return isObject(value) ? Object.entries(value).map(([key, item]) => [`${at}[${JSON.stringify(key)}]`, item] as const) : undefined;
}

/** Asks the decoder about this one value, in a message with nothing else. */
function faultInScalar(field: DescField, item: JsonValue, path: string): string | undefined {
  if (item === null) return undefined;
  const alone = field.fieldKind === "list" ? [item] : field.fieldKind === "map" ? { "": item } : item;
  try {
    fromJson(field.parent, { [field.jsonName]: alone }, OPTIONS);
    return undefined;
  } catch (error) {
    if (field.enum) return `${path}: expected the name or the number of a value, got ${JSON.stringify(item)}`;
    // The cause says it without the name of the message.
    const cause = error instanceof Error ? error.cause : undefined;
    const rule = cause instanceof Error ? cause.message : "cannot be read";
    return `${path}: ${rule.replace(/^(list item #1|map entry ""): /, "")}`;
  }
}

/** The same with the empty value in place of each `null` of a list or a map; other nulls mean "not given" anyway. */
function withoutNulls(desc: DescMessage, value: JsonValue): JsonObject {
  const result: JsonObject = {};
  if (!isObject(value)) return result;
  for (const [key, item] of Object.entries(value)) {
    const field = fieldNamed(desc, key);
    if (!field || item === null) continue;
    const filled = (each: JsonValue): JsonValue => (field.message ? withoutNulls(field.message, each) : (each ?? emptyOf(field)));
    // No fault was found, so lists are arrays and maps are objects.
    if (Array.isArray(item)) result[key] = item.map(filled);
    else if (field.fieldKind === "map" && isObject(item)) {
      result[key] = Object.fromEntries(Object.entries(item).map(([name, each]) => [name, filled(each)]));
    } else result[key] = filled(item);
  }
  return result;
}

function emptyOf(field: DescField): JsonValue {
  if (field.scalar === ScalarType.STRING || field.scalar === ScalarType.BYTES) return "";
  return field.scalar === ScalarType.BOOL ? false : 0;
}

/** Both spellings name a field: that of the proto and lowerCamelCase. */
function fieldNamed(desc: DescMessage, key: string): DescField | undefined {
  return desc.fields.find((field) => field.name === key || field.jsonName === key);
}

function isObject(value: JsonValue): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function kindOf(value: JsonValue): string {
  if (value === null) return "null";
  return Array.isArray(value) ? "a list" : typeof value === "object" ? "an object" : JSON.stringify(value).slice(0, 80);
}
