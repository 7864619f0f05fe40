/**
 * Packed integer arithmetic, compares and logic on xmm registers: SSE2, SSSE3, SSE4.1 and SSE4.2 (SDM 2A, 2B). The two-operand
 * functions that WebAssembly has no operation for are below and serve MMX too.
 */
import { setArithmetic } from "./flags";
import { get, part, put, putGpr, source } from "./simd-operand";
import { imm, reg, rm } from "./uop";

// ------------------------------------------------------------------------------------------------ two-operand functions

// @ts-ignore: decorator
@inline export function multiplyHighSigned(a: v128, b: v128): v128 {
  return i8x16.shuffle(i32x4.extmul_low_i16x8_s(a, b), i32x4.extmul_high_i16x8_s(a, b), 2, 3, 6, 7, 10, 11, 14, 15, 18, 19, 22, 23, 26, 27, 30, 31);
}
// @ts-ignore: decorator
@inline export function multiplyHighUnsigned(a: v128, b: v128): v128 {
  return i8x16.shuffle(i32x4.extmul_low_i16x8_u(a, b), i32x4.extmul_high_i16x8_u(a, b), 2, 3, 6, 7, 10, 11, 14, 15, 18, 19, 22, 23, 26, 27, 30, 31);
}
// @ts-ignore: decorator
@inline function evenDoublewords(a: v128): v128 { return i32x4.shuffle(a, a, 0, 2, 0, 2); }
// @ts-ignore: decorator
@inline export function multiplyEvenUnsigned(a: v128, b: v128): v128 { return i64x2.extmul_low_i32x4_u(evenDoublewords(a), evenDoublewords(b)); }
// @ts-ignore: decorator
@inline export function multiplyEvenSigned(a: v128, b: v128): v128 { return i64x2.extmul_low_i32x4_s(evenDoublewords(a), evenDoublewords(b)); }
/** PSADBW: in each half the sum of the eight absolute differences. */
// @ts-ignore: decorator
@inline export function sumOfDifferences(a: v128, b: v128): v128 {
  const difference = i8x16.sub(i8x16.max_u(a, b), i8x16.min_u(a, b));
  const sums = i32x4.extadd_pairwise_i16x8_u(i16x8.extadd_pairwise_i8x16_u(difference));
  return v128.and(i64x2.add(sums, i64x2.shr_u(sums, 32)), i64x2.splat(0xffff));
}
/** PMADDUBSW: unsigned bytes of a times signed bytes of b, pairs added with signed saturation. */
// @ts-ignore: decorator
@inline export function multiplyAddBytes(a: v128, b: v128): v128 {
  const even = i16x8.mul(v128.and(a, i16x8.splat(0xff)), i16x8.shr_s(i16x8.shl(b, 8), 8));
  const odd = i16x8.mul(i16x8.shr_u(a, 8), i16x8.shr_s(b, 8));
  return i16x8.add_sat_s(even, odd);
}
/** PMULHRSW: like q15mulr, but -1 * -1 stays -1. */
// @ts-ignore: decorator
@inline export function multiplyHighRounded(a: v128, b: v128): v128 {
  const least = i16x8.splat(-32768);
  return v128.xor(i16x8.q15mulr_sat_s(a, b), v128.and(i16x8.eq(a, least), i16x8.eq(b, least)));
}
/** PSIGNB, PSIGNW, PSIGND: a with the sign of b, or 0 where b is 0. */
// @ts-ignore: decorator
@inline export function applySign<T>(a: v128, b: v128): v128 {
  const negative = v128.shr<T>(b, sizeof<T>() * 8 - 1);
  return v128.and(v128.sub<T>(v128.xor(a, negative), negative), v128.ne<T>(b, i64x2.splat(0)));
}
// @ts-ignore: decorator
@inline function evenWords(a: v128, b: v128): v128 { return i16x8.shuffle(a, b, 0, 2, 4, 6, 8, 10, 12, 14); }
// @ts-ignore: decorator
@inline function oddWords(a: v128, b: v128): v128 { return i16x8.shuffle(a, b, 1, 3, 5, 7, 9, 11, 13, 15); }
// @ts-ignore: decorator
@inline function evenDwords(a: v128, b: v128): v128 { return i32x4.shuffle(a, b, 0, 2, 4, 6); }
// @ts-ignore: decorator
@inline function oddDwords(a: v128, b: v128): v128 { return i32x4.shuffle(a, b, 1, 3, 5, 7); }
// @ts-ignore: decorator
@inline export function horizontalAddWords(a: v128, b: v128): v128 { return i16x8.add(evenWords(a, b), oddWords(a, b)); }
// @ts-ignore: decorator
@inline export function horizontalAddSaturated(a: v128, b: v128): v128 { return i16x8.add_sat_s(evenWords(a, b), oddWords(a, b)); }
// @ts-ignore: decorator
@inline export function horizontalAddDwords(a: v128, b: v128): v128 { return i32x4.add(evenDwords(a, b), oddDwords(a, b)); }
// @ts-ignore: decorator
@inline export function horizontalSubWords(a: v128, b: v128): v128 { return i16x8.sub(evenWords(a, b), oddWords(a, b)); }
// @ts-ignore: decorator
@inline export function horizontalSubSaturated(a: v128, b: v128): v128 { return i16x8.sub_sat_s(evenWords(a, b), oddWords(a, b)); }
// @ts-ignore: decorator
@inline export function horizontalSubDwords(a: v128, b: v128): v128 { return i32x4.sub(evenDwords(a, b), oddDwords(a, b)); }

