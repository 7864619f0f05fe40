/** Integer instructions in the forms that the interpreter does not inline (16 bits, memory destinations, LOCK, the rest). */
import { HAS_LAHF } from "../../../build/generated/cpu/features";
import { addressMask, segmented, segmentOf } from "./addressing";
import { BR, DE, fault, GP, raise, UD } from "./fault";
import {
  AF, arithmetic, carry, CF, changeArithmetic, condition, DF_FLAG, OP_SUB, PF_FLAG, remember, setArithmetic, SF, wide, ZF,
} from "./flags";
import { RAX, RBX, RDX, RFLAGS, SEG_BASE, SEGMENTS } from "./layout";
import { commit, readable, rmReadable, storable, writable } from "./memory";
import { mode64 } from "./mode";
import { has } from "./model";
import { ADC, ADD, AND, CMP, compute, decrement, increment, OR, productFlags, SBB, signed, signedProduct, storeRegister, SUB, TEST, writesBack, XOR } from "./operations";
import { imm, linear, opcode, reg, rm, third } from "./uop";
import { divideWide, multiplyHigh, multiplyHighSigned, remainder } from "./wide";

// ------------------------------------------------------------------------------------------------ ADD … CMP, TEST

/** rm = rm op b. */
// @ts-ignore: decorator
@inline function storeForm<T>(operation: u32, u: usize, b: T): void {
  const register = rm(u);
  if (!writesBack(operation)) {
    const p = register ? register : readable<T>(linear(u));
    if (p) compute<T>(operation, load<T>(p), b);
  } else if (register) storeRegister<T>(register, compute<T>(operation, load<T>(register), b));
  else {
    const p = writable<T>(linear(u));
    if (!p) return;
    store<T>(p, compute<T>(operation, load<T>(p), b)); commit(p);
  }
}
/** reg = reg op rm. */
// @ts-ignore: decorator
@inline function loadForm<T>(operation: u32, u: usize): void {
  const p = rmReadable<T>(u);
  if (!p) return;
  const r = compute<T>(operation, load<T>(reg(u)), load<T>(p));
  if (writesBack(operation)) storeRegister<T>(reg(u), r);
}

export function add<T>(u: usize): void { storeForm<T>(ADD, u, load<T>(reg(u))); }
export function addLoad<T>(u: usize): void { loadForm<T>(ADD, u); }
export function addImmediate<T>(u: usize): void { storeForm<T>(ADD, u, <T><i64>imm(u)); }
export function or<T>(u: usize): void { storeForm<T>(OR, u, load<T>(reg(u))); }
export function orLoad<T>(u: usize): void { loadForm<T>(OR, u); }
export function orImmediate<T>(u: usize): void { storeForm<T>(OR, u, <T><i64>imm(u)); }
export function adc<T>(u: usize): void { storeForm<T>(ADC, u, load<T>(reg(u))); }
export function adcLoad<T>(u: usize): void { loadForm<T>(ADC, u); }
export function adcImmediate<T>(u: usize): void { storeForm<T>(ADC, u, <T><i64>imm(u)); }
export function sbb<T>(u: usize): void { storeForm<T>(SBB, u, load<T>(reg(u))); }
export function sbbLoad<T>(u: usize): void { loadForm<T>(SBB, u); }
export function sbbImmediate<T>(u: usize): void { storeForm<T>(SBB, u, <T><i64>imm(u)); }
export function and<T>(u: usize): void { storeForm<T>(AND, u, load<T>(reg(u))); }
export function andLoad<T>(u: usize): void { loadForm<T>(AND, u); }
export function andImmediate<T>(u: usize): void { storeForm<T>(AND, u, <T><i64>imm(u)); }
export function sub<T>(u: usize): void { storeForm<T>(SUB, u, load<T>(reg(u))); }
export function subLoad<T>(u: usize): void { loadForm<T>(SUB, u); }
export function subImmediate<T>(u: usize): void { storeForm<T>(SUB, u, <T><i64>imm(u)); }
export function xor<T>(u: usize): void { storeForm<T>(XOR, u, load<T>(reg(u))); }
export function xorLoad<T>(u: usize): void { loadForm<T>(XOR, u); }
export function xorImmediate<T>(u: usize): void { storeForm<T>(XOR, u, <T><i64>imm(u)); }
export function cmp<T>(u: usize): void { storeForm<T>(CMP, u, load<T>(reg(u))); }
export function cmpLoad<T>(u: usize): void { loadForm<T>(CMP, u); }
export function cmpImmediate<T>(u: usize): void { storeForm<T>(CMP, u, <T><i64>imm(u)); }
export function test<T>(u: usize): void { storeForm<T>(TEST, u, load<T>(reg(u))); }
export function testImmediate<T>(u: usize): void { storeForm<T>(TEST, u, <T><i64>imm(u)); }

