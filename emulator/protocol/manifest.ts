import { type Outcome, fail, ok } from "./failure.ts";
import type { ChunkHash } from "./ids.ts";

/**
 * The `VRGM` manifest: one version of one disk or file as an ordered list of chunks. Little endian.
 *
 * | off | size | field                                                                                  |
 * |-----|------|----------------------------------------------------------------------------------------|
 * | 0   | 4    | magic "VRGM"                                                                            |
 * | 4   | u16  | version = 1                                                                             |
 * | 6   | u16  | flags = 0                                                                               |
 * | 8   | u32  | chunk size in bytes: 65536 or 262144                                                    |
 * | 12  | u32  | number of stored chunks (holes are not stored)                                          |
 * | 16  | u64  | size of the disk in bytes, <= 1 TiB                                                     |
 * | 24  | u64  | 0                                                                                       |
 * | 32  | ⌈n/8⌉ | bitmap of the n = ⌈size / chunk size⌉ chunks, least significant bit first: 1 = stored, 0 = hole |
 * | …   | 36 each | per stored chunk, in order: u32 stored length, bit 31 = deflate-raw; SHA-256 of the stored bytes |
 *
 * Padding bits of the bitmap are 0 and nothing follows the last entry. A manifest is named by the SHA-256 of its bytes.
 */
export const MANIFEST_MAGIC = 0x4d475256;
export const MANIFEST_HEADER_BYTES = 32;
export const MANIFEST_ENTRY_BYTES = 36;
export const CHUNK_BYTES = 262144;
/** 64 KiB suits floppies and DOS disks. */
export const CHUNK_SIZES: readonly number[] = [65536, CHUNK_BYTES];
/** Bounds checked before anything is allocated. A raw chunk may not be larger than the chunk, a deflated one not larger either. */
export const MAX_DISK_BYTES = 2 ** 40;
export const MAX_MANIFEST_BYTES = 64 * 2 ** 20;
/** Bit 31 of a stored length says that the chunk is deflated. */
const DEFLATED = 0x8000_0000;
const VERSION = 1;
const HASH_BYTES = 32;
/** Ranks are summed once per block of this many bitmap bytes (2048 chunks). */
const RANK_BLOCK_BYTES = 256;

/** How one chunk is stored. */
export interface StoredChunk {
  /** SHA-256 of the stored bytes. */
  readonly hash: ChunkHash;
  readonly storedBytes: number;
  /** True when the stored bytes are deflate-raw (RFC 1951) of the chunk, false when they are the chunk. */
  readonly deflated: boolean;
}

/**
 * A decoded manifest. It keeps the bitmap and the entries as bytes: a hostile manifest of 2^24 holes costs 2 MiB here,
 * not an array of 2^24 objects. Ask it with `chunkAt`.
 */
export interface Manifest {
  readonly chunkBytes: number;
  readonly sizeBytes: number;
  /** Chunks of the disk, holes included. */
  readonly chunkCount: number;
  /** Chunks that are stored, and what they take in the store, counting a chunk that occurs twice twice. */
  readonly storedCount: number;
  readonly storedBytes: number;
  readonly bitmap: Uint8Array;
  readonly entries: Uint8Array;
  /** Stored chunks before each block of the bitmap. */
  readonly ranks: Uint32Array;
}

const bad = (problem: string): Outcome<never> => fail({ code: "bad-manifest", problem });
const view = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

function popcount(byte: number): number {
  const pairs = byte - ((byte >> 1) & 0x55);
  const nibbles = (pairs & 0x33) + ((pairs >> 2) & 0x33);
  return (nibbles + (nibbles >> 4)) & 0x0f;
}

/** The bytes of the disk that chunk `index` holds: the last one may be short. */
export const chunkLength = (manifest: Pick<Manifest, "chunkBytes" | "sizeBytes">, index: number): number =>
  Math.min(manifest.chunkBytes, manifest.sizeBytes - index * manifest.chunkBytes);

const isStored = (bitmap: Uint8Array, index: number): boolean =>
  ((bitmap[index >> 3] ?? 0) & (1 << (index & 7))) !== 0;

