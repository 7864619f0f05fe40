import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { PciBus } from "../../../emulator/bus/pci.ts";
import { MAX_HEIGHT, MAX_WIDTH } from "../../../emulator/devices/vga/dispi.ts";
import { readRows, rowBytes, type Scanout } from "../../../emulator/devices/vga/scanout.ts";
import { Vga } from "../../../emulator/devices/vga/vga.ts";
import { BenchBoard } from "../../support/bench-board.ts";
import { PlainVideo } from "../../support/plain-video.ts";

const FRAME_BUFFER = 0xfd00_0000;
const REGISTERS = 0xfcff_f000;

function vgaBench() {
  const board = new BenchBoard();
  const video = new PlainVideo();
  const vga = new Vga({
    ports: board.ports,
    mmio: board.mmio,
    memory: board.memory,
    video,
    frameBufferAt: FRAME_BUFFER,
    registersAt: REGISTERS,
    now: board.now,
  });
  const pci = new PciBus({ mmio: board.mmio, ports: board.ports, onResetControl: () => {} });
  pci.add(12, 0, vga.pci);
  const crtc = (index: number, value: number): void => (board.out(0x3d4, index), board.out(0x3d5, value));
  const dispi = (index: number, value: number): void => (
    board.out(0x1ce, index, 2),
    board.out(0x1cf, value, 2)
  );
  const readDispi = (index: number): number => (board.out(0x1ce, index, 2), board.in(0x1cf, 2));
  const config = (at: number): number => (board.out(0xcf8, 0x8000_6000 + at, 4), board.in(0xcfc, 4));
  /** As bochs-drm and vgabios set a mode. */
  const setMode = (width: number, height: number, bits: number, flags = 0x41): void => {
    dispi(4, 0);
    dispi(3, bits);
    dispi(1, width);
    dispi(2, height);
    dispi(4, flags);
  };
  return { board, vga, video, crtc, dispi, readDispi, config, setMode };
}

describe("text", () => {
  test("the screen is the cells at the start address, and the cursor is in it or off", () => {
    const { board, vga, crtc } = vgaBench();
    board.ram.set([0x41, 0x07, 0x42, 0x1f], 0xb8000 + 160);
    crtc(0x0d, 80);
    crtc(0x0f, 81);
    const screen = vga.screen();
    expect([...screen.cells.subarray(0, 4), screen.cursor]).toEqual([0x41, 0x07, 0x42, 0x1f, 1]);
    crtc(0x0a, 0x2d);
    expect([vga.screen().cursor, vga.scanout()]).toEqual([-1, undefined]);
  });

  test("16-bit index writes, the attribute flip-flop, the palette, and any start address", () => {
    const { board, vga } = vgaBench();
    board.out(0x3d4, 0xff0c, 2);
    board.out(0x3d4, 0xff0d, 2);
    expect(board.in(0x3d5)).toBe(0xff);
    expect(vga.screen().cells.length).toBe(4000);
    board.in(0x3da);
    board.out(0x3c0, 0x10);
    board.out(0x3c0, 0x0c);
    board.out(0x3c0, 0x30);
    expect(board.in(0x3c1)).toBe(0x0c);
    board.out(0x3c8, 255);
    for (const value of [1, 2, 3, 4]) board.out(0x3c9, value);
    board.out(0x3c7, 255);
    expect([board.in(0x3c9), board.in(0x3c9), board.in(0x3c9), board.in(0x3c9)]).toEqual([1, 2, 3, 4]);
  });

  test("CR11 protects the timing registers", () => {
    const { board, crtc } = vgaBench();
    crtc(0x00, 0x11);
    expect(board.in(0x3d5)).toBe(0x5f);
    crtc(0x11, 0x0e);
    crtc(0x00, 0x11);
    expect(board.in(0x3d5)).toBe(0x11);
  });
});

