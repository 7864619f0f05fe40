/** Operands as text. A row's operand is a letter (which registers, or memory) and a size: SDM 2D appendix A.2. */
import { generalName, hintName, SEGMENT_NAMES } from "./disassembler-names.ts";
import type { Reading } from "./disassembler.ts";

/** Memory's size in words, by bytes; by size letter where the operand size has no say. */
const POINTERS: Record<number, string> = {
  1: "byte",
  2: "word",
  4: "dword",
  6: "fword",
  8: "qword",
  10: "tbyte",
  16: "xmmword",
  32: "ymmword",
};
const FIXED_SIZES: Record<string, number> = {
  b: 1,
  w: 2,
  d: 4,
  q: 8,
  dq: 16,
  qq: 32,
  ss: 4,
  sd: 8,
  si: 4,
  pi: 8,
  t: 10,
};
/** These fill a vector register, whatever its length is. */
const FULL_VECTOR = new Set(["x", "ps", "pd"]);

interface Operand {
  readonly letter: string;
  readonly size: string;
  /** Size of the memory form, where it is not the register's. */
  readonly memory: string;
}

const parsed = new Map<string, readonly (Operand | string)[]>();

/** "Gv, Ev/Mw" → its operands; what is no letter with a size stands for itself. */
function operandsOf(syntax: string): readonly (Operand | string)[] {
  const known = parsed.get(syntax);
  if (known) return known;
  const space = syntax.indexOf(" ");
  const texts = space < 0 ? [] : syntax.slice(space + 1).split(",");
  const operands = texts.map((text): Operand | string => {
    const match = /^([A-Z])([a-z]+)?\d*(?:\/(M?)([a-z]+))?$/.exec(text.trim());
    if (!match) return text.trim();
    const [, letter, size = "", memoryMark, other] = match;
    // "Ed/q" is one size or the other by REX.W; "Rd/Mb" has a size for each form.
    const both = other !== undefined && !memoryMark ? "y" : undefined;
    return { letter: letter!, size: both ?? size, memory: both ?? other ?? size };
  });
  parsed.set(syntax, operands);
  return operands;
}

/** The texts in order, or undefined where the bytes are no instruction. Reads on from `reading.at`. */
export function operandTexts(reading: Reading, address: bigint): readonly string[] | undefined {
  const { row, encoding, modrm } = reading;
  const operands = operandsOf(row.syntax);
  if (encoding.vsib && !gathers(reading)) return undefined;
  const memory =
    encoding.modrm && modrm < 0xc0 && !takesRegisterAlways(operands) ? readMemory(reading) : undefined;
  const immediates = [...encoding.immediates];
  const read: (string | undefined)[] = [];
  if (immediates[0] === "moffs") immediates.shift();
  // Memory offsets and immediates follow ModRM in the order of the operands.
  for (const operand of operands)
    read.push(
      typeof operand === "string" ? literal(operand, reading) : text(operand, reading, memory, immediates),
    );
  if (hintName(reading)) return [];
  if (read.includes(undefined)) return undefined;
  return relative(reading, operands, read as string[], address).filter((word) => word !== "");
}

/**
 * A vector of indices stands in a SIB byte, and 16-bit addresses have none (SDM 2A §2.3.12); destination, indices and mask are
 * three registers (SDM 2C VPGATHERDD).
 */
function gathers({ modrm, rex, vex, bytes, at, addressSize }: Reading): boolean {
  if ((modrm & 7) !== 4 || addressSize === 2) return false;
  const sib = bytes[at] ?? 0;
  const registers = [((modrm >> 3) & 7) | ((rex & 4) << 1), ((sib >> 3) & 7) | ((rex & 2) << 2), vex?.vvvv];
  return new Set(registers).size === 3;
}

/** MOV to and from control and debug registers has no memory form whatever mod says (SDM 2B MOV). */
const takesRegisterAlways = (operands: readonly (Operand | string)[]): boolean =>
  operands.some((operand) => typeof operand !== "string" && "CD".includes(operand.letter));

/** AL, CL, DX, rAX, 1, ES, ST(0), ST(i). */
function literal(word: string, { operandSize, modrm }: Reading): string {
  const accumulator = /^[er]AX$/.exec(word);
  if (accumulator) return generalName(0, word[0] === "e" ? Math.min(operandSize, 4) : operandSize, false);
  if (word === "ST(i)") return `st(${modrm & 7})`;
  return word === "ST(0)" ? "st" : word.toLowerCase();
}

/** Their register is 64 bits wide in 64-bit mode and 32 elsewhere, whatever the prefixes are (SDM 2A INVPCID, 2B RDPID). */
const WIDE_REGISTER = /^(?:INVPCID|RDPID) /;

