import type { AddressMap } from "../bus/address-map.ts";
import type { InterruptLines, IrqLine } from "../bus/interrupts.ts";
import { nextTick, type GuestTime, type Timer, type Timers } from "../bus/timers.ts";

/**
 * HPET (IA-PC HPET specification 1.0a): one block, a 64-bit counter at 100 MHz, three comparators, all able to be periodic,
 * legacy replacement routing. Not modelled: FSB interrupts; the counter is exact below 2^53.
 */
export const HPET_BASE = 0xfed0_0000;
const TICK_NS = 10;
const TICK_FS = 10_000_000;
const COMPARATORS = 3;
/** Vendor 8086h, legacy routing, 64-bit counter, three timers, revision 1 (§2.3.4). */
const CAPABILITIES = 0x8086_a201;
const ENABLE = 1;
const LEGACY = 2;
const Config = {
  level: 0x02,
  enabled: 0x04,
  periodic: 0x08,
  setValue: 0x40,
  bits32: 0x100,
  route: 0x3e00,
} as const;
const CONFIG_WRITABLE = 0x3f4e;
/** Periodic and 64-bit capable; the block may use GSI 20-23 and 2 (§2.3.8). */
const CONFIG_CAPABLE = 0x30;
const ROUTES = 0x00f0_0004;

interface Comparator {
  config: number;
  /** In ticks of the main counter; the period is what was last written while periodic. */
  value: number;
  period: number;
  readonly timer: Timer;
}

export interface HpetOptions {
  readonly mmio: AddressMap;
  readonly lines: InterruptLines;
  readonly timers: Timers;
  readonly now: GuestTime;
}

export class Hpet {
  readonly values = {
    CONFIG: 0,
    STATUS: 0,
    /** Counter while stopped; difference to guest time while running. */ COUNTER: 0,
  };
  readonly comparators: readonly Comparator[];
  readonly #options: HpetOptions;
  readonly #wires: IrqLine[];

  constructor(options: HpetOptions) {
    this.#options = options;
    this.#wires = Array.from({ length: 24 }, (_, gsi) => options.lines.wire(gsi));
    this.comparators = Array.from({ length: COMPARATORS }, (_, i) => ({
      config: CONFIG_CAPABLE,
      value: 2 ** 32 - 1,
      period: 0,
      timer: options.timers.create((at) => this.#onMatch(i, at)),
    }));
    options.mmio.place(HPET_BASE, 0x400, {
      read: (offset, size) => this.#read(offset, size),
      write: (offset, size, value) => this.#write(offset, size, value),
    });
  }

  get #running(): boolean {
    return (this.values.CONFIG & ENABLE) !== 0;
  }
  get #counter(): number {
    return this.#running
      ? Math.floor(this.#options.now() / TICK_NS) + this.values.COUNTER
      : this.values.COUNTER;
  }

