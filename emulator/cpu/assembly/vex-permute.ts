/** AVX and AVX2 permutes and variable shifts, half-precision conversions (SDM 2C; SDM 1 §14.4). */
import { LANE_RESULT, WORK } from "./layout";
import { commit, writable } from "./memory";
import { exemptFromAlignment } from "./mmu";
import { put, source } from "./simd-operand";
import {
  begin, exponent, IE, infinity, isInfinite, isNan, isSignaling, isZero, keepTiny, note, noteDenormal, operand, quietBit, round, setRounding,
  settle, significand,
} from "./simd-round";
import { imm, linear, reg, rm, third } from "./uop";
import { isWide, putBoth, putResult, readableBytes, vectorSource } from "./vex";

// ------------------------------------------------------------------------------------------------ element functions of `lanes`

/** VPERMILPS and VPERMILPD: the controls of a vector pick within their own lane. */
export function permuteSingles(u: usize): void {
  const p = source(u), r = reg(u);
  for (let i: usize = 0; i < 16; i += 4) store<u32>(WORK + i, load<u32>(r + ((load<u32>(p + i) & 3) << 2)));
  put(u, v128.load(WORK));
}
export function permuteDoubles(u: usize): void {
  const p = source(u), r = reg(u), low = load<u64>(r + ((load<u32>(p) & 2) << 2)), high = load<u64>(r + ((load<u32>(p, 8) & 2) << 2));
  store<u64>(r, low); store<u64>(r, high, 8);
}
/** VPERMILPD by an immediate: a bit for each element. */
export function pickDoubles(u: usize): void {
  const p = source(u), order = <u32>imm(u);
  put(u, v128.load64_lane(p + ((order & 2) << 2), v128.load64_zero(p + ((order & 1) << 3)), 1));
}

/** Each element by its own count; one that is too large gives zero, or the sign. */
// @ts-ignore: decorator
@inline function shiftEach<T>(u: usize, left: bool): void {
  const p = source(u), r = reg(u), bits: T = <T>(sizeof<T>() * 8);
  for (let i: usize = 0; i < 16; i += sizeof<T>()) {
    const count = load<T>(p + i), a = load<T>(r + i);
    store<T>(r + i, count < bits ? (left ? a << count : a >> count) : 0);
  }
}
export function shiftLeftDwords(u: usize): void { shiftEach<u32>(u, true); }
export function shiftLeftQwords(u: usize): void { shiftEach<u64>(u, true); }
export function shiftRightDwords(u: usize): void { shiftEach<u32>(u, false); }
export function shiftRightQwords(u: usize): void { shiftEach<u64>(u, false); }
export function shiftSignedDwords(u: usize): void {
  const p = source(u), r = reg(u);
  for (let i: usize = 0; i < 16; i += 4) store<i32>(r + i, load<i32>(r + i) >> <i32>min<u32>(load<u32>(p + i), 31));
}

// ------------------------------------------------------------------------------------------------ across lanes

/** VPERM2F128, VPERM2I128: bits 1:0 and 5:4 pick a lane of the two operands, bits 3 and 7 make zero of it. */
// @ts-ignore: decorator
@inline function pickLane(first: usize, second: usize, order: u32): v128 {
  return order & 8 ? i64x2.splat(0) : v128.load((order & 2 ? second : first) + ((order & 1) << 4));
}
export function vperm2(u: usize): void {
  const p = vectorSource(u), order = <u32>imm(u);
  if (!p) return;
  const low = pickLane(third(u), p, order);
  putBoth(reg(u), low, pickLane(third(u), p, order >> 4));
}
/** VPERMD, VPERMPS: the indices are in the first operand. */
export function vpermDwords(u: usize): void {
  const p = vectorSource(u), indices = third(u);
  if (!p) return;
  for (let i: usize = 0; i < 32; i += 4) store<u32>(LANE_RESULT + i, load<u32>(p + ((load<u32>(indices + i) & 7) << 2)));
  putResult(u);
}
/** VPERMQ, VPERMPD. */
export function vpermQwords(u: usize): void {
  const p = vectorSource(u), order = <u32>imm(u);
  if (!p) return;
  for (let i: u32 = 0; i < 4; i++) store<u64>(LANE_RESULT + (i << 3), load<u64>(p + (((order >> (i << 1)) & 3) << 3)));
  putResult(u);
}

// ------------------------------------------------------------------------------------------------ half precision

/** Exact; denormals are taken as they are, whatever MXCSR.DAZ says. */
function fromHalf(bits: u64): u64 {
  const sign = (bits & 0x8000) << 16;
  if (isNan<u16>(bits)) {
    if (isSignaling<u16>(bits)) note(IE);
    return sign | infinity<f32>() | quietBit<f32>() | ((bits & 0x3ff) << 13);
  }
  if (isInfinite<u16>(bits)) return sign | infinity<f32>();
  if (isZero<u16>(bits)) return sign;
  return sign | (<u64>(exponent<u16>(bits) + 127) << 23) | ((significand<u16>(bits) << 1) >> 41);
}
export function vcvtph2ps(u: usize): void {
  const wide = isWide(u);
  let p = rm(u);
  if (!p) {
    exemptFromAlignment(true);
    p = readableBytes(linear(u), wide ? 16 : 8);
    exemptFromAlignment(false);
    if (!p) return;
  }
  begin();
  const count: usize = wide ? 8 : 4;
  for (let i: usize = 0; i < count; i++) store<u32>(WORK + (i << 2), <u32>fromHalf(<u64>load<u16>(p + (i << 1))));
  if (settle()) putBoth(reg(u), v128.load(WORK), wide ? v128.load(WORK, 16) : i64x2.splat(0));
}

function toHalf(single: u64): u64 {
  const a = operand<f32>(single), sign = (a >> 16) & 0x8000;
  if (isNan<f32>(a)) {
    if (isSignaling<f32>(a)) note(IE);
    return sign | infinity<u16>() | quietBit<u16>() | ((a >> 13) & 0x3ff);
  }
  noteDenormal<f32>(a);
  if (isInfinite<f32>(a)) return sign | infinity<u16>();
  return isZero<f32>(a) ? sign : round<u16>(sign != 0, exponent<f32>(a), significand<f32>(a));
}
/** Bits 1:0 of the immediate are the rounding mode unless bit 2 leaves that to MXCSR; tiny results are never flushed. */
export function vcvtps2ph(u: usize): void {
  const r = reg(u), to = rm(u), order = <u32>imm(u), wide = isWide(u);
  begin();
  if (!(order & 4)) setRounding(order & 3);
  keepTiny();
  putBoth(WORK, i64x2.splat(0), i64x2.splat(0));
  const count: usize = wide ? 8 : 4;
  for (let i: usize = 0; i < count; i++) store<u16>(WORK + (i << 1), <u16>toHalf(<u64>load<u32>(r + (i << 2))));
  exemptFromAlignment(true);
  const p = to ? to : wide ? writable<v128>(linear(u)) : writable<u64>(linear(u));
  exemptFromAlignment(false);
  if (!p || !settle()) return;
  if (to) { putBoth(to, v128.load(WORK), i64x2.splat(0)); return; }
  if (wide) v128.store(p, v128.load(WORK)); else store<u64>(p, load<u64>(WORK));
  commit(p);
}
