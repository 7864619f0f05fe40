import type { AddressMap } from "../bus/address-map.ts";
import { nextTick, type GuestTime, type Timers } from "../bus/timers.ts";
import { bank } from "./register-bank.ts";

/**
 * Local APIC in xAPIC mode (SDM 3A chapter 10), the only one of the board. Not modelled: x2APIC, performance and thermal
 * interrupts (their LVT entries are stored), INIT and start-up IPIs (no other processor), EOI broadcast suppression.
 */
export const LOCAL_APIC_BASE = 0xfee0_0000;

/** The timer counts the core crystal, as CPUID leaf 15h says: 25 MHz. */
const CRYSTAL_NS = 40;
const VERSION = 0x0005_0014;
const SOFTWARE_ENABLE = 0x100;
const LVT = {
  vector: 0xff,
  mode: 0x700,
  pending: 0x1000,
  remoteIrr: 0x4000,
  level: 0x8000,
  masked: 0x1_0000,
  timerMode: 0x6_0000,
} as const;
const TimerMode = { oneShot: 0, periodic: 0x2_0000, deadline: 0x4_0000 } as const;
const Mode = { fixed: 0, lowest: 1, smi: 2, nmi: 4, init: 5, startUp: 6, external: 7 } as const;
const ESR_ILLEGAL_VECTOR = { send: 0x20, receive: 0x40 } as const;
const GLOBAL_ENABLE = 0x800;

export interface LocalApicOptions {
  readonly mmio: AddressMap;
  readonly timers: Timers;
  readonly now: GuestTime;
  /** The INTR pin of the core. */
  readonly setPin: (asserted: boolean) => void;
  readonly raiseNmi: () => void;
  readonly raiseSmi: () => void;
  /** The 8259 pair answers when an ExtINT is taken. */
  readonly acknowledgePic: () => number;
  readonly onEoi: (vector: number) => void;
}

/** 256 bits, one per vector. */
class Vectors {
  readonly words = new Uint32Array(8);

  set(vector: number): void {
    this.words[vector >> 5]! |= 1 << (vector & 31);
  }
  clear(vector: number): void {
    this.words[vector >> 5]! &= ~(1 << (vector & 31));
  }
  has(vector: number): boolean {
    return (this.words[vector >> 5]! & (1 << (vector & 31))) !== 0;
  }
  /** -1 when empty. */
  get highest(): number {
    for (let i = 7; i >= 0; i--) {
      const word = this.words[i]!;
      if (word) return 32 * i + 31 - Math.clz32(word);
    }
    return -1;
  }
}

export class LocalApic {
  readonly irr = new Vectors();
  readonly isr = new Vectors();
  readonly tmr = new Vectors();
  /**
   * What is not a plain register: the base MSR's enable bit, the PIC's output, timer state in ns. A count that
   * COUNTS has not been served: it ends in an interrupt, however late the machine looks at its timers.
   */
  readonly state = { GLOBAL: 1, EXTINT: 0, TIMER_START: 0, COUNTS: 0, DEADLINE: 0 };
  readonly #options: LocalApicOptions;
  readonly #timer;