/** Stores a result to the rm operand whose place for reading and writing is `p`. */
// @ts-ignore: decorator
@inline function putRm<T>(u: usize, p: usize, value: T): void {
  if (rm(u)) storeRegister<T>(p, value); else { store<T>(p, value); commit(p); }
}
// @ts-ignore: decorator
@inline function place<T>(u: usize): usize { const r = rm(u); return r ? r : writable<T>(linear(u)); }

export function inc<T>(u: usize): void { const p = place<T>(u); if (p) putRm<T>(u, p, increment<T>(load<T>(p))); }
export function dec<T>(u: usize): void { const p = place<T>(u); if (p) putRm<T>(u, p, decrement<T>(load<T>(p))); }
export function not<T>(u: usize): void { const p = place<T>(u); if (p) putRm<T>(u, p, <T>~load<T>(p)); }
export function neg<T>(u: usize): void {
  const p = place<T>(u);
  if (!p) return;
  const b = load<T>(p), r = <T>(0 - b);
  remember<T>(OP_SUB, r, b);
  putRm<T>(u, p, r);
}

// ------------------------------------------------------------------------------------------------ moves

export function mov<T>(u: usize): void {
  const register = rm(u);
  if (register) { storeRegister<T>(register, load<T>(reg(u))); return; }
  const p = storable<T>(linear(u));
  if (p) { store<T>(p, load<T>(reg(u))); commit(p); }
}
export function movLoad<T>(u: usize): void { const p = rmReadable<T>(u); if (p) storeRegister<T>(reg(u), load<T>(p)); }
export function movImmediate<T>(u: usize): void {
  const register = rm(u);
  if (register) {
    if (sizeof<T>() == 8) store<u64>(register, <u64>load<u32>(u, 20) | (<u64>load<u32>(u, 16) << 32));
    else storeRegister<T>(register, <T>imm(u));
    return;
  }
  const p = storable<T>(linear(u));
  if (p) { store<T>(p, <T><i64>imm(u)); commit(p); }
}
export function movzxByte<T>(u: usize): void { const p = rmReadable<u8>(u); if (p) storeRegister<T>(reg(u), <T>load<u8>(p)); }
export function movzxWord<T>(u: usize): void { const p = rmReadable<u16>(u); if (p) storeRegister<T>(reg(u), <T>load<u16>(p)); }
export function movsxByte<T>(u: usize): void { const p = rmReadable<u8>(u); if (p) storeRegister<T>(reg(u), <T><i64>load<i8>(p)); }
export function movsxWord<T>(u: usize): void { const p = rmReadable<u16>(u); if (p) storeRegister<T>(reg(u), <T><i64>load<i16>(p)); }
/** Without REX.W a plain move of the operand size (SDM 2B MOVSXD). */
export function movsxd<T>(u: usize): void {
  if (sizeof<T>() == 8) { const p = rmReadable<u32>(u); if (p) store<i64>(reg(u), <i64>load<i32>(p)); return; }
  const p = rmReadable<T>(u);
  if (p) storeRegister<T>(reg(u), load<T>(p));
}
export function lea<T>(u: usize): void { storeRegister<T>(reg(u), <T>linear(u)); }
export function setIf(u: usize): void {
  const p = place<u8>(u);
  if (p) putRm<u8>(u, p, <u8>condition(opcode(u) & 15));
}
export function moveIf<T>(u: usize): void {
  const p = rmReadable<T>(u);
  if (p) storeRegister<T>(reg(u), condition(opcode(u) & 15) ? load<T>(p) : load<T>(reg(u)));
}
export function xchg<T>(u: usize): void {
  const p = place<T>(u);
  if (!p) return;
  const mine = load<T>(reg(u)), theirs = load<T>(p);
  putRm<T>(u, p, mine);
  storeRegister<T>(reg(u), theirs);
}
/** 90+r. XCHG rAX, rAX is NOP and does not touch the upper half (SDM 2B NOP). */
export function xchgAccumulator<T>(u: usize): void { if (reg(u) != RAX) xchg<T>(u); }

