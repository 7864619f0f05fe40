/** A rule about a judge: what it may look at, and the terms that rules share. */

/** A field of a dump as a number; NaN where a kind of dumps has no such field. */
export type Field = (name: string) => number;

/** What a rule may look at beside the two dumps. */
export interface Case {
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

/** Bits of the flags register. */
export const RF = 0x10000,
  VM = 0x20000,
  VIF_VIP = 0x180000,
  IOPL = 0x3000,
  ARITHMETIC_FLAGS = 0x8d5;
/** Vectors. */
export const DE = 0,
  DB = 1,
  UD = 6,
  SS = 12,
  GP = 13,
  PF = 14,
  AC = 17;

/** An instruction from its opcode on. */
export const withoutPrefixes = (code: readonly number[]): readonly number[] =>
  code.slice(
    code.findIndex((byte) => ![0x26, 0x2e, 0x36, 0x3e, 0x48, 0x64, 0x65, 0x66, 0x67].includes(byte)),
  );
export const flagsOf = (field: Field): number => {
  const flags = field("rflags");
  return Number.isNaN(flags) ? field("eflags") : flags;
};
/** VIF and VIP both set at CPL 3, which virtual-8086 mode is. */
export const virtualInterruptWaits = (field: Field): boolean =>
  (flagsOf(field) & VIF_VIP) === VIF_VIP && ((field("cs") & 3) === 3 || (flagsOf(field) & VM) !== 0);
