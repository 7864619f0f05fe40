/** One encoding of one instruction, in the notation of the Intel SDM (vol. 2, §3.1.1 and appendix A). */
export interface Instruction {
  readonly encoding: string;
  readonly syntax: string;
  /** The exported AssemblyScript function `(u: usize): void` that executes it. */
  readonly handler: string;
  /** Flags written, as in the SDM's summary; "-" for none. */
  readonly flags: string;
  readonly traits: readonly Trait[];
  /** What a processor must have for this row, where the mnemonic alone does not say it; see ../features.ts. */
  readonly feature?: VectorFeature;
}

export type VectorFeature = "avx" | "avx2" | "fma" | "f16c";

export type Trait =
  | "lockable"
  /** Changes RIP, mode, privilege, interrupts or mappings: the block ends here. */
  | "ends-block"
  /** CPL 0 only, else #GP(0). */
  | "ring0"
  /** #UD in 64-bit mode; only in 64-bit mode. */
  | "i64"
  | "o64"
  /** Operand size defaults to, or is forced to, 64 bits in 64-bit mode. */
  | "d64"
  | "f64"
  /** A generic handler: name8, name16, name32, name64 are made from it. */
  | "sized"
  /** A string instruction that REP prefixes apply to. */
  | "rep"
  | "rex.w"
  | "no-rex.w"
  /** Needs the x87 (CR0.EM, CR0.TS), or the SSE state (CR4.OSFXSR too). */
  | "fpu"
  | "sse"
  /** Needs the MMX state: CR0.EM → #UD, CR0.TS → #NM. */
  | "mmx"
  /** Needs the AVX state: CR4.OSXSAVE and XCR0[2:1] = 11b, else #UD; CR0.TS → #NM. */
  | "avx"
  /** The handler is that of the SSE form; vex.ts runs it once for each 128-bit lane. */
  | "lanes";

export const op = (
  encoding: string,
  syntax: string,
  handler: string,
  flags: string,
  ...traits: Trait[]
): Instruction => ({ encoding, syntax, handler, flags, traits });
