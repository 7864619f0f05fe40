import type { GuestMemory } from "../../bus/guest-memory.ts";
import type { IrqLine } from "../../bus/interrupts.ts";
import { PciFunction } from "../../bus/pci.ts";
import type { GuestTime, Timers } from "../../bus/timers.ts";
import { MicrowireEeprom } from "../ethernet/microwire-eeprom.ts";
import { CuttingWire } from "../ethernet/segmentation.ts";
import {
  drain,
  newCounters,
  POLL_FRAMES,
  Sender,
  type NetworkCard,
  type Wire,
} from "../ethernet/network-card.ts";
import { bank, type Register } from "../register-bank.ts";
import { DescriptorRings } from "./descriptor-rings.ts";
import { isWanted, ReceiveRing } from "./receive-ring.ts";

/**
 * Realtek RTL8139C+ (datasheet "RTL8139C(L)+", revision 1.6; "§" below): the four transmit slots and the receive ring of the
 * 8139, and the descriptor rings of C+ mode with checksums and large segments. With `plus` off it calls itself an RTL8139C,
 * which drivers of the older mode insist on. Not modelled: VLAN tags, wake-up, power states, boot ROM, the high-priority ring.
 */
export interface Rtl8139Options {
  readonly mac: Uint8Array;
  readonly wire: Wire;
  readonly memory: GuestMemory;
  readonly irq: IrqLine;
  readonly interruptLine: number;
  readonly timers: Timers;
  readonly now: GuestTime;
  /** Where the board puts the registers: 256 bytes of memory, and 256 ports. */
  readonly address: number;
  readonly ioAddress: number;
  readonly plus?: boolean;
}

const Command = { empty: 0x01, transmit: 0x04, receive: 0x08, reset: 0x10 } as const;
export const Interrupt = {
  received: 0x01,
  sent: 0x04,
  noDescriptor: 0x10,
  link: 0x20,
  timer: 0x4000,
} as const;
const PlusCommand = { transmit: 0x01, receive: 0x02 } as const;
const Eeprom = {
  output: 0x01,
  input: 0x02,
  clock: 0x04,
  select: 0x08,
  mode: 0xc0,
  programming: 0x80,
} as const;
const Slot = { owned: 0x2000, sent: 0x8000, size: 0x1fff } as const;

const NORMAL_POLL = 0x40;
const DUMP_TALLY = 0x08;
const TALLY_BYTES = 64;
const HARDWARE = { plus: 0x7480_0000, plain: 0x7400_0000 } as const;
const BMCR_RESET = 0x1100;
const BMSR = 0x7809;
const BMSR_LINK = 0x0024;
const MSR_NO_LINK = 0x04;
const EEPROM_ID = 0x8129;
const REGISTERS_BYTES = 256;
const TICK_NS = 30;
const INTERRUPT_DISABLE = 0x0400;

function eepromWords(mac: Uint8Array): Uint16Array {
  const words = new Uint16Array(64);
  words.set([EEPROM_ID, 0x10ec, 0x8139, 0x10ec, 0x8139, 0x4020, 0xe512]);
  for (let i = 0; i < 3; i++) words[7 + i] = mac[2 * i]! | (mac[2 * i + 1]! << 8);
  return words;
}

const word = (at: number): Register => ({ at, bytes: 4, writable: 0xffff_ffff });
const half = (at: number): Register => ({ at, bytes: 2, writable: 0xffff });

export class Rtl8139 implements NetworkCard {
  readonly pci: PciFunction;
  readonly counters = newCounters();
  readonly #options: Rtl8139Options;
  readonly #wire: CuttingWire;
  readonly #sender: Sender;
  readonly #eeprom: MicrowireEeprom;
  readonly #ring: ReceiveRing;
  readonly #rings: DescriptorRings;
  readonly #timer;
  #connected = true;
  #held: Uint8Array | undefined;
  /** Transmit slots that were handed over and wait for the wire, in order. */
  readonly #slots: number[] = [];
  #timerStartNs = 0;

