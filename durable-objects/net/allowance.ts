/** So many at once, so many per second after that: what bounds messages that anybody can provoke. */
export class Allowance {
  readonly #perSecond: number;
  readonly #burst: number;
  #left: number;
  #atMs: number | undefined;

  constructor(perSecond: number, burst: number) {
    this.#perSecond = perSecond;
    this.#burst = burst;
    this.#left = burst;
  }

  take(nowMs: number): boolean {
    const passed = nowMs - (this.#atMs ?? nowMs);
    this.#atMs = nowMs;
    this.#left = Math.min(this.#burst, this.#left + (passed * this.#perSecond) / 1000);
    if (this.#left < 1) return false;
    this.#left--;
    return true;
  }
}
