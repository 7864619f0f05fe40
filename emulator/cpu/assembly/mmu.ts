import { HAS_LM, HAS_PAT, HAS_PDPE1GB, HAS_PSE36 } from "../../../build/generated/cpu/features";
import { forgetJumps, forgetJumpsTo, invalidateCode } from "./blocks";
import { pageWatched, watchpointCount, watchStops } from "./debugger";
import { AC, fault, GP, PF, raise, raiseNonCanonical } from "./fault";
import { mmioRead, mmioWrite } from "./host";
import {
  A20, APIC_BASE, CODE_BITMAP, CR0, CR2, CR3, CR4, DR, EFER, IN_SMM, MODE, RAM_BASE, RAM_SIZE, READ_SCRATCH, RFLAGS, SMRAM, TLB_BANK_BYTES, TLB_BASE,
  TLB_BYTES, TLB_ENTRIES, VIDEO_AT, VIDEO_BANK, VIDEO_DIRTY, VIDEO_SIZE, VIDEO_WINDOW, WRITE_SCRATCH,
} from "./layout";
import { alignmentChecked, selectBank, tlbExecute, tlbRead, tlbSlot, tlbWrite } from "./memory";
import {
  canonical, CR0_PG, CR0_WP, CR4_DE, CR4_PAE, CR4_PGE, CR4_PSE, CR4_SMAP, CR4_SMEP, EFER_LMA, EFER_NXE, FLAG_AC, MODE_64,
} from "./mode";
import { beyondPhysical, has } from "./model";

/**
 * Paging and everything the TLB fast paths of memory.ts do not do: page walks, faults, page-crossing and MMIO accesses,
 * stores into pages that hold decoded code (SDM 3A chapter 4).
 *
 * The TLB holds what the current CR0, CR3, CR4 and EFER permit, so a change of a permission bit flushes it. An entry is in the
 * write array only when its page is writable, dirty, in RAM and free of decoded code; a page of video memory, only since it was
 * written after the last look at the screen (`watchVideo`).
 * Guest-physical space: RAM from 0, then MMIO up to 4 GiB (the board's), then nothing, which reads as all ones. The display's
 * memory is in it where the board says. A walk ends in a place: an offset from RAM_BASE, of RAM or, beyond it, of video memory;
 * or, with bit 63 set, the guest-physical address of something else.
 * Every MOV to CR3 drops what is not global, PCIDs or not. Not modelled: protection keys, 5-level paging, paging-structure
 * caches and memory types.
 */

/** Access kinds are the bits of a page-fault error code (SDM 3A §4.7). */
const PRESENT: u32 = 1, WRITE: u32 = 2, USER: u32 = 4, RESERVED: u32 = 8, FETCH: u32 = 16;
const PTE_P: u64 = 1, PTE_RW: u64 = 2, PTE_US: u64 = 4, PTE_A: u64 = 0x20, PTE_D: u64 = 0x40, PTE_PS: u64 = 0x80, PTE_G: u64 = 0x100;
const PTE_NX: u64 = 1 << 63;
/** Bits 12-51 of an entry: those beyond MAXPHYADDR (model.ts) are reserved. */
const ADDRESS_FIELD: u64 = 0x000ffffffffff000;
const ENTRY_ADDRESS: u64 = 0x0000007ffffff000;
const INVALID: u64 = <u64>-1;

/** @12 of a TLB entry: bit 0 global, bits 8-15 log2 of the size of the guest's page. */
export const TLB_GLOBAL: u32 = 1;

/** The page is neither RAM nor video memory: the rest of the place is its guest-physical address. */
const OUTSIDE: u64 = 1 << 63;
/** The legacy window of a VGA display. */
const WINDOW_AT: u64 = 0xa0000;

// The last successful walk: place of the page, rights of the path (RW and US of all levels, D and G of the leaf, NX of any), page size.
let frame: u64 = 0;
let rights: u64 = 0;
let pageShift: u32 = 12;
/** The leaf's accessed and dirty bits are in: the write array may hold this page. */
const path: usize = memory.data(4 * 8);

