/** Chunks of this host first, then those of a server, which are kept on this host. */
import type { Outcome } from "#protocol/failure.ts";
import type { ChunkHash } from "#protocol/ids.ts";
import type { ChunkStore, GetOptions } from "../../emulator/storage/chunk-store.ts";

export class LayeredStore implements ChunkStore {
  readonly #near: ChunkStore;
  readonly #far: ChunkStore;

  constructor(near: ChunkStore, far: ChunkStore) {
    this.#near = near;
    this.#far = far;
  }

  async get(hash: ChunkHash, options: GetOptions = {}): Promise<Outcome<Uint8Array<ArrayBuffer>>> {
    const near = await this.#near.get(hash, options);
    if (near.ok) return near;
    const far = await this.#far.get(hash, options);
    if (far.ok) await this.#near.put(far.value);
    return far;
  }

  put(bytes: Uint8Array<ArrayBuffer>): Promise<Outcome<ChunkHash>> {
    return this.#near.put(bytes);
  }
}
