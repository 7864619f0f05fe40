/**
 * State images: FXSAVE and FXRSTOR, the XSAVE family, MXCSR (SDM 1 §10.5, chapter 13). An XSAVE area is the 512-byte legacy
 * region, the 64-byte header and, where the processor has AVX, the upper halves of the YMM registers: at the same place in
 * the standard and in the compacted form, because nothing lies before them. x87 and SSE always count as in use, AVX when an
 * upper half is not zero (SDM 1 §13.6). FCS and FDS are saved as zero (CPUID.7.EBX[13]). The MXCSR mask says that DAZ is
 * there.
 */
import { HAS_AVX, HAS_XGETBV1 } from "../../../build/generated/cpu/features";
import { GP, NM, raise, UD } from "./fault";
import { CPL, CR0, CR4, FCW, FDP, FIP, FOP, FSW, FTW, MXCSR, RAX, RCX, RDX, WORK, X87, XCR0, XMM } from "./layout";
import { commit, readable, rmReadable, writable } from "./memory";
import { CR4_OSXSAVE, mode64 } from "./mode";
import { has } from "./model";
import { linear, prefixes, PREFIX_REX_W } from "./uop";
import { updateSummary } from "./x87-stack";

export const MXCSR_MASK: u32 = 0xffff;
const X87_STATE: u64 = 1, SSE_STATE: u64 = 2, COMPACTED: u64 = 1 << 63;
/** The upper halves of the YMM registers: component 2, where it lies and its size. */
export const AVX_STATE: u64 = 4, AVX_OFFSET: usize = 576, AVX_BYTES: usize = 256;
/** Components that XCR0 can enable; bytes of an area for some of them. */
export function supportedState(): u64 { return has(HAS_AVX) ? 7 : 3; }
export function xsaveBytes(components: u64): u32 { return <u32>(components & AVX_STATE ? AVX_OFFSET + AVX_BYTES : AVX_OFFSET); }
/** Offsets in the image. */
const AT_MXCSR: usize = 24, AT_ST: usize = 32, AT_XMM: usize = 160, AT_HEADER: usize = 512;

export function ldmxcsr(u: usize): void {
  const p = rmReadable<u32>(u);
  if (!p) return;
  const value = load<u32>(p);
  if (value & ~MXCSR_MASK) { raise(GP, 0); return; }
  store<u32>(MXCSR, value);
}
export function stmxcsr(u: usize): void {
  const p = writable<u32>(linear(u));
  if (!p) return;
  store<u32>(p, load<u32>(MXCSR));
  commit(p);
}

// ------------------------------------------------------------------------------------------------ the legacy region in WORK

// @ts-ignore: decorator
@inline function stack(i: usize): usize { return X87 + ((((load<u16>(FSW) >> 11) + i) & 7) << 4); }
// @ts-ignore: decorator
@inline function vectors(): usize { return mode64() ? 16 : 8; }

function imageX87(wide: bool): void {
  store<u16>(WORK, load<u16>(FCW));
  store<u16>(WORK, load<u16>(FSW), 2);
  store<u16>(WORK, load<u8>(FTW), 4);
  store<u16>(WORK, load<u16>(FOP), 6);
  store<u64>(WORK, wide ? load<u64>(FIP) : <u64>load<u32>(FIP), 8);
  store<u64>(WORK, wide ? load<u64>(FDP) : <u64>load<u32>(FDP), 16);
  for (let i: usize = 0; i < 8; i++) {
    const r = stack(i), to = WORK + AT_ST + (i << 4);
    store<u64>(to, load<u64>(r));
    store<u64>(to, <u64>load<u16>(r, 8), 8);
  }
}
function loadX87(wide: bool): void {
  store<u16>(FCW, <u16>((<u32>load<u16>(WORK) & 0x1f3f) | 0x40));
  store<u16>(FSW, load<u16>(WORK, 2));
  updateSummary();
  store<u8>(FTW, load<u8>(WORK, 4));
  store<u16>(FOP, load<u16>(WORK, 6) & 0x7ff);
  store<u64>(FIP, wide ? load<u64>(WORK, 8) : <u64>load<u32>(WORK, 8));
  store<u64>(FDP, wide ? load<u64>(WORK, 16) : <u64>load<u32>(WORK, 16));
  for (let i: usize = 0; i < 8; i++) {
    const r = stack(i), from = WORK + AT_ST + (i << 4);
    store<u64>(r, load<u64>(from));
    store<u16>(r, load<u16>(from, 8), 8);
  }
}
function initX87(): void {
  memory.fill(WORK, 0, 160);
  store<u16>(WORK, 0x37f);
  loadX87(true);
}
function imageSse(): void { for (let i: usize = 0; i < vectors(); i++) v128.store(WORK + AT_XMM + (i << 4), v128.load(XMM + (i << 5))); }
function loadSse(): void { for (let i: usize = 0; i < vectors(); i++) v128.store(XMM + (i << 5), v128.load(WORK + AT_XMM + (i << 4))); }