/** Slots filled with non-global entries since the last flush, so that a CR3 write costs what was used. */
const FILL_CAPACITY: u32 = 2048;
const fills: usize = memory.data(2048 * 4);
let fillCount: u32 = 0;
/** User pages that the supervisor bank holds because RFLAGS.AC is set (SMAP); overflow clears the bank. */
const SMAP_CAPACITY: u32 = 32;
const smapFills: usize = memory.data(32 * 4);
let smapCount: u32 = 0;
/**
 * One bit per hashed region of which the TLB may hold pieces of a large page: 2 MiB regions of 2 MiB pages, then 1 GiB regions
 * of larger ones (4 MiB, 1 GiB), 128 bytes each; first those of global pages, then the others.
 */
const largeRegions: usize = memory.data(512);

// ------------------------------------------------------------------------------------------------ walks

/** Reads RAM; what lies outside reads as all ones. */
export function physical64(address: u64): u64 {
  if (address + 8 > <u64>load<u32>(RAM_SIZE)) return <u64>-1;
  return load<u64>(RAM_BASE + <usize>address);
}
function physical32(address: u64): u32 {
  if (address + 4 > <u64>load<u32>(RAM_SIZE)) return <u32>-1;
  return load<u32>(RAM_BASE + <usize>address);
}
/** Sets bits of a paging-structure entry; writes only when something changes. */
function mark(place: u64, bits: u8): void {
  if (place + 8 > <u64>load<u32>(RAM_SIZE)) return;
  const host = RAM_BASE + <usize>place, old = load<u8>(host);
  if ((old & bits) != bits) store<u8>(host, old | bits);
}
// @ts-ignore: decorator
@inline function gate20(address: u64): u64 { return load<u32>(A20) ? address : address & ~0x100000; }

function pageFault(linear: u64, code: u32): bool {
  if (fault) return false;
  // The I/D bit exists only while instruction fetches can be forbidden.
  const cr4 = load<u64>(CR4);
  if (!((cr4 & CR4_SMEP) || ((cr4 & CR4_PAE) && (load<u64>(EFER) & EFER_NXE)))) code &= ~FETCH;
  store<u64>(CR2, linear);
  raise(PF, code);
  return false;
}

/** Walks to the page of a linear address for an access; sets frame, rights and pageShift, or records a fault. */
function walk(linear: u64, access: u32): bool {
  if (!walkTables(linear, access)) return false;
  frame = placeOf(frame);
  return true;
}
function placeOf(physical: u64): u64 {
  const ram = <u64>load<u32>(RAM_SIZE);
  // SMRAM lies behind the legacy window.
  if (physical - WINDOW_AT < 0x20000 && (load<u32>(SMRAM) & (load<u32>(IN_SMM) ? 1 : 2))) return physical;
  if (physical - WINDOW_AT < <u64>load<u32>(VIDEO_WINDOW)) {
    const bank = load<u32>(VIDEO_BANK);
    return bank == <u32>-1 ? OUTSIDE | physical : ram + bank + (physical - WINDOW_AT);
  }
  if (physical < ram) return physical;
  const offset = physical - <u64>load<u32>(VIDEO_AT);
  return offset < <u64>load<u32>(VIDEO_SIZE) ? ram + offset : OUTSIDE | physical;
}

/** The same, as far as the guest-physical page. */
function walkTables(linear: u64, access: u32): bool {
  if (!(load<u64>(CR0) & CR0_PG)) {
    frame = gate20(linear & 0xfffff000); rights = PTE_P | PTE_RW | PTE_US | PTE_A | PTE_D; pageShift = 12;
    return true;
  }
  if (load<u64>(EFER) & EFER_LMA) {
    if (!canonical(linear)) { raiseNonCanonical(); return false; }
    return walkWide(linear, access, load<u64>(CR3) & ENTRY_ADDRESS, 39, PTE_RW | PTE_US);
  }
  if (load<u64>(CR4) & CR4_PAE) return walkPae(linear, access);
  return walkNarrow(linear, access);
}

