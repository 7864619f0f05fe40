import { existsSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { GuestMemory } from "../../../emulator/bus/guest-memory.ts";
import type { Scanout } from "../../../emulator/devices/vga/scanout.ts";
import { Vga } from "../../../emulator/devices/vga/vga.ts";
import { markDirty } from "../../../emulator/devices/vga/video-memory.ts";
import { createMachine } from "../../../emulator/machine/machine.ts";
import { changedRows, ScreenWatch } from "../../../emulator/machine/screen-watch.ts";
import { ok } from "../../../emulator/protocol/failure.ts";
import type { Frame, ScreenMode } from "../../../emulator/protocol/machine-messages.ts";
import { BenchBoard } from "../../support/bench-board.ts";
import { drawing, pictureRows } from "../../support/drawing-guest.ts";
import { PlainVideo } from "../../support/plain-video.ts";

const CORE = new URL("../../../build/wasm/cpu-plain.wasm", import.meta.url);
const core = existsSync(CORE) ? new WebAssembly.Module(readFileSync(CORE)) : undefined;

function watchBench() {
  const board = new BenchBoard();
  const video = new PlainVideo();
  const { ports, mmio, now } = board;
  const memory = new GuestMemory({ ram: board.ram, onWrite: () => {} });
  const vga = new Vga({
    ports,
    mmio,
    memory,
    video,
    frameBufferAt: 0xfd00_0000,
    registersAt: 0xfcff_f000,
    now,
  });
  const said: string[] = [];
  const frames: Frame[] = [];
  const watch = new ScreenWatch(video, {
    textScreen: ({ cells }) => said.push(`text ${String.fromCharCode(cells[0]!)}`),
    screenMode: (mode: ScreenMode) =>
      said.push(mode.kind === "text" ? "text mode" : `graphics ${mode.width}x${mode.height}`),
    frame: (frame) => {
      frames.push(frame);
      said.push(
        frame.bands.map(({ first, pixels }) => `${first}+${pixels.length / 4 / frame.width}`).join(" "),
      );
    },
  });
  let ms = 0;
  /** Everything told by a look, `after` so many milliseconds. */
  const look = (after = 100): string[] => {
    ms += after;
    watch.look(vga, ms * 1e6);
    return said.splice(0);
  };
  return { board, video, vga, watch, look, frames };
}

test("text goes when it has changed, and not too often", () => {
  const { board, look } = watchBench();
  board.ram[0xb8000] = 0x41;
  expect(look()).toEqual(["text A"]);
  expect(look()).toEqual([]);
  board.ram[0xb8000] = 0x42;
  expect([look(1), look(100)]).toEqual([[], ["text B"]]);
});

test("graphics: the mode by itself, a frame only to who asked, then what has changed, then text again", () => {
  const { board, video, vga, watch, look } = watchBench();
  vga.setMode(64, 256);
  expect([look(), look()]).toEqual([["graphics 64x256"], []]);
  watch.want(false);
  expect([look(), video.watched]).toEqual([["0+256"], 1]);
  watch.want(false);
  expect(look()).toEqual([]);
  markDirty(video, 64 * 4 * 100, 1);
  expect([look(), look()]).toEqual([["96+16"], []]);
  markDirty(video, 0, 1);
  expect(look()).toEqual([]);
  watch.want(false);
  expect(look()).toEqual(["0+16"]);
  watch.want(true);
  expect(look()).toEqual(["0+256"]);
  board.out(0x1ce, 4, 2);
  board.out(0x1cf, 0, 2);
  expect(look()).toEqual(["text mode", "text \u0000"]);
});

test("a palette or a start address that changes shows everything anew", () => {
  const { board, vga, watch, look, frames } = watchBench();
  for (const [index, value] of [
    [1, 64],
    [2, 32],
    [3, 8],
    [4, 0x41],
  ] as const) {
    board.out(0x1ce, index, 2);
    board.out(0x1cf, value, 2);
  }
  watch.want(true);
  look();
  board.out(0x3c8, 0);
  for (const value of [63, 0, 0]) board.out(0x3c9, value);
  watch.want(false);
  expect(look()).toEqual(["0+32"]);
  expect([...frames.at(-1)!.bands[0]!.pixels.subarray(0, 4)]).toEqual([255, 0, 0, 255]);
  board.out(0x1ce, 9, 2);
  board.out(0x1cf, 5, 2);
  watch.want(false);
  expect(look()).toEqual(["0+32"]);
  expect(vga.scanout()?.start).toBe(5 * 64);
});

test("pages become bands of rows; neighbours are one band; what is not shown is no band", () => {
  const scanout: Scanout = { width: 1024, height: 768, pitch: 4096, start: 4096, format: "xrgb8888" };
  const rows = (...pages: number[]): string => {
    const dirty = new Uint8Array(4096);
    for (const page of pages) dirty[page] = 1;
    return changedRows(scanout, dirty)
      .map(({ first, count }) => `${first}+${count}`)
      .join(" ");
  };
  expect([rows(1), rows(0), rows(769), rows(768, 3, 5, 300)]).toEqual(["0+1", "", "", "2+3 299+1 767+1"]);
});

describe.skipIf(!core)("a guest that draws (build/wasm/cpu-plain.wasm is built)", () => {
  test("its pixels come out as it wrote them, through the processor and its TLB", async () => {
    const frames: Frame[] = [];
    const modes: ScreenMode[] = [];
    const created = createMachine({
      module: core!,
      shared: false,
      memoryMiB: 32,
      disks: [],
      loadBootFiles: async () => ok({ kernel: drawing(64, 48).kernel }),
      commandLine: "",
      wallClockMs: 0,
      nsPerInstruction: 1,
      host: {
        nowNs: () => 0,
        yieldToHost: () => new Promise((resolve) => setImmediate(resolve)),
        sleep: () => ({ done: new Promise((resolve) => setImmediate(resolve)), wake: () => {} }),
        random32: () => 4,
      },
      events: {
        state: () => {},
        serial: () => {},
        failed: (failure) => expect(failure).toBeUndefined(),
        frame: (frame) => frames.push(frame),
        screenMode: (mode) => modes.push(mode),
      },
    });
    if (!created.ok) throw new Error(created.failure.code);
    const machine = created.value;
    machine.requestFrame(true);
    await machine.start();
    for (let i = 0; i < 1000 && machine.stats().instructions < 64 * 48 * 5; i++)
      await new Promise((resolve) => setImmediate(resolve));
    machine.powerOff();
    await machine.done;
    expect(modes).toEqual([{ kind: "graphics", width: 64, height: 48 }]);
    expect(frames.length).toBe(1);
    const picture = machine.picture;
    expect(picture.kind === "graphics" && [...picture.pixels]).toEqual([...pictureRows(64, 48)]);
  });
});
