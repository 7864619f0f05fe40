/** One dial's place: given back when the dial has ended, or when nobody wants it any more. */
export interface DialTurn {
  leave(): void;
}

interface Waiting {
  readonly caller: string;
  readonly start: () => void;
}

/**
 * Who may dial when: `atOnce` dials at a time, and callers in turn, so that one with many does not hold up one with few. No
 * caller has all places while there are more than one: dials to where nobody answers keep theirs for seconds.
 */
export class DialQueue {
  readonly #atOnce: number;
  readonly #maxWaiting: number;
  readonly #ofOne: number;
  readonly #running = new Map<string, number>();
  /** Callers in the order of their turns; each with what it waits for, oldest first. */
  readonly #waiting = new Map<string, Waiting[]>();
  #runningCount = 0;
  #waitingCount = 0;

  /** `isShared`: there are several callers, and one of the places is not for the one who has the others. */
  constructor(atOnce: number, maxWaiting: number, isShared: boolean) {
    this.#atOnce = atOnce;
    this.#maxWaiting = maxWaiting;
    this.#ofOne = isShared && atOnce > 1 ? atOnce - 1 : atOnce;
  }

  /** Whether a dial of this caller would start at once. */
  isFree(caller: string): boolean {
    return this.#runningCount < this.#atOnce && (this.#running.get(caller) ?? 0) < this.#ofOne;
  }
  get runningCount(): number {
    return this.#runningCount;
  }
  get waitingCount(): number {
    return this.#waitingCount;
  }

  /** Calls `start` when it is this dial's turn, perhaps before it returns. Null: too many wait. */
  enter(caller: string, start: () => void): DialTurn | null {
    let phase: "waiting" | "running" | "left" = "waiting";
    const entry: Waiting = {
      caller,
      start: () => {
        phase = "running";
        this.#count(caller, 1);
        start();
      },
    };
    const turn: DialTurn = {
      leave: () => {
        const was = phase;
        phase = "left";
        if (was === "waiting") this.#withdraw(entry);
        if (was !== "running") return;
        this.#count(caller, -1);
        this.#next();
      },
    };
    if (this.isFree(caller)) {
      entry.start();
      return turn;
    }
    if (this.#waitingCount >= this.#maxWaiting) return null;
    const line = this.#waiting.get(caller);
    if (line) line.push(entry);
    else this.#waiting.set(caller, [entry]);
    this.#waitingCount++;
    return turn;
  }

  #count(caller: string, by: number): void {
    this.#runningCount += by;
    const running = (this.#running.get(caller) ?? 0) + by;
    if (running === 0) this.#running.delete(caller);
    else this.#running.set(caller, running);
  }

  #withdraw(entry: Waiting): void {
    const line = this.#waiting.get(entry.caller);
    const at = line?.indexOf(entry) ?? -1;
    if (!line || at < 0) return;
    line.splice(at, 1);
    this.#waitingCount--;
    if (line.length === 0) this.#waiting.delete(entry.caller);
  }

  /** A place is free: it goes to the first caller in turn that may have one, who then goes to the end. */
  #next(): void {
    for (const [caller, line] of this.#waiting) {
      if (!this.isFree(caller)) continue;
      const entry = line.shift()!;
      this.#waitingCount--;
      this.#waiting.delete(caller);
      if (line.length > 0) this.#waiting.set(caller, line);
      return entry.start();
    }
  }
}