/** Whether the path's rights allow the access (SDM 3A §4.6.1). */
function permitted(access: u32, nx: u64, all: u64): bool {
  const user = (access & USER) != 0, userPage = (all & PTE_US) != 0;
  if (user && !userPage) return false;
  if (access & FETCH) return !(nx & PTE_NX) && (user || !userPage || !(load<u64>(CR4) & CR4_SMEP));
  if ((access & WRITE) && !(all & PTE_RW) && (user || (load<u64>(CR0) & CR0_WP))) return false;
  return user || !userPage || !(load<u64>(CR4) & CR4_SMAP) || (load<u64>(RFLAGS) & FLAG_AC) != 0;
}

/** Levels of 64-bit entries from `shift` down: all of 4-level paging, the lower two of PAE (SDM 3A §4.4, §4.5). */
function walkWide(linear: u64, access: u32, table: u64, top: u64, all: u64): bool {
  const reservedNx: u64 = load<u64>(EFER) & EFER_NXE ? 0 : PTE_NX;
  // PAE's entries have no ignored bits above the address (SDM 3A table 4-9): bits 52-62 are reserved.
  const reservedAlways = (ADDRESS_FIELD & beyondPhysical()) | reservedNx | (top == 39 ? 0 : 0x7ff0000000000000);
  let nx: u64 = 0, depth: usize = 0;
  for (let shift = top; ; shift -= 9) {
    const place = gate20(table + (((linear >> shift) & 511) << 3));
    const entry = physical64(place);
    if (!(entry & PTE_P)) return pageFault(linear, access);
    const large = (entry & PTE_PS) != 0 && shift != 12;
    let reserved = reservedAlways;
    if (large) reserved |= shift == 39 || (shift == 30 && !has(HAS_PDPE1GB)) ? PTE_PS : ((<u64>1 << shift) - 1) & 0x3fffe000;
    if (entry & reserved) return pageFault(linear, access | PRESENT | RESERVED);
    all &= entry; nx |= entry;
    if (!large && shift != 12) {
      store<u64>(path + depth, place); depth += 8;
      table = entry & ENTRY_ADDRESS;
      continue;
    }
    if (!permitted(access, nx, all)) return pageFault(linear, access | PRESENT);
    for (let i: usize = 0; i < depth; i += 8) mark(load<u64>(path + i), <u8>PTE_A);
    mark(place, <u8>(access & WRITE ? PTE_A | PTE_D : PTE_A));
    const within: u64 = (<u64>1 << shift) - 1;
    frame = gate20((entry & ENTRY_ADDRESS & ~within) | (linear & within & ~0xfff));
    rights = all | (entry & (PTE_D | PTE_G)) | (access & WRITE ? PTE_D : 0);
    pageShift = <u32>shift;
    return true;
  }
}

/** The four page-directory pointers are read with each walk rather than held (SDM 3A §4.4.1 lets either be seen after MOV CR3). */
function walkPae(linear: u64, access: u32): bool {
  const entry = physical64(gate20((load<u64>(CR3) & 0xffffffe0) + (((linear >> 30) & 3) << 3)));
  if (!(entry & PTE_P)) return pageFault(linear, access);
  if (entry & (0xfff00000000001e6 | (ADDRESS_FIELD & beyondPhysical()))) return pageFault(linear, access | PRESENT | RESERVED);
  return walkWide(linear, access, entry & ENTRY_ADDRESS, 21, PTE_RW | PTE_US);
}

/** Reserved bits of a 4 MiB page: what PSE-36 does not use for the address, and bit 12 where there is no PAT (SDM 3A §4.3). */
function reservedInLarge(): u64 {
  const address: u64 = has(HAS_LM) ? 0x300000 : has(HAS_PSE36) ? 0x3e0000 : 0x3fe000;
  return has(HAS_PAT) ? address : address | 0x1000;
}

