import { mergeWatchHits, swallowStep } from "./debug";
import { AC, clearFault, DB, DE, DF, fault, faultCode, faultVector, GP, NP, PF, raise, SS_FAULT, TS } from "./fault";
import { getRflags, setRflags } from "./flags";
import { closeStack, openCurrentStack, openStack, push, skip, STACK_16, STACK_32, STACK_64, stackTop } from "./frames";
import {
  CPL, CS, DEBUGCTL, DS, ES, FS, GS, HALTED, IDTR, RIP, RSP, SEG_ATTRIBUTES, SEG_BASE, SEG_LIMIT, SEG_SELECTOR, SS, TR,
} from "./layout";
import { selectBank } from "./memory";
import { systemRead } from "./mmu";
import {
  canonical, clearInterruptShadow, FLAG_AC, FLAG_IF, FLAG_NT, FLAG_RF, FLAG_TF, FLAG_VM, longMode, protectedMode, setCpl, updateMode,
  virtual8086,
} from "./mode";
import {
  attributes, descriptor, descriptorBase, descriptorDpl, descriptorLimit, isCode, isConforming, isPresent, isWritableData, markAccessed, readDescriptor,
  setNullSegment, setSegment, T_INT, T_INT16, T_TASK_GATE, T_TRAP, T_TRAP16,
} from "./segments";
import { disarmMonitor } from "./system";
import { switchTask, TASK_GATE_EVENT } from "./task";

/**
 * Delivery of exceptions and interrupts through the IVT or the IDT (SDM 3A chapter 6; SDM 2A, INT n, for the order of the
 * checks). Nothing of the old state is lost until the last push has succeeded, so that a fault on the way can be combined
 * with the first event (double fault, shutdown: SDM 3A table 6-5).
 */
/** An exception of the processor, an external interrupt or NMI, INT n (checked against the gate's DPL), INT3 and INTO (the same), INT1. */
const EXCEPTION: u32 = 0, EXTERNAL: u32 = 1, SOFTWARE: u32 = 2, ICEBP: u32 = 3;

/** 1 after a fault while a double fault was delivered: the machine shuts down. */
export let tripleFault: u32 = 0;
export function clearTripleFault(): void { tripleFault = 0; }
/** What cannot go on: RSM to a state that is none (SDM 3C, "System Management Mode"). */
export function shutDown(): void { tripleFault = 1; }

/** NMI is held back from its delivery until the next IRET (SDM 3A §6.7.1). */
export let nmiBlocked: bool = false;
export function endNmi(): void { nmiBlocked = false; }
export function blockNmi(blocked: bool): void { nmiBlocked = blocked; }

// The event under delivery.
let vector: u32 = 0, errorCode: u32 = 0, source: u32 = 0, ext: u32 = 0;

/** Delivers the recorded fault. RIP is the faulting instruction's (or, for traps, the next one's). */
export function deliverException(): void {
  const first = faultVector, code = faultCode;
  clearFault();
  deliverEvent(first, code, EXCEPTION);
}
/** Delivers an external interrupt. */
export function deliverInterrupt(externalVector: u32): void { deliverEvent(externalVector, 0, EXTERNAL); }
export function deliverNmi(): void { nmiBlocked = true; deliverEvent(2, 0, EXTERNAL); }

/** INT n, INT3 and INTO. RIP is already the next instruction's. Leaves a fault for the run loop to deliver. */
export function softwareInterrupt(softwareVector: u32): void {
  vector = softwareVector; errorCode = 0; source = SOFTWARE; ext = 0;
  deliver();
}
/** INT1: as a debug trap, without the check of the gate's DPL. */
export function debugInterrupt(): void {
  vector = DB; errorCode = 0; source = ICEBP; ext = 1;
  deliver();
  if (!fault) mergeWatchHits();
}

