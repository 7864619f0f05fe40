/**
 * Operands of MMX and SSE instructions. A handler asks for its source first (0: a fault is recorded, leave), computes, and
 * writes its destination last:
 *
 *     export function paddb(u: usize): void { const p = source(u); if (p) put(u, i8x16.add(get(u), v128.load(p))); }
 */
import { GP, MF, raise } from "./fault";
import { CR0, FCW, FSW, FTW } from "./layout";
import { readable, rmReadable } from "./memory";
import { CR0_NE } from "./mode";
import { linear, reg, rm } from "./uop";

/** The destination, which is the first source too: the xmm register of ModRM.reg. */
// @ts-ignore: decorator
@inline export function get(u: usize): v128 { return v128.load(reg(u)); }
// @ts-ignore: decorator
@inline export function put(u: usize, value: v128): void { v128.store(reg(u), value); }
/** A general register as destination: 32-bit results clear the upper half. */
// @ts-ignore: decorator
@inline export function putGpr(u: usize, value: u32): void { store<u64>(reg(u), <u64>value); }

/** A 16-byte memory operand must be aligned (SDM 1 §11.3); aligned ones never cross a page. */
export function alignedMemory(u: usize): usize {
  const address = linear(u);
  if (address & 15) { raise(GP, 0); return 0; }
  return readable<v128>(address);
}
/** Host address of the 16-byte xmm/m128 operand, or 0 after a fault. */
// @ts-ignore: decorator
@inline export function source(u: usize): usize { const r = rm(u); return r ? r : alignedMemory(u); }
/** Host address of an xmm/m operand of `sizeof<T>()` bytes without alignment rule. */
// @ts-ignore: decorator
@inline export function part<T>(u: usize): usize { const r = rm(u); return r ? r : partMemory<T>(u); }
function partMemory<T>(u: usize): usize { return readable<T>(linear(u)); }

// ------------------------------------------------------------------------------------------------ MMX

/** Every MMX instruction reports a pending x87 exception before it does anything (SDM 3A §12.5.1). */
export function mmxAllowed(): bool {
  if (!(load<u16>(FSW) & ~<u32>load<u16>(FCW) & 0x3f) || !(load<u64>(CR0) & CR0_NE)) return true;
  raise(MF, 0);
  return false;
}
/** Host address of the mm/m64 operand (or a smaller T), or 0 after a fault. */
export function mmxSource<T>(u: usize): usize { return mmxAllowed() ? rmReadable<T>(u) : 0; }

/** Every MMX instruction but EMMS: all registers become valid and TOP becomes 0 (SDM 1 §9.6.2, 3A table 12-1). */
export function enterMmx(): void {
  store<u16>(FSW, load<u16>(FSW) & 0xc7ff);
  store<u8>(FTW, 0xff);
}
/** Writes an MMX register: sign and exponent of the x87 register become all ones. */
export function putMmxAt(place: usize, value: u64): void {
  enterMmx();
  store<u64>(place, value);
  store<u16>(place, 0xffff, 8);
}
// @ts-ignore: decorator
@inline export function putMmx(u: usize, value: v128): void { putMmxAt(reg(u), v128.extract_lane<u64>(value, 0)); }
/** The destination MMX register in the lower half of a vector. */
// @ts-ignore: decorator
@inline export function getMmx(u: usize): v128 { return v128.load64_zero(reg(u)); }
