/** Packs, unpacks, shuffles, blends, inserts and extracts, and shifts (SDM 2A, 2B). */
import { commit, rmReadable, rmWritable } from "./memory";
import { get, part, put, putGpr, source } from "./simd-operand";
import { imm, prefixes, PREFIX_REX_W, reg, rm } from "./uop";
import { XMM } from "./layout";

// ------------------------------------------------------------------------------------------------ pack, unpack

export function packsswb(u: usize): void { const p = source(u); if (p) put(u, i8x16.narrow_i16x8_s(get(u), v128.load(p))); }
export function packuswb(u: usize): void { const p = source(u); if (p) put(u, i8x16.narrow_i16x8_u(get(u), v128.load(p))); }
export function packssdw(u: usize): void { const p = source(u); if (p) put(u, i16x8.narrow_i32x4_s(get(u), v128.load(p))); }
export function packusdw(u: usize): void { const p = source(u); if (p) put(u, i16x8.narrow_i32x4_u(get(u), v128.load(p))); }

// @ts-ignore: decorator
@inline export function interleaveBytes(a: v128, b: v128): v128 { return i8x16.shuffle(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23); }
// @ts-ignore: decorator
@inline export function interleaveWords(a: v128, b: v128): v128 { return i16x8.shuffle(a, b, 0, 8, 1, 9, 2, 10, 3, 11); }
// @ts-ignore: decorator
@inline export function interleaveDwords(a: v128, b: v128): v128 { return i32x4.shuffle(a, b, 0, 4, 1, 5); }

export function punpcklbw(u: usize): void { const p = source(u); if (p) put(u, interleaveBytes(get(u), v128.load(p))); }
export function punpcklwd(u: usize): void { const p = source(u); if (p) put(u, interleaveWords(get(u), v128.load(p))); }
export function punpckldq(u: usize): void { const p = source(u); if (p) put(u, interleaveDwords(get(u), v128.load(p))); }
export function punpcklqdq(u: usize): void { const p = source(u); if (p) put(u, i64x2.shuffle(get(u), v128.load(p), 0, 2)); }
export function punpckhbw(u: usize): void { const p = source(u); if (p) put(u, i8x16.shuffle(get(u), v128.load(p), 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31)); }
export function punpckhwd(u: usize): void { const p = source(u); if (p) put(u, i16x8.shuffle(get(u), v128.load(p), 4, 12, 5, 13, 6, 14, 7, 15)); }
export function punpckhdq(u: usize): void { const p = source(u); if (p) put(u, i32x4.shuffle(get(u), v128.load(p), 2, 6, 3, 7)); }
export function punpckhqdq(u: usize): void { const p = source(u); if (p) put(u, i64x2.shuffle(get(u), v128.load(p), 1, 3)); }

// ------------------------------------------------------------------------------------------------ shuffle

/** Four words picked by the two-bit fields of `order` from the four at `place`. */
export function pickWords(place: usize, order: u32): u64 {
  return <u64>load<u16>(place + ((order & 3) << 1)) | (<u64>load<u16>(place + ((order & 12) >> 1)) << 16)
    | (<u64>load<u16>(place + ((order & 48) >> 3)) << 32) | (<u64>load<u16>(place + ((order & 192) >> 5)) << 48);
}
export function pshufd(u: usize): void {
  const p = source(u);
  if (!p) return;
  const order = <u32>imm(u);
  let value = v128.load32_zero(p + ((order & 3) << 2));
  value = v128.load32_lane(p + (order & 12), value, 1);
  value = v128.load32_lane(p + ((order & 48) >> 2), value, 2);
  put(u, v128.load32_lane(p + ((order & 192) >> 4), value, 3));
}
export function pshuflw(u: usize): void { const p = source(u); if (p) put(u, i64x2.replace_lane(v128.load(p), 0, pickWords(p, imm(u)))); }
export function pshufhw(u: usize): void { const p = source(u); if (p) put(u, i64x2.replace_lane(v128.load(p), 1, pickWords(p + 8, imm(u)))); }
/** A control byte with bit 7 gives 0; of the rest only four bits count. */
export function pshufb(u: usize): void { const p = source(u); if (p) put(u, i8x16.swizzle(get(u), v128.and(v128.load(p), i8x16.splat(-113)))); }
export function shufps(u: usize): void {
  const p = source(u);
  if (!p) return;
  const order = <u32>imm(u), r = reg(u);
  let value = v128.load32_zero(r + ((order & 3) << 2));
  value = v128.load32_lane(r + (order & 12), value, 1);
  value = v128.load32_lane(p + ((order & 48) >> 2), value, 2);
  put(u, v128.load32_lane(p + ((order & 192) >> 4), value, 3));
}
export function shufpd(u: usize): void {
  const p = source(u);
  if (!p) return;
  const order = <u32>imm(u), low = v128.load64_zero(reg(u) + ((order & 1) << 3));
  put(u, v128.load64_lane(p + ((order & 2) << 2), low, 1));
}

