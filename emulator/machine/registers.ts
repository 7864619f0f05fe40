import type { Cpu } from "../cpu/core.ts";

/**
 * The processor's registers by name, as a debugger sees them between runs. The places are those of cpu/assembly/layout.ts, which
 * AssemblyScript alone can import.
 */
const STATE = 0x1000;
const HALTED = STATE + 0xbc;
const CPL = STATE + 0xc4;
const MODE = STATE + 0xc8;
const SEGMENTS = STATE + 0x100;
const XMM = STATE + 0x400;
const X87 = STATE + 0x600;
const FCW = STATE + 0x680;
const FSW = STATE + 0x682;
const FTW = STATE + 0x684;

/** MODE bits: CS.L in long mode, CS.D. */
const MODE_64 = 1;
const MODE_32 = 2;

// prettier-ignore
export const generalNames = [
  "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
  "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15",
] as const;
const segmentNames = ["es", "cs", "ss", "ds", "fs", "gs"] as const;

interface Place {
  readonly at: number;
  readonly bytes: number;
  /** Writing it changes modes, mappings or segments: the core has to derive them again. */
  readonly deep?: boolean;
}

const fixed: Record<string, Place> = {
  ...Object.fromEntries(generalNames.map((name, i) => [name, { at: STATE + 8 * i, bytes: 8 }])),
  rip: { at: STATE + 0x98, bytes: 8 },
  ...Object.fromEntries(
    segmentNames.map((name, i) => [name, { at: SEGMENTS + 32 * i, bytes: 2, deep: true }]),
  ),
  ...Object.fromEntries(
    segmentNames.map((name, i) => [`${name}_base`, { at: SEGMENTS + 32 * i + 8, bytes: 8, deep: true }]),
  ),
  ...Object.fromEntries(
    [0, 2, 3, 4].map((number, i) => [`cr${number}`, { at: STATE + 0x220 + 8 * i, bytes: 8, deep: true }]),
  ),
  ...Object.fromEntries(
    [0, 1, 2, 3, 6, 7].map((number) => [
      `dr${number}`,
      { at: STATE + 0x250 + 8 * number, bytes: 8, deep: true },
    ]),
  ),
  efer: { at: STATE + 0x290, bytes: 8, deep: true },
  lstar: { at: STATE + 0x2a0, bytes: 8 },
  k_gs_base: { at: STATE + 0x2b8, bytes: 8 },
  ...Object.fromEntries(Array.from({ length: 16 }, (_, i) => [`xmm${i}`, { at: XMM + 32 * i, bytes: 16 }])),
  ...Object.fromEntries(
    Array.from({ length: 16 }, (_, i) => [`ymm${i}h`, { at: XMM + 32 * i + 16, bytes: 16 }]),
  ),
  mxcsr: { at: STATE + 0x688, bytes: 4 },
  fctrl: { at: FCW, bytes: 2 },
  fstat: { at: FSW, bytes: 2 },
  fop: { at: STATE + 0x686, bytes: 2 },
  fioff: { at: STATE + 0x690, bytes: 4 },
  fiseg: { at: STATE + 0x694, bytes: 4 },
  fooff: { at: STATE + 0x698, bytes: 4 },
  foseg: { at: STATE + 0x69c, bytes: 4 },
};

export class Registers {
  readonly #cpu: Cpu;
  constructor(cpu: Cpu) {
    this.#cpu = cpu;
  }

  /** Little-endian bytes of a register, or undefined for a name that is none. ST0 to ST7 are 10 bytes. */
  read(name: string): Uint8Array<ArrayBuffer> | undefined {
    if (name === "eflags" || name === "rflags") return bytesOf(this.#cpu.rflags, name === "eflags" ? 4 : 8);
    if (name === "ftag") return bytesOf(BigInt(this.#fullTag()), 4);
    const place = this.#place(name);
    return place && new Uint8Array(this.#bytes(place.at, place.bytes));
  }

  /** Takes as many bytes as the register has; more are ignored. False for a name that is none. */
  write(name: string, bytes: Uint8Array): boolean {
    if (name === "eflags" || name === "rflags") {
      this.#cpu.rflags = (this.#cpu.rflags & ~0xffff_ffffn) | valueOf(bytes.subarray(0, 4));
      return true;
    }
    if (name === "ftag") {
      this.#setFullTag(Number(valueOf(bytes.subarray(0, 2))));
      return true;
    }
    const place = this.#place(name);
    if (!place || bytes.length < place.bytes) return false;
    this.#bytes(place.at, place.bytes).set(bytes.subarray(0, place.bytes));
    // The core keeps its mode, its banks and its TLB by what these say.
    if (place.deep) this.#cpu.reload();
    return true;
  }

  /** The value of a register; 0 for a name that is none. */
  value(name: string): bigint {
    return valueOf(this.read(name) ?? new Uint8Array());
  }

  get cpl(): number {
    return this.#cpu.view.getUint32(CPL, true);
  }
  /** HLT or MWAIT: the next instruction runs after an interrupt. */
  get halted(): boolean {
    return this.#cpu.view.getUint32(HALTED, true) !== 0;
  }
  /** The size of the code that runs. */
  get codeBits(): 16 | 32 | 64 {
    const mode = this.#cpu.view.getUint32(MODE, true);
    return mode & MODE_64 ? 64 : mode & MODE_32 ? 32 : 16;
  }
  /** EFER.LMA: the processor is in long mode, its compatibility mode included. */
  get longMode(): boolean {
    return (this.value("efer") & 0x400n) !== 0n;
  }
  /** The linear address of the next instruction. */
  get pc(): bigint {
    return this.codeBits === 64 ? this.#cpu.rip : (this.#cpu.rip + this.value("cs_base")) & 0xffff_ffffn;
  }

  #bytes(at: number, length: number): Uint8Array {
    return new Uint8Array(this.#cpu.view.buffer, at, length);
  }

  #top(): number {
    return (this.#cpu.view.getUint16(FSW, true) >> 11) & 7;
  }

  #place(name: string): Place | undefined {
    const stack = /^st([0-7])$/.exec(name);
    if (stack) return { at: X87 + 16 * ((this.#top() + Number(stack[1])) & 7), bytes: 10 };
    return Object.hasOwn(fixed, name) ? fixed[name] : undefined;
  }

  /** The tag word with two bits a register (SDM 1 §8.1.7), of the abridged one and what the registers hold. */
  #fullTag(): number {
    const filled = this.#cpu.view.getUint8(FTW);
    let tag = 0;
    for (let i = 0; i < 8; i++) tag |= (filled & (1 << i) ? this.#kind(X87 + 16 * i) : 3) << (2 * i);
    return tag;
  }
  #kind(at: number): number {
    const { view } = this.#cpu;
    const exponent = view.getUint16(at + 8, true) & 0x7fff;
    const significand = view.getBigUint64(at, true);
    if (exponent === 0 && significand === 0n) return 1;
    return exponent === 0 || exponent === 0x7fff || !(significand >> 63n) ? 2 : 0;
  }
  #setFullTag(tag: number): void {
    let filled = 0;
    for (let i = 0; i < 8; i++) if (((tag >> (2 * i)) & 3) !== 3) filled |= 1 << i;
    this.#cpu.view.setUint8(FTW, filled);
  }
}

function bytesOf(value: bigint, length: number): Uint8Array<ArrayBuffer> {
  return Uint8Array.from({ length }, (_, i) => Number((value >> BigInt(8 * i)) & 0xffn));
}

function valueOf(bytes: Uint8Array): bigint {
  return bytes.reduceRight((value, byte) => (value << 8n) | BigInt(byte), 0n);
}
