import { wantTaskTrap } from "./debug";
import { GP, NP, raise, SS_FAULT, TS } from "./fault";
import { getRflags, setRflags } from "./flags";
import {
  CPL, CR0, CR3, CS, DR, DS, ES, FS, GPR, GS, LDTR, RIP, SEG_ATTRIBUTES, SEG_BASE, SEG_LIMIT, SEG_SELECTOR, SEGMENTS, SS, TR, WORK,
} from "./layout";
import { commit } from "./memory";
import { flushTlb, systemRead, systemWrite } from "./mmu";
import { CR0_PG, CR0_TS, FLAG_NT, FLAG_VM, setCpl, updateMode } from "./mode";
import {
  A_PRESENT, attributes, descriptor, descriptorAddress, descriptorBase, descriptorDpl, descriptorLimit, isCode, isConforming, isPresent, isReadable,
  isWritableData, markAccessed, readDescriptor, setAccessByte, setNullSegment, setRealSegment, setSegment, T_LDT, T_TSS, T_TSS16, T_TSS16_BUSY, T_TSS_BUSY, typeOf,
} from "./segments";

/**
 * Hardware task switches (SDM 3A §7.3). Up to the commit point a fault leaves the old task as it was; after it, faults
 * belong to the new task.
 */
export const TASK_JMP: u32 = 0, TASK_CALL: u32 = 1, TASK_IRET: u32 = 2;
/** An exception or interrupt through a task gate: nests as CALL does. */
export const TASK_GATE_EVENT: u32 = 3;

/** After switchTask failed: whether the new task had been entered, so that RIP is the new task's. */
export let taskEntered: bool = false;

const IMAGE: usize = WORK;

/** Switches to the task of a TSS selector. False after a fault. */
export function switchTask(selector: u32, reason: u32, ext: u32): bool {
  taskEntered = false;
  const vector = reason == TASK_IRET ? TS : GP, code = (selector & 0xfffc) | ext;
  if (selector & 4) { raise(vector, code); return false; }
  if (!readDescriptor(selector, vector, ext)) return false;
  const type = typeOf(descriptor), wide = (type & 8) != 0;
  const wanted = reason == TASK_IRET ? type == T_TSS_BUSY || type == T_TSS16_BUSY : type == T_TSS || type == T_TSS16;
  if (!wanted) { raise(vector, code); return false; }
  if (!isPresent(descriptor)) { raise(NP, code); return false; }
  const size: u32 = wide ? 104 : 44;
  if (descriptorLimit(descriptor) < size - 1) { raise(TS, code); return false; }
  const target = descriptor, targetAddress = descriptorAddress, base = descriptorBase(target);
  const oldSelector = <u32>load<u16>(TR, SEG_SELECTOR), nests = reason == TASK_CALL || reason == TASK_GATE_EVENT;

  if (!readImage(base, size) || !saveOldTask(reason)) return false;
  if (nests && !writeSystem(base, oldSelector, 2)) return false;
  if (!nests && !changeBusy(oldSelector, false)) return false;
  if (reason != TASK_IRET && !setAccessByte(targetAddress, <u32>(target >> 40) | 2)) return false;
  taskEntered = true;
  setSegment(TR, selector, target | 0x0000020000000000);
  store<u64>(CR0, load<u64>(CR0) | CR0_TS);
  if (!loadNewTask(wide, nests)) return false;
  // The T bit of a 32-bit TSS (SDM 3A figure 7-2).
  if (wide && (load<u8>(IMAGE + 100) & 1)) wantTaskTrap();
  return true;
}

function readImage(base: u64, size: u32): bool {
  for (let at: u32 = 0; at < size; at += 4) {
    const place = systemRead(base + at, 4);
    if (!place) return false;
    store<u32>(IMAGE + at, load<u32>(place));
  }
  return true;
}
function writeSystem(address: u64, value: u32, size: u32): bool {
  const place = systemWrite(address, size);
  if (!place) return false;
  if (size == 4) store<u32>(place, value); else store<u16>(place, <u16>value);
  commit(place);
  return true;
}
function changeBusy(selector: u32, busy: bool): bool {
  if (!readDescriptor(selector, TS, 0)) return false;
  const access = <u32>(descriptor >> 40);
  return setAccessByte(descriptorAddress, busy ? access | 2 : access & ~2);
}

/** Writes the dynamic fields of the current TSS (SDM 3A §7.2.1). */
function saveOldTask(reason: u32): bool {
  const base = load<u64>(TR, SEG_BASE), wide = (load<u16>(TR, SEG_ATTRIBUTES) & 8) != 0, size: u32 = wide ? 4 : 2;
  let flags = <u32>getRflags();
  if (reason == TASK_IRET) flags &= ~<u32>FLAG_NT;
  let at = base + (wide ? 32 : 14);
  if (!writeSystem(at, load<u32>(RIP), size) || !writeSystem(at + size, flags, size)) return false;
  at += size << 1;
  for (let i: usize = 0; i < 8; i++, at += size) if (!writeSystem(at, load<u32>(GPR + (i << 3)), size)) return false;
  const count: usize = wide ? 6 : 4;
  for (let i: usize = 0; i < count; i++, at += size) if (!writeSystem(at, <u32>load<u16>(SEGMENTS + (i << 5)), 2)) return false;
  return true;
}

