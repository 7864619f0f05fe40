import { type DebugPoint, RunExit, type WatchHit } from "../cpu/core.ts";
import { Inspection } from "./inspection.ts";
import type { Machine } from "./machine.ts";
import type { MachineEnd } from "./machine-options.ts";

/** Why a machine under a debugger stands. */
export type Stop =
  | { readonly reason: "step" | "breakpoint" | "interrupt" }
  | { readonly reason: "watchpoint"; readonly hit: WatchHit }
  | { readonly reason: "end"; readonly end: MachineEnd };

/** A person's hands on a machine that is paused: look, change, step, go on until something happens. */
export class Debugger extends Inspection {
  readonly #machine: Machine;
  #points: readonly DebugPoint[] = [];
  #installed: readonly DebugPoint[] = [];
  #waiting: ((stop: Stop) => void) | undefined;

  constructor(machine: Machine) {
    super(machine.cpu, machine.memory);
    this.#machine = machine;
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

  #install(): boolean {
    this.#installed = this.#points;
    return this.#machine.cpu.setPoints(this.#points) === this.#points.length;
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
