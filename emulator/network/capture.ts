/**
 * Packet capture in the PCAPNG format (draft-ietf-opsawg-pcapng §4: section header, interface description and enhanced
 * packet blocks), little endian, one Ethernet interface with microsecond times. Wireshark opens what `file` returns.
 * Bounded: when the buffer is full, new frames are counted and not kept.
 */

export const CAPTURE_BYTES = 16 * 1024 * 1024;
const SECTION_HEADER = 0x0a0d0d0a;
const INTERFACE_DESCRIPTION = 1;
const ENHANCED_PACKET = 6;
const LINKTYPE_ETHERNET = 1;
/** Option codes: if_name (§4.2), epb_flags (§4.3). */
const IF_NAME = 2;
const EPB_FLAGS = 2;
const FIRST_BLOCK = 64 * 1024;

const padded = (length: number): number => (length + 3) & ~3;

/** From the guest's side: what it receives is inbound. */
export type Direction = "inbound" | "outbound";

export interface CaptureStats {
  readonly frames: number;
  readonly bytes: number;
  readonly dropped: number;
}

export class Capture {
  readonly #limit: number;
  #buffer = new Uint8Array(FIRST_BLOCK);
  #length = 0;
  #frames = 0;
  #dropped = 0;

  constructor(interfaceName: string, limitBytes = CAPTURE_BYTES) {
    this.#limit = limitBytes;
    this.#append(sectionHeader());
    this.#append(interfaceDescription(interfaceName));
  }

  /** `atMs`: milliseconds since 1970, fractions count. */
  add(frame: Uint8Array, direction: Direction, atMs: number): void {
    // Block type, two lengths, interface, time, two frame lengths, flags, end of options.
    const size = 28 + padded(frame.length) + 12 + 4;
    if (this.#length + size > this.#limit) {
      this.#dropped++;
      return;
    }
    const block = new Uint8Array(size);
    const view = new DataView(block.buffer);
    const microseconds = BigInt(Math.round(atMs * 1000));
    const fields = [
      ENHANCED_PACKET,
      size,
      0,
      Number(microseconds >> 32n),
      Number(microseconds & 0xffff_ffffn),
      frame.length,
      frame.length,
    ];
    fields.forEach((value, index) => view.setUint32(4 * index, value, true));
    block.set(frame, 28);
    let at = 28 + padded(frame.length);
    view.setUint16(at, EPB_FLAGS, true);
    view.setUint16(at + 2, 4, true);
    view.setUint32(at + 4, direction === "inbound" ? 1 : 2, true);
    at += 12;
    view.setUint32(at, size, true);
    this.#append(block);
    this.#frames++;
  }

  stats(): CaptureStats {
    return { frames: this.#frames, bytes: this.#length, dropped: this.#dropped };
  }

  /** The whole file as it is now. */
  file(): Uint8Array<ArrayBuffer> {
    return this.#buffer.slice(0, this.#length);
  }

  #append(bytes: Uint8Array): void {
    if (this.#length + bytes.length > this.#buffer.length) {
      const size = Math.min(
        Math.max(this.#limit, FIRST_BLOCK),
        Math.max(2 * this.#buffer.length, this.#length + bytes.length),
      );
      const grown = new Uint8Array(size);
      grown.set(this.#buffer.subarray(0, this.#length));
      this.#buffer = grown;
    }
    this.#buffer.set(bytes, this.#length);
    this.#length += bytes.length;
  }
}

function sectionHeader(): Uint8Array {
  const block = new Uint8Array(28);
  const view = new DataView(block.buffer);
  // Byte-order magic, version 1.0, and a length of the section that is not said.
  [SECTION_HEADER, 28, 0x1a2b3c4d, 1, 0xffff_ffff, 0xffff_ffff, 28].forEach((value, index) =>
    view.setUint32(4 * index, value, true),
  );
  return block;
}

function interfaceDescription(name: string): Uint8Array {
  const text = new TextEncoder().encode(name);
  const size = 20 + 4 + padded(text.length) + 4;
  const block = new Uint8Array(size);
  const view = new DataView(block.buffer);
  view.setUint32(0, INTERFACE_DESCRIPTION, true);
  view.setUint32(4, size, true);
  view.setUint16(8, LINKTYPE_ETHERNET, true);
  view.setUint16(16, IF_NAME, true);
  view.setUint16(18, text.length, true);
  block.set(text, 20);
  view.setUint32(size - 4, size, true);
  return block;
}
