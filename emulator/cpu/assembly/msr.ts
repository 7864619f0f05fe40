import {
  HAS_ARCHCAPABILITIES, HAS_LM, HAS_MTRR, HAS_RDTSCP, HAS_SEP, HAS_SSE2, HAS_SYSCALL, HAS_TSC, HAS_TSCADJUST, HAS_TSCDEADLINE, HAS_X2APIC,
} from "../../../build/generated/cpu/features";
import { syncRetired } from "./control";
import { GP, raise } from "./fault";
import { tsc, writeApicBase, writeTscDeadline } from "./host";
import {
  APIC_BASE, CR0, CSTAR, DEBUGCTL, EFER, FMASK, FS, GS, KERNEL_GS_BASE, LSTAR, MISC_ENABLE, MODEL_EFER, MTRR, PAT, RAX, RCX, RDX, SEG_BASE, STAR, SYSENTER_CS, SYSENTER_EIP,
  SYSENTER_ESP, TSC_AUX, TSC_DEADLINE, TSC_OFFSET,
} from "./layout";
import { flushTlb } from "./mmu";
import { canonical, CR0_PG, EFER_LMA, EFER_LME, EFER_NXE, updateMode } from "./mode";
import { beyondPhysical, has } from "./model";
import { now } from "./system";
import { isX2apic, mayBecome, readX2apic, writeX2apic, x2apicValue } from "./x2apic";

/**
 * Model-specific registers (SDM 4 chapter 2). Registers that are not listed do not exist: #GP(0). Not modelled: machine-check
 * banks, performance counters, last-branch records.
 */
const PLATFORM_ID: u32 = 0x17, TIME_STAMP: u32 = 0x10, APICBASE: u32 = 0x1b, FEATURE_CONTROL: u32 = 0x3a, TSC_ADJUST: u32 = 0x3b;
const BIOS_UPDATE: u32 = 0x79, BIOS_SIGN_ID: u32 = 0x8b, PLATFORM_INFO: u32 = 0xce, MTRRCAP: u32 = 0xfe, ARCH_CAPABILITIES: u32 = 0x10a;
const PERF_STATUS: u32 = 0x198, PERF_CTL: u32 = 0x199, DEBUG_CONTROL: u32 = 0x1d9, MTRR_FIRST: u32 = 0x200, MTRR_DEFAULT: u32 = 0x2ff, DEADLINE: u32 = 0x6e0;

/**
 * IA32_ARCH_CAPABILITIES: an in-order interpreter has none of the speculation flaws. RDCL, L1D flush at VM entry, SSB, MDS,
 * page-size machine check, TAA, SBDR/SSDP, FBSDP, PSDP, BHI, PBRSB, GDS and RFDS "no" (SDM 4 table 2-2).
 */
const IMMUNE: u64 = 0x1 | 0x8 | 0x10 | 0x20 | 0x40 | 0x100 | 0x2000 | 0x4000 | 0x8000 | 0x100000 | 0x1000000 | 0x4000000 | 0x8000000;

// Places within the MTRR area: default type, fixed ranges, base and mask of eight variable ranges.
const FIXED: usize = MTRR + 8, VARIABLE: usize = MTRR + 96;

/** Place of a plain register: one that reads and writes as a 64-bit word in the state. 0: not one of these. */
function wordOf(index: u32): usize {
  switch (index) {
    case 0xc0000081: return STAR;
    case 0xc0000082: return LSTAR;
    case 0xc0000083: return CSTAR;
    case 0xc0000084: return FMASK;
    case 0xc0000100: return FS + SEG_BASE;
    case 0xc0000101: return GS + SEG_BASE;
    case 0xc0000102: return KERNEL_GS_BASE;
    case 0xc0000103: return TSC_AUX;
    case 0x174: return SYSENTER_CS;
    case 0x175: return SYSENTER_ESP;
    case 0x176: return SYSENTER_EIP;
    case 0x277: return PAT;
    case 0x1a0: return MISC_ENABLE;
    case DEBUG_CONTROL: return DEBUGCTL;
    case MTRR_DEFAULT: return MTRR;
    default: return mtrrWord(index);
  }
}
function mtrrWord(index: u32): usize {
  if (index >= MTRR_FIRST && index < MTRR_FIRST + 16) return VARIABLE + (<usize>(index - MTRR_FIRST) << 3);
  if (index == 0x250) return FIXED;
  if (index == 0x258 || index == 0x259) return FIXED + 8 + (<usize>(index - 0x258) << 3);
  if (index >= 0x268 && index <= 0x26f) return FIXED + 24 + (<usize>(index - 0x268) << 3);
  return 0;
}

