/** One wire from one device. `set(true)` twice is `set(true)` once. */
export interface IrqLine {
  set(asserted: boolean): void;
}

/** Receives the level of a global interrupt line whenever it changes. */
export type GsiSink = (gsi: number, asserted: boolean) => void;

/** A message-signalled interrupt: one 32-bit memory write (SDM 3A §10.11). */
export type MsiSink = (address: number, data: number) => void;

export const GSI_COUNT = 24;

/**
 * The global interrupt lines of the board, and the only place that knows their numbers: 0-15 are the ISA lines (and the
 * 8259 pair's), except that the timer is GSI 2 on the IOAPIC; PCI INTA#-INTD# share 10-13 as levels; the mouse's 12 is one of
 * them and a level too, as the ACPI tables say.
 * Lines carry "asserted", not volts: polarity has no meaning here.
 */
export const Gsi = { timer: 0, keyboard: 1, serial1: 4, rtc: 8, sci: 9, pciA: 10, mouse: 12 } as const;

/** INTA# of a device as the board swizzles it: PIRQ = (pin + device) mod 4, PIRQ A-D on GSI 10-13. */
export const pciGsi = (device: number, pin: number): number => Gsi.pciA + ((device + pin) & 3);

export class InterruptLines {
  /** How many wires of each line are asserted: a shared line falls when the last one does. */
  readonly #asserted = new Int32Array(GSI_COUNT);
  readonly #sinks: GsiSink[] = [];

  connect(sink: GsiSink): void {
    this.#sinks.push(sink);
  }

  /** A new wire onto a line. */
  wire(gsi: number): IrqLine {
    let mine = false;
    return {
      set: (asserted) => {
        if (asserted === mine) return;
        mine = asserted;
        const count = (this.#asserted[gsi] = this.#asserted[gsi]! + (asserted ? 1 : -1));
        if (count === (asserted ? 1 : 0)) for (const sink of this.#sinks) sink(gsi, asserted);
      },
    };
  }

  level(gsi: number): boolean {
    return this.#asserted[gsi]! > 0;
  }
}
