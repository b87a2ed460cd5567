/** JSON text as UTF-8, written into memory that is kept. Values are checked already. */

const INITIAL_BYTES = 64 * 1024;
/** Memory that one large message needed is not kept for good. */
const MAX_KEPT_BYTES = 1024 * 1024;
/** A character needs at most so many bytes. */
const MAX_CHARACTER_BYTES = 3;
/** Up to this length a loop over the characters beats a call into the engine. */
const SHORT_TEXT = 64;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const SPACE = 0x20;
const LAST_ASCII = 0x7f;

export class TextWriter {
  private memory: Buffer = Buffer.allocUnsafeSlow(INITIAL_BYTES);
  private end = 0;

  get position(): number {
    return this.end;
  }

  copy(): Buffer {
    const copy = Buffer.allocUnsafe(this.end);
    this.memory.copy(copy, 0, 0, this.end);
    return copy;
  }

  reset(): void {
    if (this.memory.length > MAX_KEPT_BYTES) this.memory = Buffer.allocUnsafeSlow(INITIAL_BYTES);
    this.end = 0;
  }

  byte(value: number): void {
    this.reserve(1);
    this.memory[this.end++] = value;
  }

  /** A few bytes: a loop beats a call into the engine. */
  bytes(value: Uint8Array): void {
    const { length } = value;
    this.reserve(length);
    const { memory } = this;
    let { end } = this;
    for (let i = 0; i < length; i++) memory[end++] = value[i] ?? 0;
    this.end = end;
  }

  /** The text between quotes. */
  quoted(value: string): void {
    const { length } = value;
    this.reserve(length + 2);
    const { memory, end: start } = this;
    if (length > SHORT_TEXT) return this.plain(JSON.stringify(value));
    let at = start;
    memory[at++] = QUOTE;
    for (let i = 0; i < length; i++) {
      const code = value.charCodeAt(i);
      if (code < SPACE || code > LAST_ASCII || code === QUOTE || code === BACKSLASH) return this.plain(JSON.stringify(value));
      memory[at++] = code;
    }
    memory[at++] = QUOTE;
    this.end = at;
  }

  /** The text as it is. */
  plain(value: string): void {
    this.reserve(value.length * MAX_CHARACTER_BYTES);
    this.end += this.memory.write(value, this.end);
  }

  private reserve(bytes: number): void {
    if (this.memory.length - this.end < bytes) this.grow(bytes);
  }

  private grow(bytes: number): void {
    const larger = Buffer.allocUnsafeSlow(Math.max(this.memory.length * 2, this.end + bytes));
    this.memory.copy(larger, 0, 0, this.end);
    this.memory = larger;
  }
}