/** CBW, CWDE, CDQE. */
export function extendAccumulator<T>(u: usize): void {
  if (sizeof<T>() == 2) store<i16>(RAX, <i16>load<i8>(RAX));
  else if (sizeof<T>() == 4) store<u64>(RAX, <u64><u32>load<i16>(RAX));
  else store<i64>(RAX, <i64>load<i32>(RAX));
}
/** CWD, CDQ, CQO. */
export function extendIntoData<T>(u: usize): void { storeRegister<T>(RDX, <T>(signed<T>(load<T>(RAX)) >> 63)); }

// @ts-ignore: decorator
@inline function reversed<T>(value: T): T {
  return sizeof<T>() == 8 ? <T>bswap<u64>(<u64>value) : sizeof<T>() == 4 ? <T>bswap<u32>(<u32>value) : <T>bswap<u16>(<u16>value);
}
/** A 16-bit operand is undefined (SDM 2A BSWAP); processors clear it. */
export function byteSwap<T>(u: usize): void { storeRegister<T>(reg(u), sizeof<T>() == 2 ? 0 : reversed<T>(load<T>(reg(u)))); }
export function movbeLoad<T>(u: usize): void { const p = readable<T>(linear(u)); if (p) storeRegister<T>(reg(u), reversed<T>(load<T>(p))); }
export function movbeStore<T>(u: usize): void {
  const p = storable<T>(linear(u));
  if (p) { store<T>(p, reversed<T>(load<T>(reg(u)))); commit(p); }
}
export function xlat(u: usize): void {
  const offset = (load<u64>(RBX) + <u64>load<u8>(RAX)) & addressMask(u), address = segmented(segmentOf(u), offset, 1, false);
  if (fault) return;
  const p = readable<u8>(address);
  if (p) store<u8>(RAX, load<u8>(p));
}
/** In 64-bit mode SAHF and LAHF are a feature of their own (SDM 2A LAHF). */
function noFlagsInAh(): bool {
  if (!mode64() || has(HAS_LAHF)) return false;
  raise(UD, 0);
  return true;
}
export function sahf(u: usize): void { if (!noFlagsInAh()) changeArithmetic(<u32>load<u8>(RAX, 1), SF | ZF | AF | PF_FLAG | CF); }
export function lahf(u: usize): void { if (!noFlagsInAh()) store<u8>(RAX, <u8>(arithmetic() | 2), 1); }
export function salc(u: usize): void { store<u8>(RAX, <u8>(0 - carry())); }

// ------------------------------------------------------------------------------------------------ flags and nothing

export function clc(u: usize): void { changeArithmetic(0, CF); }
export function stc(u: usize): void { changeArithmetic(CF, CF); }
export function cmc(u: usize): void { setArithmetic(arithmetic() ^ CF); }
export function cld(u: usize): void { store<u64>(RFLAGS, load<u64>(RFLAGS) & ~<u64>DF_FLAG); }
export function std(u: usize): void { store<u64>(RFLAGS, load<u64>(RFLAGS) | <u64>DF_FLAG); }
export function nothing(u: usize): void {}
/** CLFLUSH faults as a load does. */
export function touch(u: usize): void { readable<u8>(linear(u)); }
export function undefined(u: usize): void { raise(UD, 0); }
/** An instruction of more than 15 bytes (SDM 3A §6.15, #GP). */
export function tooLong(u: usize): void { raise(GP, 0); }

// ------------------------------------------------------------------------------------------------ multiplication and division

