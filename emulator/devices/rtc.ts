import type { PortMap } from "../bus/address-map.ts";
import type { IrqLine } from "../bus/interrupts.ts";
import { nextTick, type GuestTime, type Timers } from "../bus/timers.ts";

/**
 * MC146818 real-time clock and CMOS RAM (Motorola MC146818A) at ports 0x70/0x71. The clock is the wall clock at power-on plus
 * guest time. Periodic, alarm and update-ended interrupts. Not modelled: daylight saving, the square wave, dividers other
 * than 32.768 kHz.
 */
const A = { updating: 0x80, rate: 0x0f } as const;
const B = { set: 0x80, periodic: 0x40, alarm: 0x20, updated: 0x10, binary: 0x04, hours24: 0x02 } as const;
const C = { irq: 0x80, periodic: 0x40, alarm: 0x20, updated: 0x10 } as const;
const NS = 1_000_000_000;
const REGISTERS_A = 0x0a;
const CENTURY = 0x32;
/** Registers of the time that a guest sets: it becomes an offset from the host's. */
const TIME = [0, 2, 4, 7, 8, 9, CENTURY] as const;

export interface RtcOptions {
  readonly ports: PortMap;
  readonly irq: IrqLine;
  readonly timers: Timers;
  readonly now: GuestTime;
  /** Milliseconds since 1970 at power-on. */
  readonly wallClockMs: number;
}

export class Rtc {
  /** The 128 bytes of CMOS, live: also the snapshot. */
  readonly values = new Uint8Array(128);
  /** What must be added to guest time to have seconds since 1970, in ns. */
  #offsetNs: number;
  #index = 0;
  readonly #options: RtcOptions;
  readonly #second;
  readonly #periodic;

  constructor(options: RtcOptions) {
    this.#options = options;
    this.#offsetNs = options.wallClockMs * 1e6;
    this.values[REGISTERS_A] = 0x26;
    this.values[0x0b] = B.hours24;
    this.values[0x0d] = 0x80;
    this.#second = options.timers.create((at) => this.#onSecond(at));
    this.#periodic = options.timers.create((at) => {
      this.#raise(C.periodic);
      this.#periodic.arm(nextTick(at, this.#periodNs, options.now()));
    });
    options.ports.claim(0x70, 2, {
      read: (offset) => (offset === 0 ? 0xff : this.#read(this.#index)),
      write: (offset, _size, value) => {
        if (offset === 0) this.#index = value & 0x7f;
        else this.#write(this.#index, value & 0xff);
      },
    });
  }

  #read(index: number): number {
    if (TIME.includes(index as 0) || index === 6) this.#refresh();
    if (index === REGISTERS_A) return this.values[index]! | (this.#updating ? A.updating : 0);
    if (index !== 0x0c) return this.values[index]!;
    const flags = this.values[index];
    this.values[index] = 0;
    this.#options.irq.set(false);
    return flags!;
  }

  #write(index: number, value: number): void {
    if (index === 0x0c || index === 0x0d) return;
    const setting = (this.values[0x0b]! & B.set) !== 0;
    if (TIME.includes(index as 0)) this.#refresh();
    const stopping = index === 0x0b && (value & B.set) !== 0 && !setting;
    if (stopping) this.#refresh();
    this.values[index] = index === REGISTERS_A ? value & 0x7f : value;
    if (TIME.includes(index as 0) || (index === 0x0b && setting && !(value & B.set))) this.#adopt();
    if (index === REGISTERS_A || index === 0x0b) this.#retime();
  }

  /** The update cycle takes the last 244 µs before each second. */
  get #updating(): boolean {
    return !(this.values[0x0b]! & B.set) && this.#nanoseconds % NS > NS - 244_000;
  }

  get #nanoseconds(): number {
    return this.#options.now() + this.#offsetNs;
  }

  /** Copies the running time into the registers, unless the guest has stopped it to set it. */
  #refresh(): void {
    if (this.values[0x0b]! & B.set) return;
    const date = new Date(Math.floor(this.#nanoseconds / 1e6));
    const hours = date.getUTCHours();
    const v = this.values;
    v[0] = this.#encode(date.getUTCSeconds());
    v[2] = this.#encode(date.getUTCMinutes());
    v[4] =
      v[0x0b]! & B.hours24 ? this.#encode(hours) : this.#encode(hours % 12 || 12) | (hours >= 12 ? 0x80 : 0);
    v[6] = date.getUTCDay() + 1;
    v[7] = this.#encode(date.getUTCDate());
    v[8] = this.#encode(date.getUTCMonth() + 1);
    v[9] = this.#encode(date.getUTCFullYear() % 100);
    v[CENTURY] = this.#encode(Math.floor(date.getUTCFullYear() / 100));
  }

  /** The guest wrote the time: from now on it runs from there. */
  #adopt(): void {
    if (this.values[0x0b]! & B.set) return;
    const at = (index: number): number => this.#decode(this.values[index]!);
    const raw = this.values[4]!;
    const hours =
      this.values[0x0b]! & B.hours24
        ? this.#decode(raw)
        : (this.#decode(raw & 0x7f) % 12) + (raw & 0x80 ? 12 : 0);
    const time = Date.UTC(at(CENTURY) * 100 + at(9), at(8) - 1, at(7), hours, at(2), at(0));
    if (Number.isFinite(time)) this.#offsetNs = time * 1e6 - this.#options.now();
  }

  #encode(value: number): number {
    return this.values[0x0b]! & B.binary ? value : (Math.floor(value / 10) << 4) | (value % 10);
  }
  #decode(value: number): number {
    return this.values[0x0b]! & B.binary ? value : (value >> 4) * 10 + (value & 15);
  }

  /** Rates 1 and 2 are those of 8 and 9 (datasheet, table 5). */
  get #periodNs(): number {
    const rate = this.values[REGISTERS_A]! & A.rate;
    return Math.round((NS / 32768) * 2 ** ((rate < 3 ? rate + 7 : rate) - 1));
  }

  #retime(): void {
    const now = this.#options.now();
    const enabled = this.values[0x0b]!;
    if (enabled & B.periodic && this.values[REGISTERS_A]! & A.rate) {
      if (!this.#periodic.armed) this.#periodic.arm(now + this.#periodNs);
    } else this.#periodic.disarm();
    if (enabled & (B.alarm | B.updated) && !(enabled & B.set))
      this.#second.arm(now + NS - (this.#nanoseconds % NS));
    else this.#second.disarm();
  }

  #onSecond(at: number): void {
    this.#refresh();
    const v = this.values;
    const matches = (alarm: number, time: number): boolean => v[alarm]! >= 0xc0 || v[alarm] === v[time];
    this.#raise(C.updated | (matches(1, 0) && matches(3, 2) && matches(5, 4) ? C.alarm : 0));
    this.#second.arm(nextTick(at, NS, this.#options.now()));
  }

  /** Flags of register C; the line follows those that register B enables. */
  #raise(flags: number): void {
    this.values[0x0c]! |= flags;
    if (!(this.values[0x0c]! & this.values[0x0b]! & 0x70)) return;
    this.values[0x0c]! |= C.irq;
    this.#options.irq.set(true);
  }
}
