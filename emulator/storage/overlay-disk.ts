import { type Failure, type Outcome, fail, ok } from "../protocol/failure.ts";
import type { BlockDevice } from "./block-device.ts";
import { attempt } from "./files.ts";
import { OVERLAY_BLOCK_BYTES, type OverlayLog } from "./overlay-log.ts";
import { rangeFailure } from "./streamed-disk.ts";

type Bytes = Uint8Array<ArrayBuffer>;

/** The log of a disk and what becomes of it. */
export interface OverlayStore {
  readonly log: OverlayLog;
  /** Rewrites the log without its garbage, if that is worth it. Fails when it is unknown which log a restart will find. */
  compactIfWorthIt(): Promise<Outcome<null>>;
  /** Asks others on this device to give up space. */
  makeRoom(bytes: number): Promise<number>;
  close(): void;
}

/** A change that waits for its turn, and where. */
interface Pending {
  readonly start: number;
  readonly end: number;
  readonly done: Promise<unknown>;
}

const blockOf = (offset: number): number => Math.floor(offset / OVERLAY_BLOCK_BYTES);
const BLOCK = OVERLAY_BLOCK_BYTES;

/**
 * A base image and a person's changes to it. Changes are kept in blocks of 4 KiB: a write that covers only part of one
 * takes the rest from what the disk had. What is written is readable when `write` returns its promise, and durable when
 * a later flush has resolved.
 */
export class OverlayDisk implements BlockDevice {
  readonly readOnly = false;
  readonly sizeBytes: number;
  readonly #base: BlockDevice;
  readonly #store: OverlayStore;
  /** True where the base is known to be zeros, so that discarding it need not be remembered. */
  readonly #isZeroInBase: (block: number) => boolean;
  readonly #pending = new Set<Pending>();
  #turn: Promise<unknown> = Promise.resolve();
  /** After a flush that failed, nobody knows what is on the device: nothing is acknowledged until the disk is reopened. */
  #broken: Failure | null = null;

  constructor(
    base: BlockDevice,
    store: OverlayStore,
    isZeroInBase: (block: number) => boolean = () => false,
  ) {
    this.#base = base;
    this.#store = store;
    this.#isZeroInBase = isZeroInBase;
    this.sizeBytes = base.sizeBytes;
  }

  get overlayBytes(): number {
    return this.#store.log.fileBytes;
  }

  async read(offset: number, length: number): Promise<Outcome<Bytes>> {
    const failure = rangeFailure(this.sizeBytes, offset, length);
    if (failure) return fail(failure);
    const before = [...this.#pending].filter(({ start, end }) => start < offset + length && end > offset);
    if (before.length > 0) await Promise.all(before.map(({ done }) => done));
    return this.#readNow(offset, length);
  }

  async write(offset: number, bytes: Uint8Array): Promise<Outcome<null>> {
    const failure = rangeFailure(this.sizeBytes, offset, bytes.length) ?? this.#broken;
    if (failure) return fail(failure);
    const end = offset + bytes.length;
    const isWhole = offset % BLOCK === 0 && (end % BLOCK === 0 || end === this.sizeBytes);
    if (isWhole && this.#pending.size === 0) {
      const written = this.#append(blockOf(offset), padded(bytes));
      if (written.ok || written.failure.code !== "storage-full") return written;
    }
    // The caller may reuse its buffer while the write waits for its turn.
    const copy = bytes.slice();
    return this.#inTurn(offset, end, () => this.#writeSlowly(offset, copy));
  }

  async flush(): Promise<Outcome<null>> {
    if (this.#broken) return fail(this.#broken);
    const flushed = await this.#inTurn(0, 0, async () => attempt(() => this.#store.log.flush()));
    if (!flushed.ok) {
      this.#broken = flushed.failure;
      return flushed;
    }
    void this.#inTurn(0, 0, () => this.#compact());
    return ok(null);
  }

  async discard(offset: number, length: number): Promise<Outcome<null>> {
    const failure =
      rangeFailure(this.sizeBytes, offset, 0) ?? rangeFailure(this.sizeBytes, offset + length, 0);
    if (failure ?? this.#broken) return fail(failure ?? this.#broken!);
    return this.#inTurn(offset, offset + length, () => this.#discardSlowly(offset, offset + length));
  }

  /** Ends what goes on and closes the log. Nothing is flushed: what the guest did not flush may be lost. */
  async close(): Promise<void> {
    this.#broken ??= { code: "disk-busy", disk: "a closed disk" };
    await this.#turn;
    this.#store.close();
  }

  async #compact(): Promise<void> {
    const compacted = await this.#store.compactIfWorthIt();
    if (!compacted.ok) this.#broken ??= compacted.failure;
  }

  /** Runs changes one after the other; a read of the same place waits for them. */
  #inTurn<T>(start: number, end: number, work: () => Promise<T>): Promise<T> {
    const done = this.#turn.then(work).finally(() => this.#pending.delete(pending));
    const pending: Pending = { start, end, done: done.catch(() => {}) };
    this.#pending.add(pending);
    this.#turn = pending.done;
    return done;
  }

  #append(block: number, blocks: Bytes): Outcome<null> {
    const written = attempt(() => this.#store.log.write(block, blocks), blocks.length);
    return written.ok ? ok(null) : written;
  }

  /** The general case: completes the first and the last block, and makes room when the device is full. */
  async #writeSlowly(offset: number, bytes: Bytes): Promise<Outcome<null>> {
    const first = blockOf(offset);
    const last = blockOf(offset + bytes.length - 1);
    if (bytes.length === 0) return ok(null);
    const blocks = new Uint8Array((last - first + 1) * BLOCK);
    for (const block of new Set([first, last])) {
      const start = block * BLOCK;
      const end = Math.min(start + BLOCK, this.sizeBytes);
      if (offset <= start && offset + bytes.length >= end) continue;
      const rest = await this.#readNow(start, end - start);
      if (!rest.ok) return rest;
      blocks.set(rest.value, (block - first) * BLOCK);
    }
    blocks.set(bytes, offset - first * BLOCK);
    const written = this.#append(first, blocks);
    if (written.ok || written.failure.code !== "storage-full") return written;
    await this.#store.makeRoom(2 * blocks.length);
    return this.#append(first, blocks);
  }

