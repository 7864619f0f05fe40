import { divideWide, leadingZeros, multiplyWide, remainder, shiftRightSticky, wideHigh, wideLow } from "./x87-wide";

/**
 * The 80-bit format (SDM 1 §4.2, §4.8, §8.2) as pure arithmetic: no CPU state. A number is a pair: `se`, sign in bit 15 and
 * biased exponent below it, and `sig`, the significand with its explicit integer bit. A function leaves its result in
 * `resultSe` and `resultSig` and adds what happened to `raised`, in the bit positions of the x87 status word.
 * `control` is the x87 control word: masks (they choose between the masked and the biased result), precision and rounding.
 */
export let resultSe: u32 = 0;
export let resultSig: u64 = 0;
export let raised: u32 = 0;

export const IE: u32 = 1, DE: u32 = 2, ZE: u32 = 4, OE: u32 = 8, UE: u32 = 0x10, PE: u32 = 0x20, SF: u32 = 0x40;
export const C0: u32 = 0x100, C1: u32 = 0x200, C2: u32 = 0x400, C3: u32 = 0x4000;
/** In `raised` only: the memory operand was a denormal before it was widened. */
export const NARROW_DENORMAL: u32 = 0x10000;

export const SIGN: u32 = 0x8000, BIAS: i32 = 0x3fff, MAX_EXPONENT: u32 = 0x7fff;
export const INTEGER_BIT: u64 = 0x8000000000000000, QUIET_BIT: u64 = 0x4000000000000000;
/** Control word: precision field (24, -, 53, 64 bits) and rounding field (nearest, down, up, to zero). */
export const PRECISION: u32 = 0x300, PRECISION_24: u32 = 0, PRECISION_53: u32 = 0x200, PRECISION_64: u32 = 0x300;
export const ROUNDING: u32 = 0xc00, ROUND_NEAREST: u32 = 0, ROUND_DOWN: u32 = 0x400, ROUND_UP: u32 = 0x800, ROUND_ZERO: u32 = 0xc00;
/** The exponent correction of an unmasked overflow or underflow (SDM 1 §8.5.4, §8.5.5). */
const WRAP: i32 = 0x6000;

export function clearRaised(): void { raised = 0; }
export function addRaised(bits: u32): void { raised |= bits; }
// @ts-ignore: decorator
@inline export function setResult(se: u32, sig: u64): void { resultSe = se; resultSig = sig; }

// @ts-ignore: decorator
@inline export function isNormal(se: u32, sig: u64): bool { return <u32>((se & MAX_EXPONENT) - 1) < 0x7ffe && <i64>sig < 0; }
/** A non-zero exponent without the integer bit: unnormal, pseudo-NaN, pseudo-infinity (SDM 1 §8.2.2). */
// @ts-ignore: decorator
@inline export function isUnsupported(se: u32, sig: u64): bool { return (se & MAX_EXPONENT) != 0 && <i64>sig >= 0; }
// @ts-ignore: decorator
@inline export function isNan(se: u32, sig: u64): bool { return (se & MAX_EXPONENT) == MAX_EXPONENT && (sig << 1) != 0; }
// @ts-ignore: decorator
@inline export function isSignaling(se: u32, sig: u64): bool { return isNan(se, sig) && (sig & QUIET_BIT) == 0; }
// @ts-ignore: decorator
@inline export function isInfinite(se: u32, sig: u64): bool { return (se & MAX_EXPONENT) == MAX_EXPONENT && sig == INTEGER_BIT; }
/** Denormals and pseudo-denormals. */
// @ts-ignore: decorator
@inline export function isDenormal(se: u32, sig: u64): bool { return (se & MAX_EXPONENT) == 0 && sig != 0; }

/** The invalid-operation response: the real indefinite. */
export function invalid(): void {
  raised |= IE;
  setResult(0xffff, INTEGER_BIT | QUIET_BIT);
}

/** Whether the fraction `low` (1.0 = 2^64) rounds the magnitude up. */
// @ts-ignore: decorator
@inline export function roundsUp(sign: u32, odd: u64, low: u64, control: u32): bool {
  const mode = control & ROUNDING;
  if (mode == ROUND_NEAREST) return low > INTEGER_BIT || (low == INTEGER_BIT && (odd & 1) != 0);
  if (mode == ROUND_ZERO) return false;
  return (mode == ROUND_DOWN) == (sign != 0);
}

