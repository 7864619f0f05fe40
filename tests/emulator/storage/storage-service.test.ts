import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { DiskDefinition } from "#protocol/machine-definition";
import { MemoryFolder } from "../../../emulator/storage/memory-files.ts";
import { SegmentCache } from "../../../emulator/storage/segment-cache.ts";
import { publishedImage, sampleDisk } from "../../support/disk-image.ts";
import { ImageServer } from "../../support/image-server.ts";
import { hastyClock } from "../../support/manual-clock.ts";
import { valueOf } from "../../support/outcome.ts";
import { segmentsHolding } from "../../support/segment-bytes.ts";
import { StorageRig, afterKill } from "../../support/storage-rig.ts";

const image = publishedImage(sampleDisk(11));
const source: DiskDefinition = { kind: "chunked", manifest: image.manifest, sizeBytes: image.bytes.length };
const block = (fill: number, length = 4096) => new Uint8Array(length).fill(fill);

const pathsOf = (indexes: readonly number[]) =>
  indexes.map((index) => `/api/chunks/${image.stored[index]!.hash}`);
const chunksAsked = () =>
  server.asked.map(({ path }) => path).filter((path) => path.startsWith("/api/chunks/"));

let server: ImageServer;
let rigs: StorageRig[] = [];
const rigOn = (files?: MemoryFolder | null) => {
  const rig = new StorageRig(server.origin, files);
  rigs.push(rig);
  return rig;
};
beforeEach(async () => {
  server = await ImageServer.start();
  server.publish(image);
});
afterEach(async () => {
  await Promise.all(rigs.map((rig) => rig.end()));
  rigs = [];
  await server.close();
});

