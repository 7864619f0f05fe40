/** FMA3: a * b + c with one rounding (SDM 1 §14.5). */
import { LANE_RESULT } from "./layout";
import { isNormal, loadBits, storeBits } from "./simd-arithmetic";
import { part } from "./simd-operand";
import {
  begin, control, DOWN, exponent, IE, infinity, invalid, isInfinite, isNan, isSignaling, isZero, note, noteDenormal, operand, quick, quietBit, round,
  rounding, settle, signBit, significand,
} from "./simd-round";
import { opcode, operandBytes, reg, third } from "./uop";
import { putLow, putResult, vectorSource } from "./vex";
import { addWide, leadingZeros, multiplyWide, shiftLeftWide, shiftRightSticky, wideHigh, wideLow } from "./x87-wide";

/** ±high:low · 2^(e - 127), not zero, rounded. */
// @ts-ignore: decorator
@inline function roundWide<T>(negative: bool, e: i32, high: u64, low: u64): u64 {
  const shift = leadingZeros(high, low);
  shiftLeftWide(high, low, shift);
  return round<T>(negative, e - <i32>shift, wideHigh | u64(wideLow != 0));
}

/** What a NaN among the operands gives: the first of them, quiet. The infinity times zero that a quiet NaN is added to goes unnoticed. */
function propagateThree<T>(a: u64, b: u64, c: u64): u64 {
  if (isSignaling<T>(a) || isSignaling<T>(b) || isSignaling<T>(c)) note(IE);
  return (isNan<T>(a) ? a : isNan<T>(b) ? b : c) | quietBit<T>();
}

/** The sum of a product (2^ep, 128 bits with its top bit set) and a number other than zero (2^ec), in the signs given. */
function sum<T>(sign: bool, ep: i32, high: u64, low: u64, signC: bool, ec: i32, c: u64): u64 {
  // One bit of room above; neither has its lowest bit set, and bits that alignment loses are far below those that count.
  let aHigh = high >> 1, aLow = (high << 63) | (low >> 1), bHigh = c >> 1, bLow = c << 63, e = ep + 1;
  if (ep >= ec) { shiftRightSticky(bHigh, bLow, <u32>(ep - ec)); bHigh = wideHigh; bLow = wideLow; }
  else { shiftRightSticky(aHigh, aLow, <u32>(ec - ep)); aHigh = wideHigh; aLow = wideLow; e = ec + 1; }
  if (sign == signC) {
    addWide(aHigh, aLow, bHigh, bLow);
    return roundWide<T>(sign, e, wideHigh, wideLow);
  }
  const smaller = aHigh < bHigh || (aHigh == bHigh && aLow < bLow);
  const high1 = smaller ? bHigh : aHigh, low1 = smaller ? bLow : aLow, high2 = smaller ? aHigh : bHigh, low2 = smaller ? aLow : bLow;
  const restLow = low1 - low2, restHigh = high1 - high2 - u64(low1 < low2);
  if (!(restHigh | restLow)) return rounding() == DOWN ? signBit<T>() : 0;
  return roundWide<T>(smaller ? signC : sign, e, restHigh, restLow);
}

// ------------------------------------------------------------------------------------------------ without 128-bit arithmetic

/** Error of s = a + b (Knuth's two-sum). */
// @ts-ignore: decorator
@inline function sumError(a: f64, b: f64, s: f64): f64 {
  const bVirtual = s - a;
  return (a - (s - bVirtual)) + (b - bVirtual);
}
/** a + b rounded to odd: inexact sums end in a 1, so that a second rounding, to fewer bits, cannot be misled. */
// @ts-ignore: decorator
@inline function sumToOdd(a: f64, b: f64): f64 {
  const s = a + b, error = sumError(a, b, s);
  if (error == 0) return s;
  const bits = reinterpret<u64>(s);
  if (bits & 1) return s;
  return reinterpret<f64>((error > 0) == (s > 0) ? bits + 1 : bits - 1);
}
/** Upper half of the digits of a (Veltkamp). */
// @ts-ignore: decorator
@inline function upperDigits(a: f64): f64 {
  const scaled = 134217729.0 * a;
  return scaled - (scaled - a);
}
/** The number's exponent lies so that no step of \`fusedDoubles\` overflows or loses bits below. */
// @ts-ignore: decorator
@inline function moderate(a: f64): bool { return abs(a) > 1e-120 && abs(a) < 1e120; }
/** a * b + c rounded once (Boldo and Melquiond, "Emulation of FMA and correctly rounded sums", 2008). */
// @ts-ignore: decorator
@inline function fusedDoubles(a: f64, b: f64, c: f64): f64 {
  const product = a * b, a1 = upperDigits(a), b1 = upperDigits(b), a2 = a - a1, b2 = b - b1;
  const rest = ((a1 * b1 - product) + a1 * b2 + a2 * b1) + a2 * b2;
  const low = c + rest, lowError = sumError(c, rest, low), high = product + low, highError = sumError(product, low, high);
  return high + sumToOdd(lowError, highError);
}
/** The exact product of singles is a double; rounding the sum to odd leaves one rounding. */
// @ts-ignore: decorator
@inline function fusedSingles(a: f32, b: f32, c: f32): f32 { return <f32>sumToOdd(<f64>a * <f64>b, <f64>c); }

