/** The bodies of integer operations, shared by the inlined uops of the interpreter and the handlers of integer.ts. */
import {
  carry, ccDst, ccOp, ccOther, ccSrc, log2Size, OP_ADC, OP_ADD, OP_DEC, OP_INC, OP_PRODUCT, OP_SBB, OP_SHIFT, OP_SUB, remember, rememberLogic, wide,
} from "./flags";

/** Numbered as the /digit of group 1, and TEST. */
export const ADD: u32 = 0, OR: u32 = 1, ADC: u32 = 2, SBB: u32 = 3, AND: u32 = 4, SUB: u32 = 5, XOR: u32 = 6, CMP: u32 = 7, TEST: u32 = 8;

/** A register write: 32-bit results clear the upper half (SDM 1 §3.4.1.1). */
// @ts-ignore: decorator
@inline export function storeRegister<T>(place: usize, value: T): void {
  if (sizeof<T>() == 4) store<u64>(place, <u64><u32>value); else store<T>(place, value);
}

/** a op b with its flags. CMP and TEST return what is not to be stored. */
// @ts-ignore: decorator
@inline export function compute<T>(operation: u32, a: T, b: T): T {
  let r: T;
  if (operation == ADD) { r = <T>(a + b); remember<T>(OP_ADD, r, b); return r; }
  if (operation == SUB || operation == CMP) { r = <T>(a - b); remember<T>(OP_SUB, r, b); return r; }
  if (operation == ADC) {
    const c = carry();
    r = <T>(a + b + <T>c); remember<T>(c ? OP_ADC : OP_ADD, r, b); return r;
  }
  if (operation == SBB) {
    const c = carry();
    r = <T>(a - b - <T>c); remember<T>(c ? OP_SBB : OP_SUB, r, b); return r;
  }
  if (operation == OR) r = <T>(a | b); else if (operation == XOR) r = <T>(a ^ b); else r = <T>(a & b);
  rememberLogic<T>(r);
  return r;
}

/** Whether the operation writes its first operand. */
// @ts-ignore: decorator
@inline export function writesBack(operation: u32): bool { return operation != CMP && operation != TEST; }

// @ts-ignore: decorator
@inline export function increment<T>(a: T): T {
  const c = carry(), r = <T>(a + 1);
  ccOp = OP_INC | (log2Size<T>() << 4); ccDst = wide<T>(r); ccSrc = <u64>c;
  return r;
}
// @ts-ignore: decorator
@inline export function decrement<T>(a: T): T {
  const c = carry(), r = <T>(a - 1);
  ccOp = OP_DEC | (log2Size<T>() << 4); ccDst = wide<T>(r); ccSrc = <u64>c;
  return r;
}

/** Shifts by 1 .. bits - 1 of 32 and 64-bit values, and by 1 .. 31 of narrower ones. */
// @ts-ignore: decorator
@inline export function shiftLeft<T>(a: T, count: u32): T {
  const bits: u32 = sizeof<T>() * 8;
  const x = wide<T>(a), r = count < 64 ? x << <u64>count : 0;
  const c = count > bits ? 0 : <u32>(x >> <u64>(bits - count)) & 1;
  const result = <T>r;
  ccOp = OP_SHIFT | (log2Size<T>() << 4); ccDst = wide<T>(result);
  ccSrc = <u64>(c | ((<u32>(wide<T>(result) >> (bits - 1)) ^ c) << 11));
  return result;
}
// @ts-ignore: decorator
@inline export function shiftRight<T>(a: T, count: u32): T {
  const bits: u32 = sizeof<T>() * 8;
  const x = wide<T>(a), result = <T>(x >> <u64>count);
  ccOp = OP_SHIFT | (log2Size<T>() << 4); ccDst = wide<T>(result);
  ccSrc = <u64>((<u32>(x >> <u64>(count - 1)) & 1) | (<u32>(x >> (bits - 1)) << 11));
  return result;
}
/** Arithmetic shift; OF is 0. */
// @ts-ignore: decorator
@inline export function shiftRightSigned<T>(a: T, count: u32): T {
  const x: i64 = sizeof<T>() == 1 ? <i64><i8>a : sizeof<T>() == 2 ? <i64><i16>a : sizeof<T>() == 4 ? <i64><i32>a : <i64>a;
  const result = <T>(x >> <i64>count);
  ccOp = OP_SHIFT | (log2Size<T>() << 4); ccDst = wide<T>(result);
  ccSrc = <u64>(x >> <i64>(count - 1)) & 1;
  return result;
}

/** IMUL r, r: CF = OF = the product does not fit. */
export function multiply32(to: usize, from: usize): void { store<u64>(to, <u64>signedProduct<u32>(load<u32>(to), load<u32>(from))); }
export function multiply64(to: usize, from: usize): void { store<u64>(to, signedProduct<u64>(load<u64>(to), load<u64>(from))); }

/** The low half of a signed product; its CF and OF are worked out when asked. SF ZF PF, undefined by the SDM, follow the low half. */
// @ts-ignore: decorator
@inline export function signedProduct<T>(a: T, b: T): T {
  const r: T = <T>(wide<T>(a) * wide<T>(b));
  remember<T>(OP_PRODUCT, r, a);
  ccOther = wide<T>(b);
  return r;
}
/** Sign-extends from the size of T. */
// @ts-ignore: decorator
@inline export function signed<T>(a: T): i64 {
  return sizeof<T>() == 1 ? <i64><i8>a : sizeof<T>() == 2 ? <i64><i16>a : sizeof<T>() == 4 ? <i64><i32>a : <i64>a;
}
// @ts-ignore: decorator
@inline export function productFlags<T>(low: T, spills: bool): void {
  // OP_SHIFT is the operation whose CF and OF are given and whose SF ZF PF follow the result.
  ccOp = OP_SHIFT | (log2Size<T>() << 4); ccDst = wide<T>(low); ccSrc = spills ? 0x801 : 0;
}
