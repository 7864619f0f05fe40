import { swallowStep } from "./debug";
import { deliverException, endNmi, openTssStack, softwareInterrupt, debugInterrupt, stackDescriptor, stackSelector } from "./exceptions";
import { BP, fault, GP, NP, OF, raise, SS_FAULT, TS, UD } from "./fault";
import { getRflags, overflow, setRflags } from "./flags";
import {
  closeStack, openCurrentStack, openStack, peek, pop, popped, push, setStackPointer, skip, STACK_16, STACK_32, STACK_64, stackMask, stackTop,
} from "./frames";
import {
  CPL, CR0, CS, DR, DS, EFER, ES, FMASK, FS, GPR, GS, LSTAR, MODE, RCX, RDX, RFLAGS, RIP, RSP, SEG_ATTRIBUTES, SEG_BASE, SEG_LIMIT, SEG_SELECTOR, SS, STAR,
  SYSENTER_CS, SYSENTER_EIP, SYSENTER_ESP, TR,
} from "./layout";
import { readable, selectBank } from "./memory";
import { systemRead } from "./mmu";
import { existingFlags } from "./model";
import {
  canonical, CR0_PE, EFER_SCE, FLAG_AC, FLAG_ID, FLAG_IF, FLAG_IOPL, FLAG_NT, FLAG_RF, FLAG_TF, FLAG_VIF, FLAG_VIP, FLAG_VM, iopl, longMode, mode64, MODE_TRACE,
  protectedMode, realSegments, setCpl, updateMode, virtual8086,
} from "./mode";
import {
  A_CODE, attributes, descriptor, descriptorAddress, descriptorBase, descriptorDpl, descriptorLimit, descriptorUpper, dropInnerSegments, isCode, isConforming,
  isPresent, isWritableData, loadSegment, markAccessed, readDescriptor, readUpperDescriptor, setFlatCode, setFlatStack, setNullSegment, setRealSegment, setSegment,
  T_CALL, T_CALL16, T_TASK_GATE, T_TSS, T_TSS16, typeOf,
} from "./segments";
import { switchTask, TASK_CALL, TASK_IRET, TASK_JMP, taskEntered } from "./task";
import { imm, linear, opcode, operandBytes, reg } from "./uop";
import { clearInterruptFlags, handlesItself, interruptFlags, ownHandler, seesVif, setVirtualFlags } from "./vme";

/**
 * Transfers that change CS: far JMP, CALL and RET, INT n, IRET, SYSCALL, SYSENTER and their returns, after the pseudocode
 * of SDM 2A and 2B. RIP is the next instruction's when a handler starts.
 */

/** Masks RIP to the operand size, and checks it against the code segment. False after #GP(0). */
function checkRip(rip: u64, code: u64): bool {
  const wide = longMode() && (attributes(code) & 0x200) != 0;
  if (wide ? canonical(rip) : rip <= <u64>descriptorLimit(code)) return true;
  raise(GP, 0);
  return false;
}
// @ts-ignore: decorator
@inline function sizeMask(bytes: u64): u64 { return bytes == 8 ? STACK_64 : bytes == 4 ? STACK_32 : STACK_16; }

/** In long mode a code segment with L and D both set is refused (SDM 3A §5.2.1). */
// @ts-ignore: decorator
@inline function badLongCode(d: u64): bool { return longMode() && (attributes(d) & 0x600) == 0x600; }

function enterCode(selector: u32, d: u64, rip: u64): void {
  setSegment(CS, selector, d);
  store<u64>(RIP, rip);
  updateMode();
}
function enterRealCode(selector: u32, rip: u64): void {
  setRealSegment(CS, selector);
  store<u64>(RIP, rip);
}

/** Finishes a task switch made by an instruction: a fault in the new task is delivered there. */
function throughTask(selector: u32, reason: u32): void {
  if (!switchTask(selector, reason, 0) && taskEntered) deliverException();
}

// ------------------------------------------------------------------------------------------------ far JMP and CALL