// @ts-ignore: decorator
@inline function field(wide: bool, at32: usize, at16: usize): u32 { return wide ? load<u32>(IMAGE + at32) : <u32>load<u16>(IMAGE + at16); }

function loadNewTask(wide: bool, nests: bool): bool {
  if (wide && (load<u64>(CR0) & CR0_PG)) { store<u64>(CR3, <u64>load<u32>(IMAGE + 28)); flushTlb(true); }
  let flags = field(wide, 36, 16);
  if (nests) flags |= <u32>FLAG_NT;
  setRflags(flags, 0x3f7fd5);
  store<u64>(RIP, field(wide, 32, 14));
  // The processors of this line fill the upper halves that a 16-bit TSS lacks with ones.
  const upper: u32 = wide ? 0 : 0xffff0000;
  for (let i: usize = 0; i < 8; i++) store<u64>(GPR + (i << 3), <u64>(field(wide, 40 + (i << 2), 18 + (i << 1)) | upper));
  // Local and instruction breakpoints of DR7 belong to the old task (SDM 3B §17.2.4).
  store<u64>(DR, load<u64>(DR, 56) & ~0x155, 56);
  const selectors = SEGMENTS;
  for (let i: usize = 0; i < 6; i++) setNullSegment(selectors + (i << 5), i < 4 || wide ? segmentField(wide, i) : 0);
  setNullSegment(LDTR, field(wide, 96, 42) & 0xffff);
  if (flags & <u32>FLAG_VM) return enterVirtual8086();
  setCpl(load<u16>(CS, SEG_SELECTOR) & 3);
  const loaded = loadLdt() && loadCode() && loadStack() && loadData(ES) && loadData(DS) && loadData(FS) && loadData(GS);
  updateMode();
  if (!loaded) return false;
  if (load<u64>(RIP) > <u64>load<u32>(CS, SEG_LIMIT)) { raise(GP, 0); return false; }
  return true;
}
function segmentField(wide: bool, number: usize): u32 { return field(wide, 72 + (number << 2), 34 + (number << 1)) & 0xffff; }

function enterVirtual8086(): bool {
  for (let i: usize = 0; i < 6; i++) setRealSegment(SEGMENTS + (i << 5), load<u16>(SEGMENTS + (i << 5)));
  setCpl(3);
  const loaded = loadLdt();
  updateMode();
  return loaded;
}

function loadLdt(): bool {
  const selector = <u32>load<u16>(LDTR, SEG_SELECTOR);
  if (!(selector & 0xfffc)) return true;
  if (selector & 4) { raise(TS, selector & 0xfffc); return false; }
  if (!readDescriptor(selector, TS, 0)) return false;
  if (typeOf(descriptor) != T_LDT || !isPresent(descriptor)) { raise(TS, selector & 0xfffc); return false; }
  setSegment(LDTR, selector, descriptor);
  return true;
}
function loadCode(): bool {
  const selector = <u32>load<u16>(CS, SEG_SELECTOR), rpl = selector & 3, code = selector & 0xfffc;
  if (!code) { raise(TS, 0); return false; }
  if (!readDescriptor(selector, TS, 0)) return false;
  const dpl = descriptorDpl(descriptor);
  if (!isCode(descriptor) || (isConforming(descriptor) ? dpl > rpl : dpl != rpl)) { raise(TS, code); return false; }
  if (!isPresent(descriptor)) { raise(NP, code); return false; }
  if (!markAccessed()) return false;
  setSegment(CS, selector, descriptor);
  return true;
}
function loadStack(): bool {
  const selector = <u32>load<u16>(SS, SEG_SELECTOR), cpl = load<u32>(CPL), code = selector & 0xfffc;
  if (!code) { raise(TS, 0); return false; }
  if (!readDescriptor(selector, TS, 0)) return false;
  if (!isWritableData(descriptor) || (selector & 3) != cpl || descriptorDpl(descriptor) != cpl) { raise(TS, code); return false; }
  if (!isPresent(descriptor)) { raise(SS_FAULT, code); return false; }
  if (!markAccessed()) return false;
  setSegment(SS, selector, descriptor);
  return true;
}
function loadData(segment: usize): bool {
  const selector = <u32>load<u16>(segment, SEG_SELECTOR), code = selector & 0xfffc;
  if (!code) return true;
  if (!readDescriptor(selector, TS, 0)) return false;
  const dpl = descriptorDpl(descriptor);
  if (!isReadable(descriptor) || (!isConforming(descriptor) && ((selector & 3) > dpl || load<u32>(CPL) > dpl))) { raise(TS, code); return false; }
  if (!isPresent(descriptor)) { raise(NP, code); return false; }
  if (!markAccessed()) return false;
  setSegment(segment, selector, descriptor);
  return true;
}
