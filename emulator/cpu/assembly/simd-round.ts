/**
 * IEEE 754 numbers of SSE as bit patterns: taking them apart, rounding results under every mode of MXCSR, and the exceptions
 * of an instruction (SDM 1 §4.9, §11.5). T is f32 or f64; its bits travel in a u64.
 *
 * An instruction calls `begin`, computes its lanes, which collect exceptions in `raised`, and then asks `settle` whether its
 * result may be written.
 */
import { raise, UD, XM } from "./fault";
import { CR4, MXCSR } from "./layout";
import { CR4_OSXMMEXCPT } from "./mode";

/** Exception flags of MXCSR; their masks are seven bits further up. */
export const IE: u32 = 1, DENORMAL: u32 = 2, ZE: u32 = 4, OE: u32 = 8, UE: u32 = 16, PE: u32 = 32;
const MASKS: u32 = 7;
/** Denormals are zeros; flush to zero. */
const DAZ: u32 = 0x40, FTZ: u32 = 0x8000;
export const NEAREST: u32 = 0, DOWN: u32 = 1, UP: u32 = 2, TRUNCATE: u32 = 3;

/** Exceptions of the instruction so far, and MXCSR as it was at its start. */
export let raised: u32 = 0;
export let control: u32 = 0;
export function begin(): void { raised = 0; control = load<u32>(MXCSR); }
// @ts-ignore: decorator
@inline export function note(exceptions: u32): void { raised |= exceptions; }
// @ts-ignore: decorator
@inline export function rounding(): u32 { return (control >> 13) & 3; }
/** Replaces the rounding mode until the next `begin` (truncating conversions, ROUNDPS). */
export function setRounding(mode: u32): void { control = (control & ~0x6000) | (mode << 13); }
/** Tiny results stay denormals until the next \`begin\` (VCVTPS2PH). */
export function keepTiny(): void { control &= ~FTZ; }

/**
 * Rounding to nearest with PE masked and already set: then an operation on normal numbers with a normal result changes no
 * flag, whatever else MXCSR says.
 */
// @ts-ignore: decorator
@inline export function quick(mxcsr: u32): bool { return (mxcsr & 0x7020) == 0x1020; }

/** Between these two the exceptions of several `settle`s are one instruction's: those of every lane of a 256-bit operation. */
let deferred: bool = false, pending: u32 = 0;
export function deferExceptions(): void { deferred = true; pending = 0; }
export function settleDeferred(): bool { deferred = false; raised = pending; return settle(); }

/** Sets the sticky flags; false when one of them is unmasked and #XM was raised. Pre-computation exceptions hide the others. */
export function settle(): bool {
  if (!raised) return true;
  const mxcsr = load<u32>(MXCSR);
  const unmasked = raised & ~(mxcsr >> MASKS);
  if (deferred) { pending |= raised; return !unmasked; }
  if (!unmasked) { store<u32>(MXCSR, mxcsr | raised); return true; }
  store<u32>(MXCSR, mxcsr | (unmasked & (IE | DENORMAL | ZE) ? raised & (IE | DENORMAL | ZE) : raised));
  raise(load<u64>(CR4) & CR4_OSXMMEXCPT ? XM : UD, 0);
  return false;
}

// ------------------------------------------------------------------------------------------------ formats

/** Bits of the significand with the implied one; greatest exponent, which is the bias too. T may be u16 too: half precision. */
// @ts-ignore: decorator
@inline export function precision<T>(): u64 { return sizeof<T>() == 2 ? 11 : sizeof<T>() == 4 ? 24 : 53; }
// @ts-ignore: decorator
@inline export function bias<T>(): i32 { return sizeof<T>() == 2 ? 15 : sizeof<T>() == 4 ? 127 : 1023; }
// @ts-ignore: decorator
@inline export function infinity<T>(): u64 { return sizeof<T>() == 2 ? 0x7c00 : sizeof<T>() == 4 ? 0x7f800000 : 0x7ff0000000000000; }
// @ts-ignore: decorator
@inline export function signBit<T>(): u64 { return <u64>1 << (sizeof<T>() * 8 - 1); }
// @ts-ignore: decorator
@inline export function quietBit<T>(): u64 { return <u64>1 << (precision<T>() - 2); }
/** The NaN that an invalid operation gives: negative and quiet. */
// @ts-ignore: decorator
@inline export function indefinite<T>(): u64 { return signBit<T>() | infinity<T>() | quietBit<T>(); }
// @ts-ignore: decorator
@inline export function magnitude<T>(bits: u64): u64 { return bits & (signBit<T>() - 1); }
// @ts-ignore: decorator
@inline export function isNan<T>(bits: u64): bool { return magnitude<T>(bits) > infinity<T>(); }
// @ts-ignore: decorator
@inline export function isSignaling<T>(bits: u64): bool { return isNan<T>(bits) && !(bits & quietBit<T>()); }
// @ts-ignore: decorator
@inline export function isInfinite<T>(bits: u64): bool { return magnitude<T>(bits) == infinity<T>(); }
// @ts-ignore: decorator
@inline export function isZero<T>(bits: u64): bool { return magnitude<T>(bits) == 0; }
// @ts-ignore: decorator
@inline export function isDenormal<T>(bits: u64): bool { return magnitude<T>(bits) - 1 < ((<u64>1 << (precision<T>() - 1)) - 1); }

