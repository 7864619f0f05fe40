import { syncRetired } from "./control";
import { addressMask, checkSegment, segmented, segmentOf } from "./addressing";
import { raiseDebug } from "./debug";
import { fault, GP, NP, raise, UD } from "./fault";
import { changeArithmetic, setArithmetic, ZF } from "./flags";
import { closeStack, openCurrentStack, peek, popped, push, skip } from "./frames";
import { random32, readCr8, tsc, writeCr8 } from "./host";
import {
  CPL, CR0, CR2, CR3, CR4, CS, DR, EFER, FS, GDTR, GS, HALTED, HALTED_OPEN, IDTR, KERNEL_GS_BASE, LDTR, MODEL_CR0, MODEL_CR4, RAX, RCX, RDX, RFLAGS, SEG_ATTRIBUTES, SEG_BASE,
  SEG_SELECTOR, SEGMENTS, TR, TSC_AUX, TSC_OFFSET,
} from "./layout";
import { commit, readable, rmReadable, rmWritable, writable } from "./memory";
import { closeSmapWindow, flushTlb, invalidatePage, physical64 } from "./mmu";
import {
  canonical, CR4_PCIDE, CR0_CD, CR0_ET, CR0_NW, CR0_PE, CR0_PG, CR0_TS, CR0_WP, CR4_DE, CR4_FSGSBASE, CR4_PAE, CR4_PGE, CR4_PSE, CR4_SMAP, CR4_SMEP, CR4_TSD,
  CR4_UMIP, EFER_LMA, EFER_LME, FLAG_AC, FLAG_IF, iopl, longMode, mode64, realSegments, setInterruptShadow, updateMode, virtual8086,
} from "./mode";
import { beyondPhysical } from "./model";
import {
  descriptor, descriptorAddress, descriptorBase, descriptorDpl, descriptorLimit, descriptorUpper, isConforming, isPresent, isReadable,
  isWritableData, loadSegment, peekDescriptor, readDescriptor, readUpperDescriptor, setAccessByte, setNullSegment, setSegment, T_CALL, T_CALL16, T_LDT,
  T_TASK_GATE, T_TSS, T_TSS16, T_TSS16_BUSY, T_TSS_BUSY, typeOf,
} from "./segments";
import { linear, opcode, operandBytes, reg, rm } from "./uop";
import { changesVif, clearVif, raiseVif } from "./vme";

/** System instructions: segment registers, tables, control and debug registers, time, random numbers (SDM 2A, 2B). */

/** Writes a register or memory operand whose memory form is always 16 bits (SLDT, STR, SMSW, MOV Ev, Sw). */
function storeSelectorLike(u: usize, value: u64): void {
  const r = rm(u);
  if (r) {
    const bytes = operandBytes(u);
    if (bytes == 2) store<u16>(r, <u16>value);
    else store<u64>(r, bytes == 4 ? value & 0xffffffff : value);
    return;
  }
  const p = writable<u16>(linear(u));
  if (!p) return;
  store<u16>(p, <u16>value);
  commit(p);
}

/** #GP(0) when UMIP hides the system tables from CPL above 0. */
function hidden(): bool {
  if (!(load<u64>(CR4) & CR4_UMIP) || load<u32>(CPL) == 0) return false;
  raise(GP, 0);
  return true;
}
/** #UD where the protected-mode segment instructions do not exist. */
function noSelectors(): bool {
  if (!realSegments()) return false;
  raise(UD, 0);
  return true;
}
function notRing0(): bool {
  if (load<u32>(CPL) == 0) return false;
  raise(GP, 0);
  return true;
}

// ------------------------------------------------------------------------------------------------ segment registers

export function movFromSegment(u: usize): void { storeSelectorLike(u, load<u16>(reg(u))); }

export function movToSegment(u: usize): void {
  const number = <u32>(reg(u) - SEGMENTS) >> 5;
  if (number == 1) { raise(UD, 0); return; }
  const p = rmReadable<u16>(u);
  if (!p || !loadSegment(number, load<u16>(p))) return;
  if (number == 2) setInterruptShadow(2);
}

/** ES CS SS DS and FS GS by bits 3-5 of the opcode. */
// @ts-ignore: decorator
@inline function namedSegment(u: usize): u32 { return (opcode(u) >> 3) & 7; }

