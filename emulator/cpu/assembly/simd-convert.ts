/** Conversions between integers, single and double precision, and rounding to integral values (SDM 1 §11.4.1.6, §12.8.4). */
import { MXCSR, WORK } from "./layout";
import { readable, rmReadable } from "./memory";
import { allLanes, bitsOf, isNormal, loadBits, storeBits, tame } from "./simd-arithmetic";
import { enterMmx, mmxAllowed, part, put, putMmxAt, source } from "./simd-operand";
import {
  begin, control, DOWN, exponent, IE, infinity, isInfinite, isNan, isSignaling, isZero, NEAREST, note, noteDenormal, operand, PE,
  precision, quick, quietBit, round, rounding, setRounding, settle, signBit, significand, TRUNCATE, UP,
} from "./simd-round";
import { imm, linear, prefixes, PREFIX_REX_W, reg, rm } from "./uop";

// ------------------------------------------------------------------------------------------------ integer to float

// @ts-ignore: decorator
@inline function fromInteger<T>(value: i64): u64 {
  const r = <T>value;
  // 2^63 comes back as the greatest integer, so it cannot pass for exact.
  if (quick(control) || (r < <T>9223372036854775808.0 && <i64>r == value)) return bitsOf<T>(r);
  const magnitude: u64 = value < 0 ? -value : value, shift = clz(magnitude);
  return round<T>(value < 0, 63 - <i32>shift, magnitude << shift);
}
// @ts-ignore: decorator
@inline function integerToScalar<T>(u: usize): void {
  const wide = (prefixes(u) & PREFIX_REX_W) != 0, p = wide ? rmReadable<u64>(u) : rmReadable<u32>(u);
  if (!p) return;
  begin();
  const result = fromInteger<T>(wide ? load<i64>(p) : <i64>load<i32>(p));
  if (settle()) storeBits<T>(reg(u), result);
}
export function cvtsi2ss(u: usize): void { integerToScalar<f32>(u); }
export function cvtsi2sd(u: usize): void { integerToScalar<f64>(u); }

/** The first `lanes` doublewords at p to single precision, into WORK. */
function doublewordsToSingles(p: usize, lanes: usize): void {
  for (let i: usize = 0; i < lanes; i++) store<u32>(WORK + (i << 2), <u32>fromInteger<f32>(<i64>load<i32>(p + (i << 2))));
}
export function cvtdq2ps(u: usize): void {
  const p = source(u);
  if (!p) return;
  if (quick(load<u32>(MXCSR))) { put(u, f32x4.convert_i32x4_s(v128.load(p))); return; }
  begin();
  doublewordsToSingles(p, 4);
  if (settle()) put(u, v128.load(WORK));
}
export function cvtdq2pd(u: usize): void { const p = part<u64>(u); if (p) put(u, f64x2.convert_low_i32x4_s(v128.load64_zero(p))); }

/** CVTPI2PS and CVTPI2PD enter the MMX state for a register operand only (AMD64 APM 5; the SDM says so of CVTPI2PD). */
function pairSource(u: usize): usize {
  const r = rm(u);
  return r ? (mmxAllowed() ? r : 0) : readable<u64>(linear(u));
}
export function cvtpi2ps(u: usize): void {
  const p = pairSource(u);
  if (!p) return;
  begin();
  doublewordsToSingles(p, 2);
  if (!settle()) return;
  if (rm(u)) enterMmx();
  store<u64>(reg(u), load<u64>(WORK));
}
export function cvtpi2pd(u: usize): void {
  const p = pairSource(u);
  if (!p) return;
  if (rm(u)) enterMmx();
  put(u, f64x2.convert_low_i32x4_s(v128.load64_zero(p)));
}

// ------------------------------------------------------------------------------------------------ float to integer

