import * as fc from "fast-check";
import { expect, test } from "vitest";
import { Rtl8139 } from "../../../emulator/devices/rtl8139/card.ts";
import { findSegment, isIntact } from "../../../emulator/devices/ethernet/checksum.ts";
import { PciBus } from "../../../emulator/bus/pci.ts";
import { BenchBoard } from "../../support/bench-board.ts";
import { readMicrowire } from "../../support/microwire.ts";
import { TestWire, testFrame } from "../../support/test-wire.ts";

const IO = 0xc200;
const MAC = Uint8Array.of(0x52, 0x54, 0, 0x12, 0x34, 0x56);
const RING = 0x1_0000;
const TX = 0x2000;
const RX = 0x3000;
const OWN = 0x8000_0000;
const END = 0x4000_0000;

const pattern = (length: number, seed = 1): Uint8Array =>
  Uint8Array.from({ length }, (_, i) => (i * 7 + seed) & 0xff);

function bench(plus = true) {
  const board = new BenchBoard();
  const wire = new TestWire();
  const bus = new PciBus({ mmio: board.mmio, ports: board.ports, onResetControl: () => {} });
  const card = new Rtl8139({
    mac: MAC,
    wire,
    memory: board.memory,
    irq: board.lines.wire(12),
    interruptLine: 12,
    timers: board.timers,
    now: board.now,
    address: 0xfe00_0000,
    ioAddress: IO,
    plus,
  });
  bus.add(6, 0, card.pci);
  const read = (at: number, size = 1): number => board.in(IO + at, size);
  const write = (at: number, value: number, size = 1): void => board.out(IO + at, value, size);
  /** The older mode: a ring of 8 KiB, everything on, own address, broadcast and all interrupts. */
  const start = (rcr = 0x0a): void => {
    write(0x37, 0x10);
    write(0x30, RING, 4);
    write(0x37, 0x0c);
    write(0x44, rcr, 4);
    write(0x3c, 0xffff, 2);
  };
  /** C+ mode: two rings of four descriptors. */
  const startPlus = (): void => {
    write(0x37, 0x10);
    write(0xe0, 0x23, 2);
    write(0x20, TX, 4);
    write(0xe4, RX, 4);
    for (let i = 0; i < 4; i++) {
      board.memory.writeU32(RX + 16 * i, (OWN | (i === 3 ? END : 0) | 1536) >>> 0);
      board.memory.writeU32(RX + 16 * i + 8, RING + 0x800 * i);
    }
    write(0x37, 0x0c);
    write(0x44, 0x0a, 4);
    write(0x3c, 0xffff, 2);
  };
  return { board, wire, card, read, write, start, startPlus };
}

test("identity, the address in registers and EEPROM, the word that marks it", () => {
  const { card, read, write } = bench();
  expect([card.pci.read(0, 4), card.pci.read(8, 1)]).toEqual([0x8139_10ec, 0x20]);
  expect(bench(false).card.pci.read(8, 1)).toBe(0x10);
  expect(Array.from({ length: 6 }, (_, i) => read(i))).toEqual([...MAC]);
  const pins = {
    drive: (select: boolean, clock: boolean, input: boolean) =>
      write(0x50, 0x80 | (select ? 8 : 0) | (clock ? 4 : 0) | (input ? 2 : 0)),
    sense: () => (read(0x50) & 1) !== 0,
  };
  expect([0, 7, 8, 9].map((at) => readMicrowire(pins, at))).toEqual([0x8129, 0x5452, 0x1200, 0x5634]);
});

