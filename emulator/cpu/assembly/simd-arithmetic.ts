/**
 * Floating-point arithmetic of SSE, SSE2, SSE3 and SSE4.1 (SDM 1 chapters 10-12).
 *
 * WebAssembly computes, but says nothing about exceptions and knows one rounding mode. An operation on zeros and normal
 * numbers with a normal result can raise only the precision exception, and programs let that flag stick early, so the
 * common case is WebAssembly's operation and a test that nothing special is there. All else goes through simd-soft.ts.
 */
import { MXCSR, WORK } from "./layout";
import { begin, control, isNan, note, noteDenormal, operand, quick, settle, IE } from "./simd-round";
import { get, part, put, source } from "./simd-operand";
import { softAdd, softDivide, softMultiply, softSquareRoot, softSubtract } from "./simd-soft";
import { imm, reg } from "./uop";

export const ADD: u32 = 0, SUBTRACT: u32 = 1, MULTIPLY: u32 = 2, DIVIDE: u32 = 3, MINIMUM: u32 = 4, MAXIMUM: u32 = 5;

// ------------------------------------------------------------------------------------------------ one lane

// @ts-ignore: decorator
@inline export function bitsOf<T>(x: T): u64 { return sizeof<T>() == 4 ? <u64>reinterpret<u32>(<f32>x) : reinterpret<u64>(<f64>x); }
// @ts-ignore: decorator
@inline export function loadBits<T>(place: usize): u64 { return sizeof<T>() == 4 ? <u64>load<u32>(place) : load<u64>(place); }
// @ts-ignore: decorator
@inline export function storeBits<T>(place: usize, bits: u64): void { if (sizeof<T>() == 4) store<u32>(place, <u32>bits); else store<u64>(place, bits); }
// @ts-ignore: decorator
@inline function fromBits<T>(bits: u64): T { return sizeof<T>() == 4 ? <T>reinterpret<f32>(<u32>bits) : <T>reinterpret<f64>(bits); }

/** The least normal number. */
// @ts-ignore: decorator
@inline export function least<T>(): T { return sizeof<T>() == 4 ? <T>1.1754943508222875e-38 : <T>2.2250738585072014e-308; }
/** Zero, normal or infinite: neither denormal nor NaN. */
// @ts-ignore: decorator
@inline export function tame<T>(x: T): bool { return abs<T>(x) >= least<T>() || x == <T>0; }
/** Normal for sure: a result that is the least normal number may have been tiny before it was rounded (SDM 1 §4.9.1.5). */
// @ts-ignore: decorator
@inline export function isNormal<T>(x: T): bool { return abs<T>(x) > least<T>() && abs<T>(x) < <T>Infinity; }

/** Whether a * b == r without rounding, for normal numbers: surely when the odd parts of a and b are short enough together. */
export function exactProduct<T>(a: T, b: T, r: T): bool {
  if (sizeof<T>() == 4) return <f64>a * <f64>b == <f64>r;
  const wide: u64 = 1 << 52;
  return 53 - ctz(bitsOf<T>(a) | wide) + 53 - ctz(bitsOf<T>(b) | wide) <= 53;
}
/** Whether a + b == r without rounding (Knuth's two-sum). */
// @ts-ignore: decorator
@inline function exactSum<T>(a: T, b: T, r: T): bool {
  const bVirtual = <T>(r - a), aVirtual = <T>(r - bVirtual);
  return <T>(a - aVirtual) == <T>0 && <T>(b - bVirtual) == <T>0;
}

/** One operation on one lane: operands and result as bits. Exceptions are collected in `raised`. */
function lane<T>(operation: u32, x: u64, y: u64): u64 {
  switch (operation) {
    case ADD: return softAdd<T>(x, y);
    case SUBTRACT: return softSubtract<T>(x, y);
    case MULTIPLY: return softMultiply<T>(x, y);
    case DIVIDE: return softDivide<T>(x, y);
    default: return chooseBits<T>(operation, x, y);
  }
}
/** MIN and MAX: the second operand when either is a NaN (an invalid operation, quiet or not) or both are zeros. */
function chooseBits<T>(operation: u32, x: u64, y: u64): u64 {
  const a = operand<T>(x), b = operand<T>(y);
  if (isNan<T>(a) || isNan<T>(b)) { note(IE); return b; }
  noteDenormal<T>(a); noteDenormal<T>(b);
  const first = fromBits<T>(a), second = fromBits<T>(b);
  return (operation == MINIMUM ? first < second : first > second) ? a : b;
}