/** 32-bit paging with 4 KiB pages and, under CR4.PSE, 4 MiB pages with 39-bit addresses (SDM 3A §4.3). */
function walkNarrow(linear: u64, access: u32): bool {
  const directoryPlace = gate20((load<u64>(CR3) & 0xfffff000) + (((linear >> 22) & 1023) << 2));
  const directory = <u64>physical32(directoryPlace);
  if (!(directory & PTE_P)) return pageFault(linear, access);
  let place = directoryPlace, entry = directory, all: u64 = (PTE_RW | PTE_US) & directory, page: u64, shift: u32 = 22;
  if ((directory & PTE_PS) && (load<u64>(CR4) & CR4_PSE)) {
    if (directory & reservedInLarge()) return pageFault(linear, access | PRESENT | RESERVED);
    page = (directory & 0xffc00000) | ((directory & 0xfe000) << 19) | (linear & 0x3ff000);
  } else {
    place = gate20((directory & 0xfffff000) + (((linear >> 12) & 1023) << 2));
    entry = <u64>physical32(place);
    if (!(entry & PTE_P)) return pageFault(linear, access);
    if ((entry & PTE_PS) && (load<u64>(CR4) & CR4_PSE) && !has(HAS_PAT)) return pageFault(linear, access | PRESENT | RESERVED);
    all &= entry; page = entry & 0xfffff000; shift = 12;
  }
  if (!permitted(access, 0, all)) return pageFault(linear, access | PRESENT);
  if (shift == 12) mark(directoryPlace, <u8>PTE_A);
  mark(place, <u8>(access & WRITE ? PTE_A | PTE_D : PTE_A));
  frame = gate20(page); pageShift = shift;
  rights = all | (entry & (PTE_D | PTE_G)) | (access & WRITE ? PTE_D : 0);
  return true;
}

// ------------------------------------------------------------------------------------------------ TLB

// @ts-ignore: decorator
@inline function inMemory(place: u64): bool { return !(place & OUTSIDE); }
// @ts-ignore: decorator
@inline function inRam(place: u64): bool { return place < <u64>load<u32>(RAM_SIZE); }
// @ts-ignore: decorator
@inline function userBank(): bool { return tlbRead != TLB_BASE; }
// @ts-ignore: decorator
@inline function hasCode(place: u64): bool { return load<u64>(CODE_BITMAP + ((<usize>place >> 12) << 3)) != 0; }

function setEntry(array: usize, linear: u64): void {
  const slot = tlbSlot(array, linear), page = linear & ~0xfff;
  store<u64>(slot, page);
  store<u32>(slot, <u32>(RAM_BASE + <usize>frame) - <u32>page, 8);
  const isGlobal = (rights & PTE_G) != 0 && (load<u64>(CR4) & CR4_PGE) != 0;
  store<u32>(slot, (isGlobal ? TLB_GLOBAL : 0) | (pageShift << 8), 12);
  if (!isGlobal) {
    if (fillCount < FILL_CAPACITY) store<u32>(fills + (fillCount << 2), <u32>slot);
    fillCount++;
  }
  if (pageShift > 12) {
    const kind: usize = isGlobal ? 0 : 256;
    if (pageShift == 21) markLarge(linear >> 21, kind); else markLarge(linear >> 30, kind + 128);
  }
}
function markLarge(region: u64, at: usize): void {
  const place = largeRegions + at + (<usize>(region >> 3) & 127);
  store<u8>(place, load<u8>(place) | <u8>(<u32>1 << (<u32>region & 7)));
}
function mayBeLarge(region: u64, at: usize): bool {
  const place = largeRegions + at + (<usize>(region >> 3) & 127);
  return ((load<u8>(place) | load<u8>(place, 256)) & <u8>(<u32>1 << (<u32>region & 7))) != 0;
}

