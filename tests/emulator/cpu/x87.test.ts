import { beforeAll, describe, expect, test } from "vitest";
import { DATA, FlatMachine } from "./x87-rig.ts";

/**
 * Single cases on the real core. Programs are machine code; EDI points at 0x2000. Expected values were read off a processor
 * where the manuals leave a choice; the broad sweep is in the native vectors and TestFloat.
 */
const EBX = 0x1018;
let machine: FlatMachine;
beforeAll(() => {
  machine = new FlatMachine();
});

/** Loads the control word, runs the code, and returns the status word at its end. */
function status(control: number, code: string): number {
  machine.view.setUint16(DATA, control, true);
  machine.run(`DBE3 D92F ${code} DD7F02`);
  return machine.view.getUint16(DATA + 2, true);
}
/** ST(0) after the code (FSTP m80 to EDI + 32). */
function top(control: number, code: string): string {
  status(control, `${code} DB7F20`);
  return machine.extended(DATA + 32);
}

describe("stores to memory with unmasked exceptions (SDM 1 §8.5.4-8.5.6)", () => {
  const store = (control: number, value: string): { stored: string; status: string } => {
    machine.setExtended(DATA + 16, value);
    machine.view.setUint32(DATA + 32, 7, true);
    const word = status(control, "DB6F10 D95F20");
    return { stored: machine.view.getUint32(DATA + 32, true).toString(16), status: word.toString(16) };
  };
  // 1e300, 1.23456789123e-40 and 2^-140.
  const big = "43E3BF21E44003ACDD2D",
    tiny = "3F7AAC1F0E1B3F4C5A69",
    exactTiny = "3F738000000000000000";

  test("masked: infinity, a rounded denormal, an exact denormal", () => {
    expect(store(0x37f, big)).toEqual({ stored: "7f800000", status: "228" });
    expect(store(0x37f, tiny).status).toMatch(/^2?30$/);
    expect(store(0x37f, exactTiny)).toEqual({ stored: "200", status: "0" });
  });
  test("overflow unmasked: nothing stored, nothing popped, precision not judged", () => {
    expect(store(0x377, big)).toEqual({ stored: "7", status: "b888" });
  });
  test("underflow unmasked: even an exact denormal is not stored", () => {
    expect(store(0x36f, tiny)).toEqual({ stored: "7", status: "b890" });
    expect(store(0x36f, exactTiny)).toEqual({ stored: "7", status: "b890" });
  });
  test("precision unmasked: stored and popped all the same", () => {
    expect(store(0x35f, big)).toEqual({ stored: "7f800000", status: "82a8" });
  });
});

describe("operands and exceptions", () => {
  test("a denormal single is pushed even with DE unmasked; a signaling NaN with IE unmasked is not", () => {
    machine.view.setUint32(DATA + 16, 0x123, true);
    expect(status(0x37d, "D94710").toString(16)).toBe("b882");
    machine.view.setUint32(DATA + 16, 0x7f900000, true);
    expect(status(0x37e, "D94710").toString(16)).toBe("8081");
  });
  test("a comparison with an unmasked exception sets the condition codes and does not pop", () => {
    expect(status(0x37e, "DED9").toString(16)).toBe("c5c1");
  });
  test("1/0 unmasked leaves the operands; FNSTENV saves ES and masks it away", () => {
    expect(status(0x37b, "D9E8 D9EE DEF9").toString(16)).toBe("b084");
    expect(status(0x37b, "D9E8 D9EE DEF9 D97710").toString(16)).toBe("3004");
    expect(machine.view.getUint16(DATA + 20, true).toString(16)).toBe("b084");
  });
  test("a pending exception faults at the next waiting instruction, not before", () => {
    const failing = "D9E8 D9EE DEF9";
    machine.view.setUint16(DATA, 0x37b, true);
    machine.run(`DBE3 D92F ${failing} DFE0 BB01000000`);
    expect(machine.cpu.view.getUint32(EBX, true)).toBe(1);
    // There is no IDT: the exception ends in a triple fault.
    expect(() => machine.run(`DBE3 D92F ${failing} BB02000000 9B BB03000000`)).toThrow("exit 2");
    expect(machine.cpu.view.getUint32(EBX, true)).toBe(2);
  });
});

