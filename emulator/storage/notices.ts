import type { StorageNotice } from "../protocol/storage-messages.ts";
import type { Clock } from "./clock.ts";
import type { Condition, Fetcher } from "./fetcher.ts";
import type { Ledger } from "./ledger.ts";

/** Counters, touches and quiet states are told at most this often. */
const PERIOD_MS = 250;

/** What the page hears without having asked: trouble at once, everything else at most four times a second. */
export class Notices {
  readonly #clock: Clock;
  readonly #notify: (notice: StorageNotice) => void;
  #told: Condition = { state: "idle" };
  #isDue = false;

  constructor(clock: Clock, notify: (notice: StorageNotice) => void) {
    this.#clock = clock;
    this.#notify = notify;
  }

  /** Something changed: tells it now or soon. */
  changed(fetcher: Fetcher, ledger: Ledger): void {
    const condition = fetcher.condition();
    if (condition.failure || this.#told.failure) this.#tellCondition(condition);
    if (this.#isDue) return;
    this.#isDue = true;
    this.#clock.after(PERIOD_MS, () => {
      this.#isDue = false;
      this.#tellCondition(fetcher.condition());
      const news = ledger.take();
      if (news) this.#notify({ type: "stats", ...news });
    });
  }

  #tellCondition(condition: Condition): void {
    const { state, failure, retryAtMs } = condition;
    const known = this.#told;
    // A try that is under way is no news: what was said of the last one stands until it ends.
    if (retryAtMs === Infinity && known.failure?.code === failure?.code) return;
    if (known.state === state && known.failure?.code === failure?.code && known.retryAtMs === retryAtMs)
      return;
    this.#told = condition;
    const retryInMs = retryAtMs === undefined ? {} : { retryInMs: this.#msUntil(retryAtMs) };
    this.#notify({ type: "state", state, ...(failure ? { failure } : {}), ...retryInMs });
  }

  #msUntil(atMs: number): number {
    return Number.isFinite(atMs) ? Math.max(0, Math.round(atMs - this.#clock.nowMs())) : 0;
  }
}
