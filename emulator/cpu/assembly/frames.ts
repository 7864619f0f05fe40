import { raise, SS_FAULT } from "./fault";
import { MODE, RSP, SEG_ATTRIBUTES, SEG_BASE, SEG_LIMIT, SS } from "./layout";
import { commit, readable, writable } from "./memory";
import { canonical, MODE_64, MODE_STACK32 } from "./mode";
import { A_EXPAND_DOWN } from "./segments";

/**
 * A stack in use by an interrupt, a far transfer or a return, before SS:RSP are committed: every push or pop can fault and
 * leave the registers as they were. Accesses go through the TLB bank that is selected when they are made.
 */
let top: u64 = 0, base: u64 = 0, mask: u64 = 0;
let limit: u32 = 0, rights: u32 = 0, code: u32 = 0;

export const STACK_64: u64 = <u64>-1, STACK_32: u64 = 0xffffffff, STACK_16: u64 = 0xffff;

/** Works on another stack. `errorCode` is that of the #SS raised when it has no room. */
export function openStack(pointer: u64, segmentBase: u64, pointerMask: u64, segmentLimit: u32, segmentRights: u32, errorCode: u32): void {
  top = pointer & pointerMask; base = segmentBase; mask = pointerMask; limit = segmentLimit; rights = segmentRights; code = errorCode;
}
/** Works on SS:RSP. */
export function openCurrentStack(errorCode: u32): void {
  const pointerMask = stackMask();
  openStack(load<u64>(RSP), pointerMask == STACK_64 ? 0 : load<u64>(SS, SEG_BASE), pointerMask, load<u32>(SS, SEG_LIMIT), load<u16>(SS, SEG_ATTRIBUTES), errorCode);
}
/** Bits of RSP that the current mode's pushes use. */
export function stackMask(): u64 {
  const mode = load<u32>(MODE);
  return mode & MODE_64 ? STACK_64 : mode & MODE_STACK32 ? STACK_32 : STACK_16;
}

/** The pointer after the pushes and pops so far. */
// @ts-ignore: decorator
@inline export function stackTop(): u64 { return top; }
/** Discards bytes (RET n), or steps back over them. */
export function skip(bytes: i64): void { top = (top + bytes) & mask; }

/** Commits the pointer to RSP: a 16-bit stack leaves the upper half of ESP alone. */
export function closeStack(): void { setStackPointer(top, mask); }
export function setStackPointer(pointer: u64, pointerMask: u64): void {
  if (pointerMask == STACK_16) store<u16>(RSP, <u16>pointer);
  else store<u64>(RSP, pointer & pointerMask);
}

/** Whether the bytes lie within the segment, or in 64-bit mode the address is canonical. */
function fits(offset: u64, bytes: u64): bool {
  if (mask == STACK_64) return canonical(offset) && canonical(offset + bytes - 1);
  const last = offset + bytes - 1;
  // As in addressing.ts: nothing lies past the end of a flat segment, the access wraps.
  if (!(rights & A_EXPAND_DOWN)) return last <= <u64>limit || (limit == 0xffffffff && !base);
  return offset > <u64>limit && last <= (rights & 0x400 ? STACK_32 : STACK_16);
}
// @ts-ignore: decorator
@inline function linearOf(offset: u64): u64 { return mask == STACK_64 ? offset : (base + offset) & 0xffffffff; }

/** Pushes 2, 4 or 8 bytes. False after a fault. */
export function push(value: u64, bytes: u64): bool {
  const offset = (top - bytes) & mask;
  if (!fits(offset, bytes)) { raise(SS_FAULT, code); return false; }
  const address = linearOf(offset);
  let p: usize;
  if (bytes == 8) { p = writable<u64>(address); if (!p) return false; store<u64>(p, value); }
  else if (bytes == 4) { p = writable<u32>(address); if (!p) return false; store<u32>(p, <u32>value); }
  else { p = writable<u16>(address); if (!p) return false; store<u16>(p, <u16>value); }
  commit(p);
  top = offset;
  return true;
}

/** The last value popped or looked at. */
export let popped: u64 = 0;
/** Reads 2, 4 or 8 bytes so far above the pointer into `popped`. False after a fault. */
export function peek(distance: u64, bytes: u64): bool {
  const offset = (top + distance) & mask;
  if (!fits(offset, bytes)) { raise(SS_FAULT, code); return false; }
  const address = linearOf(offset);
  const p = bytes == 8 ? readable<u64>(address) : bytes == 4 ? readable<u32>(address) : readable<u16>(address);
  if (!p) return false;
  popped = bytes == 8 ? load<u64>(p) : bytes == 4 ? <u64>load<u32>(p) : <u64>load<u16>(p);
  return true;
}
/** Pops 2, 4 or 8 bytes into `popped`. False after a fault. */
export function pop(bytes: u64): bool {
  if (!peek(0, bytes)) return false;
  top = (top + bytes) & mask;
  return true;
}
