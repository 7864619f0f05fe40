/**
 * Guest instructions per second of the interpreter on the programs of cpu/programs.ts, in 64-bit mode with paging; with
 * `--peers v86` also in 32-bit mode, beside v86's interpreter running the same bytes in the same process.
 */
import { type Cpu, RAM_BASE } from "../../emulator/cpu/core.ts";
import { Assembler } from "../support/assembler.ts";
import { at, enterLongMode, makeCpu, setRegister, setSegment } from "../support/cpu-bench.ts";
import { CODE, DATA, END, type Program, STACK, kernelProgram, programs } from "./cpu/programs.ts";
import { cpuSeconds } from "./cpu/timing.ts";
import { startV86 } from "./cpu/v86-peer.ts";
import type { Result } from "./report.ts";

type Mode = 32 | 64;

function prepare(cpu: Cpu, program: Program, mode: Mode): void {
  const a = new Assembler(CODE, mode),
    memory = new DataView(cpu.memory.buffer, RAM_BASE);
  program.write(a);
  cpu.ram.fill(0, DATA, END);
  cpu.ram.set(a.code(), CODE);
  program.prepare?.(memory, a);
  cpu.invalidate(0, cpu.ram.length);
  if (mode === 64) enterLongMode(cpu, BigInt(CODE));
  else enterFlatMode(cpu, BigInt(CODE));
  setRegister(cpu, "rsp", BigInt(STACK));
  for (const [name, value] of Object.entries(program.registers)) setRegister(cpu, name, BigInt(value));
  cpu.view.setUint32(at("HALTED"), 0, true);
  if (program === kernelProgram) prepareSystemCalls(cpu, memory, a);
}
/** 32-bit protected mode without paging, as v86 runs it. */
function enterFlatMode(cpu: Cpu, rip: bigint): void {
  const set = (name: string, value: bigint): void => cpu.view.setBigUint64(at(name), value, true);
  set("CR0", 0x11n);
  set("CR4", 0n);
  set("EFER", 0n);
  setSegment(cpu, "cs", { selector: 0x08, attributes: 0xc9b, limit: 0xffffffff, base: 0n });
  for (const name of ["ss", "ds", "es", "fs", "gs"] as const)
    setSegment(cpu, name, { selector: 0x10, attributes: 0xc93, limit: 0xffffffff, base: 0n });
  set("RIP", rip);
  cpu.view.setUint32(at("CPL"), 0, true);
  cpu.rflags = 2n;
  cpu.reload();
}
/** Everything stays at CPL 0 but SYSRET goes to CPL 3, whose HLT faults: the round ends there and is caught by its budget. */
function prepareSystemCalls(cpu: Cpu, memory: DataView, a: Assembler): void {
  const set = (name: string, value: bigint): void => cpu.view.setBigUint64(at(name), value, true);
  for (const table of [0x1000, 0x2000])
    memory.setBigUint64(table, memory.getBigUint64(table, true) | 7n, true);
  for (let k = 0; k < 512; k++) memory.setBigUint64(0x3000 + 8 * k, BigInt(k * 0x200000) | 0x87n, true);
  set("STAR", (0x10n << 32n) | (0x20n << 48n));
  set("LSTAR", BigInt(a.address("entry")));
  set("FMASK", 0x700n);
  set("KERNEL_GS_BASE", 0x700000n);
  memory.setBigUint64(0x700018, 0x3f0000n, true);
  cpu.reload();
}

interface Speed {
  readonly instructions: number;
  readonly secondsPerRound: number;
}

function once(cpu: Cpu, program: Program, mode: Mode): { instructions: number; time: number } {
  prepare(cpu, program, mode);
  const before = cpu.retired,
    start = cpuSeconds();
  for (let slices = 0; slices < 4000 && cpu.run(100_000) === 0; slices++);
  return { instructions: cpu.retired - before, time: cpuSeconds() - start };
}

/** The median of seven spans. */
function speed(cpu: Cpu, program: Program, mode: Mode): Speed {
  for (let warm = 0; warm < 3; warm++) once(cpu, program, mode);
  const spans: Speed[] = [];
  for (let k = 0; k < 7; k++) {
    let instructions = 0,
      time = 0,
      rounds = 0;
    for (; time < 0.05; rounds++) {
      const one = once(cpu, program, mode);
      instructions += one.instructions;
      time += one.time;
    }
    spans.push({ instructions: instructions / rounds, secondsPerRound: time / rounds });
  }
  return spans.sort((a, b) => a.secondsPerRound - b.secondsPerRound)[3]!;
}

const mips = ({ instructions, secondsPerRound }: Speed): number => instructions / secondsPerRound / 1e6;
const geomean = (values: readonly number[]): number =>
  Math.exp(values.reduce((sum, value) => sum + Math.log(value), 0) / values.length);

/** Ours and v86's interpreter in 32-bit mode; v86's compiler too, which ours is not promised to beat. */
async function againstV86(cpu: Cpu): Promise<readonly Result[]> {
  const results: Result[] = [];
  for (const jit of [false, true]) {
    const peer = await startV86(jit),
      name = jit ? "v86 with its compiler" : "v86 interpreter",
      ratios: number[] = [];
    for (const program of programs) {
      const ours = speed(cpu, program, 32);
      const ratio = (await peer.secondsPerRound(program)) / ours.secondsPerRound;
      ratios.push(ratio);
      results.push({ name: `${program.name}, 32-bit`, value: mips(ours), unit: "MIPS", peer: name, ratio });
    }
    await peer.stop();
    const ratio = geomean(ratios);
    results.push({
      name: `geomean of ratios, 32-bit, to ${name}`,
      value: ratio,
      unit: "times",
      peer: name,
      ratio,
    });
  }
  return results;
}

export interface CpuOptions {
  readonly tier?: string | undefined;
  readonly peers?: string | undefined;
}

export async function measure({ tier = "interpreter", peers = "" }: CpuOptions): Promise<readonly Result[]> {
  if (tier !== "interpreter") throw new Error(`There is no tier "${tier}", only the interpreter.`);
  const wanted = peers.split(",").filter(Boolean);
  const unknown = wanted.find((peer) => peer !== "v86");
  if (unknown) throw new Error(`There is no peer "${unknown}", only v86.`);
  const cpu = makeCpu(16);
  const micro = programs.map((program) => ({
    name: program.name,
    value: mips(speed(cpu, program, 64)),
    unit: "MIPS",
  }));
  const mean = geomean(micro.map(({ value }) => value));
  return [
    ...micro,
    { name: "kernel", value: mips(speed(cpu, kernelProgram, 64)), unit: "MIPS" },
    {
      name: "geomean without kernel",
      value: mean,
      unit: "MIPS",
      peer: "promised 200 MIPS",
      ratio: mean / 200,
    },
    ...(wanted.length > 0 ? await againstV86(cpu) : []),
  ];
}