// @ts-ignore: decorator
@inline function droppedBits(control: u32): u32 {
  const precision = control & PRECISION;
  return precision == PRECISION_24 ? 40 : precision == PRECISION_53 ? 11 : 0;
}

/** Rounds high:low to a significand of 64 - drop bits in `resultSig` (0 = it carried out of the top). Returns 1 if inexact, | 2 if rounded up. */
function roundSignificand(sign: u32, high: u64, low: u64, drop: u32, control: u32): u32 {
  const fraction = drop ? (high << (64 - drop)) | u64(low != 0) : low;
  const kept = high >> drop;
  resultSig = kept << drop;
  if (fraction == 0) return 0;
  if (!roundsUp(sign, kept, fraction, control)) return 1;
  resultSig += <u64>1 << drop;
  return 3;
}

function overflow(sign: u32, exponent: i32, control: u32): void {
  if (!(control & OE)) {
    raised |= OE;
    const wrapped = exponent - WRAP;
    if (wrapped > 0x7ffe) setResult(sign | MAX_EXPONENT, INTEGER_BIT);
    else resultSe = sign | <u32>wrapped;
    return;
  }
  raised |= OE | PE;
  if (roundsUp(sign, 1, ~(<u64>0), control)) {
    raised |= C1;
    setResult(sign | MAX_EXPONENT, INTEGER_BIT);
  } else {
    raised &= ~C1;
    setResult(sign | 0x7ffe, ~(<u64>0) << droppedBits(control));
  }
}

/** A result below the normal range with the underflow exception masked: denormalised, then rounded once. */
function underflow(sign: u32, exponent: i32, high: u64, low: u64, tiny: bool, control: u32): void {
  shiftRightSticky(high, low, <u32>min(1 - exponent, 200));
  const inexact = roundSignificand(sign, wideHigh, wideLow, droppedBits(control), control);
  if (inexact) raised |= (tiny ? UE | PE : PE) | (inexact & 2 ? C1 : 0);
  resultSe = sign | <u32>(resultSig >> 63);
}

function roundSlow(sign: u32, exponent: i32, high: u64, low: u64, control: u32): void {
  if (exponent < 1) {
    // Tininess is judged after rounding (SDM 1 §4.9.1.5): 0.111..1 that rounds up to the smallest normal is not tiny.
    const carries = exponent == 0 && (roundSignificand(sign, high, low, droppedBits(control), control), resultSig == 0);
    if (control & UE) { underflow(sign, exponent, high, low, !carries, control); return; }
    if (!carries) {
      raised |= UE;
      exponent += WRAP;
      if (exponent < 1) { raised |= PE; setResult(sign, 0); return; }
    }
  }
  const inexact = roundSignificand(sign, high, low, droppedBits(control), control);
  if (inexact) raised |= PE | (inexact & 2 ? C1 : 0);
  if (resultSig == 0) { resultSig = INTEGER_BIT; exponent++; }
  if (exponent > 0x7ffe) overflow(sign, exponent, control);
  else resultSe = sign | <u32>exponent;
}

/** Rounds high:low * 2^(exponent - bias - 63), high normalised, to the precision in force. */
export function roundResult(sign: u32, exponent: i32, high: u64, low: u64, control: u32): void {
  if ((control & PRECISION) != PRECISION_64 || <u32>(exponent - 1) >= 0x7ffe) {
    roundSlow(sign, exponent, high, low, control);
    return;
  }
  if (low) {
    raised |= PE;
    if (roundsUp(sign, high, low, control)) {
      raised |= C1;
      if (++high == 0) {
        high = INTEGER_BIT;
        if (++exponent == 0x7fff) { resultSig = high; overflow(sign, exponent, control); return; }
      }
    }
  }
  setResult(sign | <u32>exponent, high);
}