function deliverEvent(firstVector: u32, code: u32, from: u32): void {
  vector = firstVector; errorCode = code; source = from;
  for (;;) {
    ext = 1;
    deliver();
    if (!fault) return;
    const second = faultVector, secondCode = faultCode;
    clearFault();
    selectBank(load<u32>(CPL));
    const serious = isContributory(second) || second == PF;
    if (source == EXCEPTION && vector == DF && serious) { tripleFault = 1; return; }
    if (source == EXCEPTION && serious && ((isContributory(vector) && second != PF) || vector == PF)) { vector = DF; errorCode = 0; }
    else { vector = second; errorCode = secondCode; }
    source = EXCEPTION;
  }
}

/** SDM 3A table 6-4. */
function isContributory(number: u32): bool { return number == DE || (number >= TS && number <= GP); }
/** SDM 3A table 6-1. */
function hasErrorCode(): bool { return source == EXCEPTION && (vector == DF || (vector >= TS && vector <= PF) || vector == AC); }

/** One attempt; `fault` is set when it failed. */
function deliver(): void {
  if (!protectedMode()) deliverReal();
  else if (longMode()) deliverLong();
  else deliverProtected();
  if (fault) { selectBank(load<u32>(CPL)); return; }
  // Debug exceptions end the tracing of branches (SDM 3B §17.4.3).
  if (vector == DB) store<u64>(DEBUGCTL, 0);
  store<u32>(HALTED, 0);
  disarmMonitor();
  clearInterruptShadow();
  swallowStep();
}

/** Flags as the frame holds them: faults set RF so that an instruction breakpoint does not strike twice (SDM 3B §17.3.1.1). */
function frameFlags(): u64 {
  const flags = getRflags();
  return source == EXCEPTION && vector != DB && vector != 3 && vector != 4 ? flags | FLAG_RF : flags;
}

function deliverReal(): void {
  if ((vector << 2) + 3 > <u32>load<u16>(IDTR, 8)) { raise(GP, 0); return; }
  const place = systemRead((load<u64>(IDTR) + (vector << 2)) & 0xffffffff, 4);
  if (!place) return;
  const pointer = load<u32>(place);
  openCurrentStack(0);
  if (!push(getRflags(), 2) || !push(load<u16>(CS, SEG_SELECTOR), 2) || !push(load<u64>(RIP), 2)) return;
  closeStack();
  setRflags(0, FLAG_IF | FLAG_TF | FLAG_AC | FLAG_RF);
  store<u16>(CS, <u16>(pointer >> 16), SEG_SELECTOR);
  store<u64>(CS, <u64>(pointer >> 16) << 4, SEG_BASE);
  store<u64>(RIP, pointer & 0xffff);
  updateMode();
}

/** Error code that names the gate: IDT bit and EXT. */
// @ts-ignore: decorator
@inline function gateCode(): u32 { return (vector << 3) | 2 | ext; }

/** Checks that legacy and long mode share; the gate's low 8 bytes are in `gate`. False after a fault. */
let gate: u64 = 0;
function readGate(bytes: u32): bool {
  const at = vector * bytes;
  if (at + bytes - 1 > <u32>load<u16>(IDTR, 8)) { raise(GP, gateCode()); return false; }
  const place = systemRead(load<u64>(IDTR) + at, 8);
  if (!place) return false;
  gate = load<u64>(place);
  const type = <u32>(gate >> 40) & 0x1f;
  const known = type == T_INT || type == T_TRAP || (bytes == 8 && (type == T_INT16 || type == T_TRAP16 || type == T_TASK_GATE));
  if (!known || (source == SOFTWARE && descriptorDpl(gate) < load<u32>(CPL))) { raise(GP, gateCode()); return false; }
  if (!isPresent(gate)) { raise(NP, gateCode()); return false; }
  return true;
}

