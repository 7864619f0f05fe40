import { describe, expect, test } from "vitest";
import type { ChunkHash } from "#protocol/ids";
import type { BlockDevice } from "../../../emulator/storage/block-device.ts";
import { OverlayDisk } from "../../../emulator/storage/overlay-disk.ts";
import { OverlayFolder } from "../../../emulator/storage/overlay-folder.ts";
import { CrashFolder } from "../../support/crash-files.ts";
import { ramDisk } from "../../support/ram-disk.ts";
import { valueOf } from "../../support/outcome.ts";
import { seededRandom } from "../../support/seeded-random.ts";

const BLOCK = 4096;
const BLOCKS = 12;
const SIZE = BLOCKS * BLOCK - 1536;
const base = ramDisk(Uint8Array.from({ length: SIZE }, (_, at) => 1 + (Math.floor(at / 512) % 200)));
const identity = { base: "ab".repeat(32) as ChunkHash, sizeBytes: SIZE };

/** What a disk was, after each of its changes. */
class Ledger {
  /** states[i] is the disk after i changes; a change is one block, as that is what the overlay promises. */
  readonly states: Uint8Array[] = [base.bytes.slice()];
  /** The last state that a flush acknowledged. */
  acknowledged = 0;

  get now(): Uint8Array {
    return this.states.at(-1)!;
  }

  change(offset: number, bytes: Uint8Array): void {
    for (let at = offset; at < offset + bytes.length;) {
      const end = Math.min(offset + bytes.length, (Math.floor(at / BLOCK) + 1) * BLOCK);
      const next = this.now.slice();
      next.set(bytes.subarray(at - offset, end - offset), at);
      this.states.push(next);
      at = end;
    }
  }

  /** The number of the newest state that equals this disk, and is no older than what was acknowledged; -1 if none. */
  find(disk: Uint8Array): number {
    for (let at = this.states.length - 1; at >= this.acknowledged; at--)
      if (Buffer.compare(this.states[at]!, disk) === 0) return at;
    return -1;
  }
}

async function openDisk(folder: CrashFolder): Promise<BlockDevice> {
  const store = valueOf(await OverlayFolder.open(folder, identity, async () => 0, 8 * BLOCK));
  return new OverlayDisk(base, store);
}

/** A guest's work: whole and part blocks, zeros, discards, flushes; enough rewriting for a compaction or two. */
async function work(disk: BlockDevice, ledger: Ledger, random: () => number): Promise<void> {
  const below = (bound: number) => Math.floor(random() * bound);
  for (let turn = 0; turn < 26; turn++) {
    const sector = below(SIZE / 512);
    const wholeBlocks = random() < 0.6;
    const offset = wholeBlocks ? Math.floor(sector / 8) * BLOCK : sector * 512;
    const length = Math.min(SIZE - offset, wholeBlocks ? BLOCK * (1 + below(3)) : 512 * (1 + below(12)));
    const kind = below(8);
    const bytes = new Uint8Array(length).fill(kind < 2 ? 0 : 1 + below(255));
    ledger.change(offset, bytes);
    const done = kind === 0 ? await disk.discard(offset, length) : await disk.write(offset, bytes);
    if (!done.ok) return;
    if (below(3) > 0) continue;
    const states = ledger.states.length - 1;
    const flushed = await disk.flush();
    if (!flushed.ok) return;
    ledger.acknowledged = states;
  }
}

/** Counts the steps of a whole run, so that every one of them is cut once. */
async function stepsOf(seed: number): Promise<number> {
  const folder = new CrashFolder();
  await work(await openDisk(folder), new Ledger(), seededRandom(seed));
  expect(await folder.list(), "the work is enough for a compaction").not.toContain("log-1");
  return folder.steps;
}

/** Runs until the power goes; answers what is on the device then. */
async function untilCut(folder: CrashFolder, ledger: Ledger, cutAt: number, random: () => number) {
  folder.cutAt = cutAt;
  const opened = await openDisk(folder).catch(() => null);
  if (opened) await work(opened, ledger, random);
  return folder.afterCrash(random);
}

