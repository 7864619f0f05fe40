/**
 * Lazy flags. An operation remembers what it did (ccOp, ccDst = result, ccSrc = second operand, both zero-extended from
 * the operand size); CF PF AF ZF SF OF are worked out only when somebody asks. RFLAGS in the state holds the other flags.
 * ZF is `ccDst == 0` for every operation, also for FLAGS_KNOWN.
 */
import { RFLAGS } from "./layout";
import { multiplyHighSigned } from "./wide";

/** What the last flag-writing operation was: one of these | log2(operand bytes) << 4. */
export const OP_ADD: u32 = 0, OP_SUB: u32 = 1, OP_LOGIC: u32 = 2, OP_INC: u32 = 3, OP_DEC: u32 = 4;
/** Shifts: ccSrc bit 0 is CF, bit 11 is OF. */
export const OP_SHIFT: u32 = 5;
/** ADC and SBB with a carry in (without one they are ADD and SUB). */
export const OP_ADC: u32 = 6, OP_SBB: u32 = 7;
/** A signed product that was cut to its low half: ccSrc and ccOther are the factors. CF = OF = it did not fit. */
export const OP_PRODUCT: u32 = 9;
/** ccSrc holds the six flags in their RFLAGS positions. */
export const FLAGS_KNOWN: u32 = 8;

export const CF: u32 = 1, PF_FLAG: u32 = 4, AF: u32 = 0x10, ZF: u32 = 0x40, SF: u32 = 0x80, TF: u32 = 0x100, IF: u32 = 0x200, DF_FLAG: u32 = 0x400, OF_FLAG: u32 = 0x800;
export const ARITHMETIC: u32 = 0x8d5;

export let ccOp: u32 = FLAGS_KNOWN;
export let ccDst: u64 = 1;
export let ccSrc: u64 = 0;
export let ccOther: u64 = 0;

// @ts-ignore: decorator
@inline export function log2Size<T>(): u32 { return sizeof<T>() == 1 ? 0 : sizeof<T>() == 2 ? 1 : sizeof<T>() == 4 ? 2 : 3; }
/** Unsigned widening whatever the signedness of T. */
// @ts-ignore: decorator
@inline export function wide<T>(value: T): u64 { return sizeof<T>() == 1 ? <u64><u8>value : sizeof<T>() == 2 ? <u64><u16>value : sizeof<T>() == 4 ? <u64><u32>value : <u64>value; }

/** Records an operation with operands of size T. */
// @ts-ignore: decorator
@inline export function remember<T>(operation: u32, result: T, source: T): void {
  ccOp = operation | (log2Size<T>() << 4); ccDst = wide<T>(result); ccSrc = wide<T>(source);
}
/** ZF SF PF from the result, CF = OF = AF = 0. */
// @ts-ignore: decorator
@inline export function rememberLogic<T>(result: T): void { ccOp = OP_LOGIC | (log2Size<T>() << 4); ccDst = wide<T>(result); }

/** CF PF AF ZF SF OF all at once, in RFLAGS positions. */
export function setArithmetic(bits: u32): void {
  ccOp = FLAGS_KNOWN; ccSrc = <u64>(bits & ARITHMETIC); ccDst = <u64>u32(!(bits & ZF));
}
/** Changes some of the arithmetic flags and keeps the rest. */
export function changeArithmetic(bits: u32, mask: u32): void { setArithmetic((arithmetic() & ~mask) | (bits & mask)); }

// @ts-ignore: decorator
@inline function sizeMask(): u64 { return <u64>-1 >> (64 - (8 << (<u64>ccOp >> 4))); }
// @ts-ignore: decorator
@inline function signOf(value: u64): u32 { return <u32>(value >> ((8 << (<u64>ccOp >> 4)) - 1)) & 1; }