/** Reads and checks the gate's code segment into `descriptor`. False after a fault. */
function readTarget(selector: u32): bool {
  if (!(selector & 0xfffc)) { raise(GP, ext); return false; }
  if (!readDescriptor(selector, GP, ext)) return false;
  const wide = longMode() && (attributes(descriptor) & 0x600) != 0x200;
  if (!isCode(descriptor) || descriptorDpl(descriptor) > load<u32>(CPL) || wide) { raise(GP, (selector & 0xfffc) | ext); return false; }
  if (!isPresent(descriptor)) { raise(NP, (selector & 0xfffc) | ext); return false; }
  return true;
}

/** Commits CS, CPL, RIP and the flags once the frame is pushed. */
function enter(selector: u32, code: u64, cpl: u32, rip: u64, clearIf: bool): void {
  setSegment(CS, (selector & 0xfffc) | cpl, code);
  setRflags(0, FLAG_TF | FLAG_NT | FLAG_RF | FLAG_VM | (clearIf ? FLAG_IF : 0));
  store<u64>(RIP, rip);
  setCpl(cpl);
  updateMode();
}

// ------------------------------------------------------------------------------------------------ legacy protected mode

function deliverProtected(): void {
  const v86 = virtual8086();
  if (!readGate(8)) return;
  const selector = <u32>(gate >> 16) & 0xffff, type = <u32>(gate >> 40) & 0xf, cpl = load<u32>(CPL);
  if (type == T_TASK_GATE) { throughTaskGate(selector); return; }
  if (!readTarget(selector)) return;
  const code = descriptor, dpl = descriptorDpl(code), bytes: u64 = type & 8 ? 4 : 2, interruptGate = (type & 1) == 0;
  const rip = bytes == 4 ? (gate & 0xffff) | ((gate >> 32) & 0xffff0000) : gate & 0xffff;
  const inner = !isConforming(code) && dpl < cpl;
  if (v86 && (!inner || dpl != 0)) { raise(GP, (selector & 0xfffc) | ext); return; }
  if (rip > <u64>descriptorLimit(code)) { raise(GP, ext); return; }
  if (inner) { toInnerLevel(selector, code, dpl, bytes, rip, interruptGate, v86); return; }
  openCurrentStack(ext);
  if (!pushFrame(bytes)) return;
  if (!touchCode(selector)) return;
  closeStack();
  enter(selector, descriptor, cpl, rip, interruptGate);
}

/** Sets the accessed bit of the target code segment. */
function touchCode(selector: u32): bool { return readDescriptor(selector, GP, ext) && markAccessed(); }

function pushFrame(bytes: u64): bool {
  return push(frameFlags(), bytes) && push(<u64>load<u16>(CS, SEG_SELECTOR), bytes) && push(load<u64>(RIP), bytes) && (!hasErrorCode() || push(errorCode, bytes));
}

/** Stack pointer and selector for a level from the TSS: sets tssStack and tssSelector. False after a fault. */
let tssStack: u64 = 0, tssSelector: u32 = 0;
export function readTssStack(level: u32, extBit: u32): bool {
  const wide = (load<u16>(TR, SEG_ATTRIBUTES) & 8) != 0;
  const at: u32 = wide ? (level << 3) + 4 : (level << 2) + 2;
  if (at + (wide ? 5 : 3) > load<u32>(TR, SEG_LIMIT)) { raise(TS, (load<u16>(TR, SEG_SELECTOR) & 0xfffc) | extBit); return false; }
  const place = systemRead(load<u64>(TR, SEG_BASE) + at, wide ? 8 : 4);
  if (!place) return false;
  tssStack = wide ? <u64>load<u32>(place) : <u64>load<u16>(place);
  tssSelector = <u32>load<u16>(place + (wide ? 4 : 2));
  return true;
}
/** Opens the stack that the TSS names for a level and leaves its descriptor in `stackDescriptor`. False after a fault. */
export let stackDescriptor: u64 = 0;
export let stackSelector: u32 = 0;
export function openTssStack(level: u32, extBit: u32): bool {
  if (!readTssStack(level, extBit)) return false;
  const selector = tssSelector, code = (selector & 0xfffc) | extBit;
  if (!(selector & 0xfffc)) { raise(TS, extBit); return false; }
  if (!readDescriptor(selector, TS, extBit)) return false;
  if ((selector & 3) != level || descriptorDpl(descriptor) != level || !isWritableData(descriptor)) { raise(TS, code); return false; }
  if (!isPresent(descriptor)) { raise(SS_FAULT, code); return false; }
  if (!markAccessed()) return false;
  stackDescriptor = descriptor; stackSelector = selector;
  const rights = attributes(descriptor);
  openStack(tssStack, descriptorBase(descriptor), rights & 0x400 ? STACK_32 : STACK_16, descriptorLimit(descriptor), rights, code);
  return true;
}