test("slots: sent in order, status and interrupt; a full wire makes the next ones wait", () => {
  const { board, wire, card, read, write, start } = bench();
  start();
  for (let i = 0; i < 3; i++) {
    board.memory.write(0x5000 + 0x800 * i, testFrame({ payload: pattern(20 + i) }));
    write(0x20 + 4 * i, 0x5000 + 0x800 * i, 4);
  }
  wire.room = 1;
  for (let i = 0; i < 3; i++) write(0x10 + 4 * i, 74 + i, 4);
  expect([0, 1, 2].map((i) => read(0x10 + 4 * i, 4) & 0xa000)).toEqual([0xa000, 0xa000, 0]);
  wire.room = Infinity;
  card.poll();
  expect(wire.sent.map(({ length }) => length)).toEqual([74, 75, 76]);
  expect(read(0x3e, 2)).toBe(4);
  expect(board.edges).toEqual(["+12"]);
  write(0x3e, 4, 2);
  expect(board.edges).toEqual(["+12", "-12"]);
});

test("the ring: header, frame, FCS; empty again when it was read; around the end", () => {
  const { board, wire, card, read, write, start } = bench();
  start();
  expect(read(0x37) & 1).toBe(1);
  const frame = testFrame({ payload: pattern(1400), udp: true });
  const record = (4 + frame.length + 4 + 3) & ~3;
  const seen: number[][] = [];
  let at = 0;
  for (let round = 0; round < 7; round++) {
    wire.waiting.push(frame);
    card.poll();
    expect(read(0x37) & 1).toBe(0);
    const bytes = Array.from({ length: record }, (_, i) => board.ram[RING + ((at + i) % 8192)]!);
    seen.push(bytes);
    at = (at + record) % 8192;
    write(0x38, (at - 16) & 0xffff, 2);
    expect(read(0x37) & 1).toBe(1);
  }
  for (const bytes of seen) {
    expect(bytes.slice(0, 4)).toEqual([1, 0x40, (frame.length + 4) & 255, (frame.length + 4) >>> 8]);
    expect(Uint8Array.from(bytes.slice(4, 4 + frame.length))).toEqual(frame);
  }
});

test("a full ring keeps the frame until there is room", () => {
  const { wire, card, read, write, start } = bench();
  start();
  for (let i = 0; i < 8; i++) wire.waiting.push(testFrame({ payload: pattern(1400), udp: true }));
  card.poll();
  const cbr = read(0x3a, 2);
  expect(card.counters.receivedFrames).toBe(5);
  write(0x38, (cbr - 16) & 0xffff, 2);
  expect(card.counters.receivedFrames).toBe(8);
});

test("frames that a driver leaves in the ring are told again, though it has cleared their cause", () => {
  const { wire, card, read, write, start } = bench();
  start();
  wire.waiting.push(testFrame({ payload: pattern(50) }));
  card.poll();
  write(0x3e, 0xffff, 2);
  expect(read(0x3e, 2)).toBe(0);
  card.poll();
  expect(read(0x3e, 2)).toBe(1);
  write(0x38, (read(0x3a, 2) - 16) & 0xffff, 2);
  write(0x3e, 0xffff, 2);
  card.poll();
  expect(read(0x3e, 2)).toBe(0);
});

test("the filter: own address, broadcast, hash, everything", () => {
  const { wire, card, write, start } = bench();
  start(0x0e);
  const taken = (...to: number[]): boolean => {
    const before = card.counters.receivedFrames;
    wire.waiting.push(testFrame({ payload: pattern(50), to }));
    card.poll();
    return card.counters.receivedFrames > before;
  };
  const group = [0x01, 0x00, 0x5e, 0, 0, 1];
  expect([
    taken(...MAC),
    taken(2, 0, 0, 0, 0, 9),
    taken(...group),
    taken(255, 255, 255, 255, 255, 255),
  ]).toEqual([true, false, false, true]);
  // ether_crc of 01:00:5e:00:00:01 is 7F0BA1C3h in Linux, whose upper six bits are 31.
  write(0x08, 0x8000_0000, 4);
  expect(taken(...group)).toBe(true);
  write(0x44, 0x01, 4);
  expect(taken(2, 0, 0, 0, 0, 9)).toBe(true);
});