/** Normalises high:low (not zero) and rounds. */
export function normalizeAndRound(sign: u32, exponent: i32, high: u64, low: u64, control: u32): void {
  const shift = leadingZeros(high, low);
  if (shift >= 64) { high = low << (shift - 64); low = 0; }
  else if (shift) { high = (high << shift) | (low >> (64 - shift)); low <<= shift; }
  roundResult(sign, exponent - <i32>shift, high, low, control);
}

/** SDM 1 table 4-7: which NaN two operands, at least one of them a NaN, give. */
function propagate(aSe: u32, aSig: u64, bSe: u32, bSig: u64): void {
  const aSignals = isSignaling(aSe, aSig), bSignals = isSignaling(bSe, bSig);
  if (aSignals || bSignals) raised |= IE;
  let takeA: bool;
  if (!isNan(bSe, bSig)) takeA = true;
  else if (!isNan(aSe, aSig)) takeA = false;
  else if (aSignals != bSignals) takeA = bSignals;
  else takeA = (aSig | QUIET_BIT) > (bSig | QUIET_BIT) || ((aSig | QUIET_BIT) == (bSig | QUIET_BIT) && aSe < bSe);
  setResult(takeA ? aSe : bSe, (takeA ? aSig : bSig) | QUIET_BIT);
}

/** True when an operand that is no number has already decided the result. */
export function notNumbers(aSe: u32, aSig: u64, bSe: u32, bSig: u64): bool {
  if (isUnsupported(aSe, aSig) || isUnsupported(bSe, bSig)) { invalid(); return true; }
  if (!isNan(aSe, aSig) && !isNan(bSe, bSig)) return false;
  propagate(aSe, aSig, bSe, bSig);
  return true;
}

/** Notes a denormal operand. True when that is unmasked and the operation must not go on. */
export function denormalStops(denormal: bool, control: u32): bool {
  if (!denormal && !(raised & NARROW_DENORMAL)) return false;
  raised |= DE;
  return (control & DE) == 0;
}

// Exponent and significand of a finite non-zero number as if its range had no lower end.
// @ts-ignore: decorator
@inline export function trueExponent(se: u32, sig: u64): i32 {
  const exponent = <i32>(se & MAX_EXPONENT);
  return exponent ? exponent : 1 - <i32>clz(sig);
}
// @ts-ignore: decorator
@inline export function trueSignificand(sig: u64): u64 { return sig << clz(sig); }

function addMagnitudes(sign: u32, aExponent: i32, aSig: u64, bExponent: i32, bSig: u64, control: u32): void {
  let exponent = aExponent, high = aSig, other = bSig, low: u64 = 0;
  let shift = aExponent - bExponent;
  if (shift < 0) { exponent = bExponent; high = bSig; other = aSig; shift = -shift; }
  if (shift) {
    if (shift < 64) { low = other << (64 - shift); other >>= shift; }
    else { low = shift == 64 ? other : shift == 65 ? (other >> 1) | (other & 1) : 1; other = 0; }
  }
  high += other;
  if (high < other) {
    low = (high << 63) | (low >> 1) | (low & 1);
    high = (high >> 1) | INTEGER_BIT;
    exponent++;
  }
  roundResult(sign, exponent, high, low, control);
}

function subtractMagnitudes(sign: u32, aExponent: i32, aSig: u64, bExponent: i32, bSig: u64, control: u32): void {
  let exponent = aExponent, high = aSig, other = bSig, low: u64 = 0;
  let shift = aExponent - bExponent;
  if (shift < 0 || (shift == 0 && aSig < bSig)) { exponent = bExponent; high = bSig; other = aSig; shift = -shift; sign ^= SIGN; }
  if (shift == 0) {
    high -= other;
    if (high == 0) { setResult((control & ROUNDING) == ROUND_DOWN ? SIGN : 0, 0); return; }
  } else {
    if (shift < 64) { low = other << (64 - shift); other >>= shift; }
    else { low = shift == 64 ? other : shift < 128 ? (other >> (shift - 64)) | u64((other << (128 - shift)) != 0) : 1; other = 0; }
    high = high - other - u64(low != 0);
    low = 0 - low;
  }
  normalizeAndRound(sign, exponent, high, low, control);
}