function toInnerLevel(selector: u32, code: u64, dpl: u32, bytes: u64, rip: u64, interruptGate: bool, v86: bool): void {
  if (!openTssStack(dpl, ext)) return;
  selectBank(dpl);
  if (v86 && !(push(<u64>load<u16>(GS), bytes) && push(<u64>load<u16>(FS), bytes) && push(<u64>load<u16>(DS), bytes) && push(<u64>load<u16>(ES), bytes))) return;
  if (!push(<u64>load<u16>(SS), bytes) || !push(load<u64>(RSP), bytes) || !pushFrame(bytes)) return;
  if (!touchCode(selector)) return;
  if (v86) { setNullSegment(GS, 0); setNullSegment(FS, 0); setNullSegment(DS, 0); setNullSegment(ES, 0); }
  setSegment(SS, stackSelector, stackDescriptor);
  closeStack();
  enter(selector, descriptor, dpl, rip, interruptGate);
}

function throughTaskGate(selector: u32): void {
  if (!switchTask(selector, TASK_GATE_EVENT, ext)) return;
  if (!hasErrorCode()) return;
  openCurrentStack(ext);
  if (push(errorCode, load<u16>(TR, SEG_ATTRIBUTES) & 8 ? 4 : 2)) closeStack();
}

// ------------------------------------------------------------------------------------------------ long mode

function deliverLong(): void {
  if (!readGate(16)) return;
  const gateAddress = load<u64>(IDTR) + (vector << 4), low = gate;
  const upper = systemRead(gateAddress + 8, 8);
  if (!upper) return;
  const rip = (low & 0xffff) | ((low >> 32) & 0xffff0000) | (load<u64>(upper) << 32);
  const selector = <u32>(low >> 16) & 0xffff, cpl = load<u32>(CPL), ist = <u32>(low >> 32) & 7;
  if (!readTarget(selector)) return;
  const inner = !isConforming(descriptor) && descriptorDpl(descriptor) < cpl;
  const level = inner ? descriptorDpl(descriptor) : cpl;
  if (!markAccessed()) return;
  const code = descriptor;
  if (!canonical(rip)) { raise(GP, ext); return; }
  let pointer = load<u64>(RSP);
  if (ist || inner) {
    // RSP0-2 at 4, IST1-7 at 36 (SDM 3A figure 7-11).
    const at: u32 = ist ? 28 + (ist << 3) : 4 + (level << 3);
    if (at + 7 > load<u32>(TR, SEG_LIMIT)) { raise(TS, (load<u16>(TR, SEG_SELECTOR) & 0xfffc) | ext); return; }
    const place = systemRead(load<u64>(TR, SEG_BASE) + at, 8);
    if (!place) return;
    pointer = load<u64>(place);
  }
  openStack(pointer & ~15, 0, STACK_64, 0, 0, ext);
  selectBank(level);
  if (!push(<u64>load<u16>(SS), 8) || !push(load<u64>(RSP), 8) || !pushFrame(8)) return;
  setCpl(level);
  if (inner) setNullSegment(SS, level);
  store<u64>(RSP, stackTop());
  enter(selector, code, level, rip, (low & 0x0000010000000000) == 0);
}
