/**
 * A long-mode machine for tests of the system instructions: tables, stacks and one-instruction handlers in RAM, no devices.
 * Every exception handler is a HLT, so a run ends at the first event and the test reads the frame it left on the stack.
 */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Cpu, type CpuHost, RAM_BASE, type RunExit } from "../../../emulator/cpu/core.ts";
import { registerNames } from "../../support/cpu-bench.ts";

const wasm = process.env["VIRGA_CPU_WASM"] ?? join(import.meta.dirname, "../../../build/wasm/cpu-plain.wasm");
/** Why tests cannot run, if they cannot. */
export const noCore = existsSync(wasm) ? undefined : "build/wasm/cpu-plain.wasm is absent: npm run build:cpu";
let compiled: WebAssembly.Module | undefined;
export const compiledCore = (): WebAssembly.Module =>
  (compiled ??= new WebAssembly.Module(readFileSync(wasm)));

/** Places in the state, as in assembly/layout.ts. */
const STATE = 0x1000;
export const place = {
  gpr: STATE,
  rip: STATE + 0x98,
  rflags: STATE + 0xa0,
  halted: STATE + 0xbc,
  cpl: STATE + 0xc4,
  segments: STATE + 0x100,
  gdtr: STATE + 0x200,
  idtr: STATE + 0x210,
  cr0: STATE + 0x220,
  cr2: STATE + 0x228,
  cr3: STATE + 0x230,
  cr4: STATE + 0x238,
  dr: STATE + 0x250,
  efer: STATE + 0x290,
  star: STATE + 0x298,
  lstar: STATE + 0x2a0,
  fmask: STATE + 0x2b0,
  kernelGsBase: STATE + 0x2b8,
  sysenter: STATE + 0x2c0,
} as const;

/** Guest-physical and linear addresses: the first 2 MiB are mapped to themselves in 4 KiB pages. */
export const at = {
  pml4: 0x1000,
  pdpt: 0x2000,
  pd: 0x3000,
  pt: 0x4000,
  gdt: 0x5000,
  idt: 0x6000,
  tss: 0x7000,
  code: 0x10000,
  handlers: 0x11000,
  user: 0x20000,
  userStack: 0x22000,
  data: 0x24000,
  kernelStack: 0x30000,
  ist: 0x32000,
} as const;

/** Selectors: 64-bit kernel code and data, 32-bit user code, user data, 64-bit user code (SYSRET's order), 32-bit kernel code. */
export const selector = {
  code: 0x08,
  data: 0x10,
  user32: 0x1b,
  userData: 0x23,
  user: 0x2b,
  tss: 0x30,
  code32: 0x40,
  code16: 0x48,
  data16: 0x50,
} as const;
export const registers = registerNames;
export type Register = (typeof registers)[number];

export const P = 1n,
  RW = 2n,
  US = 4n,
  A = 0x20n,
  D = 0x40n,
  PS = 0x80n,
  G = 0x100n,
  NX = 1n << 63n;

/** INT 81h ends user code: its gate has DPL 3. */
export const DONE = 0x81;

export interface Log {
  readonly io: string[];
  readonly mmio: string[];
  deadline: number;
  input: number;
}

/** What a run ended with: the vector of the handler that halted, or undefined when other code did. */
export interface Ended {
  readonly exit: RunExit;
  readonly vector?: number;
  readonly rip: bigint;
}

export interface RunOptions {
  readonly cpl?: 0 | 3;
  readonly rflags?: bigint;
  /** Registers and segments stay as the test has set them. */
  readonly keep?: boolean;
  /** Instructions. */
  readonly limit?: number;
}

export class Rig {
  readonly cpu: Cpu;
  /** RFLAGS that tests start with. */
  flags = 2n;
  readonly log: Log = { io: [], mmio: [], deadline: -1, input: 0 };
  #ticks = 1000;

  constructor(memoryMiB = 4) {
    // The most that a processor here can have.
    this.cpu = new Cpu({
      module: compiledCore(),
      processor: "v3",
      memoryMiB,
      host: this.#host(),
      shared: false,
    });
    this.#tables();
    this.#registers();
  }

