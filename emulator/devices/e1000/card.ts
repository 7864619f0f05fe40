import type { GuestMemory } from "../../bus/guest-memory.ts";
import type { IrqLine } from "../../bus/interrupts.ts";
import { PciFunction } from "../../bus/pci.ts";
import type { GuestTime, Timer, Timers } from "../../bus/timers.ts";
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
import { bank } from "../register-bank.ts";
import { AddressFilter } from "./address-filter.ts";
import { Phy } from "./phy.ts";
import { receiveStatus, ReceiveControl } from "./receive.ts";
import { TransmitAssembler } from "./transmit.ts";

/**
 * Intel 82540EM gigabit Ethernet controller (PCI/PCI-X Family of Gigabit Ethernet Controllers Software Developer's Manual,
 * 8254x; "§" below). Not modelled: VLAN tags, flow control, wake-up, management, the flash, and delays of interrupts other
 * than the throttle.
 */
export interface E1000Options {
  readonly mac: Uint8Array;
  readonly wire: Wire;
  readonly memory: GuestMemory;
  readonly irq: IrqLine;
  readonly interruptLine: number;
  readonly timers: Timers;
  readonly now: GuestTime;
  /** Where the board puts the registers (128 KiB) and the I/O window (64 ports). */
  readonly address: number;
  readonly ioAddress: number;
}

const Control = { setLinkUp: 1 << 6, reset: 1 << 26, phyReset: 0x8000_0000 } as const;
/** Full duplex at 1000 Mb/s; the link bit is added. */
const STATUS = 0x81;
const STATUS_LINK = 0x02;
const Eecd = {
  clock: 1,
  select: 2,
  input: 4,
  output: 8,
  request: 0x40,
  grant: 0x80,
  present: 0x100,
} as const;
const Cause = { transmitted: 0x01, queueEmpty: 0x02, link: 0x04, few: 0x10, received: 0x80 } as const;
const TRANSMIT_ENABLE = 2;
const DESCRIPTOR_BYTES = 16;
const DONE = 1;
const ITR_NS = 256;
const READ_DONE = 0x10;
const Mdic = { write: 1, read: 2, ready: 0x1000_0000, error: 0x4000_0000, phy: 1 } as const;
const EEPROM_SUM = 0xbaba;
const BAR_BYTES = 0x2_0000;
const INTERRUPT_DISABLE = 0x0400;

/** §5.6: address, identity, and a last word that makes the sum right. */
function eepromWords(mac: Uint8Array): Uint16Array {
  const words = new Uint16Array(64);
  for (let i = 0; i < 3; i++) words[i] = mac[2 * i]! | (mac[2 * i + 1]! << 8);
  words[0x0a] = 0x4408;
  words[0x0b] = 0x001e;
  words[0x0c] = 0x8086;
  words[0x0d] = 0x100e;
  words[0x0e] = 0x8086;
  words[0x0f] = 0x3040;
  words[0x3f] = EEPROM_SUM - words.reduce((sum, word) => sum + word, 0);
  return words;
}

export class E1000 implements NetworkCard {
  readonly pci: PciFunction;
  readonly counters = newCounters();
  readonly #options: E1000Options;
  readonly #wire: CuttingWire;
  readonly #sender: Sender;
  readonly #assembler: TransmitAssembler;
  readonly #phy = new Phy();
  readonly #eeprom: MicrowireEeprom;
  readonly #filter: AddressFilter;
  readonly #throttle: Timer;
  #connected = true;
  #asserted = false;
  #allowedAtNs = 0;
  #held: Uint8Array | undefined;
  #window = 0;

