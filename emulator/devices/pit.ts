import type { PortMap } from "../bus/address-map.ts";
import type { IrqLine } from "../bus/interrupts.ts";
import { nextTick, type GuestTime, type Timers } from "../bus/timers.ts";

/**
 * 8254 interval timer (Intel 231164) at 0x40-0x43 and the NMI status and control register at 0x61 (PIIX3 §2.5.6), whose bits
 * gate counter 2 and show its output. Counters are computed from guest time when read. Not modelled: the speaker's sound.
 */
const HERTZ = 1_193_182;
const NS = 1_000_000_000;

/** Split so that the product stays exact for years of guest time. */
const ticksAt = (ns: number): number => Math.floor(ns / NS) * HERTZ + Math.floor(((ns % NS) * HERTZ) / NS);
const nsAt = (ticks: number): number =>
  Math.floor(ticks / HERTZ) * NS + Math.ceil(((ticks % HERTZ) * NS) / HERTZ);

const fromBcd = (value: number): number =>
  (value >> 12) * 1000 + ((value >> 8) & 15) * 100 + ((value >> 4) & 15) * 10 + (value & 15);
const toBcd = (value: number): number =>
  ((Math.floor(value / 1000) % 10) << 12) |
  ((Math.floor(value / 100) % 10) << 8) |
  ((Math.floor(value / 10) % 10) << 4) |
  (value % 10);

class Counter {
  readonly values = {
    CONTROL: 0x30,
    RELOAD: 0x10000,
    START: 0,
    GATE: 1,
    RUNNING: 0,
    LOW: 0,
    WRITE_HIGH: 0,
    READ_HIGH: 0,
    LATCH: -1,
    STATUS: -1,
  };
  readonly #now: GuestTime;
  readonly #onChange: () => void;

  constructor(now: GuestTime, onChange: () => void) {
    this.#now = now;
    this.#onChange = onChange;
  }

  /** 0-5; 6 and 7 are 2 and 3. */
  get mode(): number {
    const mode = (this.values.CONTROL >> 1) & 7;
    return mode > 5 ? mode - 4 : mode;
  }
  get periodic(): boolean {
    return this.mode === 2 || this.mode === 3;
  }

