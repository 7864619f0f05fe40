/**
 * Packets of GDB's remote serial protocol ("Debugging with GDB", appendix E.1): "$" data "#" checksum, the acknowledgements
 * "+" and "-", and the lone byte 03h that interrupts. Pure: bytes in, events out.
 */

/** Data of one packet, before and after escapes; what is longer is thrown away and not acknowledged. */
export const PACKET_BYTES = 16_384;

export type PacketEvent =
  | { readonly kind: "packet"; readonly data: Uint8Array }
  | { readonly kind: "damaged" | "interrupt" | "acknowledged" | "again" };

const DOLLAR = 0x24;
const HASH = 0x23;
const ESCAPE = 0x7d;
const STAR = 0x2a;

const hexDigit = (byte: number): number => {
  const value = Number.parseInt(String.fromCharCode(byte), 16);
  return Number.isNaN(value) ? -1 : value;
};

/** Finds packets in a stream that may be cut anywhere. */
export class PacketReader {
  readonly #data = new Uint8Array(PACKET_BYTES);
  #length = 0;
  #sum = 0;
  #state: "between" | "data" | "first digit" | "second digit" = "between";
  #digit = 0;

  /** The events of these bytes, in order. */
  read(bytes: Uint8Array): PacketEvent[] {
    const events: PacketEvent[] = [];
    for (const byte of bytes) {
      const event = this.#next(byte);
      if (event) events.push(event);
    }
    return events;
  }

  #next(byte: number): PacketEvent | undefined {
    switch (this.#state) {
      case "between":
        return this.#between(byte);
      case "data":
        return this.#take(byte);
      case "first digit":
        this.#digit = hexDigit(byte);
        this.#state = "second digit";
        return undefined;
      case "second digit":
        this.#state = "between";
        return this.#end(this.#digit, hexDigit(byte));
      default:
        return this.#state satisfies never;
    }
  }

  #between(byte: number): PacketEvent | undefined {
    if (byte === DOLLAR) this.#begin();
    else if (byte === 0x03) return { kind: "interrupt" };
    else if (byte === 0x2b) return { kind: "acknowledged" };
    else if (byte === 0x2d) return { kind: "again" };
    return undefined;
  }

  #begin(): void {
    this.#state = "data";
    this.#length = 0;
    this.#sum = 0;
  }

  #take(byte: number): undefined {
    if (byte === HASH) this.#state = "first digit";
    // A packet begins inside another when the end of that one was lost.
    else if (byte === DOLLAR) this.#begin();
    else {
      this.#sum = (this.#sum + byte) & 0xff;
      if (this.#length < PACKET_BYTES) this.#data[this.#length] = byte;
      this.#length++;
    }
  }

  #end(high: number, low: number): PacketEvent {
    const good = high >= 0 && low >= 0 && high * 16 + low === this.#sum && this.#length <= PACKET_BYTES;
    return good
      ? { kind: "packet", data: unescaped(this.#data.subarray(0, this.#length)) }
      : { kind: "damaged" };
  }
}

/** "}" and the byte after it, exclusive-or 20h, are one byte. */
function unescaped(data: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(data.length);
  let length = 0;
  for (let at = 0; at < data.length; at++)
    bytes[length++] = data[at] === ESCAPE && at + 1 < data.length ? data[++at]! ^ 0x20 : data[at]!;
  return bytes.slice(0, length);
}

/** A reply on the wire. Its data is Latin-1 text. */
export function packet(text: string): Uint8Array {
  const data: number[] = [];
  for (let i = 0; i < text.length; i++) {
    const byte = text.charCodeAt(i) & 0xff;
    if (byte === DOLLAR || byte === HASH || byte === ESCAPE || byte === STAR) data.push(ESCAPE, byte ^ 0x20);
    else data.push(byte);
  }
  const sum = data.reduce((total, byte) => (total + byte) & 0xff, 0);
  const digits = sum.toString(16).padStart(2, "0");
  return Uint8Array.from([DOLLAR, ...data, HASH, digits.charCodeAt(0), digits.charCodeAt(1)]);
}

export const toHex = (bytes: Uint8Array): string =>
  Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");

/** Bytes of an even number of hexadecimal digits, or undefined. */
export function fromHex(text: string): Uint8Array | undefined {
  if (text.length % 2 !== 0 || !/^[0-9a-f]*$/i.test(text)) return undefined;
  return Uint8Array.from({ length: text.length / 2 }, (_, i) =>
    Number.parseInt(text.slice(2 * i, 2 * i + 2), 16),
  );
}
