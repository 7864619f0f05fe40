import { beforeEach, describe, expect, test } from "vitest";
import { at, getRegister } from "../../support/cpu-bench.ts";
import { DATA, LongRig } from "./long-rig.ts";

/** Component 2 of the XSAVE family: the upper halves of the YMM registers (SDM 1 chapter 13). */
const GP = 13;
const ask = (components: number): string => `b80${components}000000 31d2`;
const XSETBV = "31c9 0f01d1",
  XSAVE64 = "480fae26",
  XSAVEC64 = "480fc726",
  XRSTOR64 = "480fae2e";
const header = (rig: LongRig): bigint[] => [0, 8].map((k) => rig.ram.getBigUint64(DATA + 512 + k, true));

let rig: LongRig;
beforeEach(() => {
  rig = new LongRig();
  for (let i = 0; i < 16; i++) rig.setYmm(i, [i, 1, 2, 3, 0x100 + i, 5, 6, 7]);
  rig.cpu.ram.fill(0xee, DATA, DATA + 1024);
  rig.cpu.ram.fill(0, DATA + 512, DATA + 576);
});

describe("YMM state", () => {
  test("lies at 576, and comes back", () => {
    expect(rig.run(`${ask(7)} ${XSAVE64}`)).toBeUndefined();
    expect(header(rig)).toEqual([7n, 0n]);
    expect(rig.ram.getUint32(DATA + 576 + 16 * 9, true)).toBe(0x109);
    expect(rig.ram.getUint8(DATA + 832)).toBe(0xee);
    rig.run("c5fc77");
    expect(rig.run(`${ask(7)} ${XRSTOR64}`)).toBeUndefined();
    expect(rig.ymm(9)).toEqual([9, 1, 2, 3, 0x109, 5, 6, 7]);
  });
  test("alone is saved and loaded alone, with MXCSR", () => {
    rig.mxcsr = 0x3f80;
    expect(rig.run(`${ask(4)} ${XSAVE64}`)).toBeUndefined();
    expect(header(rig)[0]).toBe(4n);
    expect(rig.ram.getUint8(DATA + 160)).toBe(0xee);
    expect(rig.ram.getUint32(DATA + 24, true)).toBe(0x3f80);
    rig.setYmm(9, [9, 9, 9, 9, 9, 9, 9, 9]);
    rig.mxcsr = 0x1f80;
    expect(rig.run(`${ask(4)} ${XRSTOR64}`)).toBeUndefined();
    expect(rig.ymm(9)).toEqual([9, 9, 9, 9, 0x109, 5, 6, 7]);
    expect(rig.mxcsr).toBe(0x3f80);
  });
  test("is not in use while it is zero: XSAVE says so, XSAVEC leaves it out, XGETBV tells", () => {
    rig.run("c5f877");
    expect(rig.run(`${ask(7)} ${XSAVE64}`)).toBeUndefined();
    expect(header(rig)).toEqual([3n, 0n]);
    rig.cpu.ram.fill(0xee, DATA + 576, DATA + 832);
    expect(rig.run(`${ask(7)} ${XSAVEC64}`)).toBeUndefined();
    expect(header(rig)).toEqual([3n, 0x8000000000000007n]);
    expect(rig.ram.getUint8(DATA + 576)).toBe(0xee);
    rig.run("b901000000 0f01d0");
    expect(getRegister(rig.cpu, "rax")).toBe(3n);
    rig.setYmm(3, [0, 0, 0, 0, 0, 0, 0, 1]);
    rig.run("b901000000 0f01d0");
    expect(getRegister(rig.cpu, "rax")).toBe(7n);
  });
  test("that the image lacks becomes zero", () => {
    rig.run(`${ask(3)} ${XSAVE64}`);
    expect(rig.run(`${ask(7)} ${XRSTOR64}`)).toBeUndefined();
    expect(rig.ymm(9)).toEqual([9, 1, 2, 3, 0, 0, 0, 0]);
  });
  test("that XCR0 does not enable stays out, and in an image is #GP", () => {
    rig.run(`${ask(7)} ${XSAVE64}`);
    expect(rig.run(`${ask(3)} ${XSETBV} ${ask(7)} ${XRSTOR64}`)).toBe(GP);
    rig.cpu.ram.fill(0, DATA + 512, DATA + 576);
    expect(rig.run(`${ask(7)} ${XSAVE64}`)).toBeUndefined();
    expect(header(rig)[0]).toBe(3n);
  });
  test("has its sizes in CPUID leaf 0DH", () => {
    const leaf = (sub: number): bigint[] => {
      rig.run(`b80d000000 b90${sub}000000 0fa2`);
      return ["rax", "rbx", "rcx", "rdx"].map((name) => getRegister(rig.cpu, name));
    };
    expect(leaf(0)).toEqual([7n, 832n, 832n, 0n]);
    expect(leaf(1)).toEqual([7n, 832n, 0n, 0n]);
    expect(leaf(2)).toEqual([256n, 576n, 0n, 0n]);
    rig.cpu.view.setBigUint64(at("XCR0"), 3n, true);
    expect(leaf(0)).toEqual([7n, 576n, 832n, 0n]);
  });
});
