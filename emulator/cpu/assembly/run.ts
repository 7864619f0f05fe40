/** The run loop: between blocks it delivers exceptions and interrupts, and stops for the host and for a debugger. */
import { stepOnce } from "./blocks";
import { budget, grant, granted, spend, stopRequested, syncRetired } from "./control";
import { branchesOnly, debugTrap, instructionBreak, keepResuming, stepSwallowed, taskTrap, trapTask } from "./debug";
import { armWatch, breakpointCount, breakpointHit, breaksAt, forgetHits, passing, setPassing, watchHit, WATCH_STOP } from "./debugger";
import { decodedLength } from "./decoder";
import { deliverException, deliverInterrupt, deliverNmi, nmiBlocked, tripleFault } from "./exceptions";
import { clearFault, fault, faultVector } from "./fault";
import { IF, TF } from "./flags";
import { acknowledgeInterrupt } from "./host";
import { execute } from "./interpreter";
import { CPL, CS, HALTED, HALTED_OPEN, IN_SMM, INTR, MODE, NMI, RFLAGS, RIP, SEG_BASE, SMI } from "./layout";
import { selectBank } from "./memory";
import { clearWatchHits, watchHits } from "./mmu";
import { clearInterruptShadow, interruptShadow, MODE_64, MODE_TRACE } from "./mode";
import { enterManagement } from "./smm";

/** RunExit of core.ts. */
const EXIT_BUDGET: u32 = 0, EXIT_HALTED: u32 = 1, EXIT_TRIPLE_FAULT: u32 = 2, EXIT_STOPPED: u32 = 3, EXIT_BREAKPOINT: u32 = 4, EXIT_WATCHPOINT: u32 = 5;

/** Delivers what waits; false while the processor is halted and nothing does. */
function acceptInterrupt(): bool {
  if (!interruptShadow) {
    // SMI before NMI before what is maskable (SDM 3A table 6-2).
    if (load<u32>(SMI) && !load<u32>(IN_SMM)) enterManagement();
    else if (load<u32>(NMI) && !nmiBlocked) { store<u32>(NMI, 0); store<u32>(HALTED, 0); deliverNmi(); }
    else if (load<u32>(INTR) && (load<u64>(RFLAGS) & IF)) {
      const vector = acknowledgeInterrupt();
      if (vector >= 0) { store<u32>(HALTED, 0); deliverInterrupt(vector); }
    } else if (load<u32>(INTR) && load<u32>(HALTED) == HALTED_OPEN) store<u32>(HALTED, 0);
  }
  return !load<u32>(HALTED);
}

/** Linear address of the instruction at RIP. */
function ripLinear(): u64 {
  const rip = load<u64>(RIP);
  return load<u32>(MODE) & MODE_64 ? rip : (load<u64>(CS, SEG_BASE) + rip) & 0xffffffff;
}

/** RIP behind the instruction that was decoded last, which was at `rip`. */
function behind(rip: u64): u64 {
  const end = rip + decodedLength;
  return load<u32>(MODE) & MODE_64 ? end : end & 0xffffffff;
}

/** Set by a debugger that steps. */
let alone: bool = false;
/**
 * Runs the instruction at RIP, whatever breakpoint is there, and delivers the exception that it raises. External interrupts are
 * held back meanwhile, as a debugger's user follows the code and not the clock.
 */
export function step(): u32 {
  alone = true;
  const exit = run(1);
  alone = false;
  return exit;
}

/** Delivers an interrupt that waits and may be taken now, and runs nothing; false while the processor is halted. */
export function admit(): bool { return acceptInterrupt(); }

/** Runs until about so many instructions have retired, or the debugger's points stop it. */
export function run(instructions: u32): u32 {
  grant(<i32>min(instructions, 0x7fffffff));
  forgetHits();
  let exit = EXIT_BUDGET;
  for (;;) {
    // A handler that faults at once retires nothing: such a loop must end the slice too.
    if (fault && faultVector == WATCH_STOP) { clearFault(); selectBank(load<u32>(CPL)); setPassing(true); }
    if (fault) {
      clearWatchHits();
      deliverException(); spend(4);
      // A data breakpoint that the frame's pushes hit traps before the handler's first instruction.
      if (watchHits && !tripleFault && !taskTrap) { debugTrap(false); continue; }
    }
    if (taskTrap) { trapTask(); continue; }
    if (tripleFault) { exit = EXIT_TRIPLE_FAULT; break; }
    if (watchHit >= 0) { exit = EXIT_WATCHPOINT; break; }
    if (budget <= 0) { exit = breakpointHit ? EXIT_BREAKPOINT : stopRequested ? EXIT_STOPPED : EXIT_BUDGET; break; }
    if (alone ? load<u32>(HALTED) != 0 : !acceptInterrupt()) { exit = EXIT_HALTED; break; }
    if (tripleFault) continue;
    const shadow = interruptShadow, trace = (load<u64>(RFLAGS) & TF) != 0;
    clearInterruptShadow();
    // After STI only a waiting interrupt needs the exact place.
    const one = alone || passing || shadow == 2 || (shadow && (load<u32>(INTR) | load<u32>(NMI) | load<u32>(SMI))) || trace || (load<u32>(MODE) & MODE_TRACE) != 0;
    if ((load<u32>(MODE) & MODE_TRACE) && instructionBreak(shadow == 2)) continue;
    // What runs alone is not looked up in blocks, and blocks alone know of breakpoints.
    if (one && !alone && !passing && breakpointCount && breaksAt(ripLinear())) continue;
    const retired = granted - budget, rip = load<u64>(RIP);
    armWatch(!passing);
    stepOnce(one);
    execute();
    stepOnce(false);
    armWatch(false);
    if (passing) { setPassing(false); if (fault) forgetHits(); }
    if (!one || fault) continue;
    // Each element of a repeated string instruction is followed by the traps that it caused (SDM 3B §17.3.1.4).
    const single = trace && (!branchesOnly() || load<u64>(RIP) != behind(rip));
    if (granted - budget == retired) { keepResuming(); debugTrap(single); }
    else if (interruptShadow != 2) debugTrap(single && !stepSwallowed);
  }
  syncRetired(0);
  return exit;
}
