/**
 * Bytes → uops (uop.ts). One call decodes one instruction: zero or more check and ADDRESS uops, then the instruction's own.
 * What an encoding is comes from the generated tables (generate.ts); what is written here are the rules common to all:
 * prefixes, ModRM, addressing forms, immediates, LOCK (SDM 2A chapter 2).
 *
 * A row of the table, 16 bytes: u16 handler @0, register class @2, rm class @3, operand-size rule @4, memory size @5,
 * immediates @6 @7, u16 traits @8, family of inlined operations @10, flags @11, registers VEX.vvvv names @12 (0 none,
 * 1 general, 2 vector), mandatory 66 and the V_ bits below @13, shape of the lanes @14, number of the feature that it
 * came with @15.
 */
import { GROUPS, OPCODES, ROWS } from "../../../build/generated/cpu/tables";
import { HANDLERS } from "../../../build/generated/cpu/handlers";
import { K_ADDRESS32, K_ADDRESS_SEGMENT, K_ADDRESS_WIDE, K_AVX, K_CALL, K_CALL_END, K_FPU, K_JO, K_MMX, K_REPEAT, K_RING0, K_SSE } from "../../../build/generated/cpu/kinds";
import { ADDRESS, GPR, MODE, PAGE_LINEAR, RAX, RBP, RSP, SEG_BASE, SEGMENTS, X87, XMM, ZERO } from "./layout";
import { MODE_32, MODE_64, MODE_FLAT, MODE_REAL, MODE_USER } from "./mode";
import { has } from "./model";
import { specialise } from "./specialise";
import { PREFIX_66, PREFIX_67, PREFIX_LOCK, PREFIX_REP, PREFIX_REPNE, PREFIX_REX_W, UOP_BYTES } from "./uop";

/** Traits and flags of a row: see encoding.ts. */
const T_LOCKABLE: u32 = 1, T_ENDS: u32 = 2, T_RING0: u32 = 4, T_D64: u32 = 8, T_F64: u32 = 16, T_SIZED: u32 = 32, T_REP: u32 = 64, T_FPU: u32 = 128, T_SSE: u32 = 256, T_MMX: u32 = 512, T_AVX: u32 = 1024;
const F_MODRM: u32 = 1, F_REG_BYTE: u32 = 2, F_RM_BYTE: u32 = 4, F_WRITES: u32 = 8, F_BIT_STRING: u32 = 16, F_POP: u32 = 32, F_MEMORY_ONLY: u32 = 64, F_REGISTER_ONLY: u32 = 128;
/** Bits of a row @13: the handler is run for each 128-bit lane; the memory operand has a vector of indices. */
const V_LANES: u32 = 2, V_VSIB: u32 = 4;
const DS_NUMBER: u32 = 3, SS_NUMBER: u32 = 2, NO_SEGMENT: u32 = 8;
const MAX_LENGTH: u32 = 15;

/** Length of the instruction just decoded, and whether a block must end after it. */
export let decodedLength: u32 = 0;
export let decodedEnd: bool = false;
/** Which checks the running block has already made: a block checks CR0.TS and the like once. Reset by blocks.ts. */
let checked: u32 = 0;
export function forgetChecks(): void { checked = 0; }

// State of the instruction being decoded.
let start: usize = 0, cursor: usize = 0, limit: usize = 0;
let mode: u32 = 0, prefixBits: u32 = 0, rex: u32 = 0, segment: u32 = NO_SEGMENT, mandatory: u32 = 0, vvvv: u32 = 0, vex: bool = false, vexLong: bool = false;
let map: u32 = 0, opcodeByte: u32 = 0, modrm: u32 = 0, row: usize = 0, rowFlags: u32 = 0;
let operandSize: u32 = 0, addressSize: u32 = 0;
let place: usize = 0, pageOffset: u32 = 0, blockIndex: u32 = 0;
// The memory operand.
let isMemory: bool = false, base: usize = ZERO, index: usize = ZERO, scale: u32 = 0, displacement: i64 = 0;

