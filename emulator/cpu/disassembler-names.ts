import type { Reading } from "./disassembler.ts";

/** Names of registers, and of instructions whose name the operand size chooses (SDM 2, "Opcode" tables). */

const WORDS = ["ax", "cx", "dx", "bx", "sp", "bp", "si", "di"];
const LOW = ["al", "cl", "dl", "bl", "spl", "bpl", "sil", "dil"];
const HIGH = ["al", "cl", "dl", "bl", "ah", "ch", "dh", "bh"];
export const SEGMENT_NAMES = ["es", "cs", "ss", "ds", "fs", "gs"] as const;

/** A general register by number and size in bytes. REX makes 4-7 the low bytes of RSP to RDI. */
export function generalName(number: number, size: number, rex: boolean): string {
  if (number < 8) {
    if (size === 1) return (rex ? LOW : HIGH)[number]!;
    return (size === 8 ? "r" : size === 4 ? "e" : "") + WORDS[number]!;
  }
  return `r${number}${{ 1: "b", 2: "w", 4: "d" }[size] ?? ""}`;
}

/** 16, 32 and 64 bits. */
const BY_OPERAND_SIZE: Record<string, readonly [string, string, string]> = {
  CBW: ["cbw", "cwde", "cdqe"],
  CWD: ["cwd", "cdq", "cqo"],
  IRET: ["iret", "iretd", "iretq"],
  PUSHA: ["pusha", "pushad", "pushad"],
  POPA: ["popa", "popad", "popad"],
  PUSHF: ["pushf", "pushfd", "pushfq"],
  POPF: ["popf", "popfd", "popfq"],
};
/** Where REX.W makes the D of the table's name a Q, or lengthens the name. */
const BY_REX_W: Record<string, string> = {
  MOVD: "movq",
  VMOVD: "vmovq",
  PEXTRD: "pextrq",
  VPEXTRD: "vpextrq",
  PINSRD: "pinsrq",
  VPINSRD: "vpinsrq",
  SYSRET: "sysretq",
  SYSEXIT: "sysexitq",
  FXSAVE: "fxsave64",
  FXRSTOR: "fxrstor64",
  XSAVE: "xsave64",
  XRSTOR: "xrstor64",
  XSAVEOPT: "xsaveopt64",
  XSAVEC: "xsavec64",
};

export function mnemonicOf(reading: Reading): string {
  const { row, rex, operandSize, addressSize, bits } = reading;
  const space = row.syntax.indexOf(" ");
  const name = space < 0 ? row.syntax : row.syntax.slice(0, space);
  const hint = hintName(reading);
  if (hint) return hint;
  const sized = BY_OPERAND_SIZE[name];
  if (sized) return sized[operandSize === 2 ? 0 : operandSize === 4 ? 1 : 2];
  if (name === "JRCXZ") return { 2: "jcxz", 4: "jecxz" }[addressSize] ?? "jrcxz";
  if (bits === 64 && rex & 8 && BY_REX_W[name]) return BY_REX_W[name];
  return name.toLowerCase();
}

/** Encodings of XCHG and NOP that the manual names by what they are for; they have no operands. */
export function hintName({ opcode, rex, rep, modrm, encoding }: Reading): string | undefined {
  if (encoding.map === 0 && opcode === 0x90 && !(rex & 1)) return rep === 2 ? "pause" : "nop";
  if (encoding.map !== 1 || opcode !== 0x1e || rep !== 2) return undefined;
  return { 0xfa: "endbr64", 0xfb: "endbr32" }[modrm];
}
