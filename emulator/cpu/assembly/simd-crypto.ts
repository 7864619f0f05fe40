/** AES-NI, PCLMULQDQ and the SHA extensions (SDM 2A, 2B; FIPS 197, FIPS 180-4). */
import { XMM } from "./layout";
import { put, source } from "./simd-operand";
import { imm, reg } from "./uop";

// ------------------------------------------------------------------------------------------------ AES tables

/** S-box and its inverse, and per byte the column that SubBytes with MixColumns (and the inverse of both) makes of it. */
const SBOX: usize = memory.data(256), INVERSE_SBOX: usize = memory.data(256), MIX: usize = memory.data(1024, 16), INVERSE_MIX: usize = memory.data(1024, 16);
let built = false;

/** Doubling in GF(2^8) modulo x^8 + x^4 + x^3 + x + 1. */
// @ts-ignore: decorator
@inline function double(x: u32): u32 { return ((x << 1) ^ (x & 0x80 ? 0x11b : 0)) & 0xff; }
function byteRotated(x: u32, by: u32): u32 { return ((x << by) | (x >> (8 - by))) & 0xff; }

/** Walks the group by the generator 3 and its inverse, so that q is always the reciprocal of p (FIPS 197 §5.1.1). */
function build(): void {
  let p: u32 = 1, q: u32 = 1;
  store<u8>(SBOX, 0x63);
  do {
    p ^= double(p);
    q ^= q << 1; q ^= q << 2; q ^= q << 4;
    q = (q ^ (q & 0x80 ? 0x09 : 0)) & 0xff;
    store<u8>(SBOX + p, <u8>(q ^ byteRotated(q, 1) ^ byteRotated(q, 2) ^ byteRotated(q, 3) ^ byteRotated(q, 4) ^ 0x63));
  } while (p != 1);
  for (let i: u32 = 0; i < 256; i++) {
    const s = <u32>load<u8>(SBOX + i), s2 = double(s), i2 = double(i), i4 = double(i2), i8 = double(i4);
    store<u8>(INVERSE_SBOX + s, <u8>i);
    store<u32>(MIX + (i << 2), s2 | (s << 8) | (s << 16) | ((s2 ^ s) << 24));
    // Multiples by 14, 9, 13 and 11.
    store<u32>(INVERSE_MIX + (s << 2), (i8 ^ i4 ^ i2) | ((i8 ^ i) << 8) | ((i8 ^ i4 ^ i) << 16) | ((i8 ^ i2 ^ i) << 24));
  }
  built = true;
}

/** Column `c` after ShiftRows (`step` 1) or InvShiftRows (`step` -1): row r comes from column c + r * step. */
// @ts-ignore: decorator
@inline function at(state: usize, c: u32, r: u32, step: i32): u32 { return <u32>load<u8>(state + (((c + r * step) & 3) << 2) + r); }
// @ts-ignore: decorator
@inline function mixedColumn(table: usize, state: usize, c: u32, step: i32): u32 {
  return load<u32>(table + (at(state, c, 0, step) << 2)) ^ rotl<u32>(load<u32>(table + (at(state, c, 1, step) << 2)), 8)
    ^ rotl<u32>(load<u32>(table + (at(state, c, 2, step) << 2)), 16) ^ rotl<u32>(load<u32>(table + (at(state, c, 3, step) << 2)), 24);
}
// @ts-ignore: decorator
@inline function plainColumn(table: usize, state: usize, c: u32, step: i32): u32 {
  return <u32>load<u8>(table + at(state, c, 0, step)) | (<u32>load<u8>(table + at(state, c, 1, step)) << 8)
    | (<u32>load<u8>(table + at(state, c, 2, step)) << 16) | (<u32>load<u8>(table + at(state, c, 3, step)) << 24);
}
// @ts-ignore: decorator
@inline function columns(a: u32, b: u32, c: u32, d: u32): v128 { return i32x4.replace_lane(i32x4.replace_lane(i32x4.replace_lane(i32x4.splat(a), 1, b), 2, c), 3, d); }
// @ts-ignore: decorator
@inline function round(u: usize, table: usize, step: i32, last: bool): void {
  const p = source(u);
  if (!p) return;
  if (!built) build();
  const s = reg(u), state = last
    ? columns(plainColumn(table, s, 0, step), plainColumn(table, s, 1, step), plainColumn(table, s, 2, step), plainColumn(table, s, 3, step))
    : columns(mixedColumn(table, s, 0, step), mixedColumn(table, s, 1, step), mixedColumn(table, s, 2, step), mixedColumn(table, s, 3, step));
  put(u, v128.xor(state, v128.load(p)));
}
export function aesenc(u: usize): void { round(u, MIX, 1, false); }
export function aesenclast(u: usize): void { round(u, SBOX, 1, true); }
export function aesdec(u: usize): void { round(u, INVERSE_MIX, -1, false); }
export function aesdeclast(u: usize): void { round(u, INVERSE_SBOX, -1, true); }