export function mul<T>(u: usize): void {
  const p = rmReadable<T>(u);
  if (!p) return;
  const a = load<T>(RAX), b = load<T>(p);
  if (sizeof<T>() == 8) {
    const high = multiplyHigh(<u64>a, <u64>b), low = <u64>a * <u64>b;
    store<u64>(RAX, low); store<u64>(RDX, high);
    productFlags<u64>(low, high != 0);
    return;
  }
  putProduct<T>(wide<T>(a) * wide<T>(b));
  productFlags<T>(<T>(wide<T>(a) * wide<T>(b)), (wide<T>(a) * wide<T>(b)) >> (sizeof<T>() * 8) != 0);
}
export function imul<T>(u: usize): void {
  const p = rmReadable<T>(u);
  if (!p) return;
  const a = load<T>(RAX), b = load<T>(p);
  const low = signedProduct<T>(a, b);
  if (sizeof<T>() == 8) { store<u64>(RDX, <u64>multiplyHighSigned(<i64>a, <i64>b)); store<u64>(RAX, <u64>low); }
  else putProduct<T>(<u64>(signed<T>(a) * signed<T>(b)));
}
/** AX, DX:AX or EDX:EAX. */
// @ts-ignore: decorator
@inline function putProduct<T>(product: u64): void {
  if (sizeof<T>() == 1) store<u16>(RAX, <u16>product);
  else { storeRegister<T>(RAX, <T>product); storeRegister<T>(RDX, <T>(product >> (sizeof<T>() * 8))); }
}
export function imulLoad<T>(u: usize): void { const p = rmReadable<T>(u); if (p) storeRegister<T>(reg(u), signedProduct<T>(load<T>(reg(u)), load<T>(p))); }
export function imulImmediate<T>(u: usize): void { const p = rmReadable<T>(u); if (p) storeRegister<T>(reg(u), signedProduct<T>(load<T>(p), <T><i64>imm(u))); }

/** The dividend of the narrow sizes: AX, DX:AX, EDX:EAX. */
// @ts-ignore: decorator
@inline function dividend<T>(): u64 {
  if (sizeof<T>() == 1) return <u64>load<u16>(RAX);
  return wide<T>(load<T>(RAX)) | (wide<T>(load<T>(RDX)) << (sizeof<T>() * 8));
}
// @ts-ignore: decorator
@inline function putQuotient<T>(quotient: u64, rest: u64): void {
  if (sizeof<T>() == 1) store<u16>(RAX, <u16>((quotient & 0xff) | (rest << 8)));
  else { storeRegister<T>(RAX, <T>quotient); storeRegister<T>(RDX, <T>rest); }
}
export function div<T>(u: usize): void {
  const p = rmReadable<T>(u);
  if (!p) return;
  const divisor = wide<T>(load<T>(p));
  if (sizeof<T>() == 8) {
    if (load<u64>(RDX) >= divisor) { raise(DE, 0); return; }
    const quotient = divideWide(load<u64>(RDX), load<u64>(RAX), divisor);
    store<u64>(RAX, quotient); store<u64>(RDX, remainder);
    return;
  }
  const n = dividend<T>();
  if (!divisor || n / divisor >> (sizeof<T>() * 8)) { raise(DE, 0); return; }
  putQuotient<T>(n / divisor, n % divisor);
}
export function idiv<T>(u: usize): void {
  const p = rmReadable<T>(u);
  if (!p) return;
  const divisor = signed<T>(load<T>(p));
  if (!divisor) { raise(DE, 0); return; }
  if (sizeof<T>() == 8) { divideSigned128(divisor); return; }
  const raw = dividend<T>();
  const n: i64 = sizeof<T>() == 1 ? <i64><i16>raw : sizeof<T>() == 2 ? <i64><i32>raw : <i64>raw;
  if (sizeof<T>() == 4 && n == i64.MIN_VALUE && divisor == -1) { raise(DE, 0); return; }
  const quotient = n / divisor;
  if (signed<T>(<T>quotient) != quotient) { raise(DE, 0); return; }
  putQuotient<T>(<u64>quotient, <u64>(n % divisor));
}
function divideSigned128(divisor: i64): void {
  let high = load<u64>(RDX), low = load<u64>(RAX);
  const negative = <i64>high < 0, magnitude = <u64>(divisor < 0 ? 0 - divisor : divisor);
  if (negative) { low = 0 - low; high = ~high + u64(low == 0); }
  if (high >= magnitude) { raise(DE, 0); return; }
  const quotient = divideWide(high, low, magnitude), minus = negative != divisor < 0;
  if (quotient > (minus ? <u64>0x8000000000000000 : <u64>0x7fffffffffffffff)) { raise(DE, 0); return; }
  store<u64>(RAX, minus ? 0 - quotient : quotient);
  store<u64>(RDX, negative ? 0 - remainder : remainder);
}
/** MULX: flags untouched; the upper half wins when both destinations are one register (SDM 2B). */
export function mulx<T>(u: usize): void {
  const p = rmReadable<T>(u);
  if (!p) return;
  const a = load<T>(RDX), b = load<T>(p);
  const high: u64 = sizeof<T>() == 8 ? multiplyHigh(<u64>a, <u64>b) : (wide<T>(a) * wide<T>(b)) >> 32;
  storeRegister<T>(third(u), <T>(wide<T>(a) * wide<T>(b)));
  storeRegister<T>(reg(u), <T>high);
}

