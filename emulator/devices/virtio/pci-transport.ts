import type { GuestMemory } from "../../bus/guest-memory.ts";
import type { IrqLine, MsiSink } from "../../bus/interrupts.ts";
import { Msix, MSIX_BAR_BYTES } from "../../bus/msix.ts";
import { PciFunction, type Bar, type PciIdentity } from "../../bus/pci.ts";
import { bank } from "../register-bank.ts";
import { LEGACY_PORTS, LegacyInterface, type LegacyHost } from "./legacy-interface.ts";
import { Virtqueue } from "./virtqueue.ts";

/**
 * Virtio over PCI (virtio 1.2 §4.1): BAR 0 holds common, notify, ISR and device configuration at fixed places, BAR 2 the
 * MSI-X table. One doorbell per queue. A transitional device has its legacy interface in BAR 0, the same structures in BAR 4,
 * and the identity of old. Not modelled: queue reset, shared memory.
 */
export interface VirtioModel {
  /** Device type (§5); the PCI device id is 0x1040 + type. */
  readonly type: number;
  readonly subsystem: number;
  readonly classCode: number;
  /** Feature bits 0-31 that the device offers; VERSION_1 and INDIRECT_DESC are added. */
  readonly features: number;
  readonly queueSizes: readonly number[];
  /** Device configuration space (§2.5), at most 256 bytes. */
  readConfig(offset: number, size: number): number;
  writeConfig?(offset: number, size: number, value: number): void;
  /** The driver rang the bell of a queue. */
  onNotify(queue: number): void;
  /** The driver reset the device: forget every request. */
  onReset(): void;
}

/** What a device sees of its transport. */
export interface VirtioPort {
  readonly memory: GuestMemory;
  readonly queues: readonly Virtqueue[];
  /** Bits 0-31 of the negotiated features. */
  readonly features: number;
  /** The driver came by the legacy interface: it has not taken VERSION_1. */
  readonly legacy: boolean;
  /** The driver has said DRIVER_OK and broken no rule since: queues may be served. */
  readonly live: boolean;
  /** Puts a request into the used ring and interrupts when the driver wants that. */
  complete(queue: number, head: number, writtenBytes: number): void;
  /** Tells the driver that something in the configuration space has changed (§2.5). */
  configurationChanged(): void;
  /** The driver broke a rule (§2.1.2): no request is served until it resets the device. */
  needsReset(): void;
}

const Status = {
  acknowledge: 1,
  driver: 2,
  driverOk: 4,
  featuresOk: 8,
  needsReset: 64,
  failed: 128,
} as const;
const INDIRECT_DESC = 1 << 28;
/** Bit 32, in the upper word. */
const VERSION_1 = 1;
const Place = { common: 0x0000, notify: 0x1000, isr: 0x2000, device: 0x3000 } as const;
const BAR_BYTES = 0x4000;
const NOTIFY_MULTIPLIER = 4;
const Isr = { queue: 1, configuration: 2 } as const;
const INTERRUPT_DISABLE = 0x0400;

export interface VirtioPciOptions {
  readonly model: (port: VirtioPort) => VirtioModel;
  readonly memory: GuestMemory;
  readonly irq: IrqLine;
  readonly interruptLine: number;
  readonly send: MsiSink;
  /** Where the board puts the structures; the MSI-X table follows them. */
  readonly address: number;
  /** Of a transitional device: where the board puts the 256 ports of its legacy interface. */
  readonly legacyPorts?: number;
}

/** §4.1.2.1: of the types that have a transitional form. */
const TRANSITIONAL_ID: Readonly<Record<number, number>> = { 1: 0x1000, 2: 0x1001, 3: 0x1003, 4: 0x1005 };

export class VirtioPci implements VirtioPort {
  readonly pci: PciFunction;
  readonly memory: GuestMemory;
  readonly queues: readonly Virtqueue[];
  readonly msix: Msix;
  readonly model: VirtioModel;
  readonly #irq: IrqLine;
  /** Number of the BAR that holds the structures. */
  readonly #structures: 0 | 4;
  #isr = 0;
  #configWindow = 0;
  /** The three selectors of the common configuration. */
  #offeredWord = 0;
  #acceptedWord = 0;
  #selected = 0;