/** Puts the page just walked into the read array and, when nothing stands against it, the write array. */
function fill(linear: u64, write: u32): void {
  if (!inMemory(frame)) return;
  const video = !inRam(frame);
  if (video && write) store<u8>(VIDEO_DIRTY + <usize>((frame - <u64>load<u32>(RAM_SIZE)) >> 12), 1);
  if (alignmentChecked || watched(linear)) return;
  setEntry(tlbRead, linear);
  const user = userBank();
  const writable = (rights & PTE_D) && ((rights & PTE_RW) || (!user && !(load<u64>(CR0) & CR0_WP))) && !hasCode(frame);
  if (writable && (write || !video)) setEntry(tlbWrite, linear);
  if (!user && (rights & PTE_US) && (load<u64>(CR4) & CR4_SMAP) && (load<u64>(CR0) & CR0_PG)) {
    if (smapCount < SMAP_CAPACITY) store<u32>(smapFills + (smapCount << 2), <u32>linear >> 12);
    smapCount++;
  }
}

/** RFLAGS.AC may have become 0: user pages leave the supervisor bank again (SDM 3A §4.6.1). */
export function closeSmapWindow(): void {
  if (!smapCount || (load<u64>(RFLAGS) & FLAG_AC)) return;
  if (smapCount > SMAP_CAPACITY) memory.fill(TLB_BASE, 0xff, 2 * TLB_BYTES);
  else for (let i: u32 = 0; i < smapCount; i++) {
    const slot = (load<u32>(smapFills + (i << 2)) & (TLB_ENTRIES - 1)) << 4;
    store<u64>(TLB_BASE + slot, INVALID); store<u64>(TLB_BASE + TLB_BYTES + slot, INVALID);
  }
  smapCount = 0;
}

/** Empties the TLB, except for global pages when `keepGlobal`. */
export function flushTlb(keepGlobal: bool): void {
  forgetJumps(keepGlobal);
  if (!keepGlobal) {
    memory.fill(TLB_BASE, 0xff, 2 * TLB_BANK_BYTES);
    memory.fill(largeRegions, 0, 512);
    smapCount = 0;
  } else if (fillCount <= FILL_CAPACITY) {
    for (let i: u32 = 0; i < fillCount; i++) store<u64>(load<u32>(fills + (i << 2)), INVALID);
  } else {
    for (let slot = TLB_BASE; slot < TLB_BASE + 2 * TLB_BANK_BYTES; slot += 16) {
      if (!(load<u32>(slot, 12) & TLB_GLOBAL)) store<u64>(slot, INVALID);
    }
  }
  memory.fill(largeRegions + 256, 0, 256);
  fillCount = 0;
}

/** INVLPG: drops the page of a linear address, global or not, and every piece of a large page around it. */
export function invalidatePage(linear: u64): void {
  forgetJumpsTo(linear);
  const page = linear & ~0xfff;
  for (let array = TLB_BASE; array < TLB_BASE + 2 * TLB_BANK_BYTES; array += TLB_BYTES) {
    const slot = tlbSlot(array, linear);
    if (load<u64>(slot) == page) store<u64>(slot, INVALID);
  }
  if (!mayBeLarge(linear >> 21, 0) && !mayBeLarge(linear >> 30, 128)) return;
  forgetJumps(false);
  for (let slot = TLB_BASE; slot < TLB_BASE + 2 * TLB_BANK_BYTES; slot += 16) {
    const shift = <u64>((load<u32>(slot, 12) >> 8) & 63);
    if (shift > 12 && (load<u64>(slot) >> shift) == (linear >> shift)) store<u64>(slot, INVALID);
  }
}

/** Whether address bit 20 is let through, and which accesses below 1 MiB are SMRAM's (layout.ts), from now on. */
export function setA20(open: u32): void { if (open != load<u32>(A20)) { store<u32>(A20, open); flushTlb(false); } }
export function setSmram(open: u32): void { if (open != load<u32>(SMRAM)) { store<u32>(SMRAM, open); flushTlb(false); } }

/** The display's memory, or the legacy window on it, answers somewhere else from now on. */
export function placeVideo(at: u32, size: u32, window: u32, bank: u32): void {
  store<u32>(VIDEO_AT, at);
  store<u32>(VIDEO_SIZE, size);
  store<u32>(VIDEO_WINDOW, window);
  store<u32>(VIDEO_BANK, bank);
  flushTlb(false);
}

