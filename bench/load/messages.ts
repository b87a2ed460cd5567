/**
 * Messages that differ in their ids only, as every load sends them: encoded once, and the digits of the placeholder
 * overwritten for each. A placeholder has a fixed number of digits, so lengths stay as they are.
 */

/** A message whose ids hold runs of this many zeros in place of the id's number. */
export const ID_DIGITS = 9;
export const ID_PLACE = "0".repeat(ID_DIGITS);
/** The same for the number of a domain. */
export const DOMAIN_DIGITS = 4;
export const DOMAIN_PLACE = `domain-${"0".repeat(DOMAIN_DIGITS)}`;

export class Template {
  readonly #ids: readonly number[];
  readonly #domains: readonly number[];

  constructor(readonly bytes: Buffer) {
    this.#ids = placesOf(bytes, ID_PLACE);
    this.#domains = placesOf(bytes, DOMAIN_PLACE).map((place) => place + DOMAIN_PLACE.length - DOMAIN_DIGITS);
  }

  /** The template's own bytes, filled in: to be sent, or copied, before the next call. */
  with(id: number, domain = 0): Buffer {
    for (const place of this.#ids) writeDigits(this.bytes, place, ID_DIGITS, id);
    for (const place of this.#domains) writeDigits(this.bytes, place, DOMAIN_DIGITS, domain);
    return this.bytes;
  }
}

function placesOf(bytes: Buffer, text: string): number[] {
  const places: number[] = [];
  for (let at = bytes.indexOf(text); at >= 0; at = bytes.indexOf(text, at + text.length)) places.push(at);
  return places;
}

function writeDigits(bytes: Buffer, place: number, digits: number, value: number): void {
  for (let i = digits - 1, left = value; i >= 0; i -= 1, left = Math.floor(left / 10)) bytes[place + i] = 48 + (left % 10);
}
