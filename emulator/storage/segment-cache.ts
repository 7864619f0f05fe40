import { type Outcome, fail, ok } from "../protocol/failure.ts";
import type { ChunkHash } from "../protocol/ids.ts";
import type { BlobCache } from "./blob-cache.ts";
import { type ChunkStore, type GetOptions, hashOf } from "./chunk-store.ts";
import type { Clock } from "./clock.ts";
import { type FileHandle, type Folder, attempt } from "./files.ts";
import { RECORD_HEADER_BYTES, type RecordHeader, SEGMENT_HEADER_BYTES, Segment } from "./segment.ts";

type Bytes = Uint8Array<ArrayBuffer>;

export interface SegmentCacheLimits {
  /** What all segments may take together. */
  readonly maxBytes: number;
  /** A segment takes no new record when it has this many. */
  readonly segmentBytes: number;
}

interface Place {
  readonly segment: Segment;
  readonly at: number;
  readonly length: number;
}

const LOCK = "lock";
/** A second tab should not keep a person waiting for a cache that it can do without. */
const LOCK_PATIENCE_MS = 1000;
const segmentName = (number: number): string => `segment-${number}`;

/**
 * The cache on this device: few big files, one index in memory. Whole segments are evicted, the one used longest ago
 * first. Every read is verified by SHA-256; whatever fails is buried and counts as absent. One tab owns it at a time:
 * another gets `disk-busy` and goes without.
 */
export class SegmentCache implements BlobCache, ChunkStore {
  readonly persistent = true;
  readonly #folder: Folder;
  readonly #clock: Clock;
  readonly #limits: SegmentCacheLimits;
  readonly #lock: FileHandle;
  readonly #index = new Map<ChunkHash, Place>();
  readonly #segments = new Map<number, Segment>();
  #active: Segment | undefined;
  /** Writes happen one after the other: opening a segment takes a turn. */
  #turn: Promise<unknown> = Promise.resolve();
  /** True once the device has no room left although nothing is left to evict, and when another owner may come. */
  #goesWithout = false;

  private constructor(folder: Folder, lock: FileHandle, limits: SegmentCacheLimits, clock: Clock) {
    this.#folder = folder;
    this.#lock = lock;
    this.#limits = limits;
    this.#clock = clock;
  }

  static async open(
    folder: Folder,
    limits: SegmentCacheLimits,
    clock: Clock,
  ): Promise<Outcome<SegmentCache>> {
    const lock = await folder.open(LOCK, LOCK_PATIENCE_MS);
    if (!lock.ok) return lock;
    const cache = new SegmentCache(folder, lock.value, limits, clock);
    const names = (await folder.list()).filter((name) => name !== LOCK);
    const numbered = names.map((name) => ({ name, number: Number(name.replace(/^segment-/, "")) }));
    for (const { name } of numbered.sort((a, b) => a.number - b.number)) await cache.#scan(name);
    await cache.#evictTo(limits.maxBytes);
    return ok(cache);
  }

