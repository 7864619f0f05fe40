import { expect, test } from "vitest";
import { AddressMap, PortMap } from "../../../emulator/bus/address-map.ts";
import { InterruptLines, pciGsi } from "../../../emulator/bus/interrupts.ts";
import { Msix } from "../../../emulator/bus/msix.ts";
import { PciBus, PciFunction } from "../../../emulator/bus/pci.ts";
import { nextTick, Timers } from "../../../emulator/bus/timers.ts";
import { BenchBoard } from "../../support/bench-board.ts";

const echo = { read: (offset: number) => offset, write: () => {} };

test("ports without an owner float, and a port cannot be claimed twice", () => {
  const ports = new PortMap();
  ports.claim(0x60, 2, echo);
  expect([ports.read(0x60, 1), ports.read(0x61, 1), ports.read(0x62, 1), ports.read(0x1234, 4)]).toEqual([
    0, 1, 0xff, 0xffff_ffff,
  ]);
  expect(() => ports.claim(0x61, 1, echo)).toThrow("port 0x61 has an owner");
});

test("memory regions come and go; the first placed answers where two overlap", () => {
  const map = new AddressMap();
  const one = { read: () => 1, write: () => {} };
  const two = { read: () => 2, write: () => {} };
  map.place(0x1000, 0x1000, one);
  map.place(0x1800, 0x1000, two);
  expect([map.read(0x1800, 4), map.read(0x2000, 4)]).toEqual([1, 2]);
  map.remove(one);
  expect([map.read(0x1000, 1), map.read(0x1800, 4)]).toEqual([0xff, 2]);
});

test("a shared line falls when its last wire falls", () => {
  const board = new BenchBoard();
  const [a, b] = [board.lines.wire(11), board.lines.wire(11)];
  a.set(true);
  a.set(true);
  b.set(true);
  a.set(false);
  expect(board.edges).toEqual(["+11"]);
  b.set(false);
  expect(board.edges).toEqual(["+11", "-11"]);
});

test("INTA# of slots 1 to 4 is GSI 11, 12, 13, 10", () => {
  expect([1, 2, 3, 4].map((slot) => pciGsi(slot, 0))).toEqual([11, 12, 13, 10]);
});

test("guest memory reads zeros and swallows writes outside RAM, and reports what devices wrote", () => {
  const { memory, dirty } = new BenchBoard();
  memory.writeU32(0xffffe, 1);
  memory.write(2 ** 40, Uint8Array.of(1));
  memory.write(0x10, Uint8Array.of(1, 2, 3));
  expect(dirty).toEqual([[0x10, 3]]);
  expect([memory.readU32(0x10), memory.readU32(0xffffe), memory.readU64(2 ** 52)]).toEqual([0x030201, 0, 0]);
  expect(memory.view(0xfffff, 2).length).toBe(0);
});

test("timers fire in order of deadline, and a timer that always re-arms does not hang the host", () => {
  const earlier: number[] = [];
  const timers = new Timers((at) => earlier.push(at));
  const fired: string[] = [];
  const a = timers.create((at) => fired.push(`a${at}`));
  const b = timers.create((at) => fired.push(`b${at}`));
  a.arm(20);
  b.arm(10);
  b.arm(30);
  expect([timers.nextNs, a.armed]).toEqual([20, true]);
  timers.runDue(40);
  expect(fired).toEqual(["a20", "b30"]);
  expect([earlier, timers.nextNs, a.armed]).toEqual([[20, 10], Infinity, false]);
  let rounds = 0;
  const greedy = timers.create(() => (rounds++, greedy.arm(0)));
  greedy.arm(0);
  timers.runDue(1);
  expect(rounds).toBe(256);
});

test("a periodic timer catches up tick by tick, unless it is hopelessly late", () => {
  expect(nextTick(100, 10, 105)).toBe(110);
  expect(nextTick(100, 10, 400)).toBe(110);
  expect(nextTick(100, 10, 10_105)).toBe(10_100);
});