/** How chunk `index` is stored, or null when it is a hole: zeros, because the manifest says so. */
export function chunkAt(manifest: Manifest, index: number): StoredChunk | null {
  if (!isStored(manifest.bitmap, index)) return null;
  const byte = index >> 3;
  const block = Math.floor(byte / RANK_BLOCK_BYTES);
  let rank = manifest.ranks[block] ?? 0;
  for (let at = block * RANK_BLOCK_BYTES; at < byte; at++) rank += popcount(manifest.bitmap[at] ?? 0);
  rank += popcount((manifest.bitmap[byte] ?? 0) & ((1 << (index & 7)) - 1));
  return entryAt(manifest.entries, rank);
}

function entryAt(entries: Uint8Array, rank: number): StoredChunk {
  const entry = entries.subarray(rank * MANIFEST_ENTRY_BYTES, (rank + 1) * MANIFEST_ENTRY_BYTES);
  const word = view(entry).getUint32(0, true);
  return {
    hash: hashText(entry.subarray(4)),
    storedBytes: word & ~DEFLATED,
    deflated: word >>> 31 === 1,
  };
}

/** 32 bytes as the 64 hex digits of a name. */
export function hashText(bytes: Uint8Array): ChunkHash {
  let text = "";
  for (const byte of bytes) text += byte.toString(16).padStart(2, "0");
  return text as ChunkHash;
}

/** The 32 bytes of a name. */
export function hashBytes(hash: string): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(HASH_BYTES);
  for (let i = 0; i < HASH_BYTES; i++) bytes[i] = Number.parseInt(hash.slice(2 * i, 2 * i + 2), 16);
  return bytes;
}

/** The header, with every bound checked before anything is allocated from it. */
function decodeHeader(
  bytes: Uint8Array,
): Outcome<{ chunkBytes: number; sizeBytes: number; chunkCount: number; storedCount: number }> {
  if (bytes.length < MANIFEST_HEADER_BYTES) return bad("The manifest is shorter than its header.");
  if (bytes.length > MAX_MANIFEST_BYTES) return bad("The manifest is larger than 64 MiB.");
  const header = view(bytes);
  if (header.getUint32(0, true) !== MANIFEST_MAGIC) return bad("This is not a VRGM manifest.");
  if (header.getUint16(4, true) !== VERSION)
    return bad(`Manifest version ${header.getUint16(4, true)} is not known.`);
  if (header.getUint16(6, true) !== 0) return bad("The manifest uses unknown flags.");
  const chunkBytes = header.getUint32(8, true);
  if (!CHUNK_SIZES.includes(chunkBytes)) return bad(`A chunk size of ${chunkBytes} bytes is not allowed.`);
  const storedCount = header.getUint32(12, true);
  const sizeBytes = header.getUint32(20, true) * 2 ** 32 + header.getUint32(16, true);
  if (sizeBytes > MAX_DISK_BYTES) return bad("The disk is larger than 1 TiB.");
  if (header.getUint32(24, true) !== 0 || header.getUint32(28, true) !== 0)
    return bad("The manifest's reserved field is not zero.");
  const chunkCount = Math.ceil(sizeBytes / chunkBytes);
  if (storedCount > chunkCount) return bad("The manifest stores more chunks than the disk has.");
  const wanted = MANIFEST_HEADER_BYTES + Math.ceil(chunkCount / 8) + storedCount * MANIFEST_ENTRY_BYTES;
  if (bytes.length !== wanted) return bad(`The manifest has ${bytes.length} bytes, not ${wanted}.`);
  return ok({ chunkBytes, sizeBytes, chunkCount, storedCount });
}

/** Sums the bitmap per block; fails when it does not name as many chunks as the header says. */
function decodeRanks(bitmap: Uint8Array, chunkCount: number, storedCount: number): Outcome<Uint32Array> {
  const ranks = new Uint32Array(Math.ceil(bitmap.length / RANK_BLOCK_BYTES));
  let rank = 0;
  for (let at = 0; at < bitmap.length; at++) {
    if (at % RANK_BLOCK_BYTES === 0) ranks[at / RANK_BLOCK_BYTES] = rank;
    rank += popcount(bitmap[at] ?? 0);
  }
  if (chunkCount % 8 !== 0 && (bitmap[bitmap.length - 1] ?? 0) >> (chunkCount % 8) !== 0)
    return bad("The manifest's bitmap has bits after the last chunk.");
  if (rank !== storedCount) return bad(`The manifest's bitmap names ${rank} chunks, not ${storedCount}.`);
  return ok(ranks);
}

