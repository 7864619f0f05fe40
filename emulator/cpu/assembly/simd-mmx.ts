/**
 * MMX: the 64-bit registers that share the x87's significands (SDM 1 chapter 9). The arithmetic is that of the lower half of
 * an xmm register, so that one switch over the opcode serves every two-operand instruction: this is old code's path, where
 * brevity counts and speed does not.
 */
import { commit, rmWritable, writable } from "./memory";
import { linear, imm, opcode, prefixes, PREFIX_REX_W, reg, rm } from "./uop";
import { FTW } from "./layout";
import { enterMmx, getMmx, mmxAllowed, mmxSource, put, putGpr, putMmx, putMmxAt } from "./simd-operand";
import {
  applySign, horizontalAddDwords, horizontalAddSaturated, horizontalAddWords, horizontalSubDwords, horizontalSubSaturated,
  horizontalSubWords, multiplyAddBytes, multiplyEvenUnsigned, multiplyHighRounded, multiplyHighSigned, multiplyHighUnsigned, sumOfDifferences,
} from "./simd-integer";
import { storeMasked } from "./simd-move";
import { interleaveBytes, interleaveDwords, interleaveWords, moveBytesDown, pickWords, shiftLeft, shiftRight, shiftSigned } from "./simd-shuffle";

/** b:a as one vector, for operations whose result takes its lower half from a and the upper one from b. */
// @ts-ignore: decorator
@inline function joined(a: v128, b: v128): v128 { return i64x2.shuffle(a, b, 0, 2); }
// @ts-ignore: decorator
@inline function upper(a: v128): v128 { return i64x2.shuffle(a, a, 1, 1); }

/** 0F 60 .. 0F FE with operands Pq, Qq. */
function combine(code: u32, a: v128, b: v128): v128 {
  switch (code) {
    case 0x60: return interleaveBytes(a, b);
    case 0x61: return interleaveWords(a, b);
    case 0x62: return interleaveDwords(a, b);
    case 0x63: return i8x16.narrow_i16x8_s(joined(a, b), a);
    case 0x64: return i8x16.gt_s(a, b);
    case 0x65: return i16x8.gt_s(a, b);
    case 0x66: return i32x4.gt_s(a, b);
    case 0x67: return i8x16.narrow_i16x8_u(joined(a, b), a);
    case 0x68: return upper(interleaveBytes(a, b));
    case 0x69: return upper(interleaveWords(a, b));
    case 0x6a: return upper(interleaveDwords(a, b));
    case 0x6b: return i16x8.narrow_i32x4_s(joined(a, b), a);
    case 0x74: return i8x16.eq(a, b);
    case 0x75: return i16x8.eq(a, b);
    case 0x76: return i32x4.eq(a, b);
    case 0xd4: return i64x2.add(a, b);
    case 0xd5: return i16x8.mul(a, b);
    case 0xd8: return i8x16.sub_sat_u(a, b);
    case 0xd9: return i16x8.sub_sat_u(a, b);
    case 0xda: return i8x16.min_u(a, b);
    case 0xdb: return v128.and(a, b);
    case 0xdc: return i8x16.add_sat_u(a, b);
    case 0xdd: return i16x8.add_sat_u(a, b);
    case 0xde: return i8x16.max_u(a, b);
    case 0xdf: return v128.andnot(b, a);
    case 0xe0: return i8x16.avgr_u(a, b);
    case 0xe3: return i16x8.avgr_u(a, b);
    case 0xe4: return multiplyHighUnsigned(a, b);
    case 0xe5: return multiplyHighSigned(a, b);
    case 0xe8: return i8x16.sub_sat_s(a, b);
    case 0xe9: return i16x8.sub_sat_s(a, b);
    case 0xea: return i16x8.min_s(a, b);
    case 0xeb: return v128.or(a, b);
    case 0xec: return i8x16.add_sat_s(a, b);
    case 0xed: return i16x8.add_sat_s(a, b);
    case 0xee: return i16x8.max_s(a, b);
    case 0xef: return v128.xor(a, b);
    case 0xf4: return multiplyEvenUnsigned(a, b);
    case 0xf5: return i32x4.dot_i16x8_s(a, b);
    case 0xf6: return sumOfDifferences(a, b);
    case 0xf8: return i8x16.sub(a, b);
    case 0xf9: return i16x8.sub(a, b);
    case 0xfa: return i32x4.sub(a, b);
    case 0xfb: return i64x2.sub(a, b);
    case 0xfc: return i8x16.add(a, b);
    case 0xfd: return i16x8.add(a, b);
    default: return i32x4.add(a, b);
  }
}
/** 0F 38 00 .. 0F 38 1E with operands Pq, Qq (SSSE3). */
function combine38(code: u32, a: v128, b: v128): v128 {
  switch (code) {
    case 0x00: return i8x16.swizzle(a, v128.and(b, i8x16.splat(-121)));
    case 0x01: return horizontalAddWords(joined(a, b), a);
    case 0x02: return horizontalAddDwords(joined(a, b), a);
    case 0x03: return horizontalAddSaturated(joined(a, b), a);
    case 0x04: return multiplyAddBytes(a, b);
    case 0x05: return horizontalSubWords(joined(a, b), a);
    case 0x06: return horizontalSubDwords(joined(a, b), a);
    case 0x07: return horizontalSubSaturated(joined(a, b), a);
    case 0x08: return applySign<i8>(a, b);
    case 0x09: return applySign<i16>(a, b);
    case 0x0a: return applySign<i32>(a, b);
    case 0x0b: return multiplyHighRounded(a, b);
    case 0x1c: return i8x16.abs(b);
    case 0x1d: return i16x8.abs(b);
    default: return i32x4.abs(b);
  }
}

