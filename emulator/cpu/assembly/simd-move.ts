/** Moves between xmm registers, memory and general registers (SDM 2A, 2B). Non-temporal hints mean nothing here. */
import { addressMask, segmented, segmentOf } from "./addressing";
import { fault, GP, raise } from "./fault";
import { RDI } from "./layout";
import { commit, readable, storable, writable } from "./memory";
import { get, put, source } from "./simd-operand";
import { linear, prefixes, PREFIX_REX_W, reg, rm } from "./uop";

// ------------------------------------------------------------------------------------------------ 16 bytes

/** MOVAPS, MOVAPD, MOVDQA, MOVNTDQA: the memory operand is aligned. */
export function movaps(u: usize): void {
  const r = rm(u);
  if (r) { put(u, v128.load(r)); return; }
  const address = linear(u);
  if (address & 15) { raise(GP, 0); return; }
  const p = readable<v128>(address);
  if (p) put(u, v128.load(p));
}
/** The same to memory, MOVNTPS, MOVNTPD and MOVNTDQ too. */
export function movapsStore(u: usize): void {
  const r = rm(u);
  if (r) { v128.store(r, get(u)); return; }
  const address = linear(u);
  if (address & 15) { raise(GP, 0); return; }
  const p = storable<v128>(address);
  if (!p) return;
  v128.store(p, get(u));
  commit(p);
}
/** MOVUPS, MOVUPD, MOVDQU, LDDQU. */
export function movups(u: usize): void {
  let p = rm(u);
  if (!p) p = readable<v128>(linear(u));
  if (p) put(u, v128.load(p));
}
export function movupsStore(u: usize): void {
  const r = rm(u);
  if (r) { v128.store(r, get(u)); return; }
  const p = storable<v128>(linear(u));
  if (!p) return;
  v128.store(p, get(u));
  commit(p);
}

// ------------------------------------------------------------------------------------------------ scalars and halves

/** MOVSS, MOVD and MOVSD, MOVQ from memory or (MOVD, MOVQ) a register clear the rest of the destination. */
export function loadDword(u: usize): void {
  let p = rm(u);
  if (!p) p = readable<u32>(linear(u));
  if (p) put(u, v128.load32_zero(p));
}
export function loadQword(u: usize): void {
  let p = rm(u);
  if (!p) p = readable<u64>(linear(u));
  if (p) put(u, v128.load64_zero(p));
}
// @ts-ignore: decorator
@inline function storeMemory<T>(u: usize, from: usize): void {
  const p = storable<T>(linear(u));
  if (!p) return;
  store<T>(p, load<T>(from));
  commit(p);
}
/** Memory forms of MOVSS, MOVSD, MOVLPS, MOVLPD, MOVQ; MOVHPS and MOVHPD. */
export function storeDword(u: usize): void { storeMemory<u32>(u, reg(u)); }
export function storeQword(u: usize): void { storeMemory<u64>(u, reg(u)); }
export function storeHighQword(u: usize): void { storeMemory<u64>(u, reg(u) + 8); }

/** MOVSS and MOVSD between registers keep the rest of the destination. */
export function movssRegister(u: usize): void { store<u32>(reg(u), load<u32>(rm(u))); }
export function movssRegisterBack(u: usize): void { store<u32>(rm(u), load<u32>(reg(u))); }
export function movsdRegister(u: usize): void { store<u64>(reg(u), load<u64>(rm(u))); }
export function movsdRegisterBack(u: usize): void { store<u64>(rm(u), load<u64>(reg(u))); }

/** MOVLPS, MOVLPD from memory; MOVHLPS; MOVHPS, MOVHPD from memory; MOVLHPS. */
export function loadLow(u: usize): void { const p = readable<u64>(linear(u)); if (p) store<u64>(reg(u), load<u64>(p)); }
export function loadHigh(u: usize): void { const p = readable<u64>(linear(u)); if (p) store<u64>(reg(u) + 8, load<u64>(p)); }
export function movhlps(u: usize): void { store<u64>(reg(u), load<u64>(rm(u) + 8)); }
export function movlhps(u: usize): void { store<u64>(reg(u) + 8, load<u64>(rm(u))); }

/** 66 0F 6E and 66 0F 7E: MOVQ with REX.W, else MOVD. */
export function movd(u: usize): void { if (prefixes(u) & PREFIX_REX_W) loadQword(u); else loadDword(u); }
export function movdStore(u: usize): void {
  const r = rm(u);
  if (prefixes(u) & PREFIX_REX_W) { if (r) store<u64>(r, load<u64>(reg(u))); else storeQword(u); }
  else if (r) store<u64>(r, <u64>load<u32>(reg(u)));
  else storeDword(u);
}
/** MOVQ xmm/m64, xmm: a register's upper half is cleared. */
export function movqStore(u: usize): void { const r = rm(u); if (r) v128.store(r, v128.load64_zero(reg(u))); else storeQword(u); }

export function movddup(u: usize): void {
  let p = rm(u);
  if (!p) p = readable<u64>(linear(u));
  if (p) put(u, v128.load64_splat(p));
}
export function movsldup(u: usize): void { const p = source(u); if (p) { const a = v128.load(p); put(u, i32x4.shuffle(a, a, 0, 0, 2, 2)); } }
export function movshdup(u: usize): void { const p = source(u); if (p) { const a = v128.load(p); put(u, i32x4.shuffle(a, a, 1, 1, 3, 3)); } }

// ------------------------------------------------------------------------------------------------ masked store

/** Stores at DS:rDI the bytes of reg whose mask byte in rm has its top bit; false after a fault. A mask of zeros touches no memory (the SDM leaves that open). */
export function storeMasked<T>(u: usize): bool {
  const address = segmented(segmentOf(u), load<u64>(RDI) & addressMask(u), <u32>sizeof<T>(), true);
  if (fault) return false;
  const wide = sizeof<T>() == 16, mask = i8x16.shr_s(wide ? v128.load(rm(u)) : v128.load64_zero(rm(u)), 7), value = get(u);
  if (!v128.any_true(mask)) return true;
  const p = writable<T>(address);
  if (!p) return false;
  if (wide) v128.store(p, v128.bitselect(value, v128.load(p), mask));
  else store<u64>(p, v128.extract_lane<u64>(v128.bitselect(value, v128.load64_zero(p), mask), 0));
  commit(p);
  return true;
}
export function maskmovdqu(u: usize): void { storeMasked<v128>(u); }
