import type { AddressMap } from "../bus/address-map.ts";
import { Gsi, type InterruptLines, type MsiSink } from "../bus/interrupts.ts";

/**
 * 82093AA I/O APIC (Intel 290566), 24 inputs. Input 2 is the timer, as MADT tells the guest. An interrupt travels as the
 * message it is on the bus. Not modelled: arbitration ids, the polarity bit (lines carry "asserted").
 */
const INPUTS = 24;
const VERSION = 0x11 | ((INPUTS - 1) << 16);
const Entry = {
  vector: 0xff,
  mode: 0x700,
  logical: 0x800,
  pending: 0x1000,
  remoteIrr: 0x4000,
  level: 0x8000,
  masked: 0x1_0000,
} as const;
const WRITABLE = 0x1_afff;

export const IO_APIC_BASE = 0xfec0_0000;

export interface IoApicOptions {
  readonly mmio: AddressMap;
  readonly lines: InterruptLines;
  readonly send: MsiSink;
}

export class IoApic {
  readonly values = { IOREGSEL: 0, ID: 0, REDIRECTION: new Uint32Array(2 * INPUTS) };
  readonly #asserted = new Uint8Array(INPUTS);
  readonly #send: MsiSink;

  constructor({ mmio, lines, send }: IoApicOptions) {
    this.#send = send;
    for (let input = 0; input < INPUTS; input++) this.values.REDIRECTION[2 * input] = Entry.masked;
    mmio.place(IO_APIC_BASE, 0x1000, {
      read: (offset) => this.#read(offset),
      write: (offset, _size, value) => this.#write(offset, value),
    });
    lines.connect((gsi, asserted) => this.#setInput(gsi === Gsi.timer ? 2 : gsi, asserted));
  }

  /** EOI message from the local APIC: level interrupts that are still asserted are sent again. */
  endOfInterrupt(vector: number): void {
    const table = this.values.REDIRECTION;
    for (let input = 0; input < INPUTS; input++) {
      const low = table[2 * input]!;
      if ((low & Entry.vector) !== vector || !(low & Entry.remoteIrr)) continue;
      table[2 * input] = low & ~Entry.remoteIrr;
      this.#deliver(input);
    }
  }

  #setInput(input: number, asserted: boolean): void {
    const rising = asserted && !this.#asserted[input];
    this.#asserted[input] = asserted ? 1 : 0;
    if (rising) this.#deliver(input);
  }

  /** An edge that finds its entry masked is lost (§3.2.4, interrupt mask). */
  #deliver(input: number): void {
    const low = this.values.REDIRECTION[2 * input]!;
    const level = (low & Entry.level) !== 0;
    if (low & Entry.masked || (level && low & Entry.remoteIrr)) return;
    if (level && !this.#asserted[input]) return;
    if (level) this.values.REDIRECTION[2 * input] = low | Entry.remoteIrr;
    const destination = this.values.REDIRECTION[2 * input + 1]! >>> 24;
    const address = 0xfee0_0000 + destination * 0x1000 + (low & Entry.logical ? 4 : 0);
    this.#send(address, (low & (Entry.vector | Entry.mode)) | (level ? 0xc000 : 0));
  }

  #read(offset: number): number {
    if (offset === 0) return this.values.IOREGSEL;
    if (offset !== 0x10) return 0;
    const index = this.values.IOREGSEL;
    if (index === 0 || index === 2) return this.values.ID << 24;
    if (index === 1) return VERSION;
    return this.values.REDIRECTION[index - 0x10] ?? 0;
  }

  #write(offset: number, value: number): void {
    if (offset === 0) this.values.IOREGSEL = value & 0xff;
    else if (offset === 0x10) this.#writeWindow(this.values.IOREGSEL, value);
  }

  #writeWindow(index: number, value: number): void {
    if (index === 0) this.values.ID = (value >>> 24) & 0x0f;
    const at = index - 0x10;
    if (at < 0 || at >= 2 * INPUTS) return;
    const table = this.values.REDIRECTION;
    if (at & 1) {
      table[at] = value & 0xff00_0000;
      return;
    }
    const old = table[at]!;
    let low = (old & ~WRITABLE) | (value & WRITABLE);
    // An entry that becomes edge-triggered forgets that an EOI is due.
    if (!(low & Entry.level)) low &= ~Entry.remoteIrr;
    table[at] = low;
    if (low & Entry.level) this.#deliver(at >> 1);
  }
}
