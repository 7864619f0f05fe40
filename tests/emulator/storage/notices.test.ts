import { expect, test } from "vitest";
import { fail, ok } from "#protocol/failure";
import type { StorageNotice } from "#protocol/storage-messages";
import { Fetcher } from "../../../emulator/storage/fetcher.ts";
import { Ledger } from "../../../emulator/storage/ledger.ts";
import { Notices } from "../../../emulator/storage/notices.ts";
import { ManualClock } from "../../support/manual-clock.ts";

function bench() {
  const clock = new ManualClock();
  const heard: StorageNotice[] = [];
  const notices = new Notices(clock, (notice) => heard.push(notice));
  const changed = (): void => notices.changed(fetcher, ledger);
  const ledger: Ledger = new Ledger(changed);
  const fetcher: Fetcher = new Fetcher(clock, changed);
  return { clock, heard, ledger, fetcher };
}

test("however much happens, counters and touches are told four times a second", async () => {
  const { clock, heard, ledger } = bench();
  for (let ms = 0; ms < 2000; ms++) {
    for (let count = 0; count < 5; count++) ledger.touch(0.5, "cached");
    ledger.chunkRead(true);
    await clock.advance(1);
  }
  const stats = heard.filter((notice) => notice.type === "stats");
  expect(stats).toHaveLength(8);
  expect(Math.max(...stats.map(({ touches }) => touches.length))).toBe(256);
  expect(stats.at(-1)?.stats).toMatchObject({ chunkReads: 2000, cacheHits: 2000 });
});

test("nothing is told when nothing happens", async () => {
  const { clock, heard, ledger } = bench();
  ledger.request();
  await clock.advance(60_000);
  expect(heard).toHaveLength(1);
});

test("trouble is told at once, once for each try, and so is its end", async () => {
  const { clock, heard, fetcher } = bench();
  clock.chance = 1 - Number.EPSILON;
  let isBack = false;
  void fetcher.want(
    {
      name: "a",
      run: async () => (isBack ? ok(new Uint8Array(1)) : fail({ code: "offline", what: "chunk" })),
    },
    "demand",
  );
  await clock.advance(1);
  const failure = { code: "offline", what: "chunk" };
  expect(heard).toEqual([{ type: "state", state: "offline", failure, retryInMs: 500 }]);
  await clock.advance(1600);
  expect(heard.slice(1)).toEqual([
    { type: "state", state: "offline", failure, retryInMs: 1000 },
    { type: "state", state: "offline", failure, retryInMs: 2000 },
  ]);
  isBack = true;
  await clock.advance(2001);
  expect(heard.at(-1)).toEqual({ type: "state", state: "idle" });
});

test("a short fetch between two looks is no state of its own", async () => {
  const { clock, heard, fetcher } = bench();
  for (let count = 0; count < 50; count++) {
    await fetcher.want({ name: `${count}`, run: async () => ok(new Uint8Array(1)) }, "demand");
    await clock.advance(10);
  }
  expect(heard).toEqual([]);
});
