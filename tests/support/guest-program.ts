/**
 * Guests of a few instructions, in 64-bit mode with flat memory, as ELF kernels: what a machine does, without a Linux. Output,
 * spinning and the end are the same bytes in 32-bit mode.
 */
const CODE = 0x100_0000;
const BYTES = 0x1_0000;

const little = (value: number, bytes: number): number[] =>
  Array.from({ length: bytes }, (_, i) => Math.floor(value / 2 ** (8 * i)) & 0xff);

export class GuestProgram {
  readonly #code: number[] = [];
  readonly #data = new Uint8Array(BYTES);

  /** mov edx, port; mov eax, value; out dx, al | ax | eax. */
  out(port: number, value: number, size: 1 | 2 | 4 = 1): this {
    return this.raw(
      0xba,
      ...little(port, 4),
      0xb8,
      ...little(value, 4),
      ...{ 1: [0xee], 2: [0x66, 0xef], 4: [0xef] }[size],
    );
  }

  print(text: string): this {
    for (const character of text) this.out(0x3f8, character.charCodeAt(0));
    return this;
  }

  /** mov ebx, address; mov [rbx], value. */
  store(address: number, value: number, size: 1 | 2 | 4 = 4): this {
    return this.raw(
      0xbb,
      ...little(address, 4),
      ...{ 1: [0xc6], 2: [0x66, 0xc7], 4: [0xc7] }[size],
      0x03,
      ...little(value, size),
    );
  }

  /** Spins until the word at an address is not zero: cmp word [address], 0; je. */
  waitForWord(address: number): this {
    return this.raw(0x66, 0x83, 0x3c, 0x25, ...little(address, 4), 0x00, 0x74, 0xf5);
  }

  /** Sends the bytes at an address: mov edx, 3F8h; then mov al, [address + i]; out dx, al. */
  printBytes(address: number, count: number): this {
    this.raw(0xba, ...little(0x3f8, 4));
    for (let i = 0; i < count; i++) this.raw(0x8a, 0x04, 0x25, ...little(address + i, 4), 0xee);
    return this;
  }

  /** mov ecx, rounds; dec ecx; jnz. */
  spin(rounds: number): this {
    return this.raw(0xb9, ...little(rounds, 4), 0xff, 0xc9, 0x75, 0xfc);
  }

  powerOff(): this {
    return this.out(0x604, 0x2000 | (5 << 10), 2).halt();
  }

  /** hlt; jmp back, so that an interrupt does not run into what follows. */
  halt(): this {
    return this.raw(0xf4, 0xeb, 0xfd);
  }

  raw(...bytes: number[]): this {
    this.#code.push(...bytes);
    return this;
  }

  /** Places data at an address between 1000_4000h and 1001_0000h. */
  data(address: number, bytes: readonly number[]): this {
    this.#data.set(bytes, address - CODE);
    return this;
  }

  /** Sets up virtio disk 0's queue at 100_8000h and asks for one sector, whose bytes come to 100_a000h. */
  readSector(sector: number): this {
    const bar = 0xfe00_0000;
    const ring = 0x100_8000;
    const descriptor = (address: number, length: number, flags: number, next: number): number[] => [
      ...little(address, 8),
      ...little(length, 4),
      ...little(flags, 2),
      ...little(next, 2),
    ];
    this.data(ring, [
      ...descriptor(0x100_9000, 16, 1, 1),
      ...descriptor(0x100_a000, 512, 3, 2),
      ...descriptor(0x100_9010, 1, 2, 0),
    ]);
    this.data(ring + 0x800, [...little(0, 2), ...little(1, 2), ...little(0, 2)]);
    this.data(0x100_9000, [...little(0, 8), ...little(sector, 8)]);
    this.store(bar + 0x14, 3, 1)
      .store(bar + 0x08, 1)
      .store(bar + 0x0c, 1)
      .store(bar + 0x14, 0x0b, 1);
    this.store(bar + 0x18, 16, 2)
      .store(bar + 0x20, ring)
      .store(bar + 0x28, ring + 0x800)
      .store(bar + 0x30, ring + 0xc00);
    return this.store(bar + 0x1c, 1, 2)
      .store(bar + 0x14, 0x0f, 1)
      .store(bar + 0x1000, 0, 2)
      .waitForWord(ring + 0xc02);
  }

  /** ELF64 with one loadable segment. */
  get kernel(): Uint8Array {
    const file = new Uint8Array(0x1000 + BYTES);
    const view = new DataView(file.buffer);
    file.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
    view.setUint16(18, 62, true);
    view.setBigUint64(24, BigInt(CODE), true);
    view.setBigUint64(32, 64n, true);
    view.setUint16(54, 56, true);
    view.setUint16(56, 1, true);
    view.setUint32(64, 1, true);
    view.setBigUint64(72, 0x1000n, true);
    view.setBigUint64(88, BigInt(CODE), true);
    view.setBigUint64(96, BigInt(BYTES), true);
    view.setBigUint64(104, BigInt(BYTES), true);
    file.set(this.#data, 0x1000);
    file.set(this.#code, 0x1000);
    return file;
  }

  /** ELF32 with the same segment. */
  get kernel32(): Uint8Array {
    const file = this.kernel;
    const view = new DataView(file.buffer);
    file.fill(0, 16, 0x100);
    file[4] = 1;
    view.setUint16(18, 3, true);
    view.setUint32(24, CODE, true);
    view.setUint32(28, 52, true);
    view.setUint16(42, 32, true);
    view.setUint16(44, 1, true);
    [1, 0x1000, CODE, CODE, BYTES, BYTES].forEach((value, i) => view.setUint32(52 + 4 * i, value, true));
    return file;
  }
}