/** PUSH of a selector zero-extends it to the operand size (SDM 2B, PUSH, lets a processor write only 16 bits too). */
export function pushSegment(u: usize): void {
  openCurrentStack(0);
  if (push(<u64>load<u16>(SEGMENTS + (<usize>namedSegment(u) << 5)), operandBytes(u))) closeStack();
}
/** POP of a selector reads a word, whatever the operand size is that it releases (tried on a Xeon). */
export function popSegment(u: usize): void {
  const number = namedSegment(u);
  openCurrentStack(0);
  if (!peek(0, 2) || !loadSegment(number, <u32>popped)) return;
  skip(operandBytes(u));
  closeStack();
  if (number == 2) setInterruptShadow(2);
}

// ------------------------------------------------------------------------------------------------ descriptor tables

function storeTable(u: usize, table: usize): void {
  if (hidden()) return;
  const address = linear(u);
  // Both parts are probed, the limit's first, before either is written.
  if (!writable<u16>(address) || !(mode64() ? writable<u64>(address + 2) : writable<u32>(address + 2))) return;
  let p = writable<u16>(address);
  if (!p) return;
  store<u16>(p, load<u16>(table, 8));
  commit(p);
  p = mode64() ? writable<u64>(address + 2) : writable<u32>(address + 2);
  if (mode64()) store<u64>(p, load<u64>(table)); else store<u32>(p, load<u32>(table));
  commit(p);
}
function loadTable(u: usize, table: usize): void {
  const address = linear(u), wide = mode64();
  let p = readable<u16>(address);
  if (!p) return;
  const limit = load<u16>(p);
  p = wide ? readable<u64>(address + 2) : readable<u32>(address + 2);
  if (!p) return;
  let base = wide ? load<u64>(p) : <u64>load<u32>(p);
  if (!wide && operandBytes(u) == 2) base &= 0xffffff;
  if (wide && !canonical(base)) { raise(GP, 0); return; }
  store<u64>(table, base);
  store<u16>(table, limit, 8);
}
export function sgdt(u: usize): void { storeTable(u, GDTR); }
export function sidt(u: usize): void { storeTable(u, IDTR); }
export function lgdt(u: usize): void { loadTable(u, GDTR); }
export function lidt(u: usize): void { loadTable(u, IDTR); }

export function sldt(u: usize): void { if (!noSelectors() && !hidden()) storeSelectorLike(u, load<u16>(LDTR, SEG_SELECTOR)); }
export function str(u: usize): void { if (!noSelectors() && !hidden()) storeSelectorLike(u, load<u16>(TR, SEG_SELECTOR)); }

export function lldt(u: usize): void {
  if (noSelectors() || notRing0()) return;
  const p = rmReadable<u16>(u);
  if (!p) return;
  const selector = <u32>load<u16>(p);
  if (!(selector & 0xfffc)) { setNullSegment(LDTR, selector); return; }
  if (!readSystemSegment(selector, T_LDT, T_LDT)) return;
  setSystemSegment(LDTR, selector);
}
export function ltr(u: usize): void {
  if (noSelectors() || notRing0()) return;
  const p = rmReadable<u16>(u);
  if (!p) return;
  const selector = <u32>load<u16>(p);
  if (!(selector & 0xfffc)) { raise(GP, 0); return; }
  if (!readSystemSegment(selector, T_TSS, longMode() ? T_TSS : T_TSS16)) return;
  const busy = <u32>(descriptor >> 40) | 2;
  if (!setAccessByte(descriptorAddress, busy)) return;
  setSystemSegment(TR, selector);
  store<u16>(TR, load<u16>(TR, SEG_ATTRIBUTES) | 2, SEG_ATTRIBUTES);
}
/** Reads a descriptor of the GDT that must be of one of two types and present. False after a fault. */
function readSystemSegment(selector: u32, type: u32, otherType: u32): bool {
  const code = selector & 0xfffc;
  if (selector & 4) { raise(GP, code); return false; }
  if (!readDescriptor(selector, GP, 0)) return false;
  if (typeOf(descriptor) != type && typeOf(descriptor) != otherType) { raise(GP, code); return false; }
  if (!isPresent(descriptor)) { raise(NP, code); return false; }
  if (!longMode()) return true;
  if (!readUpperDescriptor(selector, GP, 0)) return false;
  if (canonical(descriptorBase(descriptor) | (descriptorUpper << 32))) return true;
  raise(GP, code);
  return false;
}
function setSystemSegment(segment: usize, selector: u32): void {
  setSegment(segment, selector, descriptor);
  if (longMode()) store<u64>(segment, descriptorBase(descriptor) | (descriptorUpper << 32), SEG_BASE);
}

