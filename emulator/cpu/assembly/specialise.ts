/**
 * Chooses the inlined form of a decoded instruction, if there is one: the uop's kind becomes an operation of the
 * interpreter's switch and its register fields are put in the order that operation reads: destination @4, source @6.
 */
import {
  F_adc, F_adcImmediate, F_adcLoad, F_add, F_callIndirect, F_callRelative, F_dec, F_imulLoad, F_inc, F_jumpIf, F_jumpIndirect, F_jumpRelative, F_lea, F_leave, F_mov, F_moveIf,
  F_movImmediate, F_movLoad, F_movsxByte, F_movsxd, F_movsxWord, F_movzxByte, F_movzxWord, F_neg, F_not, F_nothing, F_pop, F_push,
  F_pushImmediate, F_ret, F_sarImmediate, F_sbb, F_sbbImmediate, F_sbbLoad, F_setIf, F_shlImmediate, F_shrImmediate, F_testImmediate, F_xchgAccumulator,
  K_ADC_RR32, K_ADD_RR8, K_CALL_M32, K_CALL_M64, K_CALL_NEAR32, K_CALL_NEAR64, K_CALL_R32, K_CALL_R64, K_CMOV32, K_CMOV64, K_DEC_M32, K_DEC_R32, K_IMUL_RR32, K_IMUL_RR64, K_INC_M32,
  K_INC_R32, K_JMP, K_JMP_M32, K_JMP_M64, K_JMP_R32, K_JMP_R64, K_JO, K_LEA32, K_LEA64, K_LEAVE64, K_MOV_RI64_WIDE, K_MOV_RR8, K_MOVSX_BYTE_M32,
  K_MOVSX_BYTE_M64, K_MOVSX_BYTE_R32, K_MOVSX_BYTE_R64, K_MOVSX_WORD_M32, K_MOVSX_WORD_M64, K_MOVSX_WORD_R32, K_MOVSX_WORD_R64,
  K_MOVSXD_M64, K_MOVSXD_R64, K_MOVZX_BYTE_M32, K_MOVZX_BYTE_R32, K_MOVZX_WORD_M32, K_MOVZX_WORD_R32, K_NEG_R32, K_NOT_R32, K_NOTHING,
  K_POP_R32, K_POP_R64, K_PUSH_I64, K_PUSH_R32, K_PUSH_R64, K_RET32, K_RET64, K_SAR_RI32, K_SBB_RR32, K_SETO, K_SHL_RI32, K_SHR_RI32, K_ZERO32,
} from "../../../build/generated/cpu/kinds";
import { RAX, RSP } from "./layout";
import { MODE_32, MODE_64, MODE_FLAT, MODE_STACK32 } from "./mode";
import { imm, opcode, reg, rm } from "./uop";

// @ts-ignore: decorator
@inline function setKind(u: usize, kind: u32): void { store<u16>(u, <u16>kind); }
// @ts-ignore: decorator
@inline function setRegisters(u: usize, to: usize, from: usize): void { store<u16>(u, <u16>to, 4); store<u16>(u, <u16>from, 6); }

/** Place of a size among the inlined ones, or -1. */
// @ts-ignore: decorator
@inline function sizeIndex(size: u32): i32 { return size == 1 ? 0 : size == 4 ? 1 : size == 8 ? 2 : -1; }

const RR: u32 = 0, RI: u32 = 3, RM: u32 = 6, MR: u32 = 9, MI: u32 = 12;

export function specialise(u: usize, family: u32, size: u32, isMemory: bool, mode: u32): void {
  if (family <= F_testImmediate) { arithmetic(u, (family - F_add) / 3, (family - F_add) % 3, size, isMemory); return; }
  if (family <= F_movImmediate) { move(u, family - F_mov, size, isMemory); return; }
  if (family >= F_jumpRelative && family <= F_jumpIf) { branch(u, family, mode, isMemory); return; }
  switch (family) {
    case F_push: case F_pop: case F_pushImmediate: case F_leave: stack(u, family, size, isMemory, mode); break;
    case F_adc: case F_adcLoad: case F_adcImmediate: carrying(u, K_ADC_RR32, family - F_adc, size, isMemory); break;
    case F_sbb: case F_sbbLoad: case F_sbbImmediate: carrying(u, K_SBB_RR32, family - F_sbb, size, isMemory); break;
    case F_nothing: setKind(u, K_NOTHING); break;
    case F_xchgAccumulator: if (reg(u) == RAX) setKind(u, K_NOTHING); break;
    case F_setIf: if (!isMemory) setKind(u, K_SETO + (opcode(u) & 15)); break;
    case F_moveIf: if (!isMemory && size >= 4) setKind(u, size == 4 ? K_CMOV32 : K_CMOV64); break;
    case F_lea: if (size >= 4) setKind(u, size == 4 ? K_LEA32 : K_LEA64); break;
    default: if (size >= 4) unary(u, family, size == 8, isMemory);
  }
}

function arithmetic(u: usize, operation: u32, form: u32, size: u32, isMemory: bool): void {
  const at = sizeIndex(size);
  if (at < 0) return;
  let kind = K_ADD_RR8 + operation * 15 + <u32>at;
  if (form == 2) {
    kind += isMemory ? MI : RI;
    if (!isMemory) setRegisters(u, rm(u), 0);
  } else if (isMemory) {
    kind += form == 1 ? RM : MR;
  } else {
    // XOR r, r and SUB r, r of 32 bits are the usual way to write 0.
    if (form == 0) setRegisters(u, rm(u), reg(u));
    kind += RR;
    if ((operation == 3 || operation == 4) && size == 4 && reg(u) == rm(u)) kind = K_ZERO32;
  }
  setKind(u, kind);
}

