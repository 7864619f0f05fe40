/** Shifts, rotates, bit tests and counts, compare-and-exchange, BMI1, BMI2, ADX, CRC32. */
import { GP, raise } from "./fault";
import {
  AF, carry, CF, changeArithmetic, log2Size, OF_FLAG, OP_ADD, overflow, PF_FLAG, remember, rememberLogic, setArithmetic, SF, wide, ZF, zero,
  ccDst, ccOp, ccSrc, OP_SHIFT,
} from "./flags";
import { RAX, RBX, RCX, RDX } from "./layout";
import { commit, readable, rmReadable, writable } from "./memory";
import { CMP, compute, shiftLeft, shiftRight, shiftRightSigned, signed, storeRegister } from "./operations";
import { imm, linear, reg, rm, third } from "./uop";

// @ts-ignore: decorator
@inline function putRm<T>(u: usize, p: usize, value: T): void {
  if (rm(u)) storeRegister<T>(p, value); else { store<T>(p, value); commit(p); }
}
// @ts-ignore: decorator
@inline function place<T>(u: usize): usize { const r = rm(u); return r ? r : writable<T>(linear(u)); }

// ------------------------------------------------------------------------------------------------ shifts and rotates

const ROL: u32 = 0, ROR: u32 = 1, RCL: u32 = 2, RCR: u32 = 3, SHL: u32 = 4, SHR: u32 = 5, SAR: u32 = 6;

// @ts-ignore: decorator
@inline function shiftBy<T>(operation: u32, u: usize, amount: u32): void {
  const p = place<T>(u);
  if (!p) return;
  const count = amount & (sizeof<T>() == 8 ? 63 : 31), a = load<T>(p);
  // A count of zero writes the operand back and leaves the flags.
  if (!count) { putRm<T>(u, p, a); return; }
  let r: T;
  if (operation == SHL) r = shiftLeft<T>(a, count);
  else if (operation == SHR) r = shiftRight<T>(a, count);
  else if (operation == SAR) r = shiftRightSigned<T>(a, count);
  else if (operation == ROL) r = rotateLeft<T>(a, count);
  else if (operation == ROR) r = rotateRight<T>(a, count);
  else if (operation == RCL) r = rotateCarryLeft<T>(a, count);
  else r = rotateCarryRight<T>(a, count);
  putRm<T>(u, p, r);
}

// @ts-ignore: decorator
@inline function topBit<T>(value: T): u32 { return <u32>(wide<T>(value) >> (sizeof<T>() * 8 - 1)); }

// @ts-ignore: decorator
@inline function rotated<T>(a: T, left: u32): T {
  const bits: u32 = sizeof<T>() * 8, n = left & (bits - 1);
  return n ? <T>((wide<T>(a) << <u64>n) | (wide<T>(a) >> <u64>(bits - n))) : a;
}
function rotateLeft<T>(a: T, count: u32): T {
  const r = rotated<T>(a, count), c = <u32>r & 1;
  changeArithmetic(c | ((topBit<T>(r) ^ c) << 11), CF | OF_FLAG);
  return r;
}
function rotateRight<T>(a: T, count: u32): T {
  const r = rotated<T>(a, <u32>sizeof<T>() * 8 - (count & (<u32>sizeof<T>() * 8 - 1))), c = topBit<T>(r);
  changeArithmetic(c | ((c ^ topBit<T>(<T>(r << 1))) << 11), CF | OF_FLAG);
  return r;
}
function rotateCarryLeft<T>(a: T, amount: u32): T {
  const bits: u32 = sizeof<T>() * 8, count = sizeof<T>() < 4 ? amount % (bits + 1) : amount;
  if (!count) return a;
  const c = carry(), x = wide<T>(a);
  let r = (count < bits ? x << <u64>count : 0) | (<u64>c << <u64>(count - 1));
  if (count > 1) r |= x >> <u64>(bits + 1 - count);
  const out = <u32>(x >> <u64>(bits - count)) & 1, result = <T>r;
  changeArithmetic(out | ((topBit<T>(result) ^ out) << 11), CF | OF_FLAG);
  return result;
}
function rotateCarryRight<T>(a: T, amount: u32): T {
  const bits: u32 = sizeof<T>() * 8, count = sizeof<T>() < 4 ? amount % (bits + 1) : amount;
  if (!count) return a;
  const c = carry(), x = wide<T>(a);
  let r = (count < bits ? x >> <u64>count : 0) | (<u64>c << <u64>(bits - count));
  if (count > 1) r |= x << <u64>(bits + 1 - count);
  const out = <u32>(x >> <u64>(count - 1)) & 1, result = <T>r;
  changeArithmetic(out | ((topBit<T>(result) ^ topBit<T>(<T>(result << 1))) << 11), CF | OF_FLAG);
  return result;
}

