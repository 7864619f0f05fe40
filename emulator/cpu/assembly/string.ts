/**
 * String instructions (SDM 2A MOVS, REP). Registers are written back after every element, so that a fault leaves a state to
 * restart from. A REP stops after CHUNK elements to let interrupts in (`repeatAgain`). Runs inside one page of RAM on both
 * sides go through memory.copy and memory.fill.
 */
import { addressMask, segmented, segmentOf } from "./addressing";
import { repeatAgain, spend } from "./control";
import { passing } from "./debugger";
import { clearFault, fault } from "./fault";
import { DF_FLAG, zero } from "./flags";
import { MODE, RAX, RCX, RDI, RFLAGS, RSI } from "./layout";
import { commit, readable, storable, tlbRead, tlbSlot, tlbWrite } from "./memory";
import { MODE_64, MODE_FLAT, MODE_TRACE } from "./mode";
import { CMP, compute, storeRegister } from "./operations";
import { prefixes, PREFIX_REP, PREFIX_REPNE } from "./uop";

/** Elements that one call may move before it lets the run loop look around. */
const CHUNK: u32 = 16384;
const ES_NUMBER: u32 = 0;

// The instruction under way: address mask, prefix, signed step in bytes, elements left (1 without REP), segment of rSI.
let mask: u64 = 0, repeat: u32 = 0, step: i64 = 0, left: u64 = 0, allowance: u32 = 0, source: u32 = 0, flat: bool = false;

/** False when there is nothing to do. */
function begin(u: usize, size: i64): bool {
  mask = addressMask(u);
  repeat = prefixes(u) & (PREFIX_REP | PREFIX_REPNE);
  step = load<u64>(RFLAGS) & <u64>DF_FLAG ? -size : size;
  left = repeat ? load<u64>(RCX) & mask : 1;
  source = segmentOf(u);
  const mode = load<u32>(MODE);
  flat = (mode & MODE_64) != 0 || ((mode & MODE_FLAT) != 0 && source < 4);
  allowance = passing || (mode & MODE_TRACE) ? 1 : CHUNK;
  // ECX of 0 counts nothing, and leaves nothing above it.
  if (!left && mask == 0xffffffff) store<u64>(RCX, 0);
  return left != 0;
}
/** MOVS and STOS with a count of zero write their registers, which clears what is above 32 bits; the others do not (tried on a Xeon). */
function touch(register: usize): void {
  if (mask == 0xffffffff) store<u64>(register, load<u64>(register) & mask);
}
// @ts-ignore: decorator
@inline function advance(register: usize, bytes: i64): void {
  const value = load<u64>(register) + bytes;
  if (mask == 0xffff) store<u16>(register, <u16>value); else store<u64>(register, value & mask);
}
/** Counts elements as done; true while another may start now. */
function done(elements: u64): bool {
  left -= elements;
  if (!repeat) return false;
  if (mask == 0xffff) store<u16>(RCX, <u16>left); else store<u64>(RCX, left);
  if (!left) { spend(<i32>(CHUNK - allowance) >> 5); return false; }
  if (<u64>allowance > elements) { allowance -= <u32>elements; return true; }
  spend(CHUNK >> 5);
  repeatAgain = true;
  return false;
}
// @ts-ignore: decorator
@inline function sourceAddress(size: u32): u64 { return segmented(source, load<u64>(RSI) & mask, size, false); }
// @ts-ignore: decorator
@inline function targetAddress(size: u32, writes: bool): u64 { return segmented(ES_NUMBER, load<u64>(RDI) & mask, size, writes); }

/** Elements from an address up to the end of its page, when they go upwards. */
// @ts-ignore: decorator
@inline function inPage<T>(address: u64): u64 { return (0x1000 - (address & 0xfff)) / sizeof<T>(); }
/** Whether the page of an address is plain RAM in this TLB array. */
// @ts-ignore: decorator
@inline function hit(array: usize, address: u64): bool { return load<u64>(tlbSlot(array, address)) == (address & ~0xfff); }
// @ts-ignore: decorator
@inline function hostOf(array: usize, address: u64): usize { return <usize>(<u32>address + load<u32>(tlbSlot(array, address), 8)); }
/** Offsets of a 16-bit or limited segment are checked one element at a time. */
// @ts-ignore: decorator
@inline function fast(): bool { return repeat != 0 && step > 0 && flat && mask != 0xffff && left > 1; }

