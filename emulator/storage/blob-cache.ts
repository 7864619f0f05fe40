import { type Outcome, fail, ok } from "../protocol/failure.ts";
import type { ChunkHash } from "../protocol/ids.ts";

type Bytes = Uint8Array<ArrayBuffer>;

/**
 * What was fetched and verified once and may be forgotten at any time. A chunk is kept under its own hash; other things
 * (blocks of raw images, traces) under a name of 32 bytes, with the hash they had when they came.
 */
export interface BlobCache {
  /** True when a read would probably find it. */
  has(name: ChunkHash): boolean;
  /** The bytes whose SHA-256 is `hash`, verified now. `not-found`, or `corrupt` once and `not-found` after that. */
  getChunk(hash: ChunkHash): Promise<Outcome<Bytes>>;
  /** The bytes last kept under `name`, verified against the hash that was recorded with them. */
  getNamed(name: ChunkHash): Promise<Outcome<Bytes>>;
  /** Keeps `bytes`, whose SHA-256 the caller has just computed. A cache that cannot is no trouble to the caller. */
  keep(name: ChunkHash, hash: ChunkHash, bytes: Bytes): Promise<Outcome<null>>;
  /** Forgets what was used least until about `bytes` are free for others; answers how many are. */
  makeRoom(bytes: number): Promise<number>;
  readonly persistent: boolean;
  close(): Promise<void>;
}

/** A map that forgets what was used least when it grows over its bound in bytes. */
export class BoundedMemory {
  readonly #entries = new Map<string, Bytes>();
  readonly #maxBytes: number;
  #bytes = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  get bytes(): number {
    return this.#bytes;
  }

  has(key: string): boolean {
    return this.#entries.has(key);
  }

  get(key: string): Bytes | undefined {
    const bytes = this.#entries.get(key);
    if (!bytes) return undefined;
    this.#entries.delete(key);
    this.#entries.set(key, bytes);
    return bytes;
  }

  put(key: string, bytes: Bytes): void {
    this.delete(key);
    if (bytes.length > this.#maxBytes) return;
    this.#entries.set(key, bytes);
    this.#bytes += bytes.length;
    for (const oldest of this.#entries.keys()) {
      if (this.#bytes <= this.#maxBytes) break;
      this.delete(oldest);
    }
  }

  delete(key: string): void {
    this.#bytes -= this.#entries.get(key)?.length ?? 0;
    this.#entries.delete(key);
  }
}

/** The cache of a browser without OPFS, or of a second tab: bounded, and gone with the tab. */
export class MemoryBlobCache implements BlobCache {
  readonly persistent = false;
  readonly #memory: BoundedMemory;

  constructor(maxBytes: number) {
    this.#memory = new BoundedMemory(maxBytes);
  }

  has(name: ChunkHash): boolean {
    return this.#memory.has(name);
  }

  async getChunk(hash: ChunkHash): Promise<Outcome<Bytes>> {
    return this.getNamed(hash);
  }

  async getNamed(name: ChunkHash): Promise<Outcome<Bytes>> {
    const bytes = this.#memory.get(name);
    return bytes ? ok(bytes) : fail({ code: "not-found", what: name });
  }

  async keep(name: ChunkHash, _hash: ChunkHash, bytes: Bytes): Promise<Outcome<null>> {
    this.#memory.put(name, bytes);
    return ok(null);
  }

  async makeRoom(): Promise<number> {
    return 0;
  }

  async close(): Promise<void> {}
}
