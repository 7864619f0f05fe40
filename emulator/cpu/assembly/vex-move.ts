/** AVX loads, stores, masks, broadcasts, blends and tests (SDM 2A, 2B, 2C). */
import { addressMask, segmented, segmentOf } from "./addressing";
import { fault, GP, raise, UD } from "./fault";
import { setArithmetic } from "./flags";
import { LANE_RESULT, XMM } from "./layout";
import { commit, readable, rmReadable, storable, tlbSlot, tlbWrite } from "./memory";
import { exemptFromAlignment, slowStore } from "./mmu";
import { mode64 } from "./mode";
import { putGpr } from "./simd-operand";
import { imm, linear, operandBytes, reg, rm, third } from "./uop";
import { isWide, putBoth, putLow, putResult, vectorSource } from "./vex";

// ------------------------------------------------------------------------------------------------ whole vectors

// @ts-ignore: decorator
@inline function putWhole(u: usize, to: usize, from: usize): void {
  if (isWide(u)) putBoth(to, v128.load(from), v128.load(from, 16)); else putLow(to, v128.load(from));
}
/** VMOVUPS, VMOVUPD, VMOVDQU, VLDDQU. */
export function vload(u: usize): void { const p = vectorSource(u); if (p) putWhole(u, reg(u), p); }
export function vstore(u: usize): void {
  const r = rm(u), from = reg(u), bytes = operandBytes(u);
  if (r) { putWhole(u, r, from); return; }
  const address = linear(u), slot = tlbSlot(tlbWrite, address);
  const p = ((address + <u64>(bytes - 1)) & ~0xfff) == load<u64>(slot) ? <usize>address + load<u32>(slot, 8) : slowStore(address, bytes);
  if (!p) return;
  v128.store(p, v128.load(from));
  if (bytes == 32) v128.store(p, v128.load(from, 16), 16);
  commit(p);
}
/** VMOVAPS, VMOVAPD, VMOVDQA, VMOVNT...: the memory operand is aligned to its size. */
// @ts-ignore: decorator
@inline function misaligned(u: usize): bool { return !rm(u) && (linear(u) & <u64>(operandBytes(u) - 1)) != 0; }
export function vloadAligned(u: usize): void { if (misaligned(u)) raise(GP, 0); else vload(u); }
export function vstoreAligned(u: usize): void { if (misaligned(u)) raise(GP, 0); else vstore(u); }

/** The forms of VMOVSS and VMOVSD whose destination ModRM.rm names. */
export function vmovssBack(u: usize): void { putLow(rm(u), v128.load32_lane(reg(u), v128.load(third(u)), 0)); }
export function vmovsdBack(u: usize): void { putLow(rm(u), v128.load64_lane(reg(u), v128.load(third(u)), 0)); }
export function vmovqStore(u: usize): void {
  const r = rm(u);
  if (r) { putLow(r, v128.load64_zero(reg(u))); return; }
  const p = storable<u64>(linear(u));
  if (!p) return;
  store<u64>(p, load<u64>(reg(u)));
  commit(p);
}

// ------------------------------------------------------------------------------------------------ 16 of 32 bytes

export function vinsertLane(u: usize): void {
  const p = rmReadable<v128>(u);
  if (!p) return;
  const lane = v128.load(p), first = third(u);
  if (imm(u) & 1) putBoth(reg(u), v128.load(first), lane); else putBoth(reg(u), lane, v128.load(first, 16));
}
export function vextractLane(u: usize): void {
  const lane = v128.load(reg(u) + ((imm(u) & 1) << 4)), r = rm(u);
  if (r) { putLow(r, lane); return; }
  const p = storable<v128>(linear(u));
  if (!p) return;
  v128.store(p, lane);
  commit(p);
}