test("C+: checksums from the ground up, large segments in parts as large as the link takes, the place in the ring kept", () => {
  const { board, wire, read, write, startPlus } = bench();
  startPlus();
  const frame = testFrame({ payload: pattern(101) });
  const wrong = frame.slice();
  wrong.fill(0, 24, 26);
  wrong.fill(0, 50, 52);
  board.memory.write(0x5000, wrong);
  board.memory.write(0x4_0000, testFrame({ payload: pattern(20_000) }));
  board.memory.writeU32(TX, (OWN | 0x3000_0000 | (5 << 16) | wrong.length) >>> 0);
  board.memory.writeU32(TX + 8, 0x5000);
  board.memory.writeU32(TX + 16, (OWN | END | 0x3800_0000 | (1000 << 16) | 20_054) >>> 0);
  board.memory.writeU32(TX + 24, 0x4_0000);
  write(0xd9, 0x40);
  expect(wire.sent[0]).toEqual(frame);
  expect(wire.sent.slice(1).map(({ length }) => length)).toEqual([16_054, 4054]);
  for (const sent of wire.sent) expect(isIntact(sent, findSegment(sent)!)).toBe(true);
  expect([board.memory.readU32(TX) >>> 31, board.memory.readU32(TX + 16) >>> 31, read(0x3e, 2)]).toEqual([
    0, 0, 4,
  ]);
});

test("C+: received with a verdict on the checksums; without a descriptor it waits", () => {
  const { board, wire, card, read, startPlus } = bench();
  startPlus();
  const good = testFrame({ payload: pattern(90) });
  const bad = testFrame({ payload: pattern(90), udp: true });
  bad[90]! ^= 1;
  wire.waiting.push(good, bad, good, good, good);
  card.poll();
  expect(board.memory.view(RING, good.length)).toEqual(good);
  expect([0, 1, 3].map((i) => board.memory.readU32(RX + 16 * i))).toEqual([
    0x3001_0000 + good.length + 4,
    0x3002_4000 + bad.length + 4,
    0x7001_0000 + good.length + 4,
  ]);
  expect([card.counters.receivedFrames, read(0x3e, 2)]).toEqual([4, 1]);
  board.memory.writeU32(RX, (OWN | 1536) >>> 0);
  card.poll();
  expect(card.counters.receivedFrames).toBe(5);
});

test("cable, transceiver and timer", () => {
  const { board, card, read, write, start } = bench();
  start();
  expect([read(0x58) & 4, read(0x64, 2) & 4, read(0x68, 2)]).toEqual([0, 4, 0x45e1]);
  card.setCable(false);
  expect([read(0x58) & 4, read(0x64, 2) & 4, read(0x68, 2), read(0x3e, 2)]).toEqual([4, 0, 0, 0x20]);
  write(0x3e, 0x20, 2);
  write(0x48, 0, 4);
  write(0x54, 1000, 4);
  board.pass(29_000);
  expect(read(0x3e, 2)).toBe(0);
  board.pass(1_000);
  expect([read(0x3e, 2), read(0x48, 4)]).toEqual([0x4000, 1000]);
});

test("registers and descriptors of any kind neither throw nor hang nor leave RAM", () => {
  fc.assert(
    fc.property(
      fc.array(
        fc.record({
          at: fc.integer({ min: 0, max: 255 }),
          size: fc.constantFrom(1, 2, 4),
          value: fc.oneof(fc.integer({ min: 0, max: 0xffff_ffff }), fc.integer({ min: 0, max: 0xffff })),
        }),
        { maxLength: 80 },
      ),
      fc.uint8Array({ minLength: 256, maxLength: 256 }),
      fc.boolean(),
      (writes, descriptors, plus) => {
        const { board, wire, card, read, write, start, startPlus } = bench();
        if (plus) startPlus();
        else start();
        board.ram.set(descriptors, TX);
        for (const { at, size, value } of writes) {
          write(at, value >>> (32 - 8 * size), size);
          read(at, size);
          wire.waiting.push(testFrame({ payload: pattern(300) }));
          card.poll();
        }
        expect(board.dirty.every(([at, length]) => at + length <= board.ram.length)).toBe(true);
      },
    ),
    { numRuns: 200 },
  );
});
