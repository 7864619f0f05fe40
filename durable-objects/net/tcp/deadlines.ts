import type { Connection } from "./connection.ts";

const soonest = (c: Connection): number =>
  Math.min(c.rexmitAt, c.persistAt, c.delayedAckAt, c.keepAliveAt, c.endAt);

/**
 * Who wants to be called when: a binary heap. A deadline that moves away leaves its place in the heap as it is, and is put
 * right when it comes to the top: a busy connection starts and stops timers all the time and pays nothing for it here.
 */
export class Deadlines {
  readonly #heap: Connection[] = [];

  /** A deadline of `c` was set to `at`. */
  note(c: Connection, at: number): void {
    if (at >= c.heapAt) return;
    c.heapAt = at;
    if (c.heapIndex < 0) {
      c.heapIndex = this.#heap.length;
      this.#heap.push(c);
    }
    this.#up(c.heapIndex);
  }

  /** The first of all deadlines, exactly. */
  pollAt(): number {
    for (;;) {
      const top = this.#heap[0];
      if (!top) return Infinity;
      const at = soonest(top);
      if (at <= top.heapAt) return top.heapAt;
      if (at === Infinity) this.remove(top);
      else {
        top.heapAt = at;
        this.#down(0);
      }
    }
  }

  /** A connection whose deadline is not after `nowMs`. */
  due(nowMs: number): Connection | undefined {
    return this.pollAt() <= nowMs ? this.#heap[0] : undefined;
  }

  remove(c: Connection): void {
    const at = c.heapIndex;
    if (at < 0) return;
    c.heapIndex = -1;
    c.heapAt = Infinity;
    const last = this.#heap.pop()!;
    if (last === c) return;
    this.#heap[at] = last;
    last.heapIndex = at;
    this.#up(at);
    this.#down(last.heapIndex);
  }

  #swap(left: number, right: number): void {
    const a = this.#heap[left]!;
    const b = this.#heap[right]!;
    this.#heap[left] = b;
    this.#heap[right] = a;
    b.heapIndex = left;
    a.heapIndex = right;
  }

  #up(from: number): void {
    let at = from;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (this.#heap[parent]!.heapAt <= this.#heap[at]!.heapAt) return;
      this.#swap(at, parent);
      at = parent;
    }
  }

  #down(from: number): void {
    let at = from;
    for (;;) {
      let least = at;
      for (const child of [2 * at + 1, 2 * at + 2])
        if (child < this.#heap.length && this.#heap[child]!.heapAt < this.#heap[least]!.heapAt) least = child;
      if (least === at) return;
      this.#swap(at, least);
      at = least;
    }
  }
}