/** Outcomes of the first half of decoding. */
const FOUND: u32 = 0, UNDEFINED: u32 = 1;

// @ts-ignore: decorator
@inline function next8(): u32 { return <u32>load<u8>(cursor++); }

/**
 * Decodes the instruction at host address `from`, of which `available` bytes may be looked at, into uops at `out`.
 * Returns how many uops; 0 when more bytes are needed. 20 bytes after `from` must be readable memory.
 */
export function decode(from: usize, available: u32, out: usize, offset: u32, indexInBlock: u32): u32 {
  start = cursor = from; limit = from + available; place = out; pageOffset = offset; blockIndex = indexInBlock;
  mode = load<u32>(MODE);
  decodedEnd = false;
  const outcome = readOpcode();
  if (outcome == FOUND) { readImmediatesAndEmit(); }
  // Bytes past the limit are not the instruction's: nothing decided on them counts.
  const length = <u32>(cursor - start);
  if (length > MAX_LENGTH) return available >= MAX_LENGTH ? emitFault(out, tooLongHandler) : 0;
  if (cursor > limit) return 0;
  if (outcome == UNDEFINED || rejected) return emitFault(out, undefinedHandler);
  decodedLength = length;
  return <u32>(place - out) / <u32>UOP_BYTES;
}

/** Table indices of the handlers that raise #UD and #GP(0); set at reset (index.ts). */
let undefinedHandler: u32 = 0, tooLongHandler: u32 = 0;
export function setFaultHandlers(undefinedIndex: u32, tooLongIndex: u32): void { undefinedHandler = undefinedIndex; tooLongHandler = tooLongIndex; }
/** Table index of vex.ts `lanes`. */
let lanesHandler: u32 = 0;
export function setLanesHandler(index: u32): void { lanesHandler = index; }
/** The operands turned out to be impossible: #UD. */
let rejected: bool = false;

function emitFault(out: usize, handler: u32): u32 {
  decodedLength = 1; decodedEnd = true;
  place = out;
  emit(K_CALL_END, handler);
  return 1;
}

// ------------------------------------------------------------------------------------------------ prefixes and opcode

function readOpcode(): u32 {
  prefixBits = 0; rex = 0; segment = NO_SEGMENT; mandatory = 0; vex = false; vexLong = false; rejected = false; vvvv = 0;
  const long = (mode & MODE_64) != 0;
  let b: u32;
  for (;;) {
    b = next8();
    if (cursor - start > MAX_LENGTH) return UNDEFINED;
    if (long && (b & 0xf0) == 0x40) { rex = b; continue; }
    if (!isPrefix(b)) break;
    rex = 0;
    takePrefix(b, long);
  }
  if (prefixBits & PREFIX_REPNE) mandatory = 3;
  else if (prefixBits & PREFIX_REP) mandatory = 2;
  else if (prefixBits & PREFIX_66) mandatory = 1;
  map = 0;
  if (b == 0x0f) {
    b = next8(); map = 1;
    if (b == 0x38) { b = next8(); map = 2; } else if (b == 0x3a) { b = next8(); map = 3; }
  } else if ((b & 0xfe) == 0xc4 && (long || load<u8>(cursor) >= 0xc0)) {
    // LES and LDS with a register operand are VEX prefixes (SDM 2A §2.3.5).
    b = readVex(b);
    if (b == 0xffffffff) return UNDEFINED;
  }
  opcodeByte = b;
  // Outside 64-bit mode VEX.W can tell instructions apart, but widens no general register.
  if (rex & 8 && long) prefixBits |= PREFIX_REX_W;
  const entry = <u32>load<u16>(OPCODES + ((map << 8 | b) << 1));
  if (!entry) return UNDEFINED;
  row = entry & 0x8000 ? ROWS + ((entry & 0x7fff) << 4) : selectRow(GROUPS + (entry << 1), long);
  if (!row || !has(load<u8>(row, 15))) return UNDEFINED;
  rowFlags = load<u8>(row, 11);
  return FOUND;
}

