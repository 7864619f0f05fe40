import { expect, test } from "vitest";
import { hostBridge, isaBridge, isResetWrite } from "../../../emulator/devices/chipset.ts";
import { I8042 } from "../../../emulator/devices/i8042.ts";
import { KEYBOARD_QUEUE_BYTES } from "../../../emulator/devices/ps2-keyboard.ts";
import { MOUSE_QUEUE_BYTES } from "../../../emulator/devices/ps2-mouse.ts";
import { BenchBoard } from "../../support/bench-board.ts";

function keyboardBench() {
  const board = new BenchBoard();
  let resets = 0;
  const gates: boolean[] = [];
  const { keyboard, mouse } = new I8042({
    ports: board.ports,
    irq: board.lines.wire(1),
    mouseIrq: board.lines.wire(12),
    onReset: () => resets++,
    onA20: (open) => gates.push(open),
  });
  const answers = (): number[] => {
    const bytes = [];
    while (board.in(0x64) & 1) bytes.push(board.in(0x60));
    return bytes;
  };
  /** A command to the mouse and all its answers. */
  const tell = (...bytes: number[]): number[] => {
    for (const byte of bytes) {
      board.out(0x64, 0xd4);
      board.out(0x60, byte);
    }
    return answers();
  };
  return { board, keyboard, mouse, answers, tell, gates, resets: () => resets };
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

test("8042: the auxiliary port's tests: loop, interface, interrupt, enable and disable", () => {
  const { board, answers } = keyboardBench();
  for (const probe of [0x5a, 0xf0, 0x56, 0xa4]) {
    board.out(0x64, 0xd3);
    board.out(0x60, probe);
    expect([board.in(0x64) & 0x21, board.in(0x60)]).toEqual([0x21, probe]);
  }
  board.out(0x64, 0xa9);
  expect(answers()).toEqual([0x00]);
  const control = (): number => (board.out(0x64, 0x20), board.in(0x60));
  board.out(0x64, 0xa8);
  expect(control() & 0x20).toBe(0);
  board.out(0x64, 0xa7);
  expect(control() & 0x20).toBe(0x20);
  board.out(0x64, 0x60);
  board.out(0x60, 0x46);
  board.edges.length = 0;
  board.out(0x64, 0xd3);
  board.out(0x60, 0xa5);
  expect(board.edges).toEqual(["+12"]);
  expect(board.in(0x60)).toBe(0xa5);
  expect(board.edges).toEqual(["+12", "-12"]);
});

test("mouse: reset, the knock for the wheel, settings and status as Linux's psmouse asks", () => {
  const { tell } = keyboardBench();
  expect(tell(0xff)).toEqual([0xfa, 0xaa, 0x00]);
  expect(tell(0xf2)).toEqual([0xfa, 0x00]);
  for (const rate of [200, 100, 80]) expect([...tell(0xf3), ...tell(rate)]).toEqual([0xfa, 0xfa]);
  expect(tell(0xf2)).toEqual([0xfa, 0x03]);
  expect([...tell(0xe8), ...tell(3), ...tell(0xe7), ...tell(0xf4)]).toEqual([0xfa, 0xfa, 0xfa, 0xfa]);
  expect(tell(0xe9)).toEqual([0xfa, 0x30, 3, 80]);
  expect(tell(0xf6)).toEqual([0xfa]);
  expect(tell(0xe9)).toEqual([0xfa, 0x00, 2, 100]);
  expect([...tell(0xee), ...tell(0x12), ...tell(0xec)]).toEqual([0xfa, 0x12, 0xfa]);
});

test("mouse: packets of movement, buttons and wheel; up is positive; far moves are several packets", () => {
  const { mouse, answers, tell } = keyboardBench();
  mouse.move({ dx: 5, dy: 5, wheel: 0, buttons: 0 });
  expect(answers()).toEqual([]);
  tell(0xff);
  tell(0xf4);
  mouse.move({ dx: 5, dy: 3, wheel: 1, buttons: 1 });
  expect(answers()).toEqual([0x29, 5, 0xfd]);
  mouse.move({ dx: 0, dy: 0, wheel: 0, buttons: 0 });
  expect(answers()).toEqual([0x08, 0, 0]);
  mouse.move({ dx: -300, dy: 0, wheel: 0, buttons: 0 });
  expect(answers()).toEqual([0x18, 0x01, 0, 0x18, 0xd3, 0]);
  for (const byte of [0xf3, 200, 0xf3, 100, 0xf3, 80]) tell(byte);
  mouse.move({ dx: 0, dy: 0, wheel: -2, buttons: 4 });
  expect(answers()).toEqual([0x0c, 0, 0, 0xfe]);
  tell(0xf0);
  mouse.move({ dx: 1, dy: 0, wheel: 0, buttons: 0 });
  expect([answers(), tell(0xeb)]).toEqual([[], [0xfa, 0x08, 1, 0, 0]]);
});

test("mouse: a guest that does not listen fills no buffer, and numbers that are none move nothing", () => {
  const { mouse, answers, tell } = keyboardBench();
  tell(0xf4);
  for (let i = 0; i < 10_000; i++) mouse.move({ dx: 1e9, dy: -1e9, wheel: 1e9, buttons: i });
  expect(mouse.queue.length).toBeLessThanOrEqual(MOUSE_QUEUE_BYTES);
  expect(answers().length).toBeLessThan(500);
  mouse.move({ dx: NaN, dy: Infinity, wheel: 0.4, buttons: 0 });
  expect(mouse.values.X).toBe(0);
});

test("the chipset is an i440FX and a PIIX3 with several functions; CF9 resets on bit 2", () => {
  expect(hostBridge().read(0, 4)).toBe(0x12378086);
  expect([isaBridge().read(0, 4), isaBridge().read(0x0e, 1), isaBridge().read(0x60, 4)]).toEqual([
    0x70008086, 0x80, 0x0d0c0b0a,
  ]);
  expect([isResetWrite(0x02), isResetWrite(0x06)]).toEqual([false, true]);
});

test("8042: bit 1 of the output port is the gate of A20", () => {
  const { board, gates } = keyboardBench();
  for (const value of [0xdd, 0xdf]) {
    board.out(0x64, 0xd1);
    board.out(0x60, value);
  }
  expect(gates).toEqual([false, true]);
});

test("chipset: SMRAM opens to system-management mode or to all, until it is locked", () => {
  const seen: string[] = [];
  const host = hostBridge((open) => seen.push(open));
  for (const value of [0x4a, 0x0a, 0x02, 0x5a, 0x4a]) host.write(0x72, 1, value);
  host.write(0x59, 1, 0x10);
  // Locked: D_OPEN is gone and nothing changes it.
  expect(seen).toEqual(["always", "managing", "never", "managing", "managing"]);
  expect(host.read(0x72, 1)).toBe(0x1a);
});
