/** Protobuf's wire types, written from the end of a memory that is kept to its start. Values are checked already. */

const INITIAL_BYTES = 64 * 1024;
/** Memory that one large message needed is not kept for good. */
const MAX_KEPT_BYTES = 1024 * 1024;
/** Up to this length a loop over the characters beats a call into the engine. */
const SHORT_TEXT = 48;

export class BackwardWriter {
  private memory: Buffer = Buffer.allocUnsafeSlow(INITIAL_BYTES);
  private position = INITIAL_BYTES;

  /** How much is written. What comes between two marks is one part of the message. */
  get mark(): number {
    return this.memory.length - this.position;
  }

  /** All that was written after the mark, behind `headroom` bytes of the caller's. */
  copy(mark: number, headroom: number): Buffer {
    const length = this.mark - mark;
    const copy = Buffer.allocUnsafe(headroom + length);
    this.memory.copy(copy, headroom, this.position, this.position + length);
    return copy;
  }

  /** Forgets what was written after the mark. */
  reset(mark: number): void {
    if (mark === 0 && this.memory.length > MAX_KEPT_BYTES) this.memory = Buffer.allocUnsafeSlow(INITIAL_BYTES);
    this.position = this.memory.length - mark;
  }

  /** Of an integer from 0 to the largest safe one. */
  varint(value: number): void {
    if (value < 0x80) {
      this.reserve(1);
      this.memory[--this.position] = value;
      return;
    }
    let size = 1;
    for (let rest = value; rest >= 0x80; rest = Math.floor(rest / 0x80)) size += 1;
    this.reserve(size);
    this.position -= size;
    let at = this.position;
    let rest = value;
    while (rest >= 0x80) {
      this.memory[at++] = (rest % 0x80) | 0x80;
      rest = Math.floor(rest / 0x80);
    }
    this.memory[at] = rest;
  }

  /** Of any integer of 64 bits; negative ones are written as the unsigned one with the same bits. */
  varint64(value: bigint): void {
    if (value >= 0n && value <= MAX_SAFE) return this.varint(Number(value));
    const groups: number[] = [];
    let rest = BigInt.asUintN(64, value);
    for (; rest >= 0x80n; rest >>= 7n) groups.push(Number(rest & 0x7fn) | 0x80);
    groups.push(Number(rest));
    this.bytes(Uint8Array.from(groups));
  }

  float(value: number): void {
    this.reserve(4);
    this.position = this.memory.writeFloatLE(value, this.position - 4) - 4;
  }

  double(value: number): void {
    this.reserve(8);
    this.position = this.memory.writeDoubleLE(value, this.position - 8) - 8;
  }

  bytes(value: Uint8Array): void {
    this.reserve(value.byteLength);
    this.position -= value.byteLength;
    this.memory.set(value, this.position);
  }

  /** The text as UTF-8, its length before it. */
  text(value: string): void {
    const { length } = value;
    if (length > SHORT_TEXT || !this.ascii(value, length)) {
      const bytes = Buffer.byteLength(value);
      this.reserve(bytes);
      this.position -= bytes;
      this.memory.write(value, this.position, bytes);
      this.varint(bytes);
    }
  }

  /** False, with nothing written, where the text is not all ASCII. */
  private ascii(value: string, length: number): boolean {
    this.reserve(length + 1);
    const { memory } = this;
    const start = this.position - length;
    for (let i = 0; i < length; i++) {
      const code = value.charCodeAt(i);
      if (code > 0x7f) return false;
      memory[start + i] = code;
    }
    memory[start - 1] = length;
    this.position = start - 1;
    return true;
  }

  private reserve(bytes: number): void {
    if (this.position < bytes) this.grow(bytes);
  }

  private grow(bytes: number): void {
    const written = this.mark;
    const larger = Buffer.allocUnsafeSlow(Math.max(this.memory.length * 2, written + bytes));
    this.memory.copy(larger, larger.length - written, this.position);
    this.memory = larger;
    this.position = larger.length - written;
  }
}

const MAX_SAFE = BigInt(Number.MAX_SAFE_INTEGER);
