import { type Outcome, fail, ok } from "../protocol/failure.ts";
import type { ChunkHash } from "../protocol/ids.ts";
import { hashBytes, hashText } from "../protocol/manifest.ts";
import { BlockMap, ZERO } from "./block-map.ts";
import { crc32 } from "./crc32.ts";
import { type FileHandle, readFully, writeFully } from "./files.ts";

/**
 * The changes of one disk as a log of 4 KiB blocks. Little endian.
 *
 * | off  | size | file header                              | | off | size | record header                        |
 * |------|------|------------------------------------------|-|-----|------|--------------------------------------|
 * | 0    | 4    | magic "VRGO"                             | | 0   | 4    | magic "VRGB"                         |
 * | 4    | u32  | version = 1                              | | 4   | u32  | 1 = block, 2 = run of zero blocks    |
 * | 8    | u32  | block size = 4096                        | | 8   | u32  | first block                          |
 * | 12   | u32  | generation                               | | 12  | u32  | number of blocks                     |
 * | 16   | u64  | size of the disk                         | | 16  | u32  | CRC-32 of the block that follows     |
 * | 24   | 32   | id of the base image                     | | 20  | u32  | generation                           |
 * | 56   | u32  | 0                                        | | 24  | u32  | checksum field of the record before  |
 * | 60   | u32  | CRC-32 of bytes 0-59                     | | 28  | u32  | CRC-32 of bytes 0-27                 |
 * | 512, 1024 | 12 | durable marks: f64 length, u32 CRC-32 | |     |      |                                      |
 * | 4096 |      | records                                  | | 32  | 4096 | the block; nothing after a run       |
 *
 * A crash may lose, tear or reorder whatever was not flushed. The records are a chain: the replay takes them in order
 * up to the first that is torn or does not follow from the one before, so what is read is always a state that the disk
 * had, no older than its last flush. After each flush one of two marks says how much is durable; a log that ends before
 * its mark was damaged later, and is a failure instead of an older state of the disk.
 */
export const OVERLAY_BLOCK_BYTES = 4096;
export const OVERLAY_HEADER_BYTES = 4096;
const RECORD_BYTES = 32;
const STORED_BLOCK_BYTES = RECORD_BYTES + OVERLAY_BLOCK_BYTES;
const FILE_MAGIC = 0x4f475256;
const RECORD_MAGIC = 0x42475256;
const HEADER_USED_BYTES = 64;
const MARKS_AT = [512, 1024] as const;
const MARK_BYTES = 12;
const SCAN_BYTES = 2 ** 20;
const BLOCK = 1;
const ZEROS = 2;

export interface OverlayIdentity {
  readonly base: ChunkHash;
  readonly sizeBytes: number;
}

export type OpenedLog =
  | { readonly kind: "log"; readonly log: OverlayLog }
  /** Its creation was never finished: nothing was ever acknowledged from it. */
  | { readonly kind: "blank" };

const view = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

function encodeHeader({ base, sizeBytes }: OverlayIdentity, generation: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(HEADER_USED_BYTES);
  const out = view(bytes);
  out.setUint32(0, FILE_MAGIC, true);
  out.setUint32(4, 1, true);
  out.setUint32(8, OVERLAY_BLOCK_BYTES, true);
  out.setUint32(12, generation, true);
  out.setBigUint64(16, BigInt(sizeBytes), true);
  bytes.set(hashBytes(base), 24);
  out.setUint32(60, crc32(bytes.subarray(0, 60)), true);
  return bytes;
}

export class OverlayLog {
  readonly generation: number;
  readonly #file: FileHandle;
  readonly #map = new BlockMap();
  readonly #blockCount: number;
  /** Where the next record goes, and the checksum that it must carry. */
  #end = OVERLAY_HEADER_BYTES;
  #chain: number;
  #durable = OVERLAY_HEADER_BYTES;
  #mark = 0;