export function rolImmediate<T>(u: usize): void { shiftBy<T>(ROL, u, imm(u)); }
export function rorImmediate<T>(u: usize): void { shiftBy<T>(ROR, u, imm(u)); }
export function rclImmediate<T>(u: usize): void { shiftBy<T>(RCL, u, imm(u)); }
export function rcrImmediate<T>(u: usize): void { shiftBy<T>(RCR, u, imm(u)); }
export function shlImmediate<T>(u: usize): void { shiftBy<T>(SHL, u, imm(u)); }
export function shrImmediate<T>(u: usize): void { shiftBy<T>(SHR, u, imm(u)); }
export function sarImmediate<T>(u: usize): void { shiftBy<T>(SAR, u, imm(u)); }
export function rolCl<T>(u: usize): void { shiftBy<T>(ROL, u, load<u8>(RCX)); }
export function rorCl<T>(u: usize): void { shiftBy<T>(ROR, u, load<u8>(RCX)); }
export function rclCl<T>(u: usize): void { shiftBy<T>(RCL, u, load<u8>(RCX)); }
export function rcrCl<T>(u: usize): void { shiftBy<T>(RCR, u, load<u8>(RCX)); }
export function shlCl<T>(u: usize): void { shiftBy<T>(SHL, u, load<u8>(RCX)); }
export function shrCl<T>(u: usize): void { shiftBy<T>(SHR, u, load<u8>(RCX)); }
export function sarCl<T>(u: usize): void { shiftBy<T>(SAR, u, load<u8>(RCX)); }

/** SHLD and SHRD; 16-bit counts above 15 have no defined result (SDM 2B). */
// @ts-ignore: decorator
@inline function doubleShift<T>(left: bool, u: usize, amount: u32): void {
  const p = place<T>(u);
  if (!p) return;
  const bits: u32 = sizeof<T>() * 8, count = amount & (sizeof<T>() == 8 ? 63 : 31), a = wide<T>(load<T>(p)), b = wide<T>(load<T>(reg(u)));
  if (!count) { putRm<T>(u, p, load<T>(p)); return; }
  const n = <u64>count, rest = <u64>(bits - count) & 63;
  const r = left ? <T>((a << n) | (b >> rest)) : <T>((a >> n) | (b << rest));
  const out = <u32>(left ? a >> rest : a >> (n - 1)) & 1;
  ccOp = OP_SHIFT | (log2Size<T>() << 4); ccDst = wide<T>(r);
  ccSrc = <u64>(out | ((topBit<T>(r) ^ topBit<T>(<T>a)) << 11));
  putRm<T>(u, p, r);
}
export function shldImmediate<T>(u: usize): void { doubleShift<T>(true, u, imm(u)); }
export function shldCl<T>(u: usize): void { doubleShift<T>(true, u, load<u8>(RCX)); }
export function shrdImmediate<T>(u: usize): void { doubleShift<T>(false, u, imm(u)); }
export function shrdCl<T>(u: usize): void { doubleShift<T>(false, u, load<u8>(RCX)); }

