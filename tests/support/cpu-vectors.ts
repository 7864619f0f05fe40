/**
 * Replays native x86 test vectors (shared/corpora/native-vectors/README.md): each runs at CPL 3 of a long-mode machine whose
 * user pages lie in shuffled frames, ends at a HLT planted at its exit, and is compared in full.
 * An exception lands on a HLT of ring 0 whose address tells the vector; RIP, flags and the error code are in its frame.
 */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { type Cpu, RAM_BASE } from "../../emulator/cpu/core.ts";
import {
  at,
  makeCpu,
  registerNames,
  segmentOf,
  type SegmentName,
  segmentPlace,
  setSegment,
} from "./cpu-bench.ts";

export interface Vector {
  readonly id: string;
  readonly n: string;
  readonly w?: number;
  readonly a: string;
  readonly c: string;
  readonly b: number;
  readonly i: Readonly<Record<string, string>>;
  readonly o: Readonly<Record<string, string>>;
  readonly m?: readonly (readonly [string, string])[];
  readonly om?: readonly (readonly [string, string])[];
  readonly mi?: readonly (readonly [string, number])[];
  readonly e?: { readonly v: number; readonly err?: string; readonly cr2?: string; readonly rmw?: number };
  readonly s?: number;
  readonly uf?: string;
  readonly ur?: readonly string[];
  readonly sm?: string;
  readonly mm?: string;
  readonly ap?: number;
}

export interface Environment {
  readonly fsbase64: string;
  readonly gsbase64: string;
  readonly ldt: readonly { readonly sel: string; readonly raw: string }[];
  readonly bg: readonly Readonly<Record<string, string>>[];
}

export const corpus =
  process.env["VIRGA_VECTORS"] ?? join(import.meta.dirname, "../../../shared/corpora/native-vectors/vectors");
export const readEnvironment = (folder: string): Environment =>
  JSON.parse(readFileSync(join(folder, "env.json"), "utf8")) as Environment;

/** The vectors of one set; a folder may hold them compressed or plain. */
export function readVectors(set: string, folder = corpus): Vector[] {
  const plain = join(folder, `${set}.ndjson`);
  const text = existsSync(plain)
    ? readFileSync(plain, "utf8")
    : gunzipSync(readFileSync(`${plain}.gz`)).toString();
  return text
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as Vector);
}

const KERNEL = {
  idt: 0x600000,
  gdt: 0x602000,
  tss: 0x603000,
  ldt: 0x604000,
  handlers: 0x605000,
  stack: 0x608000,
  tables: 0x610000,
};
/** Where the kernel half maps physical memory: the generator's host had supervisor pages there too. */
const HIGH = 0xffff800000000000n;
const REAL_HANDLERS = 0x800;
const FLAGS = 0x244cd5;
const HLT = 0xf4;

interface Window {
  readonly start: number;
  readonly size: number;
  readonly rights: bigint;
}
const P = 1n,
  W = 2n,
  U = 4n,
  NX = 1n << 63n;
const flatWindows: Window[] = [
  { start: 0x100000, size: 0x2000, rights: P | W | U },
  { start: 0x200000, size: 0x4000, rights: P | W | U | NX },
  { start: 0x205000, size: 0x1000, rights: P | U | NX },
  { start: 0x300000, size: 0x2000, rights: P | W | U | NX },
];
const shortWindows: Window[] = [
  { start: 0x20000, size: 0x10000, rights: P | W | U },
  { start: 0x30000, size: 0x50000, rights: P | W | U | NX },
];

/** The low half of a TSS or LDT descriptor's base; the upper 32 bits follow it. */
const systemDescriptor = (base: number): bigint =>
  ((BigInt(base) & 0xffffffn) << 16n) | ((BigInt(base) & 0xff000000n) << 32n);

export class VectorMachine {
  readonly cpu: Cpu = makeCpu(8);
  readonly #environment: Environment;
  readonly #memory: DataView;
  /** Linear page → frame, for the pages of every window. */
  readonly #frames = new Map<number, number>();
  readonly #touched: number[] = [];
  /** Stack bytes that an exception's frame took, in real mode. */
  #frame = { at: 0, size: 0 };
  #bits = 0;
  /** The 16-bit vectors hold in real mode too: no paging, no error codes, an interrupt table at 0. */
  readonly #real: boolean;

