import { beforeEach, describe, expect, test } from "vitest";
import type { Cpu } from "../../../emulator/cpu/core.ts";
import { at, enterLongMode, getRegister, makeCpu, setRegister, setSegment } from "../../support/cpu-bench.ts";

/**
 * What the native vectors do not reach: state images, the MMX rules about pending x87 exceptions, CR0 and CR4. RSI points
 * at DATA; programs are machine code for 64-bit mode at CPL 0. Arithmetic is left to the native vectors.
 */
const CODE = 0x10000,
  DATA = 0x20000,
  IDT = 0x5000,
  HANDLERS = 0x6000;
const GP = 13,
  UD = 6,
  NM = 7,
  MF = 16,
  XM = 19;
const XMM = (i: number): number => at("XMM") + 32 * i;
const ST = (i: number): number => at("X87") + 16 * i;

let cpu: Cpu;
let ram: DataView;
beforeEach(() => {
  cpu = makeCpu(4);
  ram = new DataView(cpu.ram.buffer, cpu.ram.byteOffset, cpu.ram.length);
  for (let vector = 0; vector < 32; vector++) {
    const handler = HANDLERS + 16 * vector;
    ram.setUint8(handler, 0xf4);
    ram.setBigUint64(IDT + 16 * vector, BigInt(handler) | 0x8e0000100000n, true);
  }
  // A code segment for the gates: GDT at 0x4000, selector 0x10.
  ram.setBigUint64(0x4010, 0x00af9b000000ffffn, true);
  enterLongMode(cpu, BigInt(CODE));
  cpu.view.setBigUint64(at("GDTR"), 0x4000n, true);
  cpu.view.setUint16(at("GDTR") + 8, 0x1f, true);
  cpu.view.setBigUint64(at("IDTR"), BigInt(IDT), true);
  cpu.view.setUint16(at("IDTR") + 8, 0x1ff, true);
  orControl("CR4", 0x40000n);
  setRegister(cpu, "rsp", 0x30000n);
  setRegister(cpu, "rsi", BigInt(DATA));
});

function orControl(name: "CR0" | "CR4", bits: bigint): void {
  cpu.view.setBigUint64(at(name), cpu.view.getBigUint64(at(name), true) | bits, true);
  cpu.reload();
}
/** Runs the code to the HLT that is added; the exception vector, or undefined. */
function run(code: string): number | undefined {
  const bytes = (code.replaceAll(" ", "").match(/../g) ?? []).map((pair) => Number.parseInt(pair, 16));
  cpu.ram.set([...bytes, 0xf4], CODE);
  cpu.invalidate(CODE, bytes.length + 1);
  cpu.view.setBigUint64(at("RIP"), BigInt(CODE), true);
  cpu.view.setUint32(at("HALTED"), 0, true);
  cpu.run(100);
  const rip = Number(cpu.rip);
  return rip >= HANDLERS && rip < HANDLERS + 512 ? (rip - 1 - HANDLERS) / 16 : undefined;
}
/** Every register of the image holds something of its own. */
function fill(): void {
  const { view } = cpu;
  for (let i = 0; i < 16; i++) {
    view.setBigUint64(XMM(i), 0x1111111111111111n * BigInt(i), true);
    view.setBigUint64(XMM(i) + 8, ~BigInt(i) & 0xffffffffffffffffn, true);
  }
  for (let i = 0; i < 8; i++) {
    view.setBigUint64(ST(i), 0x8000000000000000n + BigInt(i), true);
    view.setUint16(ST(i) + 8, 0x3fff + i, true);
  }
  view.setUint16(at("FCW"), 0x27f, true);
  view.setUint16(at("FSW"), 0x3 << 11, true);
  view.setUint8(at("FTW"), 0b0001_1000);
  view.setUint16(at("FOP"), 0x123, true);
  view.setBigUint64(at("FIP"), 0x1122334455667788n, true);
  view.setBigUint64(at("FDP"), 0x99aabbccddeeff00n, true);
  view.setUint32(at("MXCSR"), 0x9fc0, true);
}
const stateBytes = (): string =>
  Buffer.from(cpu.memory.buffer.slice(at("XMM"), at("FDP") + 8)).toString("hex");
const FXSAVE = "0FAE06",
  FXSAVE64 = "480FAE06",
  FXRSTOR64 = "480FAE0E";

