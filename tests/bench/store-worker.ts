import type { ChunkHash } from "#protocol/ids";
import { encodeManifest } from "#protocol/manifest";
import { BoundedMemory } from "../../emulator/storage/blob-cache.ts";
import { hashOf } from "../../emulator/storage/chunk-store.ts";
import { ChunkedImage } from "../../emulator/storage/chunked-image.ts";
import { realClock } from "../../emulator/storage/clock.ts";
import { Fetcher } from "../../emulator/storage/fetcher.ts";
import type { FileHandle, Folder } from "../../emulator/storage/files.ts";
import { Ledger } from "../../emulator/storage/ledger.ts";
import { MemoryChunkStore } from "../../emulator/storage/memory-chunk-store.ts";
import { opfsRoot } from "../../emulator/storage/opfs-files.ts";
import { OverlayDisk } from "../../emulator/storage/overlay-disk.ts";
import { OverlayFolder } from "../../emulator/storage/overlay-folder.ts";
import { SegmentCache } from "../../emulator/storage/segment-cache.ts";
import { StreamedDisk } from "../../emulator/storage/streamed-disk.ts";
import { valueOf } from "../support/outcome.ts";
import { ramDisk } from "../support/ram-disk.ts";
import { seededRandom } from "../support/seeded-random.ts";

/** Measures the store on the OPFS of a real browser, each figure beside the bare file system in the same run. */
type Bytes = Uint8Array<ArrayBuffer>;
export interface Figure {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
  readonly peer?: string;
  readonly ratio?: number;
}

const MiB = 2 ** 20;
const CHUNK = 262144;
const COUNT = 256;
const TOTAL_MB = (COUNT * CHUNK) / 1e6;
const ROUNDS = 3;
/** As many reads at once as a guest's driver keeps in flight. */
const IN_FLIGHT = 4;

/** Bytes that deflate to about a third, as programs do. */
function program(seed: number): Bytes {
  const random = seededRandom(seed);
  const words = new Uint32Array(CHUNK / 4);
  for (let at = 0; at < words.length; at++)
    words[at] = at % 3 === 0 ? Math.floor(random() * 2 ** 32) : at >> 4;
  return new Uint8Array(words.buffer);
}

async function deflated(bytes: Bytes): Promise<Bytes> {
  const stream = new Blob([bytes]).stream().pipeThrough(new CompressionStream("deflate-raw"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

async function median(work: () => Promise<unknown>): Promise<number> {
  const times: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const start = performance.now();
    await work();
    times.push((performance.now() - start) / 1000);
  }
  return times.sort((a, b) => a - b)[ROUNDS >> 1] ?? Number.NaN;
}

async function severalAtOnce(work: (index: number) => Promise<unknown>): Promise<void> {
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < COUNT) await work(next++);
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, worker));
}

const rates = { read: 0, write: 0 };
const against = (name: string, seconds: number, what: "read" | "write"): Figure => {
  const value = TOTAL_MB / seconds;
  return { name, value, unit: "MB/s", peer: `raw OPFS ${what}`, ratio: value / rates[what] };
};

async function measureRaw(file: FileHandle): Promise<Figure[]> {
  const buffer = program(0);
  const write = await median(async () => {
    file.truncate(0);
    for (let index = 0; index < COUNT; index++) file.write(buffer, index * CHUNK);
    file.flush();
  });
  const read = await median(async () => {
    for (let index = 0; index < COUNT; index++) file.read(new Uint8Array(CHUNK), index * CHUNK);
  });
  rates.read = TOTAL_MB / read;
  rates.write = TOTAL_MB / write;
  return [
    { name: "raw OPFS read, 256 KiB at a time", value: rates.read, unit: "MB/s" },
    { name: "raw OPFS write and flush", value: rates.write, unit: "MB/s" },
  ];
}

