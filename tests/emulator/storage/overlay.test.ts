import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { ChunkHash } from "#protocol/ids";
import type { BlockDevice } from "../../../emulator/storage/block-device.ts";
import { MemoryFolder } from "../../../emulator/storage/memory-files.ts";
import { OverlayDisk } from "../../../emulator/storage/overlay-disk.ts";
import { OverlayFolder, resetOverlay } from "../../../emulator/storage/overlay-folder.ts";
import { valueOf } from "../../support/outcome.ts";
import { ramDisk } from "../../support/ram-disk.ts";
import { afterKill } from "../../support/storage-rig.ts";

const BLOCK = 4096;
const RECORD = BLOCK + 32;
const SIZE = 20 * BLOCK + 512;
const base = ramDisk(Uint8Array.from({ length: SIZE }, (_, at) => 1 + (at % 251)));
const identity = { base: "cd".repeat(32) as ChunkHash, sizeBytes: SIZE };
const filled = (fill: number, length = BLOCK) => new Uint8Array(length).fill(fill);

const openStore = async (folder: MemoryFolder, minGarbageBytes?: number) =>
  valueOf(await OverlayFolder.open(folder, identity, async () => 0, minGarbageBytes));
const openDisk = async (folder: MemoryFolder, below: BlockDevice = base) =>
  new OverlayDisk(below, await openStore(folder));
const fileOf = (folder: MemoryFolder) => [...folder.files.values()][0]!;

describe("overlay disk", () => {
  test("any work reads back like a plain array of bytes, now and after a reopening", async () => {
    const sector = fc.nat({ max: SIZE / 512 - 1 });
    const work = fc.array(
      fc.record({
        kind: fc.constantFrom("write", "write", "zero", "discard", "reopen"),
        sector,
        sectors: fc.integer({ min: 1, max: 40 }),
        fill: fc.integer({ min: 1, max: 255 }),
      }),
      { maxLength: 30 },
    );
    await fc.assert(
      fc.asyncProperty(work, async (steps) => {
        let folder = new MemoryFolder();
        let disk = await openDisk(folder);
        const expected = base.bytes.slice();
        for (const { kind, sector, sectors, fill } of steps) {
          const offset = sector * 512;
          const length = Math.min(SIZE - offset, sectors * 512);
          if (kind === "reopen") {
            valueOf(await disk.flush());
            folder = afterKill(folder);
            disk = await openDisk(folder);
          } else if (kind === "discard") {
            valueOf(await disk.discard(offset, length));
            expected.fill(0, offset, offset + length);
          } else {
            const bytes = filled(kind === "zero" ? 0 : fill, length);
            valueOf(await disk.write(offset, bytes));
            expected.set(bytes, offset);
          }
          expect(valueOf(await disk.read(offset, length))).toEqual(expected.slice(offset, offset + length));
        }
        expect(valueOf(await disk.read(0, SIZE))).toEqual(expected);
      }),
      { numRuns: 60 },
    );
  });

  test("writes that are not awaited keep their order, and reads and flushes after them see them", async () => {
    const disk = await openDisk(new MemoryFolder());
    void disk.write(512, filled(1, 512));
    void disk.write(0, filled(2));
    void disk.write(1024, filled(3, 512));
    const flushed = disk.flush();
    const bytes = valueOf(await disk.read(0, BLOCK));
    expect([bytes[0], bytes[512], bytes[1024], bytes[1536]]).toEqual([2, 2, 3, 2]);
    expect((await flushed).ok).toBe(true);
  });

  test("a write that waits for its base block holds up no read of another place", async () => {
    const gate = Promise.withResolvers<void>();
    const slow: BlockDevice = {
      ...base,
      read: async (offset, length) => {
        if (offset < BLOCK) await gate.promise;
        return base.read(offset, length);
      },
    };
    const disk = await openDisk(new MemoryFolder(), slow);
    const writing = disk.write(512, filled(9, 512));
    expect(valueOf(await disk.read(2 * BLOCK, 512))).toEqual(base.bytes.slice(2 * BLOCK, 2 * BLOCK + 512));
    gate.resolve();
    expect((await writing).ok).toBe(true);
  });

  test("a base block that cannot be had fails the write of a part of it, and leaves it as it was", async () => {
    const offline: BlockDevice = {
      ...base,
      read: async () => ({ ok: false, failure: { code: "offline", what: "chunk" } }),
    };
    const disk = await openDisk(new MemoryFolder(), offline);
    expect(await disk.write(512, filled(1, 512))).toMatchObject({ failure: { code: "offline" } });
    expect(await disk.read(0, 512)).toMatchObject({ failure: { code: "offline" } });
    expect((await disk.write(0, filled(1))).ok).toBe(true);
    expect(valueOf(await disk.read(0, 512))).toEqual(filled(1, 512));
  });

  test("zeros take no room, and discarding what is zeros anyway takes none at all", async () => {
    const store = await openStore(new MemoryFolder());
    const disk = new OverlayDisk(base, store, (block) => block >= 8);
    await disk.write(0, filled(0, 8 * BLOCK));
    expect(store.log.fileBytes).toBe(4096 + 32);
    await disk.discard(8 * BLOCK, 8 * BLOCK);
    expect(store.log.fileBytes).toBe(4096 + 32);
    await disk.write(8 * BLOCK, filled(1));
    await disk.discard(8 * BLOCK, 8 * BLOCK);
    expect(store.log.fileBytes).toBe(4096 + 32 + RECORD + 32);
  });

  test("garbage is collected when there is more of it than live blocks", async () => {
    const folder = new MemoryFolder();
    const store = await openStore(folder, 4 * RECORD);
    const disk = new OverlayDisk(base, store);
    for (let fill = 1; fill <= 12; fill++) await disk.write(0, filled(fill, 2 * BLOCK));
    await disk.flush();
    await disk.write(5 * BLOCK, filled(5));
    expect(store.log.generation).toBe(2);
    expect(store.log.fileBytes).toBe(4096 + 3 * RECORD);
    expect([...folder.files.keys()]).toEqual(["log-2"]);
    expect(valueOf(await disk.read(0, BLOCK))).toEqual(filled(12));
    await disk.flush();
    const again = await openDisk(afterKill(folder));
    expect(valueOf(await again.read(5 * BLOCK, BLOCK))).toEqual(filled(5));
  });
});