/** The S-box before the table of the inverse undoes the InvSubBytes in it. */
function inverseMixedColumn(place: usize): u32 {
  let column: u32 = 0;
  for (let r: u32 = 0; r < 4; r++) column ^= rotl<u32>(load<u32>(INVERSE_MIX + (<usize>load<u8>(SBOX + load<u8>(place + r)) << 2)), r << 3);
  return column;
}
export function aesimc(u: usize): void {
  const p = source(u);
  if (!p) return;
  if (!built) build();
  put(u, columns(inverseMixedColumn(p), inverseMixedColumn(p + 4), inverseMixedColumn(p + 8), inverseMixedColumn(p + 12)));
}
function substituted(place: usize): u32 {
  return <u32>load<u8>(SBOX + load<u8>(place)) | (<u32>load<u8>(SBOX + load<u8>(place, 1)) << 8)
    | (<u32>load<u8>(SBOX + load<u8>(place, 2)) << 16) | (<u32>load<u8>(SBOX + load<u8>(place, 3)) << 24);
}
export function aeskeygenassist(u: usize): void {
  const p = source(u);
  if (!p) return;
  if (!built) build();
  const constant = <u32>imm(u) & 0xff, one = substituted(p + 4), three = substituted(p + 12);
  put(u, columns(one, rotr<u32>(one, 8) ^ constant, three, rotr<u32>(three, 8) ^ constant));
}

// ------------------------------------------------------------------------------------------------ carry-less multiplication

/**
 * 32 x 32 bits without carries: with three zero bits between two bits of an operand, at most eight ones meet in a place of an
 * ordinary product and their carries stay within the zeros.
 */
function carrylessMultiply(a: u64, b: u64): u64 {
  const m0: u64 = 0x1111111111111111, m1 = m0 << 1, m2 = m0 << 2, m3 = m0 << 3;
  const a0 = a & m0, a1 = a & m1, a2 = a & m2, a3 = a & m3, b0 = b & m0, b1 = b & m1, b2 = b & m2, b3 = b & m3;
  return (((a0 * b0) ^ (a1 * b3) ^ (a2 * b2) ^ (a3 * b1)) & m0) | (((a0 * b1) ^ (a1 * b0) ^ (a2 * b3) ^ (a3 * b2)) & m1)
    | (((a0 * b2) ^ (a1 * b1) ^ (a2 * b0) ^ (a3 * b3)) & m2) | (((a0 * b3) ^ (a1 * b2) ^ (a2 * b1) ^ (a3 * b0)) & m3);
}
/** imm8 bit 0 picks the half of the destination, bit 4 that of the source. Karatsuba's three products. */
export function pclmulqdq(u: usize): void {
  const p = source(u);
  if (!p) return;
  const order = <u32>imm(u), a = load<u64>(reg(u) + ((order & 1) << 3)), b = load<u64>(p + ((order & 16) >> 1));
  const a0 = a & 0xffffffff, a1 = a >> 32, b0 = b & 0xffffffff, b1 = b >> 32;
  const low = carrylessMultiply(a0, b0), high = carrylessMultiply(a1, b1), middle = carrylessMultiply(a0 ^ a1, b0 ^ b1) ^ low ^ high;
  put(u, i64x2.replace_lane(i64x2.splat(low ^ (middle << 32)), 1, high ^ (middle >> 32)));
}

// ------------------------------------------------------------------------------------------------ SHA-1

/** Doubleword `i` of an operand, counted from the top as FIPS 180-4 counts: 0 is bits 127:96. */
// @ts-ignore: decorator
@inline function word(place: usize, i: usize): u32 { return load<u32>(place + 12 - (i << 2)); }
// @ts-ignore: decorator
@inline function words(w0: u32, w1: u32, w2: u32, w3: u32): v128 { return columns(w3, w2, w1, w0); }

