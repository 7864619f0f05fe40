/**
 * What QEMU's TCG leaves out or does otherwise (QEMU 7.2, target/i386/tcg): a stream that meets one of these says nothing about
 * the core. Bochs judges all of them. `fuzz cpu --mode system --judge qemu` counts what each rule lets pass.
 */
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
  DB = 1,
  DE = 0;

export const rules: readonly Rule[] = [
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
  { name: "alignment is not checked", applies: (here) => here("vector") === 17 },
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

/** Fields that are not compared at all: sums that hold accessed and dirty bits, and frames with RF. */
const loose = new Set(["tables", "memory", "dr6"]);

/** Differences that TCG's word counts for; the rule that explains them otherwise. */
export function tcgDifferences(
  fields: readonly string[],
  here: Dump,
  there: Dump,
): { differences: string[]; rule?: string } {
  const reader =
    (dump: Dump): Field =>
    (name) =>
      Number.parseInt(dump[fields.indexOf(name)] ?? "-1", 16);
  const [a, b] = [reader(here), reader(there)];
  const differences = fields.flatMap((name, k) => {
    if (here[k] === there[k] || loose.has(name)) return [];
    if (name.endsWith("flags") && ((a(name) ^ b(name)) & ~RF) === 0) return [];
    return [`${name} ${here[k]} not ${there[k]}`];
  });
  if (differences.length === 0) return { differences };
  const rule = rules.find(({ applies }) => applies(a, b));
  return rule ? { differences: [], rule: rule.name } : { differences };
}
