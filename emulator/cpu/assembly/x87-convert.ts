import {
  BIAS, C1, IE, INTEGER_BIT, MAX_EXPONENT, NARROW_DENORMAL, OE, PE, PRECISION_64, QUIET_BIT,
  SIGN, UE, ZE, addRaised, denormalStops, invalid, isDenormal, isInfinite, isNan, isSignaling, isUnsupported, notNumbers, raised, resultSe, resultSig, roundResult,
  roundsUp, setResult, trueExponent, trueSignificand,
} from "./x87-float80";
import { shiftRightSticky, wideHigh, wideLow } from "./x87-wide";

/** Conversions between the 80-bit format and the others, rounding to integers, and taking numbers apart. Pure, like x87-float80. */

/** Widens a float32. A signaling NaN stays one; a denormal is noted in `raised`, because its wide form is normal. */
export function fromSingle(bits: u32): void {
  const sign = (bits >> 16) & SIGN, exponent = (bits >> 23) & 0xff, fraction = <u64>(bits & 0x7fffff) << 40;
  widen(sign, exponent, fraction, exponent == 0xff, BIAS - 0x7f);
}

export function fromDouble(bits: u64): void {
  const sign = <u32>(bits >> 48) & SIGN, exponent = <u32>(bits >> 52) & 0x7ff, fraction = (bits & 0xfffffffffffff) << 11;
  widen(sign, exponent, fraction, exponent == 0x7ff, BIAS - 0x3ff);
}

// @ts-ignore: decorator
@inline function widen(sign: u32, exponent: u32, fraction: u64, top: bool, bias: i32): void {
  if (exponent == 0) {
    if (fraction == 0) { setResult(sign, 0); return; }
    const shift = <u32>clz(fraction);
    addRaised(NARROW_DENORMAL);
    setResult(sign | <u32>(bias + 1 - <i32>shift), fraction << shift);
  } else if (top) setResult(sign | MAX_EXPONENT, INTEGER_BIT | fraction);
  else setResult(sign | (exponent + <u32>bias), INTEGER_BIT | fraction);
}

export function fromInteger(value: i64): void {
  if (value == 0) { setResult(0, 0); return; }
  const magnitude = value < 0 ? <u64>0 - <u64>value : <u64>value;
  const shift = <u32>clz(magnitude);
  setResult((value < 0 ? SIGN : 0) | (<u32>BIAS + 63 - shift), magnitude << shift);
}

/**
 * Narrows to float32 (bits = 24) or float64 (bits = 53). With an unmasked invalid, overflow or underflow exception the value is
 * not to be stored and precision is not judged (SDM 1 §8.5.4-8.5.6).
 */
// @ts-ignore: decorator
@inline function narrow(se: u32, sig: u64, control: u32, bits: i32, bias: i32): u64 {
  const fractionBits = bits - 1, top = <u64>(2 * bias + 1);
  const sign = <u64>(se >> 15) << (bits == 24 ? 31 : 63);
  const infinity = sign | (top << fractionBits);
  if (isUnsupported(se, sig)) { addRaised(IE); return (bits == 24 ? 0xff800000 : 0xfff0000000000000) | (<u64>1 << (fractionBits - 1)); }
  if (isNan(se, sig)) {
    if (isSignaling(se, sig)) addRaised(IE);
    return infinity | (((sig | QUIET_BIT) << 1) >> (65 - bits));
  }
  if (isInfinite(se, sig)) return infinity;
  if (sig == 0) return sign;
  let exponent = trueExponent(se, sig) - BIAS + bias;
  let high = trueSignificand(sig), low: u64 = 0;
  const drop = 64 - bits;
  const signBit = se & SIGN;
  let tiny = false;
  if (exponent < 1) {
    const fraction = high << (64 - drop);
    tiny = !(exponent == 0 && (high >> drop) + 1 == <u64>1 << bits && fraction != 0 && roundsUp(signBit, 1, fraction, control));
    if (tiny && !(control & UE)) { addRaised(UE); return 0; }
    shiftRightSticky(high, 0, <u32>min(1 - exponent, 100));
    high = wideHigh; low = wideLow;
    exponent = 0;
  }
  const fraction = (high << (64 - drop)) | u64(low != 0);
  let kept = high >> drop, flags: u32 = 0;
  if (fraction) {
    flags = tiny ? UE | PE : PE;
    if (roundsUp(signBit, kept, fraction, control)) { kept++; flags |= C1; }
  }
  // The integer bit adds one to the exponent field; so does a carry out of the rounded significand.
  const field = (exponent ? <u64>(exponent - 1) << fractionBits : 0) + kept;
  if (exponent >= <i32>top || (exponent && field >> fractionBits >= top)) {
    if (!(control & OE)) { addRaised(OE); return 0; }
    const away = roundsUp(signBit, 1, ~(<u64>0), control);
    addRaised(OE | PE | (away ? C1 : 0));
    return away ? infinity : infinity - 1;
  }
  addRaised(flags);
  return sign | field;
}

