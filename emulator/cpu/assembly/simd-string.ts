/** PCMPESTRI, PCMPESTRM, PCMPISTRI, PCMPISTRM (SDM 2B §4.1): two strings of up to 16 bytes or 8 words, compared in four ways. */
import { setArithmetic } from "./flags";
import { RAX, RCX, RDX, XMM } from "./layout";
import { part } from "./simd-operand";
import { imm, prefixes, PREFIX_REX_W, reg } from "./uop";

// @ts-ignore: decorator
@inline function lanes<T>(): u32 { return 16 / <u32>sizeof<T>(); }
// @ts-ignore: decorator
@inline function below(count: u32): u32 { return (1 << count) - 1; }

/** One bit per element of the second string (IntRes1); `a` and `b` are where the strings lie. */
// @ts-ignore: decorator
@inline function matches<T>(order: u32, a: usize, aLength: u32, b: usize, bLength: u32): u32 {
  const text = v128.load(b), all = below(lanes<T>()), valid = below(bLength);
  let found: u32 = 0;
  switch ((order >> 2) & 3) {
    case 0: // Equal any.
      for (let i: u32 = 0; i < aLength; i++) found |= v128.bitmask<T>(v128.eq<T>(text, v128.splat<T>(load<T>(a + <usize>i * sizeof<T>()))));
      return found & valid;
    case 1: // Ranges.
      for (let i: u32 = 0; i + 1 < aLength; i += 2) {
        const low = v128.splat<T>(load<T>(a + <usize>i * sizeof<T>())), high = v128.splat<T>(load<T>(a + <usize>(i + 1) * sizeof<T>()));
        found |= v128.bitmask<T>(v128.and(v128.ge<T>(text, low), v128.le<T>(text, high)));
      }
      return found & valid;
    case 2: // Equal each: places past both ends are equal.
      found = v128.bitmask<T>(v128.eq<T>(text, v128.load(a)));
      return (found & valid & below(aLength)) | (all & ~(valid | below(aLength)));
    default: // Equal ordered: a substring may run out of the second operand.
      found = all;
      for (let i: u32 = 0; i < aLength; i++) {
        const equal = v128.bitmask<T>(v128.eq<T>(text, v128.splat<T>(load<T>(a + <usize>i * sizeof<T>())))) & valid;
        found &= (equal >> i) | ~(all >> i);
      }
      return found;
  }
}
function compare(order: u32, a: usize, aLength: u32, b: usize, bLength: u32): u32 {
  switch (order & 3) {
    case 0: return matches<u8>(order, a, aLength, b, bLength);
    case 1: return matches<u16>(order, a, aLength, b, bLength);
    case 2: return matches<i8>(order, a, aLength, b, bLength);
    default: return matches<i16>(order, a, aLength, b, bLength);
  }
}

/** Length of a string that ends before its first zero element. */
function implicitLength(order: u32, place: usize): u32 {
  const zero = i64x2.splat(0), text = v128.load(place);
  if (order & 1) return ctz<u32>(i16x8.bitmask(i16x8.eq(text, zero)) | 0x100);
  return ctz<u32>(i8x16.bitmask(i8x16.eq(text, zero)) | 0x10000);
}
/** Length given by rAX or rDX: its magnitude, at most all elements. */
function explicitLength(u: usize, order: u32, register: usize): u32 {
  const value = prefixes(u) & PREFIX_REX_W ? load<i64>(register) : <i64>load<i32>(register);
  const length: u64 = value < 0 ? -value : value;
  return <u32>min<u64>(length, order & 1 ? 8 : 16);
}

/** Compares, sets the flags and returns IntRes2. */
function evaluate(u: usize, p: usize, explicit: bool): u32 {
  const order = <u32>imm(u), a = reg(u), count: u32 = order & 1 ? 8 : 16;
  const aLength = explicit ? explicitLength(u, order, RAX) : implicitLength(order, a);
  const bLength = explicit ? explicitLength(u, order, RDX) : implicitLength(order, p);
  let result = compare(order, a, aLength, p, bLength);
  if (order & 0x10) result ^= order & 0x20 ? below(bLength) : below(count);
  setArithmetic((result ? 1 : 0) | (bLength < count ? 0x40 : 0) | (aLength < count ? 0x80 : 0) | ((result & 1) << 11));
  return result;
}
// @ts-ignore: decorator
@inline function toIndex(u: usize, explicit: bool): void {
  const p = part<v128>(u);
  if (!p) return;
  const order = <u32>imm(u), result = evaluate(u, p, explicit);
  const index: u32 = !result ? (order & 1 ? 8 : 16) : order & 0x40 ? 31 - clz<u32>(result) : ctz<u32>(result);
  store<u64>(RCX, <u64>index);
}
// @ts-ignore: decorator
@inline function toMask(u: usize, explicit: bool): void {
  const p = part<v128>(u);
  if (!p) return;
  const order = <u32>imm(u), result = evaluate(u, p, explicit);
  let mask = i64x2(<i64>result, 0);
  if ((order & 0x41) == 0x41) {
    const bit = i16x8(1, 2, 4, 8, 16, 32, 64, 128);
    mask = i16x8.eq(v128.and(i16x8.splat(<i16>result), bit), bit);
  } else if (order & 0x40) {
    const bit = i8x16(1, 2, 4, 8, 16, 32, 64, -128, 1, 2, 4, 8, 16, 32, 64, -128);
    mask = i8x16.eq(v128.and(i8x16.swizzle(mask, i8x16(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1)), bit), bit);
  }
  v128.store(XMM, mask);
}
export function pcmpestri(u: usize): void { toIndex(u, true); }
export function pcmpistri(u: usize): void { toIndex(u, false); }
export function pcmpestrm(u: usize): void { toMask(u, true); }
export function pcmpistrm(u: usize): void { toMask(u, false); }