// ------------------------------------------------------------------------------------------------ LAR LSL VERR VERW ARPL

function setZero(value: bool): void { changeArithmetic(value ? ZF : 0, ZF); }

/** Whether CPL and RPL may see the descriptor of a selector, which is then in `descriptor`. */
function visible(selector: u32): bool {
  if (!peekDescriptor(selector)) return false;
  const dpl = descriptorDpl(descriptor);
  return isConforming(descriptor) || (load<u32>(CPL) <= dpl && (selector & 3) <= dpl);
}
/** Types, as a bit set, whose access rights LAR and whose limits LSL tell (SDM 2A tables 3-53, 3-57). */
function answers(legacy: u32, long: u32): bool {
  const type = typeOf(descriptor);
  return type >= 16 || (((longMode() ? long : legacy) >> type) & 1) != 0;
}

export function lar(u: usize): void {
  if (noSelectors()) return;
  const p = rmReadable<u16>(u);
  if (!p) return;
  const types: u32 = 1 << T_TSS16 | 1 << T_LDT | 1 << T_TSS16_BUSY | 1 << T_CALL16 | 1 << T_TASK_GATE | 1 << T_TSS | 1 << T_TSS_BUSY | 1 << T_CALL;
  const found = visible(load<u16>(p)) && answers(types, 1 << T_LDT | 1 << T_TSS | 1 << T_TSS_BUSY | 1 << T_CALL);
  if (fault) return;
  setZero(found);
  if (found) storeReg(u, (descriptor >> 32) & 0x00ffff00);
}
export function lsl(u: usize): void {
  if (noSelectors()) return;
  const p = rmReadable<u16>(u);
  if (!p) return;
  const types: u32 = 1 << T_TSS16 | 1 << T_LDT | 1 << T_TSS16_BUSY | 1 << T_TSS | 1 << T_TSS_BUSY;
  const found = visible(load<u16>(p)) && answers(types, 1 << T_LDT | 1 << T_TSS | 1 << T_TSS_BUSY);
  if (fault) return;
  setZero(found);
  if (found) storeReg(u, descriptorLimit(descriptor));
}
function storeReg(u: usize, value: u64): void {
  if (operandBytes(u) == 2) store<u16>(reg(u), <u16>value); else store<u64>(reg(u), value);
}

export function verr(u: usize): void {
  if (noSelectors()) return;
  const p = rmReadable<u16>(u);
  if (!p) return;
  const readableSegment = visible(load<u16>(p)) && isReadable(descriptor);
  if (!fault) setZero(readableSegment);
}
export function verw(u: usize): void {
  if (noSelectors()) return;
  const p = rmReadable<u16>(u);
  if (!p) return;
  const writableSegment = visible(load<u16>(p)) && isWritableData(descriptor);
  if (!fault) setZero(writableSegment);
}
/** ARPL writes only when it raises the RPL: the table has it as a reader, and the segment's write check is made here. */
export function arpl(u: usize): void {
  if (noSelectors()) return;
  const read = rmReadable<u16>(u);
  if (!read) return;
  const wanted = load<u16>(reg(u)) & 3, old = load<u16>(read), raises = (old & 3) < wanted;
  if (raises) {
    const r = rm(u), number = segmentOf(u), address = linear(u);
    if (!r && !checkSegment(number, (address - load<u64>(SEGMENTS + (<usize>number << 5), SEG_BASE)) & 0xffffffff, 2, true)) return;
    const p = rmWritable<u16>(u);
    if (!p) return;
    store<u16>(p, (old & ~3) | wanted);
    if (!r) commit(p);
  }
  setZero(raises);
}

// ------------------------------------------------------------------------------------------------ control registers

/** CR4 came with the features that it controls. */
function noCr4(): bool {
  if (load<u32>(MODEL_CR4)) return false;
  raise(UD, 0);
  return true;
}

/** CR0, CR2, CR3, CR4 and CR8, at CPL 0; the others raise #UD before #GP. */
function mayUseControl(number: u32): bool {
  if (number != 0 && number != 2 && number != 3 && number != 4 && number != 8) { raise(UD, 0); return false; }
  if (load<u32>(CPL) == 0) return true;
  raise(GP, 0);
  return false;
}