  #host(): CpuHost {
    const { log } = this;
    return {
      ioRead: (port, size) => (log.io.push(`in ${port.toString(16)} ${size}`), log.input),
      ioWrite: (port, size, value) =>
        void log.io.push(`out ${port.toString(16)} ${size} ${value.toString(16)}`),
      mmioRead: (address, size) => (
        log.mmio.push(`read ${address.toString(16)} ${size}`),
        0xa5a5a5a5 >>> (32 - size * 8)
      ),
      mmioWrite: (address, size, value) =>
        void log.mmio.push(`write ${address.toString(16)} ${size} ${value.toString(16)}`),
      tsc: () => this.#ticks++,
      acknowledgeInterrupt: () => {
        this.cpu.setInterruptPin(false);
        return 0x40;
      },
      random32: () => 0x12345678,
      readCr8: () => 0,
      writeCr8: () => undefined,
      writeTscDeadline: (ticks) => void (log.deadline = ticks),
      writeApicBase: () => undefined,
    };
  }

  // ---------------------------------------------------------------------------------------------- memory and state

  read64(address: number): bigint {
    return this.cpu.view.getBigUint64(RAM_BASE + address, true);
  }
  write64(address: number, value: bigint): void {
    this.cpu.view.setBigUint64(RAM_BASE + address, BigInt.asUintN(64, value), true);
    this.cpu.invalidate(address, 8);
  }
  read32(address: number): number {
    return this.cpu.view.getUint32(RAM_BASE + address, true);
  }
  write32(address: number, value: number): void {
    this.cpu.view.setUint32(RAM_BASE + address, value, true);
    this.cpu.invalidate(address, 4);
  }
  read16(address: number): number {
    return this.cpu.view.getUint16(RAM_BASE + address, true);
  }
  write16(address: number, value: number): void {
    this.cpu.view.setUint16(RAM_BASE + address, value, true);
    this.cpu.invalidate(address, 2);
  }
  /** Hex bytes, blanks between them as one likes. */
  bytes(address: number, hex: string): void {
    const bytes = Buffer.from(hex.replaceAll(/\s+/g, ""), "hex");
    this.cpu.ram.set(bytes, address);
    this.cpu.invalidate(address, bytes.length);
  }
  state(where: number): bigint {
    return this.cpu.view.getBigUint64(where, true);
  }
  setState(where: number, value: bigint): void {
    this.cpu.view.setBigUint64(where, BigInt.asUintN(64, value), true);
  }
  get(name: Register): bigint {
    return this.state(place.gpr + 8 * registers.indexOf(name));
  }
  set(name: Register, value: bigint): void {
    this.setState(place.gpr + 8 * registers.indexOf(name), value);
  }
  get cpl(): number {
    return this.cpu.view.getUint32(place.cpl, true);
  }
  /** Entry of the one page table for a linear address below 2 MiB. */
  pte(linear: number): bigint {
    return this.read64(at.pt + (linear >> 12) * 8);
  }
  setPte(linear: number, flags: bigint, frame = linear): void {
    this.write64(at.pt + (linear >> 12) * 8, BigInt(frame & ~0xfff) | flags);
  }

  segment(number: number): { selector: number; attributes: number; limit: number; base: bigint } {
    const where = place.segments + number * 32,
      { view } = this.cpu;
    return {
      selector: view.getUint16(where, true),
      attributes: view.getUint16(where + 2, true),
      limit: view.getUint32(where + 4, true),
      base: view.getBigUint64(where + 8, true),
    };
  }
  setSegment(number: number, sel: number, attributes: number, base = 0n, limit = 0xffffffff): void {
    const where = place.segments + number * 32,
      { view } = this.cpu;
    view.setUint16(where, sel, true);
    view.setUint16(where + 2, attributes, true);
    view.setUint32(where + 4, limit, true);
    view.setBigUint64(where + 8, base, true);
  }

  // ---------------------------------------------------------------------------------------------- building

  #tables(): void {
    this.write64(at.pml4, BigInt(at.pdpt) | P | RW | US);
    this.write64(at.pdpt, BigInt(at.pd) | P | RW | US);
    this.write64(at.pd, BigInt(at.pt) | P | RW | US);
    for (let page = 0; page < 0x200000; page += 0x1000)
      this.setPte(page, P | RW | (page >= at.user && page < at.kernelStack - 0x4000 ? US : 0n));
    const gdt = [
      0n,
      0x00af9b000000ffffn,
      0x00cf93000000ffffn,
      0x00cffb000000ffffn,
      0x00cff3000000ffffn,
      0x00affb000000ffffn,
      0x0000890070000067n,
      0n,
      0x00cf9b000000ffffn,
      0x00009b000000ffffn,
      0x000093000000ffffn,
    ];
    for (const [index, entry] of gdt.entries()) this.write64(at.gdt + index * 8, entry);
    for (let vector = 0; vector < 256; vector++) {
      this.gate(vector, {});
      this.bytes(at.handlers + vector * 16, "f4");
    }
    this.gate(DONE, { type: 0xee });
    this.write64(at.tss + 4, BigInt(at.kernelStack));
    this.write64(at.tss + 36, BigInt(at.ist));
    this.write16(at.tss + 102, 104);
  }

  gate(
    vector: number,
    { type = 0x8e, sel = selector.code as number, ist = 0, to = at.handlers + vector * 16 },
  ): void {
    const low =
      BigInt(to & 0xffff) |
      (BigInt(sel) << 16n) |
      (BigInt(ist) << 32n) |
      (BigInt(type) << 40n) |
      (BigInt(to >>> 16) << 48n);
    this.write64(at.idt + vector * 16, low);
    this.write64(at.idt + vector * 16 + 8, 0n);
  }

  #registers(): void {
    this.setState(place.cr0, 0x80010033n);
    this.setState(place.cr3, BigInt(at.pml4));
    this.setState(place.cr4, 0x6b0n);
    this.setState(place.efer, 0xd01n);
    this.setState(place.gdtr, BigInt(at.gdt));
    this.cpu.view.setUint16(place.gdtr + 8, 0x5f, true);
    this.setState(place.idtr, BigInt(at.idt));
    this.cpu.view.setUint16(place.idtr + 8, 0xfff, true);
    this.setSegment(7, selector.tss, 0x8b, BigInt(at.tss), 0x67);
    this.ring(0);
  }

  /** Code and stack segments of 64-bit code at CPL 0 or 3. */
  ring(cpl: 0 | 3): void {
    this.setSegment(1, cpl ? selector.user : selector.code, cpl ? 0xafb : 0xa9b);
    this.setSegment(2, cpl ? selector.userData : selector.data, cpl ? 0xcf3 : 0xc93);
    for (const number of [0, 3, 4, 5]) this.setSegment(number, selector.userData, 0xcf3);
    this.cpu.view.setUint32(place.cpl, cpl, true);
    this.set("rsp", BigInt(cpl ? at.userStack : at.kernelStack));
  }

  /** Runs code, placed where its level may execute it, until something halts. */
  run(hex: string, { cpl = 0, rflags = 2n, keep = false, limit = 1000 }: RunOptions = {}): Ended {
    const start = cpl ? at.user : at.code;
    this.bytes(start, hex);
    if (!keep) this.ring(cpl);
    this.setState(place.rip, BigInt(start));
    return this.resume(rflags, limit);
  }
  /** Goes on at RIP. */
  resume(rflags = 2n, limit = 1000): Ended {
    this.cpu.view.setUint32(place.halted, 0, true);
    this.cpu.reload();
    this.cpu.rflags = rflags;
    const exit = this.cpu.run(limit),
      rip = this.cpu.rip;
    const offset = Number(rip) - 1 - at.handlers;
    return offset >= 0 && offset < 0x1000 && offset % 16 === 0
      ? { exit, rip, vector: offset / 16 }
      : { exit, rip };
  }

  /** The frame at RSP; `code` when the event pushed an error code. */
  frame(withCode: boolean): {
    code: number;
    rip: bigint;
    cs: number;
    rflags: bigint;
    rsp: bigint;
    ss: number;
  } {
    const base = Number(this.get("rsp")) + (withCode ? 8 : 0),
      word = (n: number): bigint => this.read64(base + 8 * n);
    return {
      code: withCode ? Number(this.read64(base - 8)) : -1,
      rip: word(0),
      cs: Number(word(1)),
      rflags: word(2),
      rsp: word(3),
      ss: Number(word(4)),
    };
  }
}
