import type { GuestMemory } from "../bus/guest-memory.ts";
import { type Cpu, RunExit } from "../cpu/core.ts";
import { hexBytes, Inspection } from "./inspection.ts";
import { generalNames } from "./registers.ts";

/**
 * One line for each instruction: how many had retired before it, CS:RIP, its bytes, its text, and the registers that it has
 * changed, with their new values. An interrupt from outside is a line of its own.
 */
export interface TraceOptions {
  /** Instructions that run before the first line. */
  readonly from: number;
  /** Lines of instructions at most; afterwards the machine runs at full speed. */
  readonly count: number;
  /** Takes a line; the machine waits until it returns. */
  readonly line: (text: string) => void;
  /** The last line was written. */
  readonly end: () => void;
}

/** `run` may go on this much further than it is told to: a block, or a link to one. */
const OVERSHOOT = 256;
/** Steps in one slice: the machine's loop has others to serve. */
const SLICE_STEPS = 5_000;

/** The words of the core's state that are looked at (cpu/assembly/layout.ts), and whose they are. */
const STATE = 0x1000;
const FIRST = STATE;
const LAST = STATE + 0x6a0;
const XMM = STATE + 0x400;
const X87 = STATE + 0x600;
const SEGMENTS = ["es", "cs", "ss", "ds", "fs", "gs"];

function ownerOf(at: number): string | undefined {
  if (at < STATE + 0x80) return generalNames[(at - STATE) >> 3];
  if (at >= STATE + 0x100 && at < STATE + 0x1c0) return SEGMENTS[(at - STATE - 0x100) >> 5];
  if (at >= STATE + 0x220 && at < STATE + 0x240) return `cr${[0, 2, 3, 4][(at - STATE - 0x220) >> 3]}`;
  if (at >= STATE + 0x290 && at < STATE + 0x298) return "efer";
  if (at >= XMM && at < X87) return (at & 16 ? "ymm%h" : "xmm%").replace("%", String((at - XMM) >> 5));
  if (at >= X87 && at < X87 + 0x80) return "st";
  if (at >= X87 + 0x80 && at < X87 + 0x88) return "fstat";
  return at === X87 + 0x88 ? "mxcsr" : undefined;
}
const owners = Array.from({ length: (LAST - FIRST) >> 2 }, (_, i) => ownerOf(FIRST + 4 * i));

export class Tracer {
  readonly #options: TraceOptions;
  #written = 0;
  #inspection: Inspection | undefined;
  #before = new Int32Array((LAST - FIRST) >> 2);
  #flags = 0n;

  constructor(options: TraceOptions) {
    this.#options = options;
  }

  /** Runs a slice: `MachineOptions.runSlice`. */
  runSlice(cpu: Cpu, memory: GuestMemory, instructions: number): RunExit {
    const { from, count } = this.#options;
    if (this.#written >= count) return cpu.run(instructions);
    if (cpu.retired + OVERSHOOT < from)
      return cpu.run(Math.min(instructions, from - OVERSHOOT - cpu.retired));
    for (let i = Math.min(instructions, SLICE_STEPS); i > 0 && this.#written < count; i--) {
      const exit = this.#step(cpu, memory, cpu.retired >= from);
      if (exit !== RunExit.budget) return exit;
    }
    return RunExit.budget;
  }

  #step(cpu: Cpu, memory: GuestMemory, shown: boolean): RunExit {
    const rip = cpu.rip;
    if (!cpu.admit()) return RunExit.halted;
    if (!shown) return cpu.step();
    if (cpu.rip !== rip) this.#options.line("-- interrupt");
    this.#inspection ??= new Inspection(cpu, memory);
    const { registers } = this.#inspection;
    const [code] = this.#inspection.code(registers.pc, 1);
    const place = `${registers.value("cs").toString(16).padStart(4, "0")}:${cpu.rip.toString(16).padStart(16, "0")}`;
    const count = cpu.retired;
    this.#remember(cpu);
    const exit = cpu.step();
    const text = code ? `${hexBytes(code.bytes).padEnd(32)} ${code.text.padEnd(40)}` : "(no memory)";
    this.#options.line(`${count} ${place} ${text} ${this.#changes(cpu).join(" ")}`.trimEnd());
    if (++this.#written === this.#options.count) this.#options.end();
    return exit;
  }

  #remember(cpu: Cpu): void {
    this.#before.set(new Int32Array(cpu.view.buffer, FIRST, this.#before.length));
    this.#flags = cpu.rflags;
  }

  #changes(cpu: Cpu): string[] {
    const now = new Int32Array(cpu.view.buffer, FIRST, this.#before.length);
    const changed = new Set<string>();
    for (let i = 0; i < now.length; i++) {
      const owner = now[i] === this.#before[i] ? undefined : owners[i];
      // The register stack moves as a whole: what is at its top says most.
      if (owner !== undefined) changed.add(owner === "st" ? "st0" : owner);
    }
    if (cpu.rflags !== this.#flags) changed.add("rflags");
    const { registers } = this.#inspection!;
    return Array.from(changed, (name) => `${name}=${registers.value(name).toString(16)}`);
  }
}