// @ts-ignore: decorator
@inline function addFinite(aSe: u32, aExponent: i32, aSig: u64, bSe: u32, bExponent: i32, bSig: u64, control: u32): void {
  if ((aSe ^ bSe) & SIGN) subtractMagnitudes(aSe & SIGN, aExponent, aSig, bExponent, bSig, control);
  else addMagnitudes(aSe & SIGN, aExponent, aSig, bExponent, bSig, control);
}

function addSpecial(aSe: u32, aSig: u64, bSe: u32, bSig: u64, flip: u32, control: u32): void {
  if (notNumbers(aSe, aSig, bSe, bSig)) return;
  const aInfinite = isInfinite(aSe, aSig), bInfinite = isInfinite(bSe, bSig);
  bSe ^= flip;
  if (aInfinite && bInfinite && aSe != bSe) { invalid(); return; }
  if (denormalStops(isDenormal(aSe, aSig) || isDenormal(bSe, bSig), control)) return;
  if (aInfinite) { setResult(aSe, aSig); return; }
  if (bInfinite) { setResult(bSe, bSig); return; }
  if (aSig && bSig) {
    addFinite(aSe, trueExponent(aSe, aSig), trueSignificand(aSig), bSe, trueExponent(bSe, bSig), trueSignificand(bSig), control);
    return;
  }
  if (aSig) roundResult(aSe & SIGN, trueExponent(aSe, aSig), trueSignificand(aSig), 0, control);
  else if (bSig) roundResult(bSe & SIGN, trueExponent(bSe, bSig), trueSignificand(bSig), 0, control);
  else setResult(aSe == bSe ? aSe : (control & ROUNDING) == ROUND_DOWN ? SIGN : 0, 0);
}

/** a + b, or a - b when `flip` is SIGN. */
export function add(aSe: u32, aSig: u64, bSe: u32, bSig: u64, flip: u32, control: u32): void {
  if (isNormal(aSe, aSig) && isNormal(bSe, bSig) && raised == 0) {
    addFinite(aSe, <i32>(aSe & MAX_EXPONENT), aSig, bSe ^ flip, <i32>(bSe & MAX_EXPONENT), bSig, control);
  } else addSpecial(aSe, aSig, bSe, bSig, flip, control);
}

function multiplyFinite(sign: u32, exponent: i32, aSig: u64, bSig: u64, control: u32): void {
  multiplyWide(aSig, bSig);
  let high = wideHigh, low = wideLow;
  if (<i64>high >= 0) { high = (high << 1) | (low >> 63); low <<= 1; exponent--; }
  roundResult(sign, exponent, high, low, control);
}

function multiplySpecial(aSe: u32, aSig: u64, bSe: u32, bSig: u64, control: u32): void {
  if (notNumbers(aSe, aSig, bSe, bSig)) return;
  const sign = (aSe ^ bSe) & SIGN;
  const infinite = isInfinite(aSe, aSig) || isInfinite(bSe, bSig);
  if (infinite && (aSig == 0 || bSig == 0)) { invalid(); return; }
  if (denormalStops(isDenormal(aSe, aSig) || isDenormal(bSe, bSig), control)) return;
  if (infinite) setResult(sign | MAX_EXPONENT, INTEGER_BIT);
  else if (aSig == 0 || bSig == 0) setResult(sign, 0);
  else multiplyFinite(sign, trueExponent(aSe, aSig) + trueExponent(bSe, bSig) - 0x3ffe, trueSignificand(aSig), trueSignificand(bSig), control);
}

export function multiply(aSe: u32, aSig: u64, bSe: u32, bSig: u64, control: u32): void {
  if (isNormal(aSe, aSig) && isNormal(bSe, bSig) && raised == 0) {
    multiplyFinite((aSe ^ bSe) & SIGN, <i32>(aSe & MAX_EXPONENT) + <i32>(bSe & MAX_EXPONENT) - 0x3ffe, aSig, bSig, control);
  } else multiplySpecial(aSe, aSig, bSe, bSig, control);
}

