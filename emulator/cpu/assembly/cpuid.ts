import { HAS_CLFSH, HAS_HYPERVISOR, HAS_MONITOR } from "../../../build/generated/cpu/features";
import {
  APIC_BASE, CR4, MODEL_BRAND, MODEL_EXTENDED_LEAVES, MODEL_FEATURE_WORDS, MODEL_LEAVES, MODEL_SIGNATURE, RAX, RBX, RCX, RDX, XCR0,
} from "./layout";
import { CR4_OSXSAVE } from "./mode";
import { has } from "./model";
import { AVX_BYTES, AVX_OFFSET, AVX_STATE, supportedState, xsaveBytes } from "./simd-state";

/**
 * CPUID (SDM 2A): what the model says (../models.ts), and what it does not: caches, time, extended state. The vendor is
 * Intel's because its definitions of the instructions are followed.
 */
/** Places in MODEL_FEATURE_WORDS: ../features.ts `featureWords`. */
const WORD_1C: usize = 0, WORD_1D: usize = 1, WORD_7B: usize = 2, WORD_7C: usize = 3, WORD_7D: usize = 4, WORD_XC: usize = 5, WORD_XD: usize = 6, WORD_DA: usize = 7;

function word(place: usize): u32 { return load<u32>(MODEL_FEATURE_WORDS + (place << 2)); }
function answer(a: u32, b: u32, c: u32, d: u32): void {
  store<u64>(RAX, a); store<u64>(RBX, b); store<u64>(RCX, c); store<u64>(RDX, d);
}

export function cpuid(u: usize): void {
  let leaf = load<u32>(RAX);
  const subleaf = load<u32>(RCX);
  if (has(HAS_HYPERVISOR) && leaf >= 0x40000000 && leaf < 0x40000100) { hypervisor(leaf); return; }
  // Above the last leaf, the data of the last basic one (SDM 2A).
  const most = load<u32>(MODEL_LEAVES);
  if (leaf & 0x80000000 ? leaf > load<u32>(MODEL_EXTENDED_LEAVES) : leaf > most) leaf = most;
  if (leaf & 0x80000000) extended(leaf); else basic(leaf, subleaf);
}

function basic(leaf: u32, subleaf: u32): void {
  switch (leaf) {
    case 0: answer(load<u32>(MODEL_LEAVES), 0x756e6547, 0x6c65746e, 0x49656e69); break;
    case 1: {
      const osxsave = load<u64>(CR4) & CR4_OSXSAVE ? <u32>1 << 27 : 0, apic = load<u64>(APIC_BASE) & 0x800 ? word(WORD_1D) : word(WORD_1D) & ~(1 << 9);
      answer(load<u32>(MODEL_SIGNATURE), has(HAS_CLFSH) ? 0x00010800 : 0, word(WORD_1C) | osxsave, apic);
      break;
    }
    // Caches are told by leaf 4; a Pentium III, which has none, tells 16 + 16 KiB and 256 KiB of 32-byte lines, and its TLBs, here.
    // Where the descriptor FFh sends programs to a leaf that is not there they ask for ever.
    case 2: if (load<u32>(MODEL_LEAVES) >= 4) answer(0x00ffff01, 0, 0, 0); else answer(0x03020101, 0, 0, 0x0c040882); break;
    case 4: cache(subleaf); break;
    // MONITOR watches 64 bytes; MWAIT has the extension of ECX bit 0, and one C1.
    case 5: if (has(HAS_MONITOR)) answer(64, 64, 3, 0x10); else answer(0, 0, 0, 0); break;
    case 7: if (subleaf) answer(0, 0, 0, 0); else answer(0, word(WORD_7B), word(WORD_7C), word(WORD_7D)); break;
    // One thread of one core.
    case 0xb: answer(0, subleaf < 2 ? 1 : 0, subleaf | (subleaf < 2 ? (subleaf + 1) << 8 : 0), 0); break;
    case 0xd: xstate(subleaf); break;
    // The TSC runs at 40 times a 25 MHz crystal: one tick is one nanosecond.
    case 0x15: answer(1, 40, 25000000, 0); break;
    case 0x16: answer(1000, 1000, 100, 0); break;
    default: answer(0, 0, 0, 0);
  }
}

/** Extended state: sizes for what XCR0 enables and for all there is; then each component above the first two. */
function xstate(subleaf: u32): void {
  if (subleaf == 0) answer(<u32>supportedState(), xsaveBytes(load<u64>(XCR0)), xsaveBytes(supportedState()), 0);
  else if (subleaf == 1) answer(word(WORD_DA), xsaveBytes(load<u64>(XCR0)), 0, 0);
  else if (subleaf == 2 && (supportedState() & AVX_STATE)) answer(<u32>AVX_BYTES, <u32>AVX_OFFSET, 0, 0);
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
    case 0x80000000: answer(load<u32>(MODEL_EXTENDED_LEAVES), 0, 0, 0); break;
    case 0x80000001: answer(0, 0, word(WORD_XC), word(WORD_XD)); break;
    case 0x80000002: case 0x80000003: case 0x80000004: {
      const at = MODEL_BRAND + (<usize>(leaf - 0x80000002) << 4);
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