// @ts-ignore: decorator
@inline function isPrefix(b: u32): bool {
  return (b & 0xe7) == 0x26 || (b & 0xfc) == 0x64 || b == 0xf0 || (b & 0xfe) == 0xf2;
}

/** SDM 2A §2.1.1. The last of F2 and F3 counts. In 64-bit mode only FS and GS are segments to overridden. */
function takePrefix(b: u32, long: bool): void {
  switch (b) {
    case 0x66: prefixBits |= PREFIX_66; break;
    case 0x67: prefixBits |= PREFIX_67; break;
    case 0xf0: prefixBits |= PREFIX_LOCK; break;
    case 0xf2: prefixBits = (prefixBits & ~PREFIX_REP) | PREFIX_REPNE; break;
    case 0xf3: prefixBits = (prefixBits & ~PREFIX_REPNE) | PREFIX_REP; break;
    case 0x64: segment = 4; break;
    case 0x65: segment = 5; break;
    default: if (!long) segment = (b >> 3) & 3;
  }
}

/** Reads a VEX prefix and the opcode after it (SDM 2A §2.3.5). Outside 64-bit mode its upper register bits mean nothing. */
function readVex(first: u32): u32 {
  const long = (mode & MODE_64) != 0;
  if ((mode & MODE_REAL) || rex || (prefixBits & (PREFIX_66 | PREFIX_REP | PREFIX_REPNE | PREFIX_LOCK))) return 0xffffffff;
  vex = true;
  let byte = next8();
  rex = 0x40 | ((~byte >> 5) & 4);
  map = 4;
  if (first == 0xc4) {
    rex |= (~byte >> 5) & 3;
    map = 3 + (byte & 31);
    byte = next8();
    if (byte & 0x80) rex |= 8;
    if (map < 4 || map > 6) return 0xffffffff;
  }
  if (!long) rex = 0x40 | (rex & 8);
  vvvv = (~byte >> 3) & (long ? 15 : 7);
  mandatory = byte & 3;
  vexLong = (byte & 4) != 0;
  return next8();
}

/**
 * The first row of a group whose conditions the instruction meets, or 0. A row that the processor is too old for does not
 * hide the next: without BMI1, TZCNT is BSF.
 */
function selectRow(group: usize, long: bool): usize {
  const head = <u32>load<u16>(group);
  const m = head & 0x100 ? <u32>load<u8>(cursor) : 0;
  if ((head & 0x100) && cursor >= limit) { cursor++; return 0; }
  // The key of generate.ts: mandatory prefix, ModRM.reg, register form, ModRM.rm, REX.W, 64-bit mode, VEX.L.
  const key = mandatory | ((m >> 3) & 7) << 2 | (m >= 0xc0 ? 0x20 : 0) | (m & 7) << 6 | (rex & 8) << 6 | (long ? 0x400 : 0) | (vexLong ? 0x800 : 0);
  for (let count = head & 0xff, p = group + 2; count > 0; count--, p += 6) {
    if ((key & load<u16>(p)) != load<u16>(p, 2)) continue;
    const found = ROWS + (<usize>load<u16>(p, 4) << 4);
    if (has(load<u8>(found, 15))) return found;
  }
  return 0;
}

// ------------------------------------------------------------------------------------------------ operands

