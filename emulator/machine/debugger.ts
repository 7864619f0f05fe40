import { type DebugPoint, RunExit, type WatchHit } from "../cpu/core.ts";
import { type CodeBits, disassemble } from "../cpu/disassembler.ts";
import { type Paging, readLinear, translate, writeLinear } from "./linear-memory.ts";
import type { Machine, MachineEnd } from "./machine.ts";
import { Registers } from "./registers.ts";

/** Why a machine under a debugger stands. */
export type Stop =
  | { readonly reason: "step" | "breakpoint" | "interrupt" }
  | { readonly reason: "watchpoint"; readonly hit: WatchHit }
  | { readonly reason: "end"; readonly end: MachineEnd };

export interface CodeLine {
  /** Linear. */
  readonly address: bigint;
  readonly bytes: Uint8Array;
  readonly text: string;
}

const MAX_INSTRUCTION = 15;

/** A person's hands on a machine that is paused: look, change, step, go on until something happens. */
export class Debugger {
  readonly registers: Registers;
  readonly #machine: Machine;
  #points: readonly DebugPoint[] = [];
  #installed: readonly DebugPoint[] = [];
  #waiting: ((stop: Stop) => void) | undefined;

  constructor(machine: Machine) {
    this.#machine = machine;
    this.registers = new Registers(machine.cpu);
    machine.onPaused = (exit) => this.#paused(exit);
    void machine.done.then((end) => this.#stopped({ reason: "end", end }));
  }

  get paused(): boolean {
    return this.#machine.state === "paused";
  }

  /** The first points that there is room for hold when the machine goes on; false when that is not all. */
  setPoints(points: readonly DebugPoint[]): boolean {
    this.#points = points;
    return this.#installed === points || this.#install();
  }

  /** Pauses the machine, if it runs. */
  interrupt(): Promise<Stop> {
    const stop = new Promise<Stop>((resolve) => this.#wait(resolve));
    if (this.paused) this.#stopped({ reason: "interrupt" });
    else this.#machine.pause();
    return stop;
  }

  /** One instruction, whatever points there are; a watchpoint that it hits is told. */
  step(): Stop {
    const exit = this.#machine.step();
    return exit === RunExit.watchpoint ? this.#watchStop() : { reason: "step" };
  }

  /** Goes on until a point is hit, somebody interrupts, or the machine ends. The instruction at RIP runs first. */
  async resume(): Promise<Stop> {
    const first = this.step();
    if (first.reason !== "step") return first;
    return new Promise((resolve) => {
      this.#wait(resolve);
      this.#machine.resume();
    });
  }

  /** Leaves the machine alone, and running. */
  detach(): void {
    this.setPoints([]);
    this.#waiting = undefined;
    this.#machine.resume();
  }

  kill(): void {
    this.#machine.powerOff();
  }

  /** As many bytes as there are in RAM, from the first. */
  read(address: bigint, length: number): Uint8Array<ArrayBuffer> {
    return readLinear(this.#machine.memory, this.#paging(), address, length);
  }
  write(address: bigint, bytes: Uint8Array): boolean {
    return writeLinear(this.#machine.memory, this.#paging(), address, bytes);
  }
  readPhysical(address: number, length: number): Uint8Array {
    return this.#machine.memory.view(address, length).slice();
  }
  writePhysical(address: number, bytes: Uint8Array): boolean {
    if (!this.#machine.memory.contains(address, bytes.length)) return false;
    this.#machine.memory.write(address, bytes);
    return true;
  }
  translate(address: bigint): number | undefined {
    return translate(this.#machine.memory, this.#paging(), address);
  }

  /** So many instructions from an address, as code of the mode that the processor is in; fewer where memory ends. */
  code(address: bigint, count: number): readonly CodeLine[] {
    const lines: CodeLine[] = [];
    const all = this.read(address, count * MAX_INSTRUCTION);
    for (let at = 0; lines.length < count && at < all.length;) {
      const line = this.#line(address + BigInt(at), all.subarray(at, at + MAX_INSTRUCTION));
      lines.push(line);
      at += line.bytes.length;
    }
    return lines;
  }

  #line(address: bigint, bytes: Uint8Array): CodeLine {
    const bits: CodeBits = this.registers.codeBits;
    // Branch targets are RIPs; in legacy modes they differ from linear addresses by CS's base.
    const rip = bits === 64 ? address : address - this.registers.value("cs_base");
    const { length, text } = disassemble(bytes, bits, rip);
    return { address, bytes: bytes.slice(0, length), text };
  }

  #install(): boolean {
    this.#installed = this.#points;
    return this.#machine.cpu.setPoints(this.#points) === this.#points.length;
  }

  #paging(): Paging {
    const { registers } = this;
    const [cr0, cr3] = [registers.value("cr0"), registers.value("cr3")];
    return { cr0, cr3, cr4: registers.value("cr4"), efer: registers.value("efer") };
  }

  #wait(resolve: (stop: Stop) => void): void {
    const earlier = this.#waiting;
    this.#waiting = (stop) => {
      earlier?.(stop);
      resolve(stop);
    };
  }

  #paused(exit: RunExit | undefined): void {
    if (exit === RunExit.watchpoint) this.#stopped(this.#watchStop());
    else this.#stopped({ reason: exit === RunExit.breakpoint ? "breakpoint" : "interrupt" });
  }

  #watchStop(): Stop {
    const hit = this.#machine.cpu.watchHit;
    return hit ? { reason: "watchpoint", hit } : { reason: "interrupt" };
  }

  #stopped(stop: Stop): void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.(stop);
  }
}