  get bytes(): number {
    let bytes = 0;
    for (const segment of this.#segments.values()) bytes += segment.end;
    return bytes;
  }

  has(name: ChunkHash): boolean {
    return this.#index.has(name);
  }

  async getChunk(hash: ChunkHash): Promise<Outcome<Bytes>> {
    return this.#get(hash, () => hash);
  }

  async getNamed(name: ChunkHash): Promise<Outcome<Bytes>> {
    return this.#get(name, ({ hash }) => hash);
  }

  /** As a `ChunkStore`, so that it passes the contract of all of them. */
  async get(hash: ChunkHash, { maxBytes = Infinity }: GetOptions = {}): Promise<Outcome<Bytes>> {
    if ((this.#index.get(hash)?.length ?? 0) > maxBytes) return fail({ code: "corrupt", what: hash });
    return this.getChunk(hash);
  }

  async put(bytes: Bytes): Promise<Outcome<ChunkHash>> {
    const hash = await hashOf(bytes);
    const kept = await this.keep(hash, hash, bytes);
    return kept.ok ? ok(hash) : kept;
  }

  keep(name: ChunkHash, hash: ChunkHash, bytes: Bytes): Promise<Outcome<null>> {
    return this.#inTurn(async () =>
      name === hash && this.#index.has(name) ? ok(null) : this.#append(name, hash, bytes),
    );
  }

  makeRoom(bytes: number): Promise<number> {
    return this.#inTurn(async () => {
      const before = this.bytes;
      while (before - this.bytes < bytes && (await this.#evictOne()));
      return before - this.bytes;
    });
  }

  async close(): Promise<void> {
    await this.#inTurn(async () => {
      this.#goesWithout = true;
      for (const segment of this.#segments.values()) segment.close();
      this.#segments.clear();
      this.#index.clear();
      this.#active = undefined;
      this.#lock.close();
    });
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const mine = this.#turn.then(work);
    this.#turn = mine.catch(() => {});
    return mine;
  }

  async #get(name: ChunkHash, expected: (header: RecordHeader) => ChunkHash): Promise<Outcome<Bytes>> {
    const place = this.#index.get(name);
    if (!place) return fail({ code: "not-found", what: name });
    const { segment, at, length } = place;
    const read = attempt(() => segment.read(at, length));
    const record = read.ok ? read.value : null;
    if (record && record.header.name === name && (await hashOf(record.bytes)) === expected(record.header)) {
      attempt(() => segment.use(this.#clock.nowMs()));
      return ok(record.bytes);
    }
    // The segment may have been evicted, or the record replaced, while the hash was computed.
    if (this.#index.get(name) === place) {
      this.#index.delete(name);
      if (record) attempt(() => segment.bury(at, record.header));
    }
    return fail({ code: "corrupt", what: name });
  }

  async #scan(name: string): Promise<void> {
    const file = await this.#folder.open(name);
    if (!file.ok) return;
    const found: [RecordHeader, number][] = [];
    const opened = attempt(() => Segment.open(file.value, (header, at) => found.push([header, at])));
    const segment = opened.ok ? opened.value : null;
    if (!segment || segmentName(segment.number) !== name) {
      attempt(() => file.value.close());
      await this.#folder.remove(name);
      return;
    }
    for (const [{ name, length, live }, at] of found)
      if (live) this.#index.set(name, { segment, at, length });
      else if (this.#index.get(name)?.segment === segment) this.#index.delete(name);
    this.#segments.set(segment.number, segment);
    this.#active = segment;
  }

  /** Appends to the active segment; when the device is full, evicts and tries again until nothing is left to evict. */
  async #append(name: ChunkHash, hash: ChunkHash, bytes: Bytes): Promise<Outcome<null>> {
    const needed = RECORD_HEADER_BYTES + bytes.length;
    const full = fail({ code: "storage-full", neededBytes: needed });
    if (this.#goesWithout || needed + SEGMENT_HEADER_BYTES > this.#limits.maxBytes) return full;
    await this.#evictTo(this.#limits.maxBytes - needed);
    for (;;) {
      const segment = await this.#writable(needed);
      const written = segment.ok ? attempt(() => segment.value.append(name, hash, bytes), needed) : segment;
      if (written.ok && segment.ok) {
        this.#index.set(name, { segment: segment.value, at: written.value, length: bytes.length });
        return ok(null);
      }
      if (!(await this.#evictOne())) {
        this.#goesWithout = true;
        return full;
      }
    }
  }

  /** The segment that takes the next record. */
  async #writable(needed: number): Promise<Outcome<Segment>> {
    const active = this.#active;
    const hasRoom =
      active && (active.end === SEGMENT_HEADER_BYTES || active.end + needed <= this.#limits.segmentBytes);
    if (hasRoom) {
      const trimmed = attempt(() => active.trim());
      return trimmed.ok ? ok(active) : trimmed;
    }
    const number = Math.max(0, ...this.#segments.keys()) + 1;
    const file = await this.#folder.open(segmentName(number));
    if (!file.ok) return file;
    const segment = attempt(() => Segment.create(file.value, number, this.#clock.nowMs()), needed);
    if (!segment.ok) {
      attempt(() => file.value.close());
      await this.#folder.remove(segmentName(number));
      return segment;
    }
    this.#segments.set(number, segment.value);
    this.#active = segment.value;
    return segment;
  }

  async #evictTo(maxBytes: number): Promise<void> {
    while (this.bytes > maxBytes && (await this.#evictOne()));
  }

  /** Removes the segment used longest ago, the active one last. False when there is none. */
  async #evictOne(): Promise<boolean> {
    const candidates = [...this.#segments.values()].sort(
      (a, b) => Number(a === this.#active) - Number(b === this.#active) || a.lastUseMs - b.lastUseMs,
    );
    const oldest = candidates[0];
    if (!oldest) return false;
    for (const [name, { segment }] of this.#index) if (segment === oldest) this.#index.delete(name);
    this.#segments.delete(oldest.number);
    if (this.#active === oldest) this.#active = undefined;
    attempt(() => oldest.close());
    await this.#folder.remove(segmentName(oldest.number));
    return true;
  }
}
