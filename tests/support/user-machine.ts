/**
 * A processor at CPL 3 over memory that a test maps as it likes: four-level tables, flat 64-bit and 32-bit code segments, and a
 * kernel of HLTs in the upper half, whose addresses tell which exception ended the code. Everything that CPUID offers is enabled.
 */
import { type Cpu, RAM_BASE, RunExit } from "../../emulator/cpu/core.ts";
import { at, makeCpu, segmentOf, type SegmentName, setSegment } from "./cpu-bench.ts";

const HIGH = 0xffff800000000000n;
/** The kernel's own frames, in the first MiB; tables and windows are given out above it. */
const KERNEL = {
  idt: 0x1000,
  gdt: 0x3000,
  tss: 0x4000,
  ldt: 0x5000,
  handlers: 0x6000,
  stack: 0x9000,
  root: 0xa000,
  upper: 0xb000,
};
const FIRST_FREE = 0x10_0000;
const HLT = 0xf4;
const PRESENT_WRITABLE_USER = 7n;

const descriptors: Readonly<Record<number, bigint>> = {
  0x10: 0x00af9b000000ffffn,
  0x20: 0x00cffb000000ffffn,
  0x28: 0x00cff3000000ffffn,
  0x30: 0x00affb000000ffffn,
};
/** LDT: 32-bit code and data, base 0, limit 4 GiB. */
const ldt: Readonly<Record<number, bigint>> = { 0x08: 0x00cffb000000ffffn, 0x10: 0x00cff3000000ffffn };

export interface UserEnd {
  /** -1 when it did not end. */
  readonly vector: number;
  readonly error: number;
  readonly rip: bigint;
  readonly flags: bigint;
  readonly rsp: bigint;
}

export class UserMachine {
  readonly cpu: Cpu;
  readonly #ram: DataView;
  readonly #ramBytes: number;
  #free = FIRST_FREE;

  constructor(memoryMiB: number) {
    let ticks = 0;
    this.cpu = makeCpu(memoryMiB, { tsc: () => ++ticks });
    this.#ramBytes = memoryMiB << 20;
    this.#ram = new DataView(this.cpu.memory.buffer, RAM_BASE, this.#ramBytes);
    this.#writeKernel();
  }

