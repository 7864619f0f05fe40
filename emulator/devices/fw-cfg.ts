import type { PortMap } from "../bus/address-map.ts";
import type { GuestMemory } from "../bus/guest-memory.ts";

/**
 * The firmware configuration device (QEMU, docs/specs/fw_cfg.rst) at ports 0x510-0x51B: items by number, files by name, byte by
 * byte or by DMA. Read-only: guests cannot change what the board offers. Firmware looks for it by its ports; the DSDT does
 * not name it, so that no guest spends time on a driver.
 */
const Key = {
  signature: 0x00,
  id: 0x01,
  processors: 0x05,
  maxProcessors: 0x0f,
  directory: 0x19,
  firstFile: 0x20,
} as const;
const ID_TRADITIONAL_AND_DMA = 3;
const Dma = { error: 1, read: 2, skip: 4, select: 8, write: 16 } as const;
const DMA_BYTES = 16;
const NAME_BYTES = 56;
/** Larger transfers are errors; no file comes near it. */
const MAX_TRANSFER_BYTES = 16 << 20;

export interface FwCfgOptions {
  readonly ports: PortMap;
  readonly memory: GuestMemory;
  /** Names are at most 55 characters. */
  readonly files: ReadonlyMap<string, Uint8Array>;
}

const nothing = new Uint8Array(0);

export class FwCfg {
  readonly values = { SELECTOR: 0, OFFSET: 0, DMA_HIGH: 0 };
  readonly #items = new Map<number, Uint8Array>();
  readonly #memory: GuestMemory;

  constructor({ ports, memory, files }: FwCfgOptions) {
    this.#memory = memory;
    this.#items.set(Key.signature, new TextEncoder().encode("QEMU"));
    this.#items.set(Key.id, Uint8Array.of(ID_TRADITIONAL_AND_DMA, 0, 0, 0));
    this.#items.set(Key.processors, Uint8Array.of(1, 0));
    this.#items.set(Key.maxProcessors, Uint8Array.of(1, 0));
    this.#items.set(Key.directory, directory(files));
    [...files.values()].forEach((bytes, i) => this.#items.set(Key.firstFile + i, bytes));
    ports.claim(0x510, 2, {
      read: (offset) => (offset === 1 ? this.#next() : 0),
      write: (offset, size, value) => offset === 0 && size === 2 && this.#select(value),
    });
    ports.claim(0x514, 8, {
      read: (offset, size) => this.#readDma(offset, size),
      write: (offset, size, value) => size === 4 && this.#writeDma(offset, swap(value)),
    });
  }

  get #item(): Uint8Array {
    return this.#items.get(this.values.SELECTOR) ?? nothing;
  }

  #select(key: number): void {
    this.values.SELECTOR = key;
    this.values.OFFSET = 0;
  }

  /** Beyond an item's end there are zeros. */
  #next(): number {
    return this.#item[this.values.OFFSET++] ?? 0;
  }

  /** The address register reads as a signature, big-endian like everything of the DMA interface. */
  #readDma(offset: number, size: number): number {
    const signature = new TextEncoder().encode("QEMU CFG");
    let value = 0;
    for (let i = 0; i < size; i++) value += (signature[offset + i] ?? 0) * 2 ** (8 * i);
    return value;
  }

  #writeDma(offset: number, value: number): void {
    if (offset === 0) this.values.DMA_HIGH = value;
    if (offset !== 4) return;
    const at = this.values.DMA_HIGH * 2 ** 32 + value;
    this.values.DMA_HIGH = 0;
    if (this.#memory.contains(at, DMA_BYTES)) this.#transfer(at);
  }

  #transfer(at: number): void {
    const word = (offset: number): number => swap(this.#memory.readU32(at + offset));
    const control = word(0);
    const length = word(4);
    const address = word(8) * 2 ** 32 + word(12);
    if (control & Dma.select) this.#select(control >>> 16);
    const possible = (control & Dma.write) === 0 && length <= MAX_TRANSFER_BYTES;
    if (possible && control & Dma.read && this.#memory.contains(address, length)) {
      const bytes = this.#item.subarray(this.values.OFFSET, this.values.OFFSET + length);
      this.#memory.fill(address, length, 0);
      this.#memory.write(address, bytes);
    }
    const done = possible && (!(control & Dma.read) || this.#memory.contains(address, length));
    if (done && control & (Dma.read | Dma.skip)) this.values.OFFSET += length;
    this.#memory.writeU32(at, done ? 0 : swap(Dma.error));
  }
}

const swap = (value: number): number => new DataView(Uint32Array.of(value).buffer).getUint32(0, false);

/** Count, then size, key and name of each file, big-endian. */
function directory(files: ReadonlyMap<string, Uint8Array>): Uint8Array {
  const entryBytes = 8 + NAME_BYTES;
  const bytes = new Uint8Array(4 + entryBytes * files.size);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, files.size, false);
  [...files].forEach(([name, file], i) => {
    const at = 4 + entryBytes * i;
    view.setUint32(at, file.length, false);
    view.setUint16(at + 4, Key.firstFile + i, false);
    bytes.set(new TextEncoder().encode(name).subarray(0, NAME_BYTES - 1), at + 8);
  });
  return bytes;
}
