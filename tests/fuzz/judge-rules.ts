/**
 * What the judges leave out or do otherwise than processors do. QEMU's TCG (7.2, target/i386/tcg) leaves out much: a stream that
 * meets one of its rules says nothing about the core. Bochs (2.7) is taken at its word but for a few places.
 */
import { LONG, LONG_AND_BIG, LONG_SELECTORS } from "./long-tables.ts";
import type { Dump } from "./system-judges.ts";
import { RAM } from "./system-tables.ts";

/** A field of a dump as a number; NaN where a kind of dumps has no such field. */
type Field = (name: string) => number;

/** What a rule may look at beside the two dumps. */
interface Case {
  /** A field's value here and there. */
  readonly values: (name: string) => readonly [bigint, bigint];
  readonly code: readonly number[];
  /** Names of the fields that differ. */
  readonly differing: readonly string[];
  /** Names of the fields whose lower 32 bits differ. */
  readonly differingBelow: readonly string[];
  /** The stream's bytes from where the core ended; empty where that is outside of it. */
  readonly instruction: readonly number[];
  /** The bytes before it. */
  readonly before: readonly number[];
  /** As `instruction`, from where the judge ended. */
  readonly instructionThere: readonly number[];
}

export interface Rule {
  readonly name: string;
  /** Whether the rule explains the difference between the core's dump and the judge's. */
  readonly applies: (here: Field, there: Field, about: Case) => boolean;
}

/** A stream's code, and the offset in its segment that it begins at. */
export interface StreamCode {
  readonly code: readonly number[];
  /** Sixty-four-bit streams have `rip`, in hex. */
  readonly rip?: string;
  readonly eip?: number;
}

const RF = 0x10000,
  VM = 0x20000,
  VIF_VIP = 0x180000,
  IOPL = 0x3000;
const ARITHMETIC = 0x8d5;
const GP = 13,
  SS = 12,
  UD = 6,
  PF = 14,
  AC = 17,
  DB = 1,
  DE = 0;

const withoutPrefixes = (code: readonly number[]): readonly number[] =>
  code.slice(
    code.findIndex((byte) => ![0x26, 0x2e, 0x36, 0x3e, 0x48, 0x64, 0x65, 0x66, 0x67].includes(byte)),
  );
/** RETF, IRET, CALL far. */
const isFarTransfer = ([opcode, modrm]: readonly number[]): boolean =>
  [0xca, 0xcb, 0xcf, 0x9a].includes(opcode!) || (opcode === 0xff && (modrm! & 0x38) === 0x18);

const flagsOf = (field: Field): number => {
  const flags = field("rflags");
  return Number.isNaN(flags) ? field("eflags") : flags;
};
/** VIF and VIP both set at CPL 3, which virtual-8086 mode is. */
const virtualInterruptWaits = (field: Field): boolean =>
  (flagsOf(field) & VIF_VIP) === VIF_VIP && ((field("cs") & 3) === 3 || (flagsOf(field) & VM) !== 0);
/** Whether the one has ones from bit 0 up where the other has zeros, in a byte or more. */
function zerosForOnes(here: bigint, there: bigint): boolean {
  const mask = here ^ there;
  return [0xffn, 0xffffn, 0xffff_ffffn, 0xffff_ffff_ffff_ffffn].includes(mask) && (here & mask) === mask;
}