  /** §13, table "Register Summary"; what is not here reads as zero. */
  readonly registers = bank({
    CTRL: {
      at: 0x0000,
      bytes: 4,
      reset: 0x0a09,
      writable: 0xffff_ffff,
      onWrite: (value) => this.#control(value),
    },
    STATUS: { at: 0x0008, bytes: 4, onRead: () => STATUS | (this.#linkUp ? STATUS_LINK : 0) },
    EECD: {
      at: 0x0010,
      bytes: 4,
      reset: Eecd.present,
      writable: Eecd.clock | Eecd.select | Eecd.input | Eecd.request,
      onRead: (value) => this.#eecd(value),
      onWrite: (value) =>
        this.#eeprom.drive(
          (value & Eecd.select) !== 0,
          (value & Eecd.clock) !== 0,
          (value & Eecd.input) !== 0,
        ),
    },
    EERD: {
      at: 0x0014,
      bytes: 4,
      writable: 0xff00,
      onRead: (value) => value | READ_DONE | (this.#eeprom.words[(value >>> 8) & 63]! << 16),
    },
    CTRL_EXT: { at: 0x0018, bytes: 4, writable: 0xffff_ffff },
    MDIC: { at: 0x0020, bytes: 4, reset: Mdic.ready, onWrite: (value) => this.#manage(value) },
    FCAL: { at: 0x0028, bytes: 4, writable: 0xffff_ffff },
    FCAH: { at: 0x002c, bytes: 4, writable: 0xffff },
    FCT: { at: 0x0030, bytes: 4, writable: 0xffff },
    VET: { at: 0x0038, bytes: 4, writable: 0xffff },
    ICR: {
      at: 0x00c0,
      bytes: 4,
      onRead: (value) => this.#readCause(value),
      onWrite: (value) => this.#clear(value),
    },
    ITR: { at: 0x00c4, bytes: 4, writable: 0xffff },
    ICS: { at: 0x00c8, bytes: 4, onWrite: (value) => this.#raise(value) },
    IMS: { at: 0x00d0, bytes: 4, onWrite: (value) => this.#setMask(this.#mask | value) },
    IMC: {
      at: 0x00d8,
      bytes: 4,
      onRead: () => this.#mask,
      onWrite: (value) => this.#setMask(this.#mask & ~value),
    },
    RCTL: { at: 0x0100, bytes: 4, writable: 0xffff_ffff, onWrite: () => this.poll() },
    FCTTV: { at: 0x0170, bytes: 4, writable: 0xffff },
    TCTL: { at: 0x0400, bytes: 4, writable: 0xffff_ffff, onWrite: () => this.#transmit() },
    TIPG: { at: 0x0410, bytes: 4, writable: 0xffff_ffff },
    AIT: { at: 0x0458, bytes: 4, writable: 0xffff },
    LEDCTL: { at: 0x0e00, bytes: 4, reset: 0x0706_0602, writable: 0xffff_ffff },
    PBA: { at: 0x1000, bytes: 4, reset: 0x0010_0030, writable: 0xffff },
    FCRTL: { at: 0x2160, bytes: 4, writable: 0xffff_ffff },
    FCRTH: { at: 0x2168, bytes: 4, writable: 0xffff_ffff },
    RDBAL: { at: 0x2800, bytes: 4, writable: 0xffff_fff0 },
    RDBAH: { at: 0x2804, bytes: 4, writable: 0xffff_ffff },
    RDLEN: { at: 0x2808, bytes: 4, writable: 0xf_ff80 },
    RDH: { at: 0x2810, bytes: 4, writable: 0xffff },
    RDT: { at: 0x2818, bytes: 4, writable: 0xffff, onWrite: () => this.poll() },
    RDTR: { at: 0x2820, bytes: 4, writable: 0xffff },
    RXDCTL: { at: 0x2828, bytes: 4, writable: 0xffff_ffff },
    RADV: { at: 0x282c, bytes: 4, writable: 0xffff },
    RSRPD: { at: 0x2c00, bytes: 4, writable: 0xfff },
    TDBAL: { at: 0x3800, bytes: 4, writable: 0xffff_fff0 },
    TDBAH: { at: 0x3804, bytes: 4, writable: 0xffff_ffff },
    TDLEN: { at: 0x3808, bytes: 4, writable: 0xf_ff80 },
    TDH: { at: 0x3810, bytes: 4, writable: 0xffff },
    TDT: { at: 0x3818, bytes: 4, writable: 0xffff, onWrite: () => this.#transmit() },
    TIDV: { at: 0x3820, bytes: 4, writable: 0xffff },
    TXDCTL: { at: 0x3828, bytes: 4, writable: 0xffff_ffff },
    TADV: { at: 0x382c, bytes: 4, writable: 0xffff },
    TSPMT: { at: 0x3830, bytes: 4, writable: 0xffff_ffff },
    // Statistics (§13.7) clear when they are read; those of what cannot happen here read as zero.
    GPRC: this.#statistic(0x4074),
    GPTC: this.#statistic(0x4080),
    GORCL: this.#statistic(0x4088),
    MPC: this.#statistic(0x4010),
    RXCSUM: { at: 0x5000, bytes: 4, writable: 0x7ff },
    WUC: { at: 0x5800, bytes: 4, writable: 0xffff_ffff },
    WUFC: { at: 0x5808, bytes: 4, writable: 0xffff_ffff },
    WUS: { at: 0x5810, bytes: 4, writable: 0xffff_ffff },
    MANC: { at: 0x5820, bytes: 4, writable: 0xffff_ffff },
  });

  constructor(options: E1000Options) {
    this.#options = options;
    this.#wire = new CuttingWire(options.wire);
    this.#sender = new Sender(this.#wire, this.counters);
    this.#assembler = new TransmitAssembler(options.memory);
    this.#eeprom = new MicrowireEeprom(eepromWords(options.mac));
    this.#filter = new AddressFilter(options.mac);
    this.#throttle = options.timers.create(() => this.#updateLine());
    this.pci = new PciFunction(
      {
        vendor: 0x8086,
        device: 0x100e,
        revision: 2,
        classCode: 0x020000,
        subsystemVendor: 0x8086,
        subsystem: 0x001e,
        interruptPin: 1,
        interruptLine: options.interruptLine,
      },
      [
        {
          index: 0,
          kind: "memory32",
          sizeBytes: BAR_BYTES,
          address: options.address,
          region: {
            read: (offset, size) =>
              ((this.#read(offset & ~3) >>> (8 * (offset & 3))) & (0xffff_ffff >>> (32 - 8 * size))) >>> 0,
            write: (offset, size, value) => size === 4 && this.#write(offset, value),
          },
        },
        {
          index: 2,
          kind: "io",
          sizeBytes: 64,
          address: options.ioAddress,
          region: {
            read: (offset) => this.#ioRead(offset),
            write: (offset, _size, value) => this.#ioWrite(offset, value),
          },
        },
      ],
    );
  }

  setCable(connected: boolean): void {
    if (connected === this.#connected) return;
    this.#connected = this.#sender.connected = connected;
    this.#phy.setLink(connected);
    this.#raise(Cause.link);
    this.poll();
  }

  poll(): void {
    if (this.#sender.busy) {
      this.#sender.retry();
      this.#transmit();
    }
    this.#receive();
  }

  get #linkUp(): boolean {
    return this.#connected && (this.registers.values.CTRL & Control.setLinkUp) !== 0;
  }

  get #mask(): number {
    return this.registers.values.IMS;
  }

  #statistic(at: number) {
    return { at, bytes: 4 } as const;
  }

  #read(offset: number): number {
    if (offset >= 0x4000 && offset < 0x4100) {
      const value = this.registers.read(offset, 4);
      const name = STATISTICS.get(offset);
      if (name) this.registers.values[name] = 0;
      return value;
    }
    return offset >= 0x5200 && offset < 0x5800
      ? this.#filter.read(offset - 0x5200)
      : this.registers.read(offset, 4);
  }

  #write(offset: number, value: number): void {
    if (offset >= 0x5200 && offset < 0x5800) this.#filter.write(offset - 0x5200, value);
    else this.registers.write(offset, value, 4);
  }

  /** §13.2.2: the registers through two ports, IOADDR and IODATA. */
  #ioRead(offset: number): number {
    if (offset === 0) return this.#window;
    return offset === 4 && this.#window < BAR_BYTES ? this.#read(this.#window & ~3) : 0;
  }
  #ioWrite(offset: number, value: number): void {
    if (offset === 0) this.#window = value;
    else if (offset === 4 && this.#window < BAR_BYTES) this.#write(this.#window & ~3, value);
  }

  #control(value: number): void {
    if (value & Control.phyReset) this.#phy.reset();
    if (value & Control.reset) this.#reset();
    this.registers.values.CTRL = (this.registers.values.CTRL & ~(Control.reset | Control.phyReset)) >>> 0;
  }

  /** §14.6: everything but the PHY and what the EEPROM gives. */
  #reset(): void {
    for (const name of Object.keys(this.registers.values) as (keyof typeof this.registers.values)[])
      this.registers.values[name] = RESET_VALUES[name] ?? 0;
    this.#held = undefined;
    this.#sender.forget();
    this.#assembler.forget();
    this.#filter.reset();
    this.#throttle.disarm();
    this.#allowedAtNs = 0;
    this.#updateLine();
  }

  #eecd(value: number): number {
    const grant = value & Eecd.request ? Eecd.grant : 0;
    return value | Eecd.present | grant | (this.#eeprom.output ? Eecd.output : 0);
  }

  /** §13.4.4: one access to the transceiver, done at once; others on the bus do not answer. */
  #manage(value: number): void {
    const register = (value >>> 16) & 31;
    const operation = (value >>> 26) & 3;
    const command = value & 0x0fff_0000;
    const known = ((value >>> 21) & 31) === Mdic.phy;
    if (known && operation === Mdic.write) this.#phy.write(register, value & 0xffff);
    const answer = operation === Mdic.read ? (known ? this.#phy.read(register) : 0xffff) : value & 0xffff;
    this.registers.values.MDIC = (command | answer | Mdic.ready | (known ? 0 : Mdic.error)) >>> 0;
  }

  #raise(causes: number): void {
    this.registers.values.ICR = (this.registers.values.ICR | causes) >>> 0;
    this.#updateLine();
  }

  #clear(causes: number): void {
    this.registers.values.ICR = (this.registers.values.ICR & ~causes) >>> 0;
    this.#updateLine();
  }

