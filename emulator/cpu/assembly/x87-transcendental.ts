import {
  BIAS, C2, INTEGER_BIT, MAX_EXPONENT, PE, PRECISION_64, SIGN, ZE, addRaised, denormalStops, invalid, isDenormal, isInfinite, multiply, notNumbers,
  resultSe, resultSig, roundResult, setResult, trueExponent, trueSignificand,
} from "./x87-float80";
import { fromInteger } from "./x87-convert";
import {
  ARCTANGENT_TERMS, CIRCULAR_TERMS, EXPONENTIAL_TERMS, LN2_HIGH, LN2_LOW, LOG_SCALE_HIGH, LOG_SCALE_LOW, PI_HIGH, PI_LOW, arctangentTerms, arctangents,
  cosineTerms, exponentialTerms, logarithms, powers, sineTerms,
} from "./x87-tables";
import {
  addWide, divideFractions, leadingZeros, multiplyFractions, multiplyHigh, multiplyWide, shiftLeftWide, shiftRightSticky, subtractWide, wideHigh, wideLow,
} from "./x87-wide";

/**
 * The transcendental functions in 128-bit fixed point, rounded once: the error before rounding is below 2^-30 of an ulp, so a
 * result is the correctly rounded one but for the rarest cases. Arguments of the circular functions are reduced exactly by the
 * 66-bit pi that the SDM documents (SDM 1 §8.3.8).
 *
 * A magnitude under way is high:low * 2^(exponent - 128), normalised (0.5 <= high:low < 1), in `high`, `low`, `exponent`.
 */
let high: u64 = 0;
let low: u64 = 0;
let exponent: i32 = 0;

function setNormalized(h: u64, l: u64, e: i32): void {
  const shift = leadingZeros(h, l);
  shiftLeftWide(h, l, shift);
  high = wideHigh; low = wideLow; exponent = e - <i32>shift;
}

/** The magnitude as a fixed-point number whose top bit weighs 2^(integerBits - 1), in wideHigh:wideLow. */
// @ts-ignore: decorator
@inline function toFixed(integerBits: i32): void { shiftRightSticky(high, low, <u32>min(integerBits - exponent, 200)); }

/** Rounds the magnitude into the result. It is never exact, so its last bit is made to say so. */
function emit(sign: u32, control: u32): void { roundResult(sign, exponent - 1 + BIAS, high, low | 1, control | PRECISION_64); }

/** x (c1 -+ x (c2 -+ x (c3 ...))) for a fraction x = h:l; alternating signs, or all positive. Never zero. */
function series(terms: usize, count: i32, h: u64, l: u64, alternating: bool): void {
  let place = terms + (<usize>(count - 1) << 4);
  setWideFrom(place);
  for (let i = 1; i < count; i++) {
    place -= 16;
    multiplyFractions(wideHigh, wideLow, h, l);
    if (alternating) subtractWide(load<u64>(place), load<u64>(place, 8), wideHigh, wideLow);
    else addWide(load<u64>(place), load<u64>(place, 8), wideHigh, wideLow);
  }
  multiplyFractions(wideHigh, wideLow, h, l);
  if ((wideHigh | wideLow) == 0) addWide(0, 0, 0, 1);
}

// @ts-ignore: decorator
@inline function setWideFrom(place: usize): void { addWide(load<u64>(place), load<u64>(place, 8), 0, 0); }

/** The square of the magnitude as a fraction, in wideHigh:wideLow. */
function square(): void {
  multiplyFractions(high, low, high, low);
  shiftRightSticky(wideHigh, wideLow, <u32>min(-2 * exponent, 200));
}

/** Multiplies the magnitude by 1 - t or 1 + t, t = wideHigh:wideLow. */
function scaleByOneAnd(minus: bool): void {
  multiplyFractions(high, low, wideHigh, wideLow);
  if ((wideHigh | wideLow) == 0) addWide(0, 0, 0, 1);
  if (minus) { subtractWide(high, low, wideHigh, wideLow); setNormalized(wideHigh, wideLow, exponent); return; }
  addWide(high, low, wideHigh, wideLow);
  if (wideHigh < high) {
    high = (wideHigh >> 1) | INTEGER_BIT; low = (wideHigh << 63) | (wideLow >> 1); exponent++;
  } else { high = wideHigh; low = wideLow; }
}

