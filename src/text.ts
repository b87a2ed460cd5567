/** Text that protobuf and JSON carry but Postgres cannot store: refused at the edge, by the name of its field. */

import type { DescField, DescMessage, Message } from "@bufbuild/protobuf";
import { invalid } from "./core/error.js";

/** U+0000, or one half of a surrogate pair without the other (with the `u` flag whole pairs do not match). */
const UNSTORABLE = /[\0\p{Cs}]/u;

/** Throws InvalidArgument naming the first field, map key or list item whose text cannot be stored. */
export function checkText(desc: DescMessage, message: Message): void {
  const path = unstorableIn(desc, message);
  if (path !== undefined) throw invalid(path, "must not contain U+0000 or a lone surrogate");
}

/** Paths are put together on the way back only: as a rule there is nothing to name. */
function unstorableIn(desc: DescMessage, message: Message): string | undefined {
  // A generated message has one property per field; its values have the types that the descriptor says.
  const values = message as unknown as Readonly<Record<string, unknown>>;
  for (const field of desc.fields) {
    const value = field.oneof ? oneofValue(values[field.oneof.localName], field) : values[field.localName];
    if (value === undefined) continue;
    const found = unstorableInField(field, value);
    if (found !== undefined) return `${field.name}${found}`;
  }
  return undefined;
}

/** What follows the field's name, empty where the field itself is meant. */
function unstorableInField(field: DescField, value: unknown): string | undefined {
  if (field.fieldKind === "list") {
    const items = value as readonly unknown[];
    for (let i = 0; i < items.length; i += 1) {
      const found = unstorableValue(field, items[i]);
      if (found !== undefined) return `[${i}]${found}`;
    }
    return undefined;
  }
  if (field.fieldKind === "map") {
    for (const [key, item] of Object.entries(value as Readonly<Record<string, unknown>>)) {
      const found = unstorableValue(field, key) ?? unstorableValue(field, item);
      if (found !== undefined) return `[${JSON.stringify(key)}]${found}`;
    }
    return undefined;
  }
  return unstorableValue(field, value);
}

function unstorableValue(field: DescField, value: unknown): string | undefined {
  if (typeof value === "string") return UNSTORABLE.test(value) ? "" : undefined;
  if (!field.message || typeof value !== "object" || value === null) return undefined;
  // The descriptor says that this field holds messages of this type.
  const found = unstorableIn(field.message, value as Message);
  return found === undefined ? undefined : `.${found}`;
}

function oneofValue(oneof: unknown, field: DescField): unknown {
  // Generated oneofs are `{ case, value }`, with the case undefined where nothing is set.
  const { case: set, value } = oneof as { readonly case?: string; readonly value?: unknown };
  return set === field.localName ? value : undefined;
}
