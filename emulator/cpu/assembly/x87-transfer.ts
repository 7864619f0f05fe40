import { condition } from "./flags";
import { commit, readable, writable } from "./memory";
import { linear, opcode } from "./uop";
import { fromDouble, fromInteger, fromSingle, toDouble, toInteger, toSingle } from "./x87-convert";
import {
  C1, DE, IE, INTEGER_BIT, NARROW_DENORMAL, OE, QUIET_BIT, ROUNDING, ROUND_NEAREST, ROUND_UP, ROUND_ZERO, SIGN, UE, addRaised, clearRaised,
  isSignaling, raised, resultSe, resultSig, setResult,
} from "./x87-float80";
import {
  begin, controlWord, filled, finish, finishMemory, pop, pushResult, registerOf, seOf, setEmpty, setFilled, setTop, sigOf, st, stackOverflow, stackUnderflow,
  statusWord, stopped, storeResult, top,
} from "./x87-stack";

/** Loads, stores, exchanges and conditional moves (SDM 1 §8.3.3). */

/** Pushes the widened operand: a signaling NaN is invalid, a denormal noted. Processors push it even when that is unmasked. */
function pushNarrow(u: usize): void {
  if (filled(7)) { clearRaised(); stackOverflow(); }
  else if (isSignaling(resultSe, resultSig)) { addRaised(IE); setResult(resultSe, resultSig | QUIET_BIT); }
  else if (raised & NARROW_DENORMAL) addRaised(DE);
  if (!(raised & ~controlWord() & IE)) pushResult();
  finishMemory(u);
}

export function fldSingle(u: usize): void {
  if (!begin()) return;
  const p = readable<u32>(linear(u)); if (!p) return;
  fromSingle(load<u32>(p));
  pushNarrow(u);
}

export function fldDouble(u: usize): void {
  if (!begin()) return;
  const p = readable<u64>(linear(u)); if (!p) return;
  fromDouble(load<u64>(p));
  pushNarrow(u);
}

function pushExact(): void {
  if (filled(7)) stackOverflow();
  if (!stopped()) pushResult();
}

export function fldExtended(u: usize): void {
  if (!begin()) return;
  let p = readable<u64>(linear(u)); if (!p) return;
  const sig = load<u64>(p);
  p = readable<u16>(linear(u) + 8); if (!p) return;
  setResult(load<u16>(p), sig);
  pushExact();
  finishMemory(u);
}

export function fldRegister(u: usize): void {
  if (!begin()) return;
  const i = registerOf(u), place = st(i);
  if (!filled(i)) stackUnderflow();
  else if (filled(7)) stackOverflow();
  else setResult(seOf(place), sigOf(place));
  if (!stopped()) pushResult();
  finish(u);
}

// @ts-ignore: decorator
@inline function loadInteger(u: usize, value: i64): void {
  fromInteger(value);
  pushExact();
  finishMemory(u);
}

export function fildWord(u: usize): void {
  if (!begin()) return;
  const p = readable<u16>(linear(u)); if (!p) return;
  loadInteger(u, <i64>load<i16>(p));
}

export function fildDoubleword(u: usize): void {
  if (!begin()) return;
  const p = readable<u32>(linear(u)); if (!p) return;
  loadInteger(u, <i64>load<i32>(p));
}

export function fildQuadword(u: usize): void {
  if (!begin()) return;
  const p = readable<u64>(linear(u)); if (!p) return;
  loadInteger(u, load<i64>(p));
}

/** FLD1, FLDL2T, FLDL2E, FLDPI, FLDLG2, FLDLN2, FLDZ: significands truncated to 64 bits; rounding control applies to the exact values (SDM 1 §8.3.8). */
const constants: usize = memory.data<u64>([
  0x8000000000000000, 0xd49a784bcd1b8afe, 0xb8aa3b295c17f0bb, 0xc90fdaa22168c234, 0x9a209a84fbcff798, 0xb17217f7d1cf79ab, 0,
]);
const constantExponents: usize = memory.data<u16>([0x3fff, 0x4000, 0x3fff, 0x4000, 0x3ffd, 0x3ffe, 0]);

export function fldConstant(u: usize): void {
  if (!begin()) return;
  const i = registerOf(u), mode = controlWord() & ROUNDING;
  let sig = load<u64>(constants + (<usize>i << 3));
  // Only log2(10) is nearer to its truncated value; 1 and 0 are exact.
  if (i != 0 && i != 6 && (mode == ROUND_UP || (mode == ROUND_NEAREST && i != 1))) sig++;
  setResult(load<u16>(constantExponents + (<usize>i << 1)), sig);
  pushExact();
  finish(u);
}