// @ts-ignore: decorator
@inline function broadcast(u: usize, value: v128): void { putBoth(reg(u), value, isWide(u) ? value : i64x2.splat(0)); }
export function vbroadcastByte(u: usize): void { const p = rmReadable<u8>(u); if (p) broadcast(u, v128.load8_splat(p)); }
export function vbroadcastWord(u: usize): void { const p = rmReadable<u16>(u); if (p) broadcast(u, v128.load16_splat(p)); }
export function vbroadcastDword(u: usize): void { const p = rmReadable<u32>(u); if (p) broadcast(u, v128.load32_splat(p)); }
export function vbroadcastQword(u: usize): void { const p = rmReadable<u64>(u); if (p) broadcast(u, v128.load64_splat(p)); }
export function vbroadcastLane(u: usize): void { const p = rmReadable<v128>(u); if (p) broadcast(u, v128.load(p)); }

// ------------------------------------------------------------------------------------------------ masks to registers and flags

export function vmovmskpsWide(u: usize): void { const r = rm(u); putGpr(u, i32x4.bitmask(v128.load(r)) | i32x4.bitmask(v128.load(r, 16)) << 4); }
export function vmovmskpdWide(u: usize): void { const r = rm(u); putGpr(u, i64x2.bitmask(v128.load(r)) | i64x2.bitmask(v128.load(r, 16)) << 2); }
export function vpmovmskbWide(u: usize): void { const r = rm(u); putGpr(u, i8x16.bitmask(v128.load(r)) | i8x16.bitmask(v128.load(r, 16)) << 16); }

/** ZF: no bit of `mask` is in both operands; CF: the source has none that the first operand lacks. */
// @ts-ignore: decorator
@inline function testBits(u: usize, mask: v128): void {
  const p = vectorSource(u);
  if (!p) return;
  const r = reg(u), a = v128.load(r), b = v128.and(v128.load(p), mask);
  let both = v128.and(a, b), outside = v128.andnot(b, a);
  if (isWide(u)) {
    const c = v128.load(r, 16), d = v128.and(v128.load(p, 16), mask);
    both = v128.or(both, v128.and(c, d)); outside = v128.or(outside, v128.andnot(d, c));
  }
  setArithmetic((v128.any_true(both) ? 0 : 0x40) | (v128.any_true(outside) ? 0 : 1));
}
export function vptest(u: usize): void { testBits(u, i64x2.splat(-1)); }
export function vtestps(u: usize): void { testBits(u, i32x4.splat(1 << 31)); }
export function vtestpd(u: usize): void { testBits(u, i64x2.splat(1 << 63)); }

// ------------------------------------------------------------------------------------------------ blends by a register

/** The register that bits 7:4 of the immediate name; bit 7 counts in 64-bit mode only. */
// @ts-ignore: decorator
@inline function fourth(u: usize): usize { return XMM + (<usize>((imm(u) >> 4) & (mode64() ? 15 : 7)) << 5); }
// @ts-ignore: decorator
@inline function pick<T>(p: usize, q: usize, mask: usize): v128 { return v128.bitselect(v128.load(p), v128.load(q), v128.shr<T>(v128.load(mask), sizeof<T>() * 8 - 1)); }
// @ts-ignore: decorator
@inline function blendByRegister<T>(u: usize): void {
  const p = vectorSource(u);
  if (!p) return;
  const q = third(u), mask = fourth(u), low = pick<T>(p, q, mask);
  putBoth(reg(u), low, isWide(u) ? pick<T>(p + 16, q + 16, mask + 16) : i64x2.splat(0));
}
export function vpblendvb(u: usize): void { blendByRegister<i8>(u); }
export function vblendvps(u: usize): void { blendByRegister<i32>(u); }
export function vblendvpd(u: usize): void { blendByRegister<i64>(u); }

// ------------------------------------------------------------------------------------------------ masked loads and stores

