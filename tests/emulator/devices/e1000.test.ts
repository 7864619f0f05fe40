import * as fc from "fast-check";
import { expect, test } from "vitest";
import { E1000 } from "../../../emulator/devices/e1000/card.ts";
import { findSegment, isIntact } from "../../../emulator/devices/ethernet/checksum.ts";
import { PciBus } from "../../../emulator/bus/pci.ts";
import { BenchBoard } from "../../support/bench-board.ts";
import { readMicrowire } from "../../support/microwire.ts";
import { TestWire, testFrame } from "../../support/test-wire.ts";

const BAR = 0xfe00_0000;
const MAC = Uint8Array.of(0x52, 0x54, 0, 0x12, 0x34, 0x56);
const RX = 0x1000;
const TX = 0x2000;
const BUFFERS = 0x1_0000;
const Reg = {
  CTRL: 0x0,
  STATUS: 0x8,
  EECD: 0x10,
  EERD: 0x14,
  MDIC: 0x20,
  ICR: 0xc0,
  ITR: 0xc4,
  ICS: 0xc8,
  IMS: 0xd0,
  IMC: 0xd8,
  RCTL: 0x100,
  TCTL: 0x400,
  RDBAL: 0x2800,
  RDLEN: 0x2808,
  RDH: 0x2810,
  RDT: 0x2818,
  TDBAL: 0x3800,
  TDLEN: 0x3808,
  TDH: 0x3810,
  TDT: 0x3818,
  GPRC: 0x4074,
  RXCSUM: 0x5000,
  MTA: 0x5200,
  RAL: 0x5400,
} as const;

const pattern = (length: number, seed = 1): Uint8Array =>
  Uint8Array.from({ length }, (_, i) => (i * 7 + seed) & 0xff);

function bench() {
  const board = new BenchBoard();
  const wire = new TestWire();
  const bus = new PciBus({ mmio: board.mmio, ports: board.ports, onResetControl: () => {} });
  const card = new E1000({
    mac: MAC,
    wire,
    memory: board.memory,
    irq: board.lines.wire(11),
    interruptLine: 11,
    timers: board.timers,
    now: board.now,
    address: BAR,
    ioAddress: 0xc100,
  });
  bus.add(5, 0, card.pci);
  const read = (at: number): number => board.peek(BAR + at);
  const write = (at: number, value: number): void => board.poke(BAR + at, value);
  /** Rings of 8 descriptors, buffers of 2 KiB, everything on. */
  const start = (rctl = 0x8002): void => {
    write(Reg.CTRL, 0x40);
    write(Reg.RDBAL, RX);
    write(Reg.RDLEN, 128);
    for (let i = 0; i < 8; i++) board.memory.writeU32(RX + 16 * i, BUFFERS + 0x800 * i);
    write(Reg.RDT, 7);
    write(Reg.TDBAL, TX);
    write(Reg.TDLEN, 128);
    write(Reg.RCTL, rctl);
    write(Reg.TCTL, 2);
    write(Reg.IMS, 0xffff);
  };
  let tail = 0;
  const describe = (...words: [number, number, number]): void => {
    const at = TX + 16 * tail;
    board.memory.writeU32(at, words[0]);
    board.memory.writeU32(at + 4, words[1] < 0 ? 0 : words[1]);
    board.memory.writeU32(at + 8, words[2]);
    tail = (tail + 1) % 8;
  };
  const popts = (value: number): void => board.memory.writeU32(TX + 16 * ((tail + 7) % 8) + 12, value);
  const kick = (): void => write(Reg.TDT, tail);
  const received = (i: number): Uint8Array =>
    board.memory.view(BUFFERS + 0x800 * i, board.memory.readU16(RX + 16 * i + 8)).slice();
  return { board, wire, card, read, write, start, describe, popts, kick, received };
}

test("identity, address out of the EEPROM by both ways, and its sum", () => {
  const { card, read, write } = bench();
  expect([card.pci.read(0, 4), card.pci.read(8, 4) >>> 8]).toEqual([0x100e_8086, 0x020000]);
  const words = Array.from({ length: 64 }, (_, i) => {
    write(Reg.EERD, (i << 8) | 1);
    return read(Reg.EERD) >>> 16;
  });
  expect(words.slice(0, 3)).toEqual([0x5452, 0x1200, 0x5634]);
  expect(words.reduce((sum, word) => sum + word, 0) & 0xffff).toBe(0xbaba);
  const pins = {
    drive: (select: boolean, clock: boolean, input: boolean) =>
      write(Reg.EECD, (clock ? 1 : 0) | (select ? 2 : 0) | (input ? 4 : 0)),
    sense: () => (read(Reg.EECD) & 8) !== 0,
  };
  expect([0, 1, 2, 63].map((at) => readMicrowire(pins, at))).toEqual([...words.slice(0, 3), words[63]]);
  expect([read(Reg.RAL), read(Reg.RAL + 4)]).toEqual([0x1200_5452, 0x8000_5634]);
});