// ------------------------------------------------------------------------------------------------ decimal (SDM 2A, 2B)

export function daa(u: usize): void { decimalAdjust(false); }
export function das(u: usize): void { decimalAdjust(true); }
function decimalAdjust(subtract: bool): void {
  const old = <u32>load<u8>(RAX), flags = arithmetic();
  let al = old, newCarry: u32 = 0, aux: u32 = 0;
  if ((old & 15) > 9 || (flags & AF)) {
    al = subtract ? al - 6 : al + 6;
    newCarry = (flags & CF) | u32(subtract ? old < 6 : al > 0xff);
    aux = AF;
  }
  if (old > 0x99 || (flags & CF)) { al = subtract ? al - 0x60 : al + 0x60; newCarry = CF; }
  store<u8>(RAX, <u8>al);
  setArithmetic(resultFlags(al & 0xff) | aux | newCarry);
}
/** SF, ZF and PF of a byte. */
function resultFlags(byte: u32): u32 { return (byte & 0x80) | (byte ? 0 : ZF) | (popcnt<u32>(byte) & 1 ? 0 : PF_FLAG); }

export function aaa(u: usize): void { asciiAdjust(0x106); }
export function aas(u: usize): void { asciiAdjust(-0x106); }
function asciiAdjust(step: i32): void {
  const ax = <u32>load<u16>(RAX), adjust = (ax & 15) > 9 || (arithmetic() & AF) != 0;
  const sum = adjust ? <u32>(<i32>ax + step) : ax;
  store<u16>(RAX, <u16>(sum & 0xff0f));
  setArithmetic(resultFlags(sum & 15) | (adjust ? AF | CF : 0));
}
export function aam(u: usize): void {
  const divisor = <u32>imm(u) & 0xff, al = <u32>load<u8>(RAX);
  if (!divisor) { raise(DE, 0); return; }
  store<u16>(RAX, <u16>((al / divisor) << 8 | al % divisor));
  setArithmetic(resultFlags(al % divisor));
}
export function aad(u: usize): void {
  const al = (<u32>load<u8>(RAX) + <u32>load<u8>(RAX, 1) * (<u32>imm(u) & 0xff)) & 0xff;
  store<u16>(RAX, <u16>al);
  setArithmetic(resultFlags(al));
}
/** The two bounds are operands of their own: the address of the upper one wraps by itself (tried on a Xeon). */
export function bound<T>(u: usize): void {
  const address = linear(u), p = readable<T>(address);
  if (!p) return;
  const low = signed<T>(load<T>(p)), number = segmentOf(u);
  const offset = (address - load<u64>(SEGMENTS + (<usize>number << 5), SEG_BASE) + sizeof<T>()) & addressMask(u);
  const upper = segmented(number, offset, sizeof<T>(), false);
  if (fault) return;
  const q = readable<T>(upper);
  if (!q) return;
  const value = signed<T>(load<T>(reg(u)));
  if (value < low || value > signed<T>(load<T>(q))) raise(BR, 0);
}
