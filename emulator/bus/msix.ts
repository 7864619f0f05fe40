import type { Region } from "./address-map.ts";
import type { MsiSink } from "./interrupts.ts";
import type { PciFunction } from "./pci.ts";

const MSIX_CAPABILITY = 0x11;
const ENABLE = 0x8000;
const FUNCTION_MASK = 0x4000;
const PBA_OFFSET = 0x800;

/** Bytes of the BAR that holds the table and the pending bits. */
export const MSIX_BAR_BYTES = 0x1000;

/**
 * MSI-X (PCI Local Bus 3.0 §6.8.2): a table of message address, data and mask per vector, and pending bits, in a BAR of
 * its own: the table at 0, the pending bit array at 0x800.
 */
export class Msix implements Region {
  /** Table entries, four words each, then the pending bits: also the snapshot. */
  readonly values: Uint32Array;
  readonly #count: number;
  readonly #send: MsiSink;
  #fn: PciFunction | undefined;
  #control = 0;

  /** At most 32 vectors. */
  constructor(count: number, send: MsiSink) {
    this.#count = count;
    this.#send = send;
    this.values = new Uint32Array(4 * count + 1);
    for (let i = 0; i < count; i++) this.values[4 * i + 3] = 1;
  }

  /** Adds the capability; the table is in BAR `bir`. */
  attach(fn: PciFunction, bir: number): void {
    const body = new Uint8Array(10);
    const view = new DataView(body.buffer);
    view.setUint16(0, this.#count - 1, true);
    view.setUint32(2, bir, true);
    view.setUint32(6, PBA_OFFSET | bir, true);
    this.#control = fn.addCapability(MSIX_CAPABILITY, body, Uint8Array.of(0, 0xc0)) + 2;
    this.#fn = fn;
    fn.onWrite.push(
      (offset, size) =>
        offset <= this.#control + 1 && offset + size > this.#control && this.#deliverPending(),
    );
  }

  get enabled(): boolean {
    return (this.#controlWord & ENABLE) !== 0;
  }

  /** A vector that the table does not have is lost, as the virtio specification wishes (0xFFFF means none). */
  notify(vector: number): void {
    if (vector >= this.#count || !this.enabled) return;
    if (this.#masked(vector)) this.#pending |= 1 << vector;
    else this.#send(this.values[4 * vector]!, this.values[4 * vector + 2]!);
  }

  read(offset: number, size: number): number {
    const word =
      offset >= PBA_OFFSET ? (offset - PBA_OFFSET < 4 ? this.#pending : 0) : (this.values[offset >> 2] ?? 0);
    const inTable = offset >= PBA_OFFSET || offset < 16 * this.#count;
    return inTable ? ((word >>> (8 * (offset & 3))) & (0xffff_ffff >>> (32 - 8 * size))) >>> 0 : 0;
  }

  write(offset: number, size: number, value: number): void {
    if (size !== 4 || (offset & 3) !== 0 || offset >= 16 * this.#count) return;
    this.values[offset >> 2] = offset % 16 === 12 ? value & 1 : value;
    this.#deliverPending();
  }

  get #controlWord(): number {
    return this.#fn ? this.#fn.read(this.#control, 2) : 0;
  }
  get #pending(): number {
    return this.values[4 * this.#count]!;
  }
  set #pending(bits: number) {
    this.values[4 * this.#count] = bits;
  }

  #masked(vector: number): boolean {
    return (this.#controlWord & FUNCTION_MASK) !== 0 || (this.values[4 * vector + 3]! & 1) !== 0;
  }

  #deliverPending(): void {
    for (let vector = 0; this.#pending !== 0 && this.enabled && vector < this.#count; vector++) {
      if (!(this.#pending & (1 << vector)) || this.#masked(vector)) continue;
      this.#pending &= ~(1 << vector);
      this.#send(this.values[4 * vector]!, this.values[4 * vector + 2]!);
    }
  }
}