/** (aH:aL * 2^aE) / (bH:bL * 2^bE), both normalised, into the magnitude. */
function quotient(aH: u64, aL: u64, aE: i32, bH: u64, bL: u64, bE: i32): void {
  let e = aE - bE;
  if (aH > bH || (aH == bH && aL >= bL)) { aL = (aH << 63) | (aL >> 1); aH >>= 1; e++; }
  divideFractions(aH, aL, bH, bL);
  setNormalized(wideHigh, wideLow, e);
}

/** pi/2 in units of 2^-65: 2 + 64 bits. */
const HALF_PI_HIGH: u64 = 3, HALF_PI_LOW: u64 = 0x243f6a8885a308d3;
let reducedNegative: bool = false;

/** |x| modulo pi/2 into the magnitude, within [0, pi/4], and its sign. Returns the quadrant. */
function reduce(se: u32, sig: u64): u32 {
  const power = trueExponent(se, sig) - BIAS;
  const significand = trueSignificand(sig);
  reducedNegative = false;
  if (power < -1) { high = significand; low = 0; exponent = power + 1; return 0; }
  let restHigh = power < 0 ? significand >> 63 : significand >> 62, rest = significand << (power < 0 ? 1 : 2);
  let quadrant: u32 = 0;
  for (let step = 0; ; step++) {
    while (restHigh > HALF_PI_HIGH || (restHigh == HALF_PI_HIGH && rest >= HALF_PI_LOW)) {
      restHigh = restHigh - HALF_PI_HIGH - u64(rest < HALF_PI_LOW);
      rest -= HALF_PI_LOW;
      quadrant++;
    }
    if (step >= power) break;
    restHigh = (restHigh << 1) | (rest >> 63);
    rest <<= 1;
    quadrant <<= 1;
  }
  subtractWide(HALF_PI_HIGH, HALF_PI_LOW, restHigh, rest);
  if (wideHigh < restHigh || (wideHigh == restHigh && wideLow < rest)) {
    restHigh = wideHigh; rest = wideLow;
    reducedNegative = true;
    quadrant++;
  }
  setNormalized(restHigh, rest, 63);
  return quadrant;
}

/** Magnitude = sin of itself, at most pi/4. */
function sineOfMagnitude(): void {
  square();
  series(sineTerms, CIRCULAR_TERMS, wideHigh, wideLow, true);
  scaleByOneAnd(true);
}

function cosineOfMagnitude(): void {
  square();
  series(cosineTerms, CIRCULAR_TERMS, wideHigh, wideLow, true);
  subtractWide(0, 0, wideHigh, wideLow);
  high = wideHigh; low = wideLow; exponent = 0;
}

/** What the circular functions answer to zero, infinity, NaN and numbers out of range (C2): true when that was it. */
function circularSpecial(se: u32, sig: u64, control: u32): bool {
  if (notNumbers(se, sig, 0, 0)) return true;
  if (isInfinite(se, sig)) { invalid(); return true; }
  if (sig == 0) { setResult(se, 0); return true; }
  if (denormalStops(isDenormal(se, sig), control)) return true;
  if ((se & MAX_EXPONENT) >= <u32>BIAS + 63) { addRaised(C2); return true; }
  return false;
}

/** sin x, or cos x for `offset` 1, of a number that is not special. */
function circular(se: u32, sig: u64, offset: u32, control: u32): void {
  const quadrant = reduce(se, sig) + offset;
  let sign: u32 = quadrant & 2 ? SIGN : 0;
  if (quadrant & 1) {
    cosineOfMagnitude();
    // The quadrant of sin(q pi/2 + r), q odd: cos r has no sign of r; for a cosine the quadrant was moved on by one.
    if (!offset) sign ^= se & SIGN;
  } else {
    if (reducedNegative) sign ^= SIGN;
    if (!offset) sign ^= se & SIGN;
    sineOfMagnitude();
  }
  emit(sign, control);
}

export function sine(se: u32, sig: u64, control: u32): void {
  if (!circularSpecial(se, sig, control)) circular(se, sig, 0, control);
}