async function measureCache(folder: Folder): Promise<Figure[]> {
  const limits = { maxBytes: 512 * MiB, segmentBytes: 64 * MiB };
  const cache = valueOf(await SegmentCache.open(folder, limits, realClock));
  const raw = Array.from({ length: COUNT }, (_, index) => program(index));
  const hashes = await Promise.all(raw.map(hashOf));
  const startMs = performance.now();
  for (const [index, bytes] of raw.entries()) await cache.keep(hashes[index]!, hashes[index]!, bytes);
  const keep = (performance.now() - startMs) / 1000;
  const one = await median(async () => {
    for (const hash of hashes) valueOf(await cache.get(hash));
  });
  const several = await median(() =>
    severalAtOnce(async (index) => valueOf(await cache.get(hashes[index]!))),
  );

  const packed = await Promise.all(raw.map(deflated));
  const chunks = await Promise.all(
    packed.map(async (bytes) => ({ hash: await hashOf(bytes), storedBytes: bytes.length, deflated: true })),
  );
  for (const [index, bytes] of packed.entries())
    await cache.keep(chunks[index]!.hash, chunks[index]!.hash, bytes);
  const manifest = valueOf(encodeManifest({ chunkBytes: CHUNK, sizeBytes: COUNT * CHUNK, chunks }));
  const id = await hashOf(manifest);
  await cache.keep(id, id, manifest);
  const sources = { cache, fetcher: new Fetcher(realClock), ledger: new Ledger() };
  const origin = { chunks: new MemoryChunkStore(), manifests: new MemoryChunkStore() };
  const image = valueOf(await ChunkedImage.open(id, origin, sources));
  const fromDisk = (): ((index: number) => Promise<unknown>) => {
    const disk = new StreamedDisk(image, new BoundedMemory(8 * MiB), sources.ledger);
    return async (index) => valueOf(await disk.read(index * CHUNK, CHUNK));
  };
  const inflated = await median(() => severalAtOnce(fromDisk()));
  await cache.close();
  return [
    against("cache, keeping what was fetched", keep, "write"),
    against("cache read, verified by SHA-256, one at a time", one, "read"),
    against(`cache read, verified by SHA-256, ${IN_FLIGHT} at once`, several, "read"),
    against(`disk read, verified and inflated, ${IN_FLIGHT} at once`, inflated, "read"),
  ];
}

async function measureOverlay(folder: Folder): Promise<Figure[]> {
  const base = ramDisk(new Uint8Array(COUNT * CHUNK));
  const identity = { base: "00".repeat(32) as ChunkHash, sizeBytes: base.sizeBytes };
  const store = valueOf(await OverlayFolder.open(folder, identity, async () => 0, Infinity));
  const disk = new OverlayDisk(base, store);
  const bytes = program(1);
  const write = await median(async () => {
    for (let index = 0; index < COUNT; index++) valueOf(await disk.write(index * CHUNK, bytes));
    valueOf(await disk.flush());
  });
  const read = await median(async () => {
    for (let index = 0; index < COUNT; index++) valueOf(await disk.read(index * CHUNK, CHUNK));
  });
  const start = performance.now();
  const flushes = 100;
  for (let index = 0; index < flushes; index++) {
    valueOf(await disk.write((index % 50) * 4096, bytes.subarray(0, 4096)));
    valueOf(await disk.flush());
  }
  const flushMs = (performance.now() - start) / flushes;
  const opening = performance.now();
  await disk.close();
  await OverlayFolder.open(folder, identity);
  const replayedMB = (3 * COUNT * CHUNK) / 1e6;
  return [
    against("overlay write, one flush at the end", write, "write"),
    against("overlay read, checked by CRC-32", read, "read"),
    { name: "overlay, 4 KiB write and flush", value: flushMs, unit: "ms" },
    {
      name: "overlay replay at opening",
      value: (replayedMB / (performance.now() - opening)) * 1000,
      unit: "MB/s",
    },
  ];
}

async function measure(): Promise<Figure[]> {
  const root = valueOf(await opfsRoot(realClock));
  const folder = valueOf(await root.folder("bench"));
  const file = valueOf(await folder.open("raw"));
  const figures = await measureRaw(file);
  file.close();
  figures.push(...(await measureCache(valueOf(await root.folder("bench cache")))));
  figures.push(...(await measureOverlay(valueOf(await root.folder("bench overlay")))));
  return figures;
}

measure().then(
  (figures) => postMessage({ figures }),
  (error: unknown) => postMessage({ error: String(error) }),
);