/** True when a store's masked result may be written: an unmasked overflow or underflow forbids it too, and memory is not looked at then. */
// @ts-ignore: decorator
@inline function storable(control: u32): bool { return (raised & ~control & (IE | OE | UE)) == 0; }

// @ts-ignore: decorator
@inline function storeSingle(u: usize, popping: bool): void {
  if (!begin()) return;
  const control = controlWord(), place = st(0);
  let value: u32 = 0xffc00000;
  if (filled(0)) value = toSingle(seOf(place), sigOf(place), control);
  else stackUnderflow();
  const stored = storable(control);
  if (stored) {
    const p = writable<u32>(linear(u)); if (!p) return;
    store<u32>(p, value); commit(p);
  }
  finishMemory(u);
  if (popping && stored) pop();
}
export function fstSingle(u: usize): void { storeSingle(u, false); }
export function fstpSingle(u: usize): void { storeSingle(u, true); }

// @ts-ignore: decorator
@inline function storeDouble(u: usize, popping: bool): void {
  if (!begin()) return;
  const control = controlWord(), place = st(0);
  let value: u64 = 0xfff8000000000000;
  if (filled(0)) value = toDouble(seOf(place), sigOf(place), control);
  else stackUnderflow();
  const stored = storable(control);
  if (stored) {
    const p = writable<u64>(linear(u)); if (!p) return;
    store<u64>(p, value); commit(p);
  }
  finishMemory(u);
  if (popping && stored) pop();
}
export function fstDouble(u: usize): void { storeDouble(u, false); }
export function fstpDouble(u: usize): void { storeDouble(u, true); }

/** Writes ten bytes; false when that faulted. Both pages are probed before the first byte changes. */
function storeTen(address: u64, low: u64, high: u32): bool {
  if (!writable<u64>(address)) return false;
  let p = writable<u16>(address + 8); if (!p) return false;
  store<u16>(p, <u16>high); commit(p);
  p = writable<u64>(address); if (!p) return false;
  store<u64>(p, low); commit(p);
  return true;
}

export function fstpExtended(u: usize): void {
  if (!begin()) return;
  const place = st(0);
  if (filled(0)) setResult(seOf(place), sigOf(place));
  else stackUnderflow();
  const stored = !stopped();
  if (stored && !storeTen(linear(u), resultSig, resultSe)) return;
  finishMemory(u);
  if (stored) pop();
}

// @ts-ignore: decorator
@inline function storeInteger<T>(u: usize, control: u32, popping: bool): void {
  if (!begin()) return;
  const place = st(0), bits: u32 = 8 * sizeof<T>();
  let value: i64 = i64.MIN_VALUE >> (64 - bits);
  if (filled(0)) value = toInteger(seOf(place), sigOf(place), bits, control);
  else stackUnderflow();
  const stored = storable(control);
  if (stored) {
    const p = writable<T>(linear(u)); if (!p) return;
    store<T>(p, <T>value); commit(p);
  }
  finishMemory(u);
  if (popping && stored) pop();
}
export function fistWord(u: usize): void { storeInteger<i16>(u, controlWord(), false); }
export function fistDoubleword(u: usize): void { storeInteger<i32>(u, controlWord(), false); }
export function fistpWord(u: usize): void { storeInteger<i16>(u, controlWord(), true); }
export function fistpDoubleword(u: usize): void { storeInteger<i32>(u, controlWord(), true); }
export function fistpQuadword(u: usize): void { storeInteger<i64>(u, controlWord(), true); }
export function fisttpWord(u: usize): void { storeInteger<i16>(u, controlWord() | ROUND_ZERO, true); }
export function fisttpDoubleword(u: usize): void { storeInteger<i32>(u, controlWord() | ROUND_ZERO, true); }
export function fisttpQuadword(u: usize): void { storeInteger<i64>(u, controlWord() | ROUND_ZERO, true); }