/** The operand as the operation sees it: MXCSR.DAZ turns a denormal into a zero of its sign. */
// @ts-ignore: decorator
@inline export function operand<T>(bits: u64): u64 { return (control & DAZ) && isDenormal<T>(bits) ? bits & signBit<T>() : bits; }
// @ts-ignore: decorator
@inline export function noteDenormal<T>(bits: u64): void { if (isDenormal<T>(bits)) raised |= DENORMAL; }
export function invalid<T>(): u64 { raised |= IE; return indefinite<T>(); }
/** The result of an operation with a NaN operand: the first NaN, made quiet (SDM 1 table 4-7). */
export function propagate<T>(a: u64, b: u64): u64 {
  if (isSignaling<T>(a) || isSignaling<T>(b)) raised |= IE;
  return (isNan<T>(a) ? a : b) | quietBit<T>();
}

/** A finite number other than zero is ±significand · 2^(exponent - 63) with the top bit of the significand set. */
// @ts-ignore: decorator
@inline export function exponent<T>(bits: u64): i32 {
  const m = magnitude<T>(bits), e = <i32>(m >> (precision<T>() - 1));
  return e ? e - bias<T>() : 1 - bias<T>() - (<i32>clz(m) - <i32>(64 - precision<T>()));
}
// @ts-ignore: decorator
@inline export function significand<T>(bits: u64): u64 {
  const fraction = bits & ((<u64>1 << (precision<T>() - 1)) - 1);
  return magnitude<T>(bits) >> (precision<T>() - 1) ? (fraction << (64 - precision<T>())) | (1 << 63) : fraction << clz(fraction);
}

// ------------------------------------------------------------------------------------------------ rounding

/** Shifts right; what falls out is kept as a 1 in the lowest bit. */
export function shiftSticky(value: u64, count: i32): u64 {
  if (count <= 0) return value;
  if (count > 63) return u64(value != 0);
  return (value >> count) | u64((value << (64 - count)) != 0);
}
/** What rounding adds to value >> drop: 0 or 1. */
export function increment(value: u64, drop: u64, negative: bool): u64 {
  const rest = value & ((<u64>1 << drop) - 1), half = <u64>1 << (drop - 1);
  switch (rounding()) {
    case NEAREST: return u64(rest > half || (rest == half && ((value >> drop) & 1)));
    case DOWN: return u64(negative && rest != 0);
    case UP: return u64(!negative && rest != 0);
    default: return 0;
  }
}

/**
 * Rounds ±sig · 2^(e - 63), sig with its top bit set and its lowest one sticky, to T (SDM 1 §4.9.1.4 to §4.9.1.6).
 * Tininess is seen after rounding.
 */
export function round<T>(negative: bool, e: i32, sig: u64): u64 {
  const drop = 64 - precision<T>(), sign: u64 = negative ? signBit<T>() : 0, rest = (<u64>1 << drop) - 1;
  let rounded = (sig >> drop) + increment(sig, drop, negative);
  const carries = rounded >> precision<T>() != 0;
  if (e < 1 - bias<T>()) {
    if (!(carries && e == -bias<T>())) return roundTiny<T>(negative, e, sig);
    // Rounds up to the least normal number: not tiny, but the bits that count are those of a denormal's place.
    const shifted = shiftSticky(sig, 1);
    if (shifted & rest) raised |= PE;
    return sign | ((shifted >> drop) + increment(shifted, drop, negative));
  }
  if (carries) { rounded >>= 1; e++; }
  if (e > bias<T>()) {
    const masked = (control & (OE << MASKS)) != 0;
    raised |= masked || (sig & rest) ? OE | PE : OE;
    const mode = rounding(), finite = mode == TRUNCATE || mode == (negative ? UP : DOWN);
    return sign | (infinity<T>() - u64(finite));
  }
  if (sig & rest) raised |= PE;
  return sign | ((<u64>(e + bias<T>() - 1) << (precision<T>() - 1)) + rounded);
}

/** A result below the least normal number. Masked, it is an underflow only when inexact; FTZ makes it zero (SDM 1 §10.2.3.3). */
function roundTiny<T>(negative: bool, e: i32, sig: u64): u64 {
  const drop = 64 - precision<T>(), sign: u64 = negative ? signBit<T>() : 0;
  const masked = (control & (UE << MASKS)) != 0;
  if (masked && (control & FTZ)) { raised |= UE | PE; return sign; }
  const shifted = shiftSticky(sig, 1 - bias<T>() - e);
  const inexact = (shifted & ((<u64>1 << drop) - 1)) != 0;
  if (inexact) raised |= UE | PE;
  else if (!masked) raised |= UE;
  return sign | ((shifted >> drop) + increment(shifted, drop, negative));
}