test("the transceiver: identity, link that stays low until it is read, nobody at other addresses", () => {
  const { card, read, write } = bench();
  const phy = (register: number, address = 1): number => {
    write(Reg.MDIC, (2 << 26) | (address << 21) | (register << 16));
    return read(Reg.MDIC);
  };
  expect([phy(2) & 0xffff, phy(3) & 0xffff]).toEqual([0x0141, 0x0c20]);
  expect(phy(1) & 0x24).toBe(0x24);
  card.setCable(false);
  card.setCable(true);
  expect([phy(1) & 4, phy(1) & 4]).toEqual([0, 4]);
  expect(phy(2, 7) >>> 28).toBe(5);
  write(Reg.MDIC, (1 << 26) | (1 << 21) | (4 << 16) | 0x0123);
  expect(phy(4) & 0xffff).toBe(0x0123);
});

test("legacy descriptors: a packet in two parts, with a checksum, reported and told", () => {
  const { board, wire, read, start, describe, kick, write } = bench();
  start();
  const frame = testFrame({ payload: pattern(99) });
  const right = [...frame.subarray(50, 52)];
  // The driver leaves the pseudo-header's sum.
  const sum = 0x0a00 + 0x0202 + 0x0a00 + 0x020f + 6 + 20 + 99;
  frame.set([sum >>> 8, sum & 0xff], 50);
  board.memory.write(0x5000, frame.subarray(0, 60));
  board.memory.write(0x6000, frame.subarray(60));
  describe(0x5000, 0, 60);
  describe(0x6000, 0, (frame.length - 60) | (50 << 16) | (0x0d << 24));
  board.memory.writeU8(TX + 16 + 13, 34);
  kick();
  expect([...wire.sent[0]!.subarray(50, 52)]).toEqual(right);
  expect([read(Reg.TDH), board.memory.readU8(TX + 16 + 12)]).toEqual([2, 1]);
  expect(board.edges).toEqual(["+11"]);
  expect([read(Reg.ICR), read(Reg.ICR)]).toEqual([3, 0]);
  expect(board.edges).toEqual(["+11", "-11"]);
  write(Reg.TCTL, 0);
  describe(0x5000, 0, 60 | (0x09 << 24));
  kick();
  expect(wire.sent.length).toBe(1);
});

test("context and data descriptors: a large segment goes in parts as large as the link takes, and waits where the wire is full", () => {
  const { board, wire, card, read, start, describe, popts, kick } = bench();
  start();
  board.memory.write(0x4_0000, testFrame({ payload: pattern(36_000), flags: 0x18 }));
  describe(14 | (24 << 8) | (33 << 16), 34 | (50 << 8), (0x25 << 24) | 36_000);
  popts((54 << 8) | (1000 << 16));
  describe(0x4_0000, 0, ((0x20 | 0x0d) << 24) | (1 << 20) | (54 + 36_000));
  popts(0x300);
  describe(0x5000, 0, 60 | (0x09 << 24));
  wire.room = 1;
  kick();
  expect([wire.sent.length, read(Reg.TDH)]).toEqual([1, 2]);
  wire.room = Infinity;
  card.poll();
  expect(wire.sent.map(({ length }) => length)).toEqual([16_054, 16_054, 4054, 60]);
  for (const frame of wire.sent.slice(0, 3)) expect(isIntact(frame, findSegment(frame)!)).toBe(true);
});

test("received: into the next buffer with its FCS, its checksums judged", () => {
  const { board, wire, card, read, write, start, received } = bench();
  start();
  write(Reg.RXCSUM, 0x300);
  const good = testFrame({ payload: pattern(70) });
  const bad = testFrame({ payload: pattern(70) });
  bad[100]! ^= 1;
  wire.waiting.push(good, bad);
  card.poll();
  expect(received(0).subarray(0, -4)).toEqual(good);
  expect(received(0).length).toBe(good.length + 4);
  expect([0, 1].map((i) => board.memory.readU16(RX + 16 * i + 12))).toEqual([0x0063, 0x2063]);
  expect([read(Reg.RDH), read(Reg.GPRC), read(Reg.GPRC)]).toEqual([2, 2, 0]);
  expect(read(Reg.ICR) & 0x80).toBe(0x80);
});