// ------------------------------------------------------------------------------------------------ bit tests and scans

const BT: u32 = 0, BTS: u32 = 1, BTR: u32 = 2, BTC: u32 = 3;

// @ts-ignore: decorator
@inline function bitTest<T>(operation: u32, u: usize, offset: u32): void {
  const p = operation == BT ? rmReadable<T>(u) : place<T>(u);
  if (!p) return;
  const n = offset & (<u32>sizeof<T>() * 8 - 1), mask = <T>(<u64>1 << <u64>n), a = load<T>(p);
  changeArithmetic(u32((a & mask) != 0), CF);
  if (operation == BTS) putRm<T>(u, p, <T>(a | mask));
  else if (operation == BTR) putRm<T>(u, p, <T>(a & ~mask));
  else if (operation == BTC) putRm<T>(u, p, <T>(a ^ mask));
}
export function bt<T>(u: usize): void { bitTest<T>(BT, u, load<u8>(reg(u))); }
export function bts<T>(u: usize): void { bitTest<T>(BTS, u, load<u8>(reg(u))); }
export function btr<T>(u: usize): void { bitTest<T>(BTR, u, load<u8>(reg(u))); }
export function btc<T>(u: usize): void { bitTest<T>(BTC, u, load<u8>(reg(u))); }
export function btImmediate<T>(u: usize): void { bitTest<T>(BT, u, imm(u)); }
export function btsImmediate<T>(u: usize): void { bitTest<T>(BTS, u, imm(u)); }
export function btrImmediate<T>(u: usize): void { bitTest<T>(BTR, u, imm(u)); }
export function btcImmediate<T>(u: usize): void { bitTest<T>(BTC, u, imm(u)); }

/** A zero source sets ZF and leaves the destination alone. */
export function bsf<T>(u: usize): void {
  const p = rmReadable<T>(u);
  if (!p) return;
  const a = wide<T>(load<T>(p));
  changeArithmetic(a ? 0 : ZF, ZF);
  if (a) storeRegister<T>(reg(u), <T>ctz<u64>(a));
}
export function bsr<T>(u: usize): void {
  const p = rmReadable<T>(u);
  if (!p) return;
  const a = wide<T>(load<T>(p));
  changeArithmetic(a ? 0 : ZF, ZF);
  if (a) storeRegister<T>(reg(u), <T>(63 - clz<u64>(a)));
}
export function tzcnt<T>(u: usize): void {
  const p = rmReadable<T>(u);
  if (!p) return;
  const a = wide<T>(load<T>(p)), n = a ? ctz<u64>(a) : sizeof<T>() * 8;
  changeArithmetic((a ? 0 : CF) | (n ? 0 : ZF), CF | ZF);
  storeRegister<T>(reg(u), <T>n);
}
export function lzcnt<T>(u: usize): void {
  const p = rmReadable<T>(u);
  if (!p) return;
  const a = wide<T>(load<T>(p)), n = clz<u64>(a) - (64 - sizeof<T>() * 8);
  changeArithmetic((a ? 0 : CF) | (n ? 0 : ZF), CF | ZF);
  storeRegister<T>(reg(u), <T>n);
}
export function popCount<T>(u: usize): void {
  const p = rmReadable<T>(u);
  if (!p) return;
  const n = popcnt<u64>(wide<T>(load<T>(p)));
  setArithmetic(n ? 0 : ZF);
  storeRegister<T>(reg(u), <T>n);
}

// ------------------------------------------------------------------------------------------------ exchanges

