import { CR0, RFLAGS, TLB_BASE, TLB_BANK_BYTES, TLB_BYTES, WRITE_SCRATCH } from "./layout";
import { commitSlow, slowRead, slowStore, slowWrite } from "./mmu";
import { linear, rm } from "./uop";

/**
 * Guest memory as handlers see it. Every access asks for a host address first:
 *
 *     const p = readable<u32>(linear(u)); if (!p) return;          // 0: a fault is recorded; leave without any visible change
 *     const value = load<u32>(p);
 *
 *     const p = writable<u32>(linear(u)); if (!p) return;
 *     store<u32>(p, load<u32>(p) + 1);                             // a writable place can be read too (read-modify-write)
 *     commit(p);                                                   // finishes page-crossing and MMIO stores
 *
 * Only one write may be open at a time; an open read stays valid until the next slow read. Sizes: 1, 2, 4, 8, 16.
 */

/** TLB arrays of the current privilege bank. Set by `selectBank` when CPL changes. */
export let tlbRead: usize = TLB_BASE;
export let tlbWrite: usize = TLB_BASE + TLB_BYTES;
export let tlbExecute: usize = TLB_BASE + 2 * TLB_BYTES;

/**
 * Alignment checking is on (CPL 3, CR0.AM and RFLAGS.AC; SDM 3A §6.15 #AC): reads and writes use arrays that hold nothing,
 * so that every access takes the slow path, which checks.
 */
export let alignmentChecked: bool = false;
const EMPTY_BANK: usize = TLB_BASE + 2 * TLB_BANK_BYTES;

export function selectBank(cpl: u32): void {
  let base = TLB_BASE + (cpl == 3 ? TLB_BANK_BYTES : 0);
  tlbExecute = base + 2 * TLB_BYTES;
  alignmentChecked = cpl == 3 && (load<u64>(RFLAGS) & load<u64>(CR0) & 0x40000) != 0;
  if (alignmentChecked) base = EMPTY_BANK;
  tlbRead = base; tlbWrite = base + TLB_BYTES;
}
/** Once, at reset: nothing ever fills the empty bank. */
export function emptyThirdBank(): void { memory.fill(EMPTY_BANK, 0xff, 2 * TLB_BYTES); }

// @ts-ignore: decorator
@inline export function tlbSlot(array: usize, address: u64): usize { return array + ((<usize>(address >> 12) & 1023) << 4); }

/** Host address of `sizeof<T>()` readable bytes at a linear address, or 0 when the access faulted. */
// @ts-ignore: decorator
@inline export function readable<T>(address: u64): usize {
  const slot = tlbSlot(tlbRead, address);
  if (((address + (sizeof<T>() - 1)) & ~0xfff) == load<u64>(slot)) return <usize>address + load<u32>(slot, 8);
  return slowRead(address, <u32>sizeof<T>());
}

/** Host address of `sizeof<T>()` writable bytes at a linear address, or 0 when the access faulted. Finish with `commit`. */
// @ts-ignore: decorator
@inline export function writable<T>(address: u64): usize {
  const slot = tlbSlot(tlbWrite, address);
  if (((address + (sizeof<T>() - 1)) & ~0xfff) == load<u64>(slot)) return <usize>address + load<u32>(slot, 8);
  return slowWrite(address, <u32>sizeof<T>());
}

/** The same for a plain store of all `sizeof<T>()` bytes: the place may not be read, and a device sees no read before the write. */
// @ts-ignore: decorator
@inline export function storable<T>(address: u64): usize {
  const slot = tlbSlot(tlbWrite, address);
  if (((address + (sizeof<T>() - 1)) & ~0xfff) == load<u64>(slot)) return <usize>address + load<u32>(slot, 8);
  return slowStore(address, <u32>sizeof<T>());
}

// @ts-ignore: decorator
@inline export function commit(place: usize): void { if (place == WRITE_SCRATCH) commitSlow(); }

/** Host address of the rm operand, register or memory, to read `sizeof<T>()` bytes; 0 when the access faulted. */
// @ts-ignore: decorator
@inline export function rmReadable<T>(u: usize): usize { const r = rm(u); return r ? r : readable<T>(linear(u)); }
/** The same to read and write. Finish with `commit`. A 32-bit register write must zero the upper half: see `storeGpr32`. */
// @ts-ignore: decorator
@inline export function rmWritable<T>(u: usize): usize { const r = rm(u); return r ? r : writable<T>(linear(u)); }