/** x as an integral number in the rounding mode of `control`. */
// @ts-ignore: decorator
@inline function integral<T>(x: T): T {
  switch (rounding()) {
    case NEAREST: return nearest<T>(x);
    case DOWN: return floor<T>(x);
    case UP: return ceil<T>(x);
    default: return trunc<T>(x);
  }
}
/** To an integer of type I; what does not fit is invalid and gives the integer indefinite, the least one. Denormals raise nothing. */
// @ts-ignore: decorator
@inline function toInteger<T, I>(bits: u64): I {
  const b = operand<T>(bits), x: f64 = sizeof<T>() == 4 ? <f64>reinterpret<f32>(<u32>b) : reinterpret<f64>(b), r = integral<f64>(x);
  const limit: f64 = sizeof<I>() == 4 ? 2147483648.0 : 9223372036854775808.0;
  if (!(r >= -limit && r < limit)) {
    note(IE);
    return <I>1 << (sizeof<I>() * 8 - 1);
  }
  if (r != x) note(PE);
  return <I>r;
}
// @ts-ignore: decorator
@inline function scalarToInteger<T>(u: usize, truncate: bool): void {
  const p = part<T>(u);
  if (!p) return;
  begin();
  if (truncate) setRounding(TRUNCATE);
  const bits = loadBits<T>(p), result: u64 = prefixes(u) & PREFIX_REX_W ? <u64>toInteger<T, i64>(bits) : <u64><u32>toInteger<T, i32>(bits);
  if (settle()) store<u64>(reg(u), result);
}
export function cvtss2si(u: usize): void { scalarToInteger<f32>(u, false); }
export function cvtsd2si(u: usize): void { scalarToInteger<f64>(u, false); }
export function cvttss2si(u: usize): void { scalarToInteger<f32>(u, true); }
export function cvttsd2si(u: usize): void { scalarToInteger<f64>(u, true); }

/** `lanes` numbers at p to doublewords in WORK, the rest of it zero. False after an unmasked exception. */
function lanesToInteger<T>(p: usize, lanes: usize, truncate: bool): bool {
  begin();
  if (truncate) setRounding(TRUNCATE);
  v128.store(WORK, i64x2.splat(0));
  for (let i: usize = 0; i < lanes; i++) store<i32>(WORK + (i << 2), toInteger<T, i32>(loadBits<T>(p + i * sizeof<T>())));
  return settle();
}
// @ts-ignore: decorator
@inline function singlesToInteger(u: usize, truncate: bool): void {
  const p = source(u);
  if (!p) return;
  const a = v128.load(p);
  if (quick(load<u32>(MXCSR)) && allLanes(f32x4.lt(f32x4.abs(a), f32x4.splat(2147483648.0)))) {
    put(u, i32x4.trunc_sat_f32x4_s(truncate ? a : f32x4.nearest(a)));
  } else if (lanesToInteger<f32>(p, 4, truncate)) put(u, v128.load(WORK));
}
export function cvtps2dq(u: usize): void { singlesToInteger(u, false); }
export function cvttps2dq(u: usize): void { singlesToInteger(u, true); }
export function cvtpd2dq(u: usize): void { const p = source(u); if (p && lanesToInteger<f64>(p, 2, false)) put(u, v128.load(WORK)); }
export function cvttpd2dq(u: usize): void { const p = source(u); if (p && lanesToInteger<f64>(p, 2, true)) put(u, v128.load(WORK)); }

// @ts-ignore: decorator
@inline function lanesToMmx<T>(u: usize, truncate: bool): void {
  if (!mmxAllowed()) return;
  const p = sizeof<T>() == 4 ? part<u64>(u) : source(u);
  if (p && lanesToInteger<T>(p, 2, truncate)) putMmxAt(reg(u), load<u64>(WORK));
}
export function cvtps2pi(u: usize): void { lanesToMmx<f32>(u, false); }
export function cvttps2pi(u: usize): void { lanesToMmx<f32>(u, true); }
export function cvtpd2pi(u: usize): void { lanesToMmx<f64>(u, false); }
export function cvttpd2pi(u: usize): void { lanesToMmx<f64>(u, true); }

// ------------------------------------------------------------------------------------------------ float to float