// @ts-ignore: decorator
@inline export function iota(): v128 { return i8x16(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15); }
/** Bytes moved down by `count`; with a negative one, up. What comes in is zero: swizzle gives 0 for an index above 15. */
// @ts-ignore: decorator
@inline export function moveBytesDown(a: v128, count: i32): v128 { return i8x16.swizzle(a, i8x16.add(iota(), i8x16.splat(<i8>count))); }
export function psrldq(u: usize): void { const r = rm(u); v128.store(r, moveBytesDown(v128.load(r), min<u32>(imm(u) & 0xff, 16))); }
export function pslldq(u: usize): void { const r = rm(u); v128.store(r, moveBytesDown(v128.load(r), -<i32>min<u32>(imm(u) & 0xff, 16))); }
export function palignr(u: usize): void {
  const p = source(u);
  if (!p) return;
  const count = <i32>min<u32>(imm(u) & 0xff, 32);
  put(u, v128.or(moveBytesDown(v128.load(p), count), moveBytesDown(get(u), count - 16)));
}

// ------------------------------------------------------------------------------------------------ blend

/** Lanes of `b` where the mask's top bit is set. */
// @ts-ignore: decorator
@inline function blendBySign<T>(u: usize): void { const p = source(u); if (p) put(u, v128.bitselect(v128.load(p), get(u), v128.shr<T>(v128.load(XMM), sizeof<T>() * 8 - 1))); }
export function pblendvb(u: usize): void { blendBySign<i8>(u); }
export function blendvps(u: usize): void { blendBySign<i32>(u); }
export function blendvpd(u: usize): void { blendBySign<i64>(u); }
/** Word i of the source where bit i of the mask is set. */
function blendWords(u: usize, mask: u32): void {
  const p = source(u);
  if (!p) return;
  const bit = i16x8(1, 2, 4, 8, 16, 32, 64, 128);
  put(u, v128.bitselect(v128.load(p), get(u), i16x8.eq(v128.and(i16x8.splat(<i16>mask), bit), bit)));
}
export function pblendw(u: usize): void { blendWords(u, imm(u)); }
export function blendps(u: usize): void { const m = <u32>imm(u); blendWords(u, ((m & 1) | ((m & 2) << 1) | ((m & 4) << 2) | ((m & 8) << 3)) * 3); }
export function blendpd(u: usize): void { const m = <u32>imm(u); blendWords(u, ((m & 1) | ((m & 2) << 3)) * 15); }

// ------------------------------------------------------------------------------------------------ insert, extract

/** Bytes of the register operand in pextrb and pextrw are its low ones, so that a memory-style access serves both. */
export function pinsrb(u: usize): void { const p = rmReadable<u8>(u); if (p) store<u8>(reg(u) + (imm(u) & 15), load<u8>(p)); }
export function pinsrw(u: usize): void { const p = rmReadable<u16>(u); if (p) store<u16>(reg(u) + ((imm(u) & 7) << 1), load<u16>(p)); }
export function pinsrd(u: usize): void {
  if (prefixes(u) & PREFIX_REX_W) { const p = rmReadable<u64>(u); if (p) store<u64>(reg(u) + ((imm(u) & 1) << 3), load<u64>(p)); }
  else { const p = rmReadable<u32>(u); if (p) store<u32>(reg(u) + ((imm(u) & 3) << 2), load<u32>(p)); }
}
/** INSERTPS: imm8 bits 7:6 pick the source (registers only), 5:4 the place, 3:0 what becomes zero. */
export function insertps(u: usize): void {
  const p = part<u32>(u);
  if (!p) return;
  const control = <u32>imm(u), value = load<u32>(rm(u) ? p + ((control >> 4) & 12) : p), r = reg(u);
  store<u32>(r + ((control >> 2) & 12), value);
  for (let i: u32 = 0; i < 4; i++) if ((control >> i) & 1) store<u32>(r + (i << 2), 0);
}

