import { expect, test } from "vitest";
import { IoApic, IO_APIC_BASE } from "../../../emulator/devices/io-apic.ts";
import { LocalApic, LOCAL_APIC_BASE } from "../../../emulator/devices/local-apic.ts";
import { PicPair } from "../../../emulator/devices/pic.ts";
import { BenchBoard } from "../../support/bench-board.ts";

function picBench() {
  const board = new BenchBoard();
  let intr = false;
  const pic = new PicPair({
    ports: board.ports,
    lines: board.lines,
    onOutput: (asserted) => (intr = asserted),
  });
  for (const [at, vector, cascade] of [
    [0x20, 0x30, 4],
    [0xa0, 0x38, 2],
  ] as const) {
    board.out(at, 0x11);
    for (const value of [vector, cascade, 1, 0]) board.out(at + 1, value);
  }
  return { board, pic, intr: () => intr };
}

test("8259: an edge is latched, acknowledged and ended", () => {
  const { board, pic, intr } = picBench();
  const line = board.lines.wire(4);
  line.set(true);
  line.set(false);
  expect(intr()).toBe(true);
  expect(pic.acknowledge()).toBe(0x34);
  expect(intr()).toBe(false);
  board.out(0x20, 0x0b);
  expect(board.in(0x20)).toBe(0x10);
  board.out(0x20, 0x20);
  expect(board.in(0x20)).toBe(0);
});

test("8259: the second chip interrupts through line 2, below lines 0 and 1", () => {
  const { board, pic } = picBench();
  board.lines.wire(8).set(true);
  expect(pic.acknowledge()).toBe(0x38);
  board.lines.wire(1).set(true);
  expect(pic.acknowledge()).toBe(0x31);
  board.lines.wire(4).set(true);
  board.out(0x20, 0x20);
  expect(pic.acknowledge()).toBe(0x37);
});

test("8259: masked requests wait; a level follows its line; a request that vanished is vector 7", () => {
  const { board, pic, intr } = picBench();
  board.out(0x21, 0xff);
  board.lines.wire(5).set(true);
  expect(intr()).toBe(false);
  board.out(0x21, 0x00);
  expect(intr()).toBe(true);
  expect(pic.acknowledge()).toBe(0x35);
  board.out(0x20, 0x65);
  board.out(0x4d1, 0x0c);
  expect(board.in(0x4d1)).toBe(0x0c);
  const level = board.lines.wire(11);
  level.set(true);
  expect(intr()).toBe(true);
  level.set(false);
  expect(intr()).toBe(false);
  expect(pic.acknowledge()).toBe(0x37);
});

test("8259: automatic EOI and rotation", () => {
  const { board, pic } = picBench();
  board.out(0x20, 0x11);
  for (const value of [0x30, 4, 3, 0]) board.out(0x21, value);
  board.lines.wire(3).set(true);
  expect(pic.acknowledge()).toBe(0x33);
  board.out(0x20, 0x0b);
  expect(board.in(0x20)).toBe(0);
  board.out(0x20, 0xc3);
  board.lines.wire(1).set(true);
  board.lines.wire(4).set(true);
  expect(pic.acknowledge()).toBe(0x34);
});

/** `lateNs`: what passes at each look at the clock, as on a host that runs something else in between. */
function apicBench({ lateNs = 0 } = {}) {
  const board = new BenchBoard();
  let late = 0;
  const state = { pin: false, nmis: 0, smis: 0, eois: [] as number[] };
  const apic = new LocalApic({
    mmio: board.mmio,
    timers: board.timers,
    now: () => board.now() + (late += lateNs),
    setPin: (asserted) => (state.pin = asserted),
    raiseNmi: () => state.nmis++,
    raiseSmi: () => state.smis++,
    acknowledgePic: () => 0x30,
    onEoi: (vector) => state.eois.push(vector),
  });
  const at = (offset: number): number => LOCAL_APIC_BASE + offset;
  board.poke(at(0xf0), 0x1ff);
  return {
    board,
    apic,
    state,
    read: (offset: number) => board.peek(at(offset)),
    write: (offset: number, value: number) => board.poke(at(offset), value),
  };
}

test("local APIC: higher classes interrupt lower ones, EOI ends the highest", () => {
  const { apic, state, read, write } = apicBench();
  apic.receive(0xfee0_0000, 0x41);
  apic.receive(0xfee0_0000, 0x83);
  expect([state.pin, apic.acknowledge()]).toEqual([true, 0x83]);
  expect([state.pin, apic.acknowledge(), read(0xa0)]).toEqual([false, -1, 0x80]);
  apic.receive(0xfee0_0000, 0x91);
  expect(apic.acknowledge()).toBe(0x91);
  write(0xb0, 0);
  expect([read(0x140), read(0x100 + 0x40)]).toEqual([0x8, 0x8]);
  write(0xb0, 0);
  expect(apic.acknowledge()).toBe(0x41);
});

test("local APIC: TPR and CR8 are one register and hold back their class", () => {
  const { apic, state, read, write } = apicBench();
  apic.cr8 = 5;
  expect(read(0x80)).toBe(0x50);
  apic.receive(0xfee0_0000, 0x5f);
  expect(state.pin).toBe(false);
  write(0x80, 0x40);
  expect([state.pin, apic.cr8]).toEqual([true, 4]);
});