describe("overlay: power cuts", () => {
  const seeds = [1, 2, 3];
  test.each(seeds)(
    "after a cut at any step the disk is one that it was, no older than its last flush (seed %i)",
    async (seed) => {
      const steps = await stepsOf(seed);
      expect(steps).toBeGreaterThan(40);
      for (let cutAt = 1; cutAt <= steps; cutAt++) {
        const random = seededRandom(seed);
        const ledger = new Ledger();
        const survivors = await untilCut(new CrashFolder(), ledger, cutAt, random);
        const found = valueOf(await (await openDisk(survivors)).read(0, SIZE));
        const state = ledger.find(found);
        expect(state, `seed ${seed}, cut at step ${cutAt}: a state of the disk`).toBeGreaterThanOrEqual(0);
      }
    },
  );

  test.each(seeds)(
    "a second cut while working on what the first one left is no worse (seed %i)",
    async (seed) => {
      const steps = await stepsOf(seed);
      for (let cutAt = 1; cutAt <= steps; cutAt += 2) {
        const random = seededRandom(seed * 1000 + cutAt);
        const first = new Ledger();
        const survivors = await untilCut(new CrashFolder(), first, cutAt, random);
        const reopened = await openDisk(survivors);
        const ledger = new Ledger();
        ledger.states[0] = valueOf(await reopened.read(0, SIZE)).slice();
        // What recovery found was not acknowledged by this run: only what it wrote and flushed from here on is.
        survivors.cutAt = survivors.steps + 1 + Math.floor(random() * steps);
        await work(reopened, ledger, random);
        const again = survivors.afterCrash(random);
        const found = valueOf(await (await openDisk(again)).read(0, SIZE));
        expect(
          ledger.find(found),
          `seed ${seed}, first cut at ${cutAt}, second at ${survivors.cutAt}`,
        ).toBeGreaterThanOrEqual(0);
      }
    },
  );

  test("the harness sees a disk that forgets: a state before the last flush is not accepted", async () => {
    const ledger = new Ledger();
    ledger.change(0, new Uint8Array(BLOCK).fill(9));
    ledger.acknowledged = 1;
    expect(ledger.find(base.bytes)).toBe(-1);
  });
});

describe("overlay: a device that refuses", () => {
  const full = new DOMException("The quota has been exceeded.", "QuotaExceededError");
  const broken = new DOMException("The device does not answer.", "InvalidStateError");

  test.each([
    ["is full", full, "storage-full"],
    ["breaks", broken, "storage-unavailable"],
  ])(
    "one step that %s at any time fails in words, and what was acknowledged stays",
    async (_, error, code) => {
      const seed = 4;
      const steps = await stepsOf(seed);
      for (let step = 1; step <= steps; step++) {
        const folder = new CrashFolder();
        folder.refuseAt = { step, error };
        const ledger = new Ledger();
        const random = seededRandom(seed);
        const opened = await OverlayFolder.open(folder, identity, async () => 0, 8 * BLOCK);
        if (!opened.ok) {
          expect(opened.failure.code).toBe(code);
          continue;
        }
        await work(new OverlayDisk(base, opened.value), ledger, random);
        const found = valueOf(await (await openDisk(folder.afterCrash(() => 1))).read(0, SIZE));
        expect(ledger.find(found), `refused at step ${step}`).toBeGreaterThanOrEqual(0);
      }
    },
  );

  test("after a flush that failed nothing is acknowledged any more", async () => {
    const folder = new CrashFolder();
    const disk = await openDisk(folder);
    await disk.write(0, new Uint8Array(BLOCK).fill(1));
    folder.refuseAt = { step: folder.steps + 1, error: broken };
    expect(await disk.flush()).toMatchObject({ failure: { code: "storage-unavailable" } });
    expect(await disk.flush()).toMatchObject({ failure: { code: "storage-unavailable" } });
    expect(await disk.write(0, new Uint8Array(BLOCK))).toMatchObject({ ok: false });
  });

  test("a full device asks others for room and writes again", async () => {
    const folder = new CrashFolder();
    let asked = 0;
    const store = valueOf(await OverlayFolder.open(folder, identity, async (bytes) => (asked = bytes)));
    const disk = new OverlayDisk(base, store);
    folder.refuseAt = { step: folder.steps + 1, last: folder.steps + 2, error: full };
    expect((await disk.write(BLOCK, new Uint8Array(BLOCK).fill(6))).ok).toBe(true);
    expect(asked).toBeGreaterThanOrEqual(BLOCK);
    expect(valueOf(await disk.read(BLOCK, BLOCK))).toEqual(new Uint8Array(BLOCK).fill(6));
  });
});
