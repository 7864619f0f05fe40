/**
 * Add, multiply, divide and square root on bit patterns, exact in every rounding mode, with their exceptions. The slow path:
 * simd-arithmetic.ts comes here only when WebAssembly's own operation does not tell all.
 */
import {
  DOWN, exponent, infinity, invalid, isInfinite, isNan, isZero, magnitude, note, noteDenormal, operand, propagate, round,
  rounding, shiftSticky, signBit, significand, ZE,
} from "./simd-round";
import { divideWide, multiplyWide, remainder, wideHigh, wideLow } from "./x87-wide";

// @ts-ignore: decorator
@inline function noteDenormals<T>(a: u64, b: u64): void { noteDenormal<T>(a); noteDenormal<T>(b); }

export function softAdd<T>(x: u64, y: u64): u64 {
  const a = operand<T>(x), b = operand<T>(y);
  if (isNan<T>(a) || isNan<T>(b)) return propagate<T>(a, b);
  if (isInfinite<T>(a) && isInfinite<T>(b) && a != b) return invalid<T>();
  noteDenormals<T>(a, b);
  if (isInfinite<T>(a)) return a;
  if (isInfinite<T>(b)) return b;
  if (isZero<T>(a) && isZero<T>(b)) return a == b ? a : rounding() == DOWN ? signBit<T>() : 0;
  // The larger magnitude leads; both have one bit of room above, and more below than the alignment shift can lose.
  const swap = magnitude<T>(a) < magnitude<T>(b), large = swap ? b : a, small = swap ? a : b, e = exponent<T>(large);
  const first = significand<T>(large) >> 1, second = isZero<T>(small) ? 0 : shiftSticky(significand<T>(small) >> 1, e - exponent<T>(small));
  const sum = (a ^ b) & signBit<T>() ? first - second : first + second;
  if (!sum) return rounding() == DOWN ? signBit<T>() : 0;
  const shift = clz(sum);
  return round<T>((large & signBit<T>()) != 0, e + 1 - <i32>shift, sum << shift);
}
export function softSubtract<T>(a: u64, b: u64): u64 { return softAdd<T>(a, isNan<T>(b) ? b : b ^ signBit<T>()); }

export function softMultiply<T>(x: u64, y: u64): u64 {
  const a = operand<T>(x), b = operand<T>(y), sign = (a ^ b) & signBit<T>();
  if (isNan<T>(a) || isNan<T>(b)) return propagate<T>(a, b);
  if ((isInfinite<T>(a) && isZero<T>(b)) || (isZero<T>(a) && isInfinite<T>(b))) return invalid<T>();
  noteDenormals<T>(a, b);
  if (isInfinite<T>(a) || isInfinite<T>(b)) return sign | infinity<T>();
  if (isZero<T>(a) || isZero<T>(b)) return sign;
  multiplyWide(significand<T>(a), significand<T>(b));
  const product = wideHigh | u64(wideLow != 0), shift = clz(product);
  return round<T>(sign != 0, exponent<T>(a) + exponent<T>(b) + 1 - <i32>shift, product << shift);
}

export function softDivide<T>(x: u64, y: u64): u64 {
  const a = operand<T>(x), b = operand<T>(y), sign = (a ^ b) & signBit<T>();
  if (isNan<T>(a) || isNan<T>(b)) return propagate<T>(a, b);
  if ((isInfinite<T>(a) && isInfinite<T>(b)) || (isZero<T>(a) && isZero<T>(b))) return invalid<T>();
  if (isZero<T>(b)) {
    // A denormal dividend goes unnoticed: division by zero comes first (SDM 1 §4.9.2).
    if (!isInfinite<T>(a)) note(ZE);
    return sign | infinity<T>();
  }
  noteDenormals<T>(a, b);
  if (isInfinite<T>(a)) return sign | infinity<T>();
  if (isInfinite<T>(b) || isZero<T>(a)) return sign;
  // The dividend is halved so that it is below the divisor: the quotient is a fraction of 64 bits.
  const quotient = divideWide(significand<T>(a) >> 1, 0, significand<T>(b)) | u64(remainder != 0), shift = clz(quotient);
  return round<T>(sign != 0, exponent<T>(a) - exponent<T>(b) - <i32>shift, quotient << shift);
}

export function softSquareRoot<T>(x: u64): u64 {
  const a = operand<T>(x);
  if (isNan<T>(a)) return propagate<T>(a, a);
  if (isZero<T>(a)) return a;
  if (a & signBit<T>()) return invalid<T>();
  noteDenormal<T>(a);
  if (isInfinite<T>(a)) return a;
  // Digit by digit: two bits of the radicand (two integer bits, then fraction) give one bit of the root.
  const e = exponent<T>(a);
  let radicand = significand<T>(a) >> u64(!(e & 1)), root: u64 = 0, rest: u64 = 0;
  for (let i = 0; i < 60; i++) {
    rest = (rest << 2) | (radicand >> 62);
    radicand <<= 2;
    const trial = (root << 2) | 1;
    root <<= 1;
    if (rest >= trial) { rest -= trial; root |= 1; }
  }
  return round<T>(false, e >> 1, (root << 4) | u64(rest != 0));
}
