import { createHash } from "node:crypto";
import { deflateRawSync } from "node:zlib";
import type { ChunkHash } from "#protocol/ids";
import { type StoredChunk, encodeManifest } from "#protocol/manifest";
import { valueOf } from "./outcome.ts";
import { randomBytes, seededRandom } from "./seeded-random.ts";

type Bytes = Uint8Array<ArrayBuffer>;

export const sha256 = (bytes: Uint8Array): ChunkHash =>
  createHash("sha256").update(bytes).digest("hex") as ChunkHash;

/** A disk as a publisher makes it of its bytes: zero chunks are holes, what deflates well is deflated. */
export interface PublishedImage {
  readonly bytes: Bytes;
  readonly manifest: ChunkHash;
  readonly manifestBytes: Bytes;
  readonly chunkBytes: number;
  readonly stored: readonly (StoredChunk | null)[];
  readonly chunks: ReadonlyMap<ChunkHash, Bytes>;
}

export function publishedImage(bytes: Bytes, chunkBytes = 65536): PublishedImage {
  const chunks = new Map<ChunkHash, Bytes>();
  const stored: (StoredChunk | null)[] = [];
  for (let at = 0; at < bytes.length; at += chunkBytes) {
    const chunk = bytes.slice(at, at + chunkBytes);
    if (chunk.every((byte) => byte === 0)) {
      stored.push(null);
      continue;
    }
    const packed = new Uint8Array(deflateRawSync(chunk));
    const deflated = packed.length < chunk.length * 0.9;
    const object = deflated ? packed : chunk;
    const hash = sha256(object);
    chunks.set(hash, object);
    stored.push({ hash, storedBytes: object.length, deflated });
  }
  const manifestBytes = valueOf(encodeManifest({ chunkBytes, sizeBytes: bytes.length, chunks: stored }));
  return { bytes, manifest: sha256(manifestBytes), manifestBytes, chunkBytes, stored, chunks };
}

/** Disk contents with everything in it: text that deflates, noise that does not, holes, a short last chunk. */
export function sampleDisk(seed: number, chunkCount = 12, chunkBytes = 65536, tailBytes = 512): Bytes {
  const random = seededRandom(seed);
  const bytes = new Uint8Array((chunkCount - 1) * chunkBytes + tailBytes);
  for (let index = 0; index < chunkCount; index++) {
    const chunk = bytes.subarray(index * chunkBytes, (index + 1) * chunkBytes);
    if (index % 4 === 1) continue;
    if (index % 4 === 2) chunk.set(randomBytes(random, chunk.length));
    else for (let at = 0; at < chunk.length; at++) chunk[at] = 32 + ((at * (index + 7)) % 61);
  }
  return bytes;
}
