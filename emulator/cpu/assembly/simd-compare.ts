/** Floating-point compares: CMPPS and its kin, COMISS, UCOMISS (SDM 2A "CMPPS", "COMISS"). */
import { setArithmetic } from "./flags";
import { WORK } from "./layout";
import { allLanes, loadBits, storeBits, tame, tameLanes } from "./simd-arithmetic";
import { get, part, put, source } from "./simd-operand";
import { begin, IE, isNan, isSignaling, note, noteDenormal, operand, settle } from "./simd-round";
import { imm, reg } from "./uop";

/** Relations, and which of them each predicate 0 to 15 accepts, four bits each (SDM 2A table 3-1); 16 to 31 accept the same. */
const LESS: u64 = 1, EQUAL: u64 = 2, GREATER: u64 = 4, UNORDERED: u64 = 8;
const ACCEPTED: u64 = 0xf4650b9a7ced8312;
/** Predicates that a quiet NaN makes invalid; from 16 on it is the others. */
const SIGNALING: u32 = 1 << 1 | 1 << 2 | 1 << 5 | 1 << 6 | 1 << 9 | 1 << 10 | 1 << 13 | 1 << 14;

// @ts-ignore: decorator
@inline function valueOf<T>(bits: u64): f64 { return sizeof<T>() == 4 ? <f64>reinterpret<f32>(<u32>bits) : reinterpret<f64>(bits); }

/** Records what comparing these two raises; true when they are unordered. */
function unordered<T>(a: u64, b: u64, signaling: bool): bool {
  if (isNan<T>(a) || isNan<T>(b)) {
    if (signaling || isSignaling<T>(a) || isSignaling<T>(b)) note(IE);
    return true;
  }
  noteDenormal<T>(a); noteDenormal<T>(b);
  return false;
}
function holds<T>(predicate: u32, x: u64, y: u64): bool {
  const a = operand<T>(x), b = operand<T>(y), accepted = ACCEPTED >> ((predicate & 15) << 2);
  if (unordered<T>(a, b, ((SIGNALING >> (predicate & 15)) & 1) != predicate >> 4)) return (accepted & UNORDERED) != 0;
  const first = valueOf<T>(a), second = valueOf<T>(b);
  return (accepted & (first < second ? LESS : first == second ? EQUAL : GREATER)) != 0;
}

// @ts-ignore: decorator
@inline function compareScalar<T>(u: usize, predicate: u32): void {
  const p = part<T>(u);
  if (!p) return;
  begin();
  const r = reg(u), truth = holds<T>(predicate, loadBits<T>(r), loadBits<T>(p));
  if (settle()) storeBits<T>(r, truth ? <u64>-1 : 0);
}
export function cmpss(u: usize): void { compareScalar<f32>(u, imm(u) & 7); }
export function cmpsd(u: usize): void { compareScalar<f64>(u, imm(u) & 7); }
/** The VEX forms know 32 predicates. */
export function vcmpss(u: usize): void { compareScalar<f32>(u, imm(u) & 31); }
export function vcmpsd(u: usize): void { compareScalar<f64>(u, imm(u) & 31); }

/** Ordered lanes without denormals: no exception can arise, and the predicates repeat after eight. */
// @ts-ignore: decorator
@inline function compareLanes<T>(predicate: u32, a: v128, b: v128): v128 {
  switch (predicate) {
    case 0: return v128.eq<T>(a, b);
    case 1: return v128.lt<T>(a, b);
    case 2: return v128.le<T>(a, b);
    case 3: return i64x2.splat(0);
    case 4: return v128.ne<T>(a, b);
    case 5: return v128.ge<T>(a, b);
    case 6: return v128.gt<T>(a, b);
    default: return i64x2.splat(-1);
  }
}
// @ts-ignore: decorator
@inline function comparePacked<T>(u: usize, predicate: u32): void {
  const p = source(u);
  if (!p) return;
  const a = get(u), b = v128.load(p), r = reg(u);
  if (allLanes(v128.and(tameLanes<T>(a), tameLanes<T>(b)))) { put(u, compareLanes<T>(predicate & 7, a, b)); return; }
  begin();
  for (let i: usize = 0; i < 16; i += sizeof<T>()) {
    storeBits<T>(WORK + i, holds<T>(predicate, loadBits<T>(r + i), loadBits<T>(p + i)) ? <u64>-1 : 0);
  }
  if (settle()) put(u, v128.load(WORK));
}
export function cmpps(u: usize): void { comparePacked<f32>(u, imm(u) & 7); }
export function cmppd(u: usize): void { comparePacked<f64>(u, imm(u) & 7); }
export function vcmpps(u: usize): void { comparePacked<f32>(u, imm(u) & 31); }
export function vcmppd(u: usize): void { comparePacked<f64>(u, imm(u) & 31); }

/** ZF PF CF: unordered 111, less 001, equal 100, greater 000; OF SF AF are cleared. */
// @ts-ignore: decorator
@inline function compareToFlags<T>(u: usize, signaling: bool): void {
  const p = part<T>(u);
  if (!p) return;
  let a = load<T>(reg(u)), b = load<T>(p);
  if (!tame<T>(a) || !tame<T>(b)) {
    begin();
    const x = operand<T>(loadBits<T>(reg(u))), y = operand<T>(loadBits<T>(p)), none = unordered<T>(x, y, signaling);
    if (!settle()) return;
    if (none) { setArithmetic(0x45); return; }
    a = <T>valueOf<T>(x); b = <T>valueOf<T>(y);
  }
  setArithmetic(a < b ? 1 : a == b ? 0x40 : 0);
}
export function ucomiss(u: usize): void { compareToFlags<f32>(u, false); }
export function ucomisd(u: usize): void { compareToFlags<f64>(u, false); }
export function comiss(u: usize): void { compareToFlags<f32>(u, true); }
export function comisd(u: usize): void { compareToFlags<f64>(u, true); }