/** The extracted value goes to memory in its own size, and zero-extended to a register. */
// @ts-ignore: decorator
@inline function extract<T>(u: usize, lanes: u32): void {
  const value = load<T>(reg(u) + (<usize>(<u32>imm(u) & (lanes - 1)) * sizeof<T>())), r = rm(u);
  if (r) { store<u64>(r, <u64>value); return; }
  const p = rmWritable<T>(u);
  if (!p) return;
  store<T>(p, value);
  commit(p);
}
export function pextrb(u: usize): void { extract<u8>(u, 16); }
export function pextrw(u: usize): void { extract<u16>(u, 8); }
export function pextrd(u: usize): void { if (prefixes(u) & PREFIX_REX_W) extract<u64>(u, 2); else extract<u32>(u, 4); }
export function extractps(u: usize): void { extract<u32>(u, 4); }
/** The older form, 0F C5: ModRM.reg is the general register, rm the vector. */
export function pextrwToReg(u: usize): void { putGpr(u, load<u16>(rm(u) + ((imm(u) & 7) << 1))); }

// ------------------------------------------------------------------------------------------------ shifts

/** A count as large as the lane or larger gives zero; arithmetic shifts fill with the sign. */
// @ts-ignore: decorator
@inline export function shiftLeft<T>(a: v128, count: u64): v128 { return count < sizeof<T>() * 8 ? v128.shl<T>(a, <i32>count) : i64x2.splat(0); }
// @ts-ignore: decorator
@inline export function shiftRight<T>(a: v128, count: u64): v128 { return count < sizeof<T>() * 8 ? v128.shr<T>(a, <i32>count) : i64x2.splat(0); }
// @ts-ignore: decorator
@inline export function shiftSigned<T>(a: v128, count: u64): v128 { return v128.shr<T>(a, <i32>min<u64>(count, sizeof<T>() * 8 - 1)); }

// @ts-ignore: decorator
@inline function count(u: usize): u64 { return <u64>(imm(u) & 0xff); }
export function psllwImmediate(u: usize): void { const r = rm(u); v128.store(r, shiftLeft<u16>(v128.load(r), count(u))); }
export function pslldImmediate(u: usize): void { const r = rm(u); v128.store(r, shiftLeft<u32>(v128.load(r), count(u))); }
export function psllqImmediate(u: usize): void { const r = rm(u); v128.store(r, shiftLeft<u64>(v128.load(r), count(u))); }
export function psrlwImmediate(u: usize): void { const r = rm(u); v128.store(r, shiftRight<u16>(v128.load(r), count(u))); }
export function psrldImmediate(u: usize): void { const r = rm(u); v128.store(r, shiftRight<u32>(v128.load(r), count(u))); }
export function psrlqImmediate(u: usize): void { const r = rm(u); v128.store(r, shiftRight<u64>(v128.load(r), count(u))); }
export function psrawImmediate(u: usize): void { const r = rm(u); v128.store(r, shiftSigned<i16>(v128.load(r), count(u))); }
export function psradImmediate(u: usize): void { const r = rm(u); v128.store(r, shiftSigned<i32>(v128.load(r), count(u))); }
export function psllw(u: usize): void { const p = source(u); if (p) put(u, shiftLeft<u16>(get(u), load<u64>(p))); }
export function pslld(u: usize): void { const p = source(u); if (p) put(u, shiftLeft<u32>(get(u), load<u64>(p))); }
export function psllq(u: usize): void { const p = source(u); if (p) put(u, shiftLeft<u64>(get(u), load<u64>(p))); }
export function psrlw(u: usize): void { const p = source(u); if (p) put(u, shiftRight<u16>(get(u), load<u64>(p))); }
export function psrld(u: usize): void { const p = source(u); if (p) put(u, shiftRight<u32>(get(u), load<u64>(p))); }
export function psrlq(u: usize): void { const p = source(u); if (p) put(u, shiftRight<u64>(get(u), load<u64>(p))); }
export function psraw(u: usize): void { const p = source(u); if (p) put(u, shiftSigned<i16>(get(u), load<u64>(p))); }
export function psrad(u: usize): void { const p = source(u); if (p) put(u, shiftSigned<i32>(get(u), load<u64>(p))); }
