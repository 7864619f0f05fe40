/**
 * A small assembler for tests: the instructions they need, labels, nothing more. In 32-bit mode the 64-bit names mean the
 * 32-bit registers, so that one program may be written for both.
 */
const names = {
  8: ["al", "cl", "dl", "bl", "spl", "bpl", "sil", "dil"],
  32: ["eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi"],
  64: ["rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi"],
} as const;
for (const [bits, suffix] of [
  [8, "b"],
  [32, "d"],
  [64, ""],
] as const) {
  const list = names[bits] as unknown as string[];
  for (let n = 8; n < 16; n++) list.push(`r${n}${suffix}`);
}

interface Register {
  readonly number: number;
  readonly bits: 8 | 32 | 64;
}
function register(name: string): Register {
  for (const bits of [8, 32, 64] as const) {
    const number = (names[bits] as readonly string[]).indexOf(name);
    if (number >= 0) return { number, bits };
  }
  throw new Error(`no register ${name}`);
}

/** [base + index * scale + displacement], with a segment override if need be. */
export interface Memory {
  readonly base?: string;
  readonly index?: string;
  readonly scale?: 1 | 2 | 4 | 8;
  readonly displacement?: number;
  readonly gs?: boolean;
}
type Operand = string | Memory;

const arithmetic = ["add", "or", "adc", "sbb", "and", "sub", "xor", "cmp"] as const;
export type Arithmetic = (typeof arithmetic)[number];
const conditions = [
  "o",
  "no",
  "b",
  "ae",
  "e",
  "ne",
  "be",
  "a",
  "s",
  "ns",
  "p",
  "np",
  "l",
  "ge",
  "le",
  "g",
] as const;
export type Condition = (typeof conditions)[number];

const bytesOf = (value: number, size: number): number[] =>
  Array.from({ length: size }, (_, k) => Math.floor(value / 2 ** (8 * k)) & 255);

export class Assembler {
  readonly #bytes: number[] = [];
  readonly #labels = new Map<string, number>();
  readonly #fixups: { at: number; label: string }[] = [];
  readonly origin: number;
  readonly mode: 32 | 64;
  readonly #end: number;
  /** `end`: the opcode byte of `end()`, HLT unless another is wanted. */
  constructor(origin: number, mode: 32 | 64 = 64, end = 0xf4) {
    this.origin = origin;
    this.mode = mode;
    this.#end = end;
  }

