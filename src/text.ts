/** Text that protobuf and JSON carry but Postgres cannot store: refused at the edge, by the name of its field. */

import type { DescField, DescMessage, Message } from "@bufbuild/protobuf";
import { invalid } from "./core/error.js";

/** U+0000, or one half of a surrogate pair without the other (with the `u` flag whole pairs do not match). */
const UNSTORABLE = /[\0\p{Cs}]/u;

/** Throws InvalidArgument naming the first field, map key or list item whose text cannot be stored. */
export function checkText(desc: DescMessage, message: Message): void {
  checkMessage(desc, message, "");
}

function checkMessage(desc: DescMessage, message: Message, path: string): void {
  // A generated message has one property per field; its values have the types that the descriptor says.
  const values = message as unknown as Readonly<Record<string, unknown>>;
  for (const field of desc.fields) {
    const value = field.oneof ? oneofValue(values[field.oneof.localName], field) : values[field.localName];
    if (value === undefined) continue;
    const name = path === "" ? field.name : `${path}.${field.name}`;
    if (field.fieldKind === "list") {
      (value as readonly unknown[]).forEach((item, i) => checkValue(field, item, `${name}[${i}]`));
    } else if (field.fieldKind === "map") {
      for (const [key, item] of Object.entries(value as Readonly<Record<string, unknown>>)) {
        const entry = `${name}[${JSON.stringify(key)}]`;
        checkValue(field, key, entry);
        checkValue(field, item, entry);
      }
    } else {
      checkValue(field, value, name);
    }
  }
}

function checkValue(field: DescField, value: unknown, path: string): void {
  if (typeof value === "string") {
    if (UNSTORABLE.test(value)) throw invalid(path, "must not contain U+0000 or a lone surrogate");
  } else if (field.message && typeof value === "object" && value !== null) {
    // The descriptor says that this field holds messages of this type.
    checkMessage(field.message, value as Message, path);
  }
}

function oneofValue(oneof: unknown, field: DescField): unknown {
  // Generated oneofs are `{ case, value }`, with the case undefined where nothing is set.
  const { case: set, value } = oneof as { readonly case?: string; readonly value?: unknown };
  return set === field.localName ? value : undefined;
}
