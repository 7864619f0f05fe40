/** What QEMU's TCG (7.2, target/i386/tcg) leaves out or does otherwise: a stream that meets one of these says nothing about the core. */
import {
  AC,
  ARITHMETIC_FLAGS,
  DB,
  DE,
  flagsOf,
  GP,
  PF,
  RF,
  type Rule,
  SS,
  UD,
  virtualInterruptWaits,
  VM,
  withoutPrefixes,
} from "./judge-rule.ts";
import { LONG, LONG_AND_BIG } from "./long-tables.ts";

/** RETF, IRET, CALL far. */
const isFarTransfer = ([opcode, modrm]: readonly number[]): boolean =>
  [0xca, 0xcb, 0xcf, 0x9a].includes(opcode!) || (opcode === 0xff && (modrm! & 0x38) === 0x18);

/** Whether the one has ones from bit 0 up where the other has zeros, in a byte or more. */
function zerosForOnes(here: bigint, there: bigint): boolean {
  const mask = here ^ there;
  return [0xffn, 0xffffn, 0xffff_ffffn, 0xffff_ffff_ffff_ffffn].includes(mask) && (here & mask) === mask;
}

/** Whether the page of 1 GiB leads there, past all memory. */
const isInNoMemory = (linear: number): boolean =>
  linear >= Number(LONG.alias1G) + 0x100_0000 && linear < Number(LONG.alias1G) + 0x4000_0000;

const NM = 7;

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
      ((here("rflags") ^ there("rflags")) & ~(ARITHMETIC_FLAGS | RF)) === 0,
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
    name: "CR4.PVI and CR4.VME do nothing",
    applies: (here, there, { instructionThere }) =>
      ((here("cr4") & 3) !== 0 &&
        there("vector") === GP &&
        [0xfa, 0xfb, 0x9c, 0x9d, 0xcd, 0xcf].includes(withoutPrefixes(instructionThere)[0]!)) ||
      virtualInterruptWaits(here),
  },
  {
    name: "LAR and LSL take descriptors of 286 systems in long mode, and clear the bits of LAR that are undefined",
    applies: (here, there, { differing, before }) =>
      before.some((byte, n) => byte === 0x0f && [2, 3].includes(before[n + 1]!)) &&
      differing.every((name) => /^[re](ax|flags)$/.test(name)) &&
      (differing.length === 1 || ((flagsOf(here) ^ flagsOf(there)) & ~(ARITHMETIC_FLAGS | RF)) === 0),
  },
  {
    name: "LTR and LLDT take bases that are not canonical",
    applies: (here, there) =>
      here("vector") === GP &&
      here("error") !== 0 &&
      [there("tr"), there("ldtr")].some((selector) => (selector & ~3) === here("error")),
  },
  {
    name: "the page at 0 holds what earlier streams left behind the interrupt table of real mode",
    applies: (_here, _there, { differing, code }) =>
      differing.length === 1 &&
      /^[re]/.test(differing[0]!) &&
      code.some((_byte, n) => {
        const place = Buffer.from([...code.slice(n, n + 4), 0xff, 0xff, 0xff]).readUInt32LE();
        return place >= 0x3fd && place < 0x1000;
      }),
  },
  {
    name: "what is added to memory that no machine has makes other flags of its zeros",
    applies: (_here, _there, { differing, code }) =>
      differing.every((name) => name === "rflags") &&
      code.some((_byte, n) => isInNoMemory(Buffer.from([...code.slice(n, n + 4), 0, 0, 0]).readUInt32LE())),
  },
  {
    name: "IRET enters virtual-8086 mode from CPL 3, and in long mode too",
    applies: (here, there) => here("vector") === GP && (flagsOf(there) & VM) !== 0,
  },
  {
    name: "CR4.VME redirects no INT",
    applies: (here, there) =>
      (here("cr4") & 1) !== 0 && there("vector") === GP && (flagsOf(there) & VM) !== 0,
  },
  {
    name: "EMMS looks at neither CR0.TS nor CR0.EM",
    applies: (here, _there, { instruction }) =>
      [UD, NM].includes(here("vector")) && instruction[0] === 0x0f && instruction[1] === 0x77,
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