const X2APIC: u32 = 0x800;
// @ts-ignore: decorator
@inline function isX2apicRegister(index: u32): bool { return index - X2APIC < 0x40; }

/** Whether the processor has the feature that the register belongs to. */
function exists(index: u32): bool {
  switch (index) {
    case 0: case 1: return true;
    case TIME_STAMP: return has(HAS_TSC);
    case TSC_ADJUST: return has(HAS_TSCADJUST);
    case DEADLINE: return has(HAS_TSCDEADLINE);
    case ARCH_CAPABILITIES: return has(HAS_ARCHCAPABILITIES);
    case 0x174: case 0x175: case 0x176: return has(HAS_SEP);
    case 0xc0000080: return load<u32>(MODEL_EFER) != 0;
    case 0xc0000081: return has(HAS_SYSCALL);
    case 0xc0000082: case 0xc0000083: case 0xc0000084: case 0xc0000100: case 0xc0000101: case 0xc0000102: return has(HAS_LM);
    case 0xc0000103: return has(HAS_RDTSCP);
    // Behind the Pentium III: power, and what firmware switches on and off for good.
    case FEATURE_CONTROL: case PERF_STATUS: case PERF_CTL: case 0x1a0: return has(HAS_SSE2);
    // Counting SMIs, the bus's ratio and prefetching came with the processors that have x2APIC.
    case 0x34: case PLATFORM_INFO: case 0x1a4: return has(HAS_X2APIC);
    // The rest came with the processors that have memory types: IA32_APIC_BASE too, though the Pentium has an APIC.
    default: return isX2apicRegister(index) ? isX2apic() : has(HAS_MTRR);
  }
}

export function rdmsr(u: usize): void {
  const index = load<u32>(RCX), word = wordOf(index);
  if (!exists(index)) { raise(GP, 0); return; }
  let value: u64 = 0;
  if (word) value = load<u64>(word);
  else if (isX2apicRegister(index)) {
    syncRetired(load<u8>(u, 3));
    if (!readX2apic(index - X2APIC)) { raise(GP, 0); return; }
    value = x2apicValue;
  }
  else switch (index) {
    case TIME_STAMP: value = now(); break;
    case TSC_ADJUST: value = load<u64>(TSC_OFFSET); break;
    case APICBASE: value = load<u64>(APIC_BASE); break;
    case 0xc0000080: value = load<u64>(EFER); break;
    case DEADLINE: value = load<u64>(TSC_DEADLINE) > now() ? load<u64>(TSC_DEADLINE) : 0; break;
    // Feature control is locked with nothing enabled; the microcode has a revision; 1 GHz is ten times the 100 MHz bus.
    case FEATURE_CONTROL: value = 1; break;
    case BIOS_SIGN_ID: value = 0x100 << 32; break;
    case PLATFORM_INFO: value = 0x0a00; break;
    case PERF_STATUS: case PERF_CTL: value = 0x0a00; break;
    case MTRRCAP: value = 0x508; break;
    case ARCH_CAPABILITIES: value = IMMUNE; break;
    // Machine check: the architecture without a bank. The rest exist and read as 0.
    case 0x179: case 0x17a: case 0: case 1: case PLATFORM_ID: case 0x2a: case 0x34: case 0x119: case 0x1a4: break;
    default: raise(GP, 0); return;
  }
  store<u64>(RAX, value & 0xffffffff);
  store<u64>(RDX, value >> 32);
}