function divideFinite(sign: u32, exponent: i32, aSig: u64, bSig: u64, control: u32): void {
  let quotient: u64;
  if (aSig < bSig) { quotient = divideWide(aSig, 0, bSig); exponent--; }
  else quotient = divideWide(aSig >> 1, aSig << 63, bSig);
  const rest = remainder, missing = bSig - rest;
  const low: u64 = rest == 0 ? 0 : rest > missing ? INTEGER_BIT | 1 : rest == missing ? INTEGER_BIT : 1;
  roundResult(sign, exponent, quotient, low, control);
}

function divideSpecial(aSe: u32, aSig: u64, bSe: u32, bSig: u64, control: u32): void {
  if (notNumbers(aSe, aSig, bSe, bSig)) return;
  const sign = (aSe ^ bSe) & SIGN;
  const aInfinite = isInfinite(aSe, aSig), bInfinite = isInfinite(bSe, bSig);
  if ((aInfinite && bInfinite) || (aSig == 0 && bSig == 0)) { invalid(); return; }
  if (!aInfinite && bSig == 0) { raised |= ZE; setResult(sign | MAX_EXPONENT, INTEGER_BIT); return; }
  if (denormalStops(isDenormal(aSe, aSig) || isDenormal(bSe, bSig), control)) return;
  if (aInfinite) setResult(sign | MAX_EXPONENT, INTEGER_BIT);
  else if (bInfinite || aSig == 0) setResult(sign, 0);
  else divideFinite(sign, trueExponent(aSe, aSig) - trueExponent(bSe, bSig) + BIAS, trueSignificand(aSig), trueSignificand(bSig), control);
}

export function divide(aSe: u32, aSig: u64, bSe: u32, bSig: u64, control: u32): void {
  if (isNormal(aSe, aSig) && isNormal(bSe, bSig) && raised == 0) {
    divideFinite((aSe ^ bSe) & SIGN, <i32>(aSe & MAX_EXPONENT) - <i32>(bSe & MAX_EXPONENT) + BIAS, aSig, bSig, control);
  } else divideSpecial(aSe, aSig, bSe, bSig, control);
}

/** The root of high:low (high >= 2^62), rounded by its remainder: an f64 estimate, one Newton step, then exact steps of one. */
function rootOf(exponent: i32, high: u64, low: u64, control: u32): void {
  const estimate = Math.sqrt(<f64>high * 18446744073709551616.0 + <f64>low);
  let root: u64 = estimate >= 18446744073709551615.0 ? ~(<u64>0) : <u64>estimate;
  multiplyWide(root, root);
  let restLow = low - wideLow;
  let restHigh = <i64>(high - wideHigh - u64(low < wideLow));
  const correction = (<f64>restHigh * 18446744073709551616.0 + <f64>restLow) / (2.0 * <f64>root);
  const next = root + <u64><i64>Math.floor(correction);
  root = correction > 0.0 && next < root ? ~(<u64>0) : next;
  let step: i64;
  do {
    multiplyWide(root, root);
    restLow = low - wideLow;
    restHigh = <i64>(high - wideHigh - u64(low < wideLow));
    // (root + 1)^2 = root^2 + 2 root + 1: the remainder may be at most 2 root.
    const carry = <i64>(root >> 63);
    step = restHigh < 0 ? -1 : i64(restHigh > carry || (restHigh == carry && restLow > root << 1));
    root += <u64>step;
  } while (step != 0);
  const above = restHigh != 0 || restLow > root;
  roundResult(0, exponent, root, above ? INTEGER_BIT | 1 : u64(restLow != 0), control);
}

export function squareRoot(se: u32, sig: u64, control: u32): void {
  if (notNumbers(se, sig, 0, 0)) return;
  if (sig == 0) { setResult(se, sig); return; }
  if (se & SIGN) { invalid(); return; }
  if (isInfinite(se, sig)) { setResult(se, sig); return; }
  if (denormalStops(isDenormal(se, sig), control)) return;
  const exponent = trueExponent(se, sig), significand = trueSignificand(sig);
  if ((exponent - BIAS) & 1) rootOf(((exponent - BIAS) >> 1) + BIAS, significand, 0, control);
  else rootOf(((exponent - BIAS) >> 1) + BIAS, significand >> 1, significand << 63, control);
}