export function carrySlow(): u32 {
  switch (ccOp & 15) {
    case OP_ADD: return u32(ccDst < ccSrc);
    case OP_ADC: return u32(ccDst <= ccSrc);
    case OP_SUB: return u32(((ccDst + ccSrc) & sizeMask()) < ccSrc);
    case OP_SBB: return u32(((ccDst + ccSrc + 1) & sizeMask()) <= ccSrc);
    case OP_LOGIC: return 0;
    case OP_PRODUCT: return productSpills();
    default: return <u32>ccSrc & 1;
  }
}
function productSpills(): u32 {
  if (ccOp >> 4 == 3) return u32(multiplyHighSigned(<i64>ccSrc, <i64>ccOther) != <i64>ccDst >> 63);
  const shift: i64 = 64 - (8 << (<i64>ccOp >> 4));
  const product = ((<i64>ccSrc << shift) >> shift) * ((<i64>ccOther << shift) >> shift);
  return u32((<i64>ccDst << shift) >> shift != product);
}
/** CF as 0 or 1. */
// @ts-ignore: decorator
@inline export function carry(): u32 {
  if (ccOp == (OP_SUB | 0x20)) return u32(<u32>(ccDst + ccSrc) < <u32>ccSrc);
  if (ccOp == (OP_SUB | 0x30)) return u32(ccDst + ccSrc < ccSrc);
  return carrySlow();
}
/** OF as 0 or 1. */
export function overflow(): u32 {
  const r = ccDst, b = ccSrc;
  let a: u64;
  switch (ccOp & 15) {
    case OP_ADD: a = r - b; return signOf(~(a ^ b) & (a ^ r));
    case OP_ADC: a = r - b - 1; return signOf(~(a ^ b) & (a ^ r));
    case OP_SUB: a = r + b; return signOf((a ^ b) & (a ^ r));
    case OP_SBB: a = r + b + 1; return signOf((a ^ b) & (a ^ r));
    case OP_INC: return u32(r == (sizeMask() >> 1) + 1);
    case OP_DEC: return u32(r == sizeMask() >> 1);
    case OP_LOGIC: return 0;
    case OP_PRODUCT: return productSpills();
    default: return <u32>(b >> 11) & 1;
  }
}
// @ts-ignore: decorator
@inline export function zero(): u32 { return u32(ccDst == 0); }
// @ts-ignore: decorator
@inline export function sign(): u32 { return ccOp == FLAGS_KNOWN ? <u32>(ccSrc >> 7) & 1 : signOf(ccDst); }
// @ts-ignore: decorator
@inline export function parity(): u32 { return ccOp == FLAGS_KNOWN ? <u32>(ccSrc >> 2) & 1 : ~popcnt<u32>(<u32>ccDst & 0xff) & 1; }
export function auxiliary(): u32 {
  switch (ccOp & 15) {
    case OP_ADD: return <u32>(((ccDst - ccSrc) ^ ccSrc ^ ccDst) >> 4) & 1;
    case OP_ADC: return <u32>(((ccDst - ccSrc - 1) ^ ccSrc ^ ccDst) >> 4) & 1;
    case OP_SUB: return <u32>(((ccDst + ccSrc) ^ ccSrc ^ ccDst) >> 4) & 1;
    case OP_SBB: return <u32>(((ccDst + ccSrc + 1) ^ ccSrc ^ ccDst) >> 4) & 1;
    case OP_INC: return u32((ccDst & 15) == 0);
    case OP_DEC: return u32((ccDst & 15) == 15);
    case FLAGS_KNOWN: return <u32>(ccSrc >> 4) & 1;
    default: return 0;
  }
}
/** SF != OF: "less" for signed numbers. */
export function lessSlow(): u32 { return sign() ^ overflow(); }
// @ts-ignore: decorator
@inline export function less(): u32 {
  if (ccOp == (OP_SUB | 0x20)) return u32(<i32>(ccDst + ccSrc) < <i32>ccSrc);
  if (ccOp == (OP_SUB | 0x30)) return u32(<i64>(ccDst + ccSrc) < <i64>ccSrc);
  return lessSlow();
}

/** The six arithmetic flags in their RFLAGS positions. */
export function arithmetic(): u32 {
  if (ccOp == FLAGS_KNOWN) return <u32>ccSrc;
  return carrySlow() | (parity() << 2) | (auxiliary() << 4) | (zero() << 6) | (sign() << 7) | (overflow() << 11);
}

export function getRflags(): u64 { return (load<u64>(RFLAGS) & ~<u64>ARITHMETIC) | <u64>arithmetic() | 2; }
/** Replaces the flags in `mask` by those of `value`. The caller owns the consequences of a new IF, TF or VM. */
export function setRflags(value: u64, mask: u64): void {
  if (mask & <u64>ARITHMETIC) changeArithmetic(<u32>value, <u32>mask & ARITHMETIC);
  store<u64>(RFLAGS, ((load<u64>(RFLAGS) & ~mask) | (value & mask & ~<u64>ARITHMETIC)) | 2);
}

/** Condition codes 0-15 of Jcc, SETcc and CMOVcc (SDM 1 appendix B). */
export function condition(code: u32): u32 {
  let truth: u32;
  switch (code >> 1) {
    case 0: truth = overflow(); break;
    case 1: truth = carry(); break;
    case 2: truth = zero(); break;
    case 3: truth = carry() | zero(); break;
    case 4: truth = sign(); break;
    case 5: truth = parity(); break;
    case 6: truth = less(); break;
    default: truth = less() | zero(); break;
  }
  return truth ^ (code & 1);
}
