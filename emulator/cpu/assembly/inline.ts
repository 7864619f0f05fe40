/** What the interpreter's switch does in place: the hot operations on registers, memory and the stack. False: a fault, nothing changed. */
import { clearFault, nonCanonical, raise, SS_FAULT } from "./fault";
import { RSP } from "./layout";
import { commit, readable, storable, tlbRead, tlbSlot, tlbWrite, writable } from "./memory";
import { compute, decrement, increment, storeRegister, writesBack } from "./operations";
import { imm, linear, reg, rm } from "./uop";

// @ts-ignore: decorator
@inline export function registerRegister<T>(operation: u32, u: usize): void {
  const to = reg(u), r = compute<T>(operation, load<T>(to), load<T>(rm(u)));
  if (writesBack(operation)) storeRegister<T>(to, r);
}
// @ts-ignore: decorator
@inline export function registerImmediate<T>(operation: u32, u: usize): void {
  const to = reg(u), r = compute<T>(operation, load<T>(to), <T><i64>imm(u));
  if (writesBack(operation)) storeRegister<T>(to, r);
}
// @ts-ignore: decorator
@inline export function registerMemory<T>(operation: u32, u: usize): bool {
  const p = readable<T>(linear(u));
  if (!p) return false;
  const to = reg(u), r = compute<T>(operation, load<T>(to), load<T>(p));
  if (writesBack(operation)) storeRegister<T>(to, r);
  return true;
}
// @ts-ignore: decorator
@inline export function memoryRegister<T>(operation: u32, u: usize): bool {
  const p = writesBack(operation) ? writable<T>(linear(u)) : readable<T>(linear(u));
  if (!p) return false;
  const r = compute<T>(operation, load<T>(p), load<T>(reg(u)));
  if (writesBack(operation)) { store<T>(p, r); commit(p); }
  return true;
}
// @ts-ignore: decorator
@inline export function memoryImmediate<T>(operation: u32, u: usize): bool {
  const p = writesBack(operation) ? writable<T>(linear(u)) : readable<T>(linear(u));
  if (!p) return false;
  const r = compute<T>(operation, load<T>(p), <T><i64>imm(u));
  if (writesBack(operation)) { store<T>(p, r); commit(p); }
  return true;
}
// @ts-ignore: decorator
@inline export function loadMemory<T>(u: usize): bool {
  const p = readable<T>(linear(u));
  if (!p) return false;
  storeRegister<T>(reg(u), load<T>(p));
  return true;
}
// @ts-ignore: decorator
@inline export function storeMemory<T>(u: usize, value: T): bool {
  const p = storable<T>(linear(u));
  if (!p) return false;
  store<T>(p, value); commit(p);
  return true;
}
/** MOVSX and MOVZX from memory: `To` is written in full. */
// @ts-ignore: decorator
@inline export function extendMemory<From, To>(u: usize): bool {
  const p = readable<From>(linear(u));
  if (!p) return false;
  store<u64>(reg(u), <u64><To>load<From>(p));
  return true;
}
// @ts-ignore: decorator
@inline export function stepMemory<T>(up: bool, u: usize): bool {
  const p = writable<T>(linear(u));
  if (!p) return false;
  store<T>(p, up ? increment<T>(load<T>(p)) : decrement<T>(load<T>(p))); commit(p);
  return true;
}
// @ts-ignore: decorator
@inline export function push64(value: u64): bool {
  const top = load<u64>(RSP) - 8, p = writable<u64>(top);
  if (!p) return stackFault();
  store<u64>(p, value); commit(p);
  store<u64>(RSP, top);
  return true;
}
/** The same where the store needs no slow path, so that it cannot touch code; false: nothing done. */
// @ts-ignore: decorator
@inline export function pushFast(value: u64): bool {
  const top = load<u64>(RSP) - 8, slot = tlbSlot(tlbWrite, top);
  if (((top + 7) & ~0xfff) != load<u64>(slot)) return false;
  store<u64>(<usize>(<u32>top + load<u32>(slot, 8)), value);
  store<u64>(RSP, top);
  return true;
}
/** Two pushes, or two pops, that lie in one page of the TLB; false: nothing done. */
// @ts-ignore: decorator
@inline export function pushTwo(u: usize): bool {
  const top = load<u64>(RSP) - 16, slot = tlbSlot(tlbWrite, top);
  // PUSH RSP pushes what the first push has left.
  if (((top + 15) & ~0xfff) != load<u64>(slot) || load<u16>(u, 32 + 6) == <u16>RSP) return false;
  const p = <usize>(<u32>top + load<u32>(slot, 8));
  store<u64>(p, load<u64>(rm(u)), 8);
  store<u64>(p, load<u64>(load<u16>(u, 32 + 6)));
  store<u64>(RSP, top);
  return true;
}
// @ts-ignore: decorator
@inline export function popTwo(u: usize): bool {
  const top = load<u64>(RSP), slot = tlbSlot(tlbRead, top);
  // After POP RSP the second pop is elsewhere.
  if (((top + 15) & ~0xfff) != load<u64>(slot) || rm(u) == RSP) return false;
  const p = <usize>(<u32>top + load<u32>(slot, 8));
  store<u64>(RSP, top + 16);
  store<u64>(rm(u), load<u64>(p));
  store<u64>(load<u16>(u, 32 + 6), load<u64>(p, 8));
  return true;
}
/** A stack reference through a non-canonical address is #SS(0), not #GP(0) (SDM 3A §6.15). */
export function stackFault(): bool {
  if (nonCanonical) { clearFault(); raise(SS_FAULT, 0); }
  return false;
}

/** The same for a memory operand whose segment is SS: the MMU does not know segments. */
// @ts-ignore: decorator
@inline export function nameStackFault(u: usize): void { if (nonCanonical && load<u8>(u, 13) == 2 && !rm(u)) stackFault(); }