/**
 * FPREM (toward zero) and FPREM1 (to nearest): the remainder in the result, C2 when it is only a partial one, else the quotient's
 * low bits in C0 C3 C1. A partial step takes off 32 to 63 bits of exponent difference (SDM 2A, FPREM).
 */
export function partialRemainder(aSe: u32, aSig: u64, bSe: u32, bSig: u64, nearest: bool, control: u32): void {
  if (notNumbers(aSe, aSig, bSe, bSig)) return;
  if (isInfinite(aSe, aSig) || bSig == 0) { invalid(); return; }
  if (denormalStops(isDenormal(aSe, aSig) || isDenormal(bSe, bSig), control)) return;
  control |= PRECISION_64;
  if (aSig == 0) { setResult(aSe, 0); return; }
  if (isInfinite(bSe, bSig)) { roundResult(aSe & SIGN, trueExponent(aSe, aSig), trueSignificand(aSig), 0, control); return; }
  let sign = aSe & SIGN, exponent = trueExponent(bSe, bSig), rest = trueSignificand(aSig), quotient: u64 = 0;
  const divisor = trueSignificand(bSig);
  const difference = trueExponent(aSe, aSig) - exponent;
  const least = nearest ? -1 : 0;
  if (difference < least) { roundResult(sign, trueExponent(aSe, aSig), rest, 0, control); return; }
  if (difference >= 64) {
    const step = 32 + (difference & 31);
    if (rest >= divisor) rest -= divisor;
    divideWide(rest >> (64 - step), rest << step, divisor);
    raised |= C2;
    if (remainder) normalizeAndRound(sign, exponent + difference - step, remainder, 0, control);
    else setResult(sign, 0);
    return;
  }
  let below: u64 = 0;
  if (difference < 0) { below = rest << 63; rest >>= 1; }
  else {
    if (rest >= divisor) { rest -= divisor; quotient = 1; }
    if (difference) {
      quotient = (quotient << difference) + divideWide(rest >> (64 - difference), rest << difference, divisor);
      rest = remainder;
    }
  }
  if (nearest) {
    const missing = divisor - rest - u64(below != 0);
    if (rest > missing || (rest == missing && (quotient & 1))) {
      quotient++;
      rest = missing;
      below = 0 - below;
      sign ^= SIGN;
    }
  }
  raised |= (quotient & 4 ? C0 : 0) | (quotient & 2 ? C3 : 0) | (quotient & 1 ? C1 : 0);
  if (rest | below) normalizeAndRound(sign, exponent, rest, below, control);
  else setResult(aSe & SIGN, 0);
}

/** The condition codes of a comparison: 0 greater, C0 less, C3 equal, all three unordered. `quiet` lets quiet NaNs pass. */
export function compare(aSe: u32, aSig: u64, bSe: u32, bSig: u64, quiet: bool): u32 {
  if (isUnsupported(aSe, aSig) || isUnsupported(bSe, bSig)) { raised |= IE; return C3 | C2 | C0; }
  if (isNan(aSe, aSig) || isNan(bSe, bSig)) {
    if (!quiet || isSignaling(aSe, aSig) || isSignaling(bSe, bSig)) raised |= IE;
    return C3 | C2 | C0;
  }
  if (isDenormal(aSe, aSig) || isDenormal(bSe, bSig) || (raised & NARROW_DENORMAL)) raised |= DE;
  if ((aSig | bSig) == 0) return C3;
  const aNegative = (aSe & SIGN) != 0;
  if (aSig == 0) return bSe & SIGN ? 0 : C0;
  if (bSig == 0) return aNegative ? C0 : 0;
  if ((aSe ^ bSe) & SIGN) return aNegative ? C0 : 0;
  // A pseudo-denormal has the exponent of the smallest normal.
  const aExponent = max<u32>(aSe & MAX_EXPONENT, 1), bExponent = max<u32>(bSe & MAX_EXPONENT, 1);
  if (aExponent == bExponent && aSig == bSig) return C3;
  const below = aExponent < bExponent || (aExponent == bExponent && aSig < bSig);
  return below != aNegative ? C0 : 0;
}