export function cosine(se: u32, sig: u64, control: u32): void {
  if (!circularSpecial(se, sig, control)) circular(se, sig, 1, control);
  else if (sig == 0 && (se & MAX_EXPONENT) == 0) setResult(BIAS, INTEGER_BIT);
}

export function tangent(se: u32, sig: u64, control: u32): void {
  if (circularSpecial(se, sig, control)) return;
  const quadrant = reduce(se, sig);
  const h = high, l = low, e = exponent;
  let sign = (se & SIGN) ^ (reducedNegative ? SIGN : 0);
  sineOfMagnitude();
  const sineHigh = high, sineLow = low, sineExponent = exponent;
  high = h; low = l; exponent = e;
  cosineOfMagnitude();
  if (quadrant & 1) { sign ^= SIGN; quotient(high, low, exponent, sineHigh, sineLow, sineExponent); }
  else quotient(sineHigh, sineLow, sineExponent, high, low, exponent);
  emit(sign, control);
}

/** Emits a constant angle of `eighths` * pi/4. */
function emitAngle(eighths: u64, sign: u32, control: u32): void {
  multiplyWide(PI_LOW >> 2 | PI_HIGH << 62, eighths);
  const carried = wideHigh, l = wideLow;
  setNormalized((PI_HIGH >> 2) * eighths + carried, l, 4);
  emit(sign, control);
}

function arctangentSpecial(ySe: u32, ySig: u64, xSe: u32, xSig: u64, control: u32): bool {
  if (notNumbers(ySe, ySig, xSe, xSig)) return true;
  const yInfinite = isInfinite(ySe, ySig), xInfinite = isInfinite(xSe, xSig), xNegative = (xSe & SIGN) != 0;
  if (ySig != 0 && xSig != 0 && !yInfinite && !xInfinite) return denormalStops(isDenormal(ySe, ySig) || isDenormal(xSe, xSig), control);
  if (denormalStops(isDenormal(ySe, ySig) || isDenormal(xSe, xSig), control)) return true;
  const sign = ySe & SIGN;
  if (yInfinite) emitAngle(xInfinite ? (xNegative ? 3 : 1) : 2, sign, control);
  else if (ySig == 0 || xInfinite) { if (xNegative) emitAngle(4, sign, control); else setResult(sign, 0); }
  else emitAngle(2, sign, control);
  return true;
}

/** small128 * k, k below 64, into wideHigh:wideLow. */
function timesSmall(h: u64, l: u64, k: u64): void {
  multiplyWide(l, k);
  addWide(wideHigh, wideLow, h * k, 0);
}

/** atan of a / b <= 1, b = bSig * 2^shift larger, into fixed point with 124 fraction bits; false when it stays in the magnitude (below 1/64). */
function arctangentOfRatio(aSig: u64, bSig: u64, shift: i32): bool {
  let index: u64 = 0;
  if (shift < 7) index = <u64>Math.floor((<f64>aSig * 32.0) / (<f64>bSig * <f64>(1 << shift)) + 0.5);
  if (index == 0) {
    quotient(aSig, 0, 0, bSig, 0, shift);
    square();
    series(arctangentTerms, ARCTANGENT_TERMS, wideHigh, wideLow, true);
    scaleByOneAnd(true);
    return false;
  }
  // atan(a/b) = atan(c) + atan((a - c b) / (b + c a)) with c = index/32; both sides scaled by 32/256 to stay below one.
  shiftRightSticky(aSig >> 8, aSig << 56, <u32>shift);
  const aH = wideHigh, aL = wideLow, bH = bSig >> 8, bL = bSig << 56;
  timesSmall(aH, aL, index);
  const caH = wideHigh, caL = wideLow;
  timesSmall(bH, bL, 32);
  addWide(wideHigh, wideLow, caH, caL);
  setNormalized(wideHigh, wideLow, 0);
  const denominatorH = high, denominatorL = low, denominatorE = exponent;
  timesSmall(bH, bL, index);
  const cbH = wideHigh, cbL = wideLow;
  timesSmall(aH, aL, 32);
  subtractWide(wideHigh, wideLow, cbH, cbL);
  const base = arctangents + (<usize>index << 4);
  const negative = <i64>wideHigh < 0;
  if (negative) subtractWide(0, 0, wideHigh, wideLow);
  if ((wideHigh | wideLow) == 0) { setWideFrom(base); return true; }
  setNormalized(wideHigh, wideLow, 0);
  quotient(high, low, exponent, denominatorH, denominatorL, denominatorE);
  square();
  series(arctangentTerms, ARCTANGENT_TERMS, wideHigh, wideLow, true);
  scaleByOneAnd(true);
  toFixed(4);
  if (negative) subtractWide(load<u64>(base), load<u64>(base, 8), wideHigh, wideLow);
  else addWide(load<u64>(base), load<u64>(base, 8), wideHigh, wideLow);
  return true;
}

