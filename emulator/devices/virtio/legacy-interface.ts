import type { Region } from "../../bus/address-map.ts";
import type { Virtqueue } from "./virtqueue.ts";

/**
 * The legacy interface of a transitional device (virtio 1.2 §4.1.4.10, §2.7.2): registers in I/O ports, rings that lie behind
 * each other from one page number on, features of 32 bits and no FEATURES_OK.
 */
export interface LegacyHost {
  /** The common configuration, whose selector and vectors mean the same here. */
  readonly common: {
    read(at: number, size: number): number;
    write(at: number, value: number, size: number): void;
  };
  readonly queues: readonly Virtqueue[];
  readonly msix: { readonly enabled: boolean };
  readonly driverFeatures: number[];
  offeredFeatures(): number;
  setStatus(value: number): void;
  notify(queue: number): void;
  readIsr(): number;
  readConfig(offset: number, size: number): number;
  writeConfig(offset: number, size: number, value: number): void;
}

/** Registers of the common configuration that are read and written through. */
const Common = { configVector: 0x10, status: 0x14, select: 0x16, vector: 0x1a, selected: 0x1e } as const;

export const LEGACY_PORTS = 0x100;
const PAGE_BYTES = 4096;
/** What follows the fixed registers: two vectors while MSI-X is on, then the device's own. */
const CONFIG = 20;
const VECTORS_BYTES = 4;

/** Puts the rings of a queue where its page says. Zero takes the queue away. */
export function layRings(queue: Virtqueue, page: number): void {
  const { VECTOR } = queue.values;
  queue.reset();
  queue.values.VECTOR = VECTOR;
  if (page === 0) return;
  const size = queue.maxSize;
  const places = {
    DESC: page * PAGE_BYTES,
    AVAIL: page * PAGE_BYTES + 16 * size,
    USED: Math.ceil((page * PAGE_BYTES + 18 * size + 6) / PAGE_BYTES) * PAGE_BYTES,
  };
  for (const name of ["DESC", "AVAIL", "USED"] as const) {
    queue.values[`${name}_LOW`] = places[name] % 2 ** 32;
    queue.values[`${name}_HIGH`] = Math.floor(places[name] / 2 ** 32);
  }
  queue.enable();
}

const pageOf = (queue: Virtqueue | undefined): number =>
  queue ? Math.floor((queue.values.DESC_LOW + queue.values.DESC_HIGH * 2 ** 32) / PAGE_BYTES) : 0;

export class LegacyInterface implements Region {
  readonly #host: LegacyHost;

  constructor(host: LegacyHost) {
    this.#host = host;
  }

  read(offset: number, size: number): number {
    const host = this.#host;
    const config = this.#configOffset(offset);
    if (config !== null) return host.readConfig(config, size) >>> 0;
    switch (offset) {
      case 0:
        return host.offeredFeatures();
      case 4:
        return host.driverFeatures[0]!;
      case 8:
        return pageOf(this.#queue);
      case 12:
        return this.#queue?.maxSize ?? 0;
      case 14:
        return host.common.read(Common.selected, 2);
      case 18:
        return host.common.read(Common.status, 1);
      case 19:
        return host.readIsr();
      case 20:
        return host.common.read(Common.configVector, 2);
      case 22:
        return host.common.read(Common.vector, 2);
      default:
        return 0;
    }
  }

  write(offset: number, size: number, value: number): void {
    const host = this.#host;
    const config = this.#configOffset(offset);
    if (config !== null) return host.writeConfig(config, size, value);
    switch (offset) {
      case 4:
        host.driverFeatures[0] = (value & host.offeredFeatures()) >>> 0;
        return;
      case 8:
        if (this.#queue) layRings(this.#queue, value);
        return;
      case 14:
        return host.common.write(Common.select, value, 2);
      case 16:
        return host.notify(value & 0xffff);
      case 18:
        return host.setStatus(value & 0xff);
      case 20:
        return host.common.write(Common.configVector, value, 2);
      case 22:
        return host.common.write(Common.vector, value & 0xffff, 2);
    }
  }

  get #queue(): Virtqueue | undefined {
    return this.#host.queues[this.#host.common.read(Common.selected, 2)];
  }

  /** Null: a register of the transport. */
  #configOffset(offset: number): number | null {
    const start = this.#host.msix.enabled ? CONFIG + VECTORS_BYTES : CONFIG;
    return offset >= start ? offset - start : null;
  }
}