function imageAvx(): void { for (let i: usize = 0; i < vectors(); i++) v128.store(WORK + AVX_OFFSET + (i << 4), v128.load(XMM + (i << 5), 16)); }
function loadAvx(): void { for (let i: usize = 0; i < vectors(); i++) v128.store(XMM + (i << 5), v128.load(WORK + AVX_OFFSET + (i << 4)), 16); }
function avxInUse(): bool {
  let all = i64x2.splat(0);
  for (let i: usize = 0; i < 16; i++) all = v128.or(all, v128.load(XMM + (i << 5), 16));
  return v128.any_true(all);
}

/** Bytes [from, to) of WORK to the guest's image; the caller has probed both ends. The address is 16-byte aligned. */
function copyOut(address: u64, from: usize, to: usize): void {
  for (let i = from; i < to; i += 8) {
    const p = writable<u64>(address + <u64>i);
    if (!p) return;
    store<u64>(p, load<u64>(WORK + i));
    commit(p);
  }
}
function copyIn(address: u64, from: usize, to: usize): bool {
  for (let i = from; i < to; i += 16) {
    const p = readable<v128>(address + <u64>i);
    if (!p) return false;
    v128.store(WORK + i, v128.load(p));
  }
  return true;
}
function mayWrite(address: u64, bytes: u64): bool { return writable<u64>(address) != 0 && writable<u64>(address + bytes - 8) != 0; }

// ------------------------------------------------------------------------------------------------ FXSAVE, FXRSTOR

export function fxsave(u: usize): void {
  const address = linear(u);
  if (address & 15) { raise(GP, 0); return; }
  if (!mayWrite(address, 512)) return;
  imageX87((prefixes(u) & PREFIX_REX_W) != 0);
  store<u32>(WORK, load<u32>(MXCSR), AT_MXCSR);
  store<u32>(WORK, MXCSR_MASK, AT_MXCSR + 4);
  imageSse();
  copyOut(address, 0, AT_XMM + (vectors() << 4));
}
export function fxrstor(u: usize): void {
  const address = linear(u);
  if (address & 15) { raise(GP, 0); return; }
  if (!copyIn(address, 0, 512)) return;
  if (load<u32>(WORK, AT_MXCSR) & ~MXCSR_MASK) { raise(GP, 0); return; }
  store<u32>(MXCSR, load<u32>(WORK, AT_MXCSR));
  loadX87((prefixes(u) & PREFIX_REX_W) != 0);
  loadSse();
}

// ------------------------------------------------------------------------------------------------ XSAVE

/** #UD without CR4.OSXSAVE, #NM with CR0.TS. */
function xsaveAllowed(): bool {
  if (!(load<u64>(CR4) & CR4_OSXSAVE)) { raise(UD, 0); return false; }
  if (load<u64>(CR0) & 8) { raise(NM, 0); return false; }
  return true;
}
/** Components that EDX:EAX asks for and XCR0 enables. */
// @ts-ignore: decorator
@inline function requested(): u64 { return (<u64>load<u32>(RAX) | (<u64>load<u32>(RDX) << 32)) & load<u64>(XCR0); }

