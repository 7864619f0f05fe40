import { expect, test } from "vitest";
import { bank } from "../../../emulator/devices/register-bank.ts";

test("a row keeps its unwritable bits, clears write-1-to-clear bits and wakes its hook with all that was written", () => {
  const written: number[] = [];
  const registers = bank({
    CONTROL: { at: 0, bytes: 2, reset: 0xa000, writable: 0x00ff, onWrite: (value) => written.push(value) },
    STATUS: { at: 2, bytes: 2, reset: 0x00ff, w1c: 0x0f },
  });
  registers.write(0, 0xffff, 2);
  registers.write(2, 0x0003, 2);
  expect(registers.read(0, 2)).toBe(0xa0ff);
  expect(registers.read(2, 2)).toBe(0x00fc);
  expect(written).toEqual([0xffff]);
});

test("accesses of other widths touch every row once and spare what they do not cover", () => {
  let reads = 0;
  const registers = bank({
    LOW: { at: 0, bytes: 2, reset: 0x1234, writable: 0xffff, onRead: (stored) => (reads++, stored) },
    STATUS: { at: 2, reset: 0xff, w1c: 0xff },
    HIGH: { at: 3, reset: 0x56, writable: 0xff },
  });
  expect(registers.read(0, 4)).toBe(0x56ff1234);
  expect(reads).toBe(1);
  registers.write(1, 0xab, 1);
  expect(registers.values.LOW).toBe(0xab34);
  registers.write(2, 0x9900 | 0x0f, 2);
  expect(registers.values).toEqual({ LOW: 0xab34, STATUS: 0xf0, HIGH: 0x99 });
  expect(registers.read(4, 4)).toBe(0);
});

test("32-bit values stay unsigned", () => {
  const registers = bank({ WORD: { at: 0, bytes: 4, writable: 0xffff_ffff } });
  registers.write(0, 0xffff_fffe, 4);
  expect(registers.read(0, 4)).toBe(0xffff_fffe);
});

test("two rows that share a byte do not make a device", () => {
  expect(() => bank({ A: { at: 0, bytes: 4 }, B: { at: 3 } })).toThrow("B overlaps A at +3");
});
