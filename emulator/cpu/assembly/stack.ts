/** PUSH, POP and their kin, in every stack and operand size. */
import { checkWritten, segmented } from "./addressing";
import { fault, GP, raise } from "./fault";
import { getRflags, setRflags } from "./flags";
import { closeStack, openCurrentStack, openStack, pop as popValue, popped, push as pushValue, skip, stackMask, stackTop } from "./frames";
import { CPL, RAX, RBP, RDI, RSP, SEG_ATTRIBUTES, SEG_BASE, SEG_LIMIT, SS } from "./layout";
import { commit, rmReadable, writable } from "./memory";
import { closeSmapWindow } from "./mmu";
import { existingFlags } from "./model";
import { FLAG_IF, FLAG_IOPL, FLAG_RF, FLAG_VIF, FLAG_VIP, FLAG_VM, iopl, updateMode, virtual8086 } from "./mode";
import { storeRegister } from "./operations";
import { imm, linear, rm } from "./uop";
import { seesVif, setVirtualFlags, virtualFlags } from "./vme";

export function push<T>(u: usize): void {
  const p = rmReadable<T>(u);
  if (!p) return;
  openCurrentStack(0);
  if (pushValue(<u64>load<T>(p), sizeof<T>())) closeStack();
}
export function pushImmediate<T>(u: usize): void {
  openCurrentStack(0);
  if (pushValue(<u64><T><i64>imm(u), sizeof<T>())) closeStack();
}
/**
 * The decoder has added the operand size to an rSP-based address: POP uses the incremented rSP (SDM 2B POP). The stack is read
 * before the operand is looked at (tried on a Xeon).
 */
export function pop<T>(u: usize): void {
  openCurrentStack(0);
  if (!popValue(sizeof<T>())) return;
  if (rm(u)) { closeStack(); storeRegister<T>(rm(u), <T>popped); return; }
  const to = linear(u);
  if (!checkWritten(u, to, sizeof<T>())) return;
  const p = writable<T>(to);
  if (!p) return;
  store<T>(p, <T>popped); commit(p);
  closeStack();
}
export function pusha<T>(u: usize): void {
  openCurrentStack(0);
  const top = load<u64>(RSP);
  for (let r = RAX; r <= RDI; r += 8) if (!pushValue(r == RSP ? top : load<u64>(r), sizeof<T>())) return;
  closeStack();
}
/** Registers popped before a fault keep their new values, as on real processors; rSP moves only at the end. */
export function popa<T>(u: usize): void {
  openCurrentStack(0);
  for (let r = RDI; r >= RAX; r -= 8) {
    if (!popValue(sizeof<T>())) return;
    if (r != RSP) storeRegister<T>(r, <T>popped);
  }
  closeStack();
}
export function pushf<T>(u: usize): void {
  const virtual = sizeof<T>() == 2 && seesVif();
  if (virtual8086() && iopl() < 3 && !virtual) { raise(GP, 0); return; }
  openCurrentStack(0);
  if (pushValue(virtual ? virtualFlags() : getRflags() & ~(FLAG_RF | FLAG_VM), sizeof<T>())) closeStack();
}
/** What POPF may change depends on CPL and IOPL (SDM 2B POPF, table 4-16). */
export function popf<T>(u: usize): void {
  const virtual = sizeof<T>() == 2 && seesVif();
  if (virtual8086() && iopl() < 3 && !virtual) { raise(GP, 0); return; }
  openCurrentStack(0);
  if (!popValue(sizeof<T>())) return;
  if (virtual) { if (setVirtualFlags(popped)) closeStack(); return; }
  closeStack();
  const cpl = load<u32>(CPL);
  let mask: u64 = 0x244dd5 | FLAG_RF;
  if (cpl <= iopl()) mask |= FLAG_IF;
  if (cpl == 0) mask |= FLAG_IOPL;
  if (sizeof<T>() == 2) mask &= 0xffff;
  setRflags(popped & ~FLAG_RF, existingFlags(mask & ~(FLAG_VM | FLAG_VIF | FLAG_VIP)));
  closeSmapWindow();
  updateMode();
}
/** ENTER (SDM 2A): the frame pointer, up to 31 outer ones, the locals. */
export function enter<T>(u: usize): void {
  const level = load<u32>(u, 16) & 31, size: u64 = sizeof<T>();
  openCurrentStack(0);
  const mask = stackMask();
  if (!pushValue(load<u64>(RBP), size)) return;
  // On a 16-bit stack too the frame temporary is all of ESP.
  const frame = mask == 0xffff ? (load<u64>(RSP) & 0xffff0000) | stackTop() : stackTop();
  for (let i: u64 = 1; i < <u64>level; i++) {
    if (!readAt((load<u64>(RBP) - i * size) & mask, size)) return;
    if (!pushValue(outer, size)) return;
  }
  if (level && !pushValue(frame, size)) return;
  skip(-<i64>(imm(u) & 0xffff));
  // The new top must be writable (SDM 2A ENTER).
  const address = segmented(2, stackTop() & mask, <u32>size, true);
  if (fault || !writable<T>(address)) return;
  closeStack();
  storeRegister<T>(RBP, <T>frame);
}
let outer: u64 = 0;
/** Reads one outer frame pointer and comes back to the stack under construction. */
function readAt(pointer: u64, size: u64): bool {
  const top = stackTop();
  openHere(pointer);
  const ok = popValue(size);
  outer = popped;
  openHere(top);
  return ok;
}
function openHere(pointer: u64): void {
  openStack(pointer, stackMask() == <u64>-1 ? 0 : load<u64>(SS, SEG_BASE), stackMask(), load<u32>(SS, SEG_LIMIT), load<u16>(SS, SEG_ATTRIBUTES), 0);
}
export function leave<T>(u: usize): void {
  openHere(load<u64>(RBP) & stackMask());
  if (!popValue(sizeof<T>())) return;
  closeStack();
  storeRegister<T>(RBP, <T>popped);
}
