import { setArithmetic } from "./flags";
import { readable } from "./memory";
import { linear, opcode } from "./uop";
import { classCodes, extractExponent, fromDouble, fromInteger, fromSingle, roundToInteger, scale } from "./x87-convert";
import {
  BIAS, C0, C1, C2, C3, DE, IE, SIGN, add, compare, divide, isNan, multiply, partialRemainder, raised, resultSe, resultSig,
  setResult, squareRoot,
} from "./x87-float80";
import {
  begin, controlWord, filled, finish, finishMemory, pop, pushResult, registerOf, seOf, sigOf, st, stackOverflow, stackUnderflow, statusWord, stopped, storeResult,
} from "./x87-stack";
import { FSW } from "./layout";

/** Arithmetic and comparisons (SDM 1 §8.3.5, §8.3.6). */

/** ST(0) and another operand, by the operation number in the opcode's bits 3-5: ADD MUL - - SUB SUBR DIV DIVR. */
function combine(operation: u32, se: u32, sig: u64): void {
  const control = controlWord(), place = st(0), aSe = seOf(place), aSig = sigOf(place);
  switch (operation) {
    case 0: add(aSe, aSig, se, sig, 0, control); break;
    case 1: multiply(aSe, aSig, se, sig, control); break;
    case 4: add(aSe, aSig, se, sig, SIGN, control); break;
    case 5: add(se, sig, aSe, aSig, SIGN, control); break;
    case 6: divide(aSe, aSig, se, sig, control); break;
    default: divide(se, sig, aSe, aSig, control); break;
  }
}

/** ST(0) = ST(0) op the widened operand in the result. */
// @ts-ignore: decorator
@inline function combineMemory(u: usize): void {
  if (filled(0)) combine((opcode(u) >> 3) & 7, resultSe, resultSig);
  else stackUnderflow();
  if (!stopped()) storeResult(0);
  finishMemory(u);
}

export function arithmeticSingle(u: usize): void {
  if (!begin()) return;
  const p = readable<u32>(linear(u)); if (!p) return;
  fromSingle(load<u32>(p));
  combineMemory(u);
}
export function arithmeticDouble(u: usize): void {
  if (!begin()) return;
  const p = readable<u64>(linear(u)); if (!p) return;
  fromDouble(load<u64>(p));
  combineMemory(u);
}
export function arithmeticDoubleword(u: usize): void {
  if (!begin()) return;
  const p = readable<u32>(linear(u)); if (!p) return;
  fromInteger(<i64>load<i32>(p));
  combineMemory(u);
}
export function arithmeticWord(u: usize): void {
  if (!begin()) return;
  const p = readable<u16>(linear(u)); if (!p) return;
  fromInteger(<i64>load<i16>(p));
  combineMemory(u);
}

/** The register forms compute the same ST(0) op ST(i); only the destination differs (so DC and DE name SUB and SUBR the other way round). */
// @ts-ignore: decorator
@inline function combineRegister(u: usize, destination: u32, popping: bool): void {
  if (!begin()) return;
  const i = registerOf(u), place = st(i);
  if (filled(0) && filled(i)) combine((opcode(u) >> 3) & 7, seOf(place), sigOf(place));
  else stackUnderflow();
  const stored = !stopped();
  if (stored) storeResult(destination);
  finish(u);
  if (popping && stored) pop();
}
export function arithmeticRegister(u: usize): void { combineRegister(u, 0, false); }
export function arithmeticToRegister(u: usize): void { combineRegister(u, registerOf(u), false); }
export function arithmeticPop(u: usize): void { combineRegister(u, registerOf(u), true); }

/** Puts the condition codes of a comparison into the status word; pops unless an unmasked exception keeps the stack as it is. */
function settleComparison(codes: u32, pops: u32): void {
  store<u16>(FSW, <u16>((statusWord() & ~(C0 | C2 | C3)) | codes));
  if (!stopped()) for (; pops; pops--) pop();
}

// @ts-ignore: decorator
@inline function compareMemory(u: usize, pops: u32): void {
  const place = st(0);
  let codes: u32 = C0 | C2 | C3;
  if (filled(0)) codes = compare(seOf(place), sigOf(place), resultSe, resultSig, false);
  else stackUnderflow();
  finishMemory(u);
  settleComparison(codes, pops);
}

/** FCOM and FCOMP of memory: the opcode's bit 3 says whether to pop. */
export function compareSingle(u: usize): void {
  if (!begin()) return;
  const p = readable<u32>(linear(u)); if (!p) return;
  fromSingle(load<u32>(p));
  compareMemory(u, (opcode(u) >> 3) & 1);
}
export function compareDouble(u: usize): void {
  if (!begin()) return;
  const p = readable<u64>(linear(u)); if (!p) return;
  fromDouble(load<u64>(p));
  compareMemory(u, (opcode(u) >> 3) & 1);
}
export function compareDoubleword(u: usize): void {
  if (!begin()) return;
  const p = readable<u32>(linear(u)); if (!p) return;
  fromInteger(<i64>load<i32>(p));
  compareMemory(u, (opcode(u) >> 3) & 1);
}
export function compareWord(u: usize): void {
  if (!begin()) return;
  const p = readable<u16>(linear(u)); if (!p) return;
  fromInteger(<i64>load<i16>(p));
  compareMemory(u, (opcode(u) >> 3) & 1);
}