function sizes(): void {
  const traits = <u32>load<u16>(row, 8);
  const rule = <u32>load<u8>(row, 4);
  const narrow = (prefixBits & PREFIX_66) != 0;
  let size: u32;
  if (mode & MODE_64) {
    if (rex & 8) size = 8;
    else if (traits & T_F64) size = 8;
    else if (narrow && !(load<u8>(row, 13) & 1)) size = 2;
    else size = traits & T_D64 ? 8 : 4;
    addressSize = prefixBits & PREFIX_67 ? 4 : 8;
  } else {
    const wide = (mode & MODE_32) != 0;
    size = wide != (narrow && !(load<u8>(row, 13) & 1)) ? 4 : 2;
    addressSize = wide != ((prefixBits & PREFIX_67) != 0) ? 4 : 2;
  }
  switch (rule) {
    case 0: size = 1; break;
    case 1: break;
    case 2: if (size == 8) size = 4; break;
    case 3: size = (mode & MODE_64) && (rex & 8) ? 8 : 4; break;
    case 4: size = 2; break;
    case 5: size = 4; break;
    default: size = 8;
  }
  operandSize = size;
}

/** Bytes that a memory operand spans: the codes from 0xf0 on depend on the operand size. */
function memoryBytes(): u32 {
  const code = <u32>load<u8>(row, 5);
  const v: u32 = mode & MODE_64 && rex & 8 ? 8 : operandSize;
  switch (code) {
    case 0xf0: return v;
    case 0xf1: return v == 8 ? 4 : v;
    case 0xf2: return prefixBits & PREFIX_REX_W ? 8 : 4;
    case 0xf3: return v + 2;
    case 0xf5: return mode & MODE_64 ? 10 : 6;
    // x87 environment and state.
    case 0xf6: return v == 2 ? 14 : 28;
    case 0xf7: return v == 2 ? 94 : 108;
    default: return code;
  }
}

// @ts-ignore: decorator
@inline function byteRegister(number: u32): usize {
  return !rex && number >= 4 && number < 8 ? GPR + ((number - 4) << 3) + 1 : GPR + (number << 3);
}
// @ts-ignore: decorator
@inline function generalRegister(number: u32, byte: u32): usize { return byte ? byteRegister(number) : GPR + (number << 3); }

function registerOperand(): usize {
  const number = ((modrm >> 3) & 7) | ((rex & 4) << 1);
  switch (load<u8>(row, 2)) {
    case 1: return generalRegister(number, rowFlags & F_REG_BYTE);
    case 2: return XMM + (number << 5);
    case 3: return X87 + ((number & 7) << 4);
    case 4: if ((number & 7) > 5) rejected = true; return SEGMENTS + ((number & 7) << 5);
    case 5: case 6: return number;
    case 7: return RAX;
    case 8: return generalRegister((opcodeByte & 7) | ((rex & 1) << 3), rowFlags & F_REG_BYTE);
    default: return 0;
  }
}

function rmOperand(): usize {
  const number = (modrm & 7) | ((rex & 1) << 3);
  switch (load<u8>(row, 3)) {
    case 1: return generalRegister(number, rowFlags & F_RM_BYTE);
    case 2: return XMM + (number << 5);
    case 3: return X87 + ((number & 7) << 4);
    case 6: return RAX;
    case 8: return generalRegister((opcodeByte & 7) | ((rex & 1) << 3), rowFlags & F_RM_BYTE);
    default: return 0;
  }
}

/** ModRM, SIB and displacement (SDM 2A §2.1.5). */
function readAddress(): void {
  base = ZERO; index = ZERO; scale = 0; displacement = 0;
  const mod = modrm >> 6;
  let number = modrm & 7;
  // A vector of indices stands in a SIB byte, and 16-bit addresses have none (SDM 2A §2.3.12).
  if ((load<u8>(row, 13) & V_VSIB) && (number != 4 || addressSize == 2)) { rejected = true; return; }
  if (addressSize == 2) { readAddress16(); return; }
  if (number == 4) {
    const sib = next8();
    number = sib & 7;
    const indexNumber = ((sib >> 3) & 7) | ((rex & 2) << 2);
    if (load<u8>(row, 13) & V_VSIB) { index = XMM + (indexNumber << 5); scale = sib >> 6; }
    else if (indexNumber != 4) { index = GPR + (indexNumber << 3); scale = sib >> 6; }
    if (number != 5 || mod) base = GPR + ((number | ((rex & 1) << 3)) << 3);
    else displacement = <i64>next32();
  } else if (number == 5 && !mod) {
    displacement = <i64>next32();
    if (mode & MODE_64) base = PAGE_LINEAR;
  } else base = GPR + ((number | ((rex & 1) << 3)) << 3);
  if (mod == 1) displacement = <i64><i8>next8();
  else if (mod == 2) displacement = <i64>next32();
}