/** Bytes of an operand's register or memory form. */
function sizeOf(letters: string, { operandSize, rex, vex, bits, row }: Reading): number {
  if (WIDE_REGISTER.test(row.syntax) && "yv".includes(letters)) return bits === 64 ? 8 : 4;
  const fixed = FIXED_SIZES[letters];
  if (fixed !== undefined) return fixed;
  if (FULL_VECTOR.has(letters)) return vex?.long ? 32 : 16;
  switch (letters) {
    case "z":
      return Math.min(operandSize, 4);
    case "y":
      return bits === 64 && rex & 8 ? 8 : 4;
    case "p":
      return operandSize + 2;
    case "a":
      return operandSize * 2;
    default:
      return operandSize;
  }
}

function text(
  operand: Operand,
  reading: Reading,
  memory: string | undefined,
  immediates: string[],
): string | undefined {
  const { rex, modrm, opcode, bits, vex } = reading;
  const reg = ((modrm >> 3) & 7) | ((rex & 4) << 1);
  const rm = (modrm & 7) | ((rex & 1) << 3);
  const general = (number: number): string => generalName(number, sizeOf(operand.size, reading), rex !== 0);
  const vector = (number: number): string => `${isLong(operand, reading) ? "y" : "x"}mm${number}`;
  switch (operand.letter) {
    case "G":
      return general(reg);
    case "E":
      return memory === undefined ? general(rm) : pointer(operand, reading) + memory;
    case "R":
      if (memory !== undefined) return undefined;
      return generalName(
        rm,
        controlled(reading) ? (bits === 64 ? 8 : 4) : sizeOf(operand.size, reading),
        rex !== 0,
      );
    case "Z":
      return general((opcode & 7) | ((rex & 1) << 3));
    case "B":
      return general(vex?.vvvv ?? 0);
    case "M":
      return memory === undefined ? undefined : pointer(operand, reading) + memory;
    case "V":
      return vector(reg);
    case "H":
      return vector(vex?.vvvv ?? 0);
    case "W":
      return memory === undefined ? vector(rm) : pointer(operand, reading) + memory;
    case "U":
      return memory === undefined ? vector(rm) : undefined;
    case "L":
      return vector((readUnsigned(reading, 1) >> 4) & (bits === 64 ? 15 : 7));
    case "P":
      return `mm${reg & 7}`;
    case "Q":
      return memory === undefined ? `mm${modrm & 7}` : pointer(operand, reading) + memory;
    case "N":
      return memory === undefined ? `mm${modrm & 7}` : undefined;
    case "S":
      return SEGMENT_NAMES[reg & 7];
    case "C":
      return `cr${reg}`;
    case "D":
      return `dr${reg}`;
    default:
      return implied(operand, reading, immediates);
  }
}

/** Operands that ModRM does not name. */
function implied(operand: Operand, reading: Reading, immediates: string[]): string | undefined {
  const { addressSize, segment } = reading;
  switch (operand.letter) {
    case "I":
    case "J":
      return immediate(immediates.shift() ?? "", reading);
    case "A": {
      const offset = immediate(immediates.shift() ?? "", reading);
      return `${immediate(immediates.shift() ?? "", reading)}:${offset}`;
    }
    case "O": {
      const offset = readWide(reading, addressSize);
      return `${pointer(operand, reading)}${SEGMENT_NAMES[segment ?? 3]}:0x${offset.toString(16)}`;
    }
    case "X":
      return `${pointer(operand, reading)}${SEGMENT_NAMES[segment ?? 3]}:[${generalName(6, addressSize, false)}]`;
    case "Y":
      return `${pointer(operand, reading)}es:[${generalName(7, addressSize, false)}]`;
    default:
      // F: the flags, which the mnemonic names.
      return "";
  }
}

const isLong = ({ size }: Operand, reading: Reading): boolean =>
  reading.vex !== undefined && sizeOf(size, reading) === 32;
const controlled = ({ row }: Reading): boolean => /\b[CD]v\b/.test(row.syntax);

function pointer({ memory, letter }: Operand, reading: Reading): string {
  // LEA's, the descriptor tables' and the state images' operands have no size worth saying.
  if (letter === "M" && !/^(?:[bwdqtpayv]|dq|qq|ss|sd|si|x|ps|pd)$/.test(memory)) return "";
  return `${POINTERS[sizeOf(memory, reading)]} ptr `;
}

// ------------------------------------------------------------------------------------------------ numbers

function readWide(reading: Reading, size: number): bigint {
  let value = 0n;
  for (let i = 0; i < size; i++) value |= BigInt(reading.bytes[reading.at + i] ?? 0) << BigInt(8 * i);
  reading.at += size;
  return value;
}
const readUnsigned = (reading: Reading, size: number): number => Number(readWide(reading, size));
const readSigned = (reading: Reading, size: number): bigint =>
  BigInt.asIntN(8 * size, readWide(reading, size));

