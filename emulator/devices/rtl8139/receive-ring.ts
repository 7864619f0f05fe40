import type { GuestMemory } from "../../bus/guest-memory.ts";

/** The receive ring of the 8139 (datasheet §5.7, §5.10-5.12, §6.1), and which frames the card takes. */
export interface ReceiveRegisters {
  readonly RCR: number;
  readonly RBSTART: number;
  readonly CAPR: number;
  CBR: number;
  readonly IDR0: number;
  readonly IDR4: number;
  readonly MAR0: number;
  readonly MAR4: number;
}

const Accept = { all: 0x01, mine: 0x02, multicast: 0x04, broadcast: 0x08 } as const;
const NO_WRAP = 0x80;
/** CAPR points 16 bytes before the next byte to read. */
const BEHIND = 16;
const HEADER_BYTES = 4;
const CHECK_BYTES = 4;
const Status = { good: 0x0001, broadcast: 0x2000, mine: 0x4000, multicast: 0x8000 } as const;

export type Kept = "yes" | "no" | "later";

export class ReceiveRing {
  readonly #memory: GuestMemory;
  readonly #registers: ReceiveRegisters;

  constructor(memory: GuestMemory, registers: ReceiveRegisters) {
    this.#memory = memory;
    this.#registers = registers;
  }

  get isEmpty(): boolean {
    return this.#waiting === 0;
  }

  /** Header, frame and four bytes of FCS that no driver looks into, on a boundary of four; "later" when they do not fit. */
  store(frame: Uint8Array): Kept {
    const r = this.#registers;
    const length = this.#length;
    const size = (HEADER_BYTES + frame.length + CHECK_BYTES + 3) & ~3;
    if (this.#waiting + size >= length) return "later";
    const record = new Uint8Array(size);
    new DataView(record.buffer).setUint16(0, Status.good | kindOf(frame), true);
    new DataView(record.buffer).setUint16(2, frame.length + CHECK_BYTES, true);
    record.set(frame, HEADER_BYTES);
    const at = r.CBR % length;
    const first = r.RCR & NO_WRAP ? size : Math.min(size, length - at);
    this.#memory.write(r.RBSTART + at, record.subarray(0, first));
    this.#memory.write(r.RBSTART, record.subarray(first));
    r.CBR = (at + size) % length;
    return "yes";
  }

  get #length(): number {
    return 8192 << ((this.#registers.RCR >>> 11) & 3);
  }

  get #waiting(): number {
    const length = this.#length;
    return (this.#registers.CBR - (this.#registers.CAPR + BEHIND) + 2 * 0x1_0000) % length;
  }
}

const kindOf = (frame: Uint8Array): number => {
  if (!(frame[0]! & 1)) return Status.mine;
  return frame.subarray(0, 6).every((byte) => byte === 0xff) ? Status.broadcast : Status.multicast;
};

/** §5.8 (multicast hash: the upper six bits of the CRC of the address) and §5.15. */
export function isWanted(frame: Uint8Array, r: Readonly<ReceiveRegisters>): boolean {
  if (frame.length < 14) return false;
  if (r.RCR & Accept.all) return true;
  if (frame.subarray(0, 6).every((byte) => byte === 0xff)) return (r.RCR & Accept.broadcast) !== 0;
  if (frame[0]! & 1) {
    const bit = addressCrc(frame) >>> 26;
    const table = bit < 32 ? r.MAR0 : r.MAR4;
    return (r.RCR & Accept.multicast) !== 0 && ((table >>> (bit & 31)) & 1) !== 0;
  }
  const view = new DataView(frame.buffer, frame.byteOffset, 6);
  const mine = view.getUint32(0, true) === r.IDR0 && view.getUint16(4, true) === (r.IDR4 & 0xffff);
  return mine && (r.RCR & Accept.mine) !== 0;
}

/** CRC-32 of the destination address as it goes over the wire: low bit of each byte first, no inversion at the end. */
function addressCrc(frame: Uint8Array): number {
  let crc = 0xffff_ffff;
  for (let i = 0; i < 48; i++) {
    const bit = (frame[i >> 3]! >>> (i & 7)) & 1;
    crc = (crc << 1) ^ ((crc >>> 31) ^ bit ? 0x04c1_1db7 : 0);
  }
  return crc >>> 0;
}