/** Reads the far pointer of a memory operand. False after a fault. */
let farOffset: u64 = 0, farSelector: u32 = 0;
function readFarPointer(u: usize): bool {
  const bytes = operandBytes(u), address = linear(u);
  let p = bytes == 8 ? readable<u64>(address) : bytes == 4 ? readable<u32>(address) : readable<u16>(address);
  if (!p) return false;
  farOffset = bytes == 8 ? load<u64>(p) : bytes == 4 ? <u64>load<u32>(p) : <u64>load<u16>(p);
  p = readable<u16>(address + bytes);
  if (!p) return false;
  farSelector = load<u16>(p);
  return true;
}
/** Pops an offset and a selector, CS:RIP or SS:RSP: the selector is read first, and as a word (tried on a Xeon). */
function popFarPointer(bytes: u64): bool {
  if (!peek(bytes, 2)) return false;
  farSelector = <u32>popped;
  if (!peek(0, bytes)) return false;
  farOffset = popped;
  skip(2 * bytes);
  return true;
}
/** The immediate pointer: offset at @20, selector at @16. */
function immediateFarPointer(u: usize): void {
  farOffset = <u64><u32>imm(u) & sizeMask(operandBytes(u));
  farSelector = load<u16>(u, 16);
}

export function jmpFarDirect(u: usize): void { immediateFarPointer(u); jmpFar(farSelector, farOffset); }
export function jmpFarIndirect(u: usize): void { if (readFarPointer(u)) jmpFar(farSelector, farOffset); }
export function callFarDirect(u: usize): void { immediateFarPointer(u); callFar(farSelector, farOffset, operandBytes(u)); }
export function callFarIndirect(u: usize): void { if (readFarPointer(u)) callFar(farSelector, farOffset, operandBytes(u)); }

/** Checks a code segment reached directly by JMP or CALL, and sets its accessed bit. */
function directCode(selector: u32): bool {
  const d = descriptor, cpl = load<u32>(CPL), dpl = descriptorDpl(d), code = selector & 0xfffc;
  if (isConforming(d) ? dpl > cpl : (selector & 3) > cpl || dpl != cpl) { raise(GP, code); return false; }
  if (badLongCode(d)) { raise(GP, code); return false; }
  if (!isPresent(d)) { raise(NP, code); return false; }
  return true;
}

function jmpFar(selector: u32, offset: u64): void {
  if (realSegments()) {
    if (offset > <u64>load<u32>(CS, SEG_LIMIT)) { raise(GP, 0); return; }
    enterRealCode(selector, offset);
    return;
  }
  if (!(selector & 0xfffc)) { raise(GP, 0); return; }
  if (!readDescriptor(selector, GP, 0)) return;
  if (!isCode(descriptor)) { throughSystem(selector, false); return; }
  if (!directCode(selector) || !checkRip(offset, descriptor) || !markAccessed()) return;
  enterCode((selector & 0xfffc) | load<u32>(CPL), descriptor, offset);
}

function callFar(selector: u32, offset: u64, bytes: u64): void {
  if (realSegments()) {
    if (offset > <u64>load<u32>(CS, SEG_LIMIT)) { raise(GP, 0); return; }
    openCurrentStack(0);
    if (!push(<u64>load<u16>(CS, SEG_SELECTOR), bytes) || !push(load<u64>(RIP), bytes)) return;
    closeStack();
    enterRealCode(selector, offset);
    return;
  }
  if (!(selector & 0xfffc)) { raise(GP, 0); return; }
  if (!readDescriptor(selector, GP, 0)) return;
  if (!isCode(descriptor)) { throughSystem(selector, true); return; }
  if (!directCode(selector)) return;
  openCurrentStack(0);
  if (!push(<u64>load<u16>(CS, SEG_SELECTOR), bytes) || !push(load<u64>(RIP), bytes)) return;
  if (!checkRip(offset, descriptor) || !markAccessed()) return;
  closeStack();
  enterCode((selector & 0xfffc) | load<u32>(CPL), descriptor, offset);
}

/** JMP or CALL to a call gate, a task gate or a TSS, whose descriptor is in `descriptor`. */
function throughSystem(selector: u32, call: bool): void {
  const d = descriptor, type = typeOf(d), cpl = load<u32>(CPL), code = selector & 0xfffc, long = longMode();
  const gate = type == T_CALL || (!long && type == T_CALL16), task = !long && (type == T_TASK_GATE || type == T_TSS || type == T_TSS16);
  if ((!gate && !task) || descriptorDpl(d) < cpl || descriptorDpl(d) < (selector & 3)) { raise(GP, code); return; }
  if (gate && long && !readUpperDescriptor(selector, GP, 0)) return;
  if (!isPresent(d)) { raise(NP, code); return; }
  if (gate) { throughCallGate(d, call); return; }
  throughTask(type == T_TASK_GATE ? <u32>(d >> 16) & 0xffff : selector, call ? TASK_CALL : TASK_JMP);
}

