import type { StorageStats, Touch, TouchKind } from "../protocol/storage-messages.ts";
import type { Urgency } from "./chunk-store.ts";

/** Touches kept between two notices; a picture of the disk needs no more. */
const MAX_TOUCHES = 256;

/** What the person is told: counters and the rain. */
export class Ledger {
  #fetchedBytes = 0;
  #prefetchedBytes = 0;
  #requests = 0;
  #cacheHits = 0;
  #chunkReads = 0;
  #verifiedBytes = 0;
  #touches: Touch[] = [];
  #changed = false;
  readonly #overlays = new Map<string, number>();
  readonly #onChange: () => void;

  constructor(onChange: () => void = () => {}) {
    this.#onChange = onChange;
  }

  request(): void {
    this.#requests++;
    this.#change();
  }

  fetched(bytes: number, urgency: Urgency): void {
    this.#fetchedBytes += bytes;
    if (urgency === "ahead") this.#prefetchedBytes += bytes;
    this.verified(bytes);
  }

  verified(bytes: number): void {
    this.#verifiedBytes += bytes;
    this.#change();
  }

  chunkRead(hit: boolean): void {
    this.#chunkReads++;
    if (hit) this.#cacheHits++;
    this.#change();
  }

  touch(position: number, kind: TouchKind): void {
    if (this.#touches.length < MAX_TOUCHES) this.#touches.push({ position, kind });
    this.#change();
  }

  /** What the changes to a disk take on this device. */
  overlay(disk: string, bytes: number): void {
    this.#overlays.set(disk, bytes);
    this.#change();
  }

  get stats(): StorageStats {
    return {
      fetchedBytes: this.#fetchedBytes,
      prefetchedBytes: this.#prefetchedBytes,
      requests: this.#requests,
      cacheHits: this.#cacheHits,
      chunkReads: this.#chunkReads,
      overlayBytes: [...this.#overlays.values()].reduce((sum, bytes) => sum + bytes, 0),
      verifiedBytes: this.#verifiedBytes,
    };
  }

  /** What is new since the last call, or null when nothing is. */
  take(): { stats: StorageStats; touches: readonly Touch[] } | null {
    if (!this.#changed) return null;
    const touches = this.#touches;
    this.#touches = [];
    this.#changed = false;
    return { stats: this.stats, touches };
  }

  #change(): void {
    this.#changed = true;
    this.#onChange();
  }
}