describe("the linear frame buffer", () => {
  test("is a display on PCI with memory, registers and a version", () => {
    const { board, video, config, readDispi } = vgaBench();
    expect([config(0), config(8), config(0x10), config(0x18)]).toEqual([
      0x11111234, 0x03000002, 0xfd000008, 0xfcfff000,
    ]);
    expect([readDispi(0), readDispi(10)]).toEqual([0xb0c5, 256]);
    expect(board.mmio.read(REGISTERS + 0x500, 2)).toBe(0xb0c5);
    expect([board.peek(REGISTERS + 0x600), board.peek(REGISTERS + 0x604)]).toEqual([8, 0x1e1e1e1e]);
    expect(board.mmio.read(REGISTERS + 0x40c, 1)).toBe(0x67);
    expect(video.places).toEqual([{ at: FRAME_BUFFER, size: 0x100_0000, window: 0, bank: -1 }]);
  });

  test("moves with its BAR, and is away while decoding is off", () => {
    const { board, video, config } = vgaBench();
    const at = (): number => video.places.at(-1)!.at;
    config(4);
    board.out(0xcfc, 0, 2);
    expect([at(), video.places.at(-1)!.size]).toEqual([0, 0]);
    config(0x10);
    board.out(0xcfc, 0xffff_ffff, 4);
    expect(config(0x10)).toBe(0xff000008);
    board.out(0xcfc, 0xe000_0000, 4);
    config(4);
    board.out(0xcfc, 2, 2);
    expect(at()).toBe(0xe000_0000);
  });

  test("a mode is shown from the moment it is enabled, on cleared memory unless it is to be kept", () => {
    const { vga, video, setMode } = vgaBench();
    video.bytes.fill(0xff);
    setMode(1024, 768, 32);
    expect(vga.scanout()).toEqual({ width: 1024, height: 768, pitch: 4096, start: 0, format: "xrgb8888" });
    expect([video.bytes[0], video.bytes[1024 * 768 * 4 - 1], video.bytes[1024 * 768 * 4]]).toEqual([
      0, 0, 0xff,
    ]);
    video.bytes[0] = 7;
    setMode(640, 480, 16, 0xc1);
    expect([video.bytes[0], vga.scanout()?.format]).toEqual([7, "rgb565"]);
    setMode(0, 0, 0, 0);
    expect(vga.scanout()).toBeUndefined();
  });

  test("longer rows and offsets pan; capabilities tell the limits; the bank is a window at A0000h", () => {
    const { vga, video, dispi, readDispi, setMode } = vgaBench();
    setMode(800, 600, 24);
    dispi(6, 1000);
    dispi(8, 10);
    dispi(9, 20);
    expect(vga.scanout()).toMatchObject({ pitch: 3000, start: 20 * 3000 + 30, format: "rgb888" });
    expect(readDispi(7)).toBe(Math.floor(0x100_0000 / 3000));
    dispi(5, 3);
    expect(video.places.at(-1)).toMatchObject({ window: 0x10000, bank: 0x30000 });
    dispi(4, 0x43);
    expect([readDispi(1), readDispi(2), readDispi(3)]).toEqual([MAX_WIDTH, MAX_HEIGHT, 32]);
    dispi(4, 0x41);
    expect(readDispi(1)).toBe(800);
  });

  test("whatever the registers say, all that is shown lies in video memory", () => {
    const word = fc.integer({ min: 0, max: 0xffff });
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.integer({ min: 0, max: 20 }), word), { maxLength: 40 }), (writes) => {
        const { vga, video, dispi } = vgaBench();
        for (const [index, value] of writes) dispi(index, value);
        dispi(4, 0xc1);
        const scanout = vga.scanout()!;
        const { width, height, pitch, start } = scanout;
        expect(width >= 1 && width <= MAX_WIDTH && height >= 1 && height <= MAX_HEIGHT).toBe(true);
        expect(start + pitch * (height - 1) + rowBytes(scanout)).toBeLessThanOrEqual(video.bytes.length);
        const last = readRows(scanout, video.bytes, vga.palette(), height - 1, 1);
        expect(last.length).toBe(4 * width);
      }),
    );
  });
});

