import { fail, ok } from "../protocol/failure.ts";
import type { ChunkHash } from "../protocol/ids.ts";
import { type ChunkStore, type GetOptions, hashOf } from "./chunk-store.ts";

/** Chunks in memory, without a bound: for tests and for building an image. */
export class MemoryChunkStore implements ChunkStore {
  readonly chunks = new Map<string, Uint8Array<ArrayBuffer>>();

  async get(hash: ChunkHash, { maxBytes = Infinity }: GetOptions = {}) {
    const bytes = this.chunks.get(hash);
    if (!bytes) return fail({ code: "not-found", what: hash });
    if (bytes.length > maxBytes || (await hashOf(bytes)) !== hash)
      return fail({ code: "corrupt", what: hash });
    return ok(bytes);
  }

  async put(bytes: Uint8Array<ArrayBuffer>) {
    const hash = await hashOf(bytes);
    this.chunks.set(hash, bytes.slice());
    return ok(hash);
  }
}
