import { randomFillSync } from "node:crypto";
import type { MachineHost } from "../../emulator/machine/machine.ts";

const MAX_TIMER_MS = 2 ** 31 - 1;

/** Node's clock, randomness and event loop, for a machine without a page. */
export function nodeHost(): MachineHost {
  const random = new Uint32Array(1024);
  let left = 0;
  return {
    nowNs: () => performance.now() * 1e6,
    yieldToHost: () => new Promise((resolve) => setImmediate(resolve)),
    sleep(ms) {
      let wake!: () => void;
      const done = new Promise<void>((resolve) => (wake = resolve));
      const timer = setTimeout(wake, Math.min(ms, MAX_TIMER_MS));
      return {
        done,
        wake: () => {
          clearTimeout(timer);
          wake();
        },
      };
    },
    random32() {
      if (left === 0) left = randomFillSync(random).length;
      return random[--left]!;
    },
  };
}