// ------------------------------------------------------------------------------------------------ add, subtract

export function paddb(u: usize): void { const p = source(u); if (p) put(u, i8x16.add(get(u), v128.load(p))); }
export function paddw(u: usize): void { const p = source(u); if (p) put(u, i16x8.add(get(u), v128.load(p))); }
export function paddd(u: usize): void { const p = source(u); if (p) put(u, i32x4.add(get(u), v128.load(p))); }
export function paddq(u: usize): void { const p = source(u); if (p) put(u, i64x2.add(get(u), v128.load(p))); }
export function paddsb(u: usize): void { const p = source(u); if (p) put(u, i8x16.add_sat_s(get(u), v128.load(p))); }
export function paddsw(u: usize): void { const p = source(u); if (p) put(u, i16x8.add_sat_s(get(u), v128.load(p))); }
export function paddusb(u: usize): void { const p = source(u); if (p) put(u, i8x16.add_sat_u(get(u), v128.load(p))); }
export function paddusw(u: usize): void { const p = source(u); if (p) put(u, i16x8.add_sat_u(get(u), v128.load(p))); }
export function psubb(u: usize): void { const p = source(u); if (p) put(u, i8x16.sub(get(u), v128.load(p))); }
export function psubw(u: usize): void { const p = source(u); if (p) put(u, i16x8.sub(get(u), v128.load(p))); }
export function psubd(u: usize): void { const p = source(u); if (p) put(u, i32x4.sub(get(u), v128.load(p))); }
export function psubq(u: usize): void { const p = source(u); if (p) put(u, i64x2.sub(get(u), v128.load(p))); }
export function psubsb(u: usize): void { const p = source(u); if (p) put(u, i8x16.sub_sat_s(get(u), v128.load(p))); }
export function psubsw(u: usize): void { const p = source(u); if (p) put(u, i16x8.sub_sat_s(get(u), v128.load(p))); }
export function psubusb(u: usize): void { const p = source(u); if (p) put(u, i8x16.sub_sat_u(get(u), v128.load(p))); }
export function psubusw(u: usize): void { const p = source(u); if (p) put(u, i16x8.sub_sat_u(get(u), v128.load(p))); }
export function phaddw(u: usize): void { const p = source(u); if (p) put(u, horizontalAddWords(get(u), v128.load(p))); }
export function phaddd(u: usize): void { const p = source(u); if (p) put(u, horizontalAddDwords(get(u), v128.load(p))); }
export function phaddsw(u: usize): void { const p = source(u); if (p) put(u, horizontalAddSaturated(get(u), v128.load(p))); }
export function phsubw(u: usize): void { const p = source(u); if (p) put(u, horizontalSubWords(get(u), v128.load(p))); }
export function phsubd(u: usize): void { const p = source(u); if (p) put(u, horizontalSubDwords(get(u), v128.load(p))); }
export function phsubsw(u: usize): void { const p = source(u); if (p) put(u, horizontalSubSaturated(get(u), v128.load(p))); }

// ------------------------------------------------------------------------------------------------ multiply, average, absolute