describe("control word and environment", () => {
  test("reserved bits of the control word", () => {
    const stored = (value: number): string => {
      machine.view.setUint16(DATA + 8, value, true);
      status(0x37f, "D96F08 D97F0A DBE3");
      return machine.view.getUint16(DATA + 10, true).toString(16);
    };
    expect(stored(0xffff)).toBe("1f7f");
    expect(stored(0)).toBe("40");
  });
  test("FNSAVE and FRSTOR carry everything, in both sizes", () => {
    for (const size of ["", "66"]) {
      const found = status(0xb7f, `D9EB D9EA D9E8 D9C0 ${size}DD7740 D9EE ${size}DD6740`);
      expect((found >> 11) & 7, `size ${size}`).toBe(4);
      expect(top(0xb7f, `D9EB D9EA D9E8 ${size}DD7740 ${size}DD6740 DDD8 DDD8`)).toBe("4000C90FDAA22168C235");
    }
  });
  test("the tag word tells valid, zero, special and empty apart", () => {
    machine.setExtended(DATA + 16, "7FFF8000000000000000");
    status(0x37f, "D9E8 D9EE DB6F10 D97740");
    expect(machine.view.getUint16(DATA + 0x48, true).toString(16)).toBe("1bff");
  });
});

describe("register forms that the manuals do not name", () => {
  test.each([
    ["FSTP1", "D9D9"],
    ["FSTP8", "DFD1"],
    ["FSTP9", "DFD9"],
  ])("%s stores and pops", (_name, code) => {
    expect(top(0x37f, `D9EB D9E8 ${code}`)).toBe("3FFF8000000000000000");
  });
  test.each([
    ["FXCH4", "DDC9"],
    ["FXCH7", "DFC9"],
  ])("%s exchanges", (_name, code) => {
    expect(top(0x37f, `D9EB D9E8 ${code}`)).toBe("4000C90FDAA22168C235");
  });
  test("FFREEP pops", () => {
    expect(status(0x37f, "D9EB D9E8 DFC0") & 0x3800).toBe(0x3800);
  });
});

describe("transcendental functions are correctly rounded", () => {
  // Computed with 400-bit arithmetic, the circular ones with the 66-bit pi of SDM 1 §8.3.8.
  const at = (se: string, sig: string): string => {
    machine.setExtended(DATA + 16, se + sig);
    return "DB6F10";
  };
  test.each([
    ["sin 1", "D9E8 D9FE", "3FFED76AA47848677021"],
    ["cos 1", "D9E8 D9FF", "3FFE8A51407DA8345C92"],
    ["tan 1 (before the pushed 1)", "D9E8 D9F2 DDD8", "3FFFC75922E5F71D2DC5"],
    ["atan 1 = pi/4", "D9E8 D9E8 D9F3", "3FFEC90FDAA22168C235"],
    ["atan2(1, -1) = 3 pi/4", "D9E8 D9E8 D9E0 D9F3", "400096CBE3F9990E91A8"],
    ["log2(10), by FYL2X", "D9E8 68000020 41 D90424 83C404 D9F1", "4000D49A784BCD1B8AFE"],
    ["2^(log2 e - 1) - 1", "D9E8 D9EA DEE1 D9F0", "3FFDB7E151628AED2A6C"],
  ])("%s", (_name, code, wanted) => {
    expect(top(0x37f, code)).toBe(wanted);
  });
  test("sin of the nearest number to pi is what the 66-bit pi leaves", () => {
    expect(top(0x37f, "D9EB D9FE")).toBe("BFBF8000000000000000");
  });
  test("an argument of 2^63 is out of range: C2, unchanged", () => {
    expect(status(0x37f, `${at("403E", "8000000000000000")} D9FE`) & 0x400).toBe(0x400);
  });
  test("the remainder goes down by partial steps", () => {
    expect(status(0x37f, `D9E8 ${at("4063", "FFFFFFFFFFFFFFFF")} D9F8`) & 0x400).toBe(0x400);
  });
});