describe("the VGA's own graphics", () => {
  /** 640x480 in 16 colours or 320x200 in 256, as the tables of IBM's BIOS have them. */
  function enter(mode: "12h" | "13h") {
    const bench = vgaBench();
    const { board, crtc } = bench;
    const file = (at: number) => (index: number, value: number) => (
      board.out(at, index),
      board.out(at + 1, value)
    );
    crtc(0x11, 0);
    const is12 = mode === "12h";
    const timing = is12
      ? [
          0x5f, 0x4f, 0x50, 0x82, 0x54, 0x80, 0x0b, 0x3e, 0, 0x40, 0, 0, 0, 0, 0, 0, 0xea, 0x8c, 0xdf, 0x28,
          0, 0xe7, 4, 0xe3,
        ]
      : [
          0x5f, 0x4f, 0x50, 0x82, 0x54, 0x80, 0xbf, 0x1f, 0, 0x41, 0, 0, 0, 0, 0, 0, 0x9c, 0x8e, 0x8f, 0x28,
          0x40, 0x96, 0xb9, 0xa3,
        ];
    timing.forEach((value, index) => crtc(index, value));
    const sequencer = file(0x3c4);
    const graphics = file(0x3ce);
    [3, 1, 15, 0, is12 ? 6 : 14].forEach((value, index) => sequencer(index, value));
    [0, 0, 0, 0, 0, is12 ? 0 : 0x40, 5, 15, 0xff].forEach((value, index) => graphics(index, value));
    const place = { window: 0x10000, bank: is12 ? -1 : 0 };
    return { ...bench, sequencer, graphics, place };
  }
  const pixels = ({ vga, video }: ReturnType<typeof vgaBench>, count: number): number[] => [
    ...new Uint32Array(readRows(vga.scanout()!, video.bytes, vga.palette(), 0, 1).buffer).subarray(0, count),
  ];

  test("13h: 320x200, a byte a pixel, its window plain memory, colours of the DAC", () => {
    const bench = enter("13h");
    expect(bench.vga.scanout()).toEqual({
      width: 320,
      height: 200,
      pitch: 320,
      start: 0,
      format: "palette8",
    });
    expect(bench.video.places.at(-1)).toMatchObject(bench.place);
    bench.board.out(0x3c8, 5);
    for (const value of [63, 32, 0]) bench.board.out(0x3c9, value);
    bench.video.bytes[1] = 5;
    expect(pixels(bench, 2)).toEqual([0xff000000, 0xff0082ff]);
  });

  test("12h: 640x480 in planes; map mask, set/reset, bit mask, rotation and the four write modes", () => {
    const bench = enter("12h");
    const { board, vga, sequencer, graphics, place } = bench;
    expect(vga.scanout()).toEqual({ width: 640, height: 480, pitch: 320, start: 0, format: "planar4" });
    expect(bench.video.places.at(-1)).toMatchObject(place);
    const put = (address: number, value: number): void => board.mmio.write(0xa0000 + address, 1, value);
    const get = (address: number): number => board.mmio.read(0xa0000 + address, 1);
    const cell = (address: number): number[] => [...bench.video.bytes.subarray(4 * address, 4 * address + 4)];
    sequencer(2, 0b0101);
    put(0, 0xa5);
    expect(cell(0)).toEqual([0xa5, 0, 0xa5, 0]);
    sequencer(2, 15);
    graphics(1, 0b0010);
    graphics(0, 0b0010);
    put(1, 0x0f);
    expect(cell(1)).toEqual([0x0f, 0xff, 0x0f, 0x0f]);
    graphics(1, 0);
    graphics(8, 0xf0);
    get(1);
    put(1, 0x00);
    expect(cell(1)).toEqual([0x0f, 0x0f, 0x0f, 0x0f]);
    graphics(8, 0xff);
    graphics(3, 0x18 | 4);
    put(1, 0x21);
    expect(cell(1)).toEqual([0x1d, 0xed, 0x1d, 0x1d]);
    graphics(3, 0);
    graphics(5, 1);
    put(2, 0);
    expect(cell(2)).toEqual([0x0f, 0xff, 0x0f, 0x0f]);
    graphics(5, 2);
    put(3, 0b1001);
    expect(cell(3)).toEqual([0xff, 0, 0, 0xff]);
    graphics(5, 3);
    graphics(0, 0b0100);
    get(3);
    put(3, 0x80);
    expect(cell(3)).toEqual([0x7f, 0, 0x80, 0x7f]);
  });

  test("12h: read modes: one plane, or where the colour is as asked", () => {
    const { board, graphics, video } = enter("12h");
    video.bytes.set([0xf0, 0x0f, 0, 0xff], 0);
    const get = (): number => board.mmio.read(0xa0000, 1);
    expect([0, 1, 2, 3].map((plane) => (graphics(4, plane), get()))).toEqual([0xf0, 0x0f, 0, 0xff]);
    graphics(5, 8);
    graphics(2, 0b1001);
    expect(get()).toBe(0xf0);
    graphics(7, 0b1000);
    expect(get()).toBe(0xff);
  });

  test("12h: four bits of a pixel go through the attribute controller to the DAC", () => {
    const bench = enter("12h");
    const { board, video } = bench;
    board.in(0x3da);
    for (const value of [0x09, 0x3f, 0x20]) board.out(0x3c0, value);
    board.out(0x3c8, 0x3f);
    for (const value of [63, 63, 63]) board.out(0x3c9, value);
    video.bytes.set([0x40, 0, 0, 0x40], 0);
    expect(pixels(bench, 3)).toEqual([0xff000000, 0xffffffff, 0xff000000]);
  });

  test("any register values show something inside video memory and nothing throws", () => {
    const ports = fc.constantFrom(
      0x3c0,
      0x3c4,
      0x3c5,
      0x3ce,
      0x3cf,
      0x3d4,
      0x3d5,
      0x3c7,
      0x3c8,
      0x3c9,
      0x1ce,
      0x1cf,
    );
    const writes = fc.array(fc.tuple(ports, fc.integer({ min: 0, max: 0xffff }), fc.constantFrom(1, 2)), {
      maxLength: 300,
    });
    fc.assert(
      fc.property(writes, fc.integer({ min: 0, max: 0x1ffff }), (list, address) => {
        const { board, vga, video } = vgaBench();
        for (const [port, value, size] of list) {
          board.out(port, size === 1 ? value & 0xff : value, size);
          board.mmio.write(0xa0000 + address, 4, value);
          board.mmio.read(0xa0000 + address, 1);
        }
        board.out(0x3ce, 0x0506, 2);
        const scanout = vga.scanout()!;
        expect(scanout.start + scanout.pitch * (scanout.height - 1) + rowBytes(scanout)).toBeLessThanOrEqual(
          video.bytes.length,
        );
        expect(readRows(scanout, video.bytes, vga.palette(), 0, 1).length).toBe(4 * scanout.width);
      }),
      { numRuns: 60 },
    );
  });
});