test("a segment longer than the MTU, as the link brings it, is cut", () => {
  const { wire, card, start, received } = bench();
  start();
  wire.waiting.push(testFrame({ payload: pattern(4000) }), testFrame({ payload: pattern(4000), udp: true }));
  card.poll();
  expect([0, 1, 2].map((at) => received(at).length - 4)).toEqual([1514, 1514, 54 + 1080]);
  expect(card.counters.receivedFrames).toBe(3);
});

test("small buffers: one frame over several; without free ones it waits", () => {
  const { board, wire, card, read, write, start } = bench();
  start(0x0403_8002);
  const frame = testFrame({ payload: pattern(600), udp: true });
  wire.waiting.push(frame, frame, frame);
  card.poll();
  const bytes = [0, 1, 2].flatMap((i) => [
    ...board.memory.view(BUFFERS + 0x800 * i, board.memory.readU16(RX + 16 * i + 8)),
  ]);
  expect(Uint8Array.from(bytes)).toEqual(frame);
  expect([0, 1, 2].map((i) => board.memory.readU8(RX + 16 * i + 12) & 3)).toEqual([1, 1, 3]);
  expect(read(Reg.RDH)).toBe(6);
  write(Reg.RDT, 5);
  expect(read(Reg.RDH)).toBe(1);
});

test("the filter: exact, broadcast, hash and promiscuous", () => {
  const { wire, card, read, write, start } = bench();
  start();
  const taken = (...to: number[]): number => {
    const before = read(Reg.RDH);
    wire.waiting.push(testFrame({ payload: pattern(50), to }));
    card.poll();
    const count = (read(Reg.RDH) - before + 8) % 8;
    write(Reg.RDT, (read(Reg.RDH) + 7) % 8);
    return count;
  };
  const group = [0x33, 0x33, 0, 0, 0, 1];
  expect([
    taken(...MAC),
    taken(2, 0, 0, 0, 0, 9),
    taken(...group),
    taken(255, 255, 255, 255, 255, 255),
  ]).toEqual([1, 0, 0, 1]);
  const hash = 0x0100 >>> 4;
  write(Reg.MTA + 4 * (hash >>> 5), 1 << (hash & 31));
  expect(taken(...group)).toBe(1);
  write(Reg.RCTL, 0x800a);
  expect(taken(2, 0, 0, 0, 0, 9)).toBe(1);
});

test("interrupts: mask, and the throttle in guest time", () => {
  const { board, read, write, start } = bench();
  start();
  write(Reg.ITR, 1000);
  write(Reg.ICS, 0x80);
  expect(board.edges).toEqual(["+11"]);
  read(Reg.ICR);
  write(Reg.ICS, 0x80);
  expect(board.edges).toEqual(["+11", "-11"]);
  board.pass(256_000);
  expect(board.edges).toEqual(["+11", "-11", "+11"]);
  write(Reg.IMC, 0x80);
  expect(board.edges.at(-1)).toBe("-11");
});

test("the cable and a reset", () => {
  const { card, wire, read, write, start } = bench();
  start();
  card.setCable(false);
  expect([read(Reg.STATUS) & 2, read(Reg.ICR) & 4]).toEqual([0, 4]);
  card.setCable(true);
  expect(read(Reg.STATUS) & 2).toBe(2);
  write(Reg.CTRL, 1 << 26);
  expect([read(Reg.RDT), read(Reg.IMS), read(Reg.CTRL) >>> 26, read(Reg.RAL)]).toEqual([
    0, 0, 0, 0x1200_5452,
  ]);
  wire.waiting.push(testFrame({ payload: pattern(9) }));
  card.poll();
  expect(card.counters.dropped).toBe(1);
});

test("registers and descriptors of any kind neither throw nor hang nor leave RAM", () => {
  fc.assert(
    fc.property(
      fc.array(
        fc.tuple(
          fc.oneof(
            fc.constantFrom(...Object.values(Reg)),
            fc.integer({ min: 0, max: 0x7fff }).map((n) => n * 4),
          ),
          fc.oneof(fc.integer({ min: 0, max: 0xffff_ffff }), fc.integer({ min: 0, max: 0xffff })),
        ),
        { maxLength: 60 },
      ),
      fc.uint8Array({ minLength: 256, maxLength: 256 }),
      (writes, descriptors) => {
        const { board, wire, card, read, write, start } = bench();
        start();
        board.ram.set(descriptors, TX);
        for (const [at, value] of writes) {
          write(at, value);
          read(at);
          wire.waiting.push(testFrame({ payload: pattern(300) }));
          card.poll();
        }
        expect(board.dirty.every(([at, size]) => at + size <= board.ram.length)).toBe(true);
      },
    ),
    { numRuns: 200 },
  );
});