export function cmpxchg<T>(u: usize): void {
  const p = place<T>(u);
  if (!p) return;
  const old = load<T>(p);
  compute<T>(CMP, load<T>(RAX), old);
  if (zero()) { putRm<T>(u, p, load<T>(reg(u))); return; }
  // Memory gets its old value back; a register is left alone, its upper half too.
  if (!rm(u)) commit(p);
  storeRegister<T>(RAX, old);
}
export function xadd<T>(u: usize): void {
  const p = place<T>(u);
  if (!p) return;
  const old = load<T>(p), b = load<T>(reg(u)), sum = <T>(old + b);
  remember<T>(OP_ADD, sum, b);
  storeRegister<T>(reg(u), old);
  putRm<T>(u, p, sum);
}
export function cmpxchg8b(u: usize): void {
  const p = writable<u64>(linear(u));
  if (!p) return;
  const old = load<u64>(p), wanted = <u64>load<u32>(RAX) | (<u64>load<u32>(RDX) << 32);
  if (old == wanted) {
    changeArithmetic(ZF, ZF);
    store<u64>(p, <u64>load<u32>(RBX) | (<u64>load<u32>(RCX) << 32));
  } else {
    changeArithmetic(0, ZF);
    store<u64>(RAX, old & 0xffffffff); store<u64>(RDX, old >> 32);
    store<u64>(p, old);
  }
  commit(p);
}
export function cmpxchg16b(u: usize): void {
  const address = linear(u);
  if (address & 15) { raise(GP, 0); return; }
  const p = writable<v128>(address);
  if (!p) return;
  const low = load<u64>(p), high = load<u64>(p, 8);
  if (low == load<u64>(RAX) && high == load<u64>(RDX)) {
    changeArithmetic(ZF, ZF);
    store<u64>(p, load<u64>(RBX)); store<u64>(p, load<u64>(RCX), 8);
  } else {
    changeArithmetic(0, ZF);
    store<u64>(RAX, low); store<u64>(RDX, high);
    store<u64>(p, low); store<u64>(p, high, 8);
  }
  commit(p);
}

// ------------------------------------------------------------------------------------------------ ADX, CRC32

export function adcx<T>(u: usize): void {
  const p = rmReadable<T>(u);
  if (!p) return;
  const a = load<T>(reg(u)), b = load<T>(p), c = carry(), r = <T>(a + b + <T>c);
  changeArithmetic(u32(c ? wide<T>(r) <= wide<T>(b) : wide<T>(r) < wide<T>(b)), CF);
  storeRegister<T>(reg(u), r);
}
export function adox<T>(u: usize): void {
  const p = rmReadable<T>(u);
  if (!p) return;
  const a = load<T>(reg(u)), b = load<T>(p), c = overflow(), r = <T>(a + b + <T>c);
  changeArithmetic(u32(c ? wide<T>(r) <= wide<T>(b) : wide<T>(r) < wide<T>(b)) << 11, OF_FLAG);
  storeRegister<T>(reg(u), r);
}
/** CRC-32C, polynomial 11EDC6F41 reflected (SDM 2A CRC32). */
export function crc32<T>(u: usize): void {
  const p = rmReadable<T>(u);
  if (!p) return;
  let crc = load<u32>(reg(u)), value = wide<T>(load<T>(p));
  for (let i: u32 = 0; i < sizeof<T>(); i++) {
    crc ^= <u32>value & 0xff;
    for (let bit = 0; bit < 8; bit++) crc = (crc >> 1) ^ (0x82f63b78 & (0 - (crc & 1)));
    value >>= 8;
  }
  store<u64>(reg(u), <u64>crc);
}

// ------------------------------------------------------------------------------------------------ BMI1, BMI2

/** SF and ZF of the result, CF as given, OF = 0; AF and PF undefined. */
// @ts-ignore: decorator
@inline function bmiFlags<T>(result: T, c: u32): void { ccOp = OP_SHIFT | (log2Size<T>() << 4); ccDst = wide<T>(result); ccSrc = <u64>c; }