  /** Bytes of a pointer. */
  get word(): 4 | 8 {
    return this.mode === 64 ? 8 : 4;
  }
  #register(name: string): Register {
    const { number, bits } = register(name);
    if (this.mode === 32 && (number > 7 || (bits === 8 && number > 3)))
      throw new Error(`no ${name} in 32-bit mode`);
    return { number, bits: this.mode === 32 && bits === 64 ? 32 : bits };
  }

  get here(): number {
    return this.origin + this.#bytes.length;
  }
  /** The finished code; every label must be known. */
  code(): Uint8Array {
    for (const { at, label } of this.#fixups) {
      const distance = this.address(label) - (this.origin + at + 4);
      this.#bytes.splice(at, 4, ...bytesOf(distance, 4));
    }
    return Uint8Array.from(this.#bytes);
  }
  address(label: string): number {
    const place = this.#labels.get(label);
    if (place === undefined) throw new Error(`no label ${label}`);
    return place;
  }
  label(name: string): this {
    this.#labels.set(name, this.here);
    return this;
  }
  align(size: number): this {
    while (this.here % size !== 0) this.#bytes.push(0x90);
    return this;
  }
  bytes(...bytes: number[]): this {
    this.#bytes.push(...bytes);
    return this;
  }

  /** REX, opcode, ModRM, SIB, displacement. `size` 64 sets REX.W. */
  #encode(
    opcode: readonly number[],
    reg: number,
    rm: Register | Memory,
    size: number,
    byteRegister = false,
  ): void {
    if ("bits" in rm) {
      this.#rex(size, reg, 0, rm.number, byteRegister);
      this.bytes(...opcode, 0xc0 | ((reg & 7) << 3) | (rm.number & 7));
      return;
    }
    const base = rm.base === undefined ? undefined : this.#register(rm.base).number;
    const index = rm.index === undefined ? undefined : this.#register(rm.index).number;
    if (rm.gs) this.bytes(0x65);
    this.#rex(size, reg, index ?? 0, base ?? 0, byteRegister);
    this.bytes(...opcode);
    const offset = rm.displacement ?? 0,
      field = (reg & 7) << 3;
    if (base === undefined) {
      this.bytes(
        field | 4,
        (Math.log2(rm.scale ?? 1) << 6) | (((index ?? 4) & 7) << 3) | 5,
        ...bytesOf(offset, 4),
      );
      return;
    }
    const short = offset >= -128 && offset <= 127,
      mod = offset === 0 && (base & 7) !== 5 ? 0 : short ? 0x40 : 0x80;
    if (index === undefined && (base & 7) !== 4) this.bytes(mod | field | (base & 7));
    else
      this.bytes(mod | field | 4, (Math.log2(rm.scale ?? 1) << 6) | (((index ?? 4) & 7) << 3) | (base & 7));
    if (mod !== 0) this.bytes(...bytesOf(offset, short ? 1 : 4));
  }
  #rex(size: number, reg: number, index: number, rm: number, byteRegister: boolean): void {
    const rex = (size === 64 ? 8 : 0) | ((reg >> 3) << 2) | ((index >> 3) << 1) | (rm >> 3);
    if (rex !== 0 || byteRegister) this.bytes(0x40 | rex);
  }
  #form(opcode: number, to: Operand, from: Operand): void {
    const stored = typeof to !== "string";
    const r = this.#register((stored ? from : to) as string),
      other = stored ? to : from;
    const rm = typeof other === "string" ? this.#register(other) : other;
    this.#encode(
      [opcode + (stored ? 0 : 2) + (r.bits === 8 ? 0 : 1)],
      r.number,
      rm,
      r.bits,
      r.bits === 8 && r.number >= 4,
    );
  }

  mov(to: Operand, from: Operand | number): this {
    if (typeof from !== "number") this.#form(0x88, to, from);
    else if (typeof to !== "string") throw new Error("use movByte or a register");
    else {
      const r = this.#register(to);
      if (r.bits === 64) this.#encode([0xc7], 0, r, 64);
      else {
        this.#rex(32, 0, 0, r.number, false);
        this.bytes(0xb8 + (r.number & 7));
      }
      this.bytes(...bytesOf(from, 4));
    }
    return this;
  }
  /** MOV byte [memory], imm8. */
  movByte(to: Memory, value: number): this {
    this.#encode([0xc6], 0, to, 8);
    return this.bytes(value & 255);
  }
  alu(name: Arithmetic, to: Operand, from: Operand | number, bits = 32): this {
    const digit = arithmetic.indexOf(name);
    if (typeof from !== "number") this.#form(digit * 8, to, from);
    else {
      const rm = typeof to === "string" ? this.#register(to) : to,
        size = "bits" in rm ? rm.bits : bits;
      const short = from >= -128 && from <= 127;
      this.#encode([size === 8 ? 0x80 : short ? 0x83 : 0x81], digit, rm, size);
      this.bytes(...bytesOf(from, size === 8 || short ? 1 : 4));
    }
    return this;
  }
  test(a: string, b: string | number): this {
    const r = this.#register(a);
    if (typeof b === "string")
      this.#encode([r.bits === 8 ? 0x84 : 0x85], this.#register(b).number, r, r.bits);
    else {
      this.#encode([0xf7], 0, r, r.bits);
      this.bytes(...bytesOf(b, 4));
    }
    return this;
  }
  lea(to: string, from: Memory): this {
    const r = this.#register(to);
    this.#encode([0x8d], r.number, from, r.bits);
    return this;
  }
  movzx(to: string, from: Operand): this {
    const rm = typeof from === "string" ? this.#register(from) : from;
    this.#encode([0x0f, 0xb6], this.#register(to).number, rm, 32, "bits" in rm && rm.number >= 4);
    return this;
  }
  shift(name: "shl" | "shr" | "sar", r: string, count: number): this {
    const { number, bits } = this.#register(r);
    this.#encode([0xc1], { shl: 4, shr: 5, sar: 7 }[name], { number, bits }, bits);
    return this.bytes(count);
  }
  not(r: string): this {
    this.#encode([0xf7], 2, this.#register(r), this.#register(r).bits);
    return this;
  }
  push(r: string): this {
    const { number } = this.#register(r);
    return this.bytes(...(number > 7 ? [0x41] : []), 0x50 + (number & 7));
  }
  pop(r: string): this {
    const { number } = this.#register(r);
    return this.bytes(...(number > 7 ? [0x41] : []), 0x58 + (number & 7));
  }
  #relative(opcode: readonly number[], label: string): this {
    this.bytes(...opcode);
    this.#fixups.push({ at: this.#bytes.length, label });
    return this.bytes(0, 0, 0, 0);
  }
  j(condition: Condition, label: string): this {
    return this.#relative([0x0f, 0x80 + conditions.indexOf(condition)], label);
  }
  jmp(to: string | Memory): this {
    if (typeof to === "string") return this.#relative([0xe9], to);
    this.#encode([0xff], 4, to, 32);
    return this;
  }
  call(label: string): this {
    return this.#relative([0xe8], label);
  }
  ret(): this {
    return this.bytes(0xc3);
  }
  /** The end of a program that its caller may want to return from. */
  end(): this {
    return this.bytes(this.#end);
  }
  hlt(): this {
    return this.bytes(0xf4);
  }
}
