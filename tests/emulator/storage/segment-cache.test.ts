import { describe, expect, test } from "vitest";
import type { Folder } from "../../../emulator/storage/files.ts";
import { MemoryFolder } from "../../../emulator/storage/memory-files.ts";
import { SegmentCache } from "../../../emulator/storage/segment-cache.ts";
import { CrashFolder } from "../../support/crash-files.ts";
import { sha256 } from "../../support/disk-image.ts";
import { ManualClock } from "../../support/manual-clock.ts";
import { valueOf } from "../../support/outcome.ts";
import { randomBytes, seededRandom } from "../../support/seeded-random.ts";
import { segmentsHolding } from "../../support/segment-bytes.ts";
import { afterKill } from "../../support/storage-rig.ts";

const KiB = 1024;
const limits = { maxBytes: 400 * KiB, segmentBytes: 100 * KiB };
const chunk = (seed: number, length = 20 * KiB) => randomBytes(seededRandom(seed), length);
const chunks = (count: number) => Array.from({ length: count }, (_, index) => chunk(index));

const open = async (folder: Folder, clock = new ManualClock()) =>
  valueOf(await SegmentCache.open(folder, limits, clock));

describe("segment cache", () => {
  test("what was kept is there after the tab was killed, without any index", async () => {
    const folder = new MemoryFolder();
    const cache = await open(folder);
    for (const bytes of chunks(12)) await cache.put(bytes);
    const again = await open(afterKill(folder));
    for (const bytes of chunks(12)) expect(valueOf(await again.get(sha256(bytes)))).toEqual(bytes);
    expect(again.bytes).toBe(cache.bytes);
  });

  test("files stay few, and under the bound; what was used least goes first, by segment", async () => {
    const folder = new MemoryFolder();
    const clock = new ManualClock();
    const cache = await open(folder, clock);
    for (const bytes of chunks(8)) await cache.put(bytes);
    for (let seed = 8; seed < 40; seed++) {
      await clock.advance(1000);
      // The first segment is used all the time.
      expect((await cache.get(sha256(chunk(0)))).ok, `chunk 0 while ${seed} is kept`).toBe(true);
      await cache.put(chunk(seed));
      expect(cache.bytes).toBeLessThanOrEqual(limits.maxBytes);
      expect(folder.files.size).toBeLessThanOrEqual(6);
    }
    expect(cache.has(sha256(chunk(6)))).toBe(false);
    expect((await cache.get(sha256(chunk(39)))).ok).toBe(true);
  });

  test("the order of use outlives the tab", async () => {
    const folder = new MemoryFolder();
    const clock = new ManualClock();
    const cache = await open(folder, clock);
    for (const bytes of chunks(12)) await cache.put(bytes);
    await clock.advance(120_000);
    await cache.get(sha256(chunk(0)));
    const again = await open(afterKill(folder), clock);
    for (let seed = 100; seed < 108; seed++) await again.put(chunk(seed));
    expect((await again.get(sha256(chunk(0)))).ok).toBe(true);
    expect(again.has(sha256(chunk(6)))).toBe(false);
  });

  test("damaged bytes are found once, buried, and kept anew", async () => {
    const folder = new MemoryFolder();
    const cache = await open(folder);
    const hash = valueOf(await cache.put(chunk(1)));
    segmentsHolding(folder).corrupt(hash);
    expect(await cache.get(hash)).toMatchObject({ failure: { code: "corrupt" } });
    expect(await cache.get(hash)).toMatchObject({ failure: { code: "not-found" } });
    expect((await open(afterKill(folder))).has(hash)).toBe(false);
    await cache.put(chunk(1));
    expect(valueOf(await cache.get(hash))).toEqual(chunk(1));
    expect(valueOf(await (await open(afterKill(folder))).get(hash))).toEqual(chunk(1));
  });

  test("bytes kept under a name are verified against their own hash, and the last ones count", async () => {
    const folder = new MemoryFolder();
    const cache = await open(folder);
    const name = sha256(new TextEncoder().encode("a name"));
    await cache.keep(name, sha256(chunk(1)), chunk(1));
    await cache.keep(name, sha256(chunk(2)), chunk(2));
    expect(valueOf(await cache.getNamed(name))).toEqual(chunk(2));
    expect(valueOf(await (await open(afterKill(folder))).getNamed(name))).toEqual(chunk(2));
    expect(await cache.getChunk(name)).toMatchObject({ failure: { code: "corrupt" } });
  });

  test("a record under the name of another chunk is never that chunk", async () => {
    const cache = await open(new MemoryFolder());
    await cache.keep(sha256(chunk(1)), sha256(chunk(2)), chunk(2));
    expect(await cache.getChunk(sha256(chunk(1)))).toMatchObject({ failure: { code: "corrupt" } });
  });

  test("one owner at a time", async () => {
    const folder = new MemoryFolder();
    const cache = await open(folder);
    expect(await SegmentCache.open(folder, limits, new ManualClock())).toMatchObject({
      failure: { code: "disk-busy" },
    });
    await cache.close();
    expect((await SegmentCache.open(folder, limits, new ManualClock())).ok).toBe(true);
  });

  test("what was closed keeps nothing: another owner may be there", async () => {
    const folder = new MemoryFolder();
    const cache = await open(folder);
    await cache.put(chunk(1));
    await cache.close();
    const next = await open(folder);
    expect((await cache.put(chunk(2))).ok).toBe(false);
    expect(valueOf(await next.get(sha256(chunk(1))))).toEqual(chunk(1));
  });

  test("files that are no segments are removed, other lengths of a segment are read as far as they go", async () => {
    const folder = new MemoryFolder();
    const cache = await open(folder);
    for (const bytes of chunks(3)) await cache.put(bytes);
    const segment = folder.files.get("segment-1")!;
    const size = segment.sizeBytes;
    for (const cut of [size - 1, size - 20 * KiB - 50, 70, 64, 10, 0]) {
      const damaged = afterKill(folder);
      damaged.files.get("segment-1")!.truncate(Math.min(cut, size));
      const again = await open(damaged);
      for (const bytes of chunks(3)) {
        const found = await again.get(sha256(bytes));
        expect(found.ok ? found.value : bytes, `cut at ${cut}`).toEqual(bytes);
      }
      await again.put(chunk(50));
      expect(valueOf(await (await open(afterKill(damaged))).get(sha256(chunk(50))))).toEqual(chunk(50));
    }
  });

  test("a full device makes it evict, and when nothing is left, go without", async () => {
    const full = new DOMException("The quota has been exceeded.", "QuotaExceededError");
    const folder = new CrashFolder();
    const cache = await open(folder);
    for (const bytes of chunks(8)) await cache.put(bytes);
    folder.refuseAt = { step: folder.steps + 1, error: full };
    expect((await cache.put(chunk(60))).ok).toBe(true);
    expect(cache.has(sha256(chunk(0)))).toBe(false);
    folder.refuseAt = { step: folder.steps + 1, last: Infinity, error: full };
    expect(await cache.put(chunk(61))).toMatchObject({ failure: { code: "storage-full" } });
    expect(await cache.get(sha256(chunk(61)))).toMatchObject({ failure: { code: "not-found" } });
    expect(await cache.put(chunk(62))).toMatchObject({ failure: { code: "storage-full" } });
  });

  test("room is made for others", async () => {
    const cache = await open(new MemoryFolder());
    for (const bytes of chunks(12)) await cache.put(bytes);
    const before = cache.bytes;
    expect(await cache.makeRoom(100 * KiB)).toBe(before - cache.bytes);
    expect(before - cache.bytes).toBeGreaterThanOrEqual(100 * KiB);
  });

  test("after a power cut at any step every answer is right or absent", async () => {
    const seed = 7;
    const small = Array.from({ length: 24 }, (_, index) => chunk(index, 2 * KiB + index));
    const limits = { maxBytes: 40 * KiB, segmentBytes: 10 * KiB };
    const open = async (folder: Folder) =>
      valueOf(await SegmentCache.open(folder, limits, new ManualClock()));
    const work = async (cache: SegmentCache) => {
      for (const bytes of small) await cache.put(bytes);
    };
    const rehearsal = new CrashFolder();
    await work(await open(rehearsal));
    for (let cutAt = 1; cutAt <= rehearsal.steps; cutAt++) {
      const folder = new CrashFolder();
      folder.cutAt = cutAt;
      const opened = await SegmentCache.open(folder, limits, new ManualClock()).catch(() => null);
      if (opened?.ok) await work(opened.value).catch(() => {});
      const again = await open(folder.afterCrash(seededRandom(seed * cutAt)));
      for (const bytes of small) {
        const found = await again.get(sha256(bytes));
        expect(found.ok ? found.value : bytes, `seed ${seed}, cut at ${cutAt}`).toEqual(bytes);
      }
      expect((await again.put(chunk(99))).ok).toBe(true);
      expect(valueOf(await again.get(sha256(chunk(99))))).toEqual(chunk(99));
    }
  });
});