  /** §4.1.4.3: names without the prefix; queue fields act on the selected queue. */
  readonly common = bank({
    DEVICE_FEATURE_SELECT: {
      at: 0x00,
      bytes: 4,
      writable: 0xffff_ffff,
      onWrite: (value) => (this.#offeredWord = value),
    },
    DEVICE_FEATURE: { at: 0x04, bytes: 4, onRead: () => this.#offered(this.#offeredWord) },
    DRIVER_FEATURE_SELECT: {
      at: 0x08,
      bytes: 4,
      writable: 0xffff_ffff,
      onWrite: (value) => (this.#acceptedWord = value),
    },
    DRIVER_FEATURE: {
      at: 0x0c,
      bytes: 4,
      onRead: () => this.driverFeatures[this.#acceptedWord] ?? 0,
      onWrite: (value) => this.#accept(value),
    },
    CONFIG_VECTOR: { at: 0x10, bytes: 2, writable: 0xffff, reset: 0xffff },
    NUM_QUEUES: { at: 0x12, bytes: 2, onRead: () => this.queues.length },
    STATUS: { at: 0x14, onWrite: (value) => this.#setStatus(value) },
    GENERATION: { at: 0x15 },
    QUEUE_SELECT: { at: 0x16, bytes: 2, writable: 0xffff, onWrite: (value) => (this.#selected = value) },
    QUEUE_SIZE: {
      at: 0x18,
      bytes: 2,
      onRead: () => this.#queue?.values.SIZE ?? 0,
      onWrite: (value) => this.#setSize(value),
    },
    QUEUE_VECTOR: {
      at: 0x1a,
      bytes: 2,
      onRead: () => this.#queue?.values.VECTOR ?? 0xffff,
      onWrite: (value) => this.#setVector(value),
    },
    QUEUE_ENABLE: {
      at: 0x1c,
      bytes: 2,
      onRead: () => this.#queue?.values.ENABLE ?? 0,
      onWrite: (value) => this.#enableQueue(value),
    },
    QUEUE_NOTIFY_OFF: { at: 0x1e, bytes: 2, onRead: () => this.#selected },
    QUEUE_DESC_LOW: this.#address(0x20, "DESC_LOW"),
    QUEUE_DESC_HIGH: this.#address(0x24, "DESC_HIGH"),
    QUEUE_DRIVER_LOW: this.#address(0x28, "AVAIL_LOW"),
    QUEUE_DRIVER_HIGH: this.#address(0x2c, "AVAIL_HIGH"),
    QUEUE_DEVICE_LOW: this.#address(0x30, "USED_LOW"),
    QUEUE_DEVICE_HIGH: this.#address(0x34, "USED_HIGH"),
  });
  readonly driverFeatures = [0, 0];

  constructor(options: VirtioPciOptions) {
    this.memory = options.memory;
    this.#irq = options.irq;
    this.model = options.model(this);
    this.queues = this.model.queueSizes.map((size) => new Virtqueue(size, options.memory));
    this.msix = new Msix(this.queues.length + 1, options.send);
    this.#structures = options.legacyPorts === undefined ? 0 : 4;
    this.pci = new PciFunction(this.#identity(options), this.#bars(options));
    this.#addCapabilities();
  }

  get features(): number {
    return this.driverFeatures[0]!;
  }

  get legacy(): boolean {
    return this.driverFeatures[1] !== VERSION_1;
  }

  complete(queue: number, head: number, writtenBytes: number): void {
    const target = this.queues[queue]!;
    if (target.push(head, writtenBytes)) this.#interrupt(target.values.VECTOR, Isr.queue);
  }

  get live(): boolean {
    return (this.common.values.STATUS & (Status.driverOk | Status.needsReset)) === Status.driverOk;
  }

  configurationChanged(): void {
    const values = this.common.values;
    values.GENERATION = (values.GENERATION + 1) & 0xff;
    if (this.live) this.#interrupt(values.CONFIG_VECTOR, Isr.configuration);
  }

  needsReset(): void {
    const status = this.common.values;
    if (status.STATUS & Status.needsReset) return;
    status.STATUS |= Status.needsReset;
    if (status.STATUS & Status.driverOk) this.#interrupt(status.CONFIG_VECTOR, Isr.configuration);
  }

  #identity({ interruptLine, legacyPorts }: VirtioPciOptions): PciIdentity {
    const { type, classCode, subsystem } = this.model;
    const shared = { vendor: 0x1af4, subsystemVendor: 0x1af4, classCode, interruptPin: 1, interruptLine };
    if (legacyPorts === undefined) return { ...shared, device: 0x1040 + type, revision: 1, subsystem };
    const device = TRANSITIONAL_ID[type];
    if (device === undefined) throw new Error(`virtio type ${type} has no transitional form`);
    return { ...shared, device, revision: 0, subsystem: type };
  }

  #bars({ address, legacyPorts }: VirtioPciOptions): Bar[] {
    const bars: Bar[] = [
      {
        index: this.#structures,
        kind: "memory64",
        sizeBytes: BAR_BYTES,
        address,
        region: {
          read: (offset, size) => this.#read(offset, size),
          write: (offset, size, value) => this.#write(offset, size, value),
        },
      },
      {
        index: 2,
        kind: "memory32",
        sizeBytes: MSIX_BAR_BYTES,
        address: address + BAR_BYTES,
        region: this.msix,
      },
    ];
    if (legacyPorts !== undefined)
      bars.push({
        index: 0,
        kind: "io",
        sizeBytes: LEGACY_PORTS,
        address: legacyPorts,
        region: new LegacyInterface(this.#legacyHost()),
      });
    return bars;
  }

  /** The same device as seen through the legacy interface, which knows no FEATURES_OK. */
  #legacyHost(): LegacyHost {
    const { common, queues, msix, driverFeatures } = this;
    return {
      common,
      queues,
      msix,
      driverFeatures,
      offeredFeatures: () => this.#offered(0),
      setStatus: (value) => {
        if (value === 0) this.#reset();
        else common.values.STATUS = value & ~(Status.featuresOk | Status.needsReset);
      },
      notify: (queue) => this.#notify(queue),
      readIsr: () => this.#readIsr(),
      readConfig: (offset, size) => this.model.readConfig(offset, size),
      writeConfig: (offset, size, value) => this.model.writeConfig?.(offset, size, value),
    };
  }

  get #queue(): Virtqueue | undefined {
    return this.queues[this.#selected];
  }

  #address(
    at: number,
    name: "DESC_LOW" | "DESC_HIGH" | "AVAIL_LOW" | "AVAIL_HIGH" | "USED_LOW" | "USED_HIGH",
  ) {
    return {
      at,
      bytes: 4,
      onRead: () => this.#queue?.values[name] ?? 0,
      onWrite: (value: number) => {
        if (this.#queue && !this.#queue.values.ENABLE) this.#queue.values[name] = value;
      },
    } as const;
  }

  #offered(word: number): number {
    if (word === 0) return (this.model.features | INDIRECT_DESC) >>> 0;
    return word === 1 ? VERSION_1 : 0;
  }

  #accept(value: number): void {
    if (this.#acceptedWord < 2 && !(this.common.values.STATUS & Status.featuresOk))
      this.driverFeatures[this.#acceptedWord] = value;
  }

  /** §3.1.1: FEATURES_OK stays clear when the driver took what was not offered, or not VERSION_1. */
  #setStatus(value: number): void {
    const v = this.common.values;
    if (value === 0) return this.#reset();
    const [low = 0, high = 0] = this.driverFeatures;
    const acceptable = (low & ~this.#offered(0)) === 0 && high === VERSION_1;
    v.STATUS = (v.STATUS & Status.needsReset) | (value & (acceptable ? 0xbf : 0xbf & ~Status.featuresOk));
  }

  #reset(): void {
    const v = this.common.values;
    v.STATUS = 0;
    v.CONFIG_VECTOR = 0xffff;
    this.driverFeatures.fill(0);
    for (const queue of this.queues) queue.reset();
    this.#isr = 0;
    this.#updateLine();
    this.model.onReset();
  }

  #setSize(size: number): void {
    const queue = this.#queue;
    const valid = size > 0 && (size & (size - 1)) === 0 && queue && size <= queue.maxSize;
    if (valid && !queue.values.ENABLE) queue.values.SIZE = size;
  }

  /** §4.1.5.1.2: a vector that does not exist reads back as NO_VECTOR. */
  #setVector(vector: number): void {
    if (this.#queue) this.#queue.values.VECTOR = vector <= this.queues.length ? vector : 0xffff;
  }

  #enableQueue(value: number): void {
    const queue = this.#queue;
    if (value !== 1 || !queue || queue.values.ENABLE) return;
    queue.enable();
    if (queue.broken) this.needsReset();
  }

  #notify(index: number): void {
    const queue = this.queues[index];
    if (!this.live || !queue?.values.ENABLE) return;
    this.model.onNotify(index);
    if (queue.broken) this.needsReset();
  }

  /** With MSI-X on, the message is everything; otherwise the ISR bit and INTA#. */
  #interrupt(vector: number, bit: number): void {
    if (this.msix.enabled) return this.msix.notify(vector);
    this.#isr |= bit;
    this.#updateLine();
  }

  #updateLine(): void {
    this.#irq.set(this.#isr !== 0 && (this.pci.read(4, 2) & INTERRUPT_DISABLE) === 0);
  }

  #read(offset: number, size: number): number {
    const place = offset & 0xf000;
    const at = offset & 0xfff;
    if (place === Place.common) return at < 0x40 ? this.common.read(at, size) : 0;
    if (place === Place.device) return at < 0x100 ? this.model.readConfig(at, size) >>> 0 : 0;
    return place === Place.isr && at === 0 ? this.#readIsr() : 0;
  }