// @ts-ignore: decorator
@inline function compareRegisters(i: u32, quiet: bool): u32 {
  const a = st(0), b = st(i);
  if (filled(0) && filled(i)) return compare(seOf(a), sigOf(a), seOf(b), sigOf(b), quiet);
  stackUnderflow();
  return C0 | C2 | C3;
}

// @ts-ignore: decorator
@inline function compareStatus(u: usize, quiet: bool, pops: u32): void {
  if (!begin()) return;
  const codes = compareRegisters(registerOf(u), quiet);
  finish(u);
  settleComparison(codes, pops);
}
export function fcom(u: usize): void { compareStatus(u, false, 0); }
export function fcomp(u: usize): void { compareStatus(u, false, 1); }
export function fcompp(u: usize): void { compareStatus(u, false, 2); }
export function fucom(u: usize): void { compareStatus(u, true, 0); }
export function fucomp(u: usize): void { compareStatus(u, true, 1); }
export function fucompp(u: usize): void { compareStatus(u, true, 2); }

/** C0, C2 and C3 are CF, PF and ZF (SDM 1 table 8-8), written even when an unmasked exception keeps the stack as it is. */
// @ts-ignore: decorator
@inline function compareFlags(u: usize, quiet: bool, popping: bool): void {
  if (!begin()) return;
  const codes = compareRegisters(registerOf(u), quiet);
  finish(u);
  setArithmetic((codes & C0 ? 1 : 0) | (codes & C2 ? 4 : 0) | (codes & C3 ? 0x40 : 0));
  if (popping && !stopped()) pop();
}
export function fcomi(u: usize): void { compareFlags(u, false, false); }
export function fcomip(u: usize): void { compareFlags(u, false, true); }
export function fucomi(u: usize): void { compareFlags(u, true, false); }
export function fucomip(u: usize): void { compareFlags(u, true, true); }

export function ftst(u: usize): void {
  if (!begin()) return;
  const place = st(0);
  let codes: u32 = C0 | C2 | C3;
  if (filled(0)) codes = compare(seOf(place), sigOf(place), 0, 0, false);
  else stackUnderflow();
  finish(u);
  settleComparison(codes, 0);
}

/** FXAM never faults; an empty register has the sign that lies in it. */
export function fxam(u: usize): void {
  if (!begin()) return;
  const place = st(0);
  const codes = filled(0) ? classCodes(seOf(place), sigOf(place)) : C3 | C0;
  finish(u);
  store<u16>(FSW, <u16>((statusWord() & ~(C0 | C1 | C2 | C3)) | codes | (seOf(place) & SIGN ? C1 : 0)));
}

// @ts-ignore: decorator
@inline function changeSign(u: usize, keep: u32, flip: u32): void {
  if (!begin()) return;
  const place = st(0);
  if (filled(0)) setResult((seOf(place) & keep) ^ flip, sigOf(place));
  else stackUnderflow();
  if (!stopped()) storeResult(0);
  finish(u);
}
export function fchs(u: usize): void { changeSign(u, 0xffff, SIGN); }
export function fabs(u: usize): void { changeSign(u, 0x7fff, 0); }

export function fsqrt(u: usize): void {
  if (!begin()) return;
  const place = st(0);
  if (filled(0)) squareRoot(seOf(place), sigOf(place), controlWord());
  else stackUnderflow();
  if (!stopped()) storeResult(0);
  finish(u);
}

export function frndint(u: usize): void {
  if (!begin()) return;
  const place = st(0);
  if (filled(0)) roundToInteger(seOf(place), sigOf(place), controlWord());
  else stackUnderflow();
  if (!stopped()) storeResult(0);
  finish(u);
}

export function fscale(u: usize): void {
  if (!begin()) return;
  const a = st(0), b = st(1);
  if (filled(0) && filled(1)) scale(seOf(a), sigOf(a), seOf(b), sigOf(b), controlWord());
  else stackUnderflow();
  if (!stopped()) storeResult(0);
  finish(u);
}

// @ts-ignore: decorator
@inline function remainderOf(u: usize, nearest: bool): void {
  if (!begin()) return;
  const a = st(0), b = st(1);
  if (filled(0) && filled(1)) partialRemainder(seOf(a), sigOf(a), seOf(b), sigOf(b), nearest, controlWord());
  else stackUnderflow();
  if (!stopped()) {
    storeResult(0);
    // Without a quotient only C2 says anything.
    const codes = (raised & IE) || isNan(resultSe, resultSig) ? C2 : C0 | C2 | C3;
    store<u16>(FSW, <u16>(statusWord() & ~codes));
  }
  finish(u);
}
export function fprem(u: usize): void { remainderOf(u, false); }
export function fprem1(u: usize): void { remainderOf(u, true); }

/** FXTRACT: ST(0) becomes the exponent, then the significand is pushed. */
export function fxtract(u: usize): void {
  if (!begin()) return;
  const place = st(0), se = seOf(place), sig = sigOf(place);
  if (!filled(0)) stackUnderflow();
  else if (filled(7)) stackOverflow();
  else extractExponent(se, sig, controlWord());
  if (!stopped()) {
    storeResult(0);
    // NaNs, infinities, zeros and invalid operands have no exponent to take off.
    const exponent = se & 0x7fff;
    if (!(raised & IE) && exponent != 0x7fff && sig != 0) setResult((se & SIGN) | <u32>BIAS, sig << clz(sig));
    else if (!(raised & IE) && !isNan(se, sig)) setResult(se, sig);
    pushResult();
  }
  finish(u);
}