/** ±(x * y) ± z as bits. */
// @ts-ignore: decorator
@inline function multiplyAdd<T>(x: u64, y: u64, z: u64, negated: bool, subtracted: bool): u64 {
  // As in simd-arithmetic.ts: rounding to nearest, inexactness known and of no interest, moderate numbers, a normal result.
  if (quick(control)) {
    if (sizeof<T>() == 4) {
      const a = reinterpret<f32>(<u32>x), b = reinterpret<f32>(<u32>y), c = reinterpret<f32>(<u32>z);
      const r = fusedSingles(negated ? -a : a, b, subtracted ? -c : c);
      if (isNormal<f32>(a) && isNormal<f32>(b) && isNormal<f32>(c) && isNormal<f32>(r)) return <u64>reinterpret<u32>(r);
    } else {
      const a = reinterpret<f64>(x), b = reinterpret<f64>(y), c = reinterpret<f64>(z);
      if (moderate(a) && moderate(b) && moderate(c)) {
        const r = fusedDoubles(negated ? -a : a, b, subtracted ? -c : c);
        if (r != 0) return reinterpret<u64>(r);
      }
    }
  }
  return softMultiplyAdd<T>(x, y, z, negated, subtracted);
}

/** The same, whatever the operands are. */
function softMultiplyAdd<T>(x: u64, y: u64, z: u64, negated: bool, subtracted: bool): u64 {
  const a = operand<T>(x), b = operand<T>(y), c = operand<T>(z);
  if (isNan<T>(a) || isNan<T>(b) || isNan<T>(c)) return propagateThree<T>(a, b, c);
  const sign = (((a ^ b) & signBit<T>()) != 0) != negated, signC = ((c & signBit<T>()) != 0) != subtracted;
  const toInfinity = isInfinite<T>(a) || isInfinite<T>(b), toZero = isZero<T>(a) || isZero<T>(b);
  if (toInfinity && (toZero || (isInfinite<T>(c) && sign != signC))) return invalid<T>();
  noteDenormal<T>(a); noteDenormal<T>(b); noteDenormal<T>(c);
  if (toInfinity) return infinity<T>() | (sign ? signBit<T>() : 0);
  if (isInfinite<T>(c)) return infinity<T>() | (signC ? signBit<T>() : 0);
  if (toZero) {
    if (isZero<T>(c)) return (sign == signC ? sign : rounding() == DOWN) ? signBit<T>() : 0;
    return round<T>(signC, exponent<T>(c), significand<T>(c));
  }
  multiplyWide(significand<T>(a), significand<T>(b));
  let high = wideHigh, low = wideLow, e = exponent<T>(a) + exponent<T>(b) + 1;
  if (!(high >> 63)) { high = (high << 1) | (low >> 63); low <<= 1; e--; }
  if (isZero<T>(c)) return round<T>(sign, e, high | u64(low != 0));
  return sum<T>(sign, e, high, low, signC, exponent<T>(c), significand<T>(c));
}

/**
 * The low digit of the opcode: 6 and 7 alternate (6 subtracts in even elements), 8 to F by pairs of packed and scalar:
 * add, subtract, and both with the product negated.
 */
// @ts-ignore: decorator
@inline function fuse<T>(u: usize, p: usize, bytes: usize): bool {
  const form = opcode(u), order = form >> 4, d = reg(u), v = third(u);
  // 132: first by third, plus second; 213: second by first, plus third; 231: second by third, plus first.
  const a = order == 9 ? d : v, b = order == 0xa ? d : p, c = order == 9 ? v : order == 0xa ? p : d;
  const negated = (form & 15) >= 12;
  begin();
  for (let i: usize = 0; i < bytes; i += sizeof<T>()) {
    const odd = ((i / sizeof<T>()) & 1) != 0, subtracted = (form & 15) == 6 ? !odd : (form & 15) == 7 ? odd : (form & 2) != 0;
    storeBits<T>(LANE_RESULT + i, multiplyAdd<T>(loadBits<T>(a + i), loadBits<T>(b + i), loadBits<T>(c + i), negated, subtracted));
  }
  return settle();
}
// @ts-ignore: decorator
@inline function fusePacked<T>(u: usize): void { const p = vectorSource(u); if (p && fuse<T>(u, p, operandBytes(u))) putResult(u); }
export function fusePackedSingles(u: usize): void { fusePacked<f32>(u); }
export function fusePackedDoubles(u: usize): void { fusePacked<f64>(u); }
// @ts-ignore: decorator
@inline function fuseScalar<T>(u: usize): void {
  const p = part<T>(u);
  if (!p || !fuse<T>(u, p, sizeof<T>())) return;
  storeBits<T>(reg(u), loadBits<T>(LANE_RESULT));
  putLow(reg(u), v128.load(reg(u)));
}
export function fuseSingle(u: usize): void { fuseScalar<f32>(u); }
export function fuseDouble(u: usize): void { fuseScalar<f64>(u); }