/** FBLD: 18 decimal digits and a sign (SDM 1 §4.7). */
export function fbld(u: usize): void {
  if (!begin()) return;
  let p = readable<u64>(linear(u)); if (!p) return;
  const low = load<u64>(p);
  p = readable<u16>(linear(u) + 8); if (!p) return;
  const high = <u32>load<u16>(p);
  let value: u64 = ((high >> 4) & 15) * 10 + (high & 15);
  for (let shift = 60; shift >= 0; shift -= 4) value = value * 10 + ((low >> <u64>shift) & 15);
  fromInteger(<i64>value);
  setResult(resultSe | (high & SIGN), resultSig);
  pushExact();
  finishMemory(u);
}

export function fbstp(u: usize): void {
  if (!begin()) return;
  const control = controlWord(), place = st(0), se = seOf(place);
  let low: u64 = 0xc000000000000000, high: u32 = 0xffff;
  if (!filled(0)) stackUnderflow();
  else {
    const rounded = toInteger(se, sigOf(place), 64, control);
    let rest: u64 = rounded < 0 ? <u64>-rounded : <u64>rounded;
    if (rest > 999999999999999999) { clearRaised(); addRaised(IE); }
    else if (!(raised & IE)) {
      low = 0;
      for (let shift: u64 = 0; shift < 64; shift += 4) { low |= (rest % 10) << shift; rest /= 10; }
      high = <u32>(rest % 10) | (<u32>(rest / 10) << 4) | (se & SIGN);
    }
  }
  const stored = !stopped();
  if (stored && !storeTen(linear(u), low, high)) return;
  finishMemory(u);
  if (stored) pop();
}

// @ts-ignore: decorator
@inline function storeRegister(u: usize, popping: bool): void {
  if (!begin()) return;
  const place = st(0);
  if (filled(0)) setResult(seOf(place), sigOf(place));
  else stackUnderflow();
  const stored = !stopped();
  if (stored) storeResult(registerOf(u));
  finish(u);
  if (popping && stored) pop();
}
export function fstRegister(u: usize): void { storeRegister(u, false); }
export function fstpRegister(u: usize): void { storeRegister(u, true); }

/** D9 D8+i, which no manual names: FSTP, except that an empty ST(0) is popped without a fault and without a result. */
export function fstpUnchecked(u: usize): void {
  if (!begin()) return;
  if (filled(0)) {
    setResult(seOf(st(0)), sigOf(st(0)));
    storeResult(registerOf(u));
  }
  finish(u);
  pop();
}

/** FXCH: an empty register takes part as the real indefinite. */
export function fxch(u: usize): void {
  if (!begin()) return;
  const i = registerOf(u), a = st(0), b = st(i);
  const aFilled = filled(0), bFilled = filled(i);
  if (!aFilled || !bFilled) stackUnderflow();
  if (!stopped()) {
    const aSig = aFilled ? sigOf(a) : INTEGER_BIT | QUIET_BIT, aSe = aFilled ? seOf(a) : 0xffff;
    store<u64>(a, bFilled ? sigOf(b) : INTEGER_BIT | QUIET_BIT);
    store<u16>(a, <u16>(bFilled ? seOf(b) : 0xffff), 8);
    store<u64>(b, aSig);
    store<u16>(b, <u16>aSe, 8);
    setFilled(0);
    setFilled(i);
  }
  finish(u);
}

/** FCMOVcc: the opcode's bits 3-4 choose B, E, BE, U; DB instead of DA negates. */
export function fcmov(u: usize): void {
  if (!begin()) return;
  const i = registerOf(u), bytes = opcode(u), place = st(i);
  const which = (bytes >> 3) & 3;
  const code: u32 = (which == 3 ? 10 : 2 + which * 2) | ((bytes >> 8) & 1);
  if (!filled(0) || !filled(i)) {
    stackUnderflow();
    if (!stopped()) storeResult(0);
  } else {
    // C1 stays as it was unless the stack faulted.
    addRaised(statusWord() & C1);
    if (condition(code)) {
      setResult(seOf(place), sigOf(place));
      storeResult(0);
    }
  }
  finish(u);
}

export function ffree(u: usize): void {
  if (!begin()) return;
  setEmpty(registerOf(u));
  finish(u);
}

/** FFREEP (DF C0+i): the undocumented FFREE that pops. */
export function ffreep(u: usize): void {
  if (!begin()) return;
  setEmpty(registerOf(u));
  finish(u);
  pop();
}

export function fincstp(u: usize): void { if (begin()) { finish(u); setTop(top() + 1); } }
export function fdecstp(u: usize): void { if (begin()) { finish(u); setTop(top() - 1); } }
