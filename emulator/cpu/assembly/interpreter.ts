/**
 * `execute` is one loop around one switch over uop kinds: hot operations inline, all else through the handler table. An
 * inlined operation ends in `continue`; after `break` a conditional jump on ZF follows.
 */
import {
  K_ADC_RI32, K_ADC_RI64, K_ADC_RR32, K_ADC_RR64, K_ADD_MI32, K_ADD_MI64, K_ADD_MI8, K_ADD_MR32, K_ADD_MR64, K_ADD_MR8, K_ADD_RI32, K_ADD_RI64, K_ADD_RI8, K_ADD_RM32, K_ADD_RM64,
  K_ADD_RM8, K_ADD_RR32, K_ADD_RR64, K_ADD_RR8, K_ADDRESS32, K_ADDRESS_SEGMENT, K_ADDRESS_WIDE, K_AND_MI32, K_AND_MI64, K_AND_MI8,
  K_AND_MR32, K_AND_MR64, K_AND_MR8, K_AND_RI32, K_AND_RI64, K_AND_RI8, K_AND_RM32, K_AND_RM64, K_AND_RM8, K_AND_RR32, K_AND_RR64,
  K_AND_RR8, K_AVX, K_CALL, K_CALL_END, K_CALL_M32, K_CALL_M64, K_CALL_NEAR32, K_CALL_NEAR64, K_CALL_R32, K_CALL_R64, K_CMOV32, K_CMOV64, K_CMP_MI32, K_CMP_MI64, K_CMP_MI8,
  K_CMP_MR32, K_CMP_MR64, K_CMP_MR8, K_CMP_RI32, K_CMP_RI64, K_CMP_RI8, K_CMP_RM32, K_CMP_RM64, K_CMP_RM8, K_CMP_RR32, K_CMP_RR64,
  K_CMP_RR8, K_CROSS, K_DEC_M32, K_DEC_M64, K_DEC_R32, K_DEC_R64, K_END, K_FPU, K_IMUL_RR32, K_IMUL_RR64, K_INC_M32, K_INC_M64,
  K_INC_R32, K_INC_R64, K_JB, K_JBE, K_JL, K_JLE, K_JMP, K_JMP_M32, K_JMP_M64, K_JMP_R32, K_JMP_R64, K_JNB, K_JNBE, K_JNL, K_JNLE, K_JNO, K_JNP, K_JNS,
  K_JNZ, K_JO, K_JP, K_JS, K_JZ, K_LEA32, K_LEA64, K_LEAVE64, K_MMX, K_MOV_MI32, K_MOV_MI64, K_MOV_MI8, K_MOV_MR32, K_MOV_MR64,
  K_MOV_MR8, K_MOV_RI32, K_MOV_RI64, K_MOV_RI64_WIDE, K_MOV_RI8, K_MOV_RM32, K_MOV_RM64, K_MOV_RM8, K_MOV_RR32, K_MOV_RR64,
  K_MOV_RR8, K_MOVSX_BYTE_M32, K_MOVSX_BYTE_M64, K_MOVSX_BYTE_R32, K_MOVSX_BYTE_R64, K_MOVSX_WORD_M32, K_MOVSX_WORD_M64,
  K_MOVSX_WORD_R32, K_MOVSX_WORD_R64, K_MOVSXD_M64, K_MOVSXD_R64, K_MOVZX_BYTE_M32, K_MOVZX_BYTE_R32, K_MOVZX_WORD_M32,
  K_MOVZX_WORD_R32, K_NEG_R32, K_NEG_R64, K_NOT_R32, K_NOT_R64, K_NOTHING, K_OR_MI32, K_OR_MI64, K_OR_MI8, K_OR_MR32, K_OR_MR64,
  K_OR_MR8, K_OR_RI32, K_OR_RI64, K_OR_RI8, K_OR_RM32, K_OR_RM64, K_OR_RM8, K_OR_RR32, K_OR_RR64, K_OR_RR8, K_POP_R32, K_POP_R64,
  K_PUSH_I64, K_PUSH_R32, K_PUSH_R64, K_REPEAT, K_RET32, K_RET64, K_RING0, K_SAR_RI32, K_SAR_RI64, K_SETB, K_SETBE, K_SETL, K_SETLE, K_SETNB,
  K_SETNBE, K_SETNL, K_SETNLE, K_SETNO, K_SETNP, K_SETNS, K_SETNZ, K_SETO, K_SETP, K_SETS, K_SBB_RI32, K_SBB_RI64, K_SBB_RR32, K_SBB_RR64, K_SETZ, K_SHL_RI32, K_SHL_RI64,
  K_SHR_RI32, K_SHR_RI64, K_SSE, K_STALE, K_STEPPED, K_SUB_MI32, K_SUB_MI64, K_SUB_MI8, K_SUB_MR32, K_SUB_MR64, K_SUB_MR8,
  K_SUB_RI32, K_SUB_RI64, K_SUB_RI8, K_SUB_RM32, K_SUB_RM64, K_SUB_RM8, K_SUB_RR32, K_SUB_RR64, K_SUB_RR8, K_TEST_MI32,
  K_TEST_MI64, K_TEST_MI8, K_TEST_MR32, K_TEST_MR64, K_TEST_MR8, K_TEST_RI32, K_TEST_RI64, K_TEST_RI8, K_TEST_RR32, K_TEST_RR64,
  K_TEST_RR8, K_XOR_MI32, K_XOR_MI64, K_XOR_MI8, K_XOR_MR32, K_XOR_MR64, K_XOR_MR8, K_XOR_RI32, K_XOR_RI64, K_XOR_RI8, K_XOR_RM32,
  K_XOR_RM64, K_XOR_RM8, K_XOR_RR32, K_XOR_RR64, K_XOR_RR8, K_ZERO32,
  K_TEST_RR8_J, K_TEST_RR32_J, K_TEST_RR64_J, K_TEST_RI8_J, K_TEST_RI32_J, K_TEST_MI8_J, K_CMP_RR8_J, K_CMP_RR32_J, K_CMP_RR64_J, K_CMP_RI8_J, K_CMP_RI32_J, K_CMP_RI64_J, K_CMP_MI8_J, K_CMP_MI32_J, K_CMP_MI64_J, K_CMP_RM8_J, K_CMP_RM32_J, K_CMP_RM64_J, K_CMP_MR32_J, K_CMP_MR64_J, K_ADD_RI32_J, K_ADD_RI64_J, K_SUB_RI32_J, K_SUB_RI64_J, K_AND_RI32_J, K_DEC_R32_J, K_DEC_R64_J, K_MOV_RR64_MOV_RR64, K_MOV_RR64_MOV_RR32, K_MOV_RR64_CALL_NEAR64, K_MOV_RM64_MOV_RM64, K_MOV_RM64_MOV_RR64, K_MOV_RM64_MOV_MR64, K_PUSH_R64_PUSH_R64, K_PUSH_R64_MOV_RR64, K_MOV_RR64_PUSH_R64, K_POP_R64_POP_R64, K_POP_R64_RET64, K_ADD_RI64_POP_R64,
} from "../../../build/generated/cpu/kinds";
import { addressStep, wideLinear } from "./addressing";
import { crossInstruction, enter, poolGeneration } from "./blocks";
import { budget, repeatAgain, syncRetired } from "./control";
import { marked } from "./debugger";
import { nmiBlocked, tripleFault } from "./exceptions";
import { fault, GP, NM, raise, UD } from "./fault";
import { carry, condition, IF, less, OP_SUB, overflow, parity, remember, rememberLogic, sign, zero } from "./flags";
import { registerRegister, registerImmediate, registerMemory, memoryRegister, memoryImmediate, loadMemory, storeMemory, extendMemory, stepMemory, push64, pushFast, pushTwo, popTwo, stackFault, nameStackFault } from "./inline";
import { ADDRESS, CPL, CR0, CR4, CS, HALTED, IN_SMM, INTR, MODE, NMI, PAGE_LINEAR, RBP, RFLAGS, RIP, RSP, SEG_BASE, SMI, UOP_POOL, XCR0 } from "./layout";
import { commit, readable, writable } from "./memory";
import { canonical, CR0_EM, CR0_TS, CR4_OSFXSR, CR4_OSXSAVE, interruptShadow, MODE_64 } from "./mode";
import { ADC, ADD, AND, CMP, decrement, increment, multiply32, multiply64, OR, shiftLeft, shiftRight, shiftRightSigned, storeRegister, SBB, SUB, TEST, XOR } from "./operations";
import { imm, linear, reg, rm } from "./uop";