export function movs<T>(u: usize): void {
  if (!begin(u, sizeof<T>())) { touch(RSI); touch(RDI); return; }
  for (;;) {
    const from = sourceAddress(<u32>sizeof<T>());
    if (fault) return;
    const to = targetAddress(<u32>sizeof<T>(), true);
    if (fault) {
      // The load comes first: what it raises has precedence.
      clearFault();
      if (readable<T>(from)) targetAddress(<u32>sizeof<T>(), true);
      return;
    }
    if (fast() && hit(tlbRead, from) && hit(tlbWrite, to)) {
      const n = run<T>(min(inPage<T>(from), inPage<T>(to)));
      if (n) {
        copyElements<T>(hostOf(tlbWrite, to), hostOf(tlbRead, from), <usize>n);
        advance(RSI, <i64>(n * sizeof<T>())); advance(RDI, <i64>(n * sizeof<T>()));
        if (done(n)) continue;
        return;
      }
    }
    const p = readable<T>(from);
    if (!p) return;
    const value = load<T>(p), q = storable<T>(to);
    if (!q) return;
    store<T>(q, value); commit(q);
    advance(RSI, step); advance(RDI, step);
    if (!done(1)) return;
  }
}
/** Elements of a fast run: what the pages hold, what is left, what this call may do, and no wrap of 32-bit registers. */
// @ts-ignore: decorator
@inline function run<T>(inPages: u64): u64 {
  let n = min(min(inPages, left), <u64>allowance);
  if (mask == 0xffffffff) {
    const room = (0x100000000 - max(load<u64>(RSI) & mask, load<u64>(RDI) & mask)) / sizeof<T>();
    n = min(n, room);
  }
  return n;
}
/** Ascending element by element: a destination just above its source repeats a pattern, which memory.copy would not. */
function copyElements<T>(to: usize, from: usize, count: usize): void {
  if (to <= from || to >= from + count * sizeof<T>()) { memory.copy(to, from, count * sizeof<T>()); return; }
  for (let i: usize = 0; i < count * sizeof<T>(); i += sizeof<T>()) store<T>(to + i, load<T>(from + i));
}

export function stos<T>(u: usize): void {
  if (!begin(u, sizeof<T>())) { touch(RDI); return; }
  for (;;) {
    const to = targetAddress(<u32>sizeof<T>(), true);
    if (fault) return;
    if (fast() && hit(tlbWrite, to)) {
      let n = min(min(inPage<T>(to), left), <u64>allowance);
      if (mask == 0xffffffff) n = min(n, (0x100000000 - (load<u64>(RDI) & mask)) / sizeof<T>());
      if (n) {
        fillElements<T>(hostOf(tlbWrite, to), <usize>n);
        advance(RDI, <i64>(n * sizeof<T>()));
        if (done(n)) continue;
        return;
      }
    }
    const q = storable<T>(to);
    if (!q) return;
    store<T>(q, load<T>(RAX)); commit(q);
    advance(RDI, step);
    if (!done(1)) return;
  }
}
function fillElements<T>(to: usize, count: usize): void {
  const value = load<T>(RAX), byte = <T>load<u8>(RAX);
  if (sizeof<T>() == 1 || value == <T>0) { memory.fill(to, <u8>byte, count * sizeof<T>()); return; }
  for (let i: usize = 0; i < count * sizeof<T>(); i += sizeof<T>()) store<T>(to + i, value);
}

export function lods<T>(u: usize): void {
  if (!begin(u, sizeof<T>())) return;
  do {
    const from = sourceAddress(<u32>sizeof<T>());
    if (fault) return;
    const p = readable<T>(from);
    if (!p) return;
    storeRegister<T>(RAX, load<T>(p));
    advance(RSI, step);
  } while (done(1));
}

/**
 * REPE goes on while ZF is 1, REPNE while it is 0. What is stopped between two elements has the flags of the last comparison,
 * as on AMD's processors; Intel's have those from before the instruction (SDM 2B REP; both tried).
 */
// @ts-ignore: decorator
@inline function goesOn(): bool { return (repeat == PREFIX_REP) == (zero() != 0); }

export function cmps<T>(u: usize): void {
  if (!begin(u, sizeof<T>())) return;
  for (;;) {
    const from = sourceAddress(<u32>sizeof<T>());
    if (fault) return;
    const p = readable<T>(from);
    if (!p) return;
    const a = load<T>(p), to = targetAddress(<u32>sizeof<T>(), false);
    if (fault) return;
    const q = readable<T>(to);
    if (!q) return;
    compute<T>(CMP, a, load<T>(q));
    advance(RSI, step); advance(RDI, step);
    if (!done(1)) break;
    if (!goesOn()) return;
  }
  if (!goesOn()) repeatAgain = false;
}
export function scas<T>(u: usize): void {
  if (!begin(u, sizeof<T>())) return;
  for (;;) {
    const to = targetAddress(<u32>sizeof<T>(), false);
    if (fault) return;
    const q = readable<T>(to);
    if (!q) return;
    compute<T>(CMP, load<T>(RAX), load<T>(q));
    advance(RDI, step);
    if (!done(1)) break;
    if (!goesOn()) return;
  }
  if (!goesOn()) repeatAgain = false;
}
