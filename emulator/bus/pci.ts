import type { AddressMap, PortMap, Region } from "./address-map.ts";

/**
 * PCI Local Bus 3.0: configuration mechanism #1 (§3.2.2.3.2), type 0 headers (§6.1), base address registers (§6.2.5.1),
 * capability list (§6.7). One bus. Not modelled: bridges, parity and abort reporting, latency, expansion ROMs.
 */
export interface PciIdentity {
  readonly vendor: number;
  readonly device: number;
  readonly revision?: number;
  /** Base class, sub-class and programming interface, 24 bits. */
  readonly classCode: number;
  readonly subsystemVendor?: number;
  readonly subsystem?: number;
  /** 1 = INTA#; 0 = none. */
  readonly interruptPin?: number;
  readonly interruptLine?: number;
  readonly multifunction?: boolean;
}

export interface Bar {
  /** 0-5; a 64-bit BAR takes the next one too. */
  readonly index: number;
  readonly kind: "io" | "memory32" | "memory64";
  /** A power of two; at least 4 for ports, 16 for memory. */
  readonly sizeBytes: number;
  readonly region: Region;
  /** Where the board puts it; the guest may move it. */
  readonly address: number;
  /** Memory without side effects. */
  readonly prefetchable?: boolean;
  /** Where it answers from now on; undefined: nowhere. */
  readonly onPlace?: (address: number | undefined) => void;
}

const COMMAND = 0x04;
const STATUS = 0x06;
const BARS = 0x10;
const CAPABILITIES = 0x34;
const Command = { io: 0x01, memory: 0x02 } as const;
const STATUS_CAPABILITIES = 0x10;

export class PciFunction {
  /** The 256 bytes of configuration space: also the snapshot. */
  readonly values = new Uint8Array(256);
  readonly bars: readonly Bar[];
  /** Called after the guest wrote configuration space. */
  readonly onWrite: ((offset: number, size: number) => void)[] = [];
  readonly #writable = new Uint8Array(256);
  readonly #view = new DataView(this.values.buffer);
  #lastCapability = CAPABILITIES;
  #nextCapability = 0x40;

  constructor(identity: PciIdentity, bars: readonly Bar[] = []) {
    this.bars = bars;
    this.set(0x00, 2, identity.vendor);
    this.set(0x02, 2, identity.device);
    this.set(COMMAND, 2, bars.length > 0 ? Command.io | Command.memory : 0, 0x0507);
    this.set(0x08, 4, (identity.classCode << 8) | (identity.revision ?? 0));
    this.set(0x0c, 1, 0, 0xff);
    this.set(0x0e, 1, identity.multifunction ? 0x80 : 0);
    this.set(0x2c, 2, identity.subsystemVendor ?? 0);
    this.set(0x2e, 2, identity.subsystem ?? 0);
    this.set(0x3c, 1, identity.interruptLine ?? 0, 0xff);
    this.set(0x3d, 1, identity.interruptPin ?? 0);
    for (const bar of bars) this.#layBar(bar);
  }

  /** Sets bytes and which of their bits the guest may change. */
  set(offset: number, size: 1 | 2 | 4, value: number, writable = 0): void {
    for (let i = 0; i < size; i++) {
      this.values[offset + i] = value >>> (8 * i);
      this.#writable[offset + i] = writable >>> (8 * i);
    }
  }