  get elapsed(): number {
    return ticksAt(this.#now()) - this.values.START;
  }

  get output(): boolean {
    const { RELOAD, RUNNING } = this.values;
    if (!RUNNING) return this.mode !== 0;
    const elapsed = this.elapsed;
    if (this.mode === 2) return elapsed % RELOAD !== RELOAD - 1;
    if (this.mode === 3) return elapsed % RELOAD < Math.ceil(RELOAD / 2);
    if (this.mode < 2) return elapsed >= RELOAD;
    return elapsed !== RELOAD;
  }

  get count(): number {
    const { RELOAD, RUNNING, CONTROL } = this.values;
    const elapsed = RUNNING ? this.elapsed : 0;
    let count = RELOAD - elapsed;
    if (this.mode === 2) count = RELOAD - (elapsed % RELOAD);
    else if (this.mode === 3) count = RELOAD - ((2 * elapsed) % RELOAD);
    return CONTROL & 1 ? toBcd(((count % 10000) + 10000) % 10000) : count & 0xffff;
  }

  setControl(value: number): void {
    Object.assign(this.values, {
      CONTROL: value & 0x3f,
      RUNNING: 0,
      WRITE_HIGH: 0,
      READ_HIGH: 0,
      LATCH: -1,
      STATUS: -1,
    });
    this.#onChange();
  }

  latchCount(): void {
    if (this.values.LATCH < 0) this.values.LATCH = this.count;
  }
  latchStatus(): void {
    if (this.values.STATUS < 0)
      this.values.STATUS = (this.output ? 0x80 : 0) | (this.values.RUNNING ? 0 : 0x40) | this.values.CONTROL;
  }

  read(): number {
    const v = this.values;
    if (v.STATUS >= 0) {
      const status = v.STATUS;
      v.STATUS = -1;
      return status;
    }
    const count = v.LATCH >= 0 ? v.LATCH : this.count;
    const access = (v.CONTROL >> 4) & 3;
    const high = access === 2 || (access === 3 && v.READ_HIGH !== 0);
    if (access === 3) v.READ_HIGH ^= 1;
    if (access !== 3 || high) v.LATCH = -1;
    return high ? count >> 8 : count & 0xff;
  }

  write(value: number): void {
    const v = this.values;
    const access = (v.CONTROL >> 4) & 3;
    if (access === 1) this.#load(value);
    else if (access === 2) this.#load(value << 8);
    else if (v.WRITE_HIGH) {
      v.WRITE_HIGH = 0;
      this.#load(v.LOW | (value << 8));
    } else {
      v.LOW = value;
      v.WRITE_HIGH = 1;
    }
  }

  setGate(gate: number): void {
    const v = this.values;
    const rising = gate === 1 && v.GATE === 0;
    v.GATE = gate;
    // A rising gate triggers modes 1, 2, 3 and 5; counting is not suspended by a low gate in modes 0 and 4.
    if (rising && v.RUNNING && this.mode !== 0 && this.mode !== 4) v.START = ticksAt(this.#now());
    this.#onChange();
  }

  #load(value: number): void {
    const v = this.values;
    const count = v.CONTROL & 1 ? fromBcd(value) : value;
    v.RELOAD = count || (v.CONTROL & 1 ? 10000 : 0x10000);
    v.START = ticksAt(this.#now());
    v.RUNNING = 1;
    this.#onChange();
  }
}

export interface PitOptions {
  readonly ports: PortMap;
  readonly irq: IrqLine;
  readonly timers: Timers;
  readonly now: GuestTime;
}

export class Pit {
  readonly counters: readonly [Counter, Counter, Counter];
  readonly #now: GuestTime;
  readonly #irq: IrqLine;
  #port61 = 0;

  constructor({ ports, irq, timers, now }: PitOptions) {
    this.#now = now;
    this.#irq = irq;
    const timer = timers.create((at) => {
      const first = this.counters[0];
      this.#raise();
      if (first.periodic && first.values.RUNNING) timer.arm(nextTick(at, nsAt(first.values.RELOAD), now()));
    });
    const rearm = (): void => {
      const { RUNNING, START, RELOAD } = this.counters[0].values;
      this.#irq.set(false);
      if (RUNNING) timer.arm(nsAt(START + RELOAD));
      else timer.disarm();
    };
    const idle = (): void => {};
    this.counters = [new Counter(now, rearm), new Counter(now, idle), new Counter(now, idle)];
    this.counters[2].values.GATE = 0;
    ports.claim(0x40, 4, {
      read: (offset) => this.#read(offset),
      write: (offset, _size, value) => this.#write(offset, value & 0xff),
    });
    ports.claim(0x61, 1, {
      read: () => this.#readPort61(),
      write: (_offset, _size, value) => this.#writePort61(value),
    });
  }

  #raise(): void {
    this.#irq.set(true);
    if (this.counters[0].mode !== 0) this.#irq.set(false);
  }

  #read(offset: number): number {
    return offset < 3 ? this.counters[offset]!.read() : 0;
  }

  #write(offset: number, value: number): void {
    if (offset < 3) return this.counters[offset]!.write(value);
    const select = value >> 6;
    if (select === 3) {
      // Read-back command: bits 5 and 4 are active low.
      for (let i = 0; i < 3; i++) {
        if (!(value & (2 << i))) continue;
        if (!(value & 0x10)) this.counters[i]!.latchStatus();
        if (!(value & 0x20)) this.counters[i]!.latchCount();
      }
    } else if (value & 0x30) this.counters[select]!.setControl(value);
    else this.counters[select]!.latchCount();
  }

  /** Bit 4 follows the DRAM refresh request, which toggles every 15 µs; old delay loops count its edges. */
  #readPort61(): number {
    const refresh = Math.floor(this.#now() / 15_085) & 1;
    return (this.#port61 & 0x0f) | (refresh << 4) | (this.counters[2].output ? 0x20 : 0);
  }

  #writePort61(value: number): void {
    this.#port61 = value & 0x0f;
    this.counters[2].setGate(value & 1);
  }
}
