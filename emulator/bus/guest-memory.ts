/**
 * Guest RAM as devices see it. Nothing here throws for a bad address: callers ask `contains` first, and what lies outside
 * RAM reads as zeros and swallows writes, as a bus without a target does.
 */
export interface GuestMemoryOptions {
  readonly ram: Uint8Array;
  /** Tells the CPU that a device wrote here, so that code decoded from it is dropped. */
  readonly onWrite: (address: number, length: number) => void;
}

export class GuestMemory {
  readonly sizeBytes: number;
  readonly #ram: Uint8Array;
  readonly #view: DataView;
  readonly #onWrite: (address: number, length: number) => void;

  constructor({ ram, onWrite }: GuestMemoryOptions) {
    this.#ram = ram;
    this.#view = new DataView(ram.buffer, ram.byteOffset, ram.byteLength);
    this.#onWrite = onWrite;
    this.sizeBytes = ram.byteLength;
  }

  contains(address: number, length: number): boolean {
    return address >= 0 && length >= 0 && address + length <= this.sizeBytes;
  }

  readU8(address: number): number {
    return this.contains(address, 1) ? this.#view.getUint8(address) : 0;
  }
  readU16(address: number): number {
    return this.contains(address, 2) ? this.#view.getUint16(address, true) : 0;
  }
  readU32(address: number): number {
    return this.contains(address, 4) ? this.#view.getUint32(address, true) : 0;
  }
  /** Exact below 2^53; larger values lose low bits, which no address in RAM has. */
  readU64(address: number): number {
    return this.readU32(address) + this.readU32(address + 4) * 2 ** 32;
  }

  writeU8(address: number, value: number): void {
    if (!this.contains(address, 1)) return;
    this.#view.setUint8(address, value);
    this.#onWrite(address, 1);
  }
  writeU16(address: number, value: number): void {
    if (!this.contains(address, 2)) return;
    this.#view.setUint16(address, value, true);
    this.#onWrite(address, 2);
  }
  writeU32(address: number, value: number): void {
    if (!this.contains(address, 4)) return;
    this.#view.setUint32(address, value, true);
    this.#onWrite(address, 4);
  }

  /** The live bytes; empty when any of them is outside RAM. The guest may change them at any time: copy before checking. */
  view(address: number, length: number): Uint8Array {
    return this.contains(address, length)
      ? this.#ram.subarray(address, address + length)
      : this.#ram.subarray(0, 0);
  }

  write(address: number, bytes: Uint8Array): void {
    if (bytes.length === 0 || !this.contains(address, bytes.length)) return;
    this.#ram.set(bytes, address);
    this.#onWrite(address, bytes.length);
  }

  fill(address: number, length: number, value: number): void {
    if (length === 0 || !this.contains(address, length)) return;
    this.#ram.fill(value, address, address + length);
    this.#onWrite(address, length);
  }
}
