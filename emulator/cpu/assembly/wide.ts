/** 128-bit products and quotients of 64-bit operands. */

/** Upper half of the unsigned product. */
export function multiplyHigh(a: u64, b: u64): u64 {
  const aLow = a & 0xffffffff, aHigh = a >> 32, bLow = b & 0xffffffff, bHigh = b >> 32;
  const middle = aHigh * bLow + ((aLow * bLow) >> 32);
  const other = aLow * bHigh + (middle & 0xffffffff);
  return aHigh * bHigh + (middle >> 32) + (other >> 32);
}
/** Upper half of the signed product. */
export function multiplyHighSigned(a: i64, b: i64): i64 {
  let high = <i64>multiplyHigh(<u64>a, <u64>b);
  if (a < 0) high -= b;
  if (b < 0) high -= a;
  return high;
}

export let remainder: u64 = 0;
/** (high:low) / divisor with high < divisor; the remainder is left in `remainder`. Knuth 4.3.1 D with two 32-bit digits. */
export function divideWide(high: u64, low: u64, divisor: u64): u64 {
  if (!high) { remainder = low % divisor; return low / divisor; }
  const shift = clz<u64>(divisor), d = divisor << shift;
  const dHigh = d >> 32, dLow = d & 0xffffffff;
  let rest = shift ? (high << shift) | (low >> (64 - shift)) : high;
  const lower = low << shift;
  const q1 = quotientDigit(rest, lower >> 32, dHigh, dLow);
  rest = ((rest << 32) | (lower >> 32)) - q1 * d;
  const q0 = quotientDigit(rest, lower & 0xffffffff, dHigh, dLow);
  rest = ((rest << 32) | (lower & 0xffffffff)) - q0 * d;
  remainder = rest >> shift;
  return (q1 << 32) | q0;
}
function quotientDigit(rest: u64, digit: u64, dHigh: u64, dLow: u64): u64 {
  let q = rest / dHigh, r = rest % dHigh;
  while (q >> 32 || q * dLow > ((r << 32) | digit)) {
    q--; r += dHigh;
    if (r >> 32) break;
  }
  return q;
}