describe("overlay log", () => {
  async function writtenLog(): Promise<MemoryFolder> {
    const folder = new MemoryFolder();
    const disk = await openDisk(folder);
    for (let block = 0; block < 4; block++) {
      await disk.write(block * BLOCK, filled(block + 1));
      await disk.flush();
    }
    return afterKill(folder);
  }

  test("a log that lost what was flushed is a failure, not an older disk", async () => {
    const folder = await writtenLog();
    fileOf(folder).truncate(4096 + RECORD);
    expect(await OverlayFolder.open(folder, identity)).toMatchObject({ failure: { code: "corrupt" } });
  });

  test("a block damaged on the device is a failure to read, not a wrong answer", async () => {
    const folder = await writtenLog();
    const disk = await openDisk(folder);
    fileOf(folder).write(filled(99, 1), 4096 + RECORD + 32 + 100);
    expect(await disk.read(BLOCK, 512)).toMatchObject({ failure: { code: "corrupt" } });
    expect(valueOf(await disk.read(0, 512))).toEqual(filled(1, 512));
  });

  test("a damaged header is a failure, not an empty overlay", async () => {
    const folder = await writtenLog();
    fileOf(folder).write(filled(1, 1), 20);
    expect(await OverlayFolder.open(folder, identity)).toMatchObject({ failure: { code: "corrupt" } });
  });

  test.each([
    ["another base", { ...identity, base: "ee".repeat(32) as ChunkHash }],
    ["another size", { ...identity, sizeBytes: SIZE - 512 }],
  ])("changes to %s are refused", async (_, other) => {
    expect(await OverlayFolder.open(await writtenLog(), other)).toMatchObject({
      failure: { code: "image-changed" },
    });
  });

  test("records that a cut left behind never join the chain again", async () => {
    const folder = await writtenLog();
    const file = fileOf(folder);
    // The third record is torn, the fourth whole; both come back although reopening had cut them off.
    const tail = new Uint8Array(2 * RECORD);
    file.read(tail, 4096 + 2 * RECORD);
    const clean = new MemoryFolder();
    const disk = await openDisk(clean);
    await disk.write(0, filled(1));
    await disk.write(BLOCK, filled(2));
    await disk.write(2 * BLOCK, filled(77));
    await disk.flush();
    fileOf(clean).write(tail.subarray(RECORD), 4096 + 3 * RECORD);
    const reopened = await openDisk(afterKill(clean));
    expect(valueOf(await reopened.read(2 * BLOCK, BLOCK))).toEqual(filled(77));
    expect(valueOf(await reopened.read(3 * BLOCK, BLOCK))).toEqual(base.bytes.slice(3 * BLOCK, 4 * BLOCK));
  });

  test("arbitrary bytes after the header never throw and are never part of the disk", async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 9000 }), async (noise) => {
        const folder = new MemoryFolder();
        await openDisk(folder);
        fileOf(folder).write(noise, 4096);
        const disk = await openDisk(afterKill(folder));
        expect(valueOf(await disk.read(0, SIZE))).toEqual(base.bytes);
      }),
      { numRuns: 50 },
    );
  });

  test("a reset forgets everything", async () => {
    const folder = await writtenLog();
    expect(valueOf(await resetOverlay(folder))).toBeNull();
    expect(folder.files.size).toBe(0);
    expect(valueOf(await (await openDisk(folder)).read(0, SIZE))).toEqual(base.bytes);
  });
});
