import type { PortMap } from "../bus/address-map.ts";
import type { InterruptLines } from "../bus/interrupts.ts";

/**
 * Two 8259A interrupt controllers as a PC wires them. Intel 8259A datasheet (231468); edge/level registers: PIIX3 §2.5.5.
 * Not modelled: MCS-80 mode, buffered mode, special fully nested mode.
 */
const ICW1 = { init: 0x10, needsIcw4: 0x01 } as const;
const OCW3 = { select: 0x08, readRegister: 0x02, isr: 0x01, poll: 0x04, setMask: 0x40, mask: 0x20 } as const;
const AUTO_EOI = 0x02;

class Chip {
  readonly values = {
    IRR: 0,
    ISR: 0,
    IMR: 0xff,
    ELCR: 0,
    LINES: 0,
    ICW2: 0,
    ICW4: 0,
    LOWEST: 7,
    STEP: 0,
    ICW1: 0,
    READ_ISR: 0,
    POLL: 0,
    SPECIAL_MASK: 0,
    ROTATE: 0,
  };
  readonly #onOutput: (asserted: boolean) => void;
  readonly #elcrMask: number;
  /** The line another chip hangs on: it follows that chip's output. */
  readonly #cascade: number;
  #output = false;

  constructor(elcrMask: number, cascade: number, onOutput: (asserted: boolean) => void) {
    this.#elcrMask = elcrMask;
    this.#cascade = cascade;
    this.#onOutput = onOutput;
  }

  setLine(line: number, asserted: boolean): void {
    const v = this.values;
    const bit = 1 << line;
    const rising = asserted && !(v.LINES & bit);
    v.LINES = asserted ? v.LINES | bit : v.LINES & ~bit;
    if (this.#levels & bit) v.IRR = asserted ? v.IRR | bit : v.IRR & ~bit;
    else if (rising) v.IRR |= bit;
    this.update();
  }

  get #levels(): number {
    return this.values.ELCR | this.#cascade;
  }

  /** The line to serve next, or -1. */
  get pending(): number {
    const { IRR, IMR, ISR, LOWEST, SPECIAL_MASK } = this.values;
    const wanting = IRR & ~IMR;
    if (!wanting) return -1;
    const blocking = SPECIAL_MASK ? ISR & ~IMR : ISR;
    for (let i = 1; i <= 8; i++) {
      const line = (LOWEST + i) & 7;
      if (blocking & (1 << line)) return -1;
      if (wanting & (1 << line)) return line;
    }
    return -1;
  }

  /** INTA: the line now in service; 7 without a service bit when the request went away (datasheet, "interrupt sequence"). */
  acknowledge(): number {
    const line = this.pending;
    if (line < 0) return 7;
    const v = this.values;
    if (!(this.#levels & (1 << line))) v.IRR &= ~(1 << line);
    if (!(v.ICW4 & AUTO_EOI)) v.ISR |= 1 << line;
    else if (v.ROTATE) v.LOWEST = line;
    this.update();
    return line;
  }

  update(): void {
    const output = this.pending >= 0;
    if (output === this.#output) return;
    this.#output = output;
    this.#onOutput(output);
  }

  readCommand(): number {
    const v = this.values;
    if (v.POLL) {
      v.POLL = 0;
      return this.pending < 0 ? 0 : 0x80 | this.acknowledge();
    }
    return v.READ_ISR ? v.ISR : v.IRR;
  }

  writeCommand(value: number): void {
    if (value & ICW1.init) this.#initialise(value);
    else if (value & OCW3.select) this.#writeOcw3(value);
    else this.#writeOcw2(value);
    this.update();
  }

  writeData(value: number): void {
    const v = this.values;
    if (v.STEP === 2) {
      v.ICW2 = value & 0xf8;
      v.STEP = 3;
    } else if (v.STEP === 3) v.STEP = v.ICW1 & ICW1.needsIcw4 ? 4 : 0;
    else if (v.STEP === 4) {
      v.ICW4 = value;
      v.STEP = 0;
    } else v.IMR = value;
    this.update();
  }

  writeElcr(value: number): void {
    this.values.ELCR = value & this.#elcrMask;
  }

  #initialise(value: number): void {
    const v = this.values;
    Object.assign(v, {
      ICW1: value,
      STEP: 2,
      IRR: v.LINES & this.#levels,
      ISR: 0,
      IMR: 0,
      ICW4: 0,
      LOWEST: 7,
      READ_ISR: 0,
      POLL: 0,
      SPECIAL_MASK: 0,
      ROTATE: 0,
    });
  }

  #writeOcw3(value: number): void {
    const v = this.values;
    if (value & OCW3.poll) v.POLL = 1;
    if (value & OCW3.readRegister) v.READ_ISR = value & OCW3.isr;
    if (value & OCW3.setMask) v.SPECIAL_MASK = value & OCW3.mask;
  }

  /** R, SL and EOI in bits 7-5 (datasheet, figure 8). */
  #writeOcw2(value: number): void {
    const v = this.values;
    const named = value & 7;
    const operation = value >> 5;
    if (operation === 0 || operation === 4) v.ROTATE = operation === 4 ? 1 : 0;
    else if (operation === 6) v.LOWEST = named;
    else if (operation & 1) {
      const line = operation & 2 ? named : this.#highestInService();
      if (line < 0) return;
      v.ISR &= ~(1 << line);
      if (operation & 4) v.LOWEST = line;
    }
  }

  #highestInService(): number {
    for (let i = 1; i <= 8; i++) {
      const line = (this.values.LOWEST + i) & 7;
      if (this.values.ISR & (1 << line)) return line;
    }
    return -1;
  }
}

export interface PicPairOptions {
  readonly ports: PortMap;
  readonly lines: InterruptLines;
  /** The INTR output of the first chip. */
  readonly onOutput: (asserted: boolean) => void;
}

export class PicPair {
  readonly first: Chip;
  readonly second: Chip;

  constructor({ ports, lines, onOutput }: PicPairOptions) {
    this.first = new Chip(0xf8, 0x04, onOutput);
    this.second = new Chip(0xde, 0, (asserted) => this.first.setLine(2, asserted));
    for (const [chip, at, elcr] of [
      [this.first, 0x20, 0x4d0],
      [this.second, 0xa0, 0x4d1],
    ] as const) {
      ports.claim(at, 2, {
        read: (offset) => (offset === 0 ? chip.readCommand() : chip.values.IMR),
        write: (offset, _size, value) =>
          offset === 0 ? chip.writeCommand(value & 0xff) : chip.writeData(value & 0xff),
      });
      ports.claim(elcr, 1, {
        read: () => chip.values.ELCR,
        write: (_offset, _size, value) => chip.writeElcr(value),
      });
    }
    lines.connect((gsi, asserted) => {
      if (gsi < 8) this.first.setLine(gsi, asserted);
      else if (gsi < 16) this.second.setLine(gsi - 8, asserted);
    });
  }

  /** Answers the INTA cycle. */
  acknowledge(): number {
    const line = this.first.acknowledge();
    if (line !== 2) return this.first.values.ICW2 | line;
    return this.second.values.ICW2 | this.second.acknowledge();
  }
}