  #put(place: number, value: bigint): void {
    this.#ram.setBigUint64(place, value, true);
  }

  #writeKernel(): void {
    for (const [offset, raw] of Object.entries(descriptors)) this.#put(KERNEL.gdt + Number(offset), raw);
    for (const [offset, raw] of Object.entries(ldt)) this.#put(KERNEL.ldt + Number(offset), raw);
    this.#put(KERNEL.tss + 4, HIGH + BigInt(KERNEL.stack));
    for (let vector = 0; vector < 256; vector++) {
      const handler = HIGH + BigInt(KERNEL.handlers + 16 * vector);
      this.#put(
        KERNEL.idt + 16 * vector,
        (handler & 0xffffn) | (0x10n << 16n) | (0x8e00n << 32n) | (((handler >> 16n) & 0xffffn) << 48n),
      );
      this.#put(KERNEL.idt + 16 * vector + 8, HIGH >> 32n);
      this.#ram.setUint8(KERNEL.handlers + 16 * vector, HLT);
    }
    // The upper half begins with the first GiB of RAM.
    this.#put(KERNEL.upper, 0x83n);
  }

  /** Forgets every mapping of the lower half and the registers. */
  clear(): void {
    new Uint8Array(this.cpu.memory.buffer, RAM_BASE + FIRST_FREE, this.#free - FIRST_FREE).fill(0);
    new Uint8Array(this.cpu.memory.buffer, RAM_BASE + KERNEL.root, 0x1000).fill(0);
    this.cpu.invalidate(0, this.#free);
    this.#free = FIRST_FREE;
    this.#put(KERNEL.root + 8 * 256, BigInt(KERNEL.upper) | 3n);
    new Uint8Array(this.cpu.memory.buffer, at("XMM"), 512).fill(0);
    new Uint8Array(this.cpu.memory.buffer, at("X87"), 128).fill(0);
    new Uint8Array(this.cpu.memory.buffer, at("GPR"), 128).fill(0);
  }

  #frame(): number {
    const frame = this.#free;
    this.#free += 0x1000;
    if (this.#free > this.#ramBytes) throw new Error("the machine has too little memory for these mappings");
    return frame;
  }

  /** The frame of a page, mapped now where it was not: readable, writable, executable, zero. */
  #page(linear: bigint): number {
    let table = KERNEL.root;
    for (const shift of [39n, 30n, 21n]) {
      const place = table + Number((linear >> shift) & 511n) * 8;
      if (this.#ram.getBigUint64(place, true) === 0n)
        this.#put(place, BigInt(this.#frame()) | PRESENT_WRITABLE_USER);
      table = Number(this.#ram.getBigUint64(place, true) & ~0xfffn);
    }
    const place = table + Number((linear >> 12n) & 511n) * 8;
    if (this.#ram.getBigUint64(place, true) === 0n)
      this.#put(place, BigInt(this.#frame()) | PRESENT_WRITABLE_USER);
    return Number(this.#ram.getBigUint64(place, true) & ~0xfffn);
  }

  map(start: bigint, bytes: number): void {
    for (let page = start & ~0xfffn; page < start + BigInt(bytes); page += 0x1000n) this.#page(page);
  }
  /** Maps what it needs. */
  write(start: bigint, bytes: Uint8Array): void {
    for (let k = 0; k < bytes.length;) {
      const linear = start + BigInt(k),
        inPage = Number(linear & 0xfffn),
        count = Math.min(0x1000 - inPage, bytes.length - k);
      this.cpu.ram.set(bytes.subarray(k, k + count), this.#page(linear) + inPage);
      k += count;
    }
  }

  /** Runs from `rip` until an exception, at most so many instructions; registers are those that stand in the state. SYSCALL is #UD. */
  run(bits: 64 | 32, rip: bigint, instructions: number, keepsFloats = false): UserEnd {
    const { view } = this.cpu;
    const set = (name: string, value: bigint): void => view.setBigUint64(at(name), value, true);
    set("CR0", 0x80050033n);
    set("CR3", BigInt(KERNEL.root));
    // PAE PGE OSFXSR OSXMMEXCPT FSGSBASE OSXSAVE.
    set("CR4", 0x506b0n);
    set("XCR0", 7n);
    set("EFER", 0xd00n);
    set("GDTR", HIGH + BigInt(KERNEL.gdt));
    view.setUint16(at("GDTR") + 8, 0x7f, true);
    set("IDTR", HIGH + BigInt(KERNEL.idt));
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
      limit: 0x17,
      base: HIGH + BigInt(KERNEL.ldt),
    });
    this.#loadSegments(bits);
    set("RIP", rip);
    view.setUint32(at("CPL"), 3, true);
    view.setUint32(at("HALTED"), 0, true);
    if (!keepsFloats) {
      view.setUint16(at("FCW"), 0x37f, true);
      view.setUint16(at("FSW"), 0, true);
      view.setUint8(at("FTW"), 0);
      view.setUint32(at("MXCSR"), 0x1f80, true);
    }
    this.cpu.rflags = 0x202n;
    this.cpu.reload();
    const end = this.cpu.retired + instructions;
    let exit: RunExit = RunExit.budget;
    while (exit === RunExit.budget && this.cpu.retired < end) exit = this.cpu.run(1_000_000);
    return this.#readEnd(exit);
  }

  #loadSegments(bits: 64 | 32): void {
    const load = (name: SegmentName, selector: number): void => {
      const raw = (selector & 4 ? ldt : descriptors)[selector & ~7];
      setSegment(
        this.cpu,
        name,
        raw === undefined ? { selector: 0, attributes: 0, limit: 0, base: 0n } : segmentOf(selector, raw),
      );
    };
    load("cs", bits === 64 ? 0x33 : 0x0f);
    load("ss", 0x2b);
    for (const name of ["ds", "es"] as const) load(name, bits === 64 ? 0 : 0x17);
    for (const name of ["fs", "gs"] as const) load(name, 0);
  }

  #readEnd(exit: RunExit): UserEnd {
    const { view } = this.cpu,
      vector = Number(this.cpu.rip - 1n - HIGH - BigInt(KERNEL.handlers)) / 16;
    if (exit !== RunExit.halted || !Number.isInteger(vector) || vector < 0 || vector > 255)
      return { vector: -1, error: 0, rip: this.cpu.rip, flags: this.cpu.rflags, rsp: 0n };
    const hasCode = vector === 8 || (vector >= 10 && vector <= 14) || vector === 17;
    const frame = Number(view.getBigUint64(at("RSP"), true) - HIGH) + (hasCode ? 8 : 0);
    const word = (k: number): bigint => this.#ram.getBigUint64(frame + 8 * k, true);
    return {
      vector,
      error: hasCode ? this.#ram.getUint32(frame - 8, true) : 0,
      rip: word(0),
      flags: word(2),
      rsp: word(3),
    };
  }

  /** A byte of the user's memory; undefined where nothing is mapped. */
  byte(linear: bigint): number | undefined {
    let table = KERNEL.root;
    for (const shift of [39n, 30n, 21n, 12n]) {
      const entry = this.#ram.getBigUint64(table + Number((linear >> shift) & 511n) * 8, true);
      if (entry === 0n) return undefined;
      table = Number(entry & ~0xfffn & ((1n << 52n) - 1n));
    }
    return this.#ram.getUint8(table + Number(linear & 0xfffn));
  }
}