  /** Appends a capability (id, next, body); returns its offset. Bits of `writable` cover the body. */
  addCapability(id: number, body: Uint8Array, writable: Uint8Array = new Uint8Array(body.length)): number {
    const at = this.#nextCapability;
    this.values[this.#lastCapability === CAPABILITIES ? CAPABILITIES : this.#lastCapability + 1] = at;
    this.values[at] = id;
    this.values.set(body, at + 2);
    this.#writable.set(writable, at + 2);
    this.values[STATUS]! |= STATUS_CAPABILITIES;
    this.#lastCapability = at;
    this.#nextCapability = (at + 2 + body.length + 3) & ~3;
    return at;
  }

  read(offset: number, size: number): number {
    if (offset + size > 256) return 0xffff_ffff;
    if (size === 4) return this.#view.getUint32(offset, true);
    return size === 2 ? this.#view.getUint16(offset, true) : this.values[offset]!;
  }

  write(offset: number, size: number, value: number): void {
    if (offset + size > 256) return;
    for (let i = 0; i < size; i++) {
      const writable = this.#writable[offset + i]!;
      this.values[offset + i] = (this.values[offset + i]! & ~writable) | ((value >>> (8 * i)) & writable);
    }
    for (const hook of this.onWrite) hook(offset, size);
  }

  /** Where a BAR answers now; undefined when decoding is off or the address is out of reach. */
  placeOf(bar: Bar): number | undefined {
    const at = BARS + 4 * bar.index;
    const enabled = this.values[COMMAND]! & (bar.kind === "io" ? Command.io : Command.memory);
    const low = this.#view.getUint32(at, true) & ~(bar.sizeBytes - 1);
    const high = bar.kind === "memory64" ? this.#view.getUint32(at + 4, true) : 0;
    const limit = bar.kind === "io" ? 0x1_0000 : 2 ** 32;
    const address = low >>> 0;
    return enabled && high === 0 && address !== 0 && address + bar.sizeBytes <= limit ? address : undefined;
  }

  #layBar({ index, kind, sizeBytes, address, prefetchable }: Bar): void {
    const flags = kind === "io" ? 1 : (kind === "memory64" ? 4 : 0) | (prefetchable ? 8 : 0);
    this.set(BARS + 4 * index, 4, address | flags, ~(sizeBytes - 1) & (kind === "io" ? 0xfffc : ~0xf));
    if (kind === "memory64") this.set(BARS + 4 * index + 4, 4, 0, 0xffff_ffff);
  }
}

export interface PciBusOptions {
  readonly mmio: AddressMap;
  readonly ports: PortMap;
  /** Bytes written to port 0xCF9, which lies inside CONFIG_ADDRESS (PIIX3 datasheet §2.4.3). */
  readonly onResetControl: (value: number) => void;
}

/** Bus 0, behind ports 0xCF8-0xCFF. */
export class PciBus implements Region {
  #address = 0;
  readonly #functions = new Map<number, PciFunction>();
  readonly #placed = new Map<Bar, number>();
  readonly #options: PciBusOptions;

  constructor(options: PciBusOptions) {
    this.#options = options;
    options.ports.claim(0xcf8, 8, this);
  }

  add(device: number, index: number, fn: PciFunction): void {
    const key = (device << 3) | index;
    if (this.#functions.has(key)) throw new Error(`PCI function ${device}.${index} exists`);
    this.#functions.set(key, fn);
    const touchesDecoding = (offset: number, size: number): boolean =>
      offset < 0x28 && offset + size > COMMAND;
    fn.onWrite.push((offset, size) => touchesDecoding(offset, size) && this.#remap(fn));
    this.#remap(fn);
  }

  read(offset: number, size: number): number {
    if (offset === 0 && size === 4) return this.#address;
    if (offset < 4) return 0xffff_ffff >>> (32 - 8 * size);
    const value = this.#target()?.read((this.#address & 0xfc) + (offset & 3), size) ?? 0xffff_ffff;
    return (value & (0xffff_ffff >>> (32 - 8 * size))) >>> 0;
  }

  write(offset: number, size: number, value: number): void {
    if (offset === 0 && size === 4) this.#address = (value & 0x80ff_fffc) >>> 0;
    else if (offset === 1 && size === 1) this.#options.onResetControl(value);
    else if (offset >= 4) this.#target()?.write((this.#address & 0xfc) + (offset & 3), size, value);
  }

  #target(): PciFunction | undefined {
    const enabled = this.#address >>> 31 === 1 && ((this.#address >>> 16) & 0xff) === 0;
    return enabled ? this.#functions.get((this.#address >>> 8) & 0xff) : undefined;
  }

  #remap(fn: PciFunction): void {
    for (const bar of fn.bars) {
      const map = bar.kind === "io" ? this.#options.ports.relocatable : this.#options.mmio;
      const place = fn.placeOf(bar);
      if (place === this.#placed.get(bar)) continue;
      map.remove(bar.region);
      this.#placed.delete(bar);
      if (place !== undefined) {
        map.place(place, bar.sizeBytes, bar.region);
        this.#placed.set(bar, place);
      }
      bar.onPlace?.(place);
    }
  }
}
