/**
 * The run loop's controls that handlers and callbacks touch. `budget` counts down by the instructions that a block exit
 * retires; RETIRED at any block boundary is `retiredAtStart + granted - budget`.
 */
import { RETIRED } from "./layout";

/** Instructions that this call of `run` may still retire, and how many it was given. */
export let budget: i32 = 0;
export let granted: i32 = 0;
let retiredBefore: u64 = 0;

/** The board asked `run` to return. */
export let stopRequested: bool = false;
/** A REP instruction wants to go on where it stopped: RIP stays, and the instruction has not retired. */
export let repeatAgain: bool = false;

export function grant(instructions: i32): void {
  budget = instructions; granted = instructions;
  retiredBefore = load<u64>(RETIRED);
  stopRequested = false;
}

/** Ends the slice at the next block boundary without disturbing the count of retired instructions. */
export function withdrawBudget(): void {
  if (budget > 0) { granted -= budget; budget = 0; }
}
/** Spends budget on work that retires nothing (a long REP), so that a slice stays short. */
export function spend(amount: i32): void { budget -= amount; granted -= amount; }

/** Makes RETIRED true; `more` instructions of the running block count as retired too. */
export function syncRetired(more: i32): void { store<u64>(RETIRED, retiredBefore + <u64><i64>(granted - budget + more)); }
