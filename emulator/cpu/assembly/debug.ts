import { DB, GP, raise } from "./fault";
import { withdrawBudget } from "./control";
import { CS, DEBUGCTL, DR, MODE, RFLAGS, RIP, SEG_BASE } from "./layout";
import { clearWatchHits, watchHits } from "./mmu";
import { FLAG_RF, MODE_64, MODE_TRACE, virtualInterruptDue } from "./mode";

/**
 * Debug exceptions around one instruction in trace mode (SDM 3B §17.2, §17.3): instruction breakpoints are faults before it,
 * data breakpoints and single steps one trap after it. Data breakpoints are noticed by mmu.ts.
 */
const DR6: usize = DR + 48, DR7: usize = DR + 56;
const SINGLE_STEP: u64 = 0x4000, TASK_SWITCH: u64 = 0x8000, GENERAL_DETECT: u64 = 0x2000;
const BTF: u64 = 2;

/** TF traps only after branches (SDM 3B §17.4.3). A branch to the instruction behind it does not count as one here. */
export function branchesOnly(): bool { return (load<u64>(DEBUGCTL) & BTF) != 0; }

/** The new task's TSS has the T bit: #DB before its first instruction (SDM 3B §17.3.1.5). The run loop delivers it at once. */
export let taskTrap: bool = false;
export function wantTaskTrap(): void { taskTrap = true; withdrawBudget(); }
export function forgetTaskTrap(): void { taskTrap = false; }
export function trapTask(): void {
  taskTrap = false;
  store<u64>(DR6, load<u64>(DR6) | TASK_SWITCH);
  raiseDebug();
}

/** #DB, whose handler may use the debug registers: DR7.GD is cleared on the way (SDM 3B §17.2.4). */
export function raiseDebug(): void {
  store<u64>(DR7, load<u64>(DR7) & ~GENERAL_DETECT);
  raise(DB, 0);
}

/** The instruction entered a handler with TF clear (INT n, SYSCALL): it ends without a single-step trap. */
export let stepSwallowed: bool = false;
export function swallowStep(): void { stepSwallowed = true; }

/**
 * Before an instruction: true when an instruction breakpoint has raised #DB, or a virtual interrupt #GP. RF lets a breakpoint pass,
 * and is used up. After a load of SS (`held`) there is none, and what the load itself hit stays pending (SDM 3A §6.8.3).
 */
export function instructionBreak(held: bool): bool {
  stepSwallowed = false;
  if (held) return false;
  clearWatchHits();
  if (virtualInterruptDue()) { raise(GP, 0); return true; }
  const flags = load<u64>(RFLAGS);
  if (flags & FLAG_RF) { store<u64>(RFLAGS, flags & ~FLAG_RF); return false; }
  const control = <u32>load<u64>(DR7);
  if (!(control & 0xff)) return false;
  const rip = load<u64>(RIP), address = load<u32>(MODE) & MODE_64 ? rip : (load<u64>(CS, SEG_BASE) + rip) & 0xffffffff;
  let hits: u64 = 0;
  for (let i: u32 = 0; i < 4; i++) {
    const enabled = ((control >> (i * 2)) & 3) != 0, execute = ((control >> (16 + i * 4)) & 3) == 0;
    if (enabled && execute && load<u64>(DR + (i << 3)) == address) hits |= 1 << i;
  }
  if (!hits) return false;
  store<u64>(DR6, (load<u64>(DR6) & ~15) | hits);
  raiseDebug();
  return true;
}

/** A REP instruction was interrupted: its own breakpoint must not strike again. */
export function keepResuming(): void {
  if (load<u32>(MODE) & MODE_TRACE) store<u64>(RFLAGS, load<u64>(RFLAGS) | FLAG_RF);
}

/** INT1 takes the data breakpoints that wait into its own #DB. */
export function mergeWatchHits(): void {
  store<u64>(DR6, load<u64>(DR6) | <u64>watchHits);
  clearWatchHits();
}

/** After an instruction that has ended: one #DB for a single step and the data breakpoints that it hit. */
export function debugTrap(single: bool): void {
  if (!single && !watchHits) return;
  // What was hit before is forgotten; the rest of DR6 stays (SDM 3B §17.2.3).
  store<u64>(DR6, (load<u64>(DR6) & ~15) | <u64>watchHits | (single ? SINGLE_STEP : 0));
  clearWatchHits();
  raiseDebug();
}
