import type { Clock } from "../../emulator/storage/clock.ts";

/** A clock whose hands the test turns, and whose dice always fall the same. */
export class ManualClock implements Clock {
  #nowMs = 1_700_000_000_000;
  #timers: { atMs: number; work: () => void }[] = [];
  chance = 0.5;

  nowMs(): number {
    return this.#nowMs;
  }

  after(ms: number, work: () => void): () => void {
    const timer = { atMs: this.#nowMs + ms, work };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer);
    };
  }

  sleep(ms: number): Promise<void> {
    return new Promise((resolve) => {
      this.after(ms, resolve);
    });
  }

  random(): number {
    return this.chance;
  }

  /** Lets time pass; what is due runs in order, and gets to finish its promises. */
  async advance(ms: number): Promise<void> {
    const untilMs = this.#nowMs + ms;
    await settle();
    for (;;) {
      const due = this.#timers.filter(({ atMs }) => atMs <= untilMs).sort((a, b) => a.atMs - b.atMs)[0];
      if (!due) break;
      this.#timers = this.#timers.filter((other) => other !== due);
      this.#nowMs = Math.max(this.#nowMs, due.atMs);
      due.work();
      await settle();
    }
    this.#nowMs = untilMs;
  }
}

/** Everything that waits only for promises gets its turn. */
export const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Real time, in a hurry: for tests with a real server, where waits must pass but should not take long. */
export const hastyClock = (factor: number): Clock => ({
  nowMs: () => performance.now() * factor,
  after(ms, work) {
    const timer = setTimeout(work, ms / factor);
    return () => clearTimeout(timer);
  },
  sleep: (ms) =>
    new Promise((resolve) => {
      setTimeout(resolve, ms / factor);
    }),
  random: () => 0.5,
});