describe("pixels of each format become RGBA", () => {
  const cases: readonly (readonly [Scanout["format"], readonly number[], readonly number[]])[] = [
    ["palette8", [1, 0], [0xff0000ff, 0xff000000]],
    ["rgb555", [0x00, 0x7c, 0xe0, 0x03], [0xff0000ff, 0xff00ff00]],
    ["rgb565", [0x1f, 0x00, 0xe0, 0x07], [0xffff0000, 0xff00ff00]],
    ["rgb888", [0x11, 0x22, 0x33, 0x44, 0x55, 0x66], [0xff112233, 0xff445566]],
    ["xrgb8888", [0x11, 0x22, 0x33, 0, 0x44, 0x55, 0x66, 9], [0xff112233, 0xff445566]],
    ["planar4", [0x80, 0, 0, 0], [0xff0000ff, 0xff000000]],
  ];
  test.each(cases)("%s", (format, bytes, expected) => {
    const video = new Uint8Array(64);
    video.set(bytes, 3);
    const palette = Uint32Array.of(0xff000000, 0xff0000ff, ...Array.from({ length: 254 }, () => 0));
    const rows = readRows({ width: 2, height: 1, pitch: 8, start: 3, format }, video, palette, 0, 1);
    expect([...new Uint32Array(rows.buffer)]).toEqual(expected);
  });
});
