/** What Bochs (2.7) does otherwise than processors do, and where a stream meets what the two machines are made of. Else its word counts. */
import {
  AC,
  DB,
  flagsOf,
  GP,
  IOPL,
  PF,
  type Rule,
  SS,
  virtualInterruptWaits,
  withoutPrefixes,
} from "./judge-rule.ts";
import { LONG, LONG_SELECTORS } from "./long-tables.ts";
import { RAM } from "./system-tables.ts";

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
/** Whether MOV of an immediate, or LDS and its kin from what MOV has stored, load a segment of real mode's that is not RAM's. */
const loadsHighSegment = (code: readonly number[]): boolean =>
  code.some(
    (byte, n) =>
      (byte === 0xb8 && code[n + 2]! >= 0xa0 && code[n + 3] === 0x8e) ||
      (byte === 0xc7 && code[n + 5]! >= 0xa0 && [0x66, 0xc4, 0xc5, 0x0f].includes(code[n + 6]!)),
  );
/** What an IN changes, and the arithmetic and the MOV to DR7 that stand behind it. */
const AFTER_IN: ReadonlySet<string> = new Set(["eax", "rax", "eflags", "rflags", "dr7", "memory"]);
/** Memory of the machine that the core runs streams in. */
const RAM_BYTES = 0x40_0000;
/** Whether the page of 1 GiB leads there, past all memory. */
const isAlias = (linear: number): boolean =>
  linear >= Number(LONG.alias1G) + RAM_BYTES && linear < Number(LONG.alias1G) + 0x4000_0000;

export const bochsRules: readonly Rule[] = [
  {
    name: "POPA that faults: Bochs has written no register, processors those that were popped before (the native vectors)",
    applies: (_here, _there, { differing, instruction }) =>
      withoutPrefixes(instruction)[0] === 0x61 &&
      differing.every((name) => /^e([abcd]x|bp|si|di)$/.test(name)),
  },
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
    applies: (here, there, { differing, instruction }) =>
      here("vector") === GP &&
      there("vector") === GP &&
      differing.every((name) => name === "memory") &&
      [0xe8, 0xff].includes(withoutPrefixes(instruction)[0]!),
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
      differing.some((name) => name === "eax" || name === "rax") &&
      differing.every((name) => AFTER_IN.has(name)) &&
      code.some(
        (byte, n) =>
          [0xec, 0xed].includes(byte) || (n > 0 && isIn(code[n - 1]!) && (byte < 0x34 || byte > 0x36)),
      ),
  },
];
