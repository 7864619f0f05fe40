import { FSW } from "./layout";
import { BIAS, C2, INTEGER_BIT, isNan, raised, resultSe, resultSig, setResult } from "./x87-float80";
import { begin, controlWord, filled, finish, pop, pushResult, seOf, sigOf, st, stackOverflow, stackUnderflow, statusWord, stopped, storeResult } from "./x87-stack";
import { arctangent, cosine, exponentialMinusOne, logarithmPlusOneProduct, logarithmProduct, sine, tangent } from "./x87-transcendental";

/** The transcendental instructions (SDM 1 §8.3.7, §8.3.9). */

/** One operand: `which` is 0 F2XM1, 1 FSIN, 2 FCOS. */
// @ts-ignore: decorator
@inline function unary(u: usize, which: u32): void {
  if (!begin()) return;
  const place = st(0), se = seOf(place), sig = sigOf(place), control = controlWord();
  if (!filled(0)) stackUnderflow();
  else if (which == 0) exponentialMinusOne(se, sig, control);
  else if (which == 1) sine(se, sig, control);
  else cosine(se, sig, control);
  if (which) store<u16>(FSW, <u16>(statusWord() & ~C2));
  if (!stopped() && !(raised & C2)) storeResult(0);
  finish(u);
}
export function f2xm1(u: usize): void { unary(u, 0); }
export function fsin(u: usize): void { unary(u, 1); }
export function fcos(u: usize): void { unary(u, 2); }

/** FSINCOS and FPTAN replace ST(0) and push: both need a free register, and both places get the real indefinite otherwise. */
function stackFaultOfPair(): bool {
  store<u16>(FSW, <u16>(statusWord() & ~C2));
  if (filled(0) && !filled(7)) return false;
  if (!filled(0)) stackUnderflow(); else stackOverflow();
  if (!stopped()) { storeResult(0); pushResult(); }
  return true;
}

export function fsincos(u: usize): void {
  if (!begin()) return;
  const place = st(0), se = seOf(place), sig = sigOf(place), control = controlWord();
  if (!stackFaultOfPair()) {
    sine(se, sig, control);
    if (!stopped() && !(raised & C2)) {
      storeResult(0);
      cosine(se, sig, control);
      pushResult();
    }
  }
  finish(u);
}

export function fptan(u: usize): void {
  if (!begin()) return;
  const place = st(0), se = seOf(place), sig = sigOf(place), control = controlWord();
  if (!stackFaultOfPair()) {
    tangent(se, sig, control);
    if (!stopped() && !(raised & C2)) {
      storeResult(0);
      if (!isNan(resultSe, resultSig)) setResult(BIAS, INTEGER_BIT);
      pushResult();
    }
  }
  finish(u);
}

/** Two operands, ST(0) = x and ST(1) = y; the result replaces both. 0 FPATAN, 1 FYL2X, 2 FYL2XP1. */
// @ts-ignore: decorator
@inline function binary(u: usize, which: u32): void {
  if (!begin()) return;
  const x = st(0), y = st(1), control = controlWord();
  if (!filled(0) || !filled(1)) stackUnderflow();
  else if (which == 0) arctangent(seOf(y), sigOf(y), seOf(x), sigOf(x), control);
  else if (which == 1) logarithmProduct(seOf(x), sigOf(x), seOf(y), sigOf(y), control);
  else logarithmPlusOneProduct(seOf(x), sigOf(x), seOf(y), sigOf(y), control);
  const stored = !stopped();
  if (stored) storeResult(1);
  finish(u);
  if (stored) pop();
}
export function fpatan(u: usize): void { binary(u, 0); }
export function fyl2x(u: usize): void { binary(u, 1); }
export function fyl2xp1(u: usize): void { binary(u, 2); }
