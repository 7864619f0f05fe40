import { type Outcome, fail, ok } from "../protocol/failure.ts";
import type { ChunkHash } from "../protocol/ids.ts";
import {
  MAX_MANIFEST_BYTES,
  type Manifest,
  type StoredChunk,
  chunkAt,
  chunkLength,
  decodeManifest,
} from "../protocol/manifest.ts";
import type { BlockSource, Sources } from "./block-source.ts";
import type { ChunkStore, Urgency } from "./chunk-store.ts";
import type { Load } from "./fetcher.ts";
import { inflate } from "./inflate.ts";

type Bytes = Uint8Array<ArrayBuffer>;

/** Where manifests and chunks come from when they are not on this device. */
export interface Origin {
  readonly manifests: ChunkStore;
  readonly chunks: ChunkStore;
}

/** An image of verified chunks. The chain: the person opened a hash → the manifest has it → it lists the chunks' hashes. */
export class ChunkedImage implements BlockSource {
  readonly id: ChunkHash;
  readonly #manifest: Manifest;
  readonly #chunks: ChunkStore;
  readonly #sources: Sources;

  private constructor(id: ChunkHash, manifest: Manifest, chunks: ChunkStore, sources: Sources) {
    this.id = id;
    this.#manifest = manifest;
    this.#chunks = chunks;
    this.#sources = sources;
  }

  /** Reads the manifest from this device or its origin. A network that is away is waited for. */
  static async open(id: ChunkHash, origin: Origin, sources: Sources): Promise<Outcome<ChunkedImage>> {
    const { cache, fetcher, ledger } = sources;
    const kept = await cache.getChunk(id);
    const bytes = kept.ok
      ? kept
      : await fetcher.want(
          {
            name: `manifest ${id}`,
            impatient: true,
            run: fetchInto(sources, origin.manifests, id, MAX_MANIFEST_BYTES),
          },
          "demand",
        );
    if (!bytes.ok) return bytes;
    if (kept.ok) ledger.verified(bytes.value.length);
    const manifest = decodeManifest(bytes.value);
    return manifest.ok ? ok(new ChunkedImage(id, manifest.value, origin.chunks, sources)) : manifest;
  }

  get sizeBytes(): number {
    return this.#manifest.sizeBytes;
  }
  get blockBytes(): number {
    return this.#manifest.chunkBytes;
  }
  get blockCount(): number {
    return this.#manifest.chunkCount;
  }
  get storedBytes(): number {
    return this.#manifest.storedBytes;
  }

  storedLength(index: number): number {
    return chunkAt(this.#manifest, index)?.storedBytes ?? 0;
  }

  memoryKey(index: number): string {
    const chunk = chunkAt(this.#manifest, index);
    return chunk ? `${chunk.hash} ${chunk.deflated}` : "";
  }

  isHere(index: number): boolean {
    const chunk = chunkAt(this.#manifest, index);
    return !chunk || this.#sources.cache.has(chunk.hash);
  }

  async load(index: number, urgency: Urgency) {
    const chunk = this.#stored(index);
    const kept = await this.#sources.cache.getChunk(chunk.hash);
    if (kept.ok) {
      this.#sources.ledger.verified(kept.value.length);
      const bytes = await this.#unpack(index, chunk, kept.value);
      return bytes.ok ? ok({ bytes: bytes.value, from: "cache" as const }) : bytes;
    }
    const fetched = await this.#sources.fetcher.want(this.#fetch(chunk), urgency);
    if (!fetched.ok) return fetched;
    const bytes = await this.#unpack(index, chunk, fetched.value);
    return bytes.ok ? ok({ bytes: bytes.value, from: "network" as const }) : bytes;
  }

  async prefetch(index: number): Promise<Outcome<null>> {
    const fetched = await this.#sources.fetcher.want(this.#fetch(this.#stored(index)), "ahead");
    return fetched.ok ? ok(null) : fetched;
  }

  #stored(index: number): StoredChunk {
    const chunk = chunkAt(this.#manifest, index);
    if (!chunk) throw new Error(`chunk ${index} is a hole`);
    return chunk;
  }

  #fetch({ hash, storedBytes }: StoredChunk): Load {
    return { name: hash, run: fetchInto(this.#sources, this.#chunks, hash, storedBytes) };
  }

  /** The hash was right, so a chunk that does not unpack to its length was published so: fetching it again is no use. */
  async #unpack(index: number, chunk: StoredChunk, stored: Bytes): Promise<Outcome<Bytes>> {
    const length = chunkLength(this.#manifest, index);
    if (stored.length !== chunk.storedBytes)
      return fail({
        code: "bad-image",
        problem: `Chunk ${index} has ${stored.length} bytes, not ${chunk.storedBytes}.`,
      });
    return chunk.deflated ? inflate(stored, length) : ok(stored);
  }
}

/** One try at a chunk or manifest; what comes is verified by the store, counted and kept. */
const fetchInto =
  ({ cache, ledger }: Sources, store: ChunkStore, hash: ChunkHash, maxBytes: number): Load["run"] =>
  async (attempt) => {
    ledger.request();
    const fetched = await store.get(hash, { ...attempt, maxBytes });
    if (!fetched.ok) return fetched;
    ledger.fetched(fetched.value.length, attempt.urgency);
    const keeping = cache.keep(hash, hash, fetched.value);
    // A guess is done when it is kept; what the guest waits for need not wait for that.
    if (attempt.urgency === "ahead") await keeping;
    return fetched;
  };