/** The operation by WebAssembly, when it tells all there is to know; else by `lane`. `operation` is a constant at every use. */
// @ts-ignore: decorator
@inline export function compute<T>(operation: u32, mxcsr: u32, a: T, b: T): u64 {
  if (operation >= MINIMUM) {
    if (tame<T>(a) && tame<T>(b)) return bitsOf<T>(operation == MINIMUM ? (a < b ? a : b) : (a > b ? a : b));
    return lane<T>(operation, bitsOf<T>(a), bitsOf<T>(b));
  }
  const r = operation == ADD ? <T>(a + b) : operation == SUBTRACT ? <T>(a - b) : operation == MULTIPLY ? <T>(a * b) : <T>(a / b);
  if (tame<T>(a) && tame<T>(b) && !(mxcsr & 0x6000)) {
    if (isNormal<T>(r)) {
      if ((mxcsr & 0x1020) == 0x1020) return bitsOf<T>(r);
      if (operation == ADD ? exactSum<T>(a, b, r) : operation == SUBTRACT ? exactSum<T>(a, <T>-b, r)
        : operation == MULTIPLY ? exactProduct<T>(a, b, r) : <T>(r * b) == a && exactProduct<T>(r, b, a)) return bitsOf<T>(r);
    } else if (r == <T>0 && (operation <= SUBTRACT || a == <T>0 || (operation == MULTIPLY && b == <T>0))) return bitsOf<T>(r);
  }
  return lane<T>(operation, bitsOf<T>(a), bitsOf<T>(b));
}

// @ts-ignore: decorator
@inline function scalar<T>(u: usize, operation: u32): void {
  const p = part<T>(u);
  if (!p) return;
  begin();
  const r = reg(u), result = compute<T>(operation, control, load<T>(r), load<T>(p));
  if (settle()) storeBits<T>(r, result);
}
export function addss(u: usize): void { scalar<f32>(u, ADD); }
export function addsd(u: usize): void { scalar<f64>(u, ADD); }
export function subss(u: usize): void { scalar<f32>(u, SUBTRACT); }
export function subsd(u: usize): void { scalar<f64>(u, SUBTRACT); }
export function mulss(u: usize): void { scalar<f32>(u, MULTIPLY); }
export function mulsd(u: usize): void { scalar<f64>(u, MULTIPLY); }
export function divss(u: usize): void { scalar<f32>(u, DIVIDE); }
export function divsd(u: usize): void { scalar<f64>(u, DIVIDE); }
export function minss(u: usize): void { scalar<f32>(u, MINIMUM); }
export function minsd(u: usize): void { scalar<f64>(u, MINIMUM); }
export function maxss(u: usize): void { scalar<f32>(u, MAXIMUM); }
export function maxsd(u: usize): void { scalar<f64>(u, MAXIMUM); }

// ------------------------------------------------------------------------------------------------ all lanes

// @ts-ignore: decorator
@inline function splatLeast<T>(): v128 { return v128.splat<T>(least<T>()); }
/** Lanes that are zero, normal or infinite. */
// @ts-ignore: decorator
@inline export function tameLanes<T>(x: v128): v128 { return v128.or(v128.ge<T>(v128.abs<T>(x), splatLeast<T>()), v128.eq<T>(x, i64x2.splat(0))); }
// @ts-ignore: decorator
@inline export function zeroLanes<T>(x: v128): v128 { return v128.eq<T>(x, i64x2.splat(0)); }
// @ts-ignore: decorator
@inline export function normalLanes<T>(x: v128): v128 {
  const m = v128.abs<T>(x);
  return v128.and(v128.gt<T>(m, splatLeast<T>()), v128.lt<T>(m, v128.splat<T>(<T>Infinity)));
}
// @ts-ignore: decorator
@inline export function allLanes(x: v128): bool { return i32x4.all_true(x); }

