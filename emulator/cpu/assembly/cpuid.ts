import { APIC_BASE, CR4, RAX, RBX, RCX, RDX } from "./layout";
import { CR4_OSXSAVE } from "./mode";
import { SIGNATURE } from "./reset";
import { XCR0_SUPPORTED, XSAVE_BYTES, XSAVE_FEATURES } from "./simd-state";

/**
 * CPUID (SDM 2A): what this core really is. The vendor is Intel's because its definitions of the instructions are followed;
 * the signature is an in-order processor of family 6 that never speculates, so that guests apply no mitigations.
 * tests/emulator/cpu/system-registers.test.ts compares the feature bits with the instruction table.
 */
const MAX_BASIC: u32 = 0x16, MAX_EXTENDED: u32 = 0x80000008;

/** Leaf 1 ECX: SSE3, PCLMULQDQ, SSSE3, CMPXCHG16B, SSE4.1, SSE4.2, MOVBE, POPCNT, TSC deadline, AES, XSAVE, RDRAND, hypervisor. */
const FEATURES_1C: u32 = 1 << 0 | 1 << 1 | 1 << 9 | 1 << 13 | 1 << 19 | 1 << 20 | 1 << 22 | 1 << 23 | 1 << 24 | 1 << 25 | 1 << 26 | 1 << 30 | 1 << 31;
/** Leaf 1 EDX: FPU DE PSE TSC MSR PAE MCE CX8 APIC SEP MTRR PGE MCA CMOV PAT PSE-36 CLFSH MMX FXSR SSE SSE2. */
const FEATURES_1D: u32 = 0x078bfbfd;
/** Leaf 7 EBX: FSGSBASE, TSC_ADJUST, BMI1, SMEP, BMI2, ERMS, INVPCID, RDSEED, ADX, SMAP, CLFLUSHOPT, SHA. */
const FEATURES_7B: u32 = 1 << 0 | 1 << 1 | 1 << 3 | 1 << 7 | 1 << 8 | 1 << 9 | 1 << 10 | 1 << 18 | 1 << 19 | 1 << 20 | 1 << 23 | 1 << 29;
/** Leaf 7 ECX: UMIP, RDPID. EDX: fast short REP MOVSB, ARCH_CAPABILITIES. */
const FEATURES_7C: u32 = 1 << 2 | 1 << 22, FEATURES_7D: u32 = 1 << 4 | 1 << 29;
/** Leaf 80000001 ECX: LAHF, LZCNT, PREFETCHW. EDX: SYSCALL, NX, 1 GiB pages, RDTSCP, long mode. */
const FEATURES_XC: u32 = 1 << 0 | 1 << 5 | 1 << 8, FEATURES_XD: u32 = 1 << 11 | 1 << 20 | 1 << 26 | 1 << 27 | 1 << 29;

const BRAND: usize = memory.data<u8>([
  0x56, 0x69, 0x72, 0x67, 0x61, 0x20, 0x76, 0x69, 0x72, 0x74, 0x75, 0x61, 0x6c, 0x20, 0x43, 0x50, 0x55, 0, 0, 0, 0, 0, 0, 0,
  0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
]);

function answer(a: u32, b: u32, c: u32, d: u32): void {
  store<u64>(RAX, a); store<u64>(RBX, b); store<u64>(RCX, c); store<u64>(RDX, d);
}

export function cpuid(u: usize): void {
  let leaf = load<u32>(RAX);
  const subleaf = load<u32>(RCX);
  if (leaf >= 0x40000000 && leaf < 0x40000100) { hypervisor(leaf); return; }
  // Above the last leaf, the data of the last basic one (SDM 2A).
  if (leaf & 0x80000000 ? leaf > MAX_EXTENDED : leaf > MAX_BASIC) leaf = MAX_BASIC;
  if (leaf & 0x80000000) extended(leaf); else basic(leaf, subleaf);
}

function basic(leaf: u32, subleaf: u32): void {
  switch (leaf) {
    case 0: answer(MAX_BASIC, 0x756e6547, 0x6c65746e, 0x49656e69); break;
    case 1: {
      const osxsave = load<u64>(CR4) & CR4_OSXSAVE ? <u32>1 << 27 : 0, apic = load<u64>(APIC_BASE) & 0x800 ? FEATURES_1D : FEATURES_1D & ~(1 << 9);
      answer(SIGNATURE, 0x00010800, FEATURES_1C | osxsave, apic);
      break;
    }
    // Caches are told by leaf 4.
    case 2: answer(0x00ffff01, 0, 0, 0); break;
    case 4: cache(subleaf); break;
    case 7: if (subleaf) answer(0, 0, 0, 0); else answer(0, FEATURES_7B, FEATURES_7C, FEATURES_7D); break;
    // One thread of one core.
    case 0xb: answer(0, subleaf < 2 ? 1 : 0, subleaf | (subleaf < 2 ? (subleaf + 1) << 8 : 0), 0); break;
    // Extended state: x87 and SSE in 576 bytes, with XSAVEOPT, XSAVEC and XGETBV of XINUSE.
    case 0xd: xstate(subleaf); break;
    // The TSC runs at 40 times a 25 MHz crystal: one tick is one nanosecond.
    case 0x15: answer(1, 40, 25000000, 0); break;
    case 0x16: answer(1000, 1000, 100, 0); break;
    default: answer(0, 0, 0, 0);
  }
}

function xstate(subleaf: u32): void {
  if (subleaf == 0) answer(<u32>XCR0_SUPPORTED, XSAVE_BYTES, XSAVE_BYTES, 0);
  else if (subleaf == 1) answer(XSAVE_FEATURES, XSAVE_BYTES, 0, 0);
  else answer(0, 0, 0, 0);
}

/** Deterministic cache parameters: 32 KiB of each first-level kind and 1 MiB behind them, 64-byte lines. */
function cache(level: u32): void {
  switch (level) {
    case 0: answer(0x121, 7 << 22 | 63, 63, 0); break;
    case 1: answer(0x122, 7 << 22 | 63, 63, 0); break;
    case 2: answer(0x143, 15 << 22 | 63, 1023, 0); break;
    default: answer(0, 0, 0, 0);
  }
}

/** The range that hypervisors use; "VirgaVirga" speaks no known interface. */
function hypervisor(leaf: u32): void {
  if (leaf == 0x40000000) answer(0x40000000, 0x67726956, 0x72695661, 0x00006167); else answer(0, 0, 0, 0);
}

function extended(leaf: u32): void {
  switch (leaf) {
    case 0x80000000: answer(MAX_EXTENDED, 0, 0, 0); break;
    case 0x80000001: answer(0, 0, FEATURES_XC, FEATURES_XD); break;
    case 0x80000002: case 0x80000003: case 0x80000004: {
      const at = BRAND + (<usize>(leaf - 0x80000002) << 4);
      answer(load<u32>(at), load<u32>(at, 4), load<u32>(at, 8), load<u32>(at, 12));
      break;
    }
    case 0x80000006: answer(0, 0, 0x04008040, 0); break;
    // The TSC is invariant.
    case 0x80000007: answer(0, 0, 0, 1 << 8); break;
    // 39 physical address bits, 48 linear ones.
    case 0x80000008: answer(0x3027, 0, 0, 0); break;
    default: answer(0, 0, 0, 0);
  }
}
