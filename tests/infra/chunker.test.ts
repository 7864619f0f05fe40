import { mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import type { ChunkHash } from "#protocol/ids.ts";
import { CHUNK_BYTES, chunkAt, decodeManifest } from "#protocol/manifest.ts";
import { chunkBytes, chunkFile, sha256 } from "../../infra/store/chunker.ts";
import { inflateRawSync } from "node:zlib";
import { valueOf } from "../support/outcome.ts";
import { randomBytes, seededRandom } from "../support/seeded-random.ts";

const directory = mkdtempSync(join(tmpdir(), "virga-chunker-"));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

/** A disk of twelve chunks: holes, noise, text, a short last one, and one that occurs twice. */
function disk(seed: number): Uint8Array<ArrayBuffer> {
  const random = seededRandom(seed);
  const bytes = new Uint8Array(11 * CHUNK_BYTES + 4096);
  bytes.set(randomBytes(random, CHUNK_BYTES), CHUNK_BYTES);
  for (const index of [3, 7]) bytes.fill(0x61, index * CHUNK_BYTES, index * CHUNK_BYTES + 5000);
  bytes.set(randomBytes(random, 100), 9 * CHUNK_BYTES + 77);
  bytes[bytes.length - 1] = 1;
  return bytes;
}

async function cut(bytes: Uint8Array) {
  const chunks = new Map<ChunkHash, Uint8Array>();
  const file = await chunkBytes(bytes, {
    onChunk: async (hash, stored) => {
      expect(chunks.has(hash)).toBe(false);
      chunks.set(hash, stored);
    },
  });
  return { file, chunks };
}

describe("chunker", () => {
  test("the chunks and holes of the manifest are the disk again", async () => {
    const bytes = disk(1);
    const { file, chunks } = await cut(bytes);
    const manifest = valueOf(decodeManifest(file.manifestBytes));
    const again = new Uint8Array(manifest.sizeBytes);
    for (let index = 0; index < manifest.chunkCount; index++) {
      const chunk = chunkAt(manifest, index);
      if (!chunk) continue;
      const stored = chunks.get(chunk.hash)!;
      expect(sha256(stored)).toBe(chunk.hash);
      expect(stored.length).toBe(chunk.storedBytes);
      again.set(chunk.deflated ? inflateRawSync(stored) : stored, index * CHUNK_BYTES);
    }
    expect(Buffer.compare(again, bytes)).toBe(0);
    expect(file.sizeBytes).toBe(bytes.length);
    expect(file.storedBytes).toBe([...chunks.values()].reduce((sum, stored) => sum + stored.length, 0));
  });

  test("zeros are holes, noise is stored raw, equal chunks are stored once", async () => {
    const { file, chunks } = await cut(disk(2));
    const manifest = valueOf(decodeManifest(file.manifestBytes));
    const kinds = Array.from({ length: 12 }, (_, index) => {
      const chunk = chunkAt(manifest, index);
      return chunk ? (chunk.deflated ? "deflated" : "raw") : "hole";
    });
    expect(kinds.join(" ")).toBe(
      "hole raw hole deflated hole hole hole deflated hole deflated hole deflated",
    );
    expect(chunkAt(manifest, 3)?.hash).toBe(chunkAt(manifest, 7)?.hash);
    expect(chunks.size).toBe(4);
  });

  test("a file gives the manifest of its bytes, also where it is sparse, and every time", async () => {
    const bytes = disk(3);
    const path = join(directory, "disk.img");
    writeFileSync(path, bytes);
    const first = await chunkFile(path, { onChunk: async () => {} });
    truncateSync(path, bytes.length + 3 * CHUNK_BYTES);
    const longer = new Uint8Array(bytes.length + 3 * CHUNK_BYTES);
    longer.set(bytes);
    expect(first.manifest).toBe((await cut(bytes)).file.manifest);
    expect((await chunkFile(path, { onChunk: async () => {} })).manifest).toBe(
      (await cut(longer)).file.manifest,
    );
  });

  test("an empty file and one byte", async () => {
    expect((await cut(new Uint8Array(0))).file.sizeBytes).toBe(0);
    const { file, chunks } = await cut(Uint8Array.of(7));
    expect([file.sizeBytes, [...chunks.values()].map((chunk) => [...chunk])]).toEqual([1, [[7]]]);
  });

  test("a failing taker fails the cut", async () => {
    const refuse = async (): Promise<void> => {
      throw new Error("full");
    };
    await expect(chunkBytes(disk(4), { onChunk: refuse })).rejects.toThrow("full");
  });
});
