/**
 * Bytes → text in Intel's syntax, made from the instruction table: what has no row is "(bad)", as it is #UD to the core.
 * The reading of prefixes, VEX and ModRM is the decoder's (SDM 2A chapter 2; assembly/decoder.ts).
 */
import { mnemonicOf } from "./disassembler-names.ts";
import { operandTexts } from "./disassembler-operands.ts";
import type { Encoding } from "./encoding.ts";
import type { Instruction } from "./instructions/row.ts";
import { instructions } from "./instructions.ts";
import { type Candidate, slotKey, slotTable } from "./slots.ts";

export type CodeBits = 16 | 32 | 64;

export interface DisassembledInstruction {
  /** Bytes; 1 for "(bad)". */
  readonly length: number;
  readonly text: string;
}

/** An instruction as far as its bytes have been read. Sizes are in bytes. */
export interface Reading {
  readonly bytes: Uint8Array;
  readonly bits: CodeBits;
  readonly row: Instruction;
  readonly encoding: Encoding;
  readonly opcode: number;
  readonly modrm: number;
  readonly rex: number;
  /** An overriding segment register 0-5. */
  readonly segment: number | undefined;
  readonly rep: number;
  readonly lock: boolean;
  readonly narrow: boolean;
  readonly operandSize: number;
  readonly addressSize: number;
  readonly vex: { readonly vvvv: number; readonly long: boolean } | undefined;
  /** Place of the next unread byte. */
  at: number;
}

const MAX_LENGTH = 15;
const BAD: DisassembledInstruction = { length: 1, text: "(bad)" };

let slots: ReadonlyMap<number, readonly Candidate[]> | undefined;

/**
 * Reads the instruction at the start of `bytes`, which lies at the linear address `address`. Bytes that end too early, that
 * are no instruction of the table, or that the mode forbids are "(bad)".
 */
export function disassemble(bytes: Uint8Array, bits: CodeBits, address = 0n): DisassembledInstruction {
  const reading = readInstruction(bytes, bits);
  if (!reading) return BAD;
  const operands = operandTexts(reading, address);
  if (!operands || reading.at > Math.min(bytes.length, MAX_LENGTH)) return BAD;
  const { length, text } = { length: reading.at, text: operands.join(", ") };
  const mnemonic = prefixText(reading) + mnemonicOf(reading);
  return { length, text: text ? `${mnemonic} ${text}` : mnemonic };
}

function prefixText({ lock, rep, row, encoding }: Reading): string {
  const repeat =
    rep === 0 || !row.traits.includes("rep") || encoding.prefix ? "" : rep === 3 ? "repnz " : "rep ";
  return (lock ? "lock " : "") + (repeat === "rep " && /^(CMPS|SCAS)/.test(row.syntax) ? "repz " : repeat);
}

interface Prefixes {
  at: number;
  rex: number;
  narrow: boolean;
  address: boolean;
  lock: boolean;
  /** The last of F3 (2) and F2 (3). */
  rep: number;
  segment: number | undefined;
}

/** Legacy prefixes and REX, which counts only directly before the opcode (SDM 2A §2.1.1, §2.2.1). */
function readPrefixes(bytes: Uint8Array, long: boolean): Prefixes {
  const found: Prefixes = {
    at: 0,
    rex: 0,
    narrow: false,
    address: false,
    lock: false,
    rep: 0,
    segment: undefined,
  };
  for (; found.at < MAX_LENGTH; found.at++) {
    const byte = bytes[found.at] ?? 0;
    if (long && (byte & 0xf0) === 0x40) {
      found.rex = byte;
      continue;
    }
    if (byte === 0x66) found.narrow = true;
    else if (byte === 0x67) found.address = true;
    else if (byte === 0xf0) found.lock = true;
    else if (byte === 0xf2 || byte === 0xf3) found.rep = byte === 0xf2 ? 3 : 2;
    else if (byte === 0x64 || byte === 0x65) found.segment = byte - 0x60;
    else if ((byte & 0xe7) === 0x26) found.segment = long ? found.segment : (byte >> 3) & 3;
    else break;
    found.rex = 0;
  }
  return found;
}

interface Opcode {
  readonly map: number;
  readonly byte: number;
  readonly prefix: number;
  readonly rex: number;
  readonly vex: Reading["vex"];
  readonly at: number;
}