/** Someone has looked at which pages of video memory were written: the next store to each of them is to be seen again. */
export function watchVideo(): void {
  const video = <u32>RAM_BASE + load<u32>(RAM_SIZE);
  for (let bank = TLB_BASE + TLB_BYTES; bank < TLB_BASE + 2 * TLB_BANK_BYTES; bank += TLB_BANK_BYTES) {
    for (let slot = bank; slot < bank + TLB_BYTES; slot += 16) {
      if (load<u64>(slot) != INVALID && <u32>load<u64>(slot) + load<u32>(slot, 8) >= video) store<u64>(slot, INVALID);
    }
  }
}

/** Code was decoded from a page of RAM for the first time: stores to it must be seen from now on. */
export function protectCodePage(ramPage: u32): void {
  const host = <u32>(RAM_BASE + (<usize>ramPage << 12));
  for (let bank = TLB_BASE + TLB_BYTES; bank < TLB_BASE + 2 * TLB_BANK_BYTES; bank += TLB_BANK_BYTES) {
    for (let slot = bank; slot < bank + TLB_BYTES; slot += 16) {
      if (<u32>load<u64>(slot) + load<u32>(slot, 8) == host) store<u64>(slot, INVALID);
    }
  }
}

// ------------------------------------------------------------------------------------------------ accesses

/** Finds the place of a linear address for a data access, filling the TLB; false after a fault. The place is in `found`. */
let found: u64 = 0;
function translate(linear: u64, write: u32): bool {
  const slot = tlbSlot(write ? tlbWrite : tlbRead, linear);
  if (load<u64>(slot) == (linear & ~0xfff)) {
    found = <u64>(<u32>linear + load<u32>(slot, 8) - <u32>RAM_BASE);
    return true;
  }
  if (!walk(linear, (userBank() ? USER : 0) | write)) return false;
  fill(linear, write);
  found = frame | (linear & 0xfff);
  return true;
}

/** The page after the one that holds `linear`; 32-bit linear addresses wrap. */
function nextPage(linear: u64): u64 {
  const next = (linear | 0xfff) + 1;
  return next == 0x100000000 && !(load<u32>(MODE) & MODE_64) ? 0 : next;
}

/** Nothing answers: above 4 GiB, and where the local APIC was before it went over to x2APIC mode (SDM 3A §10.12.2). */
function silent(address: u64): bool {
  return (address >> 32) != 0 || (address >> 12 == 0xfee00 && (load<u64>(APIC_BASE) & 0xc00) == 0xc00);
}
/** Copies from a place within one page. */
function copyIn(to: usize, from: u64, size: u32): void {
  if (inMemory(from)) { memory.copy(to, RAM_BASE + <usize>from, size); return; }
  if (silent(from & ~OUTSIDE)) { memory.fill(to, 0xff, size); return; }
  for (let at: u32 = 0; at < size; ) {
    const step = pieceSize(<u32>from + at, size - at), value = mmioRead(<u32>from + at, step);
    if (step == 4) store<u32>(to + at, value);
    else if (step == 2) store<u16>(to + at, <u16>value);
    else store<u8>(to + at, <u8>value);
    at += step;
  }
}
function copyOut(to: u64, from: usize, size: u32): void {
  if (inMemory(to)) { memory.copy(RAM_BASE + <usize>to, from, size); return; }
  if (silent(to & ~OUTSIDE)) return;
  for (let at: u32 = 0; at < size; ) {
    const step = pieceSize(<u32>to + at, size - at);
    mmioWrite(<u32>to + at, step, step == 4 ? load<u32>(from + at) : step == 2 ? <u32>load<u16>(from + at) : <u32>load<u8>(from + at));
    at += step;
  }
}
/** The largest of 4, 2, 1 that is left; a whole 2- or 4-byte access stays one even when it is misaligned. */
function pieceSize(address: u32, left: u32): u32 {
  if (left == 1 || left == 3 && (address & 1)) return 1;
  return left >= 4 ? 4 : 2;
}

