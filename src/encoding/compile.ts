/**
 * What the encoders share: a writer is made once for each message type, as code that is generated from its descriptor.
 * Code that names each field reads it several times as fast as a loop over the fields can.
 *
 * A writer takes messages, and what `create` would make messages of: a handler's answer is written without being copied.
 */

import type { DescMessage, MessageInitShape } from "@bufbuild/protobuf";

/** A message, or a plain object with some of its fields. */
export type MessageInit = MessageInitShape<DescMessage>;

/** Thrown for what an encoder does not know; the caller then asks protobuf-es. */
export class Unusual extends Error {}

/** What is made of each descriptor, when it is first asked for. */
export function compileOnce<D extends object, T>(compile: (desc: D) => T): (desc: D) => T {
  const all = new WeakMap<D, T>();
  return (desc) => {
    let compiled = all.get(desc);
    if (compiled === undefined) {
      compiled = compile(desc);
      all.set(desc, compiled);
    }
    return compiled;
  };
}

/** The code of one writer: a function for each message type that it meets, and the values that they need. */
export class Code {
  private readonly functions = new Map<DescMessage, string>();
  private readonly bodies: string[] = [];
  private readonly values: unknown[] = [Unusual];

  constructor(
    /** What the functions take, the message `m` last. */
    private readonly parameters: string,
    /** The statements that write a message; `init` tells whether it is a plain object. */
    private readonly body: (desc: DescMessage, code: Code) => string,
  ) {}

  /** The name of the message's function. */
  functionOf(desc: DescMessage): string {
    const known = this.functions.get(desc);
    if (known !== undefined) return known;
    const name = `write${this.functions.size}`;
    // Named before it is written, since a message may hold others of its own type.
    this.functions.set(desc, name);
    const typeName = JSON.stringify(desc.typeName);
    this.bodies.push(`function ${name}(${this.parameters}) {
      if (typeof m !== "object" || m === null || Array.isArray(m)) throw new v0();
      const init = m.$typeName === undefined;
      if (!init && m.$typeName !== ${typeName}) throw new v0();
      let v;
      ${this.body(desc, this)}
    }`);
    return name;
  }

  /** The name of a value that the code needs. */
  valueOf(value: unknown): string {
    const known = this.values.indexOf(value);
    return `v${known >= 0 ? known : this.values.push(value) - 1}`;
  }

  /** The statement for what no writer knows. */
  get unusual(): string {
    return "throw new v0();";
  }

  /**
   * The writer itself. The code is made of descriptors alone, which are part of this program: nothing that a client has
   * sent is in it.
   */
  compile(desc: DescMessage): unknown {
    const name = this.functionOf(desc);
    const parameters = this.values.map((_value, i) => `v${i}`);
    // oxlint-disable-next-line typescript/no-implied-eval -- made of descriptors alone, see above
    return new Function(...parameters, `"use strict"; ${this.bodies.join("\n")} return ${name};`)(...this.values);
  }
}

/** Scalars that are wrapped, and structs: fields hold them in a form of their own. */
export function isWrapped({ typeName }: DescMessage): boolean {
  return /^google\.protobuf\.(\w+Value|Struct)$/.test(typeName);
}

/** The code that reads a field of `m`. */
export function read(localName: string): string {
  return `m[${JSON.stringify(localName)}]`;
}
