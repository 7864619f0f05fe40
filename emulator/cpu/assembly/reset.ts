import { HAS_MONITOR } from "../../../build/generated/cpu/features";
import { forgetTaskTrap } from "./debug";
import { clearFault } from "./fault";
import { setArithmetic } from "./flags";
import { clearTripleFault, endNmi } from "./exceptions";
import {
  A20, APIC_BASE, CR0, CS, DR, FCW, FTW, GDTR, IDTR, LDTR, MISC_ENABLE, MODEL_CR0, MODEL_SIGNATURE, MTRR, MXCSR, PAT, RAM_SIZE, RDX, RFLAGS,
  RIP, SEG_ATTRIBUTES, SEG_BASE, SEG_LIMIT, SEG_SELECTOR, SEGMENTS, SMBASE, STATE, TR, XCR0,
} from "./layout";
import { has } from "./model";
import { flushTlb } from "./mmu";
import { CR0_CD, CR0_ET, CR0_NW, clearInterruptShadow, setCpl, updateMode } from "./mode";

/** The processor's state after power-on (SDM 3A table 10-1); RAM is not touched. The caches of blocks are the caller's. */
export function resetState(ramBytes: u32): void {
  memory.fill(STATE, 0, 0x700);
  store<u32>(RAM_SIZE, ramBytes);
  store<u32>(A20, 1);
  store<u32>(SMBASE, 0x30000);
  store<u64>(RDX, load<u32>(MODEL_SIGNATURE));
  store<u64>(RIP, 0xfff0);
  store<u64>(RFLAGS, 2);
  setArithmetic(0);
  for (let i: usize = 0; i < 6; i++) resetSegment(SEGMENTS + (i << 5), 0x93);
  store<u16>(CS, 0xf000, SEG_SELECTOR);
  store<u64>(CS, 0xffff0000, SEG_BASE);
  store<u16>(CS, 0x9b, SEG_ATTRIBUTES);
  resetSegment(LDTR, 0x82);
  resetSegment(TR, 0x8b);
  store<u16>(GDTR, 0xffff, 8);
  store<u16>(IDTR, 0xffff, 8);
  store<u64>(CR0, (CR0_CD | CR0_NW | CR0_ET) & <u64>load<u32>(MODEL_CR0));
  store<u64>(XCR0, 1);
  store<u64>(DR, 0xffff0ff0, 48);
  store<u64>(DR, 0x400, 56);
  store<u16>(FCW, 0x40);
  store<u8>(FTW, 0xff);
  store<u32>(MXCSR, 0x1f80);
  store<u64>(PAT, 0x0007040600070406);
  // Fast strings; MONITOR.
  store<u64>(MISC_ENABLE, has(HAS_MONITOR) ? 0x40001 : 1);
  // Local APIC enabled at its usual place; this is the bootstrap processor.
  store<u64>(APIC_BASE, 0xfee00900);
  clearFault();
  clearTripleFault();
  forgetTaskTrap();
  clearInterruptShadow();
  endNmi();
  setCpl(0);
  flushTlb(false);
  updateMode();
}

function resetSegment(segment: usize, rights: u16): void {
  store<u16>(segment, rights, SEG_ATTRIBUTES);
  store<u32>(segment, 0xffff, SEG_LIMIT);
}
