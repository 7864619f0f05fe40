import { expect, test } from "vitest";
import { FwCfg } from "../../../emulator/devices/fw-cfg.ts";
import { BenchBoard } from "../../support/bench-board.ts";

function bench() {
  const board = new BenchBoard();
  new FwCfg({
    ports: board.ports,
    memory: board.memory,
    files: new Map([["opt/virga/hello", new TextEncoder().encode("hello")]]),
  });
  const read = (key: number, count: number): number[] => {
    board.out(0x510, key, 2);
    return Array.from({ length: count }, () => board.in(0x511));
  };
  /** Big-endian words of a DMA request at 1000h; returns its control word afterwards. */
  const dma = (control: number, length: number, address: number, at = 0x1000): number => {
    const view = new DataView(board.ram.buffer);
    [control, length, 0, address].forEach((word, i) => view.setUint32(0x1000 + 4 * i, word, false));
    const swapped = new DataView(new ArrayBuffer(4));
    swapped.setUint32(0, at, false);
    board.out(0x514, 0, 4);
    board.out(0x518, swapped.getUint32(0, true), 4);
    return view.getUint32(0x1000, false);
  };
  return { board, read, dma };
}

test("the signature, the interface's version, and zeros beyond an item's end", () => {
  const { read, board } = bench();
  expect(String.fromCharCode(...read(0, 4))).toBe("QEMU");
  expect([...read(1, 6), ...read(0x7777, 2)]).toEqual([3, 0, 0, 0, 0, 0, 0, 0]);
  expect(board.in(0x514, 4)).toBe(0x554d4551);
});

test("files are found by the directory", () => {
  const { read } = bench();
  const directory = read(0x19, 68);
  expect(directory.slice(0, 10)).toEqual([0, 0, 0, 1, 0, 0, 0, 5, 0, 0x20]);
  expect(String.fromCharCode(...directory.slice(12, 27))).toBe("opt/virga/hello");
  expect(String.fromCharCode(...read(0x20, 5))).toBe("hello");
});

test("DMA selects, skips and reads", () => {
  const { board, dma } = bench();
  expect(dma((0x20 << 16) | 0x08 | 0x04, 1, 0)).toBe(0);
  expect(dma(0x02, 8, 0x2000)).toBe(0);
  expect([...board.ram.subarray(0x2000, 0x2009)]).toEqual([0x65, 0x6c, 0x6c, 0x6f, 0, 0, 0, 0, 0]);
});

test("writes, transfers outside RAM and requests outside RAM are refused", () => {
  const { dma } = bench();
  expect(dma((0x20 << 16) | 0x18, 5, 0x2000)).toBe(1);
  expect(dma((0x20 << 16) | 0x0a, 0xffff_ffff, 0)).toBe(1);
  expect(dma((0x20 << 16) | 0x0a, 16, 0xf_fff8)).toBe(1);
  expect(dma((0x20 << 16) | 0x0a, 5, 0x2000, 0xffff_fff0)).toBe((0x20 << 16) | 0x0a);
});