  readonly registers = bank({
    ID: { at: 0x20, bytes: 4, writable: 0xff00_0000 },
    VERSION: { at: 0x30, bytes: 4, reset: VERSION },
    TPR: { at: 0x80, bytes: 4, writable: 0xff, onWrite: () => this.update() },
    APR: { at: 0x90, bytes: 4 },
    PPR: { at: 0xa0, bytes: 4, onRead: () => this.#processorPriority() },
    EOI: { at: 0xb0, bytes: 4, onWrite: () => this.#endOfInterrupt() },
    LDR: { at: 0xd0, bytes: 4, writable: 0xff00_0000 },
    DFR: { at: 0xe0, bytes: 4, writable: 0xf000_0000, reset: 0xffff_ffff },
    SVR: { at: 0xf0, bytes: 4, writable: 0x1ff, reset: 0xff, onWrite: () => this.#softwareEnable() },
    ESR: { at: 0x280, bytes: 4, onWrite: () => this.#latchErrors() },
    ICR_LOW: { at: 0x300, bytes: 4, writable: 0xc_cfff, onWrite: (value) => this.#send(value) },
    ICR_HIGH: { at: 0x310, bytes: 4, writable: 0xff00_0000 },
    LVT_TIMER: { at: 0x320, bytes: 4, writable: 0x7_00ff, reset: LVT.masked, onWrite: () => this.#retime() },
    LVT_THERMAL: { at: 0x330, bytes: 4, writable: 0x1_07ff, reset: LVT.masked },
    LVT_PERFORMANCE: { at: 0x340, bytes: 4, writable: 0x1_07ff, reset: LVT.masked },
    LVT_LINT0: { at: 0x350, bytes: 4, writable: 0x1_a7ff, reset: LVT.masked, onWrite: () => this.update() },
    LVT_LINT1: { at: 0x360, bytes: 4, writable: 0x1_a7ff, reset: LVT.masked },
    LVT_ERROR: { at: 0x370, bytes: 4, writable: 0x1_00ff, reset: LVT.masked },
    INITIAL_COUNT: { at: 0x380, bytes: 4, writable: 0xffff_ffff, onWrite: () => this.#startTimer() },
    CURRENT_COUNT: { at: 0x390, bytes: 4, onRead: () => this.#currentCount() },
    DIVIDE: { at: 0x3e0, bytes: 4, writable: 0x0b, onWrite: () => this.#retime() },
  });
  #errors = 0;

  constructor(options: LocalApicOptions) {
    this.#options = options;
    this.#timer = options.timers.create((at) => this.#onTimer(at));
    options.mmio.place(LOCAL_APIC_BASE, 0x1000, {
      read: (offset) => (this.state.GLOBAL ? this.#read(offset) : 0xffff_ffff),
      write: (offset, _size, value) => {
        // Only aligned 32-bit accesses are defined (§10.4.1).
        if ((offset & 15) === 0 && this.state.GLOBAL) this.registers.write(offset, value, 4);
      },
    });
  }

  /** An interrupt message: from the IOAPIC, a device (MSI), or the ICR (SDM 3A §10.11). */
  receive(address: number, data: number): void {
    const destination = (address >>> 12) & 0xff;
    if (this.#addressed(destination, (address & 4) !== 0))
      this.#accept(data & 0x700, data & 0xff, (data & 0x8000) !== 0);
  }

  setExternal(asserted: boolean): void {
    this.state.EXTINT = asserted ? 1 : 0;
    this.update();
  }

  /** INTA: the vector to deliver, or -1 when nothing is deliverable any more. */
  acknowledge(): number {
    const vector = this.irr.highest;
    if (this.#active && vector >= 0 && vector >> 4 > this.#processorPriority() >> 4) {
      this.irr.clear(vector);
      this.isr.set(vector);
      this.update();
      return vector;
    }
    if (!this.#externalAccepted) {
      this.update();
      return -1;
    }
    const external = this.#options.acknowledgePic();
    this.update();
    return external;
  }

  /** IA32_APIC_BASE was written; the base itself does not move here. */
  setGlobalEnable(apicBase: number): void {
    this.state.GLOBAL = apicBase & GLOBAL_ENABLE ? 1 : 0;
    this.update();
  }

  /** IA32_TSC_DEADLINE; guest TSC ticks are ns. Ignored unless the timer is in that mode (§10.5.4.1). */
  setDeadline(ticks: number): void {
    if (this.#mode !== TimerMode.deadline) return;
    this.state.DEADLINE = ticks;
    if (ticks > 0) this.#timer.arm(ticks);
    else this.#timer.disarm();
  }

  get cr8(): number {
    return this.registers.values.TPR >> 4;
  }
  set cr8(value: number) {
    this.registers.values.TPR = (value & 15) << 4;
    this.update();
  }

  /** What firmware leaves behind: virtual wire mode, the 8259 pair through LINT0 and NMI on LINT1 (SDM 3A §10.5.1; MP 1.4 §3.6.2.2). */
  enterVirtualWireMode(): void {
    const v = this.registers.values;
    v.SVR = SOFTWARE_ENABLE | 0xff;
    v.LVT_LINT0 = Mode.external << 8;
    v.LVT_LINT1 = Mode.nmi << 8;
    this.update();
  }

  update(): void {
    const vector = this.irr.highest;
    const fixed = this.#active && vector >= 0 && vector >> 4 > this.#processorPriority() >> 4;
    this.#options.setPin(fixed || this.#externalAccepted);
  }

  get #active(): boolean {
    return this.state.GLOBAL !== 0 && (this.registers.values.SVR & SOFTWARE_ENABLE) !== 0;
  }

  /** With the APIC globally off, LINT0 is the INTR pin itself. */
  get #externalAccepted(): boolean {
    if (!this.state.EXTINT) return false;
    const lint0 = this.registers.values.LVT_LINT0;
    return !this.state.GLOBAL || ((lint0 & LVT.masked) === 0 && (lint0 & LVT.mode) === Mode.external << 8);
  }

  #read(offset: number): number {
    const at = offset & ~15;
    const index = (at & 0x70) >> 4;
    if (at >= 0x100 && at < 0x180) return this.isr.words[index]!;
    if (at >= 0x180 && at < 0x200) return this.tmr.words[index]!;
    if (at >= 0x200 && at < 0x280) return this.irr.words[index]!;
    return this.registers.read(at, 4);
  }

  #addressed(destination: number, logical: boolean): boolean {
    const { ID, LDR, DFR } = this.registers.values;
    if (!logical) return destination === 0xff || destination === ID >>> 24;
    if (destination === 0xff) return true;
    const mine = LDR >>> 24;
    if (DFR >>> 28 === 15) return (destination & mine) !== 0;
    return destination >> 4 === mine >> 4 && (destination & mine & 15) !== 0;
  }

  #accept(mode: number, vector: number, level: boolean): void {
    if (mode === Mode.nmi << 8) return this.#options.raiseNmi();
    if (mode === Mode.smi << 8) return this.#options.raiseSmi();
    if (mode !== Mode.fixed << 8 && mode !== Mode.lowest << 8) return;
    if (vector < 16) return this.#error(ESR_ILLEGAL_VECTOR.receive);
    if (!this.#active) return;
    this.irr.set(vector);
    if (level) this.tmr.set(vector);
    else this.tmr.clear(vector);
    this.update();
  }

  #processorPriority(): number {
    const tpr = this.registers.values.TPR;
    const serving = Math.max(this.isr.highest, 0) & 0xf0;
    return tpr >> 4 >= serving >> 4 ? tpr : serving;
  }

  #endOfInterrupt(): void {
    const vector = this.isr.highest;
    if (vector < 0) return;
    this.isr.clear(vector);
    if (this.tmr.has(vector)) this.#options.onEoi(vector);
    this.update();
  }

  /** Clearing the enable bit masks every LVT entry (§10.4.7.2). */
  #softwareEnable(): void {
    const v = this.registers.values;
    if (!(v.SVR & SOFTWARE_ENABLE)) {
      for (const name of [
        "LVT_TIMER",
        "LVT_THERMAL",
        "LVT_PERFORMANCE",
        "LVT_LINT0",
        "LVT_LINT1",
        "LVT_ERROR",
      ] as const)
        v[name] = (v[name] | LVT.masked) >>> 0;
    }
    this.update();
  }

  /** Interprocessor interrupts that reach this processor: itself is the only one there is. */
  #send(value: number): void {
    const shorthand = (value >>> 18) & 3;
    const mode = value & 0x700;
    const self =
      shorthand === 1 ||
      shorthand === 2 ||
      (shorthand === 0 && this.#addressed(this.registers.values.ICR_HIGH >>> 24, (value & 0x800) !== 0));
    if (mode === Mode.fixed << 8 && (value & 0xff) < 16) this.#error(ESR_ILLEGAL_VECTOR.send);
    else if (self) this.#accept(mode, value & 0xff, false);
  }

  #error(bit: number): void {
    const first = (this.#errors & bit) === 0;
    this.#errors |= bit;
    const lvt = this.registers.values.LVT_ERROR;
    // An error entry with an illegal vector is an error too, but only once until the guest reads ESR.
    if (first && !(lvt & LVT.masked)) this.#accept(Mode.fixed, lvt & LVT.vector, false);
  }

  /** A write to ESR makes what was gathered since the last one readable (§10.5.3). */
  #latchErrors(): void {
    this.registers.values.ESR = this.#errors;
    this.#errors = 0;
  }

  get #mode(): number {
    return this.registers.values.LVT_TIMER & LVT.timerMode;
  }

  /** ns per count: divide configuration bits 3, 1, 0 (figure 10-10). */
  get #countNs(): number {
    const { DIVIDE } = this.registers.values;
    const code = ((DIVIDE >> 1) & 4) | (DIVIDE & 3);
    return CRYSTAL_NS * (code === 7 ? 1 : 2 << code);
  }

  #startTimer(): void {
    this.state.TIMER_START = this.#options.now();
    this.state.COUNTS = 1;
    this.#retime();
  }

  /** Something the deadline depends on has changed; the count goes on from its start. */
  #retime(): void {
    const count = this.registers.values.INITIAL_COUNT;
    if (this.#mode === TimerMode.deadline) {
      if (this.state.DEADLINE === 0) this.#timer.disarm();
      return;
    }
    this.state.DEADLINE = 0;
    if (count === 0) return this.#timer.disarm();
    const period = count * this.#countNs;
    const elapsed = this.#options.now() - this.state.TIMER_START;
    if (this.#mode === TimerMode.periodic)
      this.#timer.arm(this.state.TIMER_START + period * (Math.floor(elapsed / period) + 1));
    else if (this.state.COUNTS) this.#timer.arm(this.state.TIMER_START + period);
    else this.#timer.disarm();
  }

  #currentCount(): number {
    const count = this.registers.values.INITIAL_COUNT;
    if (count === 0 || this.#mode === TimerMode.deadline) return 0;
    const gone = Math.floor((this.#options.now() - this.state.TIMER_START) / this.#countNs);
    if (this.#mode === TimerMode.periodic) return count - (gone % count);
    return Math.max(count - gone, 0);
  }

  #onTimer(at: number): void {
    const { LVT_TIMER, INITIAL_COUNT } = this.registers.values;
    if (this.#mode === TimerMode.periodic)
      this.#timer.arm(nextTick(at, INITIAL_COUNT * this.#countNs, this.#options.now()));
    else Object.assign(this.state, { COUNTS: 0, DEADLINE: 0 });
    if (!(LVT_TIMER & LVT.masked)) this.#accept(Mode.fixed, LVT_TIMER & LVT.vector, false);
  }
}
