import { beforeEach, describe, expect, test } from "vitest";
import { at, setRegister, setSegment } from "../../support/cpu-bench.ts";
import { DATA, LongRig } from "./long-rig.ts";

/** What the native vectors do not reach of AVX: #UD and #NM rules, faults in the middle, exceptions of two lanes. */
const DB = 1,
  UD = 6,
  NM = 7,
  GP = 13,
  PF = 14,
  XM = 19;
const ones = 0xffffffff;

let rig: LongRig;
beforeEach(() => {
  rig = new LongRig();
});

describe("a VEX prefix (SDM 2A §2.3, table 2-18)", () => {
  const VPADDD = "c5f1fec2",
    VPADDD_WIDE = "c5f5fec2",
    ANDN = "c4e270f2c2";
  test("works where AVX is enabled", () => {
    rig.setYmm(0, [9]);
    rig.setYmm(1, [1, 2, 3, 4, 5, 6, 7, 8]);
    rig.setYmm(2, [10]);
    expect(rig.run(VPADDD)).toBeUndefined();
    expect(rig.ymm(0)).toEqual([11, 12, 13, 14, 0, 0, 0, 0]);
    expect(rig.run(VPADDD_WIDE)).toBeUndefined();
    expect(rig.ymm(0)).toEqual([11, 12, 13, 14, 15, 16, 17, 18]);
  });
  test.each(["f0", "66", "f2", "f3", "48", "40"])("after %s is #UD", (prefix) => {
    expect(rig.run(prefix + VPADDD)).toBe(UD);
    expect(rig.run(prefix + ANDN)).toBe(UD);
  });
  test.each(["2e", "64", "67"])("after %s is not", (prefix) => {
    expect(rig.run(prefix + VPADDD)).toBeUndefined();
  });
  test.each([
    ["c5f06f06", "a map without this opcode and prefix"],
    ["c5f16f06", "vvvv where no register is named"],
    ["c5f5 6ec0", "L of an instruction that has 128 bits only"],
    ["c4e274f2c2", "L of an instruction of general registers"],
    ["c4e2fd18c0", "W = 1 of an instruction that has W = 0 only"],
    ["c4e40058c0", "a map that does not exist"],
    ["c4e26d2cc6", "a register where only memory can be"],
    ["c5f9 5006", "memory where only a register can be"],
  ])("%s is #UD: %s", (code) => {
    expect(rig.run(code)).toBe(UD);
  });
  test("needs CR4.OSXSAVE and both components of XCR0; general registers need neither", () => {
    rig.cpu.view.setBigUint64(at("XCR0"), 3n, true);
    expect(rig.run(VPADDD)).toBe(UD);
    rig.cpu.view.setBigUint64(at("XCR0"), 7n, true);
    rig.change("CR4", (cr4) => cr4 & ~0x40000n);
    expect(rig.run(VPADDD)).toBe(UD);
    expect(rig.run(ANDN)).toBeUndefined();
  });
  test("with CR0.TS is #NM, but CR0.EM does not count", () => {
    rig.change("CR0", (cr0) => cr0 | 8n);
    expect(rig.run(VPADDD)).toBe(NM);
    expect(rig.run(ANDN)).toBeUndefined();
    rig.change("CR0", (cr0) => (cr0 & ~8n) | 4n);
    expect(rig.run(VPADDD)).toBeUndefined();
  });
  test("outside 64-bit mode is LDS and LES with memory, and registers have three bits", () => {
    setSegment(rig.cpu, "cs", { selector: 0x10, attributes: 0xc9b, limit: ones, base: 0n });
    rig.cpu.reload();
    rig.setYmm(1, [1]);
    rig.setYmm(2, [2]);
    expect(rig.run(VPADDD)).toBeUndefined();
    expect(rig.ymm(0)).toEqual([3, 3, 3, 3, 0, 0, 0, 0]);
    // Bit 6 of the last byte of a three-byte prefix would name XMM9; VEX.B would name XMM10.
    expect(rig.run("c4c1 31 fec2")).toBeUndefined();
    expect(rig.ymm(0)).toEqual([3, 3, 3, 3, 0, 0, 0, 0]);
    // LDS EAX, [ESI] with a null selector.
    expect(rig.run("c506")).toBeUndefined();
  });
});

