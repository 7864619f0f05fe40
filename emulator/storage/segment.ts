import type { ChunkHash } from "../protocol/ids.ts";
import { hashBytes, hashText } from "../protocol/manifest.ts";
import { crc32 } from "./crc32.ts";
import { type FileHandle, readFully, writeFully } from "./files.ts";

/**
 * One file of the cache: records that describe themselves, one after the other, so that the index is what a scan finds
 * and no second structure can disagree with it. Little endian.
 *
 * | off | size | segment header                      | | off | size | record header                           |
 * |-----|------|-------------------------------------|-|-----|------|-----------------------------------------|
 * | 0   | 4    | magic "VRSG"                        | | 0   | 4    | magic "VRSR"                            |
 * | 4   | u32  | version = 1                         | | 4   | u32  | 1 = live, 0 = found damaged             |
 * | 8   | u32  | number, in order of creation        | | 8   | u32  | length of the bytes that follow         |
 * | 12  | u32  | CRC-32 of bytes 0-11                | | 12  | u32  | 0                                       |
 * | 16  | f64  | last use, ms since 1970; no checksum | | 16  | 32   | name                                    |
 * |     |      |                                     | | 48  | 32   | SHA-256 of the bytes                    |
 * |     |      |                                     | | 80  | u32  | CRC-32 of bytes 0-79                    |
 *
 * Nothing is flushed: a record that a crash tore fails its checksum or its hash, and is fetched again.
 */
export const SEGMENT_HEADER_BYTES = 64;
export const RECORD_HEADER_BYTES = 96;
const SEGMENT_MAGIC = 0x47535256;
const RECORD_MAGIC = 0x52535256;
const LAST_USE_AT = 16;
/** No record is larger than the largest manifest. */
const MAX_RECORD_BYTES = 64 * 2 ** 20;

export interface RecordHeader {
  readonly name: ChunkHash;
  readonly hash: ChunkHash;
  readonly length: number;
  readonly live: boolean;
}

const view = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

function encodeRecordHeader({ name, hash, length, live }: RecordHeader): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(RECORD_HEADER_BYTES);
  const out = view(bytes);
  out.setUint32(0, RECORD_MAGIC, true);
  out.setUint32(4, live ? 1 : 0, true);
  out.setUint32(8, length, true);
  bytes.set(hashBytes(name), 16);
  bytes.set(hashBytes(hash), 48);
  out.setUint32(80, crc32(bytes.subarray(0, 80)), true);
  return bytes;
}

function decodeRecordHeader(bytes: Uint8Array): RecordHeader | null {
  const header = view(bytes);
  const length = header.getUint32(8, true);
  if (header.getUint32(0, true) !== RECORD_MAGIC || length > MAX_RECORD_BYTES) return null;
  if (header.getUint32(80, true) !== crc32(bytes.subarray(0, 80))) return null;
  return {
    name: hashText(bytes.subarray(16, 48)),
    hash: hashText(bytes.subarray(48, 80)),
    length,
    live: header.getUint32(4, true) === 1,
  };
}

/** How rarely the last use is written down: it only orders eviction. */
const USE_PERIOD_MS = 60_000;

export class Segment {
  readonly number: number;
  readonly #file: FileHandle;
  /** Where the next record goes. */
  end: number;
  lastUseMs: number;
  #writtenUseMs: number;

  private constructor(file: FileHandle, number: number, end: number, lastUseMs: number) {
    this.#file = file;
    this.number = number;
    this.end = end;
    this.lastUseMs = this.#writtenUseMs = lastUseMs;
  }

  /** Makes an empty segment of a file, whatever was in it. */
  static create(file: FileHandle, number: number, nowMs: number): Segment {
    const header = new Uint8Array(SEGMENT_HEADER_BYTES);
    const out = view(header);
    out.setUint32(0, SEGMENT_MAGIC, true);
    out.setUint32(4, 1, true);
    out.setUint32(8, number, true);
    out.setUint32(12, crc32(header.subarray(0, 12)), true);
    out.setFloat64(LAST_USE_AT, nowMs, true);
    file.truncate(0);
    writeFully(file, header, 0);
    return new Segment(file, number, SEGMENT_HEADER_BYTES, nowMs);
  }

  /** Reads an existing segment; null when it is none. `found` hears of every record that is whole by its checksum. */
  static open(file: FileHandle, found: (record: RecordHeader, at: number) => void): Segment | null {
    const header = new Uint8Array(SEGMENT_HEADER_BYTES);
    if (!readFully(file, header, 0)) return null;
    const known = view(header);
    if (known.getUint32(0, true) !== SEGMENT_MAGIC || known.getUint32(4, true) !== 1) return null;
    if (known.getUint32(12, true) !== crc32(header.subarray(0, 12))) return null;
    const size = file.getSize();
    const bytes = new Uint8Array(RECORD_HEADER_BYTES);
    let at = SEGMENT_HEADER_BYTES;
    while (at + RECORD_HEADER_BYTES <= size && readFully(file, bytes, at)) {
      const record = decodeRecordHeader(bytes);
      if (!record || at + RECORD_HEADER_BYTES + record.length > size) break;
      found(record, at);
      at += RECORD_HEADER_BYTES + record.length;
    }
    const lastUseMs = known.getFloat64(LAST_USE_AT, true);
    return new Segment(file, known.getUint32(8, true), at, Number.isFinite(lastUseMs) ? lastUseMs : 0);
  }

  /** Adds a record and answers where. Throws what the file throws; the torn record is overwritten by the next one. */
  append(name: ChunkHash, hash: ChunkHash, bytes: Uint8Array<ArrayBuffer>): number {
    const at = this.end;
    const record = new Uint8Array(RECORD_HEADER_BYTES + bytes.length);
    record.set(encodeRecordHeader({ name, hash, length: bytes.length, live: true }));
    record.set(bytes, RECORD_HEADER_BYTES);
    writeFully(this.#file, record, at);
    this.end = at + record.length;
    return at;
  }

  /** The record at `at` with its bytes, not verified yet; null when it is not there any more. */
  read(at: number, length: number): { header: RecordHeader; bytes: Uint8Array<ArrayBuffer> } | null {
    const record = new Uint8Array(RECORD_HEADER_BYTES + length);
    if (!readFully(this.#file, record, at)) return null;
    const header = decodeRecordHeader(record.subarray(0, RECORD_HEADER_BYTES));
    if (!header?.live || header.length !== length) return null;
    return { header, bytes: record.subarray(RECORD_HEADER_BYTES) };
  }

  /** So that the next scan does not find a record whose bytes are damaged. */
  bury(at: number, header: RecordHeader): void {
    writeFully(this.#file, encodeRecordHeader({ ...header, live: false }), at);
  }

  use(nowMs: number): void {
    this.lastUseMs = nowMs;
    if (nowMs - this.#writtenUseMs < USE_PERIOD_MS) return;
    this.#writtenUseMs = nowMs;
    const bytes = new Uint8Array(8);
    view(bytes).setFloat64(0, nowMs, true);
    writeFully(this.#file, bytes, LAST_USE_AT);
  }

  /** Cuts off what the scan could not read, so that new records end the file. */
  trim(): void {
    if (this.#file.getSize() > this.end) this.#file.truncate(this.end);
  }

  close(): void {
    this.#file.close();
  }
}