function throughCallGate(gate: u64, call: bool): void {
  const selector = <u32>(gate >> 16) & 0xffff, code = selector & 0xfffc, wide = typeOf(gate) == T_CALL, long = longMode();
  let rip = wide ? (gate & 0xffff) | ((gate >> 32) & 0xffff0000) : gate & 0xffff;
  if (long) rip |= descriptorUpper << 32;
  if (!code) { raise(GP, 0); return; }
  if (!readDescriptor(selector, GP, 0)) return;
  const d = descriptor, cpl = load<u32>(CPL), dpl = descriptorDpl(d);
  if (!isCode(d) || dpl > cpl || (!call && !isConforming(d) && dpl != cpl)) { raise(GP, code); return; }
  if (long && (attributes(d) & 0x600) != 0x200) { raise(GP, code); return; }
  if (!isPresent(d)) { raise(NP, code); return; }
  if (!markAccessed()) return;
  const target = descriptor;
  if (!checkRip(rip, target)) return;
  const bytes: u64 = long ? 8 : wide ? 4 : 2;
  if (!call) { enterCode(code | cpl, target, rip); return; }
  if (!isConforming(target) && dpl < cpl) {
    if (long) callInnerLong(code, target, dpl, rip);
    else callInner(code, target, dpl, rip, bytes, <u32>(gate >> 32) & 31);
    return;
  }
  openCurrentStack(0);
  if (!push(<u64>load<u16>(CS, SEG_SELECTOR), bytes) || !push(load<u64>(RIP), bytes)) return;
  closeStack();
  enterCode(code | cpl, target, rip);
}

/** A call gate to an inner level: the stack comes from the TSS and the parameters are copied to it. */
function callInner(selector: u32, target: u64, dpl: u32, rip: u64, bytes: u64, count: u32): void {
  const cpl = load<u32>(CPL), oldMask = stackMask(), oldTop = load<u64>(RSP) & oldMask, oldBase = load<u64>(SS, SEG_BASE);
  if (!openTssStack(dpl, 0)) return;
  selectBank(dpl);
  let done = push(<u64>load<u16>(SS, SEG_SELECTOR), bytes) && push(load<u64>(RSP), bytes);
  for (let i: u32 = count; done && i > 0; i--) {
    selectBank(cpl);
    const p = parameter((oldBase + ((oldTop + <u64>(i - 1) * bytes) & oldMask)) & STACK_32, <u32>bytes);
    selectBank(dpl);
    done = p != 0 && push(bytes == 4 ? <u64>load<u32>(p) : <u64>load<u16>(p), bytes);
  }
  if (!done || !push(<u64>load<u16>(CS, SEG_SELECTOR), bytes) || !push(load<u64>(RIP), bytes)) { selectBank(cpl); return; }
  setSegment(SS, stackSelector, stackDescriptor);
  closeStack();
  setCpl(dpl);
  enterCode(selector | dpl, target, rip);
}
function parameter(address: u64, bytes: u32): usize { return bytes == 4 ? readable<u32>(address) : readable<u16>(address); }

function callInnerLong(selector: u32, target: u64, dpl: u32, rip: u64): void {
  const at: u32 = 4 + (dpl << 3), cpl = load<u32>(CPL);
  if (at + 7 > load<u32>(TR, SEG_LIMIT)) { raise(TS, load<u16>(TR, SEG_SELECTOR) & 0xfffc); return; }
  const place = systemRead(load<u64>(TR, SEG_BASE) + at, 8);
  if (!place) return;
  openStack(load<u64>(place), 0, STACK_64, 0, 0, 0);
  selectBank(dpl);
  const done = push(<u64>load<u16>(SS, SEG_SELECTOR), 8) && push(load<u64>(RSP), 8) && push(<u64>load<u16>(CS, SEG_SELECTOR), 8) && push(load<u64>(RIP), 8);
  if (!done) { selectBank(cpl); return; }
  store<u64>(RSP, stackTop());
  setCpl(dpl);
  setNullSegment(SS, dpl);
  enterCode(selector | dpl, target, rip);
}

// ------------------------------------------------------------------------------------------------ far RET