export function pmullw(u: usize): void { const p = source(u); if (p) put(u, i16x8.mul(get(u), v128.load(p))); }
export function pmulld(u: usize): void { const p = source(u); if (p) put(u, i32x4.mul(get(u), v128.load(p))); }
export function pmulhw(u: usize): void { const p = source(u); if (p) put(u, multiplyHighSigned(get(u), v128.load(p))); }
export function pmulhuw(u: usize): void { const p = source(u); if (p) put(u, multiplyHighUnsigned(get(u), v128.load(p))); }
export function pmulhrsw(u: usize): void { const p = source(u); if (p) put(u, multiplyHighRounded(get(u), v128.load(p))); }
export function pmuludq(u: usize): void { const p = source(u); if (p) put(u, multiplyEvenUnsigned(get(u), v128.load(p))); }
export function pmuldq(u: usize): void { const p = source(u); if (p) put(u, multiplyEvenSigned(get(u), v128.load(p))); }
export function pmaddwd(u: usize): void { const p = source(u); if (p) put(u, i32x4.dot_i16x8_s(get(u), v128.load(p))); }
export function pmaddubsw(u: usize): void { const p = source(u); if (p) put(u, multiplyAddBytes(get(u), v128.load(p))); }
export function pavgb(u: usize): void { const p = source(u); if (p) put(u, i8x16.avgr_u(get(u), v128.load(p))); }
export function pavgw(u: usize): void { const p = source(u); if (p) put(u, i16x8.avgr_u(get(u), v128.load(p))); }
export function psadbw(u: usize): void { const p = source(u); if (p) put(u, sumOfDifferences(get(u), v128.load(p))); }
export function pabsb(u: usize): void { const p = source(u); if (p) put(u, i8x16.abs(v128.load(p))); }
export function pabsw(u: usize): void { const p = source(u); if (p) put(u, i16x8.abs(v128.load(p))); }
export function pabsd(u: usize): void { const p = source(u); if (p) put(u, i32x4.abs(v128.load(p))); }
export function psignb(u: usize): void { const p = source(u); if (p) put(u, applySign<i8>(get(u), v128.load(p))); }
export function psignw(u: usize): void { const p = source(u); if (p) put(u, applySign<i16>(get(u), v128.load(p))); }
export function psignd(u: usize): void { const p = source(u); if (p) put(u, applySign<i32>(get(u), v128.load(p))); }

// ------------------------------------------------------------------------------------------------ minimum, maximum, compare

export function pminub(u: usize): void { const p = source(u); if (p) put(u, i8x16.min_u(get(u), v128.load(p))); }
export function pminuw(u: usize): void { const p = source(u); if (p) put(u, i16x8.min_u(get(u), v128.load(p))); }
export function pminud(u: usize): void { const p = source(u); if (p) put(u, i32x4.min_u(get(u), v128.load(p))); }
export function pminsb(u: usize): void { const p = source(u); if (p) put(u, i8x16.min_s(get(u), v128.load(p))); }
export function pminsw(u: usize): void { const p = source(u); if (p) put(u, i16x8.min_s(get(u), v128.load(p))); }
export function pminsd(u: usize): void { const p = source(u); if (p) put(u, i32x4.min_s(get(u), v128.load(p))); }
export function pmaxub(u: usize): void { const p = source(u); if (p) put(u, i8x16.max_u(get(u), v128.load(p))); }
export function pmaxuw(u: usize): void { const p = source(u); if (p) put(u, i16x8.max_u(get(u), v128.load(p))); }
export function pmaxud(u: usize): void { const p = source(u); if (p) put(u, i32x4.max_u(get(u), v128.load(p))); }
export function pmaxsb(u: usize): void { const p = source(u); if (p) put(u, i8x16.max_s(get(u), v128.load(p))); }
export function pmaxsw(u: usize): void { const p = source(u); if (p) put(u, i16x8.max_s(get(u), v128.load(p))); }
export function pmaxsd(u: usize): void { const p = source(u); if (p) put(u, i32x4.max_s(get(u), v128.load(p))); }
export function pcmpeqb(u: usize): void { const p = source(u); if (p) put(u, i8x16.eq(get(u), v128.load(p))); }
export function pcmpeqw(u: usize): void { const p = source(u); if (p) put(u, i16x8.eq(get(u), v128.load(p))); }
export function pcmpeqd(u: usize): void { const p = source(u); if (p) put(u, i32x4.eq(get(u), v128.load(p))); }
export function pcmpeqq(u: usize): void { const p = source(u); if (p) put(u, i64x2.eq(get(u), v128.load(p))); }
export function pcmpgtb(u: usize): void { const p = source(u); if (p) put(u, i8x16.gt_s(get(u), v128.load(p))); }
export function pcmpgtw(u: usize): void { const p = source(u); if (p) put(u, i16x8.gt_s(get(u), v128.load(p))); }
export function pcmpgtd(u: usize): void { const p = source(u); if (p) put(u, i32x4.gt_s(get(u), v128.load(p))); }
export function pcmpgtq(u: usize): void { const p = source(u); if (p) put(u, i64x2.gt_s(get(u), v128.load(p))); }