  #setMask(mask: number): void {
    this.registers.values.IMS = mask >>> 0;
    this.#updateLine();
  }

  /** Reading clears every cause (§13.4.17). */
  #readCause(value: number): number {
    this.registers.values.ICR = 0;
    this.#updateLine();
    return value;
  }

  /** The throttle (§13.4.18): so much guest time lies between two interrupts. */
  #updateLine(): void {
    const { ICR, IMS, ITR } = this.registers.values;
    const wanted = (ICR & IMS) !== 0 && (this.pci.read(4, 2) & INTERRUPT_DISABLE) === 0;
    if (wanted && !this.#asserted && ITR > 0) {
      const now = this.#options.now();
      if (now < this.#allowedAtNs) return this.#throttle.arm(this.#allowedAtNs);
      this.#allowedAtNs = now + ITR * ITR_NS;
    }
    this.#asserted = wanted;
    this.#options.irq.set(wanted);
  }

  /** From TDH to TDT, at most once around. What the wire has no room for stops it until `poll`. */
  #transmit(): void {
    const v = this.registers.values;
    const count = v.TDLEN / DESCRIPTOR_BYTES;
    if (!(v.TCTL & TRANSMIT_ENABLE) || this.#sender.busy || v.TDT >= count || v.TDH >= count) return;
    const base = v.TDBAL + v.TDBAH * 2 ** 32;
    const { memory } = this.#options;
    let causes = 0;
    for (let left = count; left > 0 && v.TDH !== v.TDT && !this.#sender.busy; left--) {
      const at = base + DESCRIPTOR_BYTES * v.TDH;
      const { report, frames } = this.#assembler.take(at);
      if (frames) {
        v.GPTC++;
        this.#sender.send(frames);
      }
      if (report) {
        memory.writeU8(at + 12, memory.readU8(at + 12) | DONE);
        causes |= Cause.transmitted;
      }
      v.TDH = (v.TDH + 1) % count;
      if (v.TDH === v.TDT) causes |= Cause.queueEmpty;
    }
    if (causes) this.#raise(causes);
  }

  #receive(): void {
    const v = this.registers.values;
    const control = new ReceiveControl(v.RCTL);
    if (!control.enabled || !this.#linkUp) return drain(this.#wire, this.counters);
    let causes = 0;
    for (let left = POLL_FRAMES; left > 0; left--) {
      const frame = this.#held ?? this.#wire.receive();
      this.#held = undefined;
      if (!frame) break;
      if (!this.#filter.accepts(frame, control)) {
        this.counters.dropped++;
        continue;
      }
      if (!this.#store(frame, control)) {
        this.#held = frame;
        break;
      }
      causes |= Cause.received;
    }
    const count = v.RDLEN / DESCRIPTOR_BYTES;
    const free = count > 0 ? (v.RDT - v.RDH + count) % count : 0;
    if (causes && free <= count * control.fewShare) causes |= Cause.few;
    if (causes) this.#raise(causes);
  }

  /** Into as many descriptors as it takes (§3.2.3); false while the driver has not given enough of them. */
  #store(frame: Uint8Array, control: ReceiveControl): boolean {
    const v = this.registers.values;
    const { memory } = this.#options;
    const count = v.RDLEN / DESCRIPTOR_BYTES;
    const free = count > 0 && v.RDH < count && v.RDT < count ? (v.RDT - v.RDH + count) % count : 0;
    const total = frame.length + control.checkBytes;
    if (free * control.bufferBytes < total) return false;
    const base = v.RDBAL + v.RDBAH * 2 ** 32;
    for (let done = 0; done < total;) {
      const at = base + DESCRIPTOR_BYTES * v.RDH;
      const length = Math.min(control.bufferBytes, total - done);
      memory.write(memory.readU64(at), frame.subarray(done, done + length));
      done += length;
      const { status, errors } = receiveStatus(frame, v.RXCSUM, done === total);
      memory.writeU32(at + 8, length);
      memory.writeU32(at + 12, status | (errors << 8));
      v.RDH = (v.RDH + 1) % count;
    }
    v.GPRC++;
    v.GORCL = (v.GORCL + total) >>> 0;
    this.counters.receivedFrames++;
    this.counters.receivedBytes += frame.length;
    return true;
  }
}

const STATISTICS = new Map<number, "GPRC" | "GPTC" | "GORCL" | "MPC">([
  [0x4074, "GPRC"],
  [0x4080, "GPTC"],
  [0x4088, "GORCL"],
  [0x4010, "MPC"],
]);

/** Of the registers that do not reset to zero. */
const RESET_VALUES: Readonly<Record<string, number>> = {
  CTRL: 0x0a09,
  EECD: Eecd.present,
  MDIC: Mdic.ready,
  LEDCTL: 0x0706_0602,
  PBA: 0x0010_0030,
};
