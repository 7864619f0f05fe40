import { addressMask, segmented, segmentOf } from "./addressing";
import { budget, repeatAgain, spend } from "./control";
import { fault, GP, raise } from "./fault";
import { ioRead, ioWrite } from "./host";
import { CPL, INTR, RAX, RCX, RDI, RDX, RFLAGS, RSI, SEG_ATTRIBUTES, SEG_BASE, SEG_LIMIT, TR } from "./layout";
import { commit, readable, writable } from "./memory";
import { checkPort, systemRead, watchHits } from "./mmu";
import { FLAG_DF, iopl, protectedMode, virtual8086 } from "./mode";
import { imm, operandBytes, prefixes, PREFIX_REP, PREFIX_REPNE } from "./uop";

/** IN, OUT, INS and OUTS (SDM 2A, 2B). */

/** IOPL, then the I/O permission bitmap of the TSS (SDM 1 §19.5.2). False after #GP(0) or a page fault. */
export function portAllowed(port: u32, bytes: u32): bool {
  if (!protectedMode() || (load<u32>(CPL) <= iopl() && !virtual8086())) return true;
  const limit = load<u32>(TR, SEG_LIMIT), base = load<u64>(TR, SEG_BASE);
  if ((load<u16>(TR, SEG_ATTRIBUTES) & 0x8d) != 0x89 || limit < 103) { raise(GP, 0); return false; }
  let place = systemRead(base + 102, 2);
  if (!place) return false;
  const at = <u32>load<u16>(place) + (port >> 3);
  if (at + 1 > limit) { raise(GP, 0); return false; }
  place = systemRead(base + at, 2);
  if (!place) return false;
  if ((<u32>load<u16>(place) >> (port & 7)) & ((1 << bytes) - 1)) { raise(GP, 0); return false; }
  return true;
}

function input(port: u32, bytes: u32): void {
  if (!portAllowed(port, bytes)) return;
  checkPort(port, bytes);
  const value = ioRead(port, bytes);
  if (bytes == 1) store<u8>(RAX, <u8>value);
  else if (bytes == 2) store<u16>(RAX, <u16>value);
  else store<u64>(RAX, value);
}
function output(port: u32, bytes: u32): void {
  if (!portAllowed(port, bytes)) return;
  checkPort(port, bytes);
  const value = load<u32>(RAX);
  ioWrite(port, bytes, bytes == 1 ? value & 0xff : bytes == 2 ? value & 0xffff : value);
}
// @ts-ignore: decorator
@inline function wide(u: usize): u32 { return operandBytes(u) == 2 ? 2 : 4; }
// @ts-ignore: decorator
@inline function dx(): u32 { return load<u16>(RDX); }

export function inByteImmediate(u: usize): void { input(imm(u) & 0xff, 1); }
export function inImmediate(u: usize): void { input(imm(u) & 0xff, wide(u)); }
export function inByte(u: usize): void { input(dx(), 1); }
export function inWide(u: usize): void { input(dx(), wide(u)); }
export function outByteImmediate(u: usize): void { output(imm(u) & 0xff, 1); }
export function outImmediate(u: usize): void { output(imm(u) & 0xff, wide(u)); }
export function outByte(u: usize): void { output(dx(), 1); }
export function outWide(u: usize): void { output(dx(), wide(u)); }

// ------------------------------------------------------------------------------------------------ INS and OUTS

/** Adds to the part of a register that the address size names. */
function advance(register: usize, step: u64, mask: u64): void {
  if (mask == 0xffff) store<u16>(register, <u16>(load<u64>(register) + step));
  else store<u64>(register, (load<u64>(register) + step) & mask);
}

/** One element; false after a fault, with nothing changed and the port untouched. */
function transfer(u: usize, into: bool, bytes: u32, mask: u64): bool {
  const register = into ? RDI : RSI;
  const address = segmented(into ? 0 : segmentOf(u), load<u64>(register) & mask, bytes, into);
  if (fault) return false;
  let p: usize;
  if (into) {
    p = bytes == 1 ? writable<u8>(address) : bytes == 2 ? writable<u16>(address) : writable<u32>(address);
    if (!p) return false;
    const value = ioRead(dx(), bytes);
    if (bytes == 1) store<u8>(p, <u8>value); else if (bytes == 2) store<u16>(p, <u16>value); else store<u32>(p, value);
    commit(p);
  } else {
    p = bytes == 1 ? readable<u8>(address) : bytes == 2 ? readable<u16>(address) : readable<u32>(address);
    if (!p) return false;
    ioWrite(dx(), bytes, bytes == 1 ? <u32>load<u8>(p) : bytes == 2 ? <u32>load<u16>(p) : load<u32>(p));
  }
  checkPort(dx(), bytes);
  advance(register, load<u64>(RFLAGS) & FLAG_DF ? <u64>-<i64>bytes : <u64>bytes, mask);
  return true;
}

/** All elements, or as many as the slice and waiting interrupts allow. */
function string(u: usize, into: bool): void {
  const bytes = min(operandBytes(u), 4), mask = addressMask(u);
  if (!portAllowed(dx(), bytes)) return;
  if (!(prefixes(u) & (PREFIX_REP | PREFIX_REPNE))) { transfer(u, into, bytes, mask); return; }
  while (load<u64>(RCX) & mask) {
    if (!transfer(u, into, bytes, mask)) return;
    advance(RCX, -1, mask);
    spend(1);
    if ((load<u64>(RCX) & mask) && (budget <= 0 || load<u32>(INTR) || watchHits)) { repeatAgain = true; return; }
  }
}
export function ins(u: usize): void { string(u, true); }
export function outs(u: usize): void { string(u, false); }