/** An operand that ends beyond the canonical half is #GP before any of it is translated; #AC where it is misaligned and begins within (tried on a Xeon). */
// @ts-ignore: decorator
@inline function spanCanonical(address: u64, size: u32): bool {
  if (canonical(address + size - 1) || !(load<u32>(MODE) & MODE_64)) return true;
  if (!canonical(address) || aligned(address, size)) raiseNonCanonical();
  return false;
}
/** An instruction that never raises #AC is under way: gathers, masked moves, VCVTPH2PS, VCVTPS2PH (SDM 2C, their exceptions). */
let exempt: bool = false;
export function exemptFromAlignment(on: bool): void { exempt = on; }
/** #AC(0) where alignment is checked: operands of 2, 4 and 8 bytes (SDM 3A table 6-7). */
// @ts-ignore: decorator
@inline function aligned(address: u64, size: u32): bool {
  if (!alignmentChecked || exempt || size > 8 || !(<u32>address & (size - 1))) return true;
  raise(AC, 0);
  return false;
}

/** A read that missed the TLB: host address of the bytes, or of a copy of them; 0 after a fault. */
export function slowRead(address: u64, size: u32): usize {
  if (!spanCanonical(address, size) || !translate(address, 0) || !aligned(address, size)) return 0;
  const first = <u32>0x1000 - (<u32>address & 0xfff), start = found;
  if (watchpointCount && watchStops(address, size, false)) return 0;
  checkWatch(address, size, 3);
  if (size <= first) {
    if (inMemory(start)) return RAM_BASE + <usize>start;
    copyIn(READ_SCRATCH, start, size);
    return READ_SCRATCH;
  }
  if (!translate(nextPage(address), 0)) return 0;
  const rest = found;
  copyIn(READ_SCRATCH, start, first);
  copyIn(READ_SCRATCH + first, rest, size - first);
  return READ_SCRATCH;
}

// The open write: where its bytes go at commit.
let openStart: u64 = 0, openRest: u64 = 0, openFirst: u32 = 0, openSize: u32 = 0;

/** A write that missed the TLB: host address that may be read and stored to, then `commit`; 0 after a fault. */
export function slowWrite(address: u64, size: u32): usize { return openWrite(address, size, true); }
/** The same for a store of every byte: nothing is read, which a device would notice. */
export function slowStore(address: u64, size: u32): usize { return openWrite(address, size, false); }

function openWrite(address: u64, size: u32, reads: bool): usize {
  if (!spanCanonical(address, size) || !translate(address, WRITE) || !aligned(address, size)) return 0;
  const first = <u32>0x1000 - (<u32>address & 0xfff), start = found;
  if (watchpointCount && watchStops(address, size, true)) return 0;
  if (size <= first) {
    checkWatch(address, size, 1);
    if (inMemory(start)) {
      noteStore(<u32>start, size);
      return RAM_BASE + <usize>start;
    }
    openStart = start; openFirst = openSize = size;
    if (reads) copyIn(WRITE_SCRATCH, start, size);
    return WRITE_SCRATCH;
  }
  if (!translate(nextPage(address), WRITE)) return 0;
  checkWatch(address, size, 1);
  openStart = start; openRest = found; openFirst = first; openSize = size;
  if (inMemory(openStart)) noteStore(<u32>openStart, first);
  if (inMemory(openRest)) noteStore(<u32>openRest, size - first);
  if (reads) {
    copyIn(WRITE_SCRATCH, openStart, first);
    copyIn(WRITE_SCRATCH + first, openRest, size - first);
  }
  return WRITE_SCRATCH;
}

/** Stores the bytes of WRITE_SCRATCH where they belong. */
export function commitSlow(): void {
  copyOut(openStart, WRITE_SCRATCH, openFirst);
  if (openSize > openFirst) copyOut(openRest, WRITE_SCRATCH + openFirst, openSize - openFirst);
}