export function andn<T>(u: usize): void {
  const p = rmReadable<T>(u);
  if (!p) return;
  const r = <T>(~load<T>(third(u)) & load<T>(p));
  rememberLogic<T>(r);
  storeRegister<T>(reg(u), r);
}
export function blsr<T>(u: usize): void {
  const p = rmReadable<T>(u);
  if (!p) return;
  const a = load<T>(p), r = <T>(a & <T>(a - 1));
  bmiFlags<T>(r, u32(a == 0));
  storeRegister<T>(third(u), r);
}
export function blsmsk<T>(u: usize): void {
  const p = rmReadable<T>(u);
  if (!p) return;
  const a = load<T>(p), r = <T>(a ^ <T>(a - 1));
  bmiFlags<T>(r, u32(a == 0));
  storeRegister<T>(third(u), r);
}
export function blsi<T>(u: usize): void {
  const p = rmReadable<T>(u);
  if (!p) return;
  const a = load<T>(p), r = <T>(a & <T>(0 - a));
  bmiFlags<T>(r, u32(a != 0));
  storeRegister<T>(third(u), r);
}
export function bzhi<T>(u: usize): void {
  const p = rmReadable<T>(u);
  if (!p) return;
  const n = <u32>load<u8>(third(u)), bits: u32 = sizeof<T>() * 8, a = load<T>(p);
  const r = n < bits ? <T>(wide<T>(a) & ((<u64>1 << <u64>n) - 1)) : a;
  bmiFlags<T>(r, u32(n >= bits));
  storeRegister<T>(reg(u), r);
}
export function bextr<T>(u: usize): void {
  const p = rmReadable<T>(u);
  if (!p) return;
  const control = <u32>load<u16>(third(u)), from = control & 0xff, count = control >> 8;
  const x = from < 64 ? wide<T>(load<T>(p)) >> <u64>from : 0;
  const r = <T>(count < 64 ? x & ((<u64>1 << <u64>count) - 1) : x);
  setArithmetic(r ? 0 : ZF);
  storeRegister<T>(reg(u), r);
}
export function pdep<T>(u: usize): void {
  const p = rmReadable<T>(u);
  if (!p) return;
  let source = wide<T>(load<T>(third(u))), mask = wide<T>(load<T>(p)), r: u64 = 0;
  for (; mask; mask &= mask - 1, source >>= 1) if (source & 1) r |= mask & (0 - mask);
  storeRegister<T>(reg(u), <T>r);
}
export function pext<T>(u: usize): void {
  const p = rmReadable<T>(u);
  if (!p) return;
  const source = wide<T>(load<T>(third(u)));
  let mask = wide<T>(load<T>(p)), r: u64 = 0;
  for (let bit: u64 = 1; mask; mask &= mask - 1, bit <<= 1) if (source & mask & (0 - mask)) r |= bit;
  storeRegister<T>(reg(u), <T>r);
}
// @ts-ignore: decorator
@inline function shiftCount<T>(u: usize): u64 { return <u64>(load<u8>(third(u)) & (sizeof<T>() == 8 ? 63 : 31)); }
export function shlx<T>(u: usize): void { const p = rmReadable<T>(u); if (p) storeRegister<T>(reg(u), <T>(wide<T>(load<T>(p)) << shiftCount<T>(u))); }
export function shrx<T>(u: usize): void { const p = rmReadable<T>(u); if (p) storeRegister<T>(reg(u), <T>(wide<T>(load<T>(p)) >> shiftCount<T>(u))); }
export function sarx<T>(u: usize): void { const p = rmReadable<T>(u); if (p) storeRegister<T>(reg(u), <T>(signed<T>(load<T>(p)) >> <i64>shiftCount<T>(u))); }
export function rorx<T>(u: usize): void { const p = rmReadable<T>(u); if (p) storeRegister<T>(reg(u), rotated<T>(load<T>(p), <u32>sizeof<T>() * 8 - (<u32>imm(u) & (<u32>sizeof<T>() * 8 - 1)))); }
