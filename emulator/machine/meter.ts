import type { MachineStats } from "../protocol/machine-messages.ts";

/** What the meter reads of the core. */
interface Retiring {
  readonly retired: number;
}

/** Counts instructions over resets, and where the host's time goes. */
export class Meter {
  readonly #hostNs: () => number;
  readonly #cpu: Retiring;
  /** Instructions before the last reset. */
  #before = 0;
  /** Instructions per ns while running, smoothed: for the length of slices. */
  #rate = 0.1;
  #idleNs = 0;
  #stalledNs = 0;
  #stallSince: number | undefined;
  #last = { ns: 0, instructions: 0, idleNs: 0 };

  constructor(hostNs: () => number, cpu: Retiring) {
    this.#hostNs = hostNs;
    this.#cpu = cpu;
    this.#last.ns = hostNs();
  }

  get instructions(): number {
    return this.#before + this.#cpu.retired;
  }

  beforeReset(): void {
    this.#before = this.instructions;
  }

  measure<T>(run: () => T): T {
    const [ns, instructions] = [this.#hostNs(), this.#cpu.retired];
    const result = run();
    const [tookNs, retired] = [this.#hostNs() - ns, this.#cpu.retired - instructions];
    if (tookNs > 10_000 && retired > 1_000) this.#rate += (Math.min(retired / tookNs, 10) - this.#rate) / 16;
    return result;
  }

  instructionsIn(ns: number, fixedNs?: number): number {
    return Math.ceil(fixedNs === undefined ? ns * this.#rate : ns / fixedNs);
  }
  nsFor(instructions: number, fixedNs?: number): number {
    return fixedNs === undefined ? instructions / this.#rate : instructions * fixedNs;
  }

  idled(ns: number): void {
    this.#idleNs += ns;
  }
  stallBegins(): void {
    this.#stallSince ??= this.#hostNs();
  }
  stallEnds(): void {
    this.#stalledNs = this.#stalledTotal;
    this.#stallSince = undefined;
  }

  /** Totals since power-on; rates since the last sample. */
  sample(): Pick<MachineStats, "instructions" | "mips" | "idle" | "stalledMs"> {
    const { ns, instructions, idleNs } = this.#last;
    const period = Math.max(this.#hostNs() - ns, 1);
    const total = this.instructions;
    this.#last = { ns: ns + period, instructions: total, idleNs: this.#idleNs };
    return {
      instructions: total,
      mips: ((total - instructions) / period) * 1000,
      idle: Math.min((this.#idleNs - idleNs) / period, 1),
      stalledMs: this.#stalledTotal / 1e6,
    };
  }

  get #stalledTotal(): number {
    return this.#stalledNs + (this.#stallSince === undefined ? 0 : this.#hostNs() - this.#stallSince);
  }
}