describe("memory operands (SDM 2A table 2-21)", () => {
  test("need no alignment, but for those of VMOVAPS", () => {
    expect(rig.run("c5f4584601")).toBeUndefined();
    expect(rig.run("c4e279174601")).toBeUndefined();
    expect(rig.run("c5fc2806")).toBeUndefined();
    setRegister(rig.cpu, "rsi", BigInt(DATA + 16));
    expect(rig.run("c5fc2806")).toBe(GP);
    expect(rig.run("c5fc2906")).toBe(GP);
    expect(rig.run("c5f82806")).toBeUndefined();
  });
  test("cross pages", () => {
    for (let k = 0; k < 8; k++) rig.ram.setUint32(DATA + 0xff4 + 4 * k, k + 1, true);
    setRegister(rig.cpu, "rsi", BigInt(DATA + 0xff4));
    rig.run("c5fc1006");
    expect(rig.ymm(0)).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
    setRegister(rig.cpu, "rsi", BigInt(DATA + 0x1fee));
    rig.run("c5fc1106");
    expect(Array.from({ length: 8 }, (_, k) => rig.ram.getUint32(DATA + 0x1fee + 4 * k, true))).toEqual([
      1, 2, 3, 4, 5, 6, 7, 8,
    ]);
  });
});

describe("elements that are masked out (SDM 2C VMASKMOV, VGATHER)", () => {
  /** The 2 MiB page after the first is taken away: 0x200000 is not mapped. */
  beforeEach(() => {
    rig.ram.setBigUint64(0x3008, 0n, true);
    rig.cpu.reload();
    setRegister(rig.cpu, "rsi", 0x1ffff0n);
    for (let k = 0; k < 4; k++) rig.ram.setUint32(0x1ffff0 + 4 * k, 0x100 + k, true);
  });
  test("are not read: VMASKMOVPS faults only for what it needs", () => {
    rig.setYmm(0, [7]);
    rig.setYmm(
      2,
      [1 << 31, 0, 1 << 31, 1, 0, 0, 0, 0].map((x) => x >>> 0),
    );
    expect(rig.run("c4e26d2c06")).toBeUndefined();
    expect(rig.ymm(0)).toEqual([0x100, 0, 0x102, 0, 0, 0, 0, 0]);
    rig.setYmm(2, [0, 0, 0, 0, ones, 0, 0, 0]);
    expect(rig.run("c4e26d2c06")).toBe(PF);
    expect(rig.ymm(0)).toEqual([0x100, 0, 0x102, 0, 0, 0, 0, 0]);
  });
  test("are not written, and nothing is where one of the others faults", () => {
    rig.setYmm(0, [1, 2, 3, 4, 5, 6, 7, 8]);
    rig.setYmm(2, [ones, 0, 0, ones, 0, 0, 0, 0]);
    expect(rig.run("c4e26d2e06")).toBeUndefined();
    expect([0, 4, 8, 12].map((k) => rig.ram.getUint32(0x1ffff0 + k, true))).toEqual([1, 0x101, 0x102, 4]);
    rig.setYmm(2, [0, ones, 0, 0, 0, ones, 0, 0]);
    expect(rig.run("c4e26d2e06")).toBe(PF);
    expect(rig.ram.getUint32(0x1ffff4, true)).toBe(0x101);
  });
  test("a gather that faults has done the elements before, and goes on from there", () => {
    rig.setYmm(0, [7]);
    rig.setYmm(1, [0, 3, 2, 4, 1, 0, 0, 0]);
    rig.setYmm(2, [ones, ones, 0, ones, ones, 0, 0, 0]);
    expect(rig.run("c4e26d90048e")).toBe(PF);
    expect(rig.ymm(0)).toEqual([0x100, 0x103, 7, 7, 7, 7, 7, 7]);
    expect(rig.ymm(2)).toEqual([0, 0, 0, ones, ones, 0, 0, 0]);
    rig.ram.setBigUint64(0x3008, 0x83n, true);
    rig.ram.setUint32(0, 0x5555, true);
    rig.cpu.reload();
    setRegister(rig.cpu, "rsi", 0x1ffff0n);
    expect(rig.run("c4e26d90048e")).toBeUndefined();
    expect(rig.ymm(0)).toEqual([0x100, 0x103, 7, 0x5555, 0x101, 7, 7, 7]);
    expect(rig.ymm(2)).toEqual([0, 0, 0, 0, 0, 0, 0, 0]);
  });
  test("gathers by quadwords fill half a register and clear the rest; negative indices count down", () => {
    rig.setYmm(0, [7]);
    rig.setYmm(1, [1, 0, ones, ones, 0, 0, 2, 0]);
    rig.setYmm(2, [ones]);
    setRegister(rig.cpu, "rsi", 0x1ffff4n);
    expect(rig.run("c4e26d91048e")).toBeUndefined();
    expect(rig.ymm(0)).toEqual([0x102, 0x100, 0x101, 0x103, 0, 0, 0, 0]);
    expect(rig.ymm(2)).toEqual([0, 0, 0, 0, 0, 0, 0, 0]);
  });
  test("a gather whose registers are not three, or without an index vector, is #UD", () => {
    expect(rig.run("c4e27590048e")).toBe(UD);
    expect(rig.run("c4e26d90 06")).toBe(UD);
  });
});

