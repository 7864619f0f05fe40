import { readFileSync } from "node:fs";
import { Cpu, type CpuHost, RunExit } from "../../../emulator/cpu/core.ts";

const STATE = 0x1000;
const place = { rip: STATE + 0x98, cpl: STATE + 0xc4, segments: STATE + 0x100, cr0: STATE + 0x220 } as const;
export const CODE = 0x1000,
  DATA = 0x2000,
  RECORDS = 0x100000;

const silent: CpuHost = {
  ioRead: () => 0,
  ioWrite: () => {},
  mmioRead: () => 0,
  mmioWrite: () => {},
  tsc: () => 0,
  acknowledgeInterrupt: () => -1,
  random32: () => 0,
  readCr8: () => 0,
  writeCr8: () => {},
  writeTscDeadline: () => {},
  writeApicBase: () => {},
};

export const bytesOf = (hex: string): number[] =>
  (hex.replaceAll(/\s/g, "").match(/../g) ?? []).map((pair) => Number.parseInt(pair, 16));

/** The real core as a flat 32-bit machine without paging: CPL 0, interrupts off, CR0.NE set. */
export class FlatMachine {
  readonly cpu: Cpu;
  /** Guest RAM. */
  readonly view: DataView;

  constructor() {
    const module = new WebAssembly.Module(readFileSync("build/wasm/cpu-plain.wasm"));
    this.cpu = new Cpu({ module, memoryMiB: 8, host: silent, shared: false });
    this.view = new DataView(this.cpu.ram.buffer, this.cpu.ram.byteOffset, this.cpu.ram.byteLength);
  }

  /** Runs code to its HLT (which is added) with ESI = `esi`, EDI = DATA and ECX = `ecx`. */
  run(code: string, { ecx = 0, esi = DATA, budget = 10_000 } = {}): void {
    const { cpu } = this,
      bytes = bytesOf(code);
    cpu.reset();
    cpu.ram.set([...bytes, 0xf4], CODE);
    cpu.invalidate(CODE, bytes.length + 1);
    this.#enter(ecx, esi);
    let exit: RunExit = RunExit.budget;
    for (let spent = 0; exit === RunExit.budget && spent < budget; spent += 100_000)
      exit = cpu.run(Math.min(budget, 100_000));
    if (exit !== RunExit.halted)
      throw new Error(`the program did not halt: exit ${exit} at ${cpu.rip.toString(16)}`);
  }

  #enter(ecx: number, esi: number): void {
    const { view } = this.cpu;
    for (let segment = 0; segment < 6; segment++) {
      const at = place.segments + segment * 32;
      view.setUint16(at, segment === 1 ? 8 : 16, true);
      view.setUint16(at + 2, segment === 1 ? 0xc9b : 0xc93, true);
      view.setUint32(at + 4, 0xffffffff, true);
      view.setBigUint64(at + 8, 0n, true);
    }
    view.setBigUint64(place.cr0, 0x31n, true);
    view.setUint32(place.cpl, 0, true);
    view.setBigUint64(place.rip, BigInt(CODE), true);
    const registers: [number, number][] = [
      [1, ecx],
      [4, 0x8000],
      [6, esi],
      [7, DATA],
    ];
    for (const [number, value] of registers) view.setBigUint64(STATE + number * 8, BigInt(value), true);
    this.cpu.rflags = 2n;
    this.cpu.reload();
  }

  /** Twenty hex digits, sign and exponent first. */
  extended(at: number): string {
    const significand = this.view.getBigUint64(at, true),
      top = this.view.getUint16(at + 8, true);
    return (top.toString(16).padStart(4, "0") + significand.toString(16).padStart(16, "0")).toUpperCase();
  }
  setExtended(at: number, hex: string): void {
    this.view.setUint16(at + 8, Number.parseInt(hex.slice(0, 4), 16), true);
    this.view.setBigUint64(at, BigInt(`0x${hex.slice(4)}`), true);
  }
}
