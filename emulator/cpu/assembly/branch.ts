/** Near branches where they are not inlined: other operand sizes, segments with a base or a limit, LOOP and JCXZ. */
import { addressMask } from "./addressing";
import { GP, raise } from "./fault";
import { condition, zero } from "./flags";
import { closeStack, openCurrentStack, pop, popped, push, skip } from "./frames";
import { CS, MODE, RCX, RIP, SEG_LIMIT } from "./layout";
import { rmReadable } from "./memory";
import { canonical, MODE_64 } from "./mode";
import { imm, opcode, operandBytes } from "./uop";

/** Cuts a target to the operand size and checks it: the branch itself faults (SDM 2A CALL, JMP, Jcc). False after #GP(0). */
let target: u64 = 0;
function aim(u: usize, address: u64): bool {
  if (load<u32>(MODE) & MODE_64) { target = address; if (canonical(address)) return true; }
  else {
    target = address & (operandBytes(u) == 2 ? 0xffff : 0xffffffff);
    if (target <= <u64>load<u32>(CS, SEG_LIMIT)) return true;
  }
  raise(GP, 0);
  return false;
}
function jump(u: usize, address: u64): void { if (aim(u, address)) store<u64>(RIP, target); }
function call(u: usize, address: u64): void {
  if (!aim(u, address)) return;
  openCurrentStack(0);
  if (!push(load<u64>(RIP), operandBytes(u))) return;
  closeStack();
  store<u64>(RIP, target);
}
// @ts-ignore: decorator
@inline function relative(u: usize): u64 { return load<u64>(RIP) + <u64><i64>imm(u); }

export function jumpRelative(u: usize): void { jump(u, relative(u)); }
export function callRelative(u: usize): void { call(u, relative(u)); }
export function jumpIf(u: usize): void { if (condition(opcode(u) & 15)) jump(u, relative(u)); }
export function jumpIndirect<T>(u: usize): void { const p = rmReadable<T>(u); if (p) jump(u, <u64>load<T>(p)); }
export function callIndirect<T>(u: usize): void { const p = rmReadable<T>(u); if (p) call(u, <u64>load<T>(p)); }
export function ret<T>(u: usize): void {
  openCurrentStack(0);
  if (!pop(sizeof<T>()) || !aim(u, popped)) return;
  skip(<i64>imm(u));
  closeStack();
  store<u64>(RIP, target);
}
/** LOOP, LOOPE, LOOPNE: count in CX, ECX or RCX by address size. */
export function loop(u: usize): void {
  const mask = addressMask(u), count = (load<u64>(RCX) - 1) & mask;
  const wanted = opcode(u) == 0xe2 || (opcode(u) == 0xe1) == (zero() != 0);
  if (count && wanted && !aim(u, relative(u))) return;
  setCount(mask, count);
  if (count && wanted) store<u64>(RIP, target);
}
export function setCount(mask: u64, count: u64): void { if (mask == 0xffff) store<u16>(RCX, <u16>count); else store<u64>(RCX, count); }
export function jumpIfCountZero(u: usize): void { if (!(load<u64>(RCX) & addressMask(u))) jump(u, relative(u)); }