function readAddress16(): void {
  const mod = modrm >> 6;
  switch (modrm & 7) {
    case 0: base = GPR + 24; index = GPR + 48; break;
    case 1: base = GPR + 24; index = GPR + 56; break;
    case 2: base = RBP; index = GPR + 48; break;
    case 3: base = RBP; index = GPR + 56; break;
    case 4: base = GPR + 48; break;
    case 5: base = GPR + 56; break;
    case 6: if (mod) base = RBP; else displacement = <i64>next16(); break;
    default: base = GPR + 24;
  }
  if (mod == 1) displacement = <i64><i8>next8();
  else if (mod == 2) displacement = <i64>next16();
}

function next16(): i32 { const v = <i32>load<i16>(cursor); cursor += 2; return v; }
function next32(): i32 { const v = load<i32>(cursor); cursor += 4; return v; }

let immediate: i64 = 0;
function readImmediate(code: u32): void {
  switch (code) {
    case 1: case 7: immediate = <i64><i8>next8(); break;
    case 2: immediate = <i64><u16>next16(); break;
    case 3: immediate = <i64>next32(); break;
    case 4: immediate = operandSize == 2 ? <i64>next16() : <i64>next32(); break;
    case 5:
      if (operandSize == 8) { immediate = load<i64>(cursor); cursor += 8; }
      else immediate = operandSize == 2 ? <i64>next16() : <i64>next32();
      break;
    case 6: immediate = load<i64>(cursor); cursor += 8; break;
    case 8: immediate = operandSize == 2 ? <i64>next16() : <i64>next32(); break;
    default: immediate = 1;
  }
}

// ------------------------------------------------------------------------------------------------ uops