// ------------------------------------------------------------------------------------------------ leaving a block

/** Linear address just after an instruction. */
// @ts-ignore: decorator
@inline function nextLinear(u: usize): u64 { return load<u64>(PAGE_LINEAR) + load<u16>(u, 14) + load<u8>(u, 2); }
/** Instructions retired when this one has ended. */
// @ts-ignore: decorator
@inline function retire(u: usize): void { budget -= <i32>load<u8>(u, 3) + 1; }
// @ts-ignore: decorator
@inline function target(u: usize): u64 { return nextLinear(u) + <u64><i64>imm(u); }

/** RIP of a linear address in the code segment. */
function ripOf(address: u64): u64 {
  if (load<u32>(MODE) & MODE_64) return address;
  return (address - load<u64>(CS, SEG_BASE)) & 0xffffffff;
}
/** Leaves the block before the instruction at `u`, which has not retired: after a fault, or to look it up again. */
function leaveBefore(u: usize): void {
  store<u64>(RIP, ripOf(load<u64>(PAGE_LINEAR) + load<u16>(u, 14)));
  budget -= <i32>load<u8>(u, 3);
}
/** An instruction has faulted with nothing changed. */
function stopped(u: usize): void { nameStackFault(u); leaveBefore(u); }
/** The block for RIP, unless the slice is over. */
// @ts-ignore: decorator
@inline function go(): usize { return budget > 0 ? enter() : 0; }

/** A direct jump whose target is not linked yet: links it when the target is in the same page. */
function jumpFar(u: usize): usize {
  const address = target(u);
  store<u64>(RIP, ripOf(address));
  if (budget <= 0) return 0;
  const page = load<u64>(PAGE_LINEAR), generation = poolGeneration;
  const next = enter();
  if (next && u >= UOP_POOL && next >= UOP_POOL && (address & ~0xfff) == page && generation == poolGeneration && !marked(address)) store<u32>(u, <u32>next, 24);
  return next;
}
/** A direct jump, once its instruction has been counted. */
// @ts-ignore: decorator
@inline function jump(u: usize): usize {
  const linked = <usize>load<u32>(u, 24);
  // A link may lead to a block that is no more.
  return linked && budget > 0 && load<u16>(linked) != <u16>K_STALE ? linked : jumpFar(u);
}
/** In flat 32-bit mode. False: fault, nothing changed. */
// @ts-ignore: decorator
@inline function push32(value: u32): bool {
  const top = load<u32>(RSP) - 4, p = writable<u32>(<u64>top);
  if (!p) return false;
  store<u32>(p, value); commit(p);
  store<u64>(RSP, <u64>top);
  return true;
}
/** 64-bit targets must be canonical; the branch itself faults (SDM 2A CALL, JMP). */
// @ts-ignore: decorator
@inline function goodTarget(address: u64): bool {
  if (canonical(address)) return true;
  raise(GP, 0);
  return false;
}

/** A handler that may change anything: RIP, mode, mappings, interrupts. The next uop, or 0 to leave. */
function callEnd(u: usize): usize {
  const mode = load<u32>(MODE), index = <i32>load<u8>(u, 3);
  const here = load<u64>(PAGE_LINEAR) + load<u16>(u, 14);
  const rip = ripOf(here);
  store<u64>(RIP, mode & MODE_64 ? rip + load<u8>(u, 2) : (rip + load<u8>(u, 2)) & 0xffffffff);
  syncRetired(index);
  call_indirect<void>(load<u32>(u, 24), u);
  if (fault) { nameStackFault(u); store<u64>(RIP, rip); budget -= index; return 0; }
  if (repeatAgain) { repeatAgain = false; store<u64>(RIP, rip); budget -= index; return 0; }
  budget -= index + 1;
  if (interruptShadow || load<u32>(HALTED) || tripleFault || pending()) return 0;
  return go();
}
/** Whether an interrupt can be taken now. */
// @ts-ignore: decorator
@inline function pending(): bool { return (load<u32>(NMI) != 0 && !nmiBlocked) || (load<u32>(SMI) != 0 && !load<u32>(IN_SMM)) || (load<u32>(INTR) != 0 && (load<u64>(RFLAGS) & IF) != 0); }

