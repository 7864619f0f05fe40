import { type Outcome, fail, ok } from "../protocol/failure.ts";
import type { TouchKind } from "../protocol/storage-messages.ts";
import type { BlockDevice } from "./block-device.ts";
import type { BoundedMemory } from "./blob-cache.ts";
import { type BlockSource, blockLength } from "./block-source.ts";
import type { Urgency } from "./chunk-store.ts";
import type { Ledger } from "./ledger.ts";
import { READ_AHEAD_LIMITS, ReadAhead, type ReadAheadLimits } from "./read-ahead.ts";

type Bytes = Uint8Array<ArrayBuffer>;

/** One request never allocates more than this. */
export const MAX_READ_BYTES = 64 * 2 ** 20;

/**
 * The failure of a request that leaves the device, or asks for too much at once; null for a good one. Boot files are read at any
 * offset, so multiples of 512 are the machine's business.
 */
export function rangeFailure(sizeBytes: number, offset: number, length: number) {
  const isWhole = Number.isSafeInteger(offset) && Number.isSafeInteger(length) && offset >= 0 && length >= 0;
  if (!isWhole || offset + length > sizeBytes) return { code: "out-of-range", sizeBytes } as const;
  if (length > MAX_READ_BYTES)
    return { code: "bad-request", problem: `One request may not exceed ${MAX_READ_BYTES} bytes.` } as const;
  return null;
}

/** A base image as a read-only disk: blocks from memory, this device or the network, each verified on its way in. */
export class StreamedDisk implements BlockDevice {
  readonly readOnly = true;
  readonly sizeBytes: number;
  readonly readAhead: ReadAhead;
  readonly #source: BlockSource;
  readonly #memory: BoundedMemory;
  readonly #ledger: Ledger;
  readonly #loading = new Map<string, Promise<Outcome<Bytes>>>();

  constructor(
    source: BlockSource,
    memory: BoundedMemory,
    ledger: Ledger,
    limits: ReadAheadLimits = READ_AHEAD_LIMITS,
  ) {
    this.#source = source;
    this.sizeBytes = source.sizeBytes;
    this.#memory = memory;
    this.#ledger = ledger;
    this.readAhead = new ReadAhead(
      {
        blockCount: source.blockCount,
        storedLength: (index) => source.storedLength(index),
        isHere: (index) => source.isHere(index),
        prefetch: (index) => void this.#prefetch(index),
        warm: (index) => void this.#block(index, "ahead"),
      },
      limits,
    );
  }

  async read(offset: number, length: number): Promise<Outcome<Bytes>> {
    const failure = rangeFailure(this.sizeBytes, offset, length);
    if (failure) return fail(failure);
    const { blockBytes } = this.#source;
    const bytes = new Uint8Array(length);
    const parts: Promise<Outcome<null>>[] = [];
    for (let at = offset; at < offset + length;) {
      const index = Math.floor(at / blockBytes);
      const end = Math.min(offset + length, (index + 1) * blockBytes);
      const into = bytes.subarray(at - offset, end - offset);
      if (this.#source.storedLength(index) > 0) parts.push(this.#copy(index, at % blockBytes, into));
      at = end;
    }
    for (const part of await Promise.all(parts)) if (!part.ok) return part;
    return ok(bytes);
  }

  async write(): Promise<Outcome<null>> {
    return fail({ code: "unsupported", feature: "writing to a base image" });
  }

  async flush(): Promise<Outcome<null>> {
    return ok(null);
  }

  async discard(): Promise<Outcome<null>> {
    return this.write();
  }

  async #copy(index: number, from: number, into: Bytes): Promise<Outcome<null>> {
    const block = this.#block(index, "demand");
    this.readAhead.touch(index);
    const bytes = await block;
    if (!bytes.ok) return bytes;
    into.set(bytes.value.subarray(from, from + into.length));
    return ok(null);
  }

  /** A block's bytes, shared by everybody who waits for them. */
  async #block(index: number, urgency: Urgency): Promise<Outcome<Bytes>> {
    const key = this.#source.memoryKey(index);
    const isDemand = urgency === "demand";
    const kept = this.#memory.get(key);
    if (kept?.length === blockLength(this.#source, index)) {
      if (isDemand) this.#ledger.chunkRead(true);
      return ok(kept);
    }
    const known = this.#loading.get(key);
    const loaded = await (known ?? this.#load(index, key, urgency));
    // What was only a guess may fail; what the guest waits for is asked for again.
    if (known && !loaded.ok && isDemand) return this.#load(index, key, urgency);
    return loaded;
  }

  #load(index: number, key: string, urgency: Urgency): Promise<Outcome<Bytes>> {
    const loading = this.#source.load(index, urgency).then((loaded) => {
      if (this.#loading.get(key) === loading) this.#loading.delete(key);
      if (loaded.ok) this.#memory.put(key, loaded.value.bytes);
      if (urgency === "demand") this.#count(index, loaded.ok ? loaded.value.from : "nowhere");
      return loaded.ok ? ok(loaded.value.bytes) : loaded;
    });
    this.#loading.set(key, loading);
    return loading;
  }

  async #prefetch(index: number): Promise<void> {
    const outcome = await this.#source.prefetch(index);
    if (outcome.ok) this.#touch(index, "ahead");
  }

  #count(index: number, from: "cache" | "network" | "nowhere"): void {
    const kinds = { cache: "cached", network: "fetched", nowhere: "failed" } as const;
    this.#ledger.chunkRead(from === "cache");
    this.#touch(index, kinds[from]);
  }

  #touch(index: number, kind: TouchKind): void {
    this.#ledger.touch((index * this.#source.blockBytes) / Math.max(1, this.sizeBytes), kind);
  }
}
