/**
 * A debugger outside the guest: breakpoints, watchpoints and single steps that no guest can see. They are apart from the debug
 * registers (debug.ts), which are the guest's.
 *
 * A block ends before an instruction whose offset in its page is a breakpoint's, and such a place is looked up anew each time
 * it is reached (blocks.ts): the rest of the code runs as fast as without. A watched page stays out of the TLB (mmu.ts); an
 * access that hits raises WATCH_STOP, which is no exception of the guest's: the instruction has changed nothing then, is run
 * again alone with the watch off, and `run` returns behind it.
 */
import { withdrawBudget } from "./control";
import { raise } from "./fault";

export const BREAKPOINT_CAPACITY: u32 = 256, WATCHPOINT_CAPACITY: u32 = 32;
/** A vector that no exception has. */
export const WATCH_STOP: u32 = 0x100;
/** Kinds of a watchpoint: bits. */
const READS: u32 = 1, WRITES: u32 = 2;

/** Linear addresses of breakpoints, and one bit per offset in a page that some breakpoint has. */
const addresses: usize = memory.data(256 * 8, 8), offsets: usize = memory.data(512, 8);
/** First and last byte (u64 each) and kind (u32) of each watchpoint. */
const watches: usize = memory.data(32 * 24, 8);
export let breakpointCount: u32 = 0, watchpointCount: u32 = 0;

export let breakpointHit: bool = false;
/** The watchpoint that was hit, the first watched byte of the access, and whether it was a write; -1 = none. */
export let watchHit: i32 = -1;
export let watchAddress: u64 = 0;
export let watchWrites: bool = false;
/** A hit stops the instruction. Otherwise it is noted, and the instruction or the delivery of an exception goes on. */
let armed: bool = false;
/** The instruction that hit is being run again: a string instruction moves one element. */
export let passing: bool = false;

export function armWatch(on: bool): void { armed = on; }
export function setPassing(on: bool): void { passing = on; }
export function forgetHits(): void { breakpointHit = false; watchHit = -1; }

export function clearPoints(): void {
  breakpointCount = 0; watchpointCount = 0;
  memory.fill(offsets, 0, 512);
}
/** False when there is no room. */
export function addBreakpoint(address: u64): bool {
  if (breakpointCount == BREAKPOINT_CAPACITY) return false;
  store<u64>(addresses + (breakpointCount << 3), address);
  breakpointCount++;
  const place = offsets + (<usize>(address >> 3) & 511);
  store<u8>(place, <u8>(<u32>load<u8>(place) | (1 << (<u32>address & 7))));
  return true;
}
/** False when there is no room. `kind`: 1 read, 2 write, 3 both. */
export function addWatchpoint(address: u64, length: u32, kind: u32): bool {
  if (watchpointCount == WATCHPOINT_CAPACITY || !length) return false;
  const place = watches + <usize>watchpointCount * 24;
  watchpointCount++;
  store<u64>(place, address); store<u64>(place, address + length - 1, 8); store<u32>(place, kind, 16);
  return true;
}

/** Whether some breakpoint has this address's offset in its page. */
// @ts-ignore: decorator
@inline export function marked(address: u64): bool {
  return breakpointCount != 0 && ((load<u8>(offsets + (<usize>(address >> 3) & 511)) >> (<u32>address & 7)) & 1) != 0;
}
/** Whether there is a breakpoint at a linear address; then the run ends before it. */
export function breaksAt(address: u64): bool {
  for (let i: u32 = 0; i < breakpointCount; i++) {
    if (load<u64>(addresses + (i << 3)) != address) continue;
    breakpointHit = true;
    withdrawBudget();
    return true;
  }
  return false;
}

/** Whether a watchpoint lies in the page of this address. */
export function pageWatched(linear: u64): bool {
  const page = linear >> 12;
  for (let i: u32 = 0, place = watches; i < watchpointCount; i++, place += 24) {
    if (page >= load<u64>(place) >> 12 && page <= load<u64>(place, 8) >> 12) return true;
  }
  return false;
}
/** Before an access: true when it has to be given up. */
export function watchStops(linear: u64, size: u32, writes: bool): bool {
  const last = linear + size - 1;
  for (let i: u32 = 0, place = watches; i < watchpointCount; i++, place += 24) {
    const first = load<u64>(place);
    if (linear > load<u64>(place, 8) || last < first || !(load<u32>(place, 16) & (writes ? WRITES : READS))) continue;
    if (armed) { raise(WATCH_STOP, 0); return true; }
    if (watchHit < 0) { watchHit = <i32>i; watchAddress = first > linear ? first : linear; watchWrites = writes; }
  }
  return false;
}