describe("FXSAVE and FXRSTOR (SDM 1 §10.5.1)", () => {
  test("the 64-bit image: every field where the manual puts it, nothing above byte 416", () => {
    fill();
    cpu.ram.fill(0xee, DATA, DATA + 512);
    expect(run(FXSAVE64)).toBeUndefined();
    const u16 = (offset: number) => ram.getUint16(DATA + offset, true);
    expect([u16(0), u16(2), u16(4), u16(6)]).toEqual([0x27f, 0x1800, 0x18, 0x123]);
    expect(ram.getBigUint64(DATA + 8, true)).toBe(0x1122334455667788n);
    expect(ram.getBigUint64(DATA + 16, true)).toBe(0x99aabbccddeeff00n);
    expect([ram.getUint32(DATA + 24, true), ram.getUint32(DATA + 28, true)]).toEqual([0x9fc0, 0xffff]);
    // TOP is 3: ST0 is R3.
    expect(ram.getBigUint64(DATA + 32, true)).toBe(0x8000000000000003n);
    expect(ram.getBigUint64(DATA + 40, true)).toBe(0x4002n);
    expect(ram.getBigUint64(DATA + 160 + 16 * 15, true)).toBe(0xffffffffffffffffn);
    expect(ram.getUint8(DATA + 416)).toBe(0xee);
  });
  test("without REX.W the pointers have 32 bits and zero selectors", () => {
    fill();
    run(FXSAVE);
    expect(ram.getBigUint64(DATA + 8, true)).toBe(0x55667788n);
    expect(ram.getBigUint64(DATA + 16, true)).toBe(0xddeeff00n);
  });
  test("what was saved comes back, across a page boundary too", () => {
    for (const place of [DATA, DATA + 0xf00]) {
      setRegister(cpu, "rsi", BigInt(place));
      fill();
      const before = stateBytes();
      expect(run(FXSAVE64)).toBeUndefined();
      // The upper halves of the YMM registers are no part of the image.
      for (let i = 0; i < 16; i++) cpu.view.setBigUint64(XMM(i), 5n, true);
      for (let offset = at("X87"); offset < at("FDP") + 8; offset++) cpu.view.setUint8(offset, 0);
      expect(run(FXRSTOR64)).toBeUndefined();
      expect(stateBytes()).toBe(before);
    }
  });
  test("outside 64-bit mode XMM8-15 stay out of it", () => {
    fill();
    cpu.ram.fill(0xee, DATA, DATA + 512);
    setSegment(cpu, "cs", { selector: 0x18, attributes: 0xc9b, limit: 0xffffffff, base: 0n });
    cpu.reload();
    run(FXSAVE);
    expect(ram.getBigUint64(DATA + 160 + 16 * 7, true)).toBe(0x7777777777777777n);
    expect(ram.getUint8(DATA + 160 + 16 * 8)).toBe(0xee);
  });
  test("#GP for a misaligned image and for reserved MXCSR bits, with nothing loaded", () => {
    fill();
    run(FXSAVE64);
    const before = stateBytes();
    ram.setUint32(DATA + 24, 0x11f80, true);
    expect(run(FXRSTOR64)).toBe(GP);
    expect(stateBytes()).toBe(before);
    expect(run(`4883C608 ${FXSAVE64}`)).toBe(GP);
  });
  test("an unmasked exception flag in the image becomes a pending one", () => {
    fill();
    run(FXSAVE64);
    ram.setUint16(DATA, 0x37e, true);
    ram.setUint16(DATA + 2, 1, true);
    run(FXRSTOR64);
    expect(cpu.view.getUint16(at("FSW"), true)).toBe(0x8081);
  });
});

