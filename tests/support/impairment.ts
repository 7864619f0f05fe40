import { ETHERNET_BYTES } from "../../durable-objects/net/wire/ethernet.ts";
import { seededRandom } from "./seeded-random.ts";

/** What a way does to frames. Shares are probabilities; times are milliseconds. */
export interface Impairments {
  readonly loss?: number;
  readonly duplicate?: number;
  /** This share of frames waits `reorderMs` longer than the others. */
  readonly reorder?: number;
  readonly reorderMs?: number;
  readonly delayMs?: number;
  readonly jitterMs?: number;
  /** Bytes a millisecond; frames that would wait for longer than `queueMs` are lost. */
  readonly bytesPerMs?: number;
  readonly queueMs?: number;
  /** A bit of this share of frames is turned over; not of their Ethernet header, which only the FCS protects. */
  readonly corrupt?: number;
}

interface Waiting {
  readonly frame: Uint8Array;
  readonly at: number;
  readonly order: number;
}

/** One direction of a bad link. Everything comes from the seed and the times it is given: the same run twice is the same. */
export class Impairment {
  readonly #how: Impairments;
  readonly #random: () => number;
  #waiting: Waiting[] = [];
  #order = 0;
  #freeAt = 0;
  lost = 0;
  duplicated = 0;

  constructor(how: Impairments, seed: number) {
    this.#how = how;
    this.#random = seededRandom(seed);
  }

  #happens(share: number | undefined): boolean {
    return share !== undefined && share > 0 && this.#random() < share;
  }

  offer(frame: Uint8Array, nowMs: number): void {
    if (this.#happens(this.#how.loss)) {
      this.lost++;
      return;
    }
    this.#put(frame, nowMs);
    if (!this.#happens(this.#how.duplicate)) return;
    this.duplicated++;
    this.#put(frame.slice(), nowMs);
  }

  #put(given: Uint8Array, nowMs: number): void {
    const { delayMs = 0, jitterMs = 0, bytesPerMs, queueMs = 200, reorderMs = 5 } = this.#how;
    let at = nowMs;
    if (bytesPerMs !== undefined) {
      if (this.#freeAt - nowMs > queueMs) {
        this.lost++;
        return;
      }
      this.#freeAt = Math.max(this.#freeAt, nowMs) + given.length / bytesPerMs;
      at = this.#freeAt;
    }
    at += delayMs + (jitterMs > 0 ? this.#random() * jitterMs : 0);
    if (this.#happens(this.#how.reorder)) at += reorderMs;
    let frame = given;
    if (this.#happens(this.#how.corrupt)) {
      frame = given.slice();
      const byte = ETHERNET_BYTES + Math.floor(this.#random() * (frame.length - ETHERNET_BYTES));
      frame[byte] = frame[byte]! ^ (1 << Math.floor(this.#random() * 8));
    }
    this.#waiting.push({ frame, at, order: this.#order++ });
  }

  /** What has arrived by now, in the order of arrival. */
  take(nowMs: number): Uint8Array[] {
    if (this.#waiting.length === 0) return [];
    const due = this.#waiting.filter(({ at }) => at <= nowMs);
    if (due.length === 0) return [];
    this.#waiting = this.#waiting.filter(({ at }) => at > nowMs);
    return due.sort((a, b) => a.at - b.at || a.order - b.order).map(({ frame }) => frame);
  }

  nextAt(): number {
    return this.#waiting.reduce((soonest, { at }) => Math.min(soonest, at), Infinity);
  }
}
