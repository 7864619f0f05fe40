import type { BlockSource } from "./block-source.ts";
import { MAX_TRACE_CHUNKS } from "../protocol/store-api.ts";

export interface ReadAheadLimits {
  /** Stored bytes that may be fetched beyond what the guest has reached in the trace. */
  readonly aheadBytes: number;
  /** Blocks of the trace that are made ready in memory before the guest asks. */
  readonly warmBlocks: number;
  /** Blocks fetched beyond a sequential reader, at first and at most. */
  readonly sequentialBlocks: number;
  readonly maxSequentialBlocks: number;
}

export const READ_AHEAD_LIMITS: ReadAheadLimits = {
  aheadBytes: 24 * 2 ** 20,
  warmBlocks: 4,
  sequentialBlocks: 3,
  maxSequentialBlocks: 8,
};

/** What guessing needs to know of an image, and what it may ask for. */
export interface ForeseenSource extends Pick<BlockSource, "blockCount" | "storedLength" | "isHere"> {
  /** Brings a block to this device. */
  prefetch(index: number): void;
  /** Makes a block that is on this device ready in memory. */
  warm(index: number): void;
}

/** Blocks read one after the other before that counts as a habit. */
const SEQUENTIAL_AFTER = 2;

/**
 * Guesses what will be read next: what earlier boots touched after what was touched now, or, off the trace, the blocks
 * after a sequential reader. It records the order of first touches, which is the next boot's trace.
 */
export class ReadAhead {
  readonly #source: ForeseenSource;
  readonly #limits: ReadAheadLimits;
  readonly #touched = new Set<number>();
  #trace: readonly number[] = [];
  #places = new Map<number, number>();
  /** The guest has touched the trace before this place; prefetch was asked for before the other. */
  #reached = 0;
  #asked = 0;
  /** Stored bytes of the trace between the two. */
  #aheadBytes = 0;
  #last = -2;
  #streak = 0;

  constructor(source: ForeseenSource, limits: ReadAheadLimits = READ_AHEAD_LIMITS) {
    this.#source = source;
    this.#limits = limits;
  }

  /** First touches in order, holes left out. */
  get touches(): readonly number[] {
    return [...this.#touched];
  }

  /** Follows a trace from now on. It is a stranger's: numbers that are no block of this image are dropped. */
  follow(trace: readonly number[]): void {
    const known = new Set(trace.filter((index) => index < this.#source.blockCount));
    this.#trace = [...known].filter((index) => this.#source.storedLength(index) > 0);
    this.#places = new Map(this.#trace.map((index, place) => [index, place]));
    this.#reached = this.#asked = this.#aheadBytes = 0;
    for (const index of this.#touched) this.#reach(index);
    this.#fetchAhead();
  }

  /** The guest reads a block that is not a hole. */
  touch(index: number): void {
    if (this.#touched.size < MAX_TRACE_CHUNKS) this.#touched.add(index);
    const isNext = index === this.#last + 1;
    if (index !== this.#last) this.#streak = isNext ? this.#streak + 1 : 0;
    this.#last = index;
    const place = this.#places.get(index);
    if (place === undefined) return this.#readOn(index);
    this.#reach(index);
    this.#fetchAhead();
    this.#warmUp(this.#trace.slice(place + 1, place + 1 + this.#limits.warmBlocks));
  }

  #reach(index: number): void {
    const place = this.#places.get(index);
    if (place === undefined) return;
    for (; this.#reached <= place; this.#reached++) {
      const passed = this.#trace[this.#reached] ?? 0;
      if (this.#reached < this.#asked) this.#aheadBytes -= this.#source.storedLength(passed);
    }
    this.#asked = Math.max(this.#asked, this.#reached);
  }

  #fetchAhead(): void {
    for (; this.#asked < this.#trace.length && this.#aheadBytes < this.#limits.aheadBytes; this.#asked++) {
      const index = this.#trace[this.#asked] ?? 0;
      this.#aheadBytes += this.#source.storedLength(index);
      this.#prefetch(index);
    }
  }

  #readOn(index: number): void {
    if (this.#streak < SEQUENTIAL_AFTER) return;
    const { sequentialBlocks, maxSequentialBlocks, warmBlocks } = this.#limits;
    const ahead = Math.min(maxSequentialBlocks, Math.max(sequentialBlocks, this.#streak >> 1));
    const end = Math.min(this.#source.blockCount, index + 1 + ahead);
    const next = Array.from({ length: end - index - 1 }, (_, at) => index + 1 + at);
    const stored = next.filter((index) => this.#source.storedLength(index) > 0);
    for (const index of stored) this.#prefetch(index);
    this.#warmUp(stored.slice(0, warmBlocks));
  }

  #prefetch(index: number): void {
    if (!this.#source.isHere(index)) this.#source.prefetch(index);
  }

  #warmUp(indexes: readonly number[]): void {
    for (const index of indexes) if (this.#source.isHere(index)) this.#source.warm(index);
  }
}