export function retFar(u: usize): void { returnFar(operandBytes(u), 0); }
export function retFarPop(u: usize): void { returnFar(operandBytes(u), imm(u) & 0xffff); }

function returnFar(bytes: u64, release: u64): void {
  openCurrentStack(0);
  if (!popFarPointer(bytes)) return;
  const rip = farOffset, selector = farSelector;
  if (realSegments()) {
    if (rip > <u64>load<u32>(CS, SEG_LIMIT)) { raise(GP, 0); return; }
    skip(release);
    closeStack();
    enterRealCode(selector, rip);
    return;
  }
  if (!returnCode(selector, GP)) return;
  const target = descriptor, cpl = load<u32>(CPL), rpl = selector & 3;
  if (rpl == cpl) {
    if (!checkRip(rip, target)) return;
    skip(release);
    closeStack();
    enterCode(selector, target, rip);
    return;
  }
  skip(release);
  if (!popFarPointer(bytes)) return;
  const pointer = farOffset, stack = farSelector;
  if (!returnStack(stack, rpl, target) || !checkRip(rip, target)) return;
  leaveToOuter(selector, target, rpl, stack, rip);
  setOuterPointer(pointer, release);
}

/** Checks and reads the code segment that a return names; its descriptor is in `descriptor`. False after a fault. */
function returnCode(selector: u32, vector: u32): bool {
  const code = selector & 0xfffc, rpl = selector & 3;
  if (!code) { raise(vector, 0); return false; }
  if (!readDescriptor(selector, vector, 0)) return false;
  const d = descriptor, dpl = descriptorDpl(d);
  if (!isCode(d) || rpl < load<u32>(CPL) || (isConforming(d) ? dpl > rpl : dpl != rpl) || badLongCode(d)) { raise(vector, code); return false; }
  if (!isPresent(d)) { raise(NP, code); return false; }
  return markAccessed();
}

/** Checks the stack segment of a return to `rpl`; a null one is legal in 64-bit code below level 3. Sets `returnStackIsNull`. */
let returnStackDescriptor: u64 = 0, returnStackIsNull: bool = false;
function returnStack(selector: u32, rpl: u32, target: u64): bool {
  const code = selector & 0xfffc;
  returnStackIsNull = !code;
  if (!code) {
    if (longMode() && (attributes(target) & 0x200) && rpl != 3 && (selector & 3) == rpl) return true;
    raise(GP, 0);
    return false;
  }
  if (!readDescriptor(selector, GP, 0)) return false;
  if ((selector & 3) != rpl || !isWritableData(descriptor) || descriptorDpl(descriptor) != rpl) { raise(GP, code); return false; }
  if (!isPresent(descriptor)) { raise(SS_FAULT, code); return false; }
  if (!markAccessed()) return false;
  returnStackDescriptor = descriptor;
  return true;
}

/** Commits CS, SS and CPL of a return; data segments of an inner level are dropped. */
function leaveToOuter(selector: u32, target: u64, rpl: u32, stack: u32, rip: u64): void {
  const outer = rpl != load<u32>(CPL);
  setCpl(rpl);
  if (returnStackIsNull) setNullSegment(SS, stack); else setSegment(SS, stack, returnStackDescriptor);
  if (outer) dropInnerSegments(rpl);
  enterCode(selector, target, rip);
}
/** RSP of an outer stack: only SP when it is a 16-bit one (the upper half keeps what it was, as on the hardware). */
function setOuterPointer(pointer: u64, release: u64): void {
  const mask = stackMask();
  if (mask == STACK_16) store<u64>(RSP, load<u32>(RSP));
  setStackPointer(pointer + release, mask);
}

// ------------------------------------------------------------------------------------------------ INT n and IRET

export function int3(u: usize): void { softwareInterrupt(BP); }
export function intImmediate(u: usize): void {
  const vector = <u32>imm(u) & 0xff, own = handlesItself(vector);
  if (fault) return;
  if (!own) {
    // INT3 and INTO have no such check, CD 03 and CD 04 have it (SDM 2A "INT n").
    if (virtual8086() && iopl() < 3) raise(GP, 0); else softwareInterrupt(vector);
    return;
  }
  openCurrentStack(0);
  if (!push(interruptFlags(), 2) || !push(load<u16>(CS, SEG_SELECTOR), 2) || !push(load<u64>(RIP), 2)) return;
  closeStack();
  swallowStep();
  clearInterruptFlags();
  enterRealCode(ownHandler >> 16, ownHandler & 0xffff);
  updateMode();
}
export function int1(u: usize): void { debugInterrupt(); }
export function into(u: usize): void { if (overflow()) softwareInterrupt(OF); }

