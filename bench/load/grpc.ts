/** gRPC as the load needs it: messages in their envelopes, and a look at the fields that tell whether all is well. */

const ENVELOPE = 5;

/** A message with the 5 bytes before it: not compressed, and its length. */
export function envelope(message: Uint8Array): Buffer {
  const bytes = Buffer.alloc(ENVELOPE + message.length);
  bytes.writeUInt32BE(message.length, 1);
  bytes.set(message, ENVELOPE);
  return bytes;
}

/** Cuts a stream's bytes into messages, which are valid during the call only. */
export class Messages {
  #rest: Buffer | undefined;

  constructor(readonly onMessage: (message: Buffer) => void) {}

  push(chunk: Buffer): void {
    const bytes = this.#rest ? Buffer.concat([this.#rest, chunk]) : chunk;
    let at = 0;
    while (at + ENVELOPE <= bytes.length) {
      const end = at + ENVELOPE + bytes.readUInt32BE(at + 1);
      if (end > bytes.length) break;
      this.onMessage(bytes.subarray(at + ENVELOPE, end));
      at = end;
    }
    // A copy, since the bytes are the socket's.
    this.#rest = at === bytes.length ? undefined : Buffer.from(bytes.subarray(at));
  }
}

/**
 * Whether a unary answer, with its envelope, says success. Every answer of the API begins with its Status (field 1), whose
 * code (field 1) is absent where it is 0. A call that fails as a call has no message at all.
 */
export function saysSuccess(answer: Buffer): boolean {
  return answer.length > ENVELOPE + 2 && answer[ENVELOPE] === 0x0a && answer[ENVELOPE + 2] !== 0x08;
}

/** Reads the fields of a message without knowing it: numbers and where the bytes of the others lie. */
export class Fields {
  number = 0;
  /** The value where it is a number. */
  value = 0;
  /** Where the value's bytes lie, where it is a string or a message. */
  start = 0;
  end = 0;
  #at: number;

  constructor(
    readonly bytes: Buffer,
    start: number,
    readonly stop: number,
  ) {
    this.#at = start;
  }

  /** Steps to the next field; false after the last. */
  next(): boolean {
    if (this.#at >= this.stop) return false;
    const tag = this.#varint();
    this.number = Math.floor(tag / 8);
    const wireType = tag % 8;
    if (wireType === 0) this.value = this.#varint();
    else if (wireType === 2) {
      const length = this.#varint();
      this.start = this.#at;
      this.#at += length;
      this.end = this.#at;
    } else if (wireType === 5) this.#at += 4;
    else if (wireType === 1) this.#at += 8;
    else throw new Error(`wire type ${wireType} in a message`);
    return true;
  }

  /** By multiplication, since a revision may have more than 32 bits. */
  #varint(): number {
    let value = 0;
    for (let factor = 1; ; factor *= 128) {
      const byte = this.bytes[this.#at++] ?? 0;
      value += (byte & 0x7f) * factor;
      if (byte < 0x80) return value;
    }
  }
}