/** Lane by lane: `operation` in even lanes and `odd` in odd ones (they differ in ADDSUB). The destination keeps its value after a fault. */
function slowLanes<T>(u: usize, p: usize, operation: u32, odd: u32): void {
  const r = reg(u);
  begin();
  for (let i: usize = 0; i < 16; i += sizeof<T>()) {
    storeBits<T>(WORK + i, compute<T>((i / sizeof<T>()) & 1 ? odd : operation, control, load<T>(r + i), load<T>(p + i)));
  }
  if (settle()) v128.store(r, v128.load(WORK));
}

// @ts-ignore: decorator
@inline function packed<T>(u: usize, operation: u32): void {
  const p = source(u);
  if (!p) return;
  const a = get(u), b = v128.load(p), inputs = v128.and(tameLanes<T>(a), tameLanes<T>(b));
  if (operation >= MINIMUM) {
    // pmin(x, y) is y < x ? y : x, which is MIN with the operands the other way round.
    if (allLanes(inputs)) { put(u, operation == MINIMUM ? v128.pmin<T>(b, a) : v128.pmax<T>(b, a)); return; }
  } else if (quick(load<u32>(MXCSR))) {
    const r = operation == ADD ? v128.add<T>(a, b) : operation == SUBTRACT ? v128.sub<T>(a, b) : operation == MULTIPLY ? v128.mul<T>(a, b) : v128.div<T>(a, b);
    // A zero is exact when it is a sum, or a product with or a quotient of a zero; division by zero gives no finite result.
    const zeros = operation <= SUBTRACT ? zeroLanes<T>(r)
      : v128.and(operation == MULTIPLY ? v128.or(zeroLanes<T>(a), zeroLanes<T>(b)) : zeroLanes<T>(a), zeroLanes<T>(r));
    if (allLanes(v128.and(inputs, v128.or(normalLanes<T>(r), zeros)))) { put(u, r); return; }
  }
  slowLanes<T>(u, p, operation, operation);
}
export function addps(u: usize): void { packed<f32>(u, ADD); }
export function addpd(u: usize): void { packed<f64>(u, ADD); }
export function subps(u: usize): void { packed<f32>(u, SUBTRACT); }
export function subpd(u: usize): void { packed<f64>(u, SUBTRACT); }
export function mulps(u: usize): void { packed<f32>(u, MULTIPLY); }
export function mulpd(u: usize): void { packed<f64>(u, MULTIPLY); }
export function divps(u: usize): void { packed<f32>(u, DIVIDE); }
export function divpd(u: usize): void { packed<f64>(u, DIVIDE); }
export function minps(u: usize): void { packed<f32>(u, MINIMUM); }
export function minpd(u: usize): void { packed<f64>(u, MINIMUM); }
export function maxps(u: usize): void { packed<f32>(u, MAXIMUM); }
export function maxpd(u: usize): void { packed<f64>(u, MAXIMUM); }

export function addsubps(u: usize): void { const p = source(u); if (p) slowLanes<f32>(u, p, SUBTRACT, ADD); }
export function addsubpd(u: usize): void { const p = source(u); if (p) slowLanes<f64>(u, p, SUBTRACT, ADD); }

/** HADD, HSUB: pairs of the destination, then pairs of the source. */
// @ts-ignore: decorator
@inline function horizontal<T>(u: usize, operation: u32): void {
  const p = source(u);
  if (!p) return;
  const r = reg(u), pair = 2 * sizeof<T>();
  begin();
  for (let i: usize = 0; i < 16; i += pair) {
    const to = WORK + (i >> 1);
    storeBits<T>(to, compute<T>(operation, control, load<T>(r + i), load<T>(r + i, sizeof<T>())));
    storeBits<T>(to + 8, compute<T>(operation, control, load<T>(p + i), load<T>(p + i, sizeof<T>())));
  }
  if (settle()) v128.store(r, v128.load(WORK));
}
export function haddps(u: usize): void { horizontal<f32>(u, ADD); }
export function haddpd(u: usize): void { horizontal<f64>(u, ADD); }
export function hsubps(u: usize): void { horizontal<f32>(u, SUBTRACT); }
export function hsubpd(u: usize): void { horizontal<f64>(u, SUBTRACT); }

/**
 * DPPS, DPPD: products of the lanes that imm8 bits 7:4 pick, summed in pairs, to the lanes that bits 3:0 pick. The exceptions of
 * all products are settled before those of the sums.
 */