const ARITHMETIC_TF_DF_NT: u64 = 0x4dd5;

/** Flags that a return from level `cpl` may change (SDM 2A, IRET and POPF). */
function returnableFlags(bytes: u64, cpl: u32): u64 {
  let mask = ARITHMETIC_TF_DF_NT;
  if (bytes != 2) mask |= FLAG_AC | FLAG_ID | FLAG_RF;
  if (cpl <= iopl()) mask |= FLAG_IF;
  if (cpl == 0) mask |= FLAG_IOPL | (bytes == 2 ? 0 : FLAG_VIF | FLAG_VIP);
  return mask;
}
/** RF matters only while instruction breakpoints are armed; else it is dropped at once, as the next instruction would. */
function setReturnFlags(flags: u64, mask: u64): void {
  setRflags(flags, existingFlags(mask));
  updateMode();
  if (!(load<u32>(MODE) & MODE_TRACE)) setRflags(0, FLAG_RF);
}

/** Pops the frame of IRET from SS:RSP: the flags, into `frameFlags`, are read first (tried on a Xeon). */
let frameFlags: u64 = 0;
function popFrame(bytes: u64): bool {
  openCurrentStack(0);
  if (!peek(2 * bytes, bytes)) return false;
  frameFlags = popped;
  if (!popFarPointer(bytes)) return false;
  skip(bytes);
  return true;
}

export function iret(u: usize): void {
  const bytes: u64 = operandBytes(u);
  if (realSegments()) { iretReal(bytes); return; }
  if (load<u64>(RFLAGS) & FLAG_NT) { iretTask(); return; }
  if (!popFrame(bytes)) return;
  const rip = farOffset, selector = farSelector, flags = frameFlags, cpl = load<u32>(CPL), rpl = selector & 3;
  if (bytes == 4 && (flags & FLAG_VM) && cpl == 0 && !longMode()) { iretVirtual8086(rip, selector, flags); return; }
  if (!returnCode(selector, GP)) return;
  const target = descriptor;
  if (!mode64() && rpl == cpl) {
    if (!checkRip(rip, target)) return;
    closeStack();
    const mask = returnableFlags(bytes, cpl);
    enterCode(selector, target, rip);
    setReturnFlags(flags, mask);
    endNmi();
    return;
  }
  if (!popFarPointer(bytes)) return;
  const pointer = farOffset, stack = farSelector;
  if (!returnStack(stack, rpl, target) || !checkRip(rip, target)) return;
  const mask = returnableFlags(bytes, cpl);
  leaveToOuter(selector, target, rpl, stack, rip);
  setOuterPointer(pointer, 0);
  setReturnFlags(flags, mask);
  setCpl(rpl);
  endNmi();
}

function iretReal(bytes: u64): void {
  const v86 = virtual8086(), virtual = bytes == 2 && seesVif();
  if (v86 && iopl() < 3 && !virtual) { raise(GP, 0); return; }
  if (!popFrame(bytes)) return;
  const rip = farOffset, selector = farSelector;
  if (rip > <u64>load<u32>(CS, SEG_LIMIT)) { raise(GP, 0); return; }
  if (virtual) {
    if (!setVirtualFlags(frameFlags)) return;
    closeStack();
    enterRealCode(selector, rip);
    endNmi();
    return;
  }
  closeStack();
  let mask = ARITHMETIC_TF_DF_NT | FLAG_IF;
  if (!v86) mask |= FLAG_IOPL;
  if (bytes == 4) mask |= FLAG_AC | FLAG_ID | FLAG_RF;
  enterRealCode(selector, rip);
  setReturnFlags(frameFlags, mask);
  endNmi();
}

/** NT: back to the task that the current TSS links to. */
function iretTask(): void {
  if (longMode()) { raise(GP, 0); return; }
  const place = systemRead(load<u64>(TR, SEG_BASE), 2);
  if (!place) return;
  throughTask(load<u16>(place), TASK_IRET);
  endNmi();
}