export function movFromControl(u: usize): void {
  if (!mayUseControl(<u32>reg(u))) return;
  let value: u64;
  switch (<u32>reg(u)) {
    case 0: value = load<u64>(CR0); break;
    case 2: value = load<u64>(CR2); break;
    case 3: value = load<u64>(CR3); break;
    case 4: if (noCr4()) return; value = load<u64>(CR4); break;
    case 8: value = readCr8(); break;
    default: raise(UD, 0); return;
  }
  store<u64>(rm(u), mode64() ? value : value & 0xffffffff);
}

export function movToControl(u: usize): void {
  if (!mayUseControl(<u32>reg(u))) return;
  const value = mode64() ? load<u64>(rm(u)) : <u64>load<u32>(rm(u));
  switch (<u32>reg(u)) {
    case 0: writeCr0(value); break;
    case 2: store<u64>(CR2, value); break;
    case 3: writeCr3(value); break;
    case 4: if (!noCr4()) writeCr4(value); break;
    case 8: if (value > 15) raise(GP, 0); else writeCr8(<u32>value); break;
    default: raise(UD, 0);
  }
}

/** SDM 3A §2.5, §4.1.2; MOV CR0 with PG set under EFER.LME activates IA-32e mode (§10.8.5). */
function writeCr0(value: u64): void {
  const old = load<u64>(CR0), next = (value & <u64>load<u32>(MODEL_CR0)) | CR0_ET;
  const pg = (value & CR0_PG) != 0, efer = load<u64>(EFER);
  if (value >> 32 || (pg && !(value & CR0_PE)) || ((next & CR0_NW) && !(next & CR0_CD))) { raise(GP, 0); return; }
  if (pg && !(old & CR0_PG)) {
    if (efer & EFER_LME) {
      if (!(load<u64>(CR4) & CR4_PAE) || (load<u16>(CS, SEG_ATTRIBUTES) & 0x200)) { raise(GP, 0); return; }
      store<u64>(EFER, efer | EFER_LMA);
    } else if ((load<u64>(CR4) & CR4_PAE) && !validPointers(load<u64>(CR3))) return;
  } else if (!pg && (old & CR0_PG)) {
    if (mode64() || (load<u64>(CR4) & CR4_PCIDE)) { raise(GP, 0); return; }
    store<u64>(EFER, efer & ~EFER_LMA);
  }
  store<u64>(CR0, next);
  if ((old ^ next) & (CR0_PE | CR0_PG | CR0_WP)) flushTlb(false);
  updateMode();
}

/** PAE paging: a present page-directory pointer with reserved bits is #GP(0) (SDM 3A §4.4.1). */
function validPointers(cr3: u64): bool {
  for (let i: u64 = 0; i < 4; i++) {
    const entry = physical64((cr3 & 0xffffffe0) + (i << 3));
    if ((entry & 1) && (entry & (beyondPhysical() | 0x1e6))) { raise(GP, 0); return false; }
  }
  return true;
}

/** With PCIDs, bit 63 asks that nothing be dropped: the TLB knows no PCIDs, and drops all the same (SDM 3A §4.10.4.1). */
function writeCr3(written: u64): void {
  const value = load<u64>(CR4) & CR4_PCIDE ? written & ~(1 << 63) : written;
  if (longMode()) { if (value >> 39) { raise(GP, 0); return; } }
  else if ((load<u64>(CR0) & CR0_PG) && (load<u64>(CR4) & CR4_PAE) && !validPointers(value)) return;
  store<u64>(CR3, value);
  flushTlb((load<u64>(CR4) & CR4_PGE) != 0);
}

function writeCr4(value: u64): void {
  const old = load<u64>(CR4);
  if ((value & ~<u64>load<u32>(MODEL_CR4)) || (longMode() && !(value & CR4_PAE))) { raise(GP, 0); return; }
  // PCIDs begin in IA-32e mode, with that of 0.
  if ((value & ~old & CR4_PCIDE) && (!longMode() || (load<u64>(CR3) & 0xfff))) { raise(GP, 0); return; }
  const paging = CR4_PCIDE | CR4_PSE | CR4_PAE | CR4_PGE | CR4_SMEP | CR4_SMAP;
  if (!longMode() && (load<u64>(CR0) & CR0_PG) && (value & CR4_PAE) && ((old ^ value) & paging) && !validPointers(load<u64>(CR3))) return;
  store<u64>(CR4, value);
  if ((old ^ value) & paging) flushTlb(false);
  updateMode();
}