/** ADC and SBB between registers, or with an immediate. */
function carrying(u: usize, first: u32, form: u32, size: u32, isMemory: bool): void {
  if (isMemory || size < 4) return;
  if (form != 1) setRegisters(u, rm(u), reg(u));
  setKind(u, first + (form == 2 ? 2 : 0) + (size == 8 ? 1 : 0));
}

function move(u: usize, form: u32, size: u32, isMemory: bool): void {
  const at = sizeIndex(size);
  if (at < 0) return;
  let kind = K_MOV_RR8 + <u32>at;
  if (form == 2) {
    if (!isMemory) setRegisters(u, rm(u), 0);
    if (!isMemory && size == 8 && load<i32>(u, 16) != imm(u) >> 31) { setKind(u, K_MOV_RI64_WIDE); return; }
    kind += isMemory ? MI : RI;
  } else if (isMemory) kind += form == 1 ? RM : MR;
  else if (form == 0) setRegisters(u, rm(u), reg(u));
  setKind(u, kind);
}

function unary(u: usize, family: u32, wide: bool, isMemory: bool): void {
  const w = u32(wide);
  switch (family) {
    case F_movzxByte: setKind(u, isMemory ? K_MOVZX_BYTE_M32 : K_MOVZX_BYTE_R32); break;
    case F_movzxWord: setKind(u, isMemory ? K_MOVZX_WORD_M32 : K_MOVZX_WORD_R32); break;
    case F_movsxByte: setKind(u, wide ? (isMemory ? K_MOVSX_BYTE_M64 : K_MOVSX_BYTE_R64) : isMemory ? K_MOVSX_BYTE_M32 : K_MOVSX_BYTE_R32); break;
    case F_movsxWord: setKind(u, wide ? (isMemory ? K_MOVSX_WORD_M64 : K_MOVSX_WORD_R64) : isMemory ? K_MOVSX_WORD_M32 : K_MOVSX_WORD_R32); break;
    case F_movsxd: if (wide) setKind(u, isMemory ? K_MOVSXD_M64 : K_MOVSXD_R64); break;
    case F_inc: setKind(u, (isMemory ? K_INC_M32 : K_INC_R32) + w); if (!isMemory) setRegisters(u, rm(u), 0); break;
    case F_dec: setKind(u, (isMemory ? K_DEC_M32 : K_DEC_R32) + w); if (!isMemory) setRegisters(u, rm(u), 0); break;
    case F_not: if (!isMemory) { setKind(u, K_NOT_R32 + w); setRegisters(u, rm(u), 0); } break;
    case F_neg: if (!isMemory) { setKind(u, K_NEG_R32 + w); setRegisters(u, rm(u), 0); } break;
    case F_shlImmediate: shift(u, K_SHL_RI32 + w, wide, isMemory); break;
    case F_shrImmediate: shift(u, K_SHR_RI32 + w, wide, isMemory); break;
    case F_sarImmediate: shift(u, K_SAR_RI32 + w, wide, isMemory); break;
    case F_imulLoad: if (!isMemory) setKind(u, wide ? K_IMUL_RR64 : K_IMUL_RR32); break;
  }
}

/** Counts of 0 leave the flags alone and stay with the handler. */
function shift(u: usize, kind: u32, wide: bool, isMemory: bool): void {
  const count = imm(u) & (wide ? 63 : 31);
  if (isMemory || !count) return;
  setKind(u, kind); setRegisters(u, rm(u), 0); store<i32>(u, count, 20);
}

function stack(u: usize, family: u32, size: u32, isMemory: bool, mode: u32): void {
  if (isMemory) return;
  if (mode & MODE_64) {
    if (size != 8) return;
    if (family == F_push) setKind(u, K_PUSH_R64);
    else if (family == F_pop) setKind(u, K_POP_R64);
    else if (family == F_leave) setKind(u, K_LEAVE64);
    else setKind(u, K_PUSH_I64);
    return;
  }
  if (size != 4 || (mode & (MODE_FLAT | MODE_STACK32)) != (MODE_FLAT | MODE_STACK32)) return;
  if (family == F_push) setKind(u, K_PUSH_R32);
  else if (family == F_pop && rm(u) != RSP) setKind(u, K_POP_R32);
}

function branch(u: usize, family: u32, mode: u32, isMemory: bool): void {
  // Elsewhere the target wraps at 64 KiB, or CS is not flat: the handlers see to it.
  const size = load<u8>(u, 28);
  const near = mode & MODE_64 ? size == 8 : size == 4 && (mode & (MODE_32 | MODE_FLAT)) == (MODE_32 | MODE_FLAT);
  if (!near) return;
  const is64 = (mode & MODE_64) != 0, pushes = is64 || (mode & MODE_STACK32) != 0;
  // @24 holds the link from now on; a handler's number there would be taken for one.
  if (family == F_jumpRelative || family == F_jumpIf || family == F_callRelative && pushes) store<u32>(u, 0, 24);
  if (family == F_jumpRelative) setKind(u, K_JMP);
  else if (family == F_jumpIf) setKind(u, K_JO + (opcode(u) & 15));
  else if (family == F_jumpIndirect) setKind(u, isMemory ? (is64 ? K_JMP_M64 : K_JMP_M32) : is64 ? K_JMP_R64 : K_JMP_R32);
  if (!pushes) return;
  if (family == F_callRelative) setKind(u, is64 ? K_CALL_NEAR64 : K_CALL_NEAR32);
  else if (family == F_ret && imm(u) == 0) setKind(u, is64 ? K_RET64 : K_RET32);
  else if (family == F_callIndirect) setKind(u, isMemory ? (is64 ? K_CALL_M64 : K_CALL_M32) : is64 ? K_CALL_R64 : K_CALL_R32);
}