/** FPATAN: the angle of the point (x, y). */
export function arctangent(ySe: u32, ySig: u64, xSe: u32, xSig: u64, control: u32): void {
  if (arctangentSpecial(ySe, ySig, xSe, xSig, control)) return;
  const yE = trueExponent(ySe, ySig), xE = trueExponent(xSe, xSig), y = trueSignificand(ySig), x = trueSignificand(xSig);
  const steep = yE > xE || (yE == xE && y > x), left = (xSe & SIGN) != 0;
  const fixed = steep ? arctangentOfRatio(x, y, yE - xE) : arctangentOfRatio(y, x, xE - yE);
  if (!fixed) {
    if (!steep && !left) { emit(ySe & SIGN, control); return; }
    toFixed(4);
  }
  if (steep) subtractWide(PI_HIGH >> 1, (PI_HIGH << 63) | (PI_LOW >> 1), wideHigh, wideLow);
  if (left) subtractWide(PI_HIGH, PI_LOW, wideHigh, wideLow);
  setNormalized(wideHigh, wideLow, 4);
  emit(ySe & SIGN, control);
}

/** Sign of the last logarithm. */
let logarithmNegative: bool = false;

/** log2(c) + k + (2 / ln 2) atanh(s), s = the magnitude, c = index/32. */
function finishLogarithm(k: i32, index: u64, negative: bool, zero: bool): void {
  if (!zero) {
    square();
    series(arctangentTerms, ARCTANGENT_TERMS, wideHigh, wideLow, false);
    scaleByOneAnd(false);
    multiplyFractions(high, low, LOG_SCALE_HIGH, LOG_SCALE_LOW);
    setNormalized(wideHigh, wideLow, exponent + 2);
    if (k == 0 && index == 32) { logarithmNegative = negative; return; }
    toFixed(16);
  } else addWide(0, 0, 0, 0);
  const base = logarithms + (<usize>(index - 22) << 4);
  if (negative) subtractWide(load<u64>(base), load<u64>(base, 8), wideHigh, wideLow);
  else addWide(load<u64>(base), load<u64>(base, 8), wideHigh, wideLow);
  addWide(wideHigh, wideLow, <u64><i64>k << 48, 0);
  logarithmNegative = <i64>wideHigh < 0;
  if (logarithmNegative) subtractWide(0, 0, wideHigh, wideLow);
  setNormalized(wideHigh, wideLow, 16);
}

/** log2(m * 2^k) into the magnitude; m = h:l normalised (0.5 <= m < 1), the number not 1. */
function logarithm(h: u64, l: u64, k: i32): void {
  // M = m or 2m (and k one less), in [sqrt 1/2, sqrt 2), with 127 fraction bits.
  if (h >= 0xb504f333f9de6484) { l = (h << 63) | (l >> 1); h >>= 1; } else k--;
  const index = (h + (<u64>1 << 57)) >> 58;
  addWide(h >> 1, (h << 63) | (l >> 1), index << 57, 0);
  setNormalized(wideHigh, wideLow, 1);
  const denominatorH = high, denominatorL = low, denominatorE = exponent;
  subtractWide(h, l, index << 58, 0);
  const negative = <i64>wideHigh < 0;
  if (negative) subtractWide(0, 0, wideHigh, wideLow);
  const zero = (wideHigh | wideLow) == 0;
  if (!zero) {
    setNormalized(wideHigh, wideLow, 0);
    quotient(high, low, exponent, denominatorH, denominatorL, denominatorE);
  }
  finishLogarithm(k, index, negative, zero);
}