/**
 * What all chunks take in the store. A raw chunk is stored in exactly its length; a deflated one is never longer than
 * that and never empty.
 */
function decodeLengths(
  header: Pick<Manifest, "chunkBytes" | "sizeBytes" | "chunkCount">,
  bitmap: Uint8Array,
  entries: Uint8Array,
): Outcome<number> {
  const words = view(entries);
  let total = 0;
  for (let index = 0, at = 0; index < header.chunkCount; index++) {
    if (!isStored(bitmap, index)) continue;
    const word = words.getUint32(at, true);
    at += MANIFEST_ENTRY_BYTES;
    const storedBytes = word & ~DEFLATED;
    const length = chunkLength(header, index);
    const fits = word >>> 31 === 1 ? storedBytes >= 1 && storedBytes <= length : storedBytes === length;
    if (!fits) return bad(`Chunk ${index} cannot be stored in ${storedBytes} bytes.`);
    total += storedBytes;
  }
  return ok(total);
}

/** Reads a manifest whose bytes were verified against its name. Never throws; allocates no more than the bytes given. */
export function decodeManifest(bytes: Uint8Array): Outcome<Manifest> {
  const header = decodeHeader(bytes);
  if (!header.ok) return header;
  const entriesAt = MANIFEST_HEADER_BYTES + Math.ceil(header.value.chunkCount / 8);
  const bitmap = bytes.slice(MANIFEST_HEADER_BYTES, entriesAt);
  const ranks = decodeRanks(bitmap, header.value.chunkCount, header.value.storedCount);
  if (!ranks.ok) return ranks;
  const entries = bytes.slice(entriesAt);
  const storedBytes = decodeLengths(header.value, bitmap, entries);
  if (!storedBytes.ok) return storedBytes;
  return ok({ ...header.value, storedBytes: storedBytes.value, bitmap, entries, ranks: ranks.value });
}

/** What a publisher knows of a disk: `chunks[i]` is null for a hole. */
export interface ManifestContents {
  readonly chunkBytes: number;
  readonly sizeBytes: number;
  readonly chunks: readonly (StoredChunk | null)[];
}

/** The bytes of a manifest. Fails on contents that `decodeManifest` would refuse, so what is published can be opened. */
export function encodeManifest(contents: ManifestContents): Outcome<Uint8Array<ArrayBuffer>> {
  const { chunkBytes, sizeBytes, chunks } = contents;
  if (!Number.isSafeInteger(sizeBytes) || sizeBytes < 0 || sizeBytes > MAX_DISK_BYTES)
    return bad("The disk's size is out of bounds.");
  if (!CHUNK_SIZES.includes(chunkBytes)) return bad(`A chunk size of ${chunkBytes} bytes is not allowed.`);
  if (chunks.length !== Math.ceil(sizeBytes / chunkBytes))
    return bad("The number of chunks does not match the disk's size.");
  const stored = chunks.filter((chunk) => chunk !== null);
  const entriesAt = MANIFEST_HEADER_BYTES + Math.ceil(chunks.length / 8);
  const size = entriesAt + stored.length * MANIFEST_ENTRY_BYTES;
  if (size > MAX_MANIFEST_BYTES) return bad("The manifest would be larger than 64 MiB.");
  const bytes = new Uint8Array(size);
  const out = view(bytes);
  out.setUint32(0, MANIFEST_MAGIC, true);
  out.setUint16(4, VERSION, true);
  out.setUint32(8, chunkBytes, true);
  out.setUint32(12, stored.length, true);
  out.setUint32(16, sizeBytes % 2 ** 32, true);
  out.setUint32(20, Math.floor(sizeBytes / 2 ** 32), true);
  for (const [index, chunk] of chunks.entries())
    if (chunk)
      out.setUint8(
        MANIFEST_HEADER_BYTES + (index >> 3),
        out.getUint8(MANIFEST_HEADER_BYTES + (index >> 3)) | (1 << (index & 7)),
      );
  for (const [rank, { hash, storedBytes, deflated }] of stored.entries()) {
    const at = entriesAt + rank * MANIFEST_ENTRY_BYTES;
    out.setUint32(at, (deflated ? DEFLATED : 0) + storedBytes, true);
    bytes.set(hashBytes(hash), at + 4);
  }
  const decoded = decodeManifest(bytes);
  return decoded.ok ? ok(bytes) : decoded;
}
