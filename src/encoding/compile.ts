/** What the encoders share: they look at a message's descriptor once, and make a writer of it. */

import type { DescMessage, Message } from "@bufbuild/protobuf";

/** A message with its fields, oneofs among them, by their local names. */
export type Fields = Message & Readonly<Record<string, unknown>>;

/** Thrown for what an encoder does not know; the caller then asks protobuf-es. */
export class Unusual extends Error {}

/** A writer for each descriptor, made when it is first asked for. */
export function compileOnce<W>(compile: (desc: DescMessage) => W): (desc: DescMessage) => W {
  const compiled = new WeakMap<DescMessage, W>();
  return (desc) => {
    let writer = compiled.get(desc);
    if (writer === undefined) {
      writer = compile(desc);
      compiled.set(desc, writer);
    }
    return writer;
  };
}

/** A oneof's value where it is the named field. */
export function chosen(oneof: unknown, localName: string): unknown {
  if (typeof oneof !== "object" || oneof === null || !("case" in oneof)) throw new Unusual();
  return oneof.case === localName && "value" in oneof ? oneof.value : undefined;
}