function pciBench() {
  const board = new BenchBoard();
  const resets: number[] = [];
  const bus = new PciBus({
    mmio: board.mmio,
    ports: board.ports,
    onResetControl: (value) => resets.push(value),
  });
  const fn = new PciFunction({ vendor: 0x1af4, device: 0x1042, classCode: 0x010000, revision: 1 }, [
    { index: 0, kind: "memory64", sizeBytes: 0x4000, address: 0xfe00_0000, region: echo },
    { index: 2, kind: "io", sizeBytes: 0x40, address: 0xc000, region: echo },
  ]);
  bus.add(9, 0, fn);
  const select = (offset: number, slot = 9): void =>
    board.out(0xcf8, 0x8000_0000 + slot * 0x800 + (offset & 0xfc), 4);
  return {
    board,
    fn,
    resets,
    read: (offset: number, size = 4, slot = 9) => (
      select(offset, slot),
      board.in(0xcfc + (offset & 3), size)
    ),
    write: (offset: number, value: number, size = 4) => (
      select(offset),
      board.out(0xcfc + (offset & 3), value, size)
    ),
  };
}

test("configuration mechanism #1 finds functions, and absent ones are all ones", () => {
  const pci = pciBench();
  expect(pci.read(0)).toBe(0x10421af4);
  expect(pci.read(2, 2)).toBe(0x1042);
  expect(pci.read(0x0b, 1)).toBe(0x01);
  expect(pci.read(0, 4, 10)).toBe(0xffff_ffff);
  pci.board.out(0xcf8, 0, 4);
  expect(pci.board.in(0xcfc, 4)).toBe(0xffff_ffff);
});

test("port CF9 is reset control, not the middle of CONFIG_ADDRESS", () => {
  const pci = pciBench();
  pci.board.out(0xcf9, 0x06);
  expect(pci.resets).toEqual([0x06]);
});

test("BARs are sized by the probing protocol", () => {
  const pci = pciBench();
  pci.write(4, 0, 2);
  for (const at of [0x10, 0x14, 0x18, 0x1c]) pci.write(at, 0xffff_ffff);
  expect([0x10, 0x14, 0x18, 0x1c].map((at) => pci.read(at))).toEqual([
    0xffff_c004, 0xffff_ffff, 0x0000_ffc1, 0,
  ]);
});

test("BARs move, and answer only while decoding is on", () => {
  const pci = pciBench();
  expect(pci.board.peek(0xfe00_0010)).toBe(0x10);
  expect(pci.board.in(0xc004)).toBe(4);
  pci.write(0x10, 0xe000_0000);
  expect(pci.board.peek(0xfe00_0010)).toBe(0xffff_ffff);
  expect(pci.board.peek(0xe000_0010)).toBe(0x10);
  pci.write(0x14, 1);
  expect(pci.board.peek(0xe000_0010)).toBe(0xffff_ffff);
  pci.write(0x14, 0);
  pci.write(4, 0, 2);
  expect([pci.board.peek(0xe000_0010), pci.board.in(0xc004)]).toEqual([0xffff_ffff, 0xff]);
});

test("MSI-X sends, masks, remembers and sends again", () => {
  const sent: [number, number][] = [];
  const msix = new Msix(2, (address, data) => sent.push([address, data]));
  const pci = pciBench();
  msix.attach(pci.fn, 2);
  const control = pci.read(0x34, 1) + 2;
  expect(pci.read(control - 2)).toBe(0x0001_0011);
  msix.write(0x10, 4, 0xfee0_0000);
  msix.write(0x18, 4, 0x31);
  msix.notify(1);
  expect(sent).toEqual([]);
  pci.write(control, 0x8000, 2);
  msix.notify(1);
  expect([sent.length, msix.read(0x800, 4)]).toEqual([0, 2]);
  msix.write(0x1c, 4, 0);
  expect(sent).toEqual([[0xfee0_0000, 0x31]]);
  pci.write(control, 0xc000, 2);
  msix.notify(1);
  msix.notify(7);
  expect([sent.length, msix.read(0x800, 4)]).toEqual([1, 2]);
  pci.write(control, 0x8000, 2);
  expect([sent.length, msix.read(0x800, 4)]).toEqual([2, 0]);
});

test("lines keep their level", () => {
  const lines = new InterruptLines();
  const wire = lines.wire(9);
  wire.set(true);
  expect([lines.level(9), lines.level(10)]).toEqual([true, false]);
});