  /** `folder` holds the env.json that goes with the vectors. */
  constructor(mode: "long" | "real" = "long", folder = corpus) {
    this.#environment = readEnvironment(folder);
    this.#real = mode === "real";
    this.#memory = new DataView(this.cpu.memory.buffer, RAM_BASE, 8 << 20);
    // A fixed shuffle: neighbouring pages never have neighbouring frames.
    let frame = 0;
    for (const { start, size } of [...flatWindows, ...shortWindows]) {
      for (let page = start; page < start + size; page += 0x1000) {
        frame = (frame + 37) % 256;
        this.#frames.set(page, this.#real ? page : 0x100000 + frame * 0x1000);
      }
    }
    if (this.#real) this.#enterRealMode();
    else this.#writeKernel();
  }

  #enterRealMode(): void {
    this.#bits = 16;
    for (let vector = 0; vector < 256; vector++) {
      this.#memory.setUint32(4 * vector, REAL_HANDLERS + vector, true);
      this.#memory.setUint8(REAL_HANDLERS + vector, HLT);
    }
    const { view } = this.cpu;
    view.setBigUint64(at("CR0"), 0x32n, true);
    view.setBigUint64(at("CR4"), 0x600n, true);
    view.setBigUint64(at("IDTR"), 0n, true);
    view.setUint16(at("IDTR") + 8, 0x3ff, true);
  }