function save(u: usize, compact: bool): void {
  if (!xsaveAllowed()) return;
  const address = linear(u), components = requested(), used = components & (avxInUse() ? 7 : 3);
  if (address & 63) { raise(GP, 0); return; }
  if (!mayWrite(address, xsaveBytes(compact ? used : components))) return;
  const header = readable<u64>(address + AT_HEADER);
  if (!header) return;
  const kept = compact ? 0 : load<u64>(header) & ~components;
  if (components & X87_STATE) {
    imageX87((prefixes(u) & PREFIX_REX_W) != 0);
    copyOut(address, 0, AT_MXCSR);
    copyOut(address, AT_ST, AT_XMM);
  }
  // MXCSR goes with either vector component in the standard form, with SSE alone in the compacted one (SDM 1 §13.7, §13.10).
  if (components & (compact ? SSE_STATE : SSE_STATE | AVX_STATE)) {
    store<u32>(WORK, load<u32>(MXCSR), AT_MXCSR);
    store<u32>(WORK, MXCSR_MASK, AT_MXCSR + 4);
    copyOut(address, AT_MXCSR, AT_ST);
  }
  if (components & SSE_STATE) {
    imageSse();
    copyOut(address, AT_XMM, AT_XMM + (vectors() << 4));
  }
  if ((compact ? used : components) & AVX_STATE) {
    imageAvx();
    copyOut(address, AVX_OFFSET, AVX_OFFSET + (vectors() << 4));
  }
  store<u64>(WORK, kept | used, AT_HEADER);
  store<u64>(WORK, COMPACTED | components, AT_HEADER + 8);
  copyOut(address, AT_HEADER, compact ? AT_HEADER + 16 : AT_HEADER + 8);
}
/** XSAVE and XSAVEOPT (which may save as much as XSAVE); XSAVEC. */
export function xsave(u: usize): void { save(u, false); }
export function xsavec(u: usize): void { save(u, true); }

/** Whether the header in WORK is one that XRSTOR takes (SDM 1 §13.8). */
function headerIsGood(): bool {
  const present = load<u64>(WORK, AT_HEADER), form = load<u64>(WORK, AT_HEADER + 8);
  for (let i: usize = 16; i < 64; i += 8) if (load<u64>(WORK + AT_HEADER + i) && (i < 24 || (form & COMPACTED))) return false;
  if (!(form & COMPACTED)) return form == 0 && !(present & ~load<u64>(XCR0));
  return !(form & ~COMPACTED & ~load<u64>(XCR0)) && !(present & ~form);
}
export function xrstor(u: usize): void {
  if (!xsaveAllowed()) return;
  const address = linear(u), components = requested();
  if (address & 63) { raise(GP, 0); return; }
  if (!copyIn(address, 0, AVX_OFFSET)) return;
  if (!headerIsGood()) { raise(GP, 0); return; }
  const present = load<u64>(WORK, AT_HEADER), compact = (load<u64>(WORK, AT_HEADER + 8) & COMPACTED) != 0;
  if ((components & present & AVX_STATE) && !copyIn(address, AVX_OFFSET, AVX_OFFSET + AVX_BYTES)) return;
  if (components & (compact ? SSE_STATE : SSE_STATE | AVX_STATE)) {
    // The standard form loads MXCSR whether or not the component is present; the compacted one resets it.
    const mxcsr = compact && !(present & SSE_STATE) ? 0x1f80 : load<u32>(WORK, AT_MXCSR);
    if (mxcsr & ~MXCSR_MASK) { raise(GP, 0); return; }
    store<u32>(MXCSR, mxcsr);
  }
  if (components & SSE_STATE) {
    if (!(present & SSE_STATE)) memory.fill(WORK + AT_XMM, 0, 256);
    loadSse();
  }
  if (components & AVX_STATE) {
    if (!(present & AVX_STATE)) memory.fill(WORK + AVX_OFFSET, 0, AVX_BYTES);
    loadAvx();
  }
  if (components & X87_STATE) {
    if (present & X87_STATE) loadX87((prefixes(u) & PREFIX_REX_W) != 0); else initX87();
  }
}

export function xgetbv(u: usize): void {
  if (!(load<u64>(CR4) & CR4_OSXSAVE)) { raise(UD, 0); return; }
  const index = load<u32>(RCX);
  if (index > (has(HAS_XGETBV1) ? <u32>1 : 0)) { raise(GP, 0); return; }
  // ECX = 1 asks for XCR0 & XINUSE.
  store<u64>(RAX, <u64>(load<u32>(XCR0) & (!index || avxInUse() ? 7 : 3)));
  store<u64>(RDX, <u64>load<u32>(XCR0, 4));
}
export function xsetbv(u: usize): void {
  if (!(load<u64>(CR4) & CR4_OSXSAVE)) { raise(UD, 0); return; }
  const value = <u64>load<u32>(RAX) | (<u64>load<u32>(RDX) << 32);
  // AVX without SSE is no state (SDM 1 §13.3).
  if (load<u32>(CPL) || load<u32>(RCX) || !(value & X87_STATE) || (value & ~supportedState()) || (value & (SSE_STATE | AVX_STATE)) == AVX_STATE) { raise(GP, 0); return; }
  store<u64>(XCR0, value);
}