/** A store within one page of RAM: decoded code among the bytes is dropped. */
function noteStore(address: u32, size: u32): void {
  const granules = load<u64>(CODE_BITMAP + ((address >> 12) << 3));
  if (!granules) return;
  const low = (address >> 6) & 63, high = ((address + size - 1) >> 6) & 63;
  if ((granules >> low) & (((<u64>2) << (high - low)) - 1)) invalidateCode(address, size);
}

/** Host address of the code byte at a linear address; 0 after a fault. Fetching outside RAM is #GP: nothing there is code. */
export function fetchHost(address: u64): usize {
  const slot = tlbSlot(tlbExecute, address);
  if (load<u64>(slot) == (address & ~0xfff)) return <usize>(<u32>address + load<u32>(slot, 8));
  if (!walk(address, (userBank() ? USER : 0) | FETCH)) return 0;
  if (!inRam(frame)) { raise(GP, 0); return 0; }
  setEntry(tlbExecute, address);
  return RAM_BASE + <usize>(frame | (address & 0xfff));
}

/** Guest-physical address of a host address within RAM. */
// @ts-ignore: decorator
@inline export function physicalOf(host: usize): u32 { return <u32>(host - RAM_BASE); }

/** Supervisor-mode reads of system structures, whatever CPL is (SDM 3A §4.6.1 "implicit"): host address or 0 after a fault. */
export function systemRead(address: u64, size: u32): usize {
  const user = userBank();
  selectBank(0);
  const place = slowRead(address, size);
  selectBank(user ? 3 : 0);
  return place;
}
/** The same to write; finish with `commit`. */
export function systemWrite(address: u64, size: u32): usize {
  const user = userBank();
  selectBank(0);
  const place = slowWrite(address, size);
  selectBank(user ? 3 : 0);
  return place;
}

// ------------------------------------------------------------------------------------------------ data breakpoints

/** DR6 bits of data breakpoints that the current instruction has hit; delivered as a trap when it has ended. */
export let watchHits: u32 = 0;
export function clearWatchHits(): void { watchHits = 0; }

// @ts-ignore: decorator
@inline function dr7(): u32 { return <u32>load<u64>(DR, 56); }

/** Whether an armed data breakpoint, or a watchpoint of the debugger's, lies in the page of this address: such pages stay out of the TLB. */
function watched(linear: u64): bool {
  if (watchpointCount && pageWatched(linear)) return true;
  const control = dr7();
  if (!(control & 0xff)) return false;
  for (let i: u32 = 0; i < 4; i++) {
    if (((control >> (i * 2)) & 3) && ((control >> (16 + i * 4)) & 1) && ((load<u64>(DR + (i << 3)) ^ linear) & ~0xfff) == 0) return true;
  }
  return false;
}

/** The same for a port, where CR4.DE gives breakpoints on them: the kind 2 (SDM 3B §17.2.4). */
export function checkPort(port: u32, size: u32): void {
  const control = dr7();
  if (!(control & 0xff) || !(load<u64>(CR4) & CR4_DE)) return;
  for (let i: u32 = 0; i < 4; i++) {
    if (!((control >> (i * 2)) & 3) || ((control >> (16 + i * 4)) & 3) != 2) continue;
    const length = ((control >> (18 + i * 4)) & 3) + 1, start = load<u32>(DR + (i << 3)) & ~(length - 1);
    if (port < start + length && start < port + size) watchHits |= 1 << i;
  }
}

/** Records hits of an access of `kind` 1 (write) or 3 (read or write), SDM 3B §17.2.4, §17.2.5. */
function checkWatch(linear: u64, size: u32, kind: u32): void {
  const control = dr7();
  if (!(control & 0xff)) return;
  for (let i: u32 = 0; i < 4; i++) {
    if (!((control >> (i * 2)) & 3)) continue;
    const type = (control >> (16 + i * 4)) & 3, code = (control >> (18 + i * 4)) & 3;
    if (type != 3 && !(type == 1 && kind == 1)) continue;
    const length: u64 = code == 2 ? 8 : <u64>code + 1, start = load<u64>(DR + (i << 3)) & ~(length - 1);
    if (linear < start + length && start < linear + size) watchHits |= 1 << i;
  }
}
