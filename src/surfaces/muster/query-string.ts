/**
 * Requests out of a path and a query, read by the fields of their message: `job_id=a`, a repeated field once per value
 * (`states=Failed&states=Cancelled`), a map by its keys (`custom_fields[env]=prod`), a time in RFC 3339, true or false.
 * A parameter that is no field is refused: a filter with a slip in its name would let everything through.
 */

import { create, type DescField, type DescMessage, fromJson, type Message, ScalarType } from "@bufbuild/protobuf";
import { reflect, type ReflectMessage } from "@bufbuild/protobuf/reflect";
import { TimestampSchema } from "@bufbuild/protobuf/wkt";
import { invalid, quoted } from "../../core/error.js";

/** Throws InvalidArgument naming the parameter. What the path says cannot be said again. */
export function requestFromQuery(desc: DescMessage, path: Readonly<Record<string, string>>, query: URLSearchParams): Message {
  const message = create(desc);
  const into = reflect(desc, message);
  for (const [name, text] of Object.entries(path)) set(into, fieldNamed(desc, name), name, text);
  const seen = new Set(Object.keys(path));
  for (const [name, text] of query) {
    const [, base = name, key] = /^(\w+)\[([^\]]*)\]$/.exec(name) ?? [];
    const field = fieldNamed(desc, base);
    if (field?.fieldKind === "map" && key !== undefined) {
      into.get(field).set(key, text);
      continue;
    }
    if (field?.fieldKind === "list" && field.listKind === "scalar" && key === undefined) {
      into.get(field).add(scalar(field.scalar, name, text));
      continue;
    }
    if (seen.has(name)) throw invalid(name, "must be given once");
    seen.add(name);
    set(into, key === undefined ? field : undefined, name, text);
  }
  return message;
}

function fieldNamed(desc: DescMessage, name: string): DescField | undefined {
  return desc.fields.find((field) => field.name === name);
}

function set(into: ReflectMessage, field: DescField | undefined, name: string, text: string): void {
  if (field?.fieldKind === "map") throw invalid(name, `must be written ${name}[key]=value`);
  if (field?.fieldKind === "message" && field.message.typeName === TimestampSchema.typeName) {
    return into.set(field, reflect(TimestampSchema, time(name, text)));
  }
  if (field?.fieldKind !== "scalar") throw invalid(name, "is no parameter of this call");
  into.set(field, scalar(field.scalar, name, text));
}

const MAX_INT32 = 2_147_483_647;
const MAX_INT64 = 9_223_372_036_854_775_807n;

function scalar(type: ScalarType, name: string, text: string): string | number | bigint | boolean {
  switch (type) {
    case ScalarType.STRING:
      return text;
    case ScalarType.INT32:
      if (/^\d{1,10}$/.test(text) && Number(text) <= MAX_INT32) return Number(text);
      throw invalid(name, `must be a whole number from 0 to ${MAX_INT32}, got ${quoted(text)}`);
    case ScalarType.INT64:
      if (/^\d{1,19}$/.test(text) && BigInt(text) <= MAX_INT64) return BigInt(text);
      throw invalid(name, `must be a whole number from 0 to ${MAX_INT64}, got ${quoted(text)}`);
    case ScalarType.BOOL:
      if (text === "true" || text === "false") return text === "true";
      throw invalid(name, `must be true or false, got ${quoted(text)}`);
    default:
      throw new Error(`${name}: a type that no request has`);
  }
}

function time(name: string, text: string) {
  try {
    return fromJson(TimestampSchema, text);
  } catch {
    throw invalid(name, `must be a time in RFC 3339, such as 2026-01-31T08:00:00Z, got ${quoted(text)}`);
  }
}