/** Rounds y * magnitude into the result. */
function emitProduct(sign: u32, ySe: u32, ySig: u64, control: u32): void {
  const carry = multiplyHigh(trueSignificand(ySig), low);
  multiplyWide(trueSignificand(ySig), high);
  addWide(wideHigh, wideLow, 0, carry);
  setNormalized(wideHigh, wideLow, exponent + trueExponent(ySe, ySig) + 1 - BIAS);
  emit(sign, control);
}

/** y * log2(x) when x or y is zero, infinite or no number, x is negative or exactly 1: true when that was it. */
function logarithmSpecial(xSe: u32, xSig: u64, ySe: u32, ySig: u64, control: u32): bool {
  if (notNumbers(ySe, ySig, xSe, xSig)) return true;
  const sign = ySe & SIGN, yInfinite = isInfinite(ySe, ySig);
  if ((xSe & SIGN) && xSig) { invalid(); return true; }
  if (xSig == 0) {
    if (ySig == 0) { invalid(); return true; }
    if (!yInfinite) addRaised(ZE);
    setResult((sign ^ SIGN) | MAX_EXPONENT, INTEGER_BIT);
    return true;
  }
  const one = xSe == <u32>BIAS && xSig == INTEGER_BIT;
  if (yInfinite ? one : ySig == 0 && isInfinite(xSe, xSig)) { invalid(); return true; }
  if (denormalStops(isDenormal(xSe, xSig) || isDenormal(ySe, ySig), control)) return true;
  const below = (xSe & MAX_EXPONENT) < <u32>BIAS ? SIGN : 0;
  if (yInfinite || isInfinite(xSe, xSig)) { setResult((sign ^ below) | MAX_EXPONENT, INTEGER_BIT); return true; }
  if (ySig == 0 || one) { setResult(sign ^ below, 0); return true; }
  return false;
}

/** FYL2X. */
export function logarithmProduct(xSe: u32, xSig: u64, ySe: u32, ySig: u64, control: u32): void {
  if (logarithmSpecial(xSe, xSig, ySe, ySig, control)) return;
  const power = trueExponent(xSe, xSig) - BIAS, significand = trueSignificand(xSig);
  if (significand == INTEGER_BIT) {
    fromInteger(<i64>power);
    multiply(resultSe, resultSig, ySe, ySig, control | PRECISION_64);
    return;
  }
  logarithm(significand, 0, power + 1);
  emitProduct((ySe & SIGN) ^ (logarithmNegative ? SIGN : 0), ySe, ySig, control);
}

function logarithmPlusOneSpecial(xSe: u32, xSig: u64, ySe: u32, ySig: u64, control: u32): bool {
  if (notNumbers(ySe, ySig, xSe, xSig)) return true;
  const yInfinite = isInfinite(ySe, ySig), xInfinite = isInfinite(xSe, xSig), sign = (xSe ^ ySe) & SIGN;
  if ((xInfinite && ((xSe & SIGN) || ySig == 0)) || (yInfinite && xSig == 0)) { invalid(); return true; }
  if (denormalStops(isDenormal(xSe, xSig) || isDenormal(ySe, ySig), control)) return true;
  if (xInfinite || yInfinite) { setResult(sign | MAX_EXPONENT, INTEGER_BIT); return true; }
  if (xSig == 0 || ySig == 0) { setResult(sign, 0); return true; }
  // Arguments of -1 and below are outside the documented range; the argument comes back, as from F2XM1.
  if ((xSe & SIGN) && (xSe & MAX_EXPONENT) >= <u32>BIAS) { addRaised(PE); setResult(xSe, xSig); return true; }
  return false;
}