  async #discardSlowly(offset: number, end: number): Promise<Outcome<null>> {
    const isEnd = end === this.sizeBytes;
    const first = Math.ceil(offset / BLOCK);
    const last = isEnd ? Math.ceil(end / BLOCK) : blockOf(end);
    const edges =
      first > last ? [[offset, end]] : [[offset, first * BLOCK], isEnd ? [end, end] : [last * BLOCK, end]];
    for (const [from = 0, to = 0] of edges) {
      const written = to > from ? await this.#writeSlowly(from, new Uint8Array(to - from)) : ok(null);
      if (!written.ok) return written;
    }
    const { log } = this.#store;
    const isZero = (block: number): boolean => !log.has(block) && this.#isZeroInBase(block);
    for (let block = first; block < last;) {
      let run = 0;
      while (block + run < last && !isZero(block + run)) run++;
      const written = run > 0 ? attempt(() => log.writeZeros(block, run)) : ok(undefined);
      if (!written.ok) return written;
      block += Math.max(1, run);
    }
    return ok(null);
  }

  /** Known blocks from the log at once; the runs between them from the base. */
  async #readNow(offset: number, length: number): Promise<Outcome<Bytes>> {
    const bytes = new Uint8Array(length);
    const { log } = this.#store;
    const fromBase: Promise<Outcome<null>>[] = [];
    const end = offset + length;
    for (let at = offset; at < end;) {
      const isKnown = log.has(blockOf(at));
      let to = Math.min(end, (blockOf(at) + 1) * BLOCK);
      while (to < end && log.has(blockOf(to)) === isKnown) to = Math.min(end, to + BLOCK);
      const into = bytes.subarray(at - offset, to - offset);
      if (!isKnown) fromBase.push(this.#readBase(at, into));
      else {
        const read = this.#readLog(at, into);
        if (!read.ok) return read;
      }
      at = to;
    }
    for (const part of await Promise.all(fromBase)) if (!part.ok) return part;
    return ok(bytes);
  }

  #readLog(offset: number, into: Bytes): Outcome<null> {
    const first = blockOf(offset);
    const isWhole = offset % BLOCK === 0 && into.length % BLOCK === 0;
    const blocks = isWhole ? into : new Uint8Array((blockOf(offset + into.length - 1) - first + 1) * BLOCK);
    const read = attempt(() => this.#store.log.read(first, blocks));
    if (!read.ok) return read;
    if (!read.value) return fail({ code: "corrupt", what: "the changes kept on this device" });
    if (!isWhole) into.set(blocks.subarray(offset - first * BLOCK, offset - first * BLOCK + into.length));
    return ok(null);
  }

  async #readBase(offset: number, into: Bytes): Promise<Outcome<null>> {
    const bytes = await this.#base.read(offset, into.length);
    if (!bytes.ok) return bytes;
    into.set(bytes.value);
    return ok(null);
  }
}

/** The last block of a disk may be short; in the log it is whole. */
function padded(bytes: Uint8Array): Bytes {
  if (bytes.length % BLOCK === 0) return bytes as Bytes;
  const whole = new Uint8Array(Math.ceil(bytes.length / BLOCK) * BLOCK);
  whole.set(bytes);
  return whole;
}
