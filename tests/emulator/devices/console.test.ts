import { expect, test } from "vitest";
import { hostBridge, isaBridge, isResetWrite } from "../../../emulator/devices/chipset.ts";
import { Keyboard, KEYBOARD_QUEUE_BYTES } from "../../../emulator/devices/i8042.ts";
import { VgaText } from "../../../emulator/devices/vga-text.ts";
import { BenchBoard } from "../../support/bench-board.ts";

function keyboardBench() {
  const board = new BenchBoard();
  let resets = 0;
  const keyboard = new Keyboard({ ports: board.ports, irq: board.lines.wire(1), onReset: () => resets++ });
  const answers = (): number[] => {
    const bytes = [];
    while (board.in(0x64) & 1) bytes.push(board.in(0x60));
    return bytes;
  };
  return { board, keyboard, answers, resets: () => resets };
}

test("8042: Linux's questions are answered", () => {
  const { board, answers } = keyboardBench();
  board.out(0x64, 0xaa);
  expect(answers()).toEqual([0x55]);
  board.out(0x64, 0x20);
  expect(answers()).toEqual([0x65]);
  board.out(0x64, 0x60);
  board.out(0x60, 0x44);
  board.out(0x64, 0x20);
  expect(answers()).toEqual([0x44]);
  board.out(0x64, 0xab);
  expect(answers()).toEqual([0x00]);
  board.out(0x60, 0xff);
  expect(answers()).toEqual([0xfa, 0xaa]);
  board.out(0x60, 0xf2);
  expect(answers()).toEqual([0xfa, 0xab, 0x41]);
  board.out(0x60, 0xed);
  board.out(0x60, 0x02);
  expect(answers()).toEqual([0xfa, 0xfa]);
});

test("8042: each key is an edge of its own; a full buffer drops keys", () => {
  const { board, keyboard, answers } = keyboardBench();
  keyboard.press(Uint8Array.of(0x1e, 0x9e));
  expect(board.edges).toEqual(["+1"]);
  expect(board.in(0x60)).toBe(0x1e);
  expect(board.edges).toEqual(["+1", "-1", "+1"]);
  expect(board.in(0x60)).toBe(0x9e);
  keyboard.press(new Uint8Array(1000).fill(0x1e));
  expect(answers().length).toBeLessThanOrEqual(KEYBOARD_QUEUE_BYTES + 1);
});

test("8042: disabled, it keeps keys; pulse FE and output port bit 0 reset the machine", () => {
  const { board, keyboard, answers, resets } = keyboardBench();
  board.out(0x64, 0xad);
  keyboard.press(Uint8Array.of(0x1e));
  expect(answers()).toEqual([]);
  board.out(0x64, 0xae);
  expect(answers()).toEqual([0x1e]);
  board.out(0x64, 0xfe);
  board.out(0x64, 0xd1);
  board.out(0x60, 0xce);
  expect(resets()).toBe(2);
});

function vgaBench() {
  const board = new BenchBoard();
  const vga = new VgaText({ ports: board.ports, memory: board.memory, now: board.now });
  const crtc = (index: number, value: number): void => (board.out(0x3d4, index), board.out(0x3d5, value));
  return { board, vga, crtc };
}

test("VGA: the screen is the cells at the start address, and the cursor is in it or off", () => {
  const { board, vga, crtc } = vgaBench();
  board.ram.set([0x41, 0x07, 0x42, 0x1f], 0xb8000 + 160);
  crtc(0x0d, 80);
  crtc(0x0f, 81);
  const screen = vga.screen();
  expect([...screen.cells.subarray(0, 4), screen.cursor]).toEqual([0x41, 0x07, 0x42, 0x1f, 1]);
  crtc(0x0a, 0x2d);
  expect(vga.screen().cursor).toBe(-1);
});

test("VGA: 16-bit index writes, the attribute flip-flop, the palette, and any start address", () => {
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

test("the chipset is an i440FX and a PIIX3 with several functions; CF9 resets on bit 2", () => {
  expect(hostBridge().read(0, 4)).toBe(0x12378086);
  expect([isaBridge().read(0, 4), isaBridge().read(0x0e, 1), isaBridge().read(0x60, 4)]).toEqual([
    0x70008086, 0x80, 0x0d0c0b0a,
  ]);
  expect([isResetWrite(0x02), isResetWrite(0x06)]).toEqual([false, true]);
});
