import type { ReceiveControl } from "./receive.ts";

/**
 * Which frames an 82540EM takes (8254x manual §3.2.1.2, §13.5): 16 exact addresses and a hash table of multicast addresses.
 * Offsets count from 5200h, where the table begins; the addresses follow it, and the VLAN filter, which is only stored.
 */
const ADDRESSES = 0x200;
const VLANS = 0x400;
const VALID = 0x8000_0000;

export class AddressFilter {
  /** Multicast table, addresses in pairs, VLAN table: also the snapshot. */
  readonly values = new Uint32Array(0x600 / 4);
  readonly #mac: Uint8Array;

  constructor(mac: Uint8Array) {
    this.#mac = mac;
    this.reset();
  }

  /** The first address comes from the EEPROM. */
  reset(): void {
    this.values.fill(0);
    const [a, b, c, d, e, f] = this.#mac as unknown as [number, number, number, number, number, number];
    this.values[ADDRESSES / 4] = (a | (b << 8) | (c << 16) | (d << 24)) >>> 0;
    this.values[ADDRESSES / 4 + 1] = (e | (f << 8) | VALID) >>> 0;
  }

  read(offset: number): number {
    return this.#isThere(offset) ? this.values[offset / 4]! : 0;
  }
  write(offset: number, value: number): void {
    if (this.#isThere(offset)) this.values[offset / 4] = value;
  }

  accepts(frame: Uint8Array, control: ReceiveControl): boolean {
    if (frame.length < 14) return false;
    const view = new DataView(frame.buffer, frame.byteOffset, 6);
    const low = view.getUint32(0, true);
    const high = view.getUint16(4, true);
    const group = (low & 1) !== 0;
    if (low === 0xffff_ffff && high === 0xffff && control.broadcast) return true;
    if (group ? control.allMulticast : control.allUnicast) return true;
    for (let at = ADDRESSES / 4; at < ADDRESSES / 4 + 32; at += 2)
      if (this.values[at] === low && this.values[at + 1]! >>> 31 && (this.values[at + 1]! & 0xffff) === high)
        return true;
    if (!group) return false;
    const hash = (high >>> control.multicastShift) & 0xfff;
    return (this.values[hash >>> 5]! & (1 << (hash & 31))) !== 0;
  }

  #isThere(offset: number): boolean {
    return offset < 0x200 || (offset >= ADDRESSES && offset < ADDRESSES + 0x80) || offset >= VLANS;
  }
}
