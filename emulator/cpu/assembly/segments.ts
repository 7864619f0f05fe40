import { GP, NP, raise, SS_FAULT } from "./fault";
import {
  CPL, CS, DS, ES, FS, GDTR, GS, LDTR, SEG_ATTRIBUTES, SEG_BASE, SEG_LIMIT, SEG_SELECTOR, SEGMENTS, SS,
} from "./layout";
import { commit } from "./memory";
import { systemRead, systemWrite } from "./mmu";
import { longMode, mode64, realSegments, updateMode, virtual8086 } from "./mode";

/** Descriptors and segment registers (SDM 3A §3.4, §3.5, §5.2). A descriptor is its eight bytes as one u64. */

/** Bits of attributes(): the access byte, then AVL L D/B G. */
export const A_ACCESSED: u32 = 1, A_WRITABLE: u32 = 2, A_READABLE: u32 = 2, A_EXPAND_DOWN: u32 = 4, A_CONFORMING: u32 = 4, A_CODE: u32 = 8, A_S: u32 = 0x10, A_PRESENT: u32 = 0x80;
/** System descriptor types (SDM 3A table 3-2). */
export const T_TSS16: u32 = 1, T_LDT: u32 = 2, T_TSS16_BUSY: u32 = 3, T_CALL16: u32 = 4, T_TASK_GATE: u32 = 5, T_INT16: u32 = 6, T_TRAP16: u32 = 7;
export const T_TSS: u32 = 9, T_TSS_BUSY: u32 = 11, T_CALL: u32 = 12, T_INT: u32 = 14, T_TRAP: u32 = 15;

// @ts-ignore: decorator
@inline export function descriptorBase(d: u64): u64 { return ((d >> 16) & 0xffffff) | ((d >> 32) & 0xff000000); }
/** Limit in bytes: the last valid offset (or, expand-down, the last invalid one). */
export function descriptorLimit(d: u64): u32 {
  const limit = <u32>(d & 0xffff) | (<u32>(d >> 32) & 0xf0000);
  return d & 0x0080000000000000 ? (limit << 12) | 0xfff : limit;
}
// @ts-ignore: decorator
@inline export function attributes(d: u64): u32 { return (<u32>(d >> 40) & 0xff) | (<u32>(d >> 44) & 0xf00); }
// @ts-ignore: decorator
@inline export function descriptorDpl(d: u64): u32 { return <u32>(d >> 45) & 3; }
/** Type with the S bit: 0-15 system, 16-31 code and data. */
// @ts-ignore: decorator
@inline export function typeOf(d: u64): u32 { return <u32>(d >> 40) & 0x1f; }
// @ts-ignore: decorator
@inline export function isPresent(d: u64): bool { return (d & 0x0000800000000000) != 0; }
// @ts-ignore: decorator
@inline export function isCode(d: u64): bool { return (typeOf(d) & 0x18) == 0x18; }
// @ts-ignore: decorator
@inline export function isData(d: u64): bool { return (typeOf(d) & 0x18) == 0x10; }
// @ts-ignore: decorator
@inline export function isConforming(d: u64): bool { return (typeOf(d) & 0x1c) == 0x1c; }
// @ts-ignore: decorator
@inline export function isWritableData(d: u64): bool { return (typeOf(d) & 0x1a) == 0x12; }
// @ts-ignore: decorator
@inline export function isReadable(d: u64): bool { return isData(d) || (typeOf(d) & 0x1a) == 0x1a; }

/** The last descriptor read, and where it lies; the upper half of a 16-byte system descriptor is at address + 8. */
export let descriptor: u64 = 0;
export let descriptorAddress: u64 = 0;

/** Whether the descriptor of a selector lies within its table; sets descriptorAddress. */
function locate(selector: u32, bytes: u32): bool {
  const last = (selector & 0xfff8) + bytes - 1;
  if (selector & 4) {
    if (!(load<u16>(LDTR, SEG_ATTRIBUTES) & A_PRESENT) || last > load<u32>(LDTR, SEG_LIMIT)) return false;
    descriptorAddress = load<u64>(LDTR, SEG_BASE) + (selector & 0xfff8);
  } else {
    if (last > <u32>load<u16>(GDTR, 8)) return false;
    descriptorAddress = load<u64>(GDTR) + (selector & 0xfff8);
  }
  return true;
}

/** Reads the descriptor of a selector. Outside its table: raises `vector` with the selector (and EXT). False after a fault. */
export function readDescriptor(selector: u32, vector: u32, ext: u32): bool {
  if (!locate(selector, 8)) { raise(vector, (selector & 0xfffc) | ext); return false; }
  const place = systemRead(descriptorAddress, 8);
  if (!place) return false;
  descriptor = load<u64>(place);
  return true;
}

/** The same without a fault for a selector outside its table (LAR, LSL, VERR...): false then, or after a page fault. */
export function peekDescriptor(selector: u32): bool {
  if (!(selector & 0xfffc) || !locate(selector, 8)) return false;
  const place = systemRead(descriptorAddress, 8);
  if (!place) return false;
  descriptor = load<u64>(place);
  return true;
}

/** Upper half of a 16-byte system descriptor: base 63:32. False after a fault or when its type field is not zero. */
export let descriptorUpper: u64 = 0;
export function readUpperDescriptor(selector: u32, vector: u32, ext: u32): bool {
  if (!locate(selector, 16)) { raise(vector, (selector & 0xfffc) | ext); return false; }
  const place = systemRead(descriptorAddress + 8, 8);
  if (!place) return false;
  descriptorUpper = load<u64>(place);
  if (descriptorUpper & 0x00001f0000000000) { raise(vector, (selector & 0xfffc) | ext); return false; }
  return true;
}

