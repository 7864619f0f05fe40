/**
 * What the judges leave out or do otherwise than processors do. QEMU's TCG (7.2, target/i386/tcg) leaves out much: a stream that
 * meets one of its rules says nothing about the core. Bochs (2.7) is taken at its word but for a few places.
 */
import { LONG } from "./long-tables.ts";
import type { Dump } from "./system-judges.ts";

/** A field of a dump as a number; -1 where the processor was shut down. */
type Field = (name: string) => number;

export interface Rule {
  readonly name: string;
  /** Whether the rule explains the difference between the core's dump and TCG's. */
  readonly applies: (here: Field, there: Field) => boolean;
}

const RF = 0x10000;
const GP = 13,
  SS = 12,
  UD = 6,
  PF = 14,
  AC = 17,
  DB = 1,
  DE = 0;

export const tcgRules: readonly Rule[] = [
  {
    name: "segment limits, rights and null selectors of data accesses, and non-canonical addresses: no #GP(0), no #SS(0)",
    applies: (here) => (here("vector") === GP || here("vector") === SS) && here("error") === 0,
  },
  { name: "LOCK where it may not stand: no #UD", applies: (here) => here("vector") === UD },
  {
    name: "an instruction that reads and writes faults as a read",
    applies: (here, there) =>
      here("vector") === PF && there("vector") === PF && (here("error") ^ there("error")) === 2,
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

export const bochsRules: readonly Rule[] = [
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
    applies: (here, there) =>
      here("vector") === GP && here("error") === 0 && there("ss") < 4 && there("vector") !== GP,
  },
  {
    name: "CALL to an address that is not canonical: Bochs writes the stack first, which shows in the sum over memory",
    applies: (here, there) =>
      here("vector") === GP &&
      there("vector") === GP &&
      here("rip") === there("rip") &&
      here("memory") !== there("memory"),
  },
];

/** Fields that are not compared at all: sums that hold accessed and dirty bits, and frames with RF. */
const loose = new Set(["tables", "memory", "dr6"]);

const reader =
  (fields: readonly string[], dump: Dump): Field =>
  (name) =>
    Number.parseInt(dump[fields.indexOf(name)] ?? "-1", 16);

/** The rule that explains a difference from Bochs, if one does. */
export function bochsRule(fields: readonly string[], here: Dump, there: Dump): string | undefined {
  const [a, b] = [reader(fields, here), reader(fields, there)];
  return bochsRules.find(({ applies }) => applies(a, b))?.name;
}

/** Differences that TCG's word counts for; the rule that explains them otherwise. */
export function tcgDifferences(
  fields: readonly string[],
  here: Dump,
  there: Dump,
): { differences: string[]; rule?: string } {
  const [a, b] = [reader(fields, here), reader(fields, there)];
  const differences = fields.flatMap((name, k) => {
    if (here[k] === there[k] || loose.has(name)) return [];
    if (name.endsWith("flags") && ((a(name) ^ b(name)) & ~RF) === 0) return [];
    return [`${name} ${here[k]} not ${there[k]}`];
  });
  if (differences.length === 0) return { differences };
  const rule = tcgRules.find(({ applies }) => applies(a, b));
  return rule ? { differences: [], rule: rule.name } : { differences };
}