  private constructor(file: FileHandle, header: Uint8Array) {
    this.#file = file;
    const known = view(header);
    this.generation = known.getUint32(12, true);
    this.#blockCount = Math.ceil(Number(known.getBigUint64(16, true)) / OVERLAY_BLOCK_BYTES);
    this.#chain = known.getUint32(60, true);
  }

  /** An empty log, durable when this returns. Throws what the file throws. */
  static create(file: FileHandle, identity: OverlayIdentity, generation: number): OverlayLog {
    const log = OverlayLog.#prepare(file, identity, generation);
    log.#publish(encodeHeader(identity, generation));
    return log;
  }

  static #prepare(file: FileHandle, identity: OverlayIdentity, generation: number): OverlayLog {
    file.truncate(0);
    file.truncate(OVERLAY_HEADER_BYTES);
    return new OverlayLog(file, encodeHeader(identity, generation));
  }

  /** The header comes last, after everything else is durable: from then on this log is the disk. */
  #publish(header: Uint8Array<ArrayBuffer>): void {
    this.#file.flush();
    writeFully(this.#file, header, 0);
    this.#file.flush();
    this.#durable = this.#end;
  }

  /** Replays a log. Throws what the file throws. */
  static open(file: FileHandle, identity: OverlayIdentity): Outcome<OpenedLog> {
    const header = new Uint8Array(HEADER_USED_BYTES);
    if (!readFully(file, header, 0) || header.every((byte) => byte === 0)) return ok({ kind: "blank" });
    const known = view(header);
    const isOurs = known.getUint32(0, true) === FILE_MAGIC && known.getUint32(4, true) === 1;
    if (!isOurs || known.getUint32(60, true) !== crc32(header.subarray(0, 60)))
      return fail({ code: "corrupt", what: "the changes kept on this device" });
    const isSameBase = hashText(header.subarray(24, 56)) === identity.base;
    if (!isSameBase || known.getBigUint64(16, true) !== BigInt(identity.sizeBytes))
      return fail({
        code: "image-changed",
        what: "the image that the changes kept on this device belong to",
      });
    const log = new OverlayLog(file, header);
    log.#replay();
    if (log.#durableMark() > log.#end)
      return fail({ code: "corrupt", what: "the changes kept on this device" });
    // What follows the last whole record is no part of the disk, and must not become one.
    if (file.getSize() > log.#end) file.truncate(log.#end);
    file.flush();
    log.#durable = log.#end;
    return ok({ kind: "log", log });
  }

  get fileBytes(): number {
    return this.#end;
  }
  get liveBytes(): number {
    return this.#map.stored * STORED_BLOCK_BYTES;
  }
  /** Bytes of records that later ones replaced. */
  get garbageBytes(): number {
    return this.#end - OVERLAY_HEADER_BYTES - this.liveBytes;
  }
  get isDurable(): boolean {
    return this.#durable === this.#end;
  }

  has(block: number): boolean {
    return this.#map.get(block) !== 0;
  }

  /** How many blocks from `block` on, at most `most`, are known and lie one after the other in the file. */
  #runLength(block: number, most: number): number {
    const at = this.#map.get(block);
    const step = at === ZERO ? 0 : STORED_BLOCK_BYTES;
    let count = 1;
    while (count < most && this.#map.get(block + count) === at + count * step) count++;
    return count;
  }

  /** Copies known blocks, as many as `into` holds; false when what is stored is damaged. */
  read(block: number, into: Uint8Array<ArrayBuffer>): boolean {
    const count = into.length / OVERLAY_BLOCK_BYTES;
    for (let done = 0; done < count;) {
      const run = this.#runLength(block + done, count - done);
      const part = into.subarray(done * OVERLAY_BLOCK_BYTES, (done + run) * OVERLAY_BLOCK_BYTES);
      if (!this.#readRun(block + done, run, part)) return false;
      done += run;
    }
    return true;
  }

  #readRun(block: number, count: number, into: Uint8Array<ArrayBuffer>): boolean {
    const at = this.#map.get(block);
    if (at === ZERO) {
      into.fill(0);
      return true;
    }
    const records = new Uint8Array(count * STORED_BLOCK_BYTES);
    if (!readFully(this.#file, records, at)) return false;
    for (let index = 0; index < count; index++) {
      const record = records.subarray(index * STORED_BLOCK_BYTES, (index + 1) * STORED_BLOCK_BYTES);
      const payload = record.subarray(RECORD_BYTES);
      const header = view(record);
      if (header.getUint32(8, true) !== block + index || header.getUint32(16, true) !== crc32(payload))
        return false;
      into.set(payload, index * OVERLAY_BLOCK_BYTES);
    }
    return true;
  }

  /** Whole blocks from `block` on, as one write to the file; runs of zeros are not stored. Throws what the file throws. */
  write(block: number, bytes: Uint8Array<ArrayBuffer>): void {
    const count = bytes.length / OVERLAY_BLOCK_BYTES;
    const records = new Uint8Array(count * STORED_BLOCK_BYTES);
    const places: [block: number, count: number, at: number][] = [];
    let [length, chain] = [0, this.#chain];
    for (let done = 0; done < count;) {
      const zeros = zeroBlocks(bytes, done);
      const payload = bytes.subarray(done * OVERLAY_BLOCK_BYTES, (done + 1) * OVERLAY_BLOCK_BYTES);
      const run = zeros || 1;
      places.push([block + done, run, zeros ? ZERO : this.#end + length]);
      const header = records.subarray(length, length + RECORD_BYTES);
      chain = this.#encodeRecord(
        header,
        zeros ? ZEROS : BLOCK,
        block + done,
        run,
        zeros ? 0 : crc32(payload),
        chain,
      );
      length += RECORD_BYTES;
      if (!zeros) records.set(payload, length);
      length += zeros ? 0 : OVERLAY_BLOCK_BYTES;
      done += run;
    }
    writeFully(this.#file, records.subarray(0, length), this.#end);
    this.#end += length;
    this.#chain = chain;
    for (const [first, count, at] of places) for (let i = 0; i < count; i++) this.#map.set(first + i, at);
  }

  /** Makes blocks read as zeros. */
  writeZeros(block: number, count: number): void {
    const header = new Uint8Array(RECORD_BYTES);
    const chain = this.#encodeRecord(header, ZEROS, block, count, 0, this.#chain);
    writeFully(this.#file, header, this.#end);
    this.#end += RECORD_BYTES;
    this.#chain = chain;
    for (let i = 0; i < count; i++) this.#map.set(block + i, ZERO);
  }

  /** Returns when everything written is durable. Throws what the file throws. */
  flush(): void {
    if (this.isDurable) return;
    this.#file.flush();
    this.#durable = this.#end;
    const mark = new Uint8Array(MARK_BYTES);
    view(mark).setFloat64(0, this.#end, true);
    view(mark).setUint32(8, crc32(mark.subarray(0, 8), this.generation), true);
    // The mark speaks of what is durable already, so it need not be flushed itself.
    writeFully(this.#file, mark, MARKS_AT[this.#mark] ?? MARKS_AT[0]);
    this.#mark = 1 - this.#mark;
  }

  /**
   * Writes what is live into another file, in the order of the disk, and makes that the log of this disk in one step:
   * its header. Before it the old file is the disk, after it the new one. Throws what either file throws.
   */
  compactInto(file: FileHandle, identity: OverlayIdentity): OverlayLog {
    const fresh = OverlayLog.#prepare(file, identity, this.generation + 1);
    const block = new Uint8Array(OVERLAY_BLOCK_BYTES);
    for (const [index, at] of this.#map.entries()) {
      if (at === ZERO) fresh.writeZeros(index, 1);
      else if (this.read(index, block)) fresh.write(index, block);
      else throw new DOMException("A changed block is damaged.", "DataError");
    }
    fresh.#publish(encodeHeader(identity, fresh.generation));
    return fresh;
  }

  close(): void {
    this.#file.close();
  }

  /** Answers the record's checksum, which the next one carries. */
  #encodeRecord(
    into: Uint8Array,
    kind: number,
    block: number,
    count: number,
    sum: number,
    chain: number,
  ): number {
    const out = view(into);
    for (const [at, value] of [RECORD_MAGIC, kind, block, count, sum, this.generation, chain].entries())
      out.setUint32(4 * at, value, true);
    const checksum = crc32(into.subarray(0, 28));
    out.setUint32(28, checksum, true);
    return checksum;
  }

  #replay(): void {
    const size = this.#file.getSize();
    let window = new Uint8Array(0);
    let windowAt = 0;
    /** Bytes of the file, read in large pieces; null after its end. */
    const bytesAt = (at: number, length: number): Uint8Array<ArrayBuffer> | null => {
      if (at + length > size) return null;
      if (at < windowAt || at + length > windowAt + window.length) {
        window = new Uint8Array(Math.min(SCAN_BYTES, size - at));
        windowAt = at;
        if (!readFully(this.#file, window, at)) return null;
      }
      return window.subarray(at - windowAt, at - windowAt + length);
    };
    for (let next: number | null = this.#end; next !== null; next = this.#replayRecord(bytesAt))
      this.#end = next;
  }

  /** Takes the record at the end of what was taken so far; answers where the next one begins, null at the end. */
  #replayRecord(bytesAt: (at: number, length: number) => Uint8Array<ArrayBuffer> | null): number | null {
    const at = this.#end;
    const header = bytesAt(at, RECORD_BYTES);
    if (!header) return null;
    const fields = view(header);
    const field = (index: number): number => fields.getUint32(4 * index, true);
    const [kind, block, count, sum, checksum] = [field(1), field(2), field(3), field(4), field(7)];
    const follows = field(0) === RECORD_MAGIC && field(5) === this.generation && field(6) === this.#chain;
    if (!follows || checksum !== crc32(header.subarray(0, 28))) return null;
    const isKnown = kind === ZEROS || (kind === BLOCK && count === 1);
    if (!isKnown || count < 1 || block + count > this.#blockCount) return null;
    if (kind === BLOCK) {
      const payload = bytesAt(at + RECORD_BYTES, OVERLAY_BLOCK_BYTES);
      if (!payload || crc32(payload) !== sum) return null;
      this.#map.set(block, at);
    } else for (let i = 0; i < count; i++) this.#map.set(block + i, ZERO);
    this.#chain = checksum;
    return at + (kind === BLOCK ? STORED_BLOCK_BYTES : RECORD_BYTES);
  }

  /** The larger of the marks that are whole. */
  #durableMark(): number {
    const lengths = MARKS_AT.map((at) => {
      const mark = new Uint8Array(MARK_BYTES);
      if (!readFully(this.#file, mark, at)) return 0;
      const isWhole = view(mark).getUint32(8, true) === crc32(mark.subarray(0, 8), this.generation);
      return isWhole ? view(mark).getFloat64(0, true) : 0;
    });
    this.#mark = lengths[0]! > lengths[1]! ? 1 : 0;
    return Math.max(...lengths);
  }
}

/** How many blocks from `first` on are zeros. */
function zeroBlocks(bytes: Uint8Array<ArrayBuffer>, first: number): number {
  const count = bytes.length / OVERLAY_BLOCK_BYTES;
  let end = first;
  for (; end < count; end++) {
    const at = end * OVERLAY_BLOCK_BYTES;
    for (let i = 0; i < OVERLAY_BLOCK_BYTES; i++) if (bytes[at + i] !== 0) return end - first;
  }
  return end - first;
}