/** Elements whose mask has its top bit are read, the others become zero; only those that are read can fault. */
// @ts-ignore: decorator
@inline function loadMasked<T>(u: usize): void {
  const mask = third(u), bytes = <usize>operandBytes(u);
  for (let i: usize = 0; i < bytes; i += sizeof<T>()) {
    let value: T = 0;
    if (load<T>(mask + i) < 0) {
      const p = readable<T>(linear(u) + <u64>i);
      if (!p) return;
      value = load<T>(p);
    }
    store<T>(LANE_RESULT + i, value);
  }
  putResult(u);
}
// @ts-ignore: decorator
@inline function maskLoad<T>(u: usize): void { exemptFromAlignment(true); loadMasked<T>(u); exemptFromAlignment(false); }
export function vmaskLoadDwords(u: usize): void { maskLoad<i32>(u); }
export function vmaskLoadQwords(u: usize): void { maskLoad<i64>(u); }

/** All places are probed before the first is written. */
// @ts-ignore: decorator
@inline function storeMasked<T>(u: usize): void {
  const mask = third(u), from = reg(u), bytes = <usize>operandBytes(u);
  for (let i: usize = 0; i < bytes; i += sizeof<T>()) {
    if (load<T>(mask + i) < 0 && !storable<T>(linear(u) + <u64>i)) return;
  }
  for (let i: usize = 0; i < bytes; i += sizeof<T>()) {
    if (load<T>(mask + i) >= 0) continue;
    const p = storable<T>(linear(u) + <u64>i);
    store<T>(p, load<T>(from + i));
    commit(p);
  }
}
// @ts-ignore: decorator
@inline function maskStore<T>(u: usize): void { exemptFromAlignment(true); storeMasked<T>(u); exemptFromAlignment(false); }
export function vmaskStoreDwords(u: usize): void { maskStore<i32>(u); }
export function vmaskStoreQwords(u: usize): void { maskStore<i64>(u); }

// ------------------------------------------------------------------------------------------------ gathers

/**
 * VGATHER, VPGATHER: elements T by indices I. Each element that was read is written and its mask cleared before the next, so
 * that a fault in the middle leaves what is needed to go on (SDM 2C "VPGATHERDD"). The three registers must differ.
 */
// @ts-ignore: decorator
@inline function gatherElements<T, I>(u: usize): void {
  const to = reg(u), mask = third(u), indices = <usize>load<u16>(u, 10);
  if (to == mask || to == indices || mask == indices) { raise(UD, 0); return; }
  const bytes = <usize>operandBytes(u), most = bytes / max(sizeof<T>(), sizeof<I>());
  // Every mask element becomes all of its sign first.
  for (let i: usize = 0; i < most; i++) store<T>(mask + i * sizeof<T>(), load<T>(mask + i * sizeof<T>()) >> (sizeof<T>() * 8 - 1));
  const start = load<u64>(load<u16>(u, 8)) + <u64><i64>load<i32>(u, 16), wrap = addressMask(u);
  for (let i: usize = 0; i < most; i++) {
    if (!load<T>(mask + i * sizeof<T>())) continue;
    const offset = start + (<u64><i64>load<I>(indices + i * sizeof<I>()) << <u64>load<u8>(u, 12));
    const address = segmented(segmentOf(u), offset & wrap, <u32>sizeof<T>(), false);
    if (fault) return;
    const p = readable<T>(address);
    if (!p) return;
    store<T>(to + i * sizeof<T>(), load<T>(p));
    store<T>(mask + i * sizeof<T>(), 0);
  }
  putLow(mask, i64x2.splat(0));
  const length = most * sizeof<T>();
  if (length < 32) memory.fill(to + length, 0, 32 - length);
}
// @ts-ignore: decorator
@inline function gather<T, I>(u: usize): void { exemptFromAlignment(true); gatherElements<T, I>(u); exemptFromAlignment(false); }
export function vgatherDwordsByD(u: usize): void { gather<i32, i32>(u); }
export function vgatherDwordsByQ(u: usize): void { gather<i32, i64>(u); }
export function vgatherQwordsByD(u: usize): void { gather<i64, i32>(u); }
export function vgatherQwordsByQ(u: usize): void { gather<i64, i64>(u); }
