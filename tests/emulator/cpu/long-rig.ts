/** A 64-bit machine at CPL 0 with AVX switched on, whose exceptions end the run: for tests of vector instructions. */
import type { Cpu } from "../../../emulator/cpu/core.ts";
import type { ProcessorName } from "../../../emulator/protocol/processor.ts";
import { at, enterLongMode, makeCpu, setRegister } from "../../support/cpu-bench.ts";

export const DATA = 0x20000;
const CODE = 0x10000,
  IDT = 0x5000,
  HANDLERS = 0x6000;

export class LongRig {
  readonly cpu: Cpu;
  readonly ram: DataView;

  constructor(processor: ProcessorName = "v3") {
    const cpu = makeCpu(4, {}, processor);
    this.cpu = cpu;
    this.ram = new DataView(cpu.ram.buffer, cpu.ram.byteOffset, cpu.ram.length);
    for (let vector = 0; vector < 32; vector++) {
      const handler = HANDLERS + 16 * vector;
      this.ram.setUint8(handler, 0xf4);
      this.ram.setBigUint64(IDT + 16 * vector, BigInt(handler) | 0x8e0000100000n, true);
    }
    // A code segment for the gates: GDT at 0x4000, selector 0x10.
    this.ram.setBigUint64(0x4010, 0x00af9b000000ffffn, true);
    enterLongMode(cpu, BigInt(CODE));
    cpu.view.setBigUint64(at("GDTR"), 0x4000n, true);
    cpu.view.setUint16(at("GDTR") + 8, 0x1f, true);
    cpu.view.setBigUint64(at("IDTR"), BigInt(IDT), true);
    cpu.view.setUint16(at("IDTR") + 8, 0x1ff, true);
    cpu.view.setBigUint64(at("XCR0"), 7n, true);
    setRegister(cpu, "rsp", 0x30000n);
    setRegister(cpu, "rsi", BigInt(DATA));
    this.change("CR4", (cr4) => cr4 | 0x40000n);
  }

  change(name: "CR0" | "CR4", next: (value: bigint) => bigint): void {
    this.cpu.view.setBigUint64(at(name), next(this.cpu.view.getBigUint64(at(name), true)), true);
    this.cpu.reload();
  }

  /** Runs the code to the HLT that is added; the exception vector, or undefined. */
  run(code: string, budget = 100): number | undefined {
    const { cpu } = this,
      bytes = (code.replaceAll(" ", "").match(/../g) ?? []).map((pair) => Number.parseInt(pair, 16));
    cpu.ram.set([...bytes, 0xf4], CODE);
    cpu.invalidate(CODE, bytes.length + 1);
    cpu.view.setBigUint64(at("RIP"), BigInt(CODE), true);
    cpu.view.setUint32(at("HALTED"), 0, true);
    cpu.run(budget);
    const rip = Number(cpu.rip);
    if (cpu.view.getUint32(at("HALTED"), true) !== 1)
      throw new Error(`did not stop: rip ${rip.toString(16)}`);
    return rip >= HANDLERS && rip < HANDLERS + 512 ? (rip - 1 - HANDLERS) / 16 : undefined;
  }

  /** The 32 bytes of a YMM register as doublewords, the lowest first. */
  ymm(i: number): number[] {
    return Array.from({ length: 8 }, (_, k) => this.cpu.view.getUint32(at("XMM") + 32 * i + 4 * k, true));
  }
  setYmm(i: number, dwords: readonly number[]): void {
    for (let k = 0; k < 8; k++)
      this.cpu.view.setUint32(at("XMM") + 32 * i + 4 * k, dwords[k % dwords.length]!, true);
  }
  get mxcsr(): number {
    return this.cpu.view.getUint32(at("MXCSR"), true);
  }
  set mxcsr(value: number) {
    this.cpu.view.setUint32(at("MXCSR"), value, true);
  }
}
