/** Time and chance, as arguments: tests turn the hands themselves. */
export interface Clock {
  /** Milliseconds since 1970. */
  nowMs(): number;
  /** Runs `work` once after `ms`; calling the answer cancels it. */
  after(ms: number, work: () => void): () => void;
  /** Uniform in [0, 1): the jitter of retries. */
  random(): number;
}

export const realClock: Clock = {
  nowMs: () => Date.now(),
  after(ms, work) {
    const timer = setTimeout(work, ms);
    return () => clearTimeout(timer);
  },
  random: () => Math.random(),
};