/** SMSW and LMSW: the low half of CR0. LMSW can set PE but not clear it. */
export function smsw(u: usize): void { if (!hidden()) storeSelectorLike(u, load<u64>(CR0)); }
export function lmsw(u: usize): void {
  const p = rmReadable<u16>(u);
  if (!p) return;
  const old = load<u64>(CR0);
  writeCr0((old & ~0xe) | (<u64>load<u16>(p) & 0xf));
}
export function clts(u: usize): void { store<u64>(CR0, load<u64>(CR0) & ~CR0_TS); }

export function invlpg(u: usize): void { invalidatePage(linear(u)); }

/** INVPCID: without CR4.PCIDE types 0 and 1 need PCID 0; what is dropped is at least what was asked (SDM 2A). */
export function invpcid(u: usize): void {
  const type = mode64() ? load<u64>(reg(u)) : <u64>load<u32>(reg(u)), address = linear(u);
  let p = readable<u64>(address);
  if (!p) return;
  const pcid = load<u64>(p);
  p = readable<u64>(address + 8);
  if (!p) return;
  const page = load<u64>(p);
  const most: u64 = load<u64>(CR4) & CR4_PCIDE ? 0xfff : 0;
  if (type > 3 || pcid > 0xfff || (type < 2 && pcid > most) || (type == 0 && !canonical(page))) { raise(GP, 0); return; }
  if (type == 0) invalidatePage(page);
  else flushTlb(type != 2);
}

// ------------------------------------------------------------------------------------------------ debug registers

/** DR4 and DR5 are DR6 and DR7 unless CR4.DE is set. 0xff: undefined. */
function debugNumber(u: usize): u32 {
  const number = <u32>reg(u);
  if (number > 7 || ((number & 6) == 4 && (load<u64>(CR4) & CR4_DE))) return 0xff;
  return (number & 6) == 4 ? number + 2 : number;
}
/** DR7.GD guards the debug registers (SDM 3B §17.2.4). True when it struck. */
function guarded(): bool {
  if (!(load<u64>(DR, 56) & 0x2000)) return false;
  store<u64>(DR, load<u64>(DR, 48) | 0x2000, 48);
  raiseDebug();
  return true;
}
export function movFromDebug(u: usize): void {
  const number = debugNumber(u);
  if (number == 0xff) { raise(UD, 0); return; }
  if (load<u32>(CPL) != 0) { raise(GP, 0); return; }
  if (guarded()) return;
  const value = load<u64>(DR + (<usize>number << 3));
  store<u64>(rm(u), mode64() ? value : value & 0xffffffff);
}
export function movToDebug(u: usize): void {
  const number = debugNumber(u), value = mode64() ? load<u64>(rm(u)) : <u64>load<u32>(rm(u));
  if (number == 0xff) { raise(UD, 0); return; }
  if (load<u32>(CPL) != 0) { raise(GP, 0); return; }
  if (guarded()) return;
  if (number >= 6 && value >> 32) { raise(GP, 0); return; }
  const stored = number == 6 ? (value & 0xe00f) | 0xffff0ff0 : number == 7 ? (value & 0xffff2bff) | 0x400 : value;
  store<u64>(DR + (<usize>number << 3), stored);
  // Watched pages leave the TLB, or may enter it again.
  flushTlb(false);
  updateMode();
}

// ------------------------------------------------------------------------------------------------ interrupts and halting

/** CLI and STI of programs that have IF itself (SDM 2A). */
function mayChangeIf(): bool {
  if (realSegments() ? !virtual8086() || iopl() == 3 : load<u32>(CPL) <= iopl()) return true;
  raise(GP, 0);
  return false;
}
export function cli(u: usize): void { if (changesVif()) clearVif(); else if (mayChangeIf()) store<u64>(RFLAGS, load<u64>(RFLAGS) & ~FLAG_IF); }
export function sti(u: usize): void {
  if (changesVif()) { raiseVif(); return; }
  if (!mayChangeIf()) return;
  const flags = load<u64>(RFLAGS);
  if (!(flags & FLAG_IF)) setInterruptShadow(1);
  store<u64>(RFLAGS, flags | FLAG_IF);
}
export function hlt(u: usize): void { store<u32>(HALTED, 1); }

/**
 * MONITOR and MWAIT (SDM 2B). The one processor is the only one that stores to the monitored line, and an interrupt that comes
 * between the two disarms, so that MWAIT waits for interrupts alone.
 */