export function wrmsr(u: usize): void {
  const index = load<u32>(RCX), value = (load<u64>(RDX) << 32) | <u64>load<u32>(RAX), word = wordOf(index);
  if (!exists(index)) { raise(GP, 0); return; }
  if (word) {
    if (!acceptable(index, value)) { raise(GP, 0); return; }
    store<u64>(word, value);
    return;
  }
  if (isX2apicRegister(index)) {
    if (!writeX2apic(index - X2APIC, value)) raise(GP, 0);
    return;
  }
  switch (index) {
    case TIME_STAMP: moveTime(value - <u64>tsc()); break;
    case TSC_ADJUST: moveTime(value); break;
    case DEADLINE: setDeadline(value); break;
    case APICBASE: setApicBase(value); break;
    case 0xc0000080: setEfer(value); break;
    case 0: case 1: case 0x17a: case BIOS_UPDATE: case BIOS_SIGN_ID: case PERF_CTL: case 0x1a4: case 0x119: break;
    default: raise(GP, 0);
  }
}

/** Checks of the plain registers (SDM 4 chapter 2): canonical addresses, memory types, reserved bits. */
function acceptable(index: u32, value: u64): bool {
  switch (index) {
    case 0xc0000082: case 0xc0000083: case 0xc0000100: case 0xc0000101: case 0xc0000102: case 0x175: case 0x176: return canonical(value);
    case 0xc0000103: case 0xc0000084: return !(value >> 32);
    case 0x277: return typesValid(value, true);
    // LBR, whose records are not kept, and BTF.
    case DEBUG_CONTROL: return !(value & ~3);
    case MTRR_DEFAULT: return !(value & ~0xcff) && typesValid(value & 0xff, false);
    default:
      if (index >= MTRR_FIRST && index < MTRR_FIRST + 16) return index & 1 ? !(value & (beyondPhysical() | 0x7ff)) : !(value & (beyondPhysical() | 0xf00)) && typesValid(value & 0xff, false);
      return index < 0x250 || index > 0x26f || typesValid(value, false);
  }
}
/** Eight memory types: 0, 1, 4, 5, 6 and, in the PAT, 7. */
function typesValid(types: u64, pat: bool): bool {
  for (let i: u64 = 0; i < 64; i += 8) {
    const type = <u32>(types >> i) & 0xff;
    if (type > 7 || type == 2 || type == 3 || (type == 7 && !pat)) return false;
  }
  return true;
}

/** The counter jumps; an armed deadline stays where it is on the guest's scale. */
function moveTime(offset: u64): void {
  store<u64>(TSC_OFFSET, offset);
  if (load<u64>(TSC_DEADLINE)) setDeadline(load<u64>(TSC_DEADLINE));
}
function setDeadline(value: u64): void {
  store<u64>(TSC_DEADLINE, value);
  if (!value) { writeTscDeadline(0); return; }
  // A deadline that has passed on the board's clock is due at once: tick 1 is in the past.
  const ticks = <i64>(value - load<u64>(TSC_OFFSET));
  writeTscDeadline(ticks <= 0 ? 1 : <f64>ticks);
}

function setApicBase(value: u64): void {
  const reserved: u64 = has(HAS_X2APIC) ? 0x2ff : 0x6ff;
  if ((value & (beyondPhysical() | reserved)) || !mayBecome(load<u64>(APIC_BASE), value)) { raise(GP, 0); return; }
  store<u64>(APIC_BASE, value);
  writeApicBase(<u32>value);
}

function setEfer(value: u64): void {
  const old = load<u64>(EFER);
  if (value & ~<u64>load<u32>(MODEL_EFER)) { raise(GP, 0); return; }
  if (((value ^ old) & EFER_LME) && (load<u64>(CR0) & CR0_PG)) { raise(GP, 0); return; }
  store<u64>(EFER, (value & ~EFER_LMA) | (old & EFER_LMA));
  if ((value ^ old) & EFER_NXE) flushTlb(false);
  updateMode();
}
