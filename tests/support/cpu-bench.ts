/** A bare CPU for tests: the wasm core, RAM and no devices; state by name, page tables, descriptors. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Cpu, type CpuHost, RAM_BASE } from "../../emulator/cpu/core.ts";
import type { ProcessorName } from "../../emulator/protocol/processor.ts";

const root = join(import.meta.dirname, "../..");
/** Places of the CPU state: layout.ts is AssemblyScript, but its constants are plain TypeScript once the types are gone. */
const layoutFile = join(root, "emulator/cpu/assembly/layout.ts");
export const layout = (await import(layoutFile)) as Readonly<Record<string, number>>;

export const at = (name: string): number => {
  const place = layout[name];
  if (place === undefined) throw new Error(`layout.ts has no ${name}`);
  return place;
};

/** The plain build; VIRGA_CPU_WASM names another. */
export function loadCore(): WebAssembly.Module {
  const file = process.env["VIRGA_CPU_WASM"] ?? join(root, "build/wasm/cpu-plain.wasm");
  if (!existsSync(file)) throw new Error(`${file} is missing: run npm run build:cpu`);
  return new WebAssembly.Module(readFileSync(file));
}

/** A board without devices: ports and MMIO read as ones, the counter stands still. */
export const bareHost: CpuHost = {
  ioRead: (_port, size) => 2 ** (8 * size) - 1,
  ioWrite: () => {},
  mmioRead: (_address, size) => 2 ** (8 * size) - 1,
  mmioWrite: () => {},
  tsc: () => 0,
  acknowledgeInterrupt: () => -1,
  random32: () => 4,
  readCr8: () => 0,
  writeCr8: () => {},
  writeTscDeadline: () => {},
  writeApicBase: () => {},
};

export const registerNames = [
  "rax",
  "rcx",
  "rdx",
  "rbx",
  "rsp",
  "rbp",
  "rsi",
  "rdi",
  "r8",
  "r9",
  "r10",
  "r11",
  "r12",
  "r13",
  "r14",
  "r15",
] as const;
export const segmentNames = ["es", "cs", "ss", "ds", "fs", "gs", "ldtr", "tr"] as const;
export type SegmentName = (typeof segmentNames)[number];

export interface Segment {
  readonly selector: number;
  /** As layout.ts: access byte in bits 0-7, AVL L D G in bits 8-11. */
  readonly attributes: number;
  readonly limit: number;
  readonly base: bigint;
}

/** Where a segment's cached descriptor is. */
export const segmentPlace = (name: SegmentName): number => at("SEGMENTS") + 32 * segmentNames.indexOf(name);

export function setSegment(cpu: Cpu, name: SegmentName, segment: Segment): void {
  const place = segmentPlace(name);
  cpu.view.setUint16(place, segment.selector, true);
  cpu.view.setUint16(place + 2, segment.attributes, true);
  cpu.view.setUint32(place + 4, segment.limit, true);
  cpu.view.setBigUint64(place + 8, segment.base, true);
}

/** Reads a descriptor of 8 bytes into its cached form. */
export function segmentOf(selector: number, raw: bigint): Segment {
  const attributes = Number((raw >> 40n) & 0xffn) | Number((raw >> 44n) & 0xf00n);
  const units = Number(raw & 0xffffn) | Number((raw >> 32n) & 0xf0000n);
  const limit = attributes & 0x800 ? units * 4096 + 4095 : units;
  return { selector, attributes, limit, base: ((raw >> 16n) & 0xffffffn) | ((raw >> 32n) & 0xff000000n) };
}

/** With every instruction there is, unless a lesser model is asked for. */
export function makeCpu(
  memoryMiB: number,
  host: Partial<CpuHost> = {},
  processor: ProcessorName = "v3",
): Cpu {
  return new Cpu({
    module: loadCore(),
    processor,
    memoryMiB,
    host: { ...bareHost, ...host },
    shared: false,
  });
}

export const getRegister = (cpu: Cpu, name: string): bigint =>
  cpu.view.getBigUint64(at("GPR") + 8 * registerNames.indexOf(name as "rax"), true);
export function setRegister(cpu: Cpu, name: string, value: bigint): void {
  cpu.view.setBigUint64(at("GPR") + 8 * registerNames.indexOf(name as "rax"), value, true);
}

/** CPL 0, 64-bit mode, the first GiB identity-mapped with 2 MiB pages; tables at 0x1000-0x3fff. */
export function enterLongMode(cpu: Cpu, rip: bigint): void {
  const memory = new DataView(cpu.memory.buffer, RAM_BASE);
  memory.setBigUint64(0x1000, 0x2003n, true);
  memory.setBigUint64(0x2000, 0x3003n, true);
  for (let i = 0; i < 512; i++) memory.setBigUint64(0x3000 + 8 * i, BigInt(i * 0x200000) | 0x83n, true);
  const { view } = cpu;
  view.setBigUint64(at("CR0"), 0x80050033n, true);
  view.setBigUint64(at("CR3"), 0x1000n, true);
  view.setBigUint64(at("CR4"), 0x6b0n, true);
  view.setBigUint64(at("EFER"), 0xd01n, true);
  setSegment(cpu, "cs", { selector: 0x10, attributes: 0xa9b, limit: 0xffffffff, base: 0n });
  for (const name of ["ss", "ds", "es", "fs", "gs"] as const)
    setSegment(cpu, name, { selector: 0x18, attributes: 0xc93, limit: 0xffffffff, base: 0n });
  view.setBigUint64(at("RIP"), rip, true);
  view.setUint32(at("CPL"), 0, true);
  cpu.rflags = 2n;
  cpu.reload();
}