describe("storage service", () => {
  test("a disk reads as the image that was published", async () => {
    const { notice, disk } = await rigOn().open("tiny", source);
    expect(notice).toEqual({
      type: "opened",
      disk: "tiny",
      sizeBytes: image.bytes.length,
      storedBytes: image.stored.reduce((sum, chunk) => sum + (chunk?.storedBytes ?? 0), 0),
      persistent: true,
      overlayBytes: 4096,
    });
    expect(valueOf(await disk.read(0, image.bytes.length))).toEqual(image.bytes);
    expect(valueOf(await disk.read(65536 - 512, 1024))).toEqual(image.bytes.slice(65536 - 512, 65536 + 512));
  });

  test("what was flushed survives the death of the tab", async () => {
    const files = new MemoryFolder();
    const first = await rigOn(files).open("tiny", source);
    await first.disk.write(8192, block(7));
    await first.disk.write(65536 * 3 + 512, block(8, 512));
    expect(await first.disk.flush()).toMatchObject({ ok: true });

    const second = await rigOn(afterKill(files)).open("tiny", source);
    const expected = image.bytes.slice();
    expected.set(block(7), 8192);
    expected.set(block(8, 512), 65536 * 3 + 512);
    expect(valueOf(await second.disk.read(0, expected.length))).toEqual(expected);
  });

  test("a second boot needs no network", async () => {
    const files = new MemoryFolder();
    const first = await rigOn(files).open("tiny", source);
    await first.disk.read(0, image.bytes.length);
    await rigs[0]!.end();
    server.mischief = () => ({ do: "hang-up" });
    const rig = rigOn(afterKill(files));
    const second = await rig.open("tiny", source);
    expect(valueOf(await second.disk.read(0, image.bytes.length))).toEqual(image.bytes);
    const { stats } = await rig.heard("stats", ({ stats }) => stats.chunkReads > 0);
    expect(stats).toMatchObject({ fetchedBytes: 0, cacheHits: stats.chunkReads });
  });

  test("a network that is cut pauses reads in words, and they go on when it returns", async () => {
    const rig = rigOn();
    const { disk } = await rig.open("tiny", source);
    server.mischief = () => ({ do: "hang-up" });
    const reading = disk.read(0, image.bytes.length);
    const notice = await rig.heard("state", ({ state }) => state === "offline");
    expect(notice).toMatchObject({ failure: { code: "offline" }, retryInMs: expect.any(Number) });
    server.mischief = () => undefined;
    expect(valueOf(await reading)).toEqual(image.bytes);
    expect((await rig.heard("state", ({ state }) => state === "idle")).failure).toBeUndefined();
  });

  test("a chunk that stays wrong pauses its reads with `corrupt` until a person retries", async () => {
    const rig = rigOn();
    const { disk } = await rig.open("tiny", source);
    server.mischief = ({ path }) =>
      path.startsWith("/api/chunks") ? { do: "replace", bytes: block(1, 3000) } : undefined;
    const reading = disk.read(0, 4096);
    await rig.heard("state", ({ state, retryInMs }) => state === "refetching" && retryInMs !== undefined);
    const paused = await rig.heard("state", ({ failure, retryInMs }) => !!failure && retryInMs === undefined);
    expect(paused).toMatchObject({ state: "refetching", failure: { code: "corrupt" } });
    server.mischief = () => undefined;
    await rig.command({ type: "retry" });
    expect(valueOf(await reading)).toEqual(image.bytes.slice(0, 4096));
  });

  test("changes belong to one base image: another is refused, never mixed", async () => {
    const files = new MemoryFolder();
    const first = await rigOn(files).open("tiny", source);
    await first.disk.write(0, block(9));
    await first.disk.flush();
    const other = publishedImage(sampleDisk(12));
    server.publish(other);
    const changed: DiskDefinition = { ...source, manifest: other.manifest };
    const rig = rigOn(afterKill(files));
    expect((await rig.open("tiny", changed)).notice).toMatchObject({
      type: "open-failed",
      failure: { code: "image-changed" },
    });
    await rig.command({ type: "reset-overlay", disk: "tiny" });
    expect(rig.of("overlay-reset")).toEqual([
      { type: "overlay-reset", disk: "tiny", outcome: { ok: true, value: null } },
    ]);
    const { disk } = await rig.open("tiny", changed);
    expect(valueOf(await disk.read(0, 4096))).toEqual(other.bytes.slice(0, 4096));
  });

  test("a disk that another tab uses is busy, and so is one that is open here", async () => {
    const files = new MemoryFolder();
    const rig = rigOn(files);
    await rig.open("tiny", source);
    const busy = { type: "open-failed", failure: { code: "disk-busy", disk: "tiny" } };
    expect((await rig.open("tiny", source)).notice).toMatchObject(busy);
    expect((await rigOn(files).open("tiny", source)).notice).toMatchObject(busy);
    await rig.command({ type: "reset-overlay", disk: "tiny" });
    expect(rig.of("overlay-reset")).toMatchObject([{ outcome: { failure: { code: "disk-busy" } } }]);
    await rig.command({ type: "close", disk: "tiny" });
    expect((await rig.open("tiny", source)).notice).toMatchObject({ type: "opened" });
  });

  test("without files on the device the changes last as long as the tab, and the page is told", async () => {
    const { notice, disk } = await rigOn(null).open("tiny", source);
    expect(notice).toMatchObject({ type: "opened", persistent: false });
    await disk.write(0, block(3));
    expect(valueOf(await disk.read(0, 4096))).toEqual(block(3));
  });

  test("an export is the disk as the guest sees it, open or not", async () => {
    const rig = rigOn();
    const { disk } = await rig.open("tiny/1", source);
    await disk.write(4096, block(5));
    const expected = image.bytes.slice();
    expected.set(block(5), 4096);
    expect(await rig.exported("tiny/1", source)).toEqual(expected);
    await disk.flush();
    await rig.command({ type: "close", disk: "tiny/1" });
    expect(await rig.exported("tiny/1", source)).toEqual(expected);
  });

  test("what an earlier boot touched is fetched before it is asked for", async () => {
    const stored = [10, 2, 8, 0, 6];
    const trace = new TextEncoder().encode(JSON.stringify({ version: 1, chunks: [...stored, 1, 99] }));
    server.objects.set(`/api/traces/${image.manifest}/shell`, trace);
    const rig = rigOn();
    const { disk } = await rig.open("tiny", source);
    const storedBytes = stored.reduce((sum, index) => sum + image.stored[index]!.storedBytes, 0);
    const { stats } = await rig.heard("stats", ({ stats }) => stats.prefetchedBytes === storedBytes);
    // Several are under way at once, so the server sees them in any order.
    expect(new Set(chunksAsked())).toEqual(new Set(pathsOf(stored)));
    expect(stats.fetchedBytes).toBe(storedBytes + image.manifestBytes.length);
    expect(valueOf(await disk.read(8 * 65536, 4096))).toEqual(image.bytes.slice(8 * 65536, 8 * 65536 + 4096));
    expect(chunksAsked()).toHaveLength(5);
    await rig.heard("stats", ({ stats }) => stats.chunkReads === 1);
    const touches = rig.of("stats").flatMap(({ touches }) => touches.map(({ kind }) => kind));
    expect(touches.filter((kind) => kind === "ahead")).toHaveLength(5);
  });

  test("the first touches of a boot guide the next one where nobody has published a trace", async () => {
    const files = new MemoryFolder();
    const first = rigOn(files);
    const { disk } = await first.open("tiny", source);
    for (const index of [7, 2, 10]) await disk.read(index * 65536, 512);
    await first.heard("stats", ({ stats }) => stats.chunkReads === 3);
    await new Promise((resolve) => {
      setTimeout(resolve, 80);
    });
    await first.end();
    const kept = afterKill(files);
    // Only the record of touches is left: the chunks were evicted.
    const hashes = new Set(image.chunks.keys());
    const cache = valueOf(await kept.folder("cache"));
    const opened = valueOf(
      await SegmentCache.open(cache, { maxBytes: 2 ** 28, segmentBytes: 2 ** 24 }, hastyClock(100)),
    );
    for (const hash of hashes) if (opened.has(hash)) segmentsHolding(cache).corrupt(hash);
    for (const hash of hashes) await opened.getChunk(hash);
    await opened.close();
    server.forget();
    await rigOn(kept).open("tiny", source);
    await rigs[1]!.heard("stats", ({ stats }) => stats.prefetchedBytes > 0 && stats.requests >= 3);
    await rigs[1]!.heard("state", ({ state }) => state === "idle");
    expect(new Set(chunksAsked())).toEqual(new Set(pathsOf([7, 2, 10])));
  });

  test("a boot file has no overlay and is fetched ahead of its reader", async () => {
    const rig = rigOn();
    const { notice, disk } = await rig.open("tiny/kernel", { ...source, sizeBytes: 0 }, false);
    expect(notice).toMatchObject({ type: "opened", sizeBytes: image.bytes.length });
    expect(await disk.write(0, block(1))).toMatchObject({ failure: { code: "unsupported" } });
    const { stats } = await rig.heard("stats", ({ stats }) => stats.prefetchedBytes > 0);
    expect(stats.fetchedBytes).toBeGreaterThanOrEqual(stats.prefetchedBytes);
    expect(valueOf(await disk.read(100, 70000))).toEqual(image.bytes.slice(100, 70100));
  });

  test.each([
    ["a manifest that is not there", { ...source, manifest: "0".repeat(64) }, { code: "not-found" }],
    ["another size than the definition's", { ...source, sizeBytes: 512 }, { code: "image-changed" }],
  ])("%s is a failure to open", async (_, definition, failure) => {
    const { notice } = await rigOn().open("tiny", definition as DiskDefinition);
    expect(notice).toMatchObject({ type: "open-failed", failure });
  });

  test("requests outside of the disk are refused", async () => {
    const { disk } = await rigOn().open("tiny", source);
    const outside = { ok: false, failure: { code: "out-of-range", sizeBytes: image.bytes.length } };
    expect(await disk.read(image.bytes.length - 512, 1024)).toEqual(outside);
    expect(await disk.read(-512, 512)).toEqual(outside);
    expect(await disk.write(image.bytes.length, block(1))).toEqual(outside);
    expect(await disk.discard(image.bytes.length, 512)).toEqual(outside);
    expect(await disk.read(0, Number.NaN)).toEqual(outside);
  });
});