/** PHMINPOSUW: the least word and, above it, the first place it has. */
export function phminposuw(u: usize): void {
  const p = source(u);
  if (!p) return;
  let least: u32 = 0x10000, place: u32 = 0;
  for (let i: u32 = 0; i < 8; i++) {
    const word = <u32>load<u16>(p + (i << 1));
    if (word < least) { least = word; place = i; }
  }
  put(u, i64x2(<i64>(least | (place << 16)), 0));
}

/** MPSADBW: eight sums of four absolute differences; imm8 bit 2 picks the window of the destination, bits 1:0 the block of the source. */
export function mpsadbw(u: usize): void {
  const p = source(u);
  if (!p) return;
  const control = <u32>imm(u), window = reg(u) + (control & 4), block = p + ((control & 3) << 2);
  let sums = i64x2.splat(0);
  for (let i: usize = 0; i < 4; i++) {
    // A load of eight bytes from offset 4 + 3 stays within the register.
    const a = v128.load8x8_u(window + i), b = i16x8.splat(load<u8>(block + i));
    sums = i16x8.add(sums, i16x8.abs(i16x8.sub(a, b)));
  }
  put(u, sums);
}

// ------------------------------------------------------------------------------------------------ logic

export function pand(u: usize): void { const p = source(u); if (p) put(u, v128.and(get(u), v128.load(p))); }
export function pandn(u: usize): void { const p = source(u); if (p) put(u, v128.andnot(v128.load(p), get(u))); }
export function por(u: usize): void { const p = source(u); if (p) put(u, v128.or(get(u), v128.load(p))); }
/** PXOR of a register with itself, the way to clear it, is the most frequent one. */
export function pxor(u: usize): void { const p = source(u); if (p) put(u, v128.xor(get(u), v128.load(p))); }

/** PTEST: ZF when no bit is in both, CF when the source has no bit outside the destination; the other flags are cleared. */
export function ptest(u: usize): void {
  const p = source(u);
  if (!p) return;
  const a = get(u), b = v128.load(p);
  setArithmetic((v128.any_true(v128.and(a, b)) ? 0 : 0x40) | (v128.any_true(v128.andnot(b, a)) ? 0 : 1));
}
export function pmovmskb(u: usize): void { putGpr(u, i8x16.bitmask(v128.load(rm(u)))); }
export function movmskps(u: usize): void { putGpr(u, i32x4.bitmask(v128.load(rm(u)))); }
export function movmskpd(u: usize): void { putGpr(u, i64x2.bitmask(v128.load(rm(u)))); }

// ------------------------------------------------------------------------------------------------ widening moves (SSE4.1)

export function pmovsxbw(u: usize): void { const p = part<u64>(u); if (p) put(u, v128.load8x8_s(p)); }
export function pmovsxbd(u: usize): void { const p = part<u32>(u); if (p) put(u, i32x4.extend_low_i16x8_s(i16x8.extend_low_i8x16_s(v128.load32_zero(p)))); }
export function pmovsxbq(u: usize): void { const p = part<u16>(u); if (p) put(u, i64x2(<i64>load<i8>(p), <i64>load<i8>(p, 1))); }
export function pmovsxwd(u: usize): void { const p = part<u64>(u); if (p) put(u, v128.load16x4_s(p)); }
export function pmovsxwq(u: usize): void { const p = part<u32>(u); if (p) put(u, i64x2(<i64>load<i16>(p), <i64>load<i16>(p, 2))); }
export function pmovsxdq(u: usize): void { const p = part<u64>(u); if (p) put(u, v128.load32x2_s(p)); }
export function pmovzxbw(u: usize): void { const p = part<u64>(u); if (p) put(u, v128.load8x8_u(p)); }
export function pmovzxbd(u: usize): void { const p = part<u32>(u); if (p) put(u, i32x4.extend_low_i16x8_u(i16x8.extend_low_i8x16_u(v128.load32_zero(p)))); }
export function pmovzxbq(u: usize): void { const p = part<u16>(u); if (p) put(u, i64x2(<i64>load<u8>(p), <i64>load<u8>(p, 1))); }
export function pmovzxwd(u: usize): void { const p = part<u64>(u); if (p) put(u, v128.load16x4_u(p)); }
export function pmovzxwq(u: usize): void { const p = part<u32>(u); if (p) put(u, i64x2(<i64>load<u16>(p), <i64>load<u16>(p, 2))); }
export function pmovzxdq(u: usize): void { const p = part<u64>(u); if (p) put(u, v128.load32x2_u(p)); }