/** Group 1's 83h, PUSH and IMUL extend their byte to the operand size (SDM 2D appendix A, sIb). */
const EXTENDED_BYTES = new Set([0x83, 0x6a, 0x6b]);

function immediate(code: string, reading: Reading): string {
  const { operandSize, encoding, opcode } = reading;
  const hex = (value: bigint, size: number): string => `0x${BigInt.asUintN(8 * size, value).toString(16)}`;
  const wide = Math.min(operandSize, 4);
  switch (code) {
    case "cb":
      return readSigned(reading, 1).toString();
    case "cz":
      return readSigned(reading, wide).toString();
    case "iw":
      return hex(readWide(reading, 2), 2);
    case "id":
      return hex(readWide(reading, 4), 4);
    case "io":
      return hex(readWide(reading, 8), 8);
    case "iv":
      return hex(readWide(reading, operandSize), operandSize);
    case "iz":
      // A byte operand's size is its own; there the immediate is ib.
      return hex(readSigned(reading, wide), operandSize);
    default: {
      const byte = readSigned(reading, 1);
      return hex(byte, encoding.map === 0 && EXTENDED_BYTES.has(opcode) ? operandSize : 1);
    }
  }
}

/** Turns the distance of a relative branch into the address it leads to: known only when all bytes are read. */
function relative(
  reading: Reading,
  operands: readonly (Operand | string)[],
  texts: readonly string[],
  address: bigint,
): readonly string[] {
  const bits = reading.bits === 64 ? 64 : reading.operandSize === 2 ? 16 : 32;
  return texts.map((word, i) => {
    const operand = operands[i];
    if (operand === undefined || typeof operand === "string" || operand.letter !== "J") return word;
    return `0x${BigInt.asUintN(bits, address + BigInt(reading.at) + BigInt(word)).toString(16)}`;
  });
}

// ------------------------------------------------------------------------------------------------ memory

const NARROW = ["bx+si", "bx+di", "bp+si", "bp+di", "si", "di", "bp", "bx"];

/** "[rax+rcx*4-0x10]", "fs:[rbx]", "ds:0x1234" (SDM 2A §2.1.5). Reads SIB and displacement. */
function readMemory(reading: Reading): string {
  const { modrm, addressSize, bits, segment } = reading;
  const mod = modrm >> 6;
  // In 64-bit mode the other segments are not used, and named by nobody.
  const override = segment === undefined ? "" : `${SEGMENT_NAMES[segment]}:`;
  const parts = addressSize === 2 ? narrowParts(modrm) : wideParts(reading);
  const size = mod === 1 ? 1 : parts.absolute || mod === 2 ? Math.min(addressSize, 4) : 0;
  const displacement = size === 0 ? 0n : readSigned(reading, size);
  if (parts.sum === "") {
    const width = bits === 64 && addressSize === 8 ? 64 : 8 * addressSize;
    return `${override || "ds:"}0x${BigInt.asUintN(width, displacement).toString(16)}`;
  }
  if (size === 0) return `${override}[${parts.sum}]`;
  const magnitude = displacement < 0n ? -displacement : displacement;
  return `${override}[${parts.sum}${displacement < 0n ? "-" : "+"}0x${magnitude.toString(16)}]`;
}

interface Parts {
  readonly sum: string;
  /** A displacement of 32 bits (16 with 16-bit addresses) follows although mod is 0. */
  readonly absolute: boolean;
}

function narrowParts(modrm: number): Parts {
  const absolute = (modrm & 0xc7) === 6;
  return { sum: absolute ? "" : NARROW[modrm & 7]!, absolute };
}

function wideParts(reading: Reading): Parts {
  const { modrm, rex, addressSize, bits } = reading;
  const mod = modrm >> 6;
  const name = (number: number): string => generalName(number, addressSize, false);
  if ((modrm & 7) !== 4) {
    if ((modrm & 0xc7) !== 5) return { sum: name((modrm & 7) | ((rex & 1) << 3)), absolute: false };
    return { sum: bits === 64 ? (addressSize === 8 ? "rip" : "eip") : "", absolute: true };
  }
  const sib = readUnsigned(reading, 1);
  const index = ((sib >> 3) & 7) | ((rex & 2) << 2);
  const absolute = (sib & 7) === 5 && mod === 0;
  const base = absolute ? "" : name((sib & 7) | ((rex & 1) << 3));
  if (reading.encoding.vsib) {
    // Four doublewords are enough to index four quadwords.
    const length = reading.vex?.long && !/^V(?:GATHERDPD|PGATHERDQ) /.test(reading.row.syntax) ? "y" : "x";
    return { sum: `${base}${base && "+"}${length}mm${index}*${1 << (sib >> 6)}`, absolute };
  }
  if (index === 4) return { sum: base, absolute };
  return { sum: `${base}${base && "+"}${name(index)}*${1 << (sib >> 6)}`, absolute };
}