  #read(offset: number, size: number): number {
    const at = offset & ~7;
    const low = this.#readWord(at, (offset & 4) !== 0);
    return size === 4 ? low : (low >>> (8 * (offset & 3))) & (size === 2 ? 0xffff : 0xff);
  }

  #readWord(at: number, high: boolean): number {
    const pick = (value: number): number => (high ? Math.floor(value / 2 ** 32) : value) >>> 0;
    if (at === 0x000) return high ? TICK_FS : CAPABILITIES;
    if (at === 0x010) return high ? 0 : this.values.CONFIG;
    if (at === 0x020) return high ? 0 : this.values.STATUS;
    if (at === 0x0f0) return pick(this.#counter);
    const comparator = this.comparators[(at - 0x100) >> 5];
    if (at < 0x100 || !comparator) return 0;
    if ((at & 0x18) === 0x00) return high ? ROUTES : comparator.config;
    return (at & 0x18) === 0x08 ? pick(comparator.value) : 0;
  }

  #write(offset: number, size: number, value: number): void {
    if (size !== 4) return;
    // What has matched by now interrupts by what the registers still say, however late the machine looks at its timers.
    for (const { timer } of this.comparators) timer.settle(this.#options.now());
    const at = offset & ~7;
    const high = (offset & 4) !== 0;
    const merge = (old: number): number =>
      high ? value * 2 ** 32 + (old >>> 0) : Math.floor(old / 2 ** 32) * 2 ** 32 + value;
    if (at === 0x010 && !high) this.#configure(value);
    else if (at === 0x020 && !high) this.#clearStatus(value);
    else if (at === 0x0f0 && !this.#running) this.values.COUNTER = merge(this.values.COUNTER);
    const index = (at - 0x100) >> 5;
    const comparator = this.comparators[index];
    if (at < 0x100 || !comparator) return;
    if ((at & 0x18) === 0x00 && !high) comparator.config = CONFIG_CAPABLE | (value & CONFIG_WRITABLE);
    else if ((at & 0x18) === 0x08) this.#setComparator(comparator, merge, high);
    this.#rearm(index);
  }

  #configure(value: number): void {
    const counter = this.#counter;
    this.values.CONFIG = value & (ENABLE | LEGACY);
    this.values.COUNTER = this.#running ? counter - Math.floor(this.#options.now() / TICK_NS) : counter;
    for (let i = 0; i < COMPARATORS; i++) this.#rearm(i);
  }

  #clearStatus(value: number): void {
    this.values.STATUS &= ~value;
    for (let i = 0; i < COMPARATORS; i++) if (value & (1 << i)) this.#wire(i)?.set(false);
  }

  /** In periodic mode a write sets the period, and the comparator itself only after Tn_VAL_SET_CNF (§2.3.9.2.2). */
  #setComparator(comparator: Comparator, merge: (old: number) => number, high: boolean): void {
    const periodic = (comparator.config & Config.periodic) !== 0;
    if (!periodic || comparator.config & Config.setValue) comparator.value = merge(comparator.value);
    if (periodic) comparator.period = merge(comparator.period);
    if (!high) comparator.config &= ~Config.setValue;
    // A write of the low half alone is a 32-bit value to a guest that never writes the high one.
    if (comparator.config & Config.bits32) comparator.value = comparator.value % 2 ** 32;
  }

  /** A comparator that may not interrupt would only wake the host: it has no timer, and a periodic one catches up later. */
  #rearm(index: number): void {
    const comparator = this.comparators[index]!;
    const { timer, config, period } = comparator;
    if (!this.#running || !(config & Config.enabled)) return timer.disarm();
    const counter = this.#counter;
    const late = counter - comparator.value;
    if (config & Config.periodic && period >= 1 && late > 0)
      comparator.value += Math.ceil(late / period) * period;
    const { value } = comparator;
    let ahead = value - counter;
    if (config & Config.bits32) ahead = ((value % 2 ** 32) - (counter % 2 ** 32) + 2 ** 32) % 2 ** 32;
    if (ahead < 0) timer.disarm();
    else timer.arm((counter + ahead - this.values.COUNTER) * TICK_NS);
  }

  #onMatch(index: number, at: number): void {
    const comparator = this.comparators[index]!;
    if (comparator.config & Config.enabled) {
      const wire = this.#wire(index);
      if (comparator.config & Config.level) this.values.STATUS |= 1 << index;
      wire?.set(true);
      if (!(comparator.config & Config.level)) wire?.set(false);
    }
    if (!(comparator.config & Config.periodic) || comparator.period < 1) return;
    comparator.value += comparator.period;
    comparator.timer.arm(nextTick(at, comparator.period * TICK_NS, this.#options.now()));
  }

  /** Legacy routing gives timers 0 and 1 the lines of the PIT and the RTC (§2.3.5). */
  #wire(index: number): IrqLine | undefined {
    if (this.values.CONFIG & LEGACY && index < 2) return this.#wires[index === 0 ? 0 : 8];
    const route = (this.comparators[index]!.config & Config.route) >> 9;
    return ROUTES & (1 << route) ? this.#wires[route] : undefined;
  }
}
