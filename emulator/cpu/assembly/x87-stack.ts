import { raise, MF } from "./fault";
import { CR0, CS, FCW, FDP, FIP, FOP, FSW, FTW, MODE, PAGE_LINEAR, SEGMENTS, SEG_BASE, X87 } from "./layout";
import { CR0_NE, MODE_64 } from "./mode";
import { linear, opcode } from "./uop";
import { C1, DE, IE, INTEGER_BIT, QUIET_BIT, SF, ZE, addRaised, clearRaised, raised, resultSe, resultSig, setResult } from "./x87-float80";

/** The register stack, the status word and the way an x87 instruction begins and ends. */

/** Error summary and its mirror, busy. */
const SUMMARY: u32 = 0x8080;

// @ts-ignore: decorator
@inline export function controlWord(): u32 { return load<u16>(FCW); }
// @ts-ignore: decorator
@inline export function statusWord(): u32 { return load<u16>(FSW); }
// @ts-ignore: decorator
@inline export function top(): u32 { return (load<u16>(FSW) >> 11) & 7; }
// @ts-ignore: decorator
@inline export function setTop(value: u32): void { store<u16>(FSW, <u16>((load<u16>(FSW) & ~0x3800) | ((value & 7) << 11))); }
/** Host address of ST(i). */
// @ts-ignore: decorator
@inline export function st(i: u32): usize { return X87 + (<usize>((top() + i) & 7) << 4); }
// @ts-ignore: decorator
@inline export function filled(i: u32): bool { return ((load<u8>(FTW) >> ((top() + i) & 7)) & 1) != 0; }
// @ts-ignore: decorator
@inline export function setFilled(i: u32): void { store<u8>(FTW, <u8>(load<u8>(FTW) | (<u32>1 << ((top() + i) & 7)))); }
// @ts-ignore: decorator
@inline export function setEmpty(i: u32): void { store<u8>(FTW, <u8>(load<u8>(FTW) & ~(<u32>1 << ((top() + i) & 7)))); }
// @ts-ignore: decorator
@inline export function seOf(place: usize): u32 { return load<u16>(place, 8); }
// @ts-ignore: decorator
@inline export function sigOf(place: usize): u64 { return load<u64>(place); }
/** Writes the result of the arithmetic into ST(i). */
// @ts-ignore: decorator
@inline export function storeResult(i: u32): void {
  const place = st(i);
  store<u64>(place, resultSig);
  store<u16>(place, <u16>resultSe, 8);
  setFilled(i);
}
// @ts-ignore: decorator
@inline export function pop(): void { setEmpty(0); setTop(top() + 1); }
// @ts-ignore: decorator
@inline export function pushResult(): void { setTop(top() - 1); storeResult(0); }

/** Register number of a register form. */
// @ts-ignore: decorator
@inline export function registerOf(u: usize): u32 { return opcode(u) & 7; }

/** ES and B say whether an unmasked exception waits (SDM 1 §8.1.3.3); called after FCW or FSW was loaded. */
export function updateSummary(): void {
  const status = statusWord();
  store<u16>(FSW, <u16>(status & ~controlWord() & 0x3f ? status | SUMMARY : status & ~SUMMARY));
}

/**
 * The start of every waiting instruction: an unmasked exception of an earlier one is delivered now (SDM 1 §8.7). False = do not
 * go on. With CR0.NE clear the FERR# pin would tell the interrupt controller; this machine answers as if IGNNE# were held.
 */
// @ts-ignore: decorator
@inline export function begin(): bool {
  if ((load<u16>(FSW) & ~<u32>load<u16>(FCW) & 0x3f) != 0 && (load<u64>(CR0) & CR0_NE) != 0) {
    raise(MF, 0);
    return false;
  }
  clearRaised();
  return true;
}

/** True when an exception that stops the operation before it writes (SDM 1 §8.5.1-8.5.3) is unmasked. */
// @ts-ignore: decorator
@inline export function stopped(): bool { return (raised & ~controlWord() & (IE | DE | ZE)) != 0; }

/** The end of an instruction that worked on registers: exceptions into the status word, instruction pointer noted. */
export function finish(u: usize): void {
  let status = (statusWord() & ~C1) | (raised & 0xffff);
  if (raised & ~controlWord() & 0x3f) status |= SUMMARY;
  store<u16>(FSW, <u16>status);
  store<u16>(FOP, <u16>(opcode(u) & 0x7ff));
  store<u64>(FIP, load<u64>(PAGE_LINEAR) + load<u16>(u, 14) - (load<u32>(MODE) & MODE_64 ? 0 : load<u64>(CS + SEG_BASE)));
}

/** The same for an instruction with a memory operand. */
export function finishMemory(u: usize): void {
  const segment = <usize>load<u8>(u, 13);
  const flat = segment < 4 && (load<u32>(MODE) & MODE_64) != 0;
  store<u64>(FDP, linear(u) - (flat ? 0 : load<u64>(SEGMENTS + (segment << 5) + SEG_BASE)));
  finish(u);
}

/** Stack fault: a register that should hold something is empty. The masked result is the real indefinite. */
export function stackUnderflow(): void {
  addRaised(IE | SF);
  setResult(0xffff, INTEGER_BIT | QUIET_BIT);
}

/** Stack fault: the register to be pushed into is not empty. */
export function stackOverflow(): void {
  addRaised(IE | SF | C1);
  setResult(0xffff, INTEGER_BIT | QUIET_BIT);
}