/** Sets or clears bits of the access byte of the descriptor at an address: accessed, busy. False after a fault. */
export function setAccessByte(address: u64, value: u32): bool {
  const place = systemWrite(address + 5, 1);
  if (!place) return false;
  store<u8>(place, <u8>value);
  commit(place);
  return true;
}

/** Marks the descriptor just read as accessed. False after a fault. */
export function markAccessed(): bool {
  if (descriptor & 0x0000010000000000) return true;
  descriptor |= 0x0000010000000000;
  return setAccessByte(descriptorAddress, <u32>(descriptor >> 40));
}

/** Loads the hidden part of a segment register. */
export function setSegment(segment: usize, selector: u32, d: u64): void {
  store<u16>(segment, <u16>selector, SEG_SELECTOR);
  store<u16>(segment, <u16>attributes(d), SEG_ATTRIBUTES);
  store<u32>(segment, descriptorLimit(d), SEG_LIMIT);
  store<u64>(segment, descriptorBase(d), SEG_BASE);
}

/** A segment register with a null selector: unusable outside 64-bit mode. FS and GS keep no base either (as on Intel). */
export function setNullSegment(segment: usize, selector: u32): void {
  store<u16>(segment, <u16>selector, SEG_SELECTOR);
  store<u16>(segment, segment == SS ? <u16>(load<u32>(CPL) << 5) : 0, SEG_ATTRIBUTES);
  store<u32>(segment, 0, SEG_LIMIT);
  store<u64>(segment, 0, SEG_BASE);
}

/** Real mode: only the base follows the selector, limit and rights stay (SDM 3A §21.1.1). Virtual-8086 mode: all are fixed. */
export function setRealSegment(segment: usize, selector: u32): void {
  store<u16>(segment, <u16>selector, SEG_SELECTOR);
  store<u64>(segment, <u64>(selector & 0xffff) << 4, SEG_BASE);
  if (virtual8086()) { store<u32>(segment, 0xffff, SEG_LIMIT); store<u16>(segment, 0xf3, SEG_ATTRIBUTES); }
}

/** MOV, POP, LDS...: loads ES, SS, DS, FS or GS (number 0, 2-5). False after a fault, with nothing changed. */
export function loadSegment(number: u32, selector: u32): bool {
  const segment = SEGMENTS + (<usize>number << 5);
  selector &= 0xffff;
  if (realSegments()) setRealSegment(segment, selector);
  else if (segment == SS ? !loadStackSegment(selector) : !loadDataSegment(segment, selector)) return false;
  updateMode();
  return true;
}

function loadDataSegment(segment: usize, selector: u32): bool {
  if (!(selector & 0xfffc)) { setNullSegment(segment, selector); return true; }
  if (!readDescriptor(selector, GP, 0)) return false;
  const d = descriptor, dpl = descriptorDpl(d);
  if (!isReadable(d) || (!isConforming(d) && ((selector & 3) > dpl || load<u32>(CPL) > dpl))) { raise(GP, selector & 0xfffc); return false; }
  if (!isPresent(d)) { raise(NP, selector & 0xfffc); return false; }
  if (!markAccessed()) return false;
  setSegment(segment, selector, descriptor);
  return true;
}

function loadStackSegment(selector: u32): bool {
  const cpl = load<u32>(CPL);
  if (!(selector & 0xfffc)) {
    // A null SS is legal only in 64-bit mode below CPL 3 with RPL = CPL (SDM 2B, MOV).
    if (!mode64() || cpl == 3 || (selector & 3) != cpl) { raise(GP, 0); return false; }
    setNullSegment(SS, selector);
    return true;
  }
  if (!readDescriptor(selector, GP, 0)) return false;
  const d = descriptor;
  if ((selector & 3) != cpl || descriptorDpl(d) != cpl || !isWritableData(d)) { raise(GP, selector & 0xfffc); return false; }
  if (!isPresent(d)) { raise(SS_FAULT, selector & 0xfffc); return false; }
  if (!markAccessed()) return false;
  setSegment(SS, selector, descriptor);
  return true;
}

/** Return to an outer level: data segments that the new level may not use become null (SDM 3A §5.8.6). */
export function dropInnerSegments(cpl: u32): void {
  dropInner(ES, cpl); dropInner(DS, cpl); dropInner(FS, cpl); dropInner(GS, cpl);
}
function dropInner(segment: usize, cpl: u32): void {
  const rights = <u32>load<u16>(segment, SEG_ATTRIBUTES);
  if ((rights & (A_CODE | A_CONFORMING)) == (A_CODE | A_CONFORMING) || ((rights >> 5) & 3) >= cpl) return;
  // In 64-bit mode FS and GS keep their bases: only the selector goes.
  const base = load<u64>(segment, SEG_BASE);
  setNullSegment(segment, 0);
  if (longMode() && (segment == FS || segment == GS)) store<u64>(segment, base, SEG_BASE);
}

/** Fixed flat segments of SYSCALL, SYSENTER and their returns. */
export function setFlatCode(selector: u32, dpl: u32, long: bool): void {
  store<u16>(CS, <u16>selector, SEG_SELECTOR);
  store<u16>(CS, <u16>((long ? 0xa00 : 0xc00) | 0x9b | (dpl << 5)), SEG_ATTRIBUTES);
  store<u32>(CS, 0xffffffff, SEG_LIMIT);
  store<u64>(CS, 0, SEG_BASE);
}
export function setFlatStack(selector: u32, dpl: u32): void {
  store<u16>(SS, <u16>selector, SEG_SELECTOR);
  store<u16>(SS, <u16>(0xc93 | (dpl << 5)), SEG_ATTRIBUTES);
  store<u32>(SS, 0xffffffff, SEG_LIMIT);
  store<u64>(SS, 0, SEG_BASE);
}
