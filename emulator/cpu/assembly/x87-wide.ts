/**
 * Unsigned 128-bit arithmetic for the 80-bit soft float. WebAssembly has no wide multiply or divide, and AssemblyScript no
 * multiple results: a function leaves its 128-bit result in `wideHigh` and `wideLow`.
 */
export let wideHigh: u64 = 0;
export let wideLow: u64 = 0;

// @ts-ignore: decorator
@inline export function setWide(high: u64, low: u64): void { wideHigh = high; wideLow = low; }

/** a * b, all 128 bits. */
export function multiplyWide(a: u64, b: u64): void {
  const a0 = a & 0xffffffff, a1 = a >> 32, b0 = b & 0xffffffff, b1 = b >> 32;
  const low = a0 * b0;
  const middle = a1 * b0 + (low >> 32);
  const other = a0 * b1 + (middle & 0xffffffff);
  wideHigh = a1 * b1 + (middle >> 32) + (other >> 32);
  wideLow = (other << 32) | (low & 0xffffffff);
}

/** The upper half of a * b. */
export function multiplyHigh(a: u64, b: u64): u64 {
  const a0 = a & 0xffffffff, a1 = a >> 32, b0 = b & 0xffffffff, b1 = b >> 32;
  const middle = a1 * b0 + ((a0 * b0) >> 32);
  return a1 * b1 + (middle >> 32) + ((a0 * b1 + (middle & 0xffffffff)) >> 32);
}

/** Remainder of the last `divideWide`. */
export let remainder: u64 = 0;

/** high:low / divisor, for high < divisor and a divisor whose top bit is set (Knuth, TAOCP 2, 4.3.1 algorithm D with 32-bit digits). */
export function divideWide(high: u64, low: u64, divisor: u64): u64 {
  const d1 = divisor >> 32, d0 = divisor & 0xffffffff;
  let q1 = high / d1;
  let rest = high - q1 * d1;
  while (q1 >> 32 || q1 * d0 > ((rest << 32) | (low >> 32))) {
    q1--; rest += d1;
    if (rest >> 32) break;
  }
  const middle = ((high << 32) | (low >> 32)) - q1 * divisor;
  let q0 = middle / d1;
  rest = middle - q0 * d1;
  while (q0 >> 32 || q0 * d0 > ((rest << 32) | (low & 0xffffffff))) {
    q0--; rest += d1;
    if (rest >> 32) break;
  }
  remainder = ((middle << 32) | (low & 0xffffffff)) - q0 * divisor;
  return (q1 << 32) + q0;
}

/** Shifts high:low right; what falls out is kept as a 1 in the lowest bit. */
export function shiftRightSticky(high: u64, low: u64, count: u32): void {
  if (count == 0) { wideHigh = high; wideLow = low; return; }
  if (count < 64) {
    wideHigh = high >> count;
    wideLow = (high << (64 - count)) | (low >> count) | u64((low << (64 - count)) != 0);
    return;
  }
  wideHigh = 0;
  if (count == 64) wideLow = high | u64(low != 0);
  else if (count < 128) wideLow = (high >> (count - 64)) | u64(((high << (128 - count)) | low) != 0);
  else wideLow = u64((high | low) != 0);
}

// @ts-ignore: decorator
@inline export function shiftLeftWide(high: u64, low: u64, count: u32): void {
  if (count == 0) { wideHigh = high; wideLow = low; }
  else if (count < 64) { wideHigh = (high << count) | (low >> (64 - count)); wideLow = low << count; }
  else { wideHigh = low << (count - 64); wideLow = 0; }
}

/** Leading zeros of high:low, which is not zero. */
// @ts-ignore: decorator
@inline export function leadingZeros(high: u64, low: u64): u32 { return <u32>(high ? clz(high) : 64 + clz(low)); }

/** The upper 128 bits of the 256-bit product, at most 3 units too small (the lowest partial product is left out). */
export function multiplyFractions(aHigh: u64, aLow: u64, bHigh: u64, bLow: u64): void {
  const crossA = multiplyHigh(aHigh, bLow), crossB = multiplyHigh(aLow, bHigh);
  multiplyWide(aHigh, bHigh);
  let low = wideLow + crossA;
  if (low < crossA) wideHigh++;
  low += crossB;
  if (low < crossB) wideHigh++;
  wideLow = low;
}

// @ts-ignore: decorator
@inline export function addWide(aHigh: u64, aLow: u64, bHigh: u64, bLow: u64): void {
  const low = aLow + bLow;
  wideHigh = aHigh + bHigh + u64(low < bLow);
  wideLow = low;
}

// @ts-ignore: decorator
@inline export function subtractWide(aHigh: u64, aLow: u64, bHigh: u64, bLow: u64): void {
  wideHigh = aHigh - bHigh - u64(aLow < bLow);
  wideLow = aLow - bLow;
}

/** One 64-bit digit of (n2:n1:n0) / (d1:d0), n2:n1 < d1:d0 and the divisor normalised. The remainder is left in wideHigh:wideLow. */
function divideDigit(n2: u64, n1: u64, n0: u64, d1: u64, d0: u64): u64 {
  let q: u64, rest: u64;
  let checked = true;
  if (n2 >= d1) {
    q = ~(<u64>0);
    rest = n1 + d1;
    checked = rest >= d1;
  } else {
    q = divideWide(n2, n1, d1);
    rest = remainder;
  }
  multiplyWide(q, d0);
  let high = wideHigh, low = wideLow;
  while (checked && (high > rest || (high == rest && low > n0))) {
    q--;
    if (low < d0) high--;
    low -= d0;
    rest += d1;
    checked = rest >= d1;
  }
  subtractWide(rest, n0, high, low);
  return q;
}

/** (aHigh:aLow << 128) / bHigh:bLow, for a < b and b normalised: 128 quotient bits, the lowest of them sticky. */
export function divideFractions(aHigh: u64, aLow: u64, bHigh: u64, bLow: u64): void {
  const first = divideDigit(aHigh, aLow, 0, bHigh, bLow);
  const second = divideDigit(wideHigh, wideLow, 0, bHigh, bLow);
  const sticky = u64((wideHigh | wideLow) != 0);
  wideHigh = first;
  wideLow = second | sticky;
}