  /** Guest-physical address of a byte of a window. */
  #physical(linear: number): number {
    const frame = this.#frames.get(linear & ~0xfff);
    if (frame === undefined) throw new Error(`0x${linear.toString(16)} is not in a window`);
    return frame | (linear & 0xfff);
  }
  #mapped(linear: number): boolean {
    return this.#windows().some(({ start, size }) => linear >= start && linear < start + size);
  }
  #windows(): Window[] {
    return this.#bits === 16 ? shortWindows : flatWindows;
  }

  #writeKernel(): void {
    const m = this.#memory,
      set64 = (place: number, value: bigint): void => m.setBigUint64(place, value, true);
    // Linux's layout, which LAR, LSL and far transfers of the vectors can see.
    const gdt: Record<number, bigint> = {
      0x08: 0x00cf9b000000ffffn,
      0x10: 0x00af9b000000ffffn,
      0x18: 0x00cf93000000ffffn,
      0x20: 0x00cffb000000ffffn,
      0x28: 0x00cff3000000ffffn,
      0x30: 0x00affb000000ffffn,
      0x40: 0x0000890000000067n | systemDescriptor(KERNEL.tss),
      0x50: 0x0000820000000087n | systemDescriptor(KERNEL.ldt),
      0x78: 0x0040f50000000000n,
    };
    for (const [offset, raw] of Object.entries(gdt)) set64(KERNEL.gdt + Number(offset), raw);
    for (const { sel, raw } of this.#environment.ldt)
      set64(KERNEL.ldt + (Number.parseInt(sel, 16) & ~7), BigInt(`0x${raw}`));
    set64(KERNEL.gdt + 0x48, HIGH >> 32n);
    set64(KERNEL.gdt + 0x58, HIGH >> 32n);
    set64(KERNEL.tss + 4, HIGH + BigInt(KERNEL.stack));
    m.setUint16(KERNEL.tss + 0x66, 0x68, true);
    for (let vector = 0; vector < 256; vector++) {
      const handler = HIGH + BigInt(KERNEL.handlers + 16 * vector),
        dpl = vector === 3 || vector === 4 || vector === 0x80 ? 3n : 0n;
      set64(
        KERNEL.idt + 16 * vector,
        (handler & 0xffffn) |
          (0x10n << 16n) |
          ((0x8e00n | (dpl << 13n)) << 32n) |
          (((handler >> 16n) & 0xffffn) << 48n),
      );
      set64(KERNEL.idt + 16 * vector + 8, HIGH >> 32n);
      m.setUint8(KERNEL.handlers + 16 * vector, HLT);
    }
    // A page directory of four tables for the windows; the upper half of the address space begins with 1 GiB of RAM.
    const t = KERNEL.tables;
    set64(t, BigInt(t + 0x1000) | 7n);
    set64(t + 0x1000, BigInt(t + 0x2000) | 7n);
    for (let i = 0; i < 4; i++) set64(t + 0x2000 + 8 * i, BigInt(t + 0x3000 + 0x1000 * i) | 7n);
    set64(t + 8 * 256, BigInt(t + 0x8000) | 3n);
    for (let i = 0; i < 512; i++) set64(t + 0x8000 + 8 * i, 0x83n);
  }

  #enterMode(bits: number): void {
    this.#bits = bits;
    const { view } = this.cpu,
      t = KERNEL.tables + 0x3000;
    for (const { start, size } of [...flatWindows, ...shortWindows]) {
      for (let page = start; page < start + size; page += 0x1000)
        this.#memory.setBigUint64(t + (page >> 12) * 8, 0n, true);
    }
    for (const { start, size, rights } of this.#windows()) {
      for (let page = start; page < start + size; page += 0x1000) {
        this.#memory.setBigUint64(t + (page >> 12) * 8, BigInt(this.#frames.get(page)!) | rights, true);
      }
    }
    const set64 = (name: string, value: bigint, offset = 0): void =>
      view.setBigUint64(at(name) + offset, value, true);
    // PE MP ET NE WP AM PG; PSE PAE PGE OSFXSR OSXMMEXCPT FSGSBASE OSXSAVE; x87, SSE and AVX state.
    set64("CR0", 0x80050033n);
    set64("CR3", BigInt(KERNEL.tables));
    set64("CR4", 0x506b0n);
    set64("XCR0", 7n);
    set64("EFER", 0xd01n);
    set64("GDTR", HIGH + BigInt(KERNEL.gdt));
    view.setUint16(at("GDTR") + 8, 0x7f, true);
    set64("IDTR", HIGH + BigInt(KERNEL.idt));
    view.setUint16(at("IDTR") + 8, 0xfff, true);
    setSegment(this.cpu, "tr", {
      selector: 0x40,
      attributes: 0x8b,
      limit: 0x67,
      base: HIGH + BigInt(KERNEL.tss),
    });
    setSegment(this.cpu, "ldtr", {
      selector: 0x50,
      attributes: 0x82,
      limit: 0x87,
      base: HIGH + BigInt(KERNEL.ldt),
    });
  }

  #load(name: SegmentName, selector: number): void {
    const raw = this.#memory.getBigUint64((selector & 4 ? KERNEL.ldt : KERNEL.gdt) + (selector & ~7), true);
    if ((selector & ~3) === 0) setSegment(this.cpu, name, { selector, attributes: 0, limit: 0, base: 0n });
    else setSegment(this.cpu, name, segmentOf(selector, raw));
  }

  #loadRealSegments(): void {
    const selectors = { cs: 0x2000, ds: 0x3000, es: 0x4000, ss: 0x5000, fs: 0x6000, gs: 0x7000 };
    for (const [name, selector] of Object.entries(selectors)) {
      const attributes = name === "cs" ? 0x9b : 0x93;
      setSegment(this.cpu, name as SegmentName, {
        selector,
        attributes,
        limit: 0xffff,
        base: BigInt(selector * 16),
      });
    }
  }

  #loadSegments(initial: Readonly<Record<string, string>>): void {
    const usual: Record<number, Record<string, number>> = {
      64: { cs: 0x33, ss: 0x2b, ds: 0, es: 0, fs: 0, gs: 0 },
      32: { cs: 0x23, ss: 0x2b, ds: 0x2b, es: 0x2b, fs: 0x37, gs: 0x3f },
      16: { cs: 0x07, ss: 0x1f, ds: 0x0f, es: 0x17, fs: 0x27, gs: 0x2f },
    };
    for (const [name, selector] of Object.entries(usual[this.#bits]!)) {
      this.#load(
        name as SegmentName,
        initial[name] === undefined ? selector : Number.parseInt(initial[name], 16),
      );
    }
    if (this.#bits !== 64) return;
    this.cpu.view.setBigUint64(segmentPlace("fs") + 8, BigInt(`0x${this.#environment.fsbase64}`), true);
    this.cpu.view.setBigUint64(segmentPlace("gs") + 8, BigInt(`0x${this.#environment.gsbase64}`), true);
  }

  #write(linear: number, bytes: Uint8Array): void {
    for (const [k, byte] of bytes.entries()) {
      // Code may run past the end of its window.
      if (!this.#mapped(linear + k)) return;
      const place = this.#physical(linear + k);
      this.#memory.setUint8(place, byte);
      if (k === 0 || (place & 0xfff) === 0) this.#touched.push(place & ~0xfff);
    }
  }

  /** Runs one vector; the list of differences is empty when it passes. */
  replay(vector: Vector): string[] {
    const bits = Number(vector.id.slice(1, 3));
    if (bits !== this.#bits) this.#enterMode(bits);
    const state: Record<string, string> = {
      ...this.#environment.bg[vector.b],
      rsp: bits === 16 ? "8000" : "301000",
      fl: "0",
      mxcsr: "1f80",
      fcw: "37f",
      fsw: "0",
      ftw: "0",
      ...vector.i,
    };
    const base = bits === 16 ? 0x20000 : 0,
      start = Number.parseInt(vector.a, 16),
      code = Buffer.from(vector.c, "hex");
    const exit = vector.s ? BigInt(`0x${vector.o["rip"] ?? vector.a}`) : BigInt(start + code.length);
    const exitPlace = base + Number(exit);
    // A branch into itself leaves no room for the HLT: one instruction runs, and nothing is delivered.
    const alone = vector.s === 1 && !vector.e && exit >= BigInt(start) && exit < BigInt(start + code.length);
    this.#clearMemory();
    for (const [linear, bytes] of vector.m ?? [])
      this.#write(Number.parseInt(linear, 16), Buffer.from(bytes, "hex"));
    this.#write(base + start, code);
    const planted = !alone && this.#mapped(exitPlace) && !vector.e ? this.#physical(exitPlace) : undefined;
    const original = planted === undefined ? 0 : this.#memory.getUint8(planted);
    if (planted !== undefined) this.#memory.setUint8(planted, HLT);
    this.cpu.invalidate(0, 0x600000);
    if (this.#real) this.#loadRealSegments();
    else this.#loadSegments(vector.i);
    this.#setState(state, BigInt(start));
    const retired = this.cpu.retired;
    // The HLT that ends a vector faults, the one of the handler retires. Budgets are per slice; a vector that never halts is cut off.
    let slices = 0;
    if (alone) this.cpu.run(1);
    else while (this.cpu.run(100_000) === 0 && ++slices < 400);
    if (planted !== undefined && this.#memory.getUint8(planted) === HLT)
      this.#memory.setUint8(planted, original);
    return this.#compare(vector, state, exit, this.cpu.retired - retired);
  }

  #clearMemory(): void {
    for (const frame of this.#dirtyFrames())
      new Uint8Array(this.cpu.memory.buffer, RAM_BASE + frame, 0x1000).fill(0);
    this.#touched.length = 0;
  }
  /** Frames of this mode's windows that hold anything: found by the dirty bits of their page-table entries. */
  *#dirtyFrames(): Generator<number> {
    yield* this.#real ? this.#frames.values() : new Set(this.#touched);
    if (this.#real) return;
    const t = KERNEL.tables + 0x3000;
    for (const { start, size } of this.#windows()) {
      for (let page = start; page < start + size; page += 0x1000) {
        const entry = this.#memory.getBigUint64(t + (page >> 12) * 8, true);
        if (!(entry & 0x40n)) continue;
        this.#memory.setBigUint64(t + (page >> 12) * 8, entry & ~0x60n, true);
        yield this.#frames.get(page)!;
      }
    }
  }

  #setState(state: Readonly<Record<string, string>>, rip: bigint): void {
    const { view } = this.cpu,
      number = (name: string): number => Number.parseInt(state[name] ?? "0", 16);
    for (const [k, name] of registerNames.entries()) {
      const value = BigInt(`0x${state[name] ?? "0"}`);
      view.setBigUint64(at("GPR") + 8 * k, this.#bits === 64 ? value : value & 0xffffffffn, true);
    }
    for (let k = 0; k < 16; k++) {
      this.#setBytes(at("XMM") + 32 * k, state[`x${k}`], 16);
      this.#setBytes(at("XMM") + 32 * k + 16, state[`y${k}`], 16);
    }
    const top = (number("fsw") >> 11) & 7;
    for (let k = 0; k < 8; k++) this.#setBytes(at("X87") + 16 * ((top + k) & 7), state[`st${k}`], 10);
    view.setUint16(at("FCW"), number("fcw"), true);
    view.setUint16(at("FSW"), number("fsw"), true);
    view.setUint8(at("FTW"), number("ftw"));
    view.setUint32(at("MXCSR"), number("mxcsr"), true);
    view.setBigUint64(at("RIP"), rip, true);
    view.setBigUint64(at("CR2"), 0n, true);
    view.setUint32(at("CPL"), this.#real ? 0 : 3, true);
    view.setUint32(at("HALTED"), 0, true);
    this.cpu.rflags = BigInt(number("fl") | 0x202);
    this.cpu.reload();
  }
  #setBytes(place: number, hex: string | undefined, size: number): void {
    const bytes = new Uint8Array(this.cpu.memory.buffer, place, size);
    if (hex === undefined) bytes.fill(0);
    else bytes.set(Buffer.from(hex, "hex"));
  }
  #getBytes(place: number, size: number): string {
    return Buffer.from(new Uint8Array(this.cpu.memory.buffer, place, size)).toString("hex");
  }

  #compare(vector: Vector, state: Readonly<Record<string, string>>, exit: bigint, retired: number): string[] {
    const bad: string[] = [];
    const end = this.#readEnd();
    if (end === undefined) return [`did not stop: rip ${this.cpu.rip.toString(16)}`];
    const { number, code, rip, flags, cs } = end;
    const halted = this.cpu.view.getUint32(at("HALTED"), true) === 1;
    if (vector.o["cs"] !== undefined && cs.toString(16) !== vector.o["cs"])
      bad.push(`cs ${cs.toString(16)} not ${vector.o["cs"]}`);
    const left = number === 13 && code === 0 && rip === exit;
    // The exit is not mapped, or not executable: its fetch faults.
    const ranOff = number === 14 && rip === exit && (code & 16) !== 0;
    const ended = number < 0 || (!vector.e && (left || ranOff));
    if (!ended) this.#compareException(vector, number, code, bad, rip);
    else if (vector.s && retired !== (halted ? 2 : 1)) bad.push(`retired ${retired}`);
    const expectedRip = vector.o["rip"] ?? (vector.e ? vector.a : exit.toString(16));
    if (rip.toString(16) !== expectedRip) bad.push(`rip ${rip.toString(16)} not ${expectedRip}`);
    this.#compareRegisters(vector, state, flags, bad);
    this.#compareMemory(vector, bad);
    return bad;
  }

  #readRealEnd(): { number: number; code: number; rip: bigint; flags: number; cs: number } {
    const { view } = this.cpu,
      place = segmentPlace("cs"),
      cs = view.getUint16(place, true),
      halted = view.getUint32(at("HALTED"), true);
    if (cs !== 0)
      return { number: -1, code: 0, rip: this.cpu.rip - BigInt(halted), flags: Number(this.cpu.rflags), cs };
    const number = Number(this.cpu.rip) - 1 - REAL_HANDLERS,
      sp = view.getUint16(at("RSP"), true);
    const word = (k: number): number => this.#memory.getUint16(0x50000 + ((sp + 2 * k) & 0xffff), true);
    const flags = (view.getUint32(at("RFLAGS"), true) & 0xffff0000) | word(2);
    const end = { number, code: 0, rip: BigInt(word(0)), flags, cs: word(1) };
    view.setUint16(at("RSP"), sp + 6, true);
    // What the frame has overwritten was there before the exception.
    this.#frame = { at: sp, size: 6 };
    return end;
  }

  /** Where the vector stopped: what the exception's frame says, or the registers when none was delivered (number -1). */
  #readEnd(): { number: number; code: number; rip: bigint; flags: number; cs: number } | undefined {
    const { view } = this.cpu;
    if (this.#real) return this.#readRealEnd();
    if (view.getUint32(at("CPL"), true) === 3)
      return {
        number: -1,
        code: 0,
        rip: this.cpu.rip,
        flags: Number(this.cpu.rflags),
        cs: view.getUint16(segmentPlace("cs"), true),
      };
    const number = Number(this.cpu.rip - 1n - HIGH - BigInt(KERNEL.handlers)) / 16;
    if (!(Number.isInteger(number) && number >= 0 && number < 256)) return undefined;
    const hasCode = number === 8 || (number >= 10 && number <= 14) || number === 17;
    const frame = Number(view.getBigUint64(at("RSP"), true) - HIGH) + (hasCode ? 8 : 0);
    const word = (k: number): bigint => this.#memory.getBigUint64(frame + 8 * k, true);
    view.setBigUint64(at("RSP"), word(3), true);
    return {
      number,
      code: hasCode ? this.#memory.getUint32(frame - 8, true) : 0,
      rip: word(0),
      flags: Number(word(2)),
      cs: Number(word(1)),
    };
  }

  #compareException(vector: Vector, number: number, code: number, bad: string[], rip: bigint): void {
    const e = vector.e;
    const cr2 = this.cpu.view.getBigUint64(at("CR2"), true).toString(16);
    const actual = `#${number}(${code.toString(16)})${number === 14 ? ` cr2 ${cr2}` : ""} at ${rip.toString(16)}`;
    if (!e) {
      bad.push(`unexpected ${actual}`);
      return;
    }
    if (e.v !== number) {
      bad.push(`${actual} not #${e.v}`);
      return;
    }
    const dontCare = e.rmw ? 2 : 0;
    if (!this.#real && e.err !== undefined && ((Number.parseInt(e.err, 16) ^ code) & ~dontCare) !== 0)
      bad.push(`${actual} not (${e.err})`);
    if (e.cr2 !== undefined && e.cr2 !== cr2) bad.push(`${actual} not cr2 ${e.cr2}`);
  }

  #compareRegisters(
    vector: Vector,
    state: Readonly<Record<string, string>>,
    flags: number,
    bad: string[],
  ): void {
    const { view } = this.cpu,
      wide = this.#bits === 64,
      count = wide ? 16 : 8;
    const expect = (name: string): string | undefined => vector.o[name] ?? state[name];
    const differ = (name: string, actual: string, expected: string): void => {
      if (actual !== expected) bad.push(`${name} ${actual} not ${expected}`);
    };
    for (let k = 0; k < count; k++) {
      const name = registerNames[k]!;
      if (vector.ur?.includes(name)) continue;
      const mask = wide ? (1n << 64n) - 1n : 0xffffffffn;
      differ(
        name,
        (view.getBigUint64(at("GPR") + 8 * k, true) & mask).toString(16),
        (BigInt(`0x${expect(name) ?? "0"}`) & mask).toString(16),
      );
    }
    const mask = FLAGS & ~Number.parseInt(vector.uf ?? "0", 16);
    differ("fl", (flags & mask).toString(16), (Number.parseInt(expect("fl")!, 16) & mask).toString(16));
    for (let k = 0; k < 2 * count; k++) {
      const name = `${k & 1 ? "y" : "x"}${k >> 1}`,
        actual = this.#getBytes(at("XMM") + 16 * k, 16),
        expected = expect(name) ?? "0".repeat(32);
      if (actual !== expected && !nearly(vector, actual, expected))
        bad.push(`${name} ${actual} not ${expected}`);
    }
    this.#compareX87(vector, expect, bad);
    const ignored = Number.parseInt(vector.mm ?? "0", 16);
    differ(
      "mxcsr",
      (view.getUint32(at("MXCSR"), true) & ~ignored).toString(16),
      (Number.parseInt(expect("mxcsr")!, 16) & ~ignored).toString(16),
    );
    for (const name of ["cs", "ds", "es", "fs", "gs", "ss"] as const) {
      const expected = vector.o[name];
      if (expected === undefined || name === "cs" || name === "ss") continue;
      const actual = view.getUint16(segmentPlace(name), true);
      // Null selectors came back as 0 whatever their RPL: the generator saw them after an IRET to CPL 3.
      differ(name, (actual & ~3 ? actual : 0).toString(16), expected);
    }
  }

  #compareX87(vector: Vector, expect: (name: string) => string | undefined, bad: string[]): void {
    const { view } = this.cpu,
      top = (view.getUint16(at("FSW"), true) >> 11) & 7;
    const ignored = Number.parseInt(vector.sm ?? "0", 16) | (vector.ap === 2 ? 0x220 : 0);
    for (let k = 0; k < 8; k++) {
      // st(i) is relative to the TOP of its moment, also where it is not listed.
      const physical = (top + k) & 7,
        expected = expect(`st${k}`) ?? "0".repeat(20);
      const actual = this.#getBytes(at("X87") + 16 * physical, 10);
      if (
        actual !== expected &&
        !(vector.ap === 2 && withinOneUlp(actual, expected)) &&
        !nearly(vector, actual, expected)
      )
        bad.push(`st${k} ${actual} not ${expected}`);
    }
    const compare = (name: string, actual: number, mask = 0xffff): void => {
      const expected = Number.parseInt(expect(name)!, 16);
      if (((actual ^ expected) & mask) !== 0)
        bad.push(`${name} ${actual.toString(16)} not ${expected.toString(16)}`);
    };
    compare("fcw", view.getUint16(at("FCW"), true));
    compare("fsw", view.getUint16(at("FSW"), true), 0xffff & ~ignored);
    compare("ftw", view.getUint8(at("FTW")));
  }

  #compareMemory(vector: Vector, bad: string[]): void {
    const expected = new Map<number, Uint8Array>();
    const page = (linear: number): Uint8Array => {
      const key = this.#physical(linear) & ~0xfff;
      let bytes = expected.get(key);
      if (!bytes) {
        bytes = new Uint8Array(0x1000);
        expected.set(key, bytes);
      }
      return bytes;
    };
    const put = (linear: number, hex: string): void => {
      for (const [k, byte] of Buffer.from(hex, "hex").entries())
        if (this.#mapped(linear + k)) page(linear + k)[(linear + k) & 0xfff] = byte;
    };
    for (const [linear, hex] of vector.m ?? []) put(Number.parseInt(linear, 16), hex);
    put((this.#bits === 16 ? 0x20000 : 0) + Number.parseInt(vector.a, 16), vector.c);
    for (const [linear, hex] of vector.om ?? []) put(Number.parseInt(linear, 16), hex);
    for (const [linear, size] of vector.mi ?? []) {
      const from = Number.parseInt(linear, 16);
      for (let k = from; k < from + size; k++) page(k)[k & 0xfff] = this.#memory.getUint8(this.#physical(k));
    }
    for (let k = 0; k < this.#frame.size; k++) {
      const linear = 0x50000 + ((this.#frame.at + k) & 0xffff);
      page(linear)[linear & 0xfff] = this.#memory.getUint8(linear);
    }
    this.#frame.size = 0;
    const t = KERNEL.tables + 0x3000;
    for (const { start, size } of this.#windows()) {
      for (let linear = start; linear < start + size; linear += 0x1000) {
        const frame = this.#frames.get(linear)!,
          want = expected.get(frame);
        if (!want && !this.#real && !(this.#memory.getBigUint64(t + (linear >> 12) * 8, true) & 0x40n))
          continue;
        const actual = Buffer.from(this.cpu.memory.buffer, RAM_BASE + frame, 0x1000);
        if (actual.compare(want ?? new Uint8Array(0x1000)) === 0) continue;
        const k = actual.findIndex((byte, index) => byte !== (want?.[index] ?? 0));
        bad.push(
          `memory ${(linear + k).toString(16)}: ${actual.subarray(k, k + 8).toString("hex")} not ${Buffer.from((want ?? new Uint8Array(0x1000)).subarray(k, k + 8)).toString("hex")}`,
        );
      }
    }
  }
}

/** An 80-bit number as its place in the order of magnitudes: the integer bit carries nothing. */
const ordinal = (hex: string): bigint => {
  const bits = BigInt(`0x${Buffer.from(hex, "hex").reverse().toString("hex")}`);
  return ((bits >> 64n) << 63n) | (bits & ((1n << 63n) - 1n));
};
function withinOneUlp(actual: string, expected: string): boolean {
  const difference = ordinal(actual) - ordinal(expected);
  return difference >= -1n && difference <= 1n;
}

/** ap 1: RCPPS and RSQRTPS within 1.5 * 2^-12; ap 3: any NaN equals any NaN. Lanes of 4 or 8 bytes. */
function nearly(vector: Vector, actual: string, expected: string): boolean {
  if (vector.ap !== 1 && vector.ap !== 3) return false;
  const a = new DataView(Uint8Array.from(Buffer.from(actual, "hex")).buffer),
    e = new DataView(Uint8Array.from(Buffer.from(expected, "hex")).buffer);
  const lanes = (size: number, close: (x: number, y: number) => boolean): boolean => {
    for (let k = 0; k + size <= a.byteLength; k += size) {
      const x = size === 4 ? a.getFloat32(k, true) : a.getFloat64(k, true),
        y = size === 4 ? e.getFloat32(k, true) : e.getFloat64(k, true);
      if (!close(x, y)) return false;
    }
    return true;
  };
  const same = (x: number, y: number): boolean => Object.is(x, y);
  if (vector.ap === 1)
    return lanes(4, (x, y) => same(x, y) || Math.abs(x - y) <= Math.abs(y) * 1.5 * 2 ** -12);
  return lanes(4, same) || lanes(8, same);
}