function readOpcode(bytes: Uint8Array, bits: CodeBits, found: Prefixes): Opcode | undefined {
  let at = found.at;
  const next = (): number => bytes[at++] ?? 0;
  const first = next();
  if ((first & 0xfe) === 0xc4 && (bits === 64 || (bytes[at] ?? 0) >= 0xc0))
    return readVex(bytes, bits, found, first);
  let [map, byte] = [0, first];
  if (first === 0x0f) {
    [map, byte] = [1, next()];
    if (byte === 0x38) [map, byte] = [2, next()];
    else if (byte === 0x3a) [map, byte] = [3, next()];
  }
  const prefix = found.rep || (found.narrow ? 1 : 0);
  return { map, byte, prefix, rex: found.rex, vex: undefined, at };
}

/** SDM 2A §2.3.5. The bits that stand for REX are inverted. */
function readVex(bytes: Uint8Array, bits: CodeBits, found: Prefixes, first: number): Opcode | undefined {
  let at = found.at + 1;
  const next = (): number => bytes[at++] ?? 0;
  if (found.rex || found.narrow || found.rep || found.lock) return undefined;
  let byte = next(),
    map = 4;
  let rex = 0x40 | ((~byte >> 5) & 4);
  if (first === 0xc4) {
    rex |= (~byte >> 5) & 3;
    map = 3 + (byte & 31);
    if (map < 4 || map > 6) return undefined;
    byte = next();
    rex |= byte & 0x80 ? 8 : 0;
  }
  // Outside 64-bit mode only VEX.W is left of them.
  if (bits !== 64) rex = 0x40 | (rex & 8);
  const vvvv = (~byte >> 3) & (bits === 64 ? 15 : 7);
  const prefix = byte & 3;
  return { map, byte: next(), prefix, rex, vex: { vvvv, long: (byte & 4) !== 0 }, at };
}

function readInstruction(bytes: Uint8Array, bits: CodeBits): Reading | undefined {
  const found = readPrefixes(bytes, bits === 64);
  const opcode = readOpcode(bytes, bits, found);
  if (!opcode) return undefined;
  slots ??= slotTable(instructions);
  const candidates = slots.get((opcode.map << 8) | opcode.byte) ?? [];
  const modrm = candidates[0]?.encoding.modrm ? (bytes[opcode.at] ?? 0) : 0;
  const w = (opcode.rex & 8) !== 0;
  const key = slotKey({
    prefix: opcode.prefix,
    modrm,
    w,
    long: bits === 64,
    wide: opcode.vex?.long ?? false,
  });
  const chosen = candidates.find(({ mask, value }) => (key & mask) === value);
  if (!chosen || !allowed(chosen, modrm, found, opcode)) return undefined;
  const { row, encoding } = chosen;
  const narrow = found.narrow && encoding.prefix !== "66";
  return {
    bytes,
    bits,
    row,
    encoding,
    opcode: opcode.byte,
    modrm,
    rex: opcode.rex,
    segment: found.segment,
    rep: found.rep,
    lock: found.lock,
    narrow,
    operandSize: operandSizeOf(row, bits, narrow, w),
    addressSize: bits === 64 ? (found.address ? 4 : 8) : (bits === 32) !== found.address ? 4 : 2,
    vex: opcode.vex,
    at: opcode.at + (encoding.modrm ? 1 : 0),
  };
}

/** LOCK needs a lockable row with a destination in memory; VEX.vvvv must be all ones where no operand uses it. */
function allowed({ row, encoding }: Candidate, modrm: number, found: Prefixes, opcode: Opcode): boolean {
  if (found.lock && !(row.traits.includes("lockable") && encoding.modrm && modrm < 0xc0)) return false;
  return opcode.vex === undefined || opcode.vex.vvvv === 0 || /\b[BH][a-z]/.test(row.syntax);
}

/** The operand size that "v" stands for (SDM 1 §3.6.1). */
function operandSizeOf({ traits }: Instruction, bits: CodeBits, narrow: boolean, w: boolean): number {
  if (bits !== 64) return (bits === 32) !== narrow ? 4 : 2;
  if (w || traits.includes("f64")) return 8;
  return narrow ? 2 : traits.includes("d64") ? 8 : 4;
}
