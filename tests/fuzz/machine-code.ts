/** Machine code and system tables as lists of bytes, for the ROMs of system streams. */

export const word = (value: number): number[] => [value & 255, (value >> 8) & 255];
export const long = (value: number): number[] => [...word(value), ...word(value >>> 16)];
export const quad = (value: bigint): number[] => [
  ...long(Number(value & 0xffffffffn)),
  ...long(Number((value >> 32n) & 0xffffffffn)),
];

/** A descriptor (SDM 3A §3.4.5): access byte, flags nibble (G D L AVL). */
export const descriptor = (base: number, limit: number, access: number, flags: number): number[] => [
  ...word(limit),
  ...word(base),
  (base >> 16) & 255,
  access,
  ((limit >> 16) & 15) | (flags << 4),
  (base >>> 24) & 255,
];
/** A call, interrupt, trap or task gate of 8 bytes (SDM 3A §5.8.3, §6.11). */
export const gate = (selector: number, offset: number, access: number, count = 0): number[] => [
  ...word(offset),
  ...word(selector),
  count,
  access,
  ...word(offset >>> 16),
];
/** A gate of 16 bytes in long mode (SDM 3A §5.8.3.1, §6.14.1); `count` is the interrupt stack table's number. */
export const longGate = (selector: number, offset: bigint, access: number, count = 0): number[] => [
  ...gate(selector, Number(offset & 0xffffffffn), access, count),
  ...long(Number((offset >> 32n) & 0xffffffffn)),
  ...long(0),
];
/** A TSS or LDT descriptor of 16 bytes (SDM 3A §7.2.3). */
export const longDescriptor = (base: bigint, limit: number, access: number): number[] => [
  ...descriptor(Number(base & 0xffffffffn), limit, access, 0),
  ...long(Number((base >> 32n) & 0xffffffffn)),
  ...long(0),
];

/** Code with labels for near jumps of 32 bits. */
export class Code {
  readonly bytes: number[] = [];
  readonly #labels = new Map<string, number>();
  readonly #uses: { at: number; name: string; size: 2 | 4 }[] = [];
  readonly #origin: number;
  constructor(origin: number) {
    this.#origin = origin;
  }
  put(...bytes: readonly number[]): this {
    this.bytes.push(...bytes);
    return this;
  }
  label(name: string): this {
    this.#labels.set(name, this.bytes.length);
    return this;
  }
  /** An opcode followed by a distance of 32 bits. */
  jump(name: string, ...opcode: readonly number[]): this {
    return this.#distance(name, 4, opcode);
  }
  /** The same with a distance of 16 bits, in 16-bit code. */
  jump16(name: string, ...opcode: readonly number[]): this {
    return this.#distance(name, 2, opcode);
  }
  #distance(name: string, size: 2 | 4, opcode: readonly number[]): this {
    this.put(...opcode);
    this.#uses.push({ at: this.bytes.length, name, size });
    return this.put(...Array.from({ length: size }, () => 0));
  }
  address(name: string): number {
    const place = this.#labels.get(name);
    if (place === undefined) throw new Error(`no label ${name}`);
    return this.#origin + place;
  }
  finish(): number[] {
    for (const { at, name, size } of this.#uses) {
      const distance = this.address(name) - (this.#origin + at + size);
      this.bytes.splice(at, size, ...long(distance).slice(0, size));
    }
    return this.bytes;
  }
}

/** Pieces of 32-bit and 64-bit code alike: registers are 32 bits wide, addresses below 4 GiB. */
const move = {
  edi: (value: number): number[] => [0xbf, ...long(value)],
  esi: (value: number): number[] => [0xbe, ...long(value)],
  ecx: (value: number): number[] => [0xb9, ...long(value)],
};
/** REP MOVSD. */
export const copy = (to: number, from: number, bytes: number): number[] => [
  ...move.edi(to),
  ...move.esi(from),
  ...move.ecx(bytes >> 2),
  0xf3,
  0xa5,
];
/** REP STOSD. */
export const fill = (to: number, value: number, bytes: number): number[] => [
  ...move.edi(to),
  0xb8,
  ...long(value),
  ...move.ecx(bytes >> 2),
  0xf3,
  0xab,
];
/** Adds the doublewords of a stretch into EBX, turned by one bit each: LODSD; ROL EBX, 1; ADD EBX, EAX; LOOP. */
export const sum = (from: number, end: number): number[] => [
  ...move.esi(from),
  ...move.ecx((end - from) >> 2),
  0xad,
  0xd1,
  0xc3,
  0x01,
  0xc3,
  0xe2,
  0xf9,
];
/** MOV EAX, value; MOV ECX, number; XOR EDX, EDX; WRMSR. */
export const writeMsr = (number: number, value: number): number[] => [
  ...moveEax(value),
  ...move.ecx(number),
  0x31,
  0xd2,
  0x0f,
  0x30,
];

/** MOV EAX and MOV RAX of an immediate. */
export const moveEax = (value: number): number[] => [0xb8, ...long(value)];
export const moveRax = (value: bigint): number[] => [0x48, 0xb8, ...quad(value)];
/** MOV ECX, number; MOV EAX and EDX, the halves of the value; WRMSR. */
export const writeWideMsr = (number: number, value: bigint): number[] => [
  ...move.ecx(number),
  ...moveEax(Number(value & 0xffffffffn)),
  0xba,
  ...long(Number((value >> 32n) & 0xffffffffn)),
  0x0f,
  0x30,
];

/** What a ROM prints when it is through with its streams. */
export const END_MARK = [0x5e, 0x3c, 0xa1, 0xd8];
const moveDx = (port: number): number[] => [0xba, ...long(port)];
const letters = (text: string): number[] => Array.from(text, (letter) => letter.charCodeAt(0));
/** The mark to port E9h, then the ways to switch off QEMU (its debug exit at F4h) and Bochs (port 8900h), then nothing. */
export const switchOff = (): number[] => [
  ...moveDx(0xe9),
  ...END_MARK.flatMap((byte) => [0xb0, byte, 0xee]),
  ...[0xb0, 0, 0xe6, 0xf4].concat(moveDx(0x8900)),
  ...letters("Shutdown").flatMap((letter) => [0xb0, letter, 0xee]),
  0xfa,
  0xf4,
];