function readImmediatesAndEmit(): void {
  sizes();
  isMemory = false;
  const rmClass = <u32>load<u8>(row, 3), traits = <u32>load<u16>(row, 8);
  if (rowFlags & F_MODRM) {
    modrm = next8();
    // MOV to and from control and debug registers takes the rm field as a register whatever mod says (SDM 2B MOV).
    const control = load<u8>(row, 2) == 5 || load<u8>(row, 2) == 6;
    if (modrm < 0xc0 && !control) { isMemory = true; readAddress(); if (rowFlags & F_REGISTER_ONLY) rejected = true; }
    else if (rowFlags & F_MEMORY_ONLY) rejected = true;
  } else if (rmClass == 5) {
    isMemory = true; base = ZERO; index = ZERO; scale = 0;
    if (addressSize == 8) { displacement = load<i64>(cursor); cursor += 8; }
    else if (addressSize == 4) displacement = <i64>next32();
    else displacement = <i64>next16();
  }
  const registerAddress = registerOperand(), rmAddress: usize = isMemory ? 0 : rmOperand();
  immediate = 0;
  let second: i64 = 0;
  if (load<u8>(row, 6)) {
    readImmediate(load<u8>(row, 6));
    if (load<u8>(row, 7)) { const first = immediate; readImmediate(load<u8>(row, 7)); second = immediate; immediate = first; }
  }
  if ((prefixBits & PREFIX_LOCK) && (!(traits & T_LOCKABLE) || !isMemory)) rejected = true;
  const lanes = (load<u8>(row, 13) & V_LANES) != 0;
  if (load<u8>(row, 12)) immediate = (immediate & 0xff) | <i64>(load<u8>(row, 12) == 1 ? GPR + (vvvv << 3) : XMM + (vvvv << 5)) << 16;
  else if (lanes) immediate = (immediate & 0xff) | <i64>registerAddress << 16;
  if (vex && vvvv && !load<u8>(row, 12)) rejected = true;
  if (rejected || cursor > limit) return;
  emitChecks(traits);
  if (traits & T_AVX) operandSize = lanes ? <u32>load<u8>(row, 14) : vexLong ? 32 : 16;
  const handler = load<u32>(HANDLERS + ((<usize>load<u16>(row) + (traits & T_SIZED ? <usize>ctz<u32>(operandSize) : 0)) << 2));
  decodedEnd = (traits & T_ENDS) != 0;
  const defaultSegment: u32 = base == RSP || base == RBP ? SS_NUMBER : DS_NUMBER;
  const overridden = segment != NO_SEGMENT;
  if (!overridden) segment = isMemory ? defaultSegment : DS_NUMBER;
  if (isMemory && !(load<u8>(row, 13) & V_VSIB)) emitAddress(registerAddress, overridden);
  const u = place;
  emit(lanes ? K_CALL : (traits & T_ENDS) ? K_CALL_END : (traits & T_REP) && (prefixBits & (PREFIX_REP | PREFIX_REPNE)) ? K_REPEAT : K_CALL, lanes ? lanesHandler : handler);
  if (lanes) store<u16>(u, <u16>handler, 30);
  store<u16>(u, <u16>registerAddress, 4);
  store<u16>(u, <u16>rmAddress, 6);
  if (isMemory) {
    store<u16>(u, <u16>base, 8); store<u16>(u, <u16>index, 10); store<u8>(u, <u8>scale, 12); store<i32>(u, <i32>displacement, 16);
  } else {
    store<u16>(u, <u16>ZERO, 8); store<u16>(u, <u16>ZERO, 10); store<u8>(u, 0, 12);
    // MOV r64, imm64 keeps its upper half here; ENTER and far pointers their second immediate.
    store<i32>(u, load<u8>(row, 7) ? <i32>second : <i32>(immediate >> 32), 16);
  }
  store<i32>(u, <i32>immediate, 20);
  const family = <u32>load<u8>(row, 10);
  if (family && !(prefixBits & PREFIX_LOCK && !isMemory)) {
    specialise(u, family, operandSize, isMemory, mode);
    // A block goes on after a conditional jump that is not taken.
    if (<u32>load<u16>(u) - K_JO < 16) decodedEnd = false;
  }
}

/** Writes the fields that every uop has, and moves on. */
function emit(kind: u32, handler: u32): void {
  const u = place;
  store<u16>(u, <u16>kind);
  store<u8>(u, <u8>(cursor - start), 2);
  store<u8>(u, <u8>blockIndex, 3);
  store<u8>(u, <u8>segment, 13);
  store<u16>(u, <u16>pageOffset, 14);
  store<u32>(u, handler, 24);
  store<u8>(u, <u8>operandSize, 28);
  store<u8>(u, <u8>prefixBits, 29);
  store<u16>(u, <u16>(map == 0 && (opcodeByte & 0xf8) == 0xd8 ? opcodeByte << 8 | modrm : opcodeByte), 30);
  place += UOP_BYTES;
}

function emitChecks(traits: u32): void {
  if ((traits & T_RING0) && !ring0()) emit(K_RING0, 0);
  const needed = traits & (T_FPU | T_SSE | T_MMX | T_AVX) & ~checked;
  if (!needed) return;
  checked |= needed;
  emit(needed & T_FPU ? K_FPU : needed & T_SSE ? K_SSE : needed & T_AVX ? K_AVX : K_MMX, 0);
}
// CPL 1 and 2 are not told apart from 0 by the mode word, so that the check stays in except for real mode, which is CPL 0.
// @ts-ignore: decorator
@inline function ring0(): bool { return (mode & (MODE_REAL | MODE_USER)) == MODE_REAL; }

