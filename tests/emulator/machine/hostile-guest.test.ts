import { expect, test } from "vitest";
import { GuestMemory } from "../../../emulator/bus/guest-memory.ts";
import { Timers } from "../../../emulator/bus/timers.ts";
import type { Disk } from "../../../emulator/devices/virtio/blk.ts";
import { MAX_HEIGHT, MAX_WIDTH } from "../../../emulator/devices/vga/dispi.ts";
import { Board } from "../../../emulator/machine/board.ts";
import { ScreenWatch } from "../../../emulator/machine/screen-watch.ts";
import { PlainVideo } from "../../support/plain-video.ts";
import { seededRandom } from "../../support/seeded-random.ts";

const RAM_BYTES = 1 << 20;
const BAR = 0xfe00_0000;

/** Places where something answers; the rest of both spaces is tried now and then. */
const PORTS = [
  0x20, 0x21, 0xa0, 0xa1, 0x4d0, 0x40, 0x43, 0x60, 0x61, 0x64, 0x70, 0x71, 0x92, 0x1ce, 0x1cf, 0x3c0, 0x3c4,
  0x3c5, 0x3c8, 0x3c9, 0x3ce, 0x3cf, 0x3d4, 0x3d5, 0x3da, 0x3f8, 0x3f9, 0x3fb, 0x510, 0x514, 0x518, 0x600,
  0x604, 0x608, 0xcf8, 0xcf9, 0xcfc,
];
const MMIO = [
  0xa_0000,
  0xfcff_f400,
  0xfcff_f500,
  0xfd00_0000,
  0xfec0_0000,
  0xfec0_0010,
  0xfed0_0000,
  0xfed0_0100,
  0xfee0_0000,
  0xfee0_0300,
  0xfee0_0380,
  BAR,
  BAR + 0x1000,
  BAR + 0x2000,
  BAR + 0x3000,
  BAR + 0x4000,
  BAR + 0x1_0000,
  BAR + 0x1_1000,
  BAR + 0x2_0000,
  BAR + 0x2_1000,
];

function board(random: () => number) {
  let now = 0;
  const counts = { resets: 0, offs: 0, requests: 0 };
  const disk: Disk = {
    sizeBytes: 1 << 20,
    readOnly: false,
    read: async (_offset, length) => (counts.requests++, new Uint8Array(length)),
    write: async () => void counts.requests++,
    flush: async () => void counts.requests++,
    discard: async () => void counts.requests++,
  };
  const ram = new Uint8Array(RAM_BYTES);
  const video = new PlainVideo();
  const timers = new Timers();
  const it = new Board({
    memory: new GuestMemory({
      ram,
      onWrite: (address, length) => expect(address >= 0 && address + length <= RAM_BYTES).toBe(true),
    }),
    video,
    timers,
    now: () => now,
    random32: random,
    wallClockMs: 1.7e12,
    disks: [disk],
    terminal: { columns: 80, rows: 25 },
    setInterruptPin: () => {},
    raiseNmi: () => {},
    onSerial: () => {},
    onConsole: () => {},
    onPowerOff: () => counts.offs++,
    onReset: () => counts.resets++,
  });
  const pass = (ns: number): void => {
    now += ns;
    timers.runDue(now);
  };
  return { it, ram, video, pass, counts };
}

const SEEDS = [1, 2, 3, 4, 5, 6, 7, 8];
test.each(SEEDS)("a guest that writes anything anywhere breaks no device (seed %i)", async (seed) => {
  const next = seededRandom(seed);
  const word = (): number => Math.floor(next() * 2 ** 32);
  const pick = <T>(list: readonly T[]): T => list[Math.floor(next() * list.length)]!;
  /** Small numbers are what registers, lengths and indices are made of. */
  const value = (): number =>
    next() < 0.5 ? Math.floor(next() * 64) : next() < 0.5 ? 2 ** Math.floor(next() * 32) : word();
  const { it, ram, video, pass, counts } = board(word);
  const view = new DataView(ram.buffer);
  const sizes: number[] = [];
  const watch = new ScreenWatch(video, {
    textScreen: ({ cells }) => sizes.push(cells.length),
    frame: ({ bands }) => sizes.push(bands.reduce((sum, { pixels }) => sum + pixels.length, 0)),
  });
  for (let step = 0; step < 40_000; step++) {
    const size = pick([1, 2, 4]);
    const port = next() < 0.9 ? pick(PORTS) : Math.floor(next() * 0x10000);
    const address =
      next() < 0.95
        ? pick(MMIO) + Math.floor(next() * 0x40) * (next() < 0.8 ? 4 : 1)
        : 0x8000_0000 + Math.floor(next() * 2 ** 31);
    const kind = next();
    if (kind < 0.2) expect(it.ioRead(port, size)).toBeTypeOf("number");
    else if (kind < 0.4) it.ioWrite(port, size, value() % 2 ** (8 * size));
    else if (kind < 0.6) expect(it.mmioRead(address, size)).toBeTypeOf("number");
    else if (kind < 0.85) it.mmioWrite(address, size, value() % 2 ** (8 * size));
    else if (kind < 0.95) view.setUint32(Math.floor(next() * 0x4000) & ~3, value(), true);
    else if (kind < 0.98) pass(Math.floor(next() * 1e7));
    else it.acknowledgeInterrupt();
    if (step % 1000 === 0) {
      it.uart.receiveFromHost(new Uint8Array(100));
      it.keyboard.press(new Uint8Array(100));
      it.mouse.move({ dx: word(), dy: -word(), wheel: 1, buttons: word() });
      watch.want(true);
      watch.look(it.vga, step * 1e6);
      it.console.receiveFromHost(new Uint8Array(100));
      it.writeTscDeadline(word());
      await Promise.resolve();
    }
  }
  expect(it.vga.screen().cells.length).toBe(4000);
  expect(sizes.length).toBeGreaterThan(0);
  expect(Math.max(...sizes)).toBeLessThanOrEqual(4 * MAX_WIDTH * MAX_HEIGHT);
  expect(counts.resets).toBeGreaterThan(0);
});