export const tcgRules: readonly Rule[] = [
  {
    name: "segment limits, rights and null selectors of data accesses, and non-canonical addresses: no #GP(0), no #SS(0)",
    applies: (here) => (here("vector") === GP || here("vector") === SS) && here("error") === 0,
  },
  { name: "LOCK where it may not stand: no #UD", applies: (here) => here("vector") === UD },
  {
    name: "an instruction that reads and writes faults as a read; a reserved bit is reported without P",
    applies: (here, there) => {
      const difference = here("error") ^ there("error");
      return (
        here("vector") === PF &&
        there("vector") === PF &&
        (difference & ~3) === 0 &&
        ((difference & 1) === 0 || (here("error") & 8) !== 0)
      );
    },
  },
  {
    name: "what far transfers of CPL 3 do with their stack is done as the kernel, which SMAP forbids",
    applies: (_here, there, { instructionThere }) =>
      there("vector") === PF &&
      (there("error") & 4) === 0 &&
      (there("cs") & 3) === 3 &&
      isFarTransfer(withoutPrefixes(instructionThere)),
  },
  {
    name: "SYSCALL loses the arithmetic flags: LSTAR leads to an INT 20h at once",
    applies: (here, there, { differing }) =>
      (here("rip") === LONG.entry || here("rip") === LONG.entry + 2) &&
      differing.every((name) => name === "rflags") &&
      ((here("rflags") ^ there("rflags")) & ~(ARITHMETIC | RF)) === 0,
  },
  {
    name: "66h before a near branch cuts RIP to 16 bits, as on AMD's processors",
    applies: (here, there) =>
      here("rip") > 0xffff &&
      there("rip") <= 0xffff &&
      there("vector") === PF &&
      there("cr2") === there("rip"),
  },
  {
    name: "ports and memory that no machine has read as zeros",
    applies: (_here, _there, { differing, values }) =>
      differing.length === 1 && /^[re]/.test(differing[0]!) && zerosForOnes(...values(differing[0]!)),
  },
  {
    name: "CR4.PVI and CR4.VME do nothing, and VIF and VIP cannot be set",
    applies: (here, there, { differing, instructionThere }) =>
      ((here("cr4") & 3) !== 0 &&
        there("vector") === GP &&
        [0xfa, 0xfb, 0x9c, 0x9d, 0xcd, 0xcf].includes(withoutPrefixes(instructionThere)[0]!)) ||
      (differing.every((name) => name.endsWith("flags")) &&
        ((flagsOf(here) ^ flagsOf(there)) & ~(RF | VIF_VIP)) === 0) ||
      virtualInterruptWaits(here),
  },
  {
    name: "LAR and LSL take descriptors of 286 systems in long mode, and clear the bits of LAR that are undefined",
    applies: (here, there, { differing, before }) =>
      before.some((byte, n) => byte === 0x0f && [2, 3].includes(before[n + 1]!)) &&
      differing.every((name) => name === "rax" || name === "rflags") &&
      (differing.length === 1 || ((here("rflags") ^ there("rflags")) & ~(ARITHMETIC | RF)) === 0),
  },
  {
    name: "IRET enters virtual-8086 mode in long mode too",
    applies: (here, there) => here("vector") === GP && (there("rflags") & VM) !== 0,
  },
  {
    name: "CLFLUSH does nothing",
    applies: (here, _there, { instruction }) => {
      const [escape, opcode, modrm] = withoutPrefixes(instruction);
      return here("vector") === PF && escape === 0x0f && opcode === 0xae && (modrm! & 0x38) === 0x38;
    },
  },
  {
    name: "which of two pages, or of two operands, faults first",
    applies: (here, there, { differing }) =>
      here("vector") === PF &&
      there("vector") === PF &&
      differing.every((name) => name === "error" || name === "cr2"),
  },
  {
    name: "a code segment with both L and D set",
    applies: (here) => here("vector") === GP && here("error") === LONG_AND_BIG,
  },
  {
    name: "INT n of a vector that has an error code leaves none, and shifts the dump: its last field is what earlier streams left",
    applies: (here, _there, { differing }) =>
      here("rip") < 0x100 && differing.every((name) => name === "ss" || name.startsWith("above")),
  },
  {
    name: "data and I/O breakpoints, and single steps into and out of virtual-8086 mode",
    applies: (here, there) => here("vector") === DB || there("vector") === DB,
  },
  { name: "alignment is not checked", applies: (here) => here("vector") === AC },
  {
    name: "selectors in error codes: EXT, and which of two descriptors is named first",
    applies: (here, there) =>
      here("vector") === there("vector") && here("error") !== there("error") && here("vector") !== PF,
  },
  {
    name: "DIV of a number too large by one",
    applies: (here, there) => here("vector") === DE || there("vector") === DE,
  },
];

/** Whether a breakpoint of DR7 is enabled for instructions, with a length. */
function hasLongBreakpoint(dr7: number): boolean {
  return [0, 1, 2, 3].some((n) => {
    const condition = (dr7 >>> (16 + 4 * n)) & 15;
    return ((dr7 >>> (2 * n)) & 3) !== 0 && (condition & 3) === 0 && condition !== 0;
  });
}
const compatibilityCode: ReadonlySet<number> = new Set(
  [LONG_SELECTORS.code32, LONG_SELECTORS.code16, LONG_SELECTORS.userCode32, LONG_SELECTORS.userCode16].map(
    (selector) => selector & ~3,
  ),
);
/** Whether an IRETQ takes a null SS from the five PUSH that stand before it. */
function pushedNullStack(instruction: readonly number[], before: readonly number[]): boolean {
  const [push, low, ...rest] = before.slice(-25);
  return (
    instruction[0] === 0x48 &&
    instruction[1] === 0xcf &&
    push === 0x68 &&
    low! < 4 &&
    rest.slice(0, 3).every((byte) => byte === 0)
  );
}