  /** Reading takes the interrupt back (§4.1.4.5). */
  #readIsr(): number {
    const isr = this.#isr;
    this.#isr = 0;
    this.#updateLine();
    return isr;
  }

  #write(offset: number, size: number, value: number): void {
    const place = offset & 0xf000;
    const at = offset & 0xfff;
    if (place === Place.notify) this.#notify(at / NOTIFY_MULTIPLIER);
    else if (place === Place.common && at < 0x40) this.common.write(at, value, size);
    else if (place === Place.device && at < 0x100) this.model.writeConfig?.(at, size, value);
  }

  /** §4.1.4: one vendor capability per structure; then MSI-X. */
  #addCapabilities(): void {
    const structure = (
      type: number,
      offset: number,
      length: number,
      extra: readonly number[] = [],
    ): number => {
      const body = new Uint8Array(14 + 4 * extra.length);
      const view = new DataView(body.buffer);
      body[0] = body.length + 2;
      body[1] = type;
      body[2] = this.#structures;
      view.setUint32(6, offset, true);
      view.setUint32(10, length, true);
      extra.forEach((word, i) => view.setUint32(14 + 4 * i, word, true));
      const writable = type === 5 ? new Uint8Array(body.length).fill(0xff, 2) : new Uint8Array(body.length);
      return this.pci.addCapability(0x09, body, writable);
    };
    structure(1, Place.common, 0x100);
    structure(2, Place.notify, 0x100, [NOTIFY_MULTIPLIER]);
    structure(3, Place.isr, 0x20);
    structure(4, Place.device, 0x100);
    this.#configWindow = structure(5, 0, 0, [0]);
    this.pci.onWrite.push((offset, size) => this.#throughWindow(offset, size));
    this.msix.attach(this.pci, 2);
  }

  /**
   * §4.1.4.9: configuration access to BAR 0 for guests that cannot map it. The data word is the register at `offset` after
   * every write to the window's fields, and writing it writes there. Reads see the value as of the last such write.
   */
  #throughWindow(offset: number, size: number): void {
    const window = this.#configWindow;
    if (offset < window + 4 || offset >= window + 20 || this.pci.values[window + 4] !== this.#structures)
      return;
    const at = this.pci.read(window + 8, 4);
    const length = this.pci.read(window + 12, 4);
    if ((length !== 1 && length !== 2 && length !== 4) || at >= BAR_BYTES) return;
    const data = window + 16;
    if (offset === data)
      this.#write(at, length, this.pci.read(data, size) & (0xffff_ffff >>> (32 - 8 * length)));
    else new DataView(this.pci.values.buffer).setUint32(data, this.#read(at, length), true);
  }
}
