import type { ChunkHash } from "#protocol/ids";
import { realClock } from "../../emulator/storage/clock.ts";
import type { FileHandle, Folder } from "../../emulator/storage/files.ts";
import { opfsRoot } from "../../emulator/storage/opfs-files.ts";
import { OverlayDisk } from "../../emulator/storage/overlay-disk.ts";
import { OverlayFolder } from "../../emulator/storage/overlay-folder.ts";
import { SegmentCache } from "../../emulator/storage/segment-cache.ts";
import { chunkStoreContract } from "./chunk-store-contract.ts";
import { valueOf } from "./outcome.ts";
import { ramDisk } from "./ram-disk.ts";
import { randomBytes, seededRandom } from "./seeded-random.ts";
import { WatchedFolder, tamperingWith } from "./segment-bytes.ts";

/**
 * Runs in the worker of a real browser: what only OPFS can show. The page sends the name of a job and its argument, and
 * gets its result or the sentence of what went wrong.
 */
const MiB = 2 ** 20;
const BLOCK = 4096;
const limits = { maxBytes: 64 * MiB, segmentBytes: 8 * MiB };
const chunk = (seed: number) => randomBytes(seededRandom(seed), 30_000);
const base = ramDisk(new Uint8Array(64 * BLOCK).fill(0xbb));
const identity = { base: "ab".repeat(32) as ChunkHash, sizeBytes: base.sizeBytes };

async function folderNamed(name: string): Promise<Folder> {
  return valueOf(await valueOf(await opfsRoot(realClock)).folder(name));
}
const openCache = async (name: string) => SegmentCache.open(await folderNamed(name), limits, realClock);

async function openDisk(name: string): Promise<OverlayDisk> {
  const store = valueOf(
    await OverlayFolder.open(await folderNamed(name), identity, async () => 0, 100 * BLOCK),
  );
  return new OverlayDisk(base, store);
}

/** Writes the same number into every word of all blocks, flushes, says so; then the next number, until it is killed. */
async function writeUntilKilled(name: string): Promise<never> {
  const disk = await openDisk(name);
  for (let round = 1; ; round++) {
    const bytes = new Uint8Array(new Uint32Array((8 * BLOCK) / 4).fill(round).buffer);
    for (let at = 0; at < base.sizeBytes; at += bytes.length) valueOf(await disk.write(at, bytes));
    valueOf(await disk.flush());
    postMessage({ flushed: round });
  }
}

/** The number that each block was last filled with; null for a block of several numbers. */
async function roundsOf(name: string): Promise<(number | null)[]> {
  const disk = await openDisk(name);
  const bytes = valueOf(await disk.read(0, base.sizeBytes));
  await disk.close();
  return Array.from({ length: base.sizeBytes / BLOCK }, (_, block) => {
    const words = new Uint32Array(bytes.slice(block * BLOCK, (block + 1) * BLOCK).buffer);
    return words.every((word) => word === words[0]) ? (words[0] ?? null) : null;
  });
}

const jobs: Record<string, (argument: string) => Promise<unknown>> = {
  async contract(name) {
    const folder = new WatchedFolder(await folderNamed(`contract ${name}`));
    const cache = valueOf(await SegmentCache.open(folder, limits, realClock));
    const segments = (): FileHandle[] =>
      [...folder.opened].filter(([name]) => name.startsWith("segment-")).map(([, file]) => file);
    await chunkStoreContract[name]!({ store: cache, ...tamperingWith(segments) });
    await cache.close();
  },
  async "keep chunks"(name) {
    const cache = valueOf(await openCache(name));
    for (let seed = 0; seed < 200; seed++) valueOf(await cache.put(chunk(seed)));
    return cache.bytes;
  },
  /** Answers how many of the chunks are there; a wrong one is an error. */
  async "count chunks"(name) {
    const cache = valueOf(await openCache(name));
    let count = 0;
    for (let seed = 0; seed < 200; seed++) {
      const put = await crypto.subtle.digest("SHA-256", chunk(seed));
      const hash = Array.from(new Uint8Array(put), (byte) => byte.toString(16).padStart(2, "0")).join("");
      if ((await cache.get(hash as ChunkHash)).ok) count++;
    }
    return count;
  },
  "try to open": async (name) => {
    const cache = await openCache(name);
    return cache.ok ? "opened" : cache.failure.code;
  },
  "write until killed": writeUntilKilled,
  "rounds of": roundsOf,
};

onmessage = async ({ data }: MessageEvent<{ job: string; argument: string }>) => {
  try {
    postMessage({ result: (await jobs[data.job]!(data.argument)) ?? null });
  } catch (error) {
    postMessage({ error: String(error) });
  }
};