  /** §5. Slots' status and address share their places with the tally and ring addresses of C+ mode. */
  readonly registers = bank({
    IDR0: word(0x00),
    IDR4: word(0x04),
    MAR0: word(0x08),
    MAR4: word(0x0c),
    TSD0: this.#slot(0),
    TSD1: this.#slot(1),
    TSD2: this.#slot(2),
    TSD3: this.#slot(3),
    TSAD0: word(0x20),
    TSAD1: word(0x24),
    TSAD2: word(0x28),
    TSAD3: word(0x2c),
    RBSTART: word(0x30),
    ERBCR: { at: 0x34, bytes: 2 },
    ERSR: { at: 0x36 },
    CR: {
      at: 0x37,
      writable: Command.transmit | Command.receive,
      onRead: (value) => value | (this.#ringIsEmpty() ? Command.empty : 0),
      onWrite: (value) => this.#command(value),
    },
    CAPR: { at: 0x38, bytes: 2, reset: 0xfff0, writable: 0xffff, onWrite: () => this.poll() },
    CBR: { at: 0x3a, bytes: 2 },
    IMR: { at: 0x3c, bytes: 2, writable: 0xffff, onWrite: () => this.#updateLine() },
    ISR: { at: 0x3e, bytes: 2, w1c: 0xffff, onWrite: () => this.#updateLine() },
    TCR: {
      at: 0x40,
      bytes: 4,
      writable: 0x0307_07f1,
      onRead: (value) => value | (this.#options.plus === false ? HARDWARE.plain : HARDWARE.plus),
    },
    RCR: { at: 0x44, bytes: 4, writable: 0xffff_ffff, onWrite: () => this.poll() },
    TCTR: { at: 0x48, bytes: 4, onRead: () => this.#ticks(), onWrite: () => this.#startTimer() },
    MPC: { at: 0x4c, bytes: 4 },
    CFG9346: {
      at: 0x50,
      writable: 0xce,
      onRead: (value) => value | (this.#eeprom.output ? Eeprom.output : 0),
      onWrite: (value) => this.#driveEeprom(value),
    },
    CONFIG0: { at: 0x51, writable: 0xff },
    CONFIG1: { at: 0x52, reset: 0x0c, writable: 0xff },
    TIMERINT: { at: 0x54, bytes: 4, writable: 0xffff_ffff, onWrite: () => this.#armTimer() },
    MSR: { at: 0x58, writable: 0xc0, onRead: (value) => value | (this.#connected ? 0 : MSR_NO_LINK) },
    CONFIG3: { at: 0x59, writable: 0xff },
    CONFIG4: { at: 0x5a, writable: 0xff },
    MULINT: half(0x5c),
    RERID: { at: 0x5e, reset: 0x20 },
    BMCR: { at: 0x62, bytes: 2, reset: BMCR_RESET, writable: 0x3100 },
    BMSR: { at: 0x64, bytes: 2, onRead: () => BMSR | (this.#connected ? BMSR_LINK : 0) },
    ANAR: { at: 0x66, bytes: 2, reset: 0x01e1, writable: 0xffff },
    ANLPAR: { at: 0x68, bytes: 2, onRead: () => (this.#connected ? 0x45e1 : 0) },
    ANER: { at: 0x6a, bytes: 2, onRead: () => (this.#connected ? 1 : 0) },
    CSCR: { at: 0x74, bytes: 2, onRead: () => (this.#connected ? 0x0408 : 0) },
    CONFIG5: { at: 0xd8, writable: 0xff },
    TPPOLL: { at: 0xd9, onWrite: (value) => value & NORMAL_POLL && this.#transmit() },
    CPCR: { at: 0xe0, bytes: 2, writable: 0x007f, onWrite: () => this.#rings.rewind() },
    RDSAR: word(0xe4),
    RDSAR_HIGH: word(0xe8),
    MTPS: { at: 0xec, writable: 0x3f },
  });

  constructor(options: Rtl8139Options) {
    this.#options = options;
    this.#wire = new CuttingWire(options.wire);
    this.#sender = new Sender(this.#wire, this.counters);
    this.#eeprom = new MicrowireEeprom(eepromWords(options.mac));
    this.#ring = new ReceiveRing(options.memory, this.registers.values);
    this.#rings = new DescriptorRings(options.memory, this.registers.values);
    this.#timer = options.timers.create(() => this.#raise(Interrupt.timer));
    this.#reset();
    const region = {
      read: (offset: number, size: number) => this.registers.read(offset, size),
      write: (offset: number, size: number, value: number) => this.registers.write(offset, value, size),
    };
    this.pci = new PciFunction(
      {
        vendor: 0x10ec,
        device: 0x8139,
        revision: options.plus === false ? 0x10 : 0x20,
        classCode: 0x020000,
        subsystemVendor: 0x10ec,
        subsystem: 0x8139,
        interruptPin: 1,
        interruptLine: options.interruptLine,
      },
      [
        { index: 0, kind: "io", sizeBytes: REGISTERS_BYTES, address: options.ioAddress, region },
        {
          index: 1,
          kind: "memory32",
          sizeBytes: REGISTERS_BYTES,
          address: options.address,
          region: { ...region },
        },
      ],
    );
  }

  setCable(connected: boolean): void {
    if (connected === this.#connected) return;
    this.#connected = this.#sender.connected = connected;
    this.#raise(Interrupt.link);
    this.poll();
  }

  poll(): void {
    if (this.#sender.busy) {
      this.#sender.retry();
      this.#transmit();
    }
    this.#receive();
  }

  #slot(index: number): Register {
    return {
      at: 0x10 + 4 * index,
      bytes: 4,
      reset: Slot.owned,
      writable: 0xffff_ffff,
      onWrite: (value) => this.#handOver(index, value),
    };
  }

  #command(value: number): void {
    if (value & Command.reset) this.#reset();
    else this.poll();
  }

  /** §5.7, RST: everything but the address that the EEPROM gives, and the configuration. */
  #reset(): void {
    const v = this.registers.values;
    const { mac } = this.#options;
    Object.assign(v, {
      CR: 0,
      CAPR: 0xfff0,
      CBR: 0,
      IMR: 0,
      ISR: 0,
      TCR: 0,
      RCR: 0,
      CPCR: 0,
      TIMERINT: 0,
      MPC: 0,
    });
    for (const name of ["TSD0", "TSD1", "TSD2", "TSD3"] as const) v[name] = Slot.owned;
    v.IDR0 = new DataView(mac.buffer, mac.byteOffset).getUint32(0, true);
    v.IDR4 = new DataView(mac.buffer, mac.byteOffset).getUint16(4, true);
    this.#slots.length = 0;
    this.#held = undefined;
    this.#sender.forget();
    this.#rings.rewind();
    this.#timer.disarm();
    this.#options.irq.set(false);
  }

  #driveEeprom(value: number): void {
    const on = (value & Eeprom.mode) === Eeprom.programming;
    this.#eeprom.drive(
      on && (value & Eeprom.select) !== 0,
      (value & Eeprom.clock) !== 0,
      (value & Eeprom.input) !== 0,
    );
  }

  #raise(causes: number): void {
    this.registers.values.ISR |= causes;
    this.#updateLine();
  }

  #updateLine(): void {
    const { ISR, IMR } = this.registers.values;
    this.#options.irq.set((ISR & IMR) !== 0 && (this.pci.read(4, 2) & INTERRUPT_DISABLE) === 0);
  }

  #ticks(): number {
    return Math.floor((this.#options.now() - this.#timerStartNs) / TICK_NS) % 2 ** 32;
  }
  #startTimer(): void {
    this.#timerStartNs = this.#options.now();
    this.#armTimer();
  }
  #armTimer(): void {
    const { TIMERINT } = this.registers.values;
    if (TIMERINT === 0) this.#timer.disarm();
    else this.#timer.arm(this.#timerStartNs + TIMERINT * TICK_NS);
  }

  get #plusReceives(): boolean {
    return (this.registers.values.CPCR & PlusCommand.receive) !== 0;
  }
  get #plusSends(): boolean {
    return (this.registers.values.CPCR & PlusCommand.transmit) !== 0;
  }

  #ringIsEmpty(): boolean {
    return this.#plusReceives || this.#ring.isEmpty;
  }

  /** A write of a slot's status hands it over; in C+ mode the first is the address of the tally (§5.3). */
  #handOver(index: number, value: number): void {
    const v = this.registers.values;
    if (this.#plusSends) {
      if (index === 0 && value & DUMP_TALLY) this.#dumpTally();
      return;
    }
    const name = `TSD${index}` as "TSD0";
    v[name] = value & ~(Slot.owned | Slot.sent);
    if (value & Slot.owned) v[name] |= Slot.owned;
    else if (!this.#slots.includes(index)) this.#slots.push(index);
    this.#transmit();
  }

  /** Frames sent and received; the wire has no errors. */
  #dumpTally(): void {
    const v = this.registers.values;
    const bytes = new Uint8Array(TALLY_BYTES);
    new DataView(bytes.buffer).setUint32(0, this.counters.sentFrames, true);
    new DataView(bytes.buffer).setUint32(8, this.counters.receivedFrames, true);
    this.#options.memory.write((v.TSD0 & ~0x3f) >>> 0, bytes);
    v.TSD0 = (v.TSD0 & ~DUMP_TALLY) >>> 0;
  }

  #transmit(): void {
    if (!(this.registers.values.CR & Command.transmit)) return;
    let sent = false;
    if (this.#plusSends)
      for (let left = DescriptorRings.length; left > 0 && !this.#sender.busy; left--) {
        const step = this.#rings.nextToSend();
        if (!step) break;
        if (step.frames) this.#sender.send(step.frames);
        sent = true;
      }
    else while (this.#slots.length > 0 && !this.#sender.busy) sent = this.#sendSlot(this.#slots.shift()!);
    if (sent) this.#raise(Interrupt.sent);
  }

  #sendSlot(index: number): true {
    const v = this.registers.values;
    const [status, address] = [`TSD${index}` as "TSD0", `TSAD${index}` as "TSAD0"];
    const size = v[status] & Slot.size;
    this.#sender.send([this.#options.memory.view(v[address], size).slice()]);
    v[status] |= Slot.owned | Slot.sent;
    return true;
  }

  #receive(): void {
    const v = this.registers.values;
    if (!(v.CR & Command.receive) || !this.#connected) return drain(this.#wire, this.counters);
    let causes = 0;
    for (let left = POLL_FRAMES; left > 0; left--) {
      const frame = this.#held ?? this.#wire.receive();
      this.#held = undefined;
      if (!frame) break;
      const kept = isWanted(frame, v) ? (this.#plusReceives ? this.#rings : this.#ring).store(frame) : "no";
      if (kept === "later") {
        this.#held = frame;
        break;
      }
      if (kept === "no") this.counters.dropped++;
      else {
        causes |= Interrupt.received;
        this.counters.receivedFrames++;
        this.counters.receivedBytes += frame.length;
      }
    }
    // Linux's 8139too clears the cause after each frame and looks no further when it is clear: what it has left in the ring
    // is told again, or both sides would wait for each other once the ring is full.
    if (!this.#plusReceives && !this.#ring.isEmpty) causes |= Interrupt.received;
    if (causes) this.#raise(causes);
  }
}
