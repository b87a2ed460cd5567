/** Texts that are their own bytes. */

declare const ascii: unique symbol;

/** A text of ASCII characters alone. Node sends it in fewer steps than its bytes. */
export type Ascii = string & { readonly [ascii]: true };

/** A text of one byte a character, or bytes. */
export type Body = Uint8Array | Ascii;

/** A text as it is sent. */
export function bodyOf(text: string): Body {
  const isAscii = Buffer.byteLength(text) === text.length;
  return isAscii ? (text as Ascii) : Buffer.from(text);
}

export function sizeOf(body: Body): number {
  return typeof body === "string" ? body.length : body.byteLength;
}

export function bytesOf(body: Body): Uint8Array {
  return typeof body === "string" ? Buffer.from(body, "latin1") : body;
}