describe("two lanes", () => {
  test("raise their exceptions together", () => {
    // VDIVPS: 1/3 in the lower lane is inexact, 1/0 in the upper one divides by zero, which is not masked.
    rig.mxcsr = 0x1d80;
    rig.setYmm(0, [5]);
    rig.setYmm(1, [0x3f800000]);
    rig.setYmm(2, [0x40400000, 0x3f800000, 0x3f800000, 0x3f800000, 0, 0, 0, 0]);
    rig.change("CR4", (cr4) => cr4 | 0x400n);
    expect(rig.run("c5f45ec2")).toBe(XM);
    expect(rig.mxcsr).toBe(0x1d84);
    expect(rig.ymm(0)).toEqual([5, 5, 5, 5, 5, 5, 5, 5]);
    rig.mxcsr = 0x1f80;
    expect(rig.run("c5f45ec2")).toBeUndefined();
    expect(rig.mxcsr).toBe(0x1fa4);
  });
  test("VMPSADBW takes a control of its own for each", () => {
    rig.setYmm(1, [0x03020100, 0x07060504, 0x0b0a0908, 0x0f0e0d0c]);
    rig.setYmm(2, [0, 0, 0x01010101, 0]);
    expect(rig.run("c4e37542c23a")).toBeUndefined();
    // 3AH is 111 010b: the lower lane has block 2, window 0; the upper block 3, window 4.
    expect(rig.ymm(0)[0]).toBe((6 << 16) | 4);
    expect(rig.ymm(0)[4]).toBe((26 << 16) | 22);
  });
});

test("VZEROUPPER and VZEROALL reach the registers of the mode", () => {
  for (let i = 0; i < 16; i++) rig.setYmm(i, [i + 1]);
  rig.run("c5f877");
  expect(rig.ymm(15)).toEqual([16, 16, 16, 16, 0, 0, 0, 0]);
  rig.run("c5fc77");
  expect(rig.ymm(15)).toEqual([0, 0, 0, 0, 0, 0, 0, 0]);
});

test("a data breakpoint sees a gather's element", () => {
  rig.cpu.view.setBigUint64(at("DR"), BigInt(DATA + 8), true);
  rig.cpu.view.setBigUint64(at("DR") + 56, 0xf0401n, true);
  rig.cpu.reload();
  rig.setYmm(1, [2]);
  rig.setYmm(2, [ones, 0, 0, 0, 0, 0, 0, 0]);
  expect(rig.run("c4e26d90048e")).toBe(DB);
});
