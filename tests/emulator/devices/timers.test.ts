import { expect, test } from "vitest";
import { Hpet, HPET_BASE } from "../../../emulator/devices/hpet.ts";
import { Pit } from "../../../emulator/devices/pit.ts";
import { PowerManagement, PM_BASE } from "../../../emulator/devices/power-management.ts";
import { Rtc } from "../../../emulator/devices/rtc.ts";
import { BenchBoard } from "../../support/bench-board.ts";

const MS = 1_000_000;

function pitBench() {
  const board = new BenchBoard();
  new Pit({ ports: board.ports, irq: board.lines.wire(0), timers: board.timers, now: board.now });
  const program = (control: number, count: number): void => {
    board.out(0x43, control);
    board.out(0x40 + (control >> 6), count & 0xff);
    board.out(0x40 + (control >> 6), count >> 8);
  };
  return { board, program };
}

test("PIT: mode 2 ticks at its rate", () => {
  const { board, program } = pitBench();
  program(0x34, 11932);
  board.pass(100 * MS);
  expect(board.edges.filter((edge) => edge === "+0").length).toBe(9);
  board.pass(1 * MS);
  expect(board.edges.filter((edge) => edge === "+0").length).toBe(10);
});

test("PIT: mode 0 raises its output once, and counts on below zero", () => {
  const { board, program } = pitBench();
  program(0x30, 1000);
  board.pass(800_000);
  expect(board.edges).toEqual([]);
  board.pass(100_000);
  expect(board.edges).toEqual(["+0"]);
  board.out(0x43, 0x00);
  expect(board.in(0x40) | (board.in(0x40) << 8)).toBe((1000 - 1073) & 0xffff);
});

test("PIT: the latch holds the count, read-back gives status and count", () => {
  const { board, program } = pitBench();
  program(0x34, 0x8000);
  board.pass(10 * MS);
  board.out(0x43, 0x00);
  board.pass(5 * MS);
  expect(board.in(0x40) | (board.in(0x40) << 8)).toBe(0x8000 - 11931);
  board.out(0x43, 0xc2);
  expect(board.in(0x40)).toBe(0x80 | 0x34);
});

test("PIT: port 61h gates counter 2 and shows its output, as TSC calibration wants", () => {
  const { board, program } = pitBench();
  board.out(0x61, 0x01);
  program(0xb0, 11932);
  expect(board.in(0x61) & 0x21).toBe(0x01);
  board.pass(11 * MS);
  expect(board.in(0x61) & 0x21).toBe(0x21);
});

test("PIT: a period of one count does not hang the host", () => {
  const { board, program } = pitBench();
  program(0x34, 1);
  board.pass(10_000);
  expect(board.edges.length).toBeGreaterThan(0);
});

function rtcBench(wallClockMs = Date.UTC(2024, 1, 28, 23, 59, 58)) {
  const board = new BenchBoard();
  new Rtc({
    ports: board.ports,
    irq: board.lines.wire(8),
    timers: board.timers,
    now: board.now,
    wallClockMs,
  });
  const read = (index: number): number => (board.out(0x70, index), board.in(0x71));
  const write = (index: number, value: number): void => (board.out(0x70, index), board.out(0x71, value));
  return { board, read, write };
}

test("RTC: the wall clock in BCD runs with guest time, over a leap day", () => {
  const { board, read } = rtcBench();
  expect([0, 2, 4, 7, 8, 9, 0x32, 6].map(read)).toEqual([0x58, 0x59, 0x23, 0x28, 0x02, 0x24, 0x20, 4]);
  board.pass(3000 * MS);
  expect([0, 2, 4, 7, 8].map(read)).toEqual([0x01, 0x00, 0x00, 0x29, 0x02]);
});

test("RTC: UIP is set just before the second; binary and 12-hour formats", () => {
  const { board, read, write } = rtcBench();
  board.pass(999.8 * MS);
  expect(read(0x0a) & 0x80).toBe(0x80);
  write(0x0b, 0x04);
  expect([read(0), read(4)]).toEqual([58, 0x80 | 11]);
});

