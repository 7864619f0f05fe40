import type { PortMap } from "../bus/address-map.ts";
import type { IrqLine } from "../bus/interrupts.ts";
import { PciFunction } from "../bus/pci.ts";
import type { GuestTime, Timers } from "../bus/timers.ts";
import { bank } from "./register-bank.ts";

/**
 * ACPI fixed hardware (ACPI 6.5 §4.8.3) in the place where PIIX4 has it: function 3 of the ISA bridge (82371AB datasheet
 * §7.2), ports 0x600-0x60B. ACPI mode is always on. Not modelled: general-purpose events, sleep states but S5, SMBus.
 */
export const PM_BASE = 0x600;
export const PM_TIMER_HERTZ = 3_579_545;
const NS = 1_000_000_000;
const Pm1 = { timer: 0x0001, global: 0x0020, powerButton: 0x0100, rtc: 0x0400, wake: 0x8000 } as const;
/** Advanced power management: ports APMC and APMS, and the bit of DEVACTB that lets a write to APMC raise an SMI (82371AB, "DEVACTB"). */
const APM = 0xb2;
const DEVACTB = 0x58;
const APMC_ENABLE = 1 << 25;
const SCI_ENABLED = 0x0001;
const SLEEP_ENABLE = 0x2000;
/** The value of SLP_TYP that \_S5 in the DSDT names. */
export const SLEEP_TYPE_S5 = 5;

export interface PowerManagementOptions {
  readonly ports: PortMap;
  readonly irq: IrqLine;
  readonly timers: Timers;
  readonly now: GuestTime;
  readonly onPowerOff: () => void;
  readonly raiseSmi: () => void;
}

export class PowerManagement {
  readonly pci: PciFunction;
  /** APMC and APMS. */
  readonly apm = new Uint8Array(2);
  readonly #options: PowerManagementOptions;
  readonly #carry;

  readonly registers = bank({
    PM1_STS: { at: 0, bytes: 2, w1c: 0xffff, onWrite: () => this.#update() },
    PM1_EN: {
      at: 2,
      bytes: 2,
      writable: Pm1.timer | Pm1.global | Pm1.powerButton | Pm1.rtc,
      onWrite: () => this.#update(),
    },
    PM1_CNT: {
      at: 4,
      bytes: 2,
      writable: 0x1c06,
      reset: SCI_ENABLED,
      onWrite: (value) => this.#control(value),
    },
    PM_TMR: { at: 8, bytes: 4, onRead: () => this.#ticks & 0xff_ffff },
  });

  constructor(options: PowerManagementOptions) {
    this.#options = options;
    this.pci = new PciFunction({
      vendor: 0x8086,
      device: 0x7113,
      revision: 3,
      classCode: 0x068000,
      interruptPin: 1,
      interruptLine: 9,
    });
    this.pci.set(0x40, 4, PM_BASE | 1);
    this.pci.set(0x80, 1, 1);
    this.pci.set(DEVACTB, 4, 0, APMC_ENABLE);
    this.#carry = options.timers.create(() => {
      this.registers.values.PM1_STS |= Pm1.timer;
      this.#update();
    });
    options.ports.claim(PM_BASE, 12, {
      read: (offset, size) => this.registers.read(offset, size),
      write: (offset, size, value) => this.registers.write(offset, value, size),
    });
    options.ports.claim(APM, 2, {
      read: (offset) => this.apm[offset]!,
      write: (offset, _size, value) => this.#writeApm(offset, value & 0xff),
    });
  }

  /** What firmware's handler is asked for goes to APMC; a word for it, to APMS. */
  #writeApm(offset: number, value: number): void {
    this.apm[offset] = value;
    if (offset === 0 && this.pci.read(DEVACTB, 4) & APMC_ENABLE) this.#options.raiseSmi();
  }

  /** A short press: the guest's ACPI driver shuts it down (§4.8.2.2.1.1). */
  pressPowerButton(): void {
    this.registers.values.PM1_STS |= Pm1.powerButton;
    this.#update();
  }

  get #ticks(): number {
    const now = this.#options.now();
    return Math.floor(now / NS) * PM_TIMER_HERTZ + Math.floor(((now % NS) * PM_TIMER_HERTZ) / NS);
  }

  /** The SCI is a level: any status bit whose enable bit is set. Bit 23 of the timer changing sets TMR_STS (§4.8.2.1). */
  #update(): void {
    const { PM1_STS, PM1_EN } = this.registers.values;
    this.#options.irq.set((PM1_STS & PM1_EN & (Pm1.timer | Pm1.global | Pm1.powerButton | Pm1.rtc)) !== 0);
    if (!(PM1_EN & Pm1.timer)) this.#carry.disarm();
    else if (!this.#carry.armed) {
      const ticks = 2 ** 23 - (this.#ticks % 2 ** 23);
      this.#carry.arm(this.#options.now() + Math.ceil((ticks * NS) / PM_TIMER_HERTZ));
    }
  }

  #control(value: number): void {
    if (value & SLEEP_ENABLE && ((value >> 10) & 7) === SLEEP_TYPE_S5) this.#options.onPowerOff();
  }
}