export function toSingle(se: u32, sig: u64, control: u32): u32 { return <u32>narrow(se, sig, control, 24, 0x7f); }
export function toDouble(se: u32, sig: u64, control: u32): u64 { return narrow(se, sig, control, 53, 0x3ff); }

/** Rounds to an integer of 16, 32 or 64 bits; anything else is invalid and gives the integer indefinite. */
export function toInteger(se: u32, sig: u64, bits: u32, control: u32): i64 {
  const indefinite: i64 = i64.MIN_VALUE >> (64 - bits);
  const exponent = <i32>(se & MAX_EXPONENT) - BIAS;
  if (sig == 0 && exponent == -BIAS) return 0;
  if (exponent > 63 || isUnsupported(se, sig)) { addRaised(IE); return indefinite; }
  shiftRightSticky(sig, 0, <u32>min(63 - exponent, 100));
  let magnitude = wideHigh, flags: u32 = 0;
  if (wideLow) {
    flags = PE;
    if (roundsUp(se & SIGN, magnitude, wideLow, control)) {
      flags |= C1;
      if (++magnitude == 0) { addRaised(IE); return indefinite; }
    }
  }
  const limit = <u64>1 << (bits - 1);
  if (magnitude > (se & SIGN ? limit : limit - 1)) { addRaised(IE); return indefinite; }
  addRaised(flags);
  return se & SIGN ? -<i64>magnitude : <i64>magnitude;
}

/** FRNDINT. */
export function roundToInteger(se: u32, sig: u64, control: u32): void {
  if (notNumbers(se, sig, 0, 0)) return;
  if (sig == 0 || isInfinite(se, sig)) { setResult(se, sig); return; }
  if (denormalStops(isDenormal(se, sig), control)) return;
  const exponent = <i32>(se & MAX_EXPONENT) - BIAS;
  if (exponent >= 63) { setResult(se, sig); return; }
  shiftRightSticky(sig, 0, <u32>min(63 - exponent, 100));
  let magnitude = wideHigh;
  if (wideLow) {
    addRaised(PE);
    if (roundsUp(se & SIGN, magnitude, wideLow, control)) { magnitude++; addRaised(C1); }
  }
  if (magnitude == 0) { setResult(se & SIGN, 0); return; }
  const shift = <u32>clz(magnitude);
  setResult((se & SIGN) | (<u32>BIAS + 63 - shift), magnitude << shift);
}

/** FSCALE: a * 2^trunc(b). */
export function scale(aSe: u32, aSig: u64, bSe: u32, bSig: u64, control: u32): void {
  if (notNumbers(aSe, aSig, bSe, bSig)) return;
  const aInfinite = isInfinite(aSe, aSig), bInfinite = isInfinite(bSe, bSig);
  const bNegative = (bSe & SIGN) != 0;
  if (bInfinite && (bNegative ? aInfinite : aSig == 0)) { invalid(); return; }
  if (denormalStops(isDenormal(aSe, aSig) || isDenormal(bSe, bSig), control)) return;
  if (aInfinite || aSig == 0) { setResult(aSe, aSig); return; }
  if (bInfinite) { if (bNegative) setResult(aSe & SIGN, 0); else setResult((aSe & SIGN) | MAX_EXPONENT, INTEGER_BIT); return; }
  // A denormal that is scaled by zero stays, without the underflow that any other scale reports (tried on a Xeon).
  if (bSig == 0 && <i64>aSig > 0) { setResult(aSe, aSig); return; }
  const exponent = <i32>(bSe & MAX_EXPONENT) - BIAS;
  // Past 2^17 every number over- or underflows, whatever the exact count.
  let shift: i32 = exponent < 0 ? 0 : exponent > 16 ? 0x20000 : <i32>(bSig >> (63 - exponent));
  if (bNegative) shift = -shift;
  roundResult(aSe & SIGN, trueExponent(aSe, aSig) + shift, trueSignificand(aSig), 0, control | PRECISION_64);
  // Too large even for the adjusted exponent of an unmasked overflow (SDM 1 §8.5.4): infinity, reported as rounded up.
  if ((raised & OE & ~control) && isInfinite(resultSe, resultSig)) addRaised(PE | C1);
}

/** FXTRACT's upper half: the exponent, as a number, in the result. The significand is `sig` with the exponent of 1. */
export function extractExponent(se: u32, sig: u64, control: u32): void {
  if (notNumbers(se, sig, 0, 0)) return;
  if (isInfinite(se, sig)) { setResult(MAX_EXPONENT, INTEGER_BIT); return; }
  if (sig == 0) { addRaised(ZE); setResult(SIGN | MAX_EXPONENT, INTEGER_BIT); return; }
  if (denormalStops(isDenormal(se, sig), control)) return;
  fromInteger(trueExponent(se, sig) - BIAS);
}

/** FXAM's class of a register that is not empty, without the sign. */
export function classCodes(se: u32, sig: u64): u32 {
  const exponent = se & MAX_EXPONENT;
  if (exponent == 0) return sig == 0 ? 0x4000 : 0x4400;
  if (<i64>sig >= 0) return 0;
  if (exponent != MAX_EXPONENT) return 0x400;
  return sig == INTEGER_BIT ? 0x500 : 0x100;
}