// @ts-ignore: decorator
@inline function dotProduct<T>(u: usize): void {
  const p = source(u);
  if (!p) return;
  const r = reg(u), order = <u32>imm(u), lanes: u32 = 16 / <u32>sizeof<T>();
  begin();
  for (let i: u32 = 0; i < lanes; i++) {
    const at = <usize>i * sizeof<T>();
    storeBits<T>(WORK + at, (order >> (4 + i)) & 1 ? compute<T>(MULTIPLY, control, load<T>(r + at), load<T>(p + at)) : 0);
  }
  if (!settle()) return;
  begin();
  let sum = compute<T>(ADD, control, load<T>(WORK), load<T>(WORK, sizeof<T>()));
  if (sizeof<T>() == 4) {
    const other = compute<T>(ADD, control, load<T>(WORK + 8), load<T>(WORK + 12));
    if (!settle()) return;
    begin();
    sum = compute<T>(ADD, control, fromBits<T>(sum), fromBits<T>(other));
  }
  if (!settle()) return;
  for (let i: u32 = 0; i < lanes; i++) storeBits<T>(r + <usize>i * sizeof<T>(), (order >> i) & 1 ? sum : 0);
}
export function dpps(u: usize): void { dotProduct<f32>(u); }
export function dppd(u: usize): void { dotProduct<f64>(u); }

// ------------------------------------------------------------------------------------------------ square roots and estimates

// @ts-ignore: decorator
@inline function root<T>(mxcsr: u32, a: T): u64 {
  const r = <T>sqrt<T>(a);
  if (a == <T>0) return bitsOf<T>(a);
  // The root of a normal number is a normal number.
  if (a >= least<T>() && a < <T>Infinity && !(mxcsr & 0x6000) && ((mxcsr & 0x1020) == 0x1020 || (<T>(r * r) == a && exactProduct<T>(r, r, a)))) return bitsOf<T>(r);
  return softSquareRoot<T>(bitsOf<T>(a));
}
// @ts-ignore: decorator
@inline function rootScalar<T>(u: usize): void {
  const p = part<T>(u);
  if (!p) return;
  begin();
  const result = root<T>(control, load<T>(p));
  if (settle()) storeBits<T>(reg(u), result);
}
// @ts-ignore: decorator
@inline function rootPacked<T>(u: usize): void {
  const p = source(u);
  if (!p) return;
  begin();
  for (let i: usize = 0; i < 16; i += sizeof<T>()) storeBits<T>(WORK + i, root<T>(control, load<T>(p + i)));
  if (settle()) put(u, v128.load(WORK));
}
export function sqrtss(u: usize): void { rootScalar<f32>(u); }
export function sqrtsd(u: usize): void { rootScalar<f64>(u); }
export function sqrtps(u: usize): void { rootPacked<f32>(u); }
export function sqrtpd(u: usize): void { rootPacked<f64>(u); }

/** RCP and RSQRT have no exceptions; denormals are zeros, in and out. The result is better than the 12 bits promised. */
function estimate(bits: u32, squareRoot: bool): u32 {
  if (isNan<f32>(bits)) return bits | 0x400000;
  if ((bits & 0x7fffffff) < 0x800000) return (bits & 0x80000000) | 0x7f800000;
  if (squareRoot && (bits & 0x80000000)) return 0xffc00000;
  const x = <f64>reinterpret<f32>(bits), result = reinterpret<u32>(<f32>(1 / (squareRoot ? sqrt(x) : x)));
  return (result & 0x7fffffff) < 0x800000 ? result & 0x80000000 : result;
}
function estimatePacked(u: usize, squareRoot: bool): void {
  const p = source(u);
  if (!p) return;
  for (let i: usize = 0; i < 16; i += 4) store<u32>(WORK + i, estimate(load<u32>(p + i), squareRoot));
  put(u, v128.load(WORK));
}
export function rcpss(u: usize): void { const p = part<f32>(u); if (p) store<u32>(reg(u), estimate(load<u32>(p), false)); }
export function rsqrtss(u: usize): void { const p = part<f32>(u); if (p) store<u32>(reg(u), estimate(load<u32>(p), true)); }
export function rcpps(u: usize): void { estimatePacked(u, false); }
export function rsqrtps(u: usize): void { estimatePacked(u, true); }