function iretVirtual8086(rip: u64, selector: u32, flags: u64): void {
  if (!pop(4)) return;
  const pointer = popped;
  if (!pop(4)) return;
  const ss = <u32>popped;
  if (!pop(4)) return;
  const es = <u32>popped;
  if (!pop(4)) return;
  const ds = <u32>popped;
  if (!pop(4)) return;
  const fs = <u32>popped;
  if (!pop(4)) return;
  const gs = <u32>popped;
  setRflags(flags, 0x3f7fd5);
  setRealSegment(CS, selector); setRealSegment(SS, ss); setRealSegment(ES, es);
  setRealSegment(DS, ds); setRealSegment(FS, fs); setRealSegment(GS, gs);
  store<u64>(RSP, pointer);
  store<u64>(RIP, rip & 0xffff);
  setCpl(3);
  setReturnFlags(0, 0);
  endNmi();
}

// ------------------------------------------------------------------------------------------------ fast system calls

/** SYSCALL is for 64-bit mode only, as on Intel's processors. */
export function syscall(u: usize): void {
  if (!mode64() || !(load<u64>(EFER) & EFER_SCE)) { raise(UD, 0); return; }
  const flags = getRflags() & ~FLAG_RF, selector = <u32>(load<u64>(STAR) >> 32) & 0xfffc;
  store<u64>(RCX, load<u64>(RIP));
  store<u64>(GPR, flags, 88);
  store<u64>(RIP, load<u64>(LSTAR));
  setRflags(0, load<u64>(FMASK) | FLAG_RF);
  if (load<u64>(FMASK) & FLAG_TF) swallowStep();
  setFlatCode(selector, 0, true);
  setFlatStack(selector + 8, 0);
  setCpl(0);
  updateMode();
}

export function sysret(u: usize): void {
  if (!mode64() || !(load<u64>(EFER) & EFER_SCE)) { raise(UD, 0); return; }
  const wide = operandBytes(u) == 8, rcx = load<u64>(RCX), selector = <u32>(load<u64>(STAR) >> 48) & 0xffff;
  if (load<u32>(CPL) || (wide && !canonical(rcx))) { raise(GP, 0); return; }
  store<u64>(RIP, wide ? rcx : rcx & STACK_32);
  setFlatCode((selector + (wide ? 16 : 0)) | 3, 3, wide);
  setFlatStack((selector + 8) | 3, 3);
  setReturnFlags(load<u64>(GPR, 88), 0x3c7fd5);
  setCpl(3);
  updateMode();
}

export function sysenter(u: usize): void {
  const selector = <u32>load<u64>(SYSENTER_CS) & 0xfffc, long = longMode();
  if (!protectedMode() || !selector) { raise(GP, 0); return; }
  setRflags(0, FLAG_VM | FLAG_IF | FLAG_RF);
  store<u64>(RSP, long ? load<u64>(SYSENTER_ESP) : <u64>load<u32>(SYSENTER_ESP));
  store<u64>(RIP, long ? load<u64>(SYSENTER_EIP) : <u64>load<u32>(SYSENTER_EIP));
  setFlatCode(selector, 0, long);
  setFlatStack(selector + 8, 0);
  setCpl(0);
  updateMode();
}

export function sysexit(u: usize): void {
  const selector = <u32>load<u64>(SYSENTER_CS) & 0xfffc, wide = operandBytes(u) == 8, rcx = load<u64>(RCX), rdx = load<u64>(RDX);
  if (!protectedMode() || !selector || load<u32>(CPL)) { raise(GP, 0); return; }
  if (wide && !(canonical(rcx) && canonical(rdx))) { raise(GP, 0); return; }
  store<u64>(RSP, wide ? rcx : rcx & STACK_32);
  store<u64>(RIP, wide ? rdx : rdx & STACK_32);
  setFlatCode((selector + (wide ? 32 : 16)) | 3, 3, wide);
  setFlatStack((selector + (wide ? 40 : 24)) | 3, 3);
  setCpl(3);
  updateMode();
}

// ------------------------------------------------------------------------------------------------ LDS LES LFS LGS LSS

export function loadFarPointer(u: usize): void {
  const which = opcode(u) & 0xff, bytes = operandBytes(u);
  const number: u32 = which == 0xc4 ? 0 : which == 0xc5 ? 3 : which == 0xb2 ? 2 : which & 7;
  if (!readFarPointer(u) || !loadSegment(number, farSelector)) return;
  if (bytes == 2) store<u16>(reg(u), <u16>farOffset); else store<u64>(reg(u), farOffset);
}
