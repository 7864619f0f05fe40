import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll } from "vitest";
import type { ChunkHash } from "#protocol/ids";
import { HttpChunkStore } from "../../../emulator/storage/http-chunk-store.ts";
import { SILENCE_MS } from "../../../emulator/storage/http.ts";
import { MemoryChunkStore } from "../../../emulator/storage/memory-chunk-store.ts";
import { MemoryFolder } from "../../../emulator/storage/memory-files.ts";
import { DirectoryChunkStore } from "../../../emulator/storage/node-chunk-store.ts";
import { SegmentCache } from "../../../emulator/storage/segment-cache.ts";
import { chunkStoreSuite } from "../../support/chunk-store-suite.ts";
import { ImageServer } from "../../support/image-server.ts";
import { ManualClock } from "../../support/manual-clock.ts";
import { valueOf } from "../../support/outcome.ts";
import { segmentsHolding } from "../../support/segment-bytes.ts";

type Objects = Map<string, Uint8Array<ArrayBuffer>>;

/** Corruption of stores that keep their bytes in a map. */
const tamperings = (objects: Objects, key: (hash: ChunkHash) => string) => ({
  corrupt(hash: ChunkHash) {
    const bytes = objects.get(key(hash))?.slice() ?? new Uint8Array();
    bytes[bytes.length >> 1]! ^= 1;
    objects.set(key(hash), bytes);
  },
  swap(one: ChunkHash, other: ChunkHash) {
    const [a, b] = [objects.get(key(one))!, objects.get(key(other))!];
    objects.set(key(one), b).set(key(other), a);
  },
});

chunkStoreSuite("memory", async () => {
  const store = new MemoryChunkStore();
  return { store, ...tamperings(store.chunks, (hash) => hash) };
});

const servers: ImageServer[] = [];
const folders: string[] = [];
afterAll(async () => {
  await Promise.all(servers.map((server) => server.close()));
  for (const folder of folders) rmSync(folder, { recursive: true });
});

chunkStoreSuite("HTTP", async () => {
  const server = await ImageServer.start();
  servers.push(server);
  const network = { fetch, clock: new ManualClock(), origin: server.origin, silenceMs: SILENCE_MS };
  const store = new HttpChunkStore(network);
  return { store, ...tamperings(server.objects, (hash) => `/api/chunks/${hash}`) };
});

chunkStoreSuite("a folder of Node", async () => {
  const folder = mkdtempSync(join(tmpdir(), "virga-chunks-"));
  folders.push(folder);
  const store = new DirectoryChunkStore(folder);
  return {
    store,
    corrupt(hash) {
      const bytes = readFileSync(store.fileOf(hash));
      bytes[bytes.length >> 1]! ^= 1;
      writeFileSync(store.fileOf(hash), bytes);
    },
    swap(one, other) {
      const [a, b] = [readFileSync(store.fileOf(one)), readFileSync(store.fileOf(other))];
      writeFileSync(store.fileOf(one), b);
      writeFileSync(store.fileOf(other), a);
    },
  };
});

chunkStoreSuite("segment cache", async () => {
  const folder = new MemoryFolder();
  const limits = { maxBytes: 64 * 2 ** 20, segmentBytes: 2 ** 20 };
  const store = valueOf(await SegmentCache.open(folder, limits, new ManualClock()));
  return { store, ...segmentsHolding(folder) };
});