let monitorArmed: bool = false;
export function disarmMonitor(): void { monitorArmed = false; }
function monitorForbidden(allowed: u32): bool {
  if (load<u32>(CPL)) raise(UD, 0);
  else if ((mode64() ? load<u64>(RCX) : <u64>load<u32>(RCX)) & ~<u64>allowed) raise(GP, 0);
  return fault != 0;
}
export function monitor(u: usize): void {
  if (monitorForbidden(0)) return;
  const address = segmented(segmentOf(u), load<u64>(RAX) & addressMask(u), 1, false);
  if (!fault && readable<u8>(address)) monitorArmed = true;
}
/** ECX bit 0: a masked interrupt ends the wait too. Without it nothing would where interrupts are off: MWAIT returns at once. */
export function mwait(u: usize): void {
  if (monitorForbidden(1) || !monitorArmed) return;
  monitorArmed = false;
  if (load<u32>(RCX) & 1) store<u32>(HALTED, HALTED_OPEN);
  else if (load<u64>(RFLAGS) & FLAG_IF) store<u32>(HALTED, 1);
}

/** CLAC and STAC are undefined above CPL 0. */
export function clac(u: usize): void {
  if (load<u32>(CPL)) { raise(UD, 0); return; }
  store<u64>(RFLAGS, load<u64>(RFLAGS) & ~FLAG_AC);
  closeSmapWindow();
}
export function stac(u: usize): void {
  if (load<u32>(CPL)) { raise(UD, 0); return; }
  store<u64>(RFLAGS, load<u64>(RFLAGS) | FLAG_AC);
}

/** INVD and WBINVD: memory is always coherent here. */
export function flushCaches(u: usize): void {}

// ------------------------------------------------------------------------------------------------ time, random numbers

export function now(): u64 { return <u64>tsc() + load<u64>(TSC_OFFSET); }
function setPair(value: u64): void { store<u64>(RAX, value & 0xffffffff); store<u64>(RDX, value >> 32); }

function timeHidden(): bool {
  if (!(load<u64>(CR4) & CR4_TSD) || load<u32>(CPL) == 0) return false;
  raise(GP, 0);
  return true;
}
/** The board may derive the counter from retired instructions: the count is brought up to this one first. */
export function rdtsc(u: usize): void {
  if (timeHidden()) return;
  syncRetired(load<u8>(u, 3));
  setPair(now());
}
export function rdtscp(u: usize): void {
  if (timeHidden()) return;
  syncRetired(load<u8>(u, 3));
  setPair(now());
  store<u64>(RCX, load<u64>(TSC_AUX) & 0xffffffff);
}
export function rdpid(u: usize): void { store<u64>(rm(u), load<u64>(TSC_AUX) & 0xffffffff); }
/** There are no counters: every index is out of range. */
export function rdpmc(u: usize): void { raise(GP, 0); }

/** RDRAND and RDSEED always succeed: CF = 1, the other flags 0. */
export function random(u: usize): void {
  const bytes = operandBytes(u), low = <u64>random32();
  if (bytes == 2) store<u16>(rm(u), <u16>low);
  else store<u64>(rm(u), bytes == 8 ? low | (<u64>random32() << 32) : low);
  setArithmetic(1);
}

// ------------------------------------------------------------------------------------------------ FS and GS bases

export function swapgs(u: usize): void {
  const base = load<u64>(GS, SEG_BASE);
  store<u64>(GS, load<u64>(KERNEL_GS_BASE), SEG_BASE);
  store<u64>(KERNEL_GS_BASE, base);
}
function basesForbidden(): bool {
  if (load<u64>(CR4) & CR4_FSGSBASE) return false;
  raise(UD, 0);
  return true;
}
function readBase(u: usize, segment: usize): void {
  if (basesForbidden()) return;
  const base = load<u64>(segment, SEG_BASE);
  store<u64>(rm(u), operandBytes(u) == 8 ? base : base & 0xffffffff);
}
function writeBase(u: usize, segment: usize): void {
  if (basesForbidden()) return;
  const base = operandBytes(u) == 8 ? load<u64>(rm(u)) : <u64>load<u32>(rm(u));
  if (!canonical(base)) { raise(GP, 0); return; }
  store<u64>(segment, base, SEG_BASE);
}
export function rdfsbase(u: usize): void { readBase(u, FS); }
export function rdgsbase(u: usize): void { readBase(u, GS); }
export function wrfsbase(u: usize): void { writeBase(u, FS); }
export function wrgsbase(u: usize): void { writeBase(u, GS); }