/** Protected mode: the operand's segment needs neither base nor checks. A code segment is never writable (SDM 3A §5.5). */
// @ts-ignore: decorator
@inline function flatSegment(): bool { return (mode & MODE_FLAT) != 0 && segment < 4 && !(segment == 1 && (rowFlags & F_WRITES)); }

/** Puts what uop.ts's `linear` cannot do into an ADDRESS uop of its own. */
function emitAddress(registerAddress: usize, overridden: bool): void {
  const bytes = memoryBytes();
  if ((rowFlags & F_POP) && base == RSP) displacement += operandSize;
  if (mode & MODE_64) {
    const segmentBase: usize = overridden && bytes != 0xff ? SEGMENTS + (segment << 5) + SEG_BASE : 0;
    if (base == PAGE_LINEAR) displacement += <i64>(pageOffset + <u32>(cursor - start));
    if (!(rowFlags & F_BIT_STRING) && addressSize == 8) {
      if (segmentBase) {
        if (base == ZERO) base = segmentBase;
        else if (index == ZERO) { index = segmentBase; scale = 0; }
        else { emitAddressUop(K_ADDRESS_SEGMENT, registerAddress, bytes); return; }
      }
      if (displacement == <i64><i32>displacement) return;
      emitAddressUop(K_ADDRESS_WIDE, registerAddress, bytes);
      return;
    }
    emitAddressUop(segmentBase || (rowFlags & F_BIT_STRING) ? K_ADDRESS_SEGMENT : K_ADDRESS32, registerAddress, bytes);
    return;
  }
  // LEA and the like: the offset alone, wrapped.
  // LEA of 32 bits or fewer needs no wrapping either: its result is cut to size.
  if (bytes == 0xff && addressSize == 4) return;
  const plain = bytes == 0xff || flatSegment();
  if (plain && addressSize == 4 && !(rowFlags & F_BIT_STRING)) { emitAddressUop(K_ADDRESS32, registerAddress, bytes); return; }
  emitAddressUop(K_ADDRESS_SEGMENT, registerAddress, bytes);
}

/** Bits at @29 of an ADDRESS uop: what K_ADDRESS_SEGMENT has to do. */
export const ADDRESS_16: u32 = 1, ADDRESS_32: u32 = 2, ADDRESS_LONG: u32 = 4, ADDRESS_WRITES: u32 = 8, ADDRESS_BITS: u32 = 16, ADDRESS_NO_SEGMENT: u32 = 32;

function emitAddressUop(kind: u32, registerAddress: usize, bytes: u32): void {
  const u = place;
  emit(kind, 0);
  const long = (mode & MODE_64) != 0;
  const flat = bytes == 0xff || (long ? segment < 4 : flatSegment());
  store<u16>(u, <u16>registerAddress, 4);
  store<u16>(u, <u16>base, 8); store<u16>(u, <u16>index, 10); store<u8>(u, <u8>scale, 12);
  store<i32>(u, <i32>displacement, 16); store<i32>(u, <i32>(displacement >> 32), 20);
  // POP checks its operand's segment itself, after it has read the stack.
  store<u32>(u, rowFlags & F_POP ? 0 : bytes, 24);
  store<u8>(u, <u8>operandSize, 28);
  store<u8>(u, <u8>((addressSize == 2 ? ADDRESS_16 : addressSize == 4 ? ADDRESS_32 : 0) | (long ? ADDRESS_LONG : 0)
    | (rowFlags & F_WRITES ? ADDRESS_WRITES : 0) | (rowFlags & F_BIT_STRING ? ADDRESS_BITS : 0) | (flat ? ADDRESS_NO_SEGMENT : 0)), 29);
  base = ADDRESS; index = ZERO; scale = 0; displacement = 0;
}