export function mmxCombine(u: usize): void { const p = mmxSource<u64>(u); if (p) putMmx(u, combine(opcode(u) & 0xff, getMmx(u), v128.load64_zero(p))); }
export function mmxCombine38(u: usize): void { const p = mmxSource<u64>(u); if (p) putMmx(u, combine38(opcode(u) & 0xff, getMmx(u), v128.load64_zero(p))); }
/** PUNPCKLBW, PUNPCKLWD, PUNPCKLDQ read four bytes. */
export function mmxUnpackLow(u: usize): void { const p = mmxSource<u32>(u); if (p) putMmx(u, combine(opcode(u) & 0xff, getMmx(u), v128.load32_zero(p))); }

/** Shifts by the low six bits of the opcode's row and column: D1-D3 right, E1-E2 arithmetic, F1-F3 left. */
function shifted(code: u32, a: v128, count: u64): v128 {
  switch (code) {
    case 0xd1: return shiftRight<u16>(a, count);
    case 0xd2: return shiftRight<u32>(a, count);
    case 0xd3: return shiftRight<u64>(a, count);
    case 0xe1: return shiftSigned<i16>(a, count);
    case 0xe2: return shiftSigned<i32>(a, count);
    case 0xf1: return shiftLeft<u16>(a, count);
    case 0xf2: return shiftLeft<u32>(a, count);
    default: return shiftLeft<u64>(a, count);
  }
}
export function mmxShift(u: usize): void { const p = mmxSource<u64>(u); if (p) putMmx(u, shifted(opcode(u) & 0xff, getMmx(u), load<u64>(p))); }
/** 0F 71, 72, 73 with /2, /4, /6 and an immediate: `row` is that of the same shift by register. */
function shiftImmediate(u: usize, row: u32): void {
  if (!mmxAllowed()) return;
  const r = rm(u);
  putMmxAt(r, v128.extract_lane<u64>(shifted(row | (opcode(u) & 3), v128.load64_zero(r), <u64>(imm(u) & 0xff)), 0));
}
export function mmxShiftRightImmediate(u: usize): void { shiftImmediate(u, 0xd0); }
export function mmxShiftSignedImmediate(u: usize): void { shiftImmediate(u, 0xe0); }
export function mmxShiftLeftImmediate(u: usize): void { shiftImmediate(u, 0xf0); }

export function mmxMove(u: usize): void { const p = mmxSource<u64>(u); if (p) putMmxAt(reg(u), load<u64>(p)); }
/** MOVQ and MOVNTQ to memory, or to another MMX register. */
export function mmxMoveStore(u: usize): void {
  if (!mmxAllowed()) return;
  const r = rm(u), value = load<u64>(reg(u));
  if (r) { putMmxAt(r, value); return; }
  const p = writable<u64>(linear(u));
  if (!p) return;
  enterMmx();
  store<u64>(p, value);
  commit(p);
}
/** MOVD or MOVQ between an MMX register and a general one or memory. */
export function mmxMovd(u: usize): void {
  const wide = (prefixes(u) & PREFIX_REX_W) != 0, p = wide ? mmxSource<u64>(u) : mmxSource<u32>(u);
  if (p) putMmxAt(reg(u), wide ? load<u64>(p) : <u64>load<u32>(p));
}
export function mmxMovdStore(u: usize): void {
  if (!mmxAllowed()) return;
  const wide = (prefixes(u) & PREFIX_REX_W) != 0, p = wide ? rmWritable<u64>(u) : rmWritable<u32>(u), value = load<u64>(reg(u));
  if (!p) return;
  enterMmx();
  if (wide) store<u64>(p, value);
  else if (rm(u)) store<u64>(p, value & 0xffffffff);
  else store<u32>(p, <u32>value);
  commit(p);
}
export function movdq2q(u: usize): void { if (mmxAllowed()) putMmxAt(reg(u), load<u64>(rm(u))); }
export function movq2dq(u: usize): void {
  if (!mmxAllowed()) return;
  enterMmx();
  put(u, v128.load64_zero(rm(u)));
}

export function pshufw(u: usize): void { const p = mmxSource<u64>(u); if (p) putMmxAt(reg(u), pickWords(p, imm(u))); }
export function mmxPalignr(u: usize): void {
  const p = mmxSource<u64>(u);
  if (p) putMmx(u, moveBytesDown(joined(v128.load64_zero(p), getMmx(u)), <i32>min<u32>(imm(u) & 0xff, 16)));
}
export function mmxPinsrw(u: usize): void {
  const p = mmxSource<u16>(u);
  if (!p) return;
  const shift = <u64>(imm(u) & 3) << 4, value = <u64>load<u16>(p) << shift;
  putMmxAt(reg(u), (load<u64>(reg(u)) & ~(<u64>0xffff << shift)) | value);
}
export function mmxPextrw(u: usize): void {
  if (!mmxAllowed()) return;
  enterMmx();
  putGpr(u, load<u16>(rm(u) + ((imm(u) & 3) << 1)));
}
export function mmxPmovmskb(u: usize): void {
  if (!mmxAllowed()) return;
  enterMmx();
  putGpr(u, i8x16.bitmask(v128.load64_zero(rm(u))));
}
export function maskmovq(u: usize): void {
  if (!mmxAllowed()) return;
  if (storeMasked<u64>(u)) enterMmx();
}
/** All registers become empty; their contents stay. */
export function emms(u: usize): void {
  if (!mmxAllowed()) return;
  enterMmx();
  store<u8>(FTW, 0);
}
