/**
 * The AVX instructions that programs execute most, without the copies of vex.ts `lanes`: glibc's string functions, and
 * arithmetic on numbers of which nothing special is to be told (simd-arithmetic.ts).
 */
import { LANE_RESULT, MXCSR } from "./layout";
import {
  ADD, allLanes, compute, DIVIDE, MULTIPLY, normalLanes, storeBits, SUBTRACT, tameLanes, zeroLanes,
} from "./simd-arithmetic";
import { part } from "./simd-operand";
import { begin, control, quick, settle } from "./simd-round";
import { operandBytes, reg, third } from "./uop";
import { isWide, putBoth, putLow, putResult, vectorSource } from "./vex";

// ------------------------------------------------------------------------------------------------ integers

const AND: u32 = 0, ANDN: u32 = 1, OR: u32 = 2, XOR: u32 = 3, EQUAL: u32 = 4, PLUS: u32 = 5, MINUS: u32 = 6, LEAST: u32 = 7, GREATEST: u32 = 8, PICK: u32 = 9;

/** a op b in elements of T; `operation` is a constant at every use. */
// @ts-ignore: decorator
@inline function combine<T>(operation: u32, a: v128, b: v128): v128 {
  if (operation == AND) return v128.and(a, b);
  if (operation == ANDN) return v128.andnot(b, a);
  if (operation == OR) return v128.or(a, b);
  if (operation == XOR) return v128.xor(a, b);
  if (operation == EQUAL) return v128.eq<T>(a, b);
  if (operation == PLUS) return v128.add<T>(a, b);
  if (operation == MINUS) return v128.sub<T>(a, b);
  if (operation == LEAST) return i8x16.min_u(a, b);
  if (operation == GREATEST) return i8x16.max_u(a, b);
  return i8x16.swizzle(a, v128.and(b, i8x16.splat(-113)));
}
// @ts-ignore: decorator
@inline function both<T>(u: usize, operation: u32): void {
  const p = vectorSource(u), q = third(u);
  if (!p) return;
  const low = combine<T>(operation, v128.load(q), v128.load(p));
  if (isWide(u)) putBoth(reg(u), low, combine<T>(operation, v128.load(q, 16), v128.load(p, 16))); else putLow(reg(u), low);
}
export function vpand(u: usize): void { both<i8>(u, AND); }
export function vpandn(u: usize): void { both<i8>(u, ANDN); }
export function vpor(u: usize): void { both<i8>(u, OR); }
export function vpxor(u: usize): void { both<i8>(u, XOR); }
export function vpcmpeqb(u: usize): void { both<i8>(u, EQUAL); }
export function vpcmpeqw(u: usize): void { both<i16>(u, EQUAL); }
export function vpcmpeqd(u: usize): void { both<i32>(u, EQUAL); }
export function vpcmpeqq(u: usize): void { both<i64>(u, EQUAL); }
export function vpaddb(u: usize): void { both<i8>(u, PLUS); }
export function vpaddw(u: usize): void { both<i16>(u, PLUS); }
export function vpaddd(u: usize): void { both<i32>(u, PLUS); }
export function vpaddq(u: usize): void { both<i64>(u, PLUS); }
export function vpsubb(u: usize): void { both<i8>(u, MINUS); }
export function vpsubw(u: usize): void { both<i16>(u, MINUS); }
export function vpsubd(u: usize): void { both<i32>(u, MINUS); }
export function vpsubq(u: usize): void { both<i64>(u, MINUS); }
export function vpminub(u: usize): void { both<i8>(u, LEAST); }
export function vpmaxub(u: usize): void { both<i8>(u, GREATEST); }
export function vpshufb(u: usize): void { both<i8>(u, PICK); }

// ------------------------------------------------------------------------------------------------ floating point

// @ts-ignore: decorator
@inline function scalar<T>(u: usize, operation: u32): void {
  const p = part<T>(u), q = third(u);
  if (!p) return;
  begin();
  const result = compute<T>(operation, control, load<T>(q), load<T>(p));
  if (!settle()) return;
  putLow(reg(u), v128.load(q));
  storeBits<T>(reg(u), result);
}
export function vaddss(u: usize): void { scalar<f32>(u, ADD); }
export function vaddsd(u: usize): void { scalar<f64>(u, ADD); }
export function vsubss(u: usize): void { scalar<f32>(u, SUBTRACT); }
export function vsubsd(u: usize): void { scalar<f64>(u, SUBTRACT); }
export function vmulss(u: usize): void { scalar<f32>(u, MULTIPLY); }
export function vmulsd(u: usize): void { scalar<f64>(u, MULTIPLY); }
export function vdivss(u: usize): void { scalar<f32>(u, DIVIDE); }
export function vdivsd(u: usize): void { scalar<f64>(u, DIVIDE); }

/** Whether WebAssembly's result of 16 bytes, left in LANE_RESULT, tells all there is to know. */
// @ts-ignore: decorator
@inline function plain<T>(operation: u32, first: usize, second: usize, at: usize): bool {
  const a = v128.load(first + at), b = v128.load(second + at);
  const r = operation == ADD ? v128.add<T>(a, b) : operation == SUBTRACT ? v128.sub<T>(a, b) : operation == MULTIPLY ? v128.mul<T>(a, b) : v128.div<T>(a, b);
  v128.store(LANE_RESULT + at, r);
  const zeros = operation <= SUBTRACT ? zeroLanes<T>(r)
    : v128.and(operation == MULTIPLY ? v128.or(zeroLanes<T>(a), zeroLanes<T>(b)) : zeroLanes<T>(a), zeroLanes<T>(r));
  return allLanes(v128.and(v128.and(tameLanes<T>(a), tameLanes<T>(b)), v128.or(normalLanes<T>(r), zeros)));
}
// @ts-ignore: decorator
@inline function packed<T>(u: usize, operation: u32): void {
  const p = vectorSource(u), q = third(u), bytes = <usize>operandBytes(u);
  if (!p) return;
  if (quick(load<u32>(MXCSR)) && plain<T>(operation, q, p, 0) && (bytes == 16 || plain<T>(operation, q, p, 16))) { putResult(u); return; }
  begin();
  for (let i: usize = 0; i < bytes; i += sizeof<T>()) storeBits<T>(LANE_RESULT + i, compute<T>(operation, control, load<T>(q + i), load<T>(p + i)));
  if (settle()) putResult(u);
}
export function vaddps(u: usize): void { packed<f32>(u, ADD); }
export function vaddpd(u: usize): void { packed<f64>(u, ADD); }
export function vsubps(u: usize): void { packed<f32>(u, SUBTRACT); }
export function vsubpd(u: usize): void { packed<f64>(u, SUBTRACT); }
export function vmulps(u: usize): void { packed<f32>(u, MULTIPLY); }
export function vmulpd(u: usize): void { packed<f64>(u, MULTIPLY); }
export function vdivps(u: usize): void { packed<f32>(u, DIVIDE); }
export function vdivpd(u: usize): void { packed<f64>(u, DIVIDE); }