/** CR0.EM and CR0.TS (SDM 3A tables 13-1, 2-2); CR4.OSFXSR for SSE. */
function checkExtension(kind: u32): bool {
  const cr0 = load<u64>(CR0);
  if (kind == K_FPU) {
    if (!(cr0 & (CR0_EM | CR0_TS))) return true;
    raise(NM, 0);
    return false;
  }
  if ((cr0 & CR0_EM) || (kind == K_SSE && !(load<u64>(CR4) & CR4_OSFXSR))) { raise(UD, 0); return false; }
  if (cr0 & CR0_TS) { raise(NM, 0); return false; }
  return true;
}
/** AVX: CR4.OSXSAVE and both vector components of XCR0, else #UD; then CR0.TS (SDM 2A §2.4). */
function checkVectors(): bool {
  if (!(load<u64>(CR4) & CR4_OSXSAVE) || (load<u64>(XCR0) & 6) != 6) { raise(UD, 0); return false; }
  if (load<u64>(CR0) & CR0_TS) { raise(NM, 0); return false; }
  return true;
}

// ------------------------------------------------------------------------------------------------ the switch

/** Executes blocks from RIP until the run loop has something to decide: RIP and the budget are true then. */
export function execute(): void {
  let u = enter();
  while (u) {
    switch (<u32>load<u16>(u)) {
      case K_STALE: { leaveBefore(u); u = go(); continue; }
      case K_END: { leaveBefore(u); u = go(); continue; }
      case K_CROSS: { leaveBefore(u); if (budget <= 0) return; u = crossInstruction(); continue; }
      case K_STEPPED: { store<u64>(RIP, ripOf(load<u64>(PAGE_LINEAR) + load<u16>(u, 14))); budget--; u = go(); continue; }
      case K_CALL: call_indirect<void>(load<u32>(u, 24), u); if (fault) return stopped(u); u += 32; continue;
      case K_CALL_END: { u = callEnd(u); continue; }
      case K_REPEAT: call_indirect<void>(load<u32>(u, 24), u); if (fault) return stopped(u); if (repeatAgain) { repeatAgain = false; leaveBefore(u); return; } u += 32; continue;
      case K_NOTHING: u += 32; continue;
      case K_ADDRESS32: store<u64>(ADDRESS, wideLinear(u) & 0xffffffff); u += 32; continue;
      case K_ADDRESS_WIDE: store<u64>(ADDRESS, wideLinear(u)); u += 32; continue;
      case K_ADDRESS_SEGMENT: if (!addressStep(u)) return stopped(u); u += 32; continue;
      case K_RING0: if (load<u32>(CPL)) { raise(GP, 0); return stopped(u); } u += 32; continue;
      case K_FPU: if (!checkExtension(K_FPU)) return stopped(u); u += 32; continue;
      case K_SSE: if (!checkExtension(K_SSE)) return stopped(u); u += 32; continue;
      case K_MMX: if (!checkExtension(K_MMX)) return stopped(u); u += 32; continue;
      case K_AVX: if (!checkVectors()) return stopped(u); u += 32; continue;
      case K_ADD_RR8: registerRegister<u8>(ADD, u); u += 32; continue;
      case K_ADD_RR32: registerRegister<u32>(ADD, u); u += 32; continue;
      case K_ADD_RR64: registerRegister<u64>(ADD, u); u += 32; continue;
      case K_ADD_RI8: registerImmediate<u8>(ADD, u); u += 32; continue;
      case K_ADD_RI32: registerImmediate<u32>(ADD, u); u += 32; continue;
      case K_ADD_RI64: registerImmediate<u64>(ADD, u); u += 32; continue;
      case K_ADD_RM8: if (!registerMemory<u8>(ADD, u)) return stopped(u); u += 32; continue;
      case K_ADD_RM32: if (!registerMemory<u32>(ADD, u)) return stopped(u); u += 32; continue;
      case K_ADD_RM64: if (!registerMemory<u64>(ADD, u)) return stopped(u); u += 32; continue;
      case K_ADD_MR8: if (!memoryRegister<u8>(ADD, u)) return stopped(u); u += 32; continue;
      case K_ADD_MR32: if (!memoryRegister<u32>(ADD, u)) return stopped(u); u += 32; continue;
      case K_ADD_MR64: if (!memoryRegister<u64>(ADD, u)) return stopped(u); u += 32; continue;
      case K_ADD_MI8: if (!memoryImmediate<u8>(ADD, u)) return stopped(u); u += 32; continue;
      case K_ADD_MI32: if (!memoryImmediate<u32>(ADD, u)) return stopped(u); u += 32; continue;
      case K_ADD_MI64: if (!memoryImmediate<u64>(ADD, u)) return stopped(u); u += 32; continue;
      case K_OR_RR8: registerRegister<u8>(OR, u); u += 32; continue;
      case K_OR_RR32: registerRegister<u32>(OR, u); u += 32; continue;
      case K_OR_RR64: registerRegister<u64>(OR, u); u += 32; continue;
      case K_OR_RI8: registerImmediate<u8>(OR, u); u += 32; continue;
      case K_OR_RI32: registerImmediate<u32>(OR, u); u += 32; continue;
      case K_OR_RI64: registerImmediate<u64>(OR, u); u += 32; continue;
      case K_OR_RM8: if (!registerMemory<u8>(OR, u)) return stopped(u); u += 32; continue;
      case K_OR_RM32: if (!registerMemory<u32>(OR, u)) return stopped(u); u += 32; continue;
      case K_OR_RM64: if (!registerMemory<u64>(OR, u)) return stopped(u); u += 32; continue;
      case K_OR_MR8: if (!memoryRegister<u8>(OR, u)) return stopped(u); u += 32; continue;
      case K_OR_MR32: if (!memoryRegister<u32>(OR, u)) return stopped(u); u += 32; continue;
      case K_OR_MR64: if (!memoryRegister<u64>(OR, u)) return stopped(u); u += 32; continue;
      case K_OR_MI8: if (!memoryImmediate<u8>(OR, u)) return stopped(u); u += 32; continue;
      case K_OR_MI32: if (!memoryImmediate<u32>(OR, u)) return stopped(u); u += 32; continue;
      case K_OR_MI64: if (!memoryImmediate<u64>(OR, u)) return stopped(u); u += 32; continue;
      case K_AND_RR8: registerRegister<u8>(AND, u); u += 32; continue;
      case K_AND_RR32: registerRegister<u32>(AND, u); u += 32; continue;
      case K_AND_RR64: registerRegister<u64>(AND, u); u += 32; continue;
      case K_AND_RI8: registerImmediate<u8>(AND, u); u += 32; continue;
      case K_AND_RI32: registerImmediate<u32>(AND, u); u += 32; continue;
      case K_AND_RI64: registerImmediate<u64>(AND, u); u += 32; continue;
      case K_AND_RM8: if (!registerMemory<u8>(AND, u)) return stopped(u); u += 32; continue;
      case K_AND_RM32: if (!registerMemory<u32>(AND, u)) return stopped(u); u += 32; continue;
      case K_AND_RM64: if (!registerMemory<u64>(AND, u)) return stopped(u); u += 32; continue;
      case K_AND_MR8: if (!memoryRegister<u8>(AND, u)) return stopped(u); u += 32; continue;
      case K_AND_MR32: if (!memoryRegister<u32>(AND, u)) return stopped(u); u += 32; continue;
      case K_AND_MR64: if (!memoryRegister<u64>(AND, u)) return stopped(u); u += 32; continue;
      case K_AND_MI8: if (!memoryImmediate<u8>(AND, u)) return stopped(u); u += 32; continue;
      case K_AND_MI32: if (!memoryImmediate<u32>(AND, u)) return stopped(u); u += 32; continue;
      case K_AND_MI64: if (!memoryImmediate<u64>(AND, u)) return stopped(u); u += 32; continue;
      case K_SUB_RR8: registerRegister<u8>(SUB, u); u += 32; continue;
      case K_SUB_RR32: registerRegister<u32>(SUB, u); u += 32; continue;
      case K_SUB_RR64: registerRegister<u64>(SUB, u); u += 32; continue;
      case K_SUB_RI8: registerImmediate<u8>(SUB, u); u += 32; continue;
      case K_SUB_RI32: registerImmediate<u32>(SUB, u); u += 32; continue;
      case K_SUB_RI64: registerImmediate<u64>(SUB, u); u += 32; continue;
      case K_SUB_RM8: if (!registerMemory<u8>(SUB, u)) return stopped(u); u += 32; continue;
      case K_SUB_RM32: if (!registerMemory<u32>(SUB, u)) return stopped(u); u += 32; continue;
      case K_SUB_RM64: if (!registerMemory<u64>(SUB, u)) return stopped(u); u += 32; continue;
      case K_SUB_MR8: if (!memoryRegister<u8>(SUB, u)) return stopped(u); u += 32; continue;
      case K_SUB_MR32: if (!memoryRegister<u32>(SUB, u)) return stopped(u); u += 32; continue;
      case K_SUB_MR64: if (!memoryRegister<u64>(SUB, u)) return stopped(u); u += 32; continue;
      case K_SUB_MI8: if (!memoryImmediate<u8>(SUB, u)) return stopped(u); u += 32; continue;
      case K_SUB_MI32: if (!memoryImmediate<u32>(SUB, u)) return stopped(u); u += 32; continue;
      case K_SUB_MI64: if (!memoryImmediate<u64>(SUB, u)) return stopped(u); u += 32; continue;
      case K_XOR_RR8: registerRegister<u8>(XOR, u); u += 32; continue;
      case K_XOR_RR32: registerRegister<u32>(XOR, u); u += 32; continue;
      case K_XOR_RR64: registerRegister<u64>(XOR, u); u += 32; continue;
      case K_XOR_RI8: registerImmediate<u8>(XOR, u); u += 32; continue;
      case K_XOR_RI32: registerImmediate<u32>(XOR, u); u += 32; continue;
      case K_XOR_RI64: registerImmediate<u64>(XOR, u); u += 32; continue;
      case K_XOR_RM8: if (!registerMemory<u8>(XOR, u)) return stopped(u); u += 32; continue;
      case K_XOR_RM32: if (!registerMemory<u32>(XOR, u)) return stopped(u); u += 32; continue;
      case K_XOR_RM64: if (!registerMemory<u64>(XOR, u)) return stopped(u); u += 32; continue;
      case K_XOR_MR8: if (!memoryRegister<u8>(XOR, u)) return stopped(u); u += 32; continue;
      case K_XOR_MR32: if (!memoryRegister<u32>(XOR, u)) return stopped(u); u += 32; continue;
      case K_XOR_MR64: if (!memoryRegister<u64>(XOR, u)) return stopped(u); u += 32; continue;
      case K_XOR_MI8: if (!memoryImmediate<u8>(XOR, u)) return stopped(u); u += 32; continue;
      case K_XOR_MI32: if (!memoryImmediate<u32>(XOR, u)) return stopped(u); u += 32; continue;
      case K_XOR_MI64: if (!memoryImmediate<u64>(XOR, u)) return stopped(u); u += 32; continue;
      case K_CMP_RR8: registerRegister<u8>(CMP, u); u += 32; continue;
      case K_CMP_RR32: registerRegister<u32>(CMP, u); u += 32; continue;
      case K_CMP_RR64: registerRegister<u64>(CMP, u); u += 32; continue;
      case K_CMP_RI8: registerImmediate<u8>(CMP, u); u += 32; continue;
      case K_CMP_RI32: registerImmediate<u32>(CMP, u); u += 32; continue;
      case K_CMP_RI64: registerImmediate<u64>(CMP, u); u += 32; continue;
      case K_CMP_RM8: if (!registerMemory<u8>(CMP, u)) return stopped(u); u += 32; continue;
      case K_CMP_RM32: if (!registerMemory<u32>(CMP, u)) return stopped(u); u += 32; continue;
      case K_CMP_RM64: if (!registerMemory<u64>(CMP, u)) return stopped(u); u += 32; continue;
      case K_CMP_MR8: if (!memoryRegister<u8>(CMP, u)) return stopped(u); u += 32; continue;
      case K_CMP_MR32: if (!memoryRegister<u32>(CMP, u)) return stopped(u); u += 32; continue;
      case K_CMP_MR64: if (!memoryRegister<u64>(CMP, u)) return stopped(u); u += 32; continue;
      case K_CMP_MI8: if (!memoryImmediate<u8>(CMP, u)) return stopped(u); u += 32; continue;
      case K_CMP_MI32: if (!memoryImmediate<u32>(CMP, u)) return stopped(u); u += 32; continue;
      case K_CMP_MI64: if (!memoryImmediate<u64>(CMP, u)) return stopped(u); u += 32; continue;
      case K_TEST_RR8: registerRegister<u8>(TEST, u); u += 32; continue;
      case K_TEST_RR32: registerRegister<u32>(TEST, u); u += 32; continue;
      case K_TEST_RR64: registerRegister<u64>(TEST, u); u += 32; continue;
      case K_TEST_RI8: registerImmediate<u8>(TEST, u); u += 32; continue;
      case K_TEST_RI32: registerImmediate<u32>(TEST, u); u += 32; continue;
      case K_TEST_RI64: registerImmediate<u64>(TEST, u); u += 32; continue;
      case K_TEST_MR8: if (!memoryRegister<u8>(TEST, u)) return stopped(u); u += 32; continue;
      case K_TEST_MR32: if (!memoryRegister<u32>(TEST, u)) return stopped(u); u += 32; continue;
      case K_TEST_MR64: if (!memoryRegister<u64>(TEST, u)) return stopped(u); u += 32; continue;
      case K_TEST_MI8: if (!memoryImmediate<u8>(TEST, u)) return stopped(u); u += 32; continue;
      case K_TEST_MI32: if (!memoryImmediate<u32>(TEST, u)) return stopped(u); u += 32; continue;
      case K_TEST_MI64: if (!memoryImmediate<u64>(TEST, u)) return stopped(u); u += 32; continue;
      case K_ADC_RR32: registerRegister<u32>(ADC, u); u += 32; continue;
      case K_ADC_RR64: registerRegister<u64>(ADC, u); u += 32; continue;
      case K_SBB_RR32: registerRegister<u32>(SBB, u); u += 32; continue;
      case K_SBB_RR64: registerRegister<u64>(SBB, u); u += 32; continue;
      case K_ADC_RI32: registerImmediate<u32>(ADC, u); u += 32; continue;
      case K_ADC_RI64: registerImmediate<u64>(ADC, u); u += 32; continue;
      case K_SBB_RI32: registerImmediate<u32>(SBB, u); u += 32; continue;
      case K_SBB_RI64: registerImmediate<u64>(SBB, u); u += 32; continue;
      case K_MOV_RR8: storeRegister<u8>(reg(u), load<u8>(rm(u))); u += 32; continue;
      case K_MOV_RR32: storeRegister<u32>(reg(u), load<u32>(rm(u))); u += 32; continue;
      case K_MOV_RR64: storeRegister<u64>(reg(u), load<u64>(rm(u))); u += 32; continue;
      case K_MOV_RI8: storeRegister<u8>(reg(u), <u8><i64>imm(u)); u += 32; continue;
      case K_MOV_RI32: store<u64>(reg(u), <u64>load<u32>(u, 20)); u += 32; continue;
      case K_MOV_RI64: storeRegister<u64>(reg(u), <u64><i64>imm(u)); u += 32; continue;
      case K_MOV_RM8: if (!loadMemory<u8>(u)) return stopped(u); u += 32; continue;
      case K_MOV_RM32: if (!loadMemory<u32>(u)) return stopped(u); u += 32; continue;
      case K_MOV_RM64: if (!loadMemory<u64>(u)) return stopped(u); u += 32; continue;
      case K_MOV_MR8: if (!storeMemory<u8>(u, load<u8>(reg(u)))) return stopped(u); u += 32; continue;
      case K_MOV_MR32: if (!storeMemory<u32>(u, load<u32>(reg(u)))) return stopped(u); u += 32; continue;
      case K_MOV_MR64: if (!storeMemory<u64>(u, load<u64>(reg(u)))) return stopped(u); u += 32; continue;
      case K_MOV_MI8: if (!storeMemory<u8>(u, <u8><i64>imm(u))) return stopped(u); u += 32; continue;
      case K_MOV_MI32: if (!storeMemory<u32>(u, <u32><i64>imm(u))) return stopped(u); u += 32; continue;
      case K_MOV_MI64: if (!storeMemory<u64>(u, <u64><i64>imm(u))) return stopped(u); u += 32; continue;
      case K_MOV_RI64_WIDE: store<u64>(reg(u), <u64>load<u32>(u, 20) | (<u64>load<u32>(u, 16) << 32)); u += 32; continue;
      case K_ZERO32: store<u64>(reg(u), 0); rememberLogic<u32>(0); u += 32; continue;
      case K_MOVZX_BYTE_R32: store<u64>(reg(u), <u64>load<u8>(rm(u))); u += 32; continue;
      case K_MOVZX_BYTE_M32: if (!extendMemory<u8, u32>(u)) return stopped(u); u += 32; continue;
      case K_MOVZX_WORD_R32: store<u64>(reg(u), <u64>load<u16>(rm(u))); u += 32; continue;
      case K_MOVZX_WORD_M32: if (!extendMemory<u16, u32>(u)) return stopped(u); u += 32; continue;
      case K_MOVSX_BYTE_R32: store<u64>(reg(u), <u64><u32>load<i8>(rm(u))); u += 32; continue;
      case K_MOVSX_BYTE_M32: if (!extendMemory<i8, u32>(u)) return stopped(u); u += 32; continue;
      case K_MOVSX_BYTE_R64: store<u64>(reg(u), <u64><u64>load<i8>(rm(u))); u += 32; continue;
      case K_MOVSX_BYTE_M64: if (!extendMemory<i8, u64>(u)) return stopped(u); u += 32; continue;
      case K_MOVSX_WORD_R32: store<u64>(reg(u), <u64><u32>load<i16>(rm(u))); u += 32; continue;
      case K_MOVSX_WORD_M32: if (!extendMemory<i16, u32>(u)) return stopped(u); u += 32; continue;
      case K_MOVSX_WORD_R64: store<u64>(reg(u), <u64><u64>load<i16>(rm(u))); u += 32; continue;
      case K_MOVSX_WORD_M64: if (!extendMemory<i16, u64>(u)) return stopped(u); u += 32; continue;
      case K_MOVSXD_R64: store<u64>(reg(u), <u64><i64>load<i32>(rm(u))); u += 32; continue;
      case K_MOVSXD_M64: if (!extendMemory<i32, u64>(u)) return stopped(u); u += 32; continue;
      case K_LEA32: store<u64>(reg(u), linear(u) & 0xffffffff); u += 32; continue;
      case K_LEA64: store<u64>(reg(u), linear(u)); u += 32; continue;
      case K_INC_R32: storeRegister<u32>(reg(u), increment<u32>(load<u32>(reg(u)))); u += 32; continue;
      case K_INC_R64: storeRegister<u64>(reg(u), increment<u64>(load<u64>(reg(u)))); u += 32; continue;
      case K_INC_M32: if (!stepMemory<u32>(true, u)) return stopped(u); u += 32; continue;
      case K_INC_M64: if (!stepMemory<u64>(true, u)) return stopped(u); u += 32; continue;
      case K_DEC_R32: storeRegister<u32>(reg(u), decrement<u32>(load<u32>(reg(u)))); u += 32; continue;
      case K_DEC_R64: storeRegister<u64>(reg(u), decrement<u64>(load<u64>(reg(u)))); u += 32; continue;
      case K_DEC_M32: if (!stepMemory<u32>(false, u)) return stopped(u); u += 32; continue;
      case K_DEC_M64: if (!stepMemory<u64>(false, u)) return stopped(u); u += 32; continue;
      case K_NOT_R32: storeRegister<u32>(reg(u), ~load<u32>(reg(u))); u += 32; continue;
      case K_NOT_R64: storeRegister<u64>(reg(u), ~load<u64>(reg(u))); u += 32; continue;
      case K_NEG_R32: { const b = load<u32>(reg(u)); storeRegister<u32>(reg(u), 0 - b); remember<u32>(OP_SUB, 0 - b, b); u += 32; continue; }
      case K_NEG_R64: { const b = load<u64>(reg(u)); storeRegister<u64>(reg(u), 0 - b); remember<u64>(OP_SUB, 0 - b, b); u += 32; continue; }
      case K_SHL_RI32: storeRegister<u32>(reg(u), shiftLeft<u32>(load<u32>(reg(u)), <u32>imm(u))); u += 32; continue;
      case K_SHL_RI64: storeRegister<u64>(reg(u), shiftLeft<u64>(load<u64>(reg(u)), <u32>imm(u))); u += 32; continue;
      case K_SHR_RI32: storeRegister<u32>(reg(u), shiftRight<u32>(load<u32>(reg(u)), <u32>imm(u))); u += 32; continue;
      case K_SHR_RI64: storeRegister<u64>(reg(u), shiftRight<u64>(load<u64>(reg(u)), <u32>imm(u))); u += 32; continue;
      case K_SAR_RI32: storeRegister<u32>(reg(u), shiftRightSigned<u32>(load<u32>(reg(u)), <u32>imm(u))); u += 32; continue;
      case K_SAR_RI64: storeRegister<u64>(reg(u), shiftRightSigned<u64>(load<u64>(reg(u)), <u32>imm(u))); u += 32; continue;
      case K_IMUL_RR32: multiply32(reg(u), rm(u)); u += 32; continue;
      case K_IMUL_RR64: multiply64(reg(u), rm(u)); u += 32; continue;
      case K_PUSH_R64: if (!push64(load<u64>(rm(u)))) return stopped(u); u += 32; continue;
      case K_PUSH_I64: if (!push64(<u64><i64>imm(u))) return stopped(u); u += 32; continue;
      case K_POP_R64: { const top = load<u64>(RSP), p = readable<u64>(top); if (!p) { stackFault(); return stopped(u); } store<u64>(RSP, top + 8); store<u64>(rm(u), load<u64>(p)); u += 32; continue; }
      case K_PUSH_R32: if (!push32(load<u32>(rm(u)))) return stopped(u); u += 32; continue;
      case K_POP_R32: { const top = load<u32>(RSP), p = readable<u32>(<u64>top); if (!p) return stopped(u); store<u64>(RSP, <u64>(top + 4)); store<u64>(rm(u), <u64>load<u32>(p)); u += 32; continue; }
      case K_LEAVE64: { const top = load<u64>(RBP), p = readable<u64>(top); if (!p) { stackFault(); return stopped(u); } store<u64>(RSP, top + 8); store<u64>(RBP, load<u64>(p)); u += 32; continue; }
      case K_JMP: { retire(u); u = jump(u); continue; }
      case K_CALL_NEAR64: if (!goodTarget(target(u)) || !push64(nextLinear(u))) return stopped(u); retire(u); u = jump(u); continue;
      case K_RET64: { const top = load<u64>(RSP), p = readable<u64>(top); if (!p) { stackFault(); return stopped(u); } const to = load<u64>(p); if (!goodTarget(to)) return stopped(u); store<u64>(RSP, top + 8); store<u64>(RIP, to); retire(u); u = go(); continue; }
      case K_JMP_R64: { const to = load<u64>(rm(u)); if (!goodTarget(to)) return stopped(u); store<u64>(RIP, to); retire(u); u = go(); continue; }
      case K_JMP_M64: { const p = readable<u64>(linear(u)); if (!p) return stopped(u); const to = load<u64>(p); if (!goodTarget(to)) return stopped(u); store<u64>(RIP, to); retire(u); u = go(); continue; }
      case K_CALL_R64: { const to = load<u64>(rm(u)); if (!goodTarget(to) || !push64(nextLinear(u))) return stopped(u); store<u64>(RIP, to); retire(u); u = go(); continue; }
      case K_CALL_M64: { const p = readable<u64>(linear(u)); if (!p) return stopped(u); const to = load<u64>(p); if (!goodTarget(to) || !push64(nextLinear(u))) return stopped(u); store<u64>(RIP, to); retire(u); u = go(); continue; }
      // Flat 32-bit mode: every offset is within CS and SS, so that only pages can object.
      case K_CALL_NEAR32: if (!push32(<u32>nextLinear(u))) return stopped(u); retire(u); u = jump(u); continue;
      case K_RET32: { const top = load<u32>(RSP), p = readable<u32>(<u64>top); if (!p) return stopped(u); store<u64>(RSP, <u64>(top + 4)); store<u64>(RIP, <u64>load<u32>(p)); retire(u); u = go(); continue; }
      case K_JMP_R32: store<u64>(RIP, <u64>load<u32>(rm(u))); retire(u); u = go(); continue;
      case K_JMP_M32: { const p = readable<u32>(linear(u)); if (!p) return stopped(u); store<u64>(RIP, <u64>load<u32>(p)); retire(u); u = go(); continue; }
      case K_CALL_R32: { const to = load<u32>(rm(u)); if (!push32(<u32>nextLinear(u))) return stopped(u); store<u64>(RIP, <u64>to); retire(u); u = go(); continue; }
      case K_CALL_M32: { const p = readable<u32>(linear(u)); if (!p) return stopped(u); const to = load<u32>(p); if (!push32(<u32>nextLinear(u))) return stopped(u); store<u64>(RIP, <u64>to); retire(u); u = go(); continue; }
      case K_JO: if (overflow()) { retire(u); u = jump(u); continue; } u += 32; continue;
      case K_JNO: if (!overflow()) { retire(u); u = jump(u); continue; } u += 32; continue;
      case K_JB: if (carry()) { retire(u); u = jump(u); continue; } u += 32; continue;
      case K_JNB: if (!carry()) { retire(u); u = jump(u); continue; } u += 32; continue;
      case K_JZ: if (zero()) { retire(u); u = jump(u); continue; } u += 32; continue;
      case K_JNZ: if (!zero()) { retire(u); u = jump(u); continue; } u += 32; continue;
      case K_JBE: if ((carry() | zero())) { retire(u); u = jump(u); continue; } u += 32; continue;
      case K_JNBE: if (!(carry() | zero())) { retire(u); u = jump(u); continue; } u += 32; continue;
      case K_JS: if (sign()) { retire(u); u = jump(u); continue; } u += 32; continue;
      case K_JNS: if (!sign()) { retire(u); u = jump(u); continue; } u += 32; continue;
      case K_JP: if (parity()) { retire(u); u = jump(u); continue; } u += 32; continue;
      case K_JNP: if (!parity()) { retire(u); u = jump(u); continue; } u += 32; continue;
      case K_JL: if (less()) { retire(u); u = jump(u); continue; } u += 32; continue;
      case K_JNL: if (!less()) { retire(u); u = jump(u); continue; } u += 32; continue;
      case K_JLE: if ((less() | zero())) { retire(u); u = jump(u); continue; } u += 32; continue;
      case K_JNLE: if (!(less() | zero())) { retire(u); u = jump(u); continue; } u += 32; continue;
      case K_SETO: store<u8>(rm(u), <u8>overflow()); u += 32; continue;
      case K_SETNO: store<u8>(rm(u), <u8>(overflow() ^ 1)); u += 32; continue;
      case K_SETB: store<u8>(rm(u), <u8>carry()); u += 32; continue;
      case K_SETNB: store<u8>(rm(u), <u8>(carry() ^ 1)); u += 32; continue;
      case K_SETZ: store<u8>(rm(u), <u8>zero()); u += 32; continue;
      case K_SETNZ: store<u8>(rm(u), <u8>(zero() ^ 1)); u += 32; continue;
      case K_SETBE: store<u8>(rm(u), <u8>(carry() | zero())); u += 32; continue;
      case K_SETNBE: store<u8>(rm(u), <u8>((carry() | zero()) ^ 1)); u += 32; continue;
      case K_SETS: store<u8>(rm(u), <u8>sign()); u += 32; continue;
      case K_SETNS: store<u8>(rm(u), <u8>(sign() ^ 1)); u += 32; continue;
      case K_SETP: store<u8>(rm(u), <u8>parity()); u += 32; continue;
      case K_SETNP: store<u8>(rm(u), <u8>(parity() ^ 1)); u += 32; continue;
      case K_SETL: store<u8>(rm(u), <u8>less()); u += 32; continue;
      case K_SETNL: store<u8>(rm(u), <u8>(less() ^ 1)); u += 32; continue;
      case K_SETLE: store<u8>(rm(u), <u8>(less() | zero())); u += 32; continue;
      case K_SETNLE: store<u8>(rm(u), <u8>((less() | zero()) ^ 1)); u += 32; continue;
      case K_CMOV32: if (condition(load<u16>(u, 30) & 15)) store<u64>(reg(u), <u64>load<u32>(rm(u))); else store<u64>(reg(u), <u64>load<u32>(reg(u))); u += 32; continue;
      case K_CMOV64: if (condition(load<u16>(u, 30) & 15)) store<u64>(reg(u), load<u64>(rm(u))); u += 32; continue;
      // An operation and the JZ or JNZ after it; the jump itself is below the switch.
      case K_TEST_RR8_J: registerRegister<u8>(TEST, u); u += 32; break;
      case K_TEST_RR32_J: registerRegister<u32>(TEST, u); u += 32; break;
      case K_TEST_RR64_J: registerRegister<u64>(TEST, u); u += 32; break;
      case K_TEST_RI8_J: registerImmediate<u8>(TEST, u); u += 32; break;
      case K_TEST_RI32_J: registerImmediate<u32>(TEST, u); u += 32; break;
      case K_TEST_MI8_J: if (!memoryImmediate<u8>(TEST, u)) return stopped(u); u += 32; break;
      case K_CMP_RR8_J: registerRegister<u8>(CMP, u); u += 32; break;
      case K_CMP_RR32_J: registerRegister<u32>(CMP, u); u += 32; break;
      case K_CMP_RR64_J: registerRegister<u64>(CMP, u); u += 32; break;
      case K_CMP_RI8_J: registerImmediate<u8>(CMP, u); u += 32; break;
      case K_CMP_RI32_J: registerImmediate<u32>(CMP, u); u += 32; break;
      case K_CMP_RI64_J: registerImmediate<u64>(CMP, u); u += 32; break;
      case K_CMP_MI8_J: if (!memoryImmediate<u8>(CMP, u)) return stopped(u); u += 32; break;
      case K_CMP_MI32_J: if (!memoryImmediate<u32>(CMP, u)) return stopped(u); u += 32; break;
      case K_CMP_MI64_J: if (!memoryImmediate<u64>(CMP, u)) return stopped(u); u += 32; break;
      case K_CMP_RM8_J: if (!registerMemory<u8>(CMP, u)) return stopped(u); u += 32; break;
      case K_CMP_RM32_J: if (!registerMemory<u32>(CMP, u)) return stopped(u); u += 32; break;
      case K_CMP_RM64_J: if (!registerMemory<u64>(CMP, u)) return stopped(u); u += 32; break;
      case K_CMP_MR32_J: if (!memoryRegister<u32>(CMP, u)) return stopped(u); u += 32; break;
      case K_CMP_MR64_J: if (!memoryRegister<u64>(CMP, u)) return stopped(u); u += 32; break;
      case K_ADD_RI32_J: registerImmediate<u32>(ADD, u); u += 32; break;
      case K_ADD_RI64_J: registerImmediate<u64>(ADD, u); u += 32; break;
      case K_SUB_RI32_J: registerImmediate<u32>(SUB, u); u += 32; break;
      case K_SUB_RI64_J: registerImmediate<u64>(SUB, u); u += 32; break;
      case K_AND_RI32_J: registerImmediate<u32>(AND, u); u += 32; break;
      case K_DEC_R32_J: storeRegister<u32>(reg(u), decrement<u32>(load<u32>(reg(u)))); u += 32; break;
      case K_DEC_R64_J: storeRegister<u64>(reg(u), decrement<u64>(load<u64>(reg(u)))); u += 32; break;
      // Pairs that follow each other often. The second is left to its own uop where the first may have overwritten code.
      case K_MOV_RR64_MOV_RR64: storeRegister<u64>(reg(u), load<u64>(rm(u))); u += 32; storeRegister<u64>(reg(u), load<u64>(rm(u))); u += 32; continue;
      case K_MOV_RR64_MOV_RR32: storeRegister<u64>(reg(u), load<u64>(rm(u))); u += 32; storeRegister<u32>(reg(u), load<u32>(rm(u))); u += 32; continue;
      case K_MOV_RR64_CALL_NEAR64: storeRegister<u64>(reg(u), load<u64>(rm(u))); u += 32; if (!goodTarget(target(u)) || !push64(nextLinear(u))) return stopped(u); retire(u); u = jump(u); continue;
      case K_MOV_RM64_MOV_RM64: if (!loadMemory<u64>(u)) return stopped(u); u += 32; if (!loadMemory<u64>(u)) return stopped(u); u += 32; continue;
      case K_MOV_RM64_MOV_RR64: if (!loadMemory<u64>(u)) return stopped(u); u += 32; storeRegister<u64>(reg(u), load<u64>(rm(u))); u += 32; continue;
      case K_MOV_RM64_MOV_MR64: if (!loadMemory<u64>(u)) return stopped(u); u += 32; if (!storeMemory<u64>(u, load<u64>(reg(u)))) return stopped(u); u += 32; continue;
      case K_PUSH_R64_PUSH_R64: if (pushTwo(u)) { u += 64; continue; } if (!push64(load<u64>(rm(u)))) return stopped(u); u += 32; continue;
      case K_PUSH_R64_MOV_RR64: if (pushFast(load<u64>(rm(u)))) { u += 32; storeRegister<u64>(reg(u), load<u64>(rm(u))); u += 32; continue; } if (!push64(load<u64>(rm(u)))) return stopped(u); u += 32; continue;
      case K_MOV_RR64_PUSH_R64: storeRegister<u64>(reg(u), load<u64>(rm(u))); u += 32; if (!push64(load<u64>(rm(u)))) return stopped(u); u += 32; continue;
      case K_POP_R64_POP_R64: if (popTwo(u)) { u += 64; continue; } { const top = load<u64>(RSP), p = readable<u64>(top); if (!p) { stackFault(); return stopped(u); } store<u64>(RSP, top + 8); store<u64>(rm(u), load<u64>(p)); u += 32; continue; }
      case K_POP_R64_RET64: { const top = load<u64>(RSP), p = readable<u64>(top); if (!p) { stackFault(); return stopped(u); } store<u64>(RSP, top + 8); store<u64>(rm(u), load<u64>(p)); u += 32; } { const top = load<u64>(RSP), p = readable<u64>(top); if (!p) { stackFault(); return stopped(u); } const to = load<u64>(p); if (!goodTarget(to)) return stopped(u); store<u64>(RSP, top + 8); store<u64>(RIP, to); retire(u); u = go(); continue; }
      case K_ADD_RI64_POP_R64: registerImmediate<u64>(ADD, u); u += 32; { const top = load<u64>(RSP), p = readable<u64>(top); if (!p) { stackFault(); return stopped(u); } store<u64>(RSP, top + 8); store<u64>(rm(u), load<u64>(p)); u += 32; continue; }
      default: unreachable();
    }
    // JZ and JNZ differ in bit 0 of their opcode.
    if (zero() != (load<u32>(u, 28) >> 16 & 1)) { retire(u); u = jump(u); } else u += 32;
  }
}