/** Whether the code has these in this order. */
function holds(code: readonly number[], ...parts: readonly (readonly number[])[]): boolean {
  const text = Buffer.from(code);
  let from = 0;
  for (const part of parts) {
    const found = text.indexOf(Buffer.from(part), from);
    if (found < 0) return false;
    from = found + part.length;
  }
  return true;
}
/** IN from the port in the next byte. */
const isIn = (opcode: number): boolean => opcode === 0xe4 || opcode === 0xe5;
/** CS of the streams in real and virtual-8086 mode. */
const LOW_CODE = RAM.code >> 4;
/** Whether a MOV of an immediate loads a segment of real mode's that is not RAM's. */
const loadsHighSegment = (code: readonly number[]): boolean =>
  code.some((byte, n) => byte === 0xb8 && code[n + 2]! >= 0xa0 && code[n + 3] === 0x8e);
/** Memory of the machine that the core runs streams in. */
const RAM_BYTES = 0x40_0000;
/** Whether the page of 1 GiB leads there, past all memory. */
const isAlias = (linear: number): boolean =>
  linear >= Number(LONG.alias1G) + RAM_BYTES && linear < Number(LONG.alias1G) + 0x4000_0000;

export const bochsRules: readonly Rule[] = [
  {
    name: "ARPL that faults and would not write: Bochs says that it writes; a Xeon reads first, and writes when it raises the RPL (tried natively)",
    applies: (here, there, { instruction }) =>
      here("vector") === PF &&
      there("vector") === PF &&
      (here("error") ^ there("error")) === 2 &&
      withoutPrefixes(instruction)[0] === 0x63,
  },
  {
    name: "VIF and VIP both set at CPL 3 (SDM 3A §20.3.2): Bochs does not look in 64-bit code, and whatever IOPL says (against §2.3)",
    applies: (here, there) =>
      (here("vector") === GP && here("error") === 0 && virtualInterruptWaits(here)) ||
      (there("vector") === GP && virtualInterruptWaits(there) && (flagsOf(there) & IOPL) === IOPL),
  },
  {
    name: "an instruction breakpoint that has a length: undefined (SDM 3B §17.2.4); Bochs takes the length, the core does not",
    applies: (here, there) =>
      (here("vector") === DB || there("vector") === DB) &&
      (hasLongBreakpoint(here("dr7")) || hasLongBreakpoint(there("dr7"))),
  },
  {
    name: "SGDT and SIDT that fault at the base: whether the limit is written is not said",
    applies: (here, there, { instruction, differing }) => {
      const [escape, opcode, modrm] = withoutPrefixes(instruction);
      return (
        [PF, AC].includes(here("vector")) &&
        here("vector") === there("vector") &&
        differing.every((name) => name === "memory") &&
        escape === 0x0f &&
        opcode === 1 &&
        (modrm! & 0x30) === 0
      );
    },
  },
  {
    name: "upper halves of registers that compatibility mode writes to are undefined (SDM 1 §3.4.1.1)",
    applies: (here, _there, { differingBelow }) =>
      compatibilityCode.has(here("cs") & ~3) &&
      // At CPL 0 the handler pushes them onto the stream's own stack, which the sum over memory covers.
      differingBelow.every((name) => name === "memory" && (here("cs") & 3) === 0),
  },
  {
    name: "SYSCALL whose mask clears TF: Bochs traps all the same, at the first instruction behind it",
    applies: (here, there) =>
      there("vector") === DB && there("rip") === LONG.entry && here("rip") === LONG.entry + 2,
  },
  {
    name: "IRET to a stack segment that is not present: #NP in Bochs, #SS here (SDM 2A IRET has one in its text and the other in its list)",
    applies: (here, there) =>
      here("vector") === SS && there("vector") === 11 && here("error") === there("error"),
  },
  {
    name: "far CALL from CPL 3 to conforming code of CPL 0: Bochs pushes as the kernel, which SMAP forbids",
    applies: (_here, there) => there("vector") === PF && there("error") === 3 && (there("cs") & 3) === 3,
  },
  {
    name: "a null SS whose RPL is not that of the code it returns to (SDM 2B RET, 'RETURN-TO-OUTER-PRIVILEGE-LEVEL': #GP)",
    applies: (here, there, { instruction, before }) =>
      here("vector") === GP &&
      here("error") === 0 &&
      (there("vector") !== GP || here("rip") !== there("rip")) &&
      (there("ss") < 4 || pushedNullStack(instruction, before)),
  },
  {
    name: "a store through the CS that SYSRET and SYSEXIT load: Bochs lets it pass (against SDM 3A §5.5)",
    applies: (here, there, { instruction }) =>
      here("vector") === GP &&
      here("error") === 0 &&
      there("vector") !== GP &&
      (here("cs") & 3) === 3 &&
      instruction.slice(0, 3).includes(0x2e),
  },
  {
    name: "CALL to an address that is not canonical: Bochs writes the stack first, which shows in the sum over memory",
    applies: (here, there) =>
      here("vector") === GP &&
      there("vector") === GP &&
      here("rip") === there("rip") &&
      here("memory") !== there("memory"),
  },
  {
    name: "SYSRET to compatibility mode gives SS all its attributes (SDM 2B SYSRET); Bochs leaves those of a null SS, and the stack has 16 bits",
    applies: (_here, there, { code }) =>
      compatibilityCode.has(there("cs") & ~3) &&
      holds(code, [0x8e, 0xd0], [0x0f, 0x07]) &&
      there("vector") === PF &&
      there("cr2") <= 0xffff,
  },
  {
    name: "a call gate of 32 bits pushes ESP (SDM 2A CALL); Bochs pushes SP where the stack has 16 bits",
    applies: (_here, _there, { differing, values }) => {
      const [esp, sp] = values(differing[0]!);
      return differing.length === 1 && differing[0]!.startsWith("above") && (esp & 0xffffn) === sp;
    },
  },
  {
    name: "code that is in no memory: the core does not execute from devices",
    applies: (here, there) =>
      here("rip") === there("rip") && here("vector") !== there("vector") && isAlias(here("rip")),
  },
  {
    name: "a stream that runs on behind its stack executes what earlier streams left, INS from the ports of Bochs' devices included",
    applies: (here, there, { differing }) =>
      here("rip") === LONG.end && there("rip") === LONG.end && differing.every((name) => name === "memory"),
  },
  {
    name: "16-bit code whose segments lie above 640 KiB: ROM and devices there are Bochs' own",
    applies: (here, _there, { code }) => here("cs") === LOW_CODE && loadsHighSegment(code),
  },
  {
    name: "IN from a port of one of Bochs' devices, which a stream jumped into the middle of an instruction for",
    applies: (_here, _there, { differing, code }) =>
      differing.every((name) => name === "eax" || name === "rax") &&
      code.some(
        (byte, n) =>
          [0xec, 0xed].includes(byte) || (n > 0 && isIn(code[n - 1]!) && (byte < 0x34 || byte > 0x36)),
      ),
  },
];