test("RTC: a time that the guest sets goes on from there", () => {
  const { board, read, write } = rtcBench();
  write(0x0b, 0x82);
  for (const [index, value] of [
    [0, 0x30],
    [2, 0x15],
    [4, 0x12],
    [7, 0x05],
    [8, 0x06],
    [9, 0x31],
  ] as const)
    write(index, value);
  write(0x0b, 0x02);
  board.pass(31_000 * MS);
  expect([0, 2, 4, 7, 8, 9].map(read)).toEqual([0x01, 0x16, 0x12, 0x05, 0x06, 0x31]);
});

test("RTC: periodic, update and alarm interrupts; reading register C ends them", () => {
  const { board, read, write } = rtcBench();
  write(0x0b, 0x42);
  board.pass(1 * MS);
  expect([...board.edges, read(0x0c), read(0x0c)]).toEqual(["+8", 0xc0, 0]);
  write(0x01, 0xc0);
  write(0x03, 0xc0);
  write(0x05, 0xc0);
  write(0x0b, 0x22);
  board.edges.length = 0;
  board.pass(1000 * MS);
  expect([...board.edges, read(0x0c) & 0xb0]).toEqual(["+8", 0xb0]);
});

test("HPET: the counter runs at 100 MHz while enabled, and comparators interrupt by edge", () => {
  const board = new BenchBoard();
  new Hpet({ mmio: board.mmio, lines: board.lines, timers: board.timers, now: board.now });
  expect(board.peek(HPET_BASE + 4)).toBe(10_000_000);
  board.pass(1 * MS);
  board.poke(HPET_BASE + 0x10, 1);
  board.pass(1 * MS);
  expect(board.peek(HPET_BASE + 0xf0)).toBe(100_000);
  board.poke(HPET_BASE + 0x100, (20 << 9) | 4);
  board.poke(HPET_BASE + 0x108, 200_000);
  board.poke(HPET_BASE + 0x10c, 0);
  board.pass(1 * MS);
  expect(board.edges).toEqual(["+20", "-20"]);
  board.poke(HPET_BASE + 0x10, 0);
  board.pass(1 * MS);
  expect(board.peek(HPET_BASE + 0xf0)).toBe(200_000);
});

test("HPET: periodic in legacy routing takes the timer's line, set as Linux sets it", () => {
  const board = new BenchBoard();
  new Hpet({ mmio: board.mmio, lines: board.lines, timers: board.timers, now: board.now });
  board.poke(HPET_BASE + 0x10, 3);
  board.poke(HPET_BASE + 0x100, 0x04c | 0x100);
  board.poke(HPET_BASE + 0x108, 100_000);
  board.poke(HPET_BASE + 0x108, 100_000);
  board.pass(3.5 * MS);
  expect(board.edges.filter((edge) => edge === "+0").length).toBe(3);
});

test("HPET: a periodic comparator whose interrupt is off wakes nobody, and keeps its beat when it is on again", () => {
  const board = new BenchBoard();
  new Hpet({ mmio: board.mmio, lines: board.lines, timers: board.timers, now: board.now });
  board.poke(HPET_BASE + 0x10, 3);
  board.poke(HPET_BASE + 0x100, 0x04c | 0x100);
  board.poke(HPET_BASE + 0x108, 100_000);
  board.poke(HPET_BASE + 0x108, 100_000);
  board.poke(HPET_BASE + 0x100, 0x008 | 0x100);
  expect(board.timers.nextNs).toBe(Infinity);
  board.pass(5.5 * MS);
  expect(board.edges).toEqual([]);
  board.poke(HPET_BASE + 0x100, 0x00c | 0x100);
  board.pass(1 * MS);
  expect(board.edges.filter((edge) => edge === "+0").length).toBe(1);
});

