/** A bare processor of any model, in flat 32-bit protected mode or in 64-bit mode, that takes one instruction at a time. */
import type { Cpu } from "../../../emulator/cpu/core.ts";
import { models } from "../../../emulator/cpu/models.ts";
import type { ProcessorName } from "../../../emulator/protocol/processor.ts";
import { at, enterLongMode, getRegister, makeCpu, setRegister, setSegment } from "../../support/cpu-bench.ts";

const GDT = 0x4000,
  IDT = 0x5000,
  HANDLERS = 0x6000,
  CODE = 0x1_0000,
  DATA = 0x2_0000,
  STACK = 0x3_0000;
const HLT = 0xf4;
const CODE32 = 0x00cf_9b00_0000_ffffn,
  CODE64 = 0x00af_9b00_0000_ffffn,
  FLAT_DATA = 0x00cf_9300_0000_ffffn;
/** CR0: PE, ET, NE. */
const CR0 = 0x31n;
/** OSFXSR, OSXMMEXCPT; FSGSBASE, OSXSAVE, where the model has them. */
const SSE_ON = 0x600n,
  FSGSBASE_ON = 0x1_0000n,
  XSAVE_ON = 0x4_0000n;

export class ModelRig {
  readonly cpu: Cpu;
  readonly #state: Uint8Array;
  readonly #start: Uint8Array;

  constructor(name: ProcessorName, long = false) {
    const { features } = models[name];
    const cpu = makeCpu(1, {}, name),
      ram = new DataView(cpu.ram.buffer, cpu.ram.byteOffset, cpu.ram.length);
    this.cpu = cpu;
    if (long) enterLongMode(cpu, BigInt(CODE));
    else {
      setSegment(cpu, "cs", { selector: 0x10, attributes: 0xc9b, limit: 0xffff_ffff, base: 0n });
      for (const segment of ["ss", "ds", "es", "fs", "gs"] as const)
        setSegment(cpu, segment, { selector: 0x18, attributes: 0xc93, limit: 0xffff_ffff, base: 0n });
      cpu.view.setBigUint64(at("CR0"), CR0, true);
    }
    for (const [index, entry] of [0n, 0n, long ? CODE64 : CODE32, FLAT_DATA].entries())
      ram.setBigUint64(GDT + 8 * index, entry, true);
    const size = long ? 16 : 8;
    for (let vector = 0; vector < 32; vector++) {
      const handler = HANDLERS + 16 * vector;
      ram.setUint8(handler, HLT);
      ram.setBigUint64(IDT + size * vector, BigInt(handler) | 0x8e00_0010_0000n, true);
    }
    cpu.view.setBigUint64(at("GDTR"), BigInt(GDT), true);
    cpu.view.setUint16(at("GDTR") + 8, 0x1f, true);
    cpu.view.setBigUint64(at("IDTR"), BigInt(IDT), true);
    cpu.view.setUint16(at("IDTR") + 8, 32 * size - 1, true);
    const on = [
      features.includes("sse") ? SSE_ON : 0n,
      features.includes("fsgsbase") ? FSGSBASE_ON : 0n,
      features.includes("xsave") ? XSAVE_ON : 0n,
    ].reduce((all, bits) => all | bits, long ? 0xb0n : 0n);
    cpu.view.setBigUint64(at("CR4"), on, true);
    if (features.includes("xsave"))
      cpu.view.setBigUint64(at("XCR0"), features.includes("avx") ? 7n : 3n, true);
    cpu.rflags = 2n;
    for (const register of ["rax", "rdx", "rbx", "rbp"]) setRegister(cpu, register, 0n);
    setRegister(cpu, "rcx", cpu.view.getBigUint64(at("CR0"), true));
    for (const register of ["rsi", "rdi"]) setRegister(cpu, register, BigInt(DATA));
    setRegister(cpu, "rsp", BigInt(STACK));
    this.#state = new Uint8Array(cpu.memory.buffer, at("STATE"), 0x700);
    this.#start = this.#state.slice();
  }

  /** Bytes of the state, 8 each. */
  peek(name: string): bigint {
    return this.cpu.view.getBigUint64(at(name), true);
  }
  poke(name: string, value: bigint): void {
    this.cpu.view.setBigUint64(at(name), value, true);
    this.#start.set(this.#state);
  }

  /** Runs the first instruction of these bytes, with the state as it was at the start; the exception's vector, or undefined. */
  run(code: readonly number[], registers: Readonly<Record<string, bigint>> = {}): number | undefined {
    const { cpu } = this;
    this.#state.set(this.#start);
    for (const [name, value] of Object.entries(registers)) setRegister(cpu, name, value);
    cpu.ram.set(code, CODE);
    cpu.invalidate(CODE, code.length);
    cpu.view.setBigUint64(at("RIP"), BigInt(CODE), true);
    cpu.reload();
    cpu.step();
    const handler = Number(cpu.rip) - HANDLERS;
    return handler >= 0 && handler < 512 ? handler >> 4 : undefined;
  }
  /** A general register after the run. */
  get(name: string): bigint {
    return getRegister(this.cpu, name);
  }
}
