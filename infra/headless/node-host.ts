/** What a machine needs from its host, in Node. */
import { randomFillSync } from "node:crypto";
import type { MachineHost } from "../../emulator/machine/machine-options.ts";

/** setTimeout takes 31 bits of milliseconds; a machine that sleeps longer is woken for nothing once in 24 days. */
const LONGEST_MS = 2 ** 31 - 1;

export function nodeHost(): MachineHost {
  const random = new Uint32Array(1);
  return {
    nowNs: () => performance.now() * 1e6,
    yieldToHost: () =>
      new Promise((resolve) => {
        setImmediate(resolve);
      }),
    sleep(ms) {
      const { promise, resolve } = Promise.withResolvers<void>();
      const timer = setTimeout(resolve, Math.min(ms, LONGEST_MS));
      return {
        done: promise,
        wake() {
          clearTimeout(timer);
          resolve();
        },
      };
    },
    random32: () => randomFillSync(random)[0] ?? 0,
  };
}
