import { describe, expect, test } from "vitest";
import { encodeRow, parseEncoding } from "../../../emulator/cpu/encoding.ts";
import { op } from "../../../emulator/cpu/instructions/row.ts";
import { instructions } from "../../../emulator/cpu/instructions.ts";
import { slotTable } from "../../../emulator/cpu/slots.ts";

describe("the instruction table", () => {
  test("claims no slot twice", () => {
    expect(() => slotTable(instructions)).not.toThrow();
  });
  test("refuses a slot that is taken", () => {
    const again = [...instructions, op("01 /r", "ADD Ev, Gv", "add", "OSZAPC")];
    expect(() => slotTable(again)).toThrow(/collides/);
  });
  test("lets a mandatory prefix refine a row, but not two rows with the same one", () => {
    const rows = [op("0F BC /r", "BSF Gv, Ev", "bsf", "Z"), op("F3 0F BC /r", "TZCNT Gv, Ev", "tzcnt", "CZ")];
    expect(slotTable(rows).get(0x1bc)).toHaveLength(2);
    expect(() => slotTable([...rows, op("F3 0F BC /r", "TZCNT Gv, Ev", "other", "CZ")])).toThrow(/collides/);
  });
  test("refuses rows of one opcode that disagree about ModRM", () => {
    const rows = [op("NP 0F 77", "EMMS", "emms", "-"), op("66 0F 77 /r", "X Vx, Wx", "x", "-")];
    expect(() => slotTable(rows)).toThrow(/disagree about ModRM/);
  });
  test.each(["0F", "01 /9", "8D /r memory", "0F 01 3F", ""])("cannot be written as %j", (encoding) => {
    expect(() => parseEncoding(`${encoding}${encoding === "0F" ? " /q" : ""}`)).toThrow(
      /cannot read|register form/,
    );
  });
});

describe("a row of the decoder", () => {
  const record = (encoding: string, syntax: string) => {
    const bytes = encodeRow(op(encoding, syntax, "handler", "-", "sized"), 0x123);
    return {
      handler: bytes[0]! | (bytes[1]! << 8),
      register: bytes[2],
      rm: bytes[3],
      size: bytes[4],
      memory: bytes[5],
      first: bytes[6],
      second: bytes[7],
    };
  };
  test("names register classes, operand size and memory size", () => {
    expect(record("00 /r", "ADD Eb, Gb")).toEqual({
      handler: 0x123,
      register: 1,
      rm: 1,
      size: 0,
      memory: 1,
      first: 0,
      second: 0,
    });
    expect(record("66 0F 6F /r", "MOVDQA Vx, Wx")).toMatchObject({ register: 2, rm: 2, memory: 16 });
    expect(record("0F B6 /r", "MOVZX Gv, Eb")).toMatchObject({ size: 1, memory: 1 });
  });
  test("takes immediates in the order of the encoding", () => {
    expect(record("C8 iw ib", "ENTER Iw, Ib")).toMatchObject({ first: 2, second: 1 });
    expect(record("D1 /4", "SHL Ev, 1")).toMatchObject({ first: 9 });
  });
});