describe("XSAVE (SDM 1 chapter 13)", () => {
  const ALL = "B803000000 31D2",
    XSETBV = "31C9 0F01D1",
    XSAVE = "480FAE26",
    XSAVEC = "480FC726",
    XRSTOR = "480FAE2E";
  test("XCR0 takes 1, 3 and 7, nothing without x87, no AVX without SSE and nothing unknown", () => {
    for (const good of [1n, 7n, 3n]) {
      expect(run(`B80${good}000000 31D2 ${XSETBV}`)).toBeUndefined();
      expect(run("31C9 0F01D0")).toBeUndefined();
      expect(getRegister(cpu, "rax")).toBe(good);
    }
    for (const bad of [2, 0, 5, 9]) expect(run(`B80${bad}000000 31D2 ${XSETBV}`)).toBe(GP);
  });
  test("saves what EDX:EAX names and keeps the other bits of the header", () => {
    fill();
    ram.setBigUint64(DATA + 512, 1n, true);
    expect(run(`${ALL} ${XSETBV} B802000000 ${XSAVE}`)).toBeUndefined();
    expect(ram.getBigUint64(DATA + 512, true)).toBe(3n);
    expect(ram.getUint16(DATA, true)).toBe(0);
    expect(ram.getBigUint64(DATA + 160 + 16 * 3, true)).toBe(0x3333333333333333n);
  });
  test("XRSTOR initialises components that the image lacks", () => {
    fill();
    run(`${ALL} ${XSETBV} ${XSAVE}`);
    ram.setBigUint64(DATA + 512, 0n, true);
    ram.setUint32(DATA + 24, 0x1f81, true);
    expect(run(`${ALL} ${XRSTOR}`)).toBeUndefined();
    expect(cpu.view.getUint16(at("FCW"), true)).toBe(0x37f);
    expect(cpu.view.getUint8(at("FTW"))).toBe(0);
    expect(cpu.view.getBigUint64(XMM(15), true)).toBe(0n);
    // The standard form loads MXCSR all the same.
    expect(cpu.view.getUint32(at("MXCSR"), true)).toBe(0x1f81);
  });
  test("the compacted form is marked and comes back", () => {
    fill();
    const before = stateBytes();
    expect(run(`${ALL} ${XSETBV} ${XSAVEC}`)).toBeUndefined();
    expect(ram.getBigUint64(DATA + 520, true)).toBe(0x8000000000000003n);
    for (let i = 0; i < 16; i++) cpu.view.setBigUint64(XMM(i), 0n, true);
    expect(run(`${ALL} ${XRSTOR}`)).toBeUndefined();
    expect(stateBytes()).toBe(before);
  });
  test("#GP for a reserved header field or an unknown component, #UD without CR4.OSXSAVE", () => {
    run(`${ALL} ${XSETBV} ${XSAVE}`);
    ram.setBigUint64(DATA + 512, 7n, true);
    expect(run(`${ALL} ${XRSTOR}`)).toBe(GP);
    ram.setBigUint64(DATA + 512, 3n, true);
    ram.setBigUint64(DATA + 528, 1n, true);
    expect(run(`${ALL} ${XRSTOR}`)).toBe(GP);
    cpu.view.setBigUint64(at("CR4"), 0x6b0n, true);
    cpu.reload();
    expect(run(`${ALL} ${XSAVE}`)).toBe(UD);
  });
});

describe("rules around the operation", () => {
  test("a pending x87 exception is delivered before an MMX instruction, not before an SSE one", () => {
    fill();
    cpu.view.setUint16(at("FCW"), 0x37e, true);
    cpu.view.setUint16(at("FSW"), 0x8081, true);
    expect(run("0FEFC0")).toBe(MF);
    expect(run("0F77")).toBe(MF);
    expect(run("660FEFC0")).toBeUndefined();
  });
  test("MMX instructions set TOP to 0 and all tags; EMMS empties them", () => {
    fill();
    expect(run("0F6FC1")).toBeUndefined();
    expect([cpu.view.getUint16(at("FSW"), true), cpu.view.getUint8(at("FTW"))]).toEqual([0, 0xff]);
    expect(cpu.view.getUint16(ST(0) + 8, true)).toBe(0xffff);
    expect(cpu.view.getBigUint64(ST(0), true)).toBe(0x8000000000000001n);
    run("0F77");
    expect(cpu.view.getUint8(at("FTW"))).toBe(0);
  });
  test("CR0.TS: #NM; CR0.EM: #UD for MMX and SSE, #NM for FXSAVE", () => {
    orControl("CR0", 8n);
    for (const code of ["0FEFC0", "660FEFC0", FXSAVE, "0FAE16", "480FAE26"]) expect(run(code)).toBe(NM);
    cpu.view.setBigUint64(at("CR0"), 0x80050037n, true);
    cpu.reload();
    expect(run("0FEFC0")).toBe(UD);
    expect(run("660FEFC0")).toBe(UD);
    expect(run(FXSAVE)).toBe(NM);
  });
  test("an unmasked SIMD exception is #XM, or #UD without CR4.OSXMMEXCPT; the result is not written, the flag is", () => {
    fill();
    const divide = "0F57C0 0F57C9 0F5EC1";
    cpu.view.setUint32(at("MXCSR"), 0x1f00, true);
    expect(run(divide)).toBe(XM);
    expect(cpu.view.getUint32(at("MXCSR"), true)).toBe(0x1f01);
    expect(cpu.view.getBigUint64(XMM(0), true)).toBe(0n);
    cpu.view.setBigUint64(at("CR4"), 0x2b0n, true);
    cpu.reload();
    expect(run(divide)).toBe(UD);
  });
  test("16-byte operands must be aligned except for the moves that say otherwise and the string compares", () => {
    setRegister(cpu, "rsi", BigInt(DATA + 8));
    for (const code of ["0F2806", "0F2906", "660FFC06", "0F5806", "660F3817 06", "660FE706"])
      expect(run(code)).toBe(GP);
    for (const code of ["0F1006", "0F1106", "F30F6F06", "F20FF006", "660F3A630600"])
      expect(run(code)).toBeUndefined();
  });
  test("LDMXCSR refuses reserved bits", () => {
    ram.setUint32(DATA, 0x10000, true);
    expect(run("0FAE16")).toBe(GP);
    ram.setUint32(DATA, 0xffff, true);
    expect(run("0FAE16")).toBeUndefined();
  });
});
