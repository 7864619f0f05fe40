import { bank } from "../register-bank.ts";

/**
 * The gigabit transceiver inside an 82540EM (8254x software developer's manual, chapter "PHY Functionality and Features"; an
 * M88E1011 to its drivers). The link partner speaks 1000BASE-T full duplex; negotiation is done as soon as it is asked for.
 */
const RESET = 0x8000;
const RESTART = 0x0200;
const LINK = 0x0004;
const NEGOTIATED = 0x0020;
const SPECIFIC_LINK = 0xac00;

export class Phy {
  #connected = true;
  /** Link went down since STATUS was last read: that bit keeps low until then (IEEE 802.3 §22.2.4.2.13). */
  #wasDown = false;

  /** By number, two bytes apart. */
  readonly registers = bank({
    CONTROL: {
      at: 0x00,
      bytes: 2,
      reset: 0x1140,
      writable: 0xffff & ~(RESET | RESTART),
      onWrite: (value) => value & RESET && this.reset(),
    },
    STATUS: { at: 0x02, bytes: 2, reset: 0x7949, onRead: (value) => value | this.#status() },
    ID1: { at: 0x04, bytes: 2, reset: 0x0141 },
    ID2: { at: 0x06, bytes: 2, reset: 0x0c20 },
    ADVERTISEMENT: { at: 0x08, bytes: 2, reset: 0x0de1, writable: 0xffff },
    PARTNER: { at: 0x0a, bytes: 2, onRead: () => (this.#connected ? 0x45e1 : 0) },
    EXPANSION: { at: 0x0c, bytes: 2, onRead: () => (this.#connected ? 3 : 0) },
    GIGABIT_CONTROL: { at: 0x12, bytes: 2, reset: 0x0e00, writable: 0xffff },
    GIGABIT_STATUS: { at: 0x14, bytes: 2, onRead: () => (this.#connected ? 0x7c00 : 0) },
    EXTENDED_STATUS: { at: 0x1e, bytes: 2, reset: 0x3000 },
    SPECIFIC_CONTROL: { at: 0x20, bytes: 2, reset: 0x0360, writable: 0xffff },
    SPECIFIC_STATUS: { at: 0x22, bytes: 2, onRead: () => (this.#connected ? SPECIFIC_LINK : 0) },
    INTERRUPT_ENABLE: { at: 0x24, bytes: 2, writable: 0xffff },
    INTERRUPT_STATUS: { at: 0x26, bytes: 2 },
    EXTENDED_CONTROL: { at: 0x28, bytes: 2, reset: 0x0d60, writable: 0xffff },
    ERRORS: { at: 0x2a, bytes: 2 },
    PAGE: { at: 0x3a, bytes: 2, writable: 0xffff },
    PAGE_DATA: { at: 0x3c, bytes: 2, writable: 0xffff },
  });

  reset(): void {
    Object.assign(this.registers.values, {
      CONTROL: 0x1140,
      ADVERTISEMENT: 0x0de1,
      GIGABIT_CONTROL: 0x0e00,
      SPECIFIC_CONTROL: 0x0360,
      EXTENDED_CONTROL: 0x0d60,
    });
  }

  read(register: number): number {
    return this.registers.read(2 * register, 2);
  }
  write(register: number, value: number): void {
    this.registers.write(2 * register, value, 2);
  }

  setLink(connected: boolean): void {
    this.#connected = connected;
    if (!connected) this.#wasDown = true;
  }

  #status(): number {
    const link = this.#connected && !this.#wasDown ? LINK : 0;
    this.#wasDown = !this.#connected;
    return link | (this.#connected ? NEGOTIATED : 0);
  }
}