test("HPET: a match that the machine has not served yet outlives a write to the registers", () => {
  const board = new BenchBoard();
  let lateNs = 0;
  const now = (): number => board.now() + lateNs;
  new Hpet({ mmio: board.mmio, lines: board.lines, timers: board.timers, now });
  board.poke(HPET_BASE + 0x10, 1);
  board.poke(HPET_BASE + 0x100, (20 << 9) | 4);
  board.poke(HPET_BASE + 0x108, 1000);
  board.poke(HPET_BASE + 0x10c, 0);
  lateNs = 1 * MS;
  board.poke(HPET_BASE + 0x120, (21 << 9) | 4);
  expect(board.edges).toEqual(["+20", "-20"]);
  board.poke(HPET_BASE + 0x100, (20 << 9) | 4);
  board.timers.runDue(now());
  expect(board.edges).toEqual(["+20", "-20"]);
});

test("HPET: a level interrupt stays until its status bit is written", () => {
  const board = new BenchBoard();
  new Hpet({ mmio: board.mmio, lines: board.lines, timers: board.timers, now: board.now });
  board.poke(HPET_BASE + 0x120, (21 << 9) | 6);
  board.poke(HPET_BASE + 0x128, 1000);
  board.poke(HPET_BASE + 0x12c, 0);
  board.poke(HPET_BASE + 0x10, 1);
  board.pass(1 * MS);
  expect([board.edges, board.peek(HPET_BASE + 0x20)]).toEqual([["+21"], 2]);
  board.poke(HPET_BASE + 0x20, 2);
  expect([board.edges, board.peek(HPET_BASE + 0x20)]).toEqual([["+21", "-21"], 0]);
});

function powerBench() {
  const board = new BenchBoard();
  let off = 0;
  let smis = 0;
  const power = new PowerManagement({
    ports: board.ports,
    irq: board.lines.wire(9),
    timers: board.timers,
    now: board.now,
    onPowerOff: () => off++,
    raiseSmi: () => smis++,
  });
  return { board, power, off: () => off, smis: () => smis };
}

test("power: the PM timer counts at 3.579545 MHz in 24 bits", () => {
  const { board } = powerBench();
  board.pass(1000 * MS);
  expect(board.in(PM_BASE + 8, 4)).toBe(3_579_545);
  board.pass(4000 * MS);
  expect(board.in(PM_BASE + 8, 4)).toBe((5 * 3_579_545) % 2 ** 24);
});

test("power: the button is an SCI until its status is cleared", () => {
  const { board, power } = powerBench();
  power.pressPowerButton();
  expect(board.edges).toEqual([]);
  board.out(PM_BASE + 2, 0x0100, 2);
  expect([board.edges, board.in(PM_BASE, 2)]).toEqual([["+9"], 0x0100]);
  board.out(PM_BASE, 0x0100, 2);
  expect([board.edges, board.in(PM_BASE, 2)]).toEqual([["+9", "-9"], 0]);
});

test("power: only SLP_EN with the type of S5 turns the machine off", () => {
  const { board, off } = powerBench();
  expect(board.in(PM_BASE + 4, 2)).toBe(1);
  board.out(PM_BASE + 4, 5 << 10, 2);
  board.out(PM_BASE + 4, 0x2000 | (3 << 10), 2);
  expect(off()).toBe(0);
  board.out(PM_BASE + 4, 0x2000 | (5 << 10), 2);
  expect(off()).toBe(1);
});

test("power: a write to APMC is an SMI where DEVACTB lets it be, and both ports keep their byte", () => {
  const { board, power, smis } = powerBench();
  board.out(0xb2, 0x12);
  expect(smis()).toBe(0);
  power.pci.write(0x58, 4, 1 << 25);
  board.out(0xb3, 0x34);
  board.out(0xb2, 0x56);
  expect([smis(), board.in(0xb2), board.in(0xb3)]).toEqual([1, 0x56, 0x34]);
});
