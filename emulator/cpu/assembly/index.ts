/** What the module exports: CoreExports of ../core.ts. */
import { bindHandlers, HANDLERS } from "../../../build/generated/cpu/handlers";
import { flushBlocks, invalidateCode, prepareFusions } from "./blocks";
import { stopRequested, withdrawBudget } from "./control";
import * as points from "./debugger";
import { setFaultHandlers, setLanesHandler } from "./decoder";
import { clearTripleFault } from "./exceptions";
import { clearFault } from "./fault";
import { getRflags, setRflags } from "./flags";
import { tooLong, undefined } from "./integer";
import { CPL, RFLAGS } from "./layout";
import { emptyThirdBank } from "./memory";
import { flushTlb } from "./mmu";
import { clearInterruptShadow, setCpl, updateMode } from "./mode";
import { resetState } from "./reset";
import { lanes } from "./vex";

export { admit, run, step } from "./run";

export function reset(ramBytes: u32): void {
  bindHandlers();
  prepareFusions();
  setFaultHandlers(load<u32>(changetype<usize>(undefined)), load<u32>(changetype<usize>(tooLong)));
  setLanesHandler(load<u32>(changetype<usize>(lanes)));
  emptyThirdBank();
  resetState(ramBytes);
  flushBlocks();
}

export function stop(): void { stopRequested = true; withdrawBudget(); }

export { placeVideo, setA20, setSmram, watchVideo } from "./mmu";

/** Guest RAM changed under the core. */
export function invalidate(address: u32, length: u32): void { invalidateCode(address, length); }

export function reload(): void {
  clearFault();
  clearTripleFault();
  clearInterruptShadow();
  flushTlb(false);
  setCpl(load<u32>(CPL));
  updateMode();
}

export function readRflags(): u64 { return getRflags(); }
export function writeRflags(value: u64): void {
  setRflags(value, 0xffffffff);
  updateMode();
}

/** Breakpoints and watchpoints of a debugger outside the guest: see debugger.ts. All are given anew when one changes. */
export function clearPoints(): void { points.clearPoints(); flushBlocks(); flushTlb(false); }
export function addBreakpoint(address: u64): bool { return points.addBreakpoint(address); }
export function addWatchpoint(address: u64, length: u32, kind: u32): bool { return points.addWatchpoint(address, length, kind); }
/** What the last run hit: the number of the watchpoint, or -1; its kind of access and its address. */
export function watchHit(): i32 { return points.watchHit; }
export function watchAddress(): u64 { return points.watchAddress; }
export function watchWrites(): bool { return points.watchWrites; }