test("local APIC: one-shot and periodic counts at 25 MHz", () => {
  const { board, apic, state, read, write } = apicBench();
  write(0x3e0, 0x0b);
  write(0x320, 0x40);
  write(0x380, 1000);
  board.pass(20_000);
  expect([read(0x390), state.pin]).toEqual([500, false]);
  board.pass(20_000);
  expect([read(0x390), apic.acknowledge()]).toEqual([0, 0x40]);
  write(0xb0, 0);
  write(0x3e0, 0x00);
  write(0x320, 0x2_0041);
  write(0x380, 500);
  for (let i = 0; i < 3; i++) {
    board.pass(40_000);
    expect(apic.acknowledge()).toBe(0x41);
    write(0xb0, 0);
  }
  write(0x320, 0x3_0041);
  board.pass(40_000);
  expect(apic.acknowledge()).toBe(-1);
});

test("local APIC: a count that ran out while the host was away still interrupts, once", () => {
  const { board, apic, write } = apicBench({ lateNs: 50_000 });
  write(0x3e0, 0x0b);
  write(0x320, 0x40);
  // Each look at the clock finds it past the whole count.
  write(0x380, 1000);
  write(0x320, 0x41);
  board.pass(500_000);
  expect(apic.acknowledge()).toBe(0x41);
  write(0xb0, 0);
  write(0x320, 0x42);
  write(0x3e0, 0x0b);
  expect(board.timers.nextNs).toBe(Infinity);
  write(0x380, 1000);
  board.pass(500_000);
  expect(apic.acknowledge()).toBe(0x42);
});

test("local APIC: TSC deadline, also in the past, and never in another mode", () => {
  const { board, apic, write } = apicBench();
  apic.setDeadline(5);
  board.pass(10);
  expect(apic.acknowledge()).toBe(-1);
  write(0x320, 0x4_0050);
  apic.setDeadline(1_000);
  board.pass(989);
  expect(apic.acknowledge()).toBe(-1);
  board.pass(1);
  expect(apic.acknowledge()).toBe(0x50);
  write(0xb0, 0);
  apic.setDeadline(1);
  board.pass(0);
  expect(apic.acknowledge()).toBe(0x50);
});

test("local APIC: self-IPI, illegal vectors, NMI, and the spurious enable bit", () => {
  const { apic, state, read, write } = apicBench();
  write(0x300, 0x4_0061);
  expect(apic.acknowledge()).toBe(0x61);
  write(0xb0, 0);
  write(0x300, 0x4_0005);
  write(0x280, 0);
  expect(read(0x280)).toBe(0x20);
  apic.receive(0xfee0_0000, 0x400);
  apic.receive(0xfee0_5000, 0x62);
  expect([state.nmis, state.pin]).toEqual([1, false]);
  write(0xf0, 0xff);
  apic.receive(0xfee0_0000, 0x62);
  expect([state.pin, read(0x350) & 0x1_0000]).toEqual([false, 0x1_0000]);
});

test("local APIC: the 8259 pair passes through LINT0, or through an APIC that is off", () => {
  const { apic, state } = apicBench();
  apic.setExternal(true);
  expect(state.pin).toBe(false);
  apic.enterVirtualWireMode();
  expect([state.pin, apic.acknowledge()]).toEqual([true, 0x30]);
  apic.setGlobalEnable(0xfee0_0100);
  expect(state.pin).toBe(true);
  apic.setExternal(false);
  expect(state.pin).toBe(false);
});

function ioApicBench() {
  const board = new BenchBoard();
  const sent: [number, number][] = [];
  const apic = new IoApic({
    mmio: board.mmio,
    lines: board.lines,
    send: (address, data) => sent.push([address, data]),
  });
  const write = (index: number, value: number): void => {
    board.poke(IO_APIC_BASE, index);
    board.poke(IO_APIC_BASE + 0x10, value);
  };
  const read = (index: number): number => (board.poke(IO_APIC_BASE, index), board.peek(IO_APIC_BASE + 0x10));
  return { board, apic, sent, read, write };
}

test("IOAPIC: 24 masked inputs; the timer is input 2; an edge that finds a mask is lost", () => {
  const { board, sent, read, write } = ioApicBench();
  expect([read(1), read(0x10)]).toEqual([0x0017_0011, 0x1_0000]);
  const timer = board.lines.wire(0);
  timer.set(true);
  timer.set(false);
  write(0x14, 0x30);
  write(0x15, 0x0100_0000);
  expect(sent).toEqual([]);
  timer.set(true);
  expect(sent).toEqual([[0xfee0_1000, 0x30]]);
});

test("IOAPIC: a level is sent once until EOI, and again while it is asserted", () => {
  const { board, apic, sent, read, write } = ioApicBench();
  const wire = board.lines.wire(11);
  wire.set(true);
  write(0x10 + 22, 0x8000 | 0x55);
  expect(sent).toEqual([[0xfee0_0000, 0xc055]]);
  expect(read(0x10 + 22) & 0x4000).toBe(0x4000);
  wire.set(false);
  wire.set(true);
  expect(sent.length).toBe(1);
  apic.endOfInterrupt(0x55);
  expect(sent.length).toBe(2);
  wire.set(false);
  apic.endOfInterrupt(0x55);
  expect([sent.length, read(0x10 + 22) & 0x4000]).toEqual([2, 0]);
});
