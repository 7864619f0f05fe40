/** Cuts a file into stored chunks and writes its manifest. The same bytes give the same chunks, whatever the file is called. */
import { createHash } from "node:crypto";
import { type FileHandle, open } from "node:fs/promises";
import { promisify } from "node:util";
import { deflateRaw } from "node:zlib";
import type { ChunkHash } from "#protocol/ids.ts";
import { CHUNK_BYTES, type StoredChunk, encodeManifest } from "#protocol/manifest.ts";

type Bytes = Uint8Array<ArrayBuffer>;
const deflate = promisify(deflateRaw);

/** zlib works on Node's thread pool: so many chunks at once keep two cores busy. */
const IN_FLIGHT = 8;
/** Part of the format of our images: another level gives other hashes. */
const DEFLATE = { level: 6 } as const;
const ZEROS = Buffer.alloc(CHUNK_BYTES);

export const sha256 = (bytes: Uint8Array): ChunkHash =>
  createHash("sha256").update(bytes).digest("hex") as ChunkHash;

export interface ChunkedFile {
  readonly manifest: ChunkHash;
  readonly manifestBytes: Bytes;
  readonly sizeBytes: number;
  /** What its chunks take in a store, each counted once. */
  readonly storedBytes: number;
}

export interface ChunkerOptions {
  readonly chunkBytes?: number;
  /** Takes each chunk that is not a hole. Awaited, so that a slow taker slows the reading. */
  readonly onChunk: (hash: ChunkHash, bytes: Bytes) => Promise<void>;
  readonly onProgress?: (doneBytes: number, sizeBytes: number) => void;
}

interface Source {
  readonly sizeBytes: number;
  read(offset: number, length: number): Promise<Buffer>;
}

const memorySource = (bytes: Uint8Array): Source => ({
  sizeBytes: bytes.length,
  read: async (offset, length) => Buffer.from(bytes.buffer, bytes.byteOffset + offset, length),
});

const fileSource = (file: FileHandle, sizeBytes: number): Source => ({
  sizeBytes,
  async read(offset, length) {
    const buffer = Buffer.alloc(length);
    for (let done = 0; done < length;) {
      const { bytesRead } = await file.read(buffer, done, length - done, offset + done);
      if (bytesRead === 0) throw new Error("the file became shorter while it was read");
      done += bytesRead;
    }
    return buffer;
  },
});

async function storedForm(chunk: Buffer): Promise<{ chunk: StoredChunk; bytes: Bytes }> {
  const packed = await deflate(chunk, DEFLATE);
  const deflated = packed.length < chunk.length;
  const bytes = new Uint8Array(deflated ? packed : chunk);
  return { chunk: { hash: sha256(bytes), storedBytes: bytes.length, deflated }, bytes };
}

async function chunkSource(source: Source, options: ChunkerOptions): Promise<ChunkedFile> {
  const { chunkBytes = CHUNK_BYTES, onChunk, onProgress } = options;
  const { sizeBytes } = source;
  const chunks: (StoredChunk | null)[] = Array.from(
    { length: Math.ceil(sizeBytes / chunkBytes) },
    () => null,
  );
  const known = new Map<ChunkHash, number>();
  const running = new Set<Promise<void>>();
  const store = async (index: number, buffer: Buffer): Promise<void> => {
    const { chunk, bytes } = await storedForm(buffer);
    chunks[index] = chunk;
    if (known.has(chunk.hash)) return;
    known.set(chunk.hash, chunk.storedBytes);
    await onChunk(chunk.hash, bytes);
  };
  for (let index = 0; index < chunks.length; index++) {
    const offset = index * chunkBytes;
    const buffer = await source.read(offset, Math.min(chunkBytes, sizeBytes - offset));
    onProgress?.(offset + buffer.length, sizeBytes);
    if (buffer.equals(ZEROS.subarray(0, buffer.length))) continue;
    if (running.size >= IN_FLIGHT) await Promise.race(running);
    const work: Promise<void> = store(index, buffer).finally(() => running.delete(work));
    work.catch(() => {});
    running.add(work);
  }
  await Promise.all(running);
  const encoded = encodeManifest({ chunkBytes, sizeBytes, chunks });
  if (!encoded.ok) throw new Error(`No manifest can describe this file: ${JSON.stringify(encoded.failure)}`);
  const storedBytes = [...known.values()].reduce((sum, bytes) => sum + bytes, 0);
  return { manifest: sha256(encoded.value), manifestBytes: encoded.value, sizeBytes, storedBytes };
}

export const chunkBytes = (bytes: Uint8Array, options: ChunkerOptions): Promise<ChunkedFile> =>
  chunkSource(memorySource(bytes), options);

export async function chunkFile(path: string, options: ChunkerOptions): Promise<ChunkedFile> {
  const file = await open(path, "r");
  try {
    return await chunkSource(fileSource(file, (await file.stat()).size), options);
  } finally {
    await file.close();
  }
}
