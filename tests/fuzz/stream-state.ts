/** What a user-mode stream is while it is made: its code, what is known of registers and memory, and what is undefined where. */
import { registerNames } from "../support/cpu-bench.ts";
import { ARITHMETIC } from "./instruction-forms.ts";
import type { Question } from "./native-host.ts";
import { bytes, type Chance, extended, integer } from "./values.ts";

export type Bits = 16 | 32 | 64;

/** A question, and what its answer's masks are where it ends at an offset of its code. */
export interface Stream {
  readonly question: Question;
  readonly masks: readonly Mask[];
  /** Linear addresses of the bytes of code that the stream patches on purpose. */
  readonly patches: readonly number[];
}
export interface Mask {
  /** Offset in the code of the instruction, or of the end. */
  readonly at: number;
  readonly flags: number;
  /** Flags that are undefined where this instruction faults. */
  readonly flagsAtFault: number;
  readonly status: number;
  /** It reads its destination before it writes it. */
  readonly modifies: boolean;
  /** What its faults leave behind, or their address, differs from one processor to the next: MMX state entered, masked lanes, wrap at 4 GiB. */
  readonly isLoose?: boolean;
  /** Its destination, where a processor may have written a part before the fault: address and bytes. */
  readonly partial?: readonly [string, number];
}

export const RSP = 4;
/** Status-word bits: C0, C2 and C3; and C1. */
export const C023 = 0x4500,
  C1 = 0x200;
/** Where the window of data begins. */
export const dataStart = { 16: 0x30000, 32: 0x200000, 64: 0x200000 } as const;
export const WORD = (1n << 64n) - 1n;

/** The low bytes of a value, little-endian. */
export const little = (value: bigint, size: number): number[] =>
  Array.from({ length: size }, (_, k) => Number((value >> BigInt(8 * k)) & 255n));

/** The HLT that ends a stream lies in its memory, whatever ends it: code may read it. */
export function closed(question: Question): Question {
  const base = question.id.startsWith("m16") ? 0x20000 : 0;
  const end = base + Number.parseInt(question.a, 16) + question.c.length / 2;
  return { ...question, m: [...(question.m ?? []), [end.toString(16), "f4"]] };
}

export class StreamState {
  readonly chance: Chance;
  readonly bits: Bits;
  readonly base: number;
  readonly code: number[] = [];
  readonly masks: Mask[] = [];
  /** Undefined flags, and status-word bits. */
  flags = 0;
  status = 0;
  /** Registers' values where they are known. */
  readonly known = new Map<number, bigint>();
  readonly memory = new Map<number, Buffer>();
  readonly patches: number[] = [];
  readonly ignored: [string, number][] = [];
  /** Registers that this part of the stream must leave alone. */
  kept = new Set<number>([RSP]);
  approximate = false;
  partial: readonly [string, number] | undefined;
  /** Flags undefined on a path that passes by the code being written. */
  passing = 0;
  readonly initial: Record<string, string> = {};

  constructor(chance: Chance, bits: Bits) {
    this.chance = chance;
    this.bits = bits;
    const crossing = chance.percent(35),
      room = bits === 16 ? 0x800 : 0xc00;
    const first = bits === 16 ? 0x100 : 0x100000,
      page = bits === 16 ? 0x1000 : 0x101000;
    this.base = crossing ? page - 1 - chance.below(80) : first + chance.below(room);
    this.#setRegisters();
  }

  #setRegisters(): void {
    const chance = this.chance,
      count = this.bits === 64 ? 16 : 8;
    for (let n = 0; n < count; n++) {
      if (n === RSP) continue;
      const width = this.bits === 64 ? 64 : 32;
      let value = integer(chance, width);
      if (chance.percent(35))
        value = BigInt((this.bits === 16 ? 0 : dataStart[this.bits]) + chance.below(0x3c00));
      else if (chance.percent(20)) value = BigInt(chance.below(64));
      this.initial[registerNames[n]!] = value.toString(16);
      this.known.set(n, value);
    }
    this.initial["fl"] = (chance.word() & (ARITHMETIC | 0x400)).toString(16);
    for (let n = 0; n < count; n++) {
      this.initial[`x${n}`] = bytes(chance, 16).toString("hex");
      this.initial[`y${n}`] = bytes(chance, 16).toString("hex");
    }
    const mxcsr = 0x1f80 | (chance.percent(40) ? chance.word() & 0xe07f : chance.word() & 0x6000);
    this.initial["mxcsr"] = (chance.percent(8) ? mxcsr & ~(chance.word() & 0x1fff) : mxcsr).toString(16);
    if (chance.percent(70)) this.#setX87();
    this.put(this.bits === 16 ? 0x57f80 : 0x300f80, bytes(chance, 0x100));
  }

  #setX87(): void {
    const chance = this.chance;
    let control = 0x7f | (chance.below(4) << 10) | chance.pick([0x300, 0x300, 0x300, 0x200, 0]);
    if (chance.percent(10)) control &= ~(chance.word() & 0x3f);
    const status =
      (chance.below(8) << 11) |
      (chance.percent(20) ? chance.word() & 0x3f & control : 0) |
      (chance.word() & 0x4700);
    this.initial["fcw"] = control.toString(16);
    this.initial["fsw"] = status.toString(16);
    this.initial["ftw"] = (chance.percent(60) ? 0xff : chance.word() & 0xff).toString(16);
    for (let n = 0; n < 8; n++) {
      const value = extended(chance);
      if (chance.percent(15)) value.writeUInt16LE(0xffff, 8);
      this.initial[`st${n}`] = value.toString("hex");
    }
  }

  /** Initial memory: a later write to the same place wins. */
  put(linear: number, content: Buffer): void {
    this.memory.set(linear, content);
  }

  mark(modifies: boolean, atFault: number, isLoose = false): void {
    this.masks.push({
      at: this.code.length,
      flags: this.flags | this.passing,
      flagsAtFault: this.flags | this.passing | atFault,
      status: this.status,
      modifies,
      ...(this.partial ? { partial: this.partial } : {}),
      ...(isLoose ? { isLoose } : {}),
    });
    this.partial = undefined;
  }

  /** Plain bytes of an instruction that this maker writes itself; they neither read nor define flags. */
  raw(...code: number[]): void {
    const partial = this.partial;
    this.partial = undefined;
    this.mark(false, 0);
    this.partial = partial;
    this.code.push(...code);
  }

  /** CMP AL, imm8 defines every flag. */
  defineFlags(): void {
    this.raw(0x3c, this.chance.below(256));
    this.flags = 0;
  }

  /** MOV of an immediate into a whole register, which is known from then on. */
  load(register: number, value: bigint): void {
    if (this.bits === 64) this.raw(0x48 | (register >> 3), 0xb8 | (register & 7), ...little(value, 8));
    else this.raw(...(this.bits === 16 ? [0x66] : []), 0xb8 | register, ...little(value, 4));
    this.known.set(register, this.bits === 64 ? value & WORD : value & 0xffffffffn);
  }

  free(): number {
    for (;;) {
      const register = this.chance.below(this.bits === 64 ? 16 : 8);
      if (!this.kept.has(register)) return register;
    }
  }

  pickKnown(): number {
    const list = [...this.known.keys()];
    return list.length === 0 || this.chance.percent(15) ? -1 : this.chance.pick(list);
  }
}