/** FYL2XP1: y * log2(1 + x). */
export function logarithmPlusOneProduct(xSe: u32, xSig: u64, ySe: u32, ySig: u64, control: u32): void {
  if (logarithmPlusOneSpecial(xSe, xSig, ySe, ySig, control)) return;
  const negative = (xSe & SIGN) != 0, e = trueExponent(xSe, xSig) - BIAS + 1, x = trueSignificand(xSig);
  if (e < -5) {
    // s = x / (2 + x), with 126 fraction bits.
    shiftRightSticky(x, 0, <u32>min(2 - e, 200));
    if (negative) subtractWide(INTEGER_BIT, 0, wideHigh, wideLow); else addWide(INTEGER_BIT, 0, wideHigh, wideLow);
    setNormalized(wideHigh, wideLow, 2);
    quotient(x, 0, e, high, low, exponent);
    finishLogarithm(0, 32, negative, false);
  } else {
    if (negative) { shiftRightSticky(x, 0, <u32>-e); subtractWide(0, 0, wideHigh, wideLow); setNormalized(wideHigh, wideLow, 0); }
    else if (e < 1) { shiftRightSticky(x, 0, <u32>(1 - e)); addWide(INTEGER_BIT, 0, wideHigh, wideLow); setNormalized(wideHigh, wideLow, 1); }
    else {
      shiftRightSticky(INTEGER_BIT, 0, <u32>min(e - 1, 200));
      addWide(x, 0, wideHigh, wideLow);
      if (wideHigh < x) setNormalized((wideHigh >> 1) | INTEGER_BIT, (wideHigh << 63) | (wideLow >> 1), e + 1);
      else setNormalized(wideHigh, wideLow, e);
    }
    logarithm(high, low, exponent);
  }
  emitProduct((ySe & SIGN) ^ (logarithmNegative ? SIGN : 0), ySe, ySig, control);
}

/** F2XM1: 2^x - 1 for |x| <= 1; outside, where the result is undefined, x itself, inexact. */
export function exponentialMinusOne(se: u32, sig: u64, control: u32): void {
  if (notNumbers(se, sig, 0, 0)) return;
  const negative = (se & SIGN) != 0;
  if (isInfinite(se, sig)) { if (negative) setResult(SIGN | BIAS, INTEGER_BIT); else setResult(se, sig); return; }
  if (sig == 0) { setResult(se, 0); return; }
  if (denormalStops(isDenormal(se, sig), control)) return;
  const e = trueExponent(se, sig) - BIAS + 1, x = trueSignificand(sig);
  if (e > 0) {
    if (e == 1 && x == INTEGER_BIT) setResult(negative ? SIGN | (BIAS - 1) : BIAS, INTEGER_BIT);
    else { addRaised(PE); setResult(se, sig); }
    return;
  }
  let index: u64 = 0, below = false;
  high = x; low = 0; exponent = e;
  if (e >= -5) {
    shiftRightSticky(x, 0, <u32>-e);
    index = ((wideHigh >> 58) + 1) >> 1;
    subtractWide(wideHigh, wideLow, index << 59, 0);
    below = <i64>wideHigh < 0;
    if (below) subtractWide(0, 0, wideHigh, wideLow);
    if ((wideHigh | wideLow) == 0) high = 0; else setNormalized(wideHigh, wideLow, 0);
  }
  const falling = below != negative;
  if (high) {
    multiplyFractions(high, low, LN2_HIGH, LN2_LOW);
    setNormalized(wideHigh, wideLow, exponent);
    toFixed(0);
    series(exponentialTerms, EXPONENTIAL_TERMS, wideHigh, wideLow, falling);
    scaleByOneAnd(falling);
    if (index == 0) { emit(falling ? SIGN : 0, control); return; }
    toFixed(2);
  } else addWide(0, 0, 0, 0);
  const place = powers + (<usize>(negative ? 32 - index : 32 + index) << 4);
  const powerH = load<u64>(place), powerL = load<u64>(place, 8);
  multiplyFractions(wideHigh, wideLow, powerH, powerL);
  if (falling) subtractWide(0, 0, wideHigh, wideLow);
  addWide(wideHigh, wideLow, powerH >> 2, (powerH << 62) | (powerL >> 2));
  subtractWide(wideHigh, wideLow, <u64>1 << 60, 0);
  if (negative) subtractWide(0, 0, wideHigh, wideLow);
  setNormalized(wideHigh, wideLow, 4);
  emit(negative ? SIGN : 0, control);
}