/** Single to double is exact; a NaN keeps the upper bits of its payload. */
function widen(bits: u32): u64 {
  const x = reinterpret<f32>(bits);
  if (tame<f32>(x)) return reinterpret<u64>(<f64>x);
  const b = operand<f32>(bits);
  if (isNan<f32>(b)) {
    if (isSignaling<f32>(b)) note(IE);
    return ((b & signBit<f32>()) << 32) | infinity<f64>() | quietBit<f64>() | ((b & 0x7fffff) << 29);
  }
  noteDenormal<f32>(b);
  return reinterpret<u64>(<f64>reinterpret<f32>(<u32>b));
}
function narrow(bits: u64): u32 {
  const x = reinterpret<f64>(bits), r = <f32>x;
  if (tame<f64>(x) && !(control & 0x6000) && (isNormal<f32>(r) || x == 0) && ((control & 0x1020) == 0x1020 || <f64>r == x)) return reinterpret<u32>(r);
  const b = operand<f64>(bits), sign = <u32>(b >> 32) & 0x80000000;
  if (isNan<f64>(b)) {
    if (isSignaling<f64>(b)) note(IE);
    return sign | 0x7fc00000 | (<u32>(b >> 29) & 0x7fffff);
  }
  noteDenormal<f64>(b);
  if (isInfinite<f64>(b)) return sign | 0x7f800000;
  if (isZero<f64>(b)) return sign;
  return <u32>round<f32>(sign != 0, exponent<f64>(b), significand<f64>(b));
}
export function cvtss2sd(u: usize): void {
  const p = part<f32>(u);
  if (!p) return;
  begin();
  const result = widen(load<u32>(p));
  if (settle()) store<u64>(reg(u), result);
}
export function cvtsd2ss(u: usize): void {
  const p = part<f64>(u);
  if (!p) return;
  begin();
  const result = narrow(load<u64>(p));
  if (settle()) store<u32>(reg(u), result);
}
export function cvtps2pd(u: usize): void {
  const p = part<u64>(u);
  if (!p) return;
  begin();
  const low = widen(load<u32>(p)), high = widen(load<u32>(p, 4));
  if (settle()) put(u, i64x2.replace_lane(i64x2.splat(low), 1, high));
}
export function cvtpd2ps(u: usize): void {
  const p = source(u);
  if (!p) return;
  begin();
  const low = <u64>narrow(load<u64>(p)), high = <u64>narrow(load<u64>(p, 8));
  if (settle()) put(u, i64x2.replace_lane(i64x2.splat(0), 0, low | (high << 32)));
}

// ------------------------------------------------------------------------------------------------ ROUND

/** imm8: bit 3 keeps the precision exception quiet, bit 2 takes MXCSR's mode instead of bits 1:0. Only a signaling NaN is invalid. */
// @ts-ignore: decorator
@inline function toIntegral<T>(order: u32, bits: u64): u64 {
  const b = operand<T>(bits);
  if (isNan<T>(b)) {
    if (isSignaling<T>(b)) note(IE);
    return b | quietBit<T>();
  }
  const r = sizeof<T>() == 4 ? <u64>reinterpret<u32>(integral<f32>(reinterpret<f32>(<u32>b))) : reinterpret<u64>(integral<f64>(reinterpret<f64>(b)));
  if (r != b && !(order & 8)) note(PE);
  return r;
}
// @ts-ignore: decorator
@inline function roundLanes<T>(u: usize, p: usize, bytes: usize): void {
  if (!p) return;
  const order = <u32>imm(u);
  begin();
  if (!(order & 4)) setRounding(order & 3);
  for (let i: usize = 0; i < bytes; i += sizeof<T>()) storeBits<T>(WORK + i, toIntegral<T>(order, loadBits<T>(p + i)));
  if (!settle()) return;
  if (bytes == 16) put(u, v128.load(WORK)); else storeBits<T>(reg(u), loadBits<T>(WORK));
}
export function roundss(u: usize): void { roundLanes<f32>(u, part<f32>(u), 4); }
export function roundsd(u: usize): void { roundLanes<f64>(u, part<f64>(u), 8); }
export function roundps(u: usize): void { roundLanes<f32>(u, source(u), 16); }
export function roundpd(u: usize): void { roundLanes<f64>(u, source(u), 16); }