function sha1Function(kind: u32, b: u32, c: u32, d: u32): u32 {
  switch (kind) {
    case 0: return ((b & c) ^ (~b & d)) + 0x5a827999;
    case 1: return (b ^ c ^ d) + 0x6ed9eba1;
    case 2: return ((b & c) ^ (b & d) ^ (c & d)) + 0x8f1bbcdc;
    default: return (b ^ c ^ d) + 0xca62c1d6;
  }
}
/** Four rounds; E is already added to the first word of the source. */
export function sha1rnds4(u: usize): void {
  const p = source(u);
  if (!p) return;
  const r = reg(u), kind = <u32>imm(u) & 3;
  let a = word(r, 0), b = word(r, 1), c = word(r, 2), d = word(r, 3), e: u32 = 0;
  for (let i: usize = 0; i < 4; i++) {
    const next = sha1Function(kind, b, c, d) + rotl<u32>(a, 5) + word(p, i) + e;
    e = d; d = c; c = rotl<u32>(b, 30); b = a; a = next;
  }
  put(u, words(a, b, c, d));
}
export function sha1nexte(u: usize): void {
  const p = source(u);
  if (p) put(u, words(word(p, 0) + rotl<u32>(word(reg(u), 0), 30), word(p, 1), word(p, 2), word(p, 3)));
}
export function sha1msg1(u: usize): void {
  const p = source(u), r = reg(u);
  if (p) put(u, words(word(r, 2) ^ word(r, 0), word(r, 3) ^ word(r, 1), word(p, 0) ^ word(r, 2), word(p, 1) ^ word(r, 3)));
}
export function sha1msg2(u: usize): void {
  const p = source(u), r = reg(u);
  if (!p) return;
  const first = rotl<u32>(word(r, 0) ^ word(p, 1), 1);
  put(u, words(first, rotl<u32>(word(r, 1) ^ word(p, 2), 1), rotl<u32>(word(r, 2) ^ word(p, 3), 1), rotl<u32>(word(r, 3) ^ first, 1)));
}

// ------------------------------------------------------------------------------------------------ SHA-256

// @ts-ignore: decorator
@inline function smallSigma0(x: u32): u32 { return rotr<u32>(x, 7) ^ rotr<u32>(x, 18) ^ (x >> 3); }
// @ts-ignore: decorator
@inline function smallSigma1(x: u32): u32 { return rotr<u32>(x, 17) ^ rotr<u32>(x, 19) ^ (x >> 10); }

/** Two rounds: A B E F come in the source, C D G H in the destination, the words with their constants in XMM0. */
export function sha256rnds2(u: usize): void {
  const p = source(u);
  if (!p) return;
  const r = reg(u);
  let a = word(p, 0), b = word(p, 1), e = word(p, 2), f = word(p, 3), c = word(r, 0), d = word(r, 1), g = word(r, 2), h = word(r, 3);
  for (let i: usize = 0; i < 2; i++) {
    const t = ((e & f) ^ (~e & g)) + (rotr<u32>(e, 6) ^ rotr<u32>(e, 11) ^ rotr<u32>(e, 25)) + load<u32>(XMM + (i << 2)) + h;
    const s = ((a & b) ^ (a & c) ^ (b & c)) + (rotr<u32>(a, 2) ^ rotr<u32>(a, 13) ^ rotr<u32>(a, 22));
    h = g; g = f; f = e; e = d + t; d = c; c = b; b = a; a = t + s;
  }
  put(u, words(a, b, e, f));
}
export function sha256msg1(u: usize): void {
  const p = source(u), r = reg(u);
  if (!p) return;
  put(u, words(word(r, 0) + smallSigma0(word(p, 3)), word(r, 1) + smallSigma0(word(r, 0)), word(r, 2) + smallSigma0(word(r, 1)), word(r, 3) + smallSigma0(word(r, 2))));
}
export function sha256msg2(u: usize): void {
  const p = source(u), r = reg(u);
  if (!p) return;
  const w16 = word(r, 3) + smallSigma1(word(p, 1)), w17 = word(r, 2) + smallSigma1(word(p, 0));
  put(u, words(word(r, 0) + smallSigma1(w17), word(r, 1) + smallSigma1(w16), w17, w16));
}
