/** Guest time in ns since power-on: an integer below 2^53. It stands still while the machine is paused or stalled. */
export type GuestTime = () => number;

/** One deadline of one device. */
export interface Timer {
  /** Fires once when guest time reaches `atNs`; replaces the deadline before it. */
  arm(atNs: number): void;
  disarm(): void;
  /** Fires now when the deadline has passed, as it would have on a host that is never late. */
  settle(nowNs: number): void;
  readonly armed: boolean;
}

/**
 * The next tick of a periodic timer that fired at `atNs`. A late host serves ticks one by one until it has caught up, but one
 * that is more than 64 periods behind drops them, as a timer whose interrupt stays masked would.
 */
export function nextTick(atNs: number, periodNs: number, nowNs: number): number {
  const behind = Math.floor((nowNs - atNs) / periodNs);
  return atNs + periodNs * (behind > 64 ? behind : 1);
}

/** All deadlines of the board. A dozen timers, so a scan beats a heap. */
export class Timers {
  readonly #all: { at: number; fire: (atNs: number) => void }[] = [];
  #next = Infinity;
  readonly #onEarlier: (atNs: number) => void;

  /** `onEarlier` hears of deadlines that come before all others, so that a running slice can end in time. */
  constructor(onEarlier: (atNs: number) => void = () => {}) {
    this.#onEarlier = onEarlier;
  }

  /** `fire` gets the deadline it was armed for; guest time may already be later. */
  create(fire: (atNs: number) => void): Timer {
    const timer = { at: Infinity, fire };
    this.#all.push(timer);
    return {
      arm: (atNs) => {
        const was = timer.at;
        timer.at = atNs;
        if (atNs < this.#next) {
          this.#next = atNs;
          this.#onEarlier(atNs);
        } else if (was === this.#next) this.#rescan();
      },
      disarm: () => {
        const was = timer.at;
        timer.at = Infinity;
        if (was === this.#next) this.#rescan();
      },
      settle: (nowNs) => {
        const { at } = timer;
        if (at > nowNs) return;
        timer.at = Infinity;
        this.#rescan();
        timer.fire(at);
      },
      get armed() {
        return timer.at !== Infinity;
      },
    };
  }

  /** Infinity when nothing is armed. */
  get nextNs(): number {
    return this.#next;
  }

  /**
   * Fires what is due, in order of deadline. A timer that re-arms itself in the past fires again, but only so often: a guest
   * that asks for a period shorter than the machine can serve loses ticks instead of hanging the host.
   */
  runDue(nowNs: number): void {
    for (let rounds = 0; this.#next <= nowNs && rounds < 256; rounds++) {
      const due = this.#all.find((timer) => timer.at === this.#next);
      if (!due) return this.#rescan();
      const at = due.at;
      due.at = Infinity;
      this.#rescan();
      due.fire(at);
    }
  }

  #rescan(): void {
    let next = Infinity;
    for (const { at } of this.#all) if (at < next) next = at;
    this.#next = next;
  }
}