/** Fields that are not compared at all: sums that hold accessed and dirty bits, and frames with RF. */
const loose = new Set(["tables", "memory", "dr6"]);

const reader =
  (fields: readonly string[], dump: Dump): Field =>
  (name) =>
    Number.parseInt(dump[fields.indexOf(name)] ?? "", 16);

/** What rules ask about a difference. */
function caseOf(
  fields: readonly string[],
  here: Dump,
  there: Dump,
  stream: StreamCode,
  differing: readonly string[] = fields.filter((_name, k) => here[k] !== there[k]),
): Case {
  const low = (dump: Dump, name: string): number =>
    Number.parseInt((dump[fields.indexOf(name)] ?? "").slice(-8), 16);
  const pointer = fields.findIndex((name) => name === "rip" || name === "eip"),
    begun = stream.rip === undefined ? (stream.eip ?? NaN) : Number.parseInt(stream.rip, 16);
  const from = (dump: Dump): number => {
    const offset = Number.parseInt(dump[pointer] ?? "", 16) - begun;
    return offset >= 0 && offset < stream.code.length ? offset : stream.code.length;
  };
  const value = (dump: Dump, name: string): bigint => BigInt(`0x${dump[fields.indexOf(name)] ?? "0"}`);
  return {
    code: stream.code,
    values: (name) => [value(here, name), value(there, name)],
    differing,
    differingBelow: differing.filter((name) => low(here, name) !== low(there, name)),
    instruction: stream.code.slice(from(here)),
    before: stream.code.slice(0, from(here)),
    instructionThere: stream.code.slice(from(there)),
  };
}

/** The rule that explains a difference from Bochs, if one does. */
export function bochsRule(
  fields: readonly string[],
  here: Dump,
  there: Dump,
  stream: StreamCode,
): string | undefined {
  const [a, b] = [reader(fields, here), reader(fields, there)];
  const about = caseOf(fields, here, there, stream);
  return bochsRules.find(({ applies }) => applies(a, b, about))?.name;
}

/** Differences that TCG's word counts for; the rule that explains them otherwise. */
export function tcgDifferences(
  fields: readonly string[],
  here: Dump,
  there: Dump,
  stream: StreamCode,
): { differences: string[]; rule?: string } {
  const [a, b] = [reader(fields, here), reader(fields, there)];
  const differing = fields.filter(
    (name, k) =>
      here[k] !== there[k] &&
      !loose.has(name) &&
      !(name.endsWith("flags") && ((a(name) ^ b(name)) & ~RF) === 0),
  );
  const told = (name: string): string =>
    `${name} ${here[fields.indexOf(name)]} not ${there[fields.indexOf(name)]}`;
  const differences = differing.map(told);
  if (differences.length === 0) return { differences };
  const about = caseOf(fields, here, there, stream, differing),
    rule = tcgRules.find(({ applies }) => applies(a, b, about));
  return rule ? { differences: [], rule: rule.name } : { differences };
}
