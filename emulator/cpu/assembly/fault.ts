/**
 * Exceptions in flight. AssemblyScript has no exceptions, so a handler that faults calls `raise`, returns at once and has
 * changed nothing; the interpreter's loop sees `fault` and delivers it with RIP at the instruction (SDM 3A §6.5).
 */
export let fault: u32 = 0;
export let faultVector: u32 = 0;
export let faultCode: u32 = 0;

export const DE: u32 = 0, DB: u32 = 1, BP: u32 = 3, OF: u32 = 4, BR: u32 = 5, UD: u32 = 6, NM: u32 = 7, DF: u32 = 8;
export const TS: u32 = 10, NP: u32 = 11, SS_FAULT: u32 = 12, GP: u32 = 13, PF: u32 = 14, MF: u32 = 16, AC: u32 = 17, XM: u32 = 19;

/** Records an exception. The error code is ignored for vectors that have none. The first one of an instruction wins. */
export function raise(vector: u32, code: u32): void {
  if (fault) return;
  fault = 1; faultVector = vector; faultCode = code;
}
export function clearFault(): void { fault = 0; nonCanonical = false; }

/** The fault is #GP(0) for a non-canonical data address: the run loop makes it #SS(0) when the operand's segment is SS. */
export let nonCanonical: bool = false;
export function raiseNonCanonical(): void {
  if (fault) return;
  raise(GP, 0);
  nonCanonical = true;
}
