import { HAS_LM } from "../../../build/generated/cpu/features";
import { invalidateCode } from "./blocks";
import { blockNmi, nmiBlocked, shutDown } from "./exceptions";
import { raise, UD } from "./fault";
import { getRflags, setRflags } from "./flags";
import {
  CR0, CR3, CR4, CS, DR, EFER, GDTR, GPR, HALTED, IDTR, IN_SMM, MODEL_CR4, RAM_BASE, RAM_SIZE, RAX, RIP, SEG_ATTRIBUTES, SEG_BASE, SEG_LIMIT, SEG_SELECTOR,
  SEGMENTS, SMBASE, SMI, SS,
} from "./layout";
import { flushTlb } from "./mmu";
import {
  clearInterruptShadow, CR0_CD, CR0_EM, CR0_NW, CR0_PE, CR0_PG, CR0_TS, FLAG_VM, setCpl, updateMode,
} from "./mode";
import { has } from "./model";
import { disarmMonitor } from "./system";

/**
 * System-management mode (SDM 3C, "System Management Mode"), as firmware needs it: entry by SMI, RSM, relocation of SMBASE, the
 * automatic halt restart. The state-save area of processors without long mode is that chapter's, revision 20000h; of the others
 * it is the one that firmware for PC emulators reads, AMD64's of revision 20064h (AMD APM 2, table 10-1). Not modelled: the
 * restart of I/O instructions, SMRR, a second SMI that waits behind the first one.
 */
const AREA: u32 = 0x8000, FIRST: usize = 0x7e00, BYTES: u32 = 0x200;
/** Offsets in the area that both layouts have. */
const REVISION: usize = 0x7efc;
const REVISION_32: u32 = 0x20000, REVISION_64: u32 = 0x20064;
const DR6: usize = DR + 48, DR7: usize = DR + 56;
const ALL_FLAGS: u64 = 0x3fffff;

/** Whether an NMI was being handled when the SMI came. */
let nmiBefore: bool = false;

/** Host address of the state-save area's first byte, as if the 32 KiB before it were there; 0: it is not in RAM. */
function area(): usize {
  const at = load<u32>(SMBASE) + AREA;
  return <u64>at + AREA <= <u64>load<u32>(RAM_SIZE) ? RAM_BASE + <usize>at : 0;
}

/** Between two instructions: the state goes to SMRAM, and the handler begins at SMBASE + 8000h in something like real mode. */
export function enterManagement(): void {
  store<u32>(SMI, 0);
  const save = area();
  if (!save) { shutDown(); return; }
  memory.fill(save + FIRST, 0, BYTES);
  if (has(HAS_LM)) saveWide(save); else saveNarrow(save);
  invalidateCode(<u32>(save - RAM_BASE + FIRST), BYTES);
  nmiBefore = nmiBlocked;
  blockNmi(true);
  store<u32>(HALTED, 0);
  store<u32>(IN_SMM, 1);
  disarmMonitor();
  clearInterruptShadow();
  setRflags(2, ALL_FLAGS);
  store<u64>(CR0, load<u64>(CR0) & ~(CR0_PE | CR0_EM | CR0_TS | CR0_PG));
  store<u64>(CR4, 0);
  store<u64>(EFER, 0);
  store<u64>(DR7, 0x400);
  const base = load<u32>(SMBASE);
  for (let i: usize = 0; i < 6; i++) flatSegment(SEGMENTS + (i << 5), 0, 0, 0x893);
  flatSegment(CS, (base >> 4) & 0xffff, base, 0x89b);
  store<u64>(RIP, 0x8000);
  settle(0);
}
function flatSegment(segment: usize, selector: u32, base: u32, rights: u16): void {
  store<u16>(segment, <u16>selector, SEG_SELECTOR);
  store<u16>(segment, rights, SEG_ATTRIBUTES);
  store<u32>(segment, 0xffffffff, SEG_LIMIT);
  store<u64>(segment, base, SEG_BASE);
}
function settle(cpl: u32): void {
  setCpl(cpl);
  flushTlb(false);
  updateMode();
}

/** RSM (SDM 2B). */
export function rsm(u: usize): void {
  const save = load<u32>(IN_SMM) ? area() : 0;
  if (!save) { raise(UD, 0); return; }
  const wide = load<u32>(save, REVISION) == REVISION_64;
  const cr0 = wide ? load<u64>(save, 0x7f58) : <u64>load<u32>(save, 0x7ffc), cr4 = wide ? load<u64>(save, 0x7f48) : <u64>load<u32>(save, 0x7e90);
  const impossible = (cr0 >> 32) != 0 || ((cr0 & CR0_PG) != 0 && !(cr0 & CR0_PE)) || ((cr0 & CR0_NW) != 0 && !(cr0 & CR0_CD)) || (cr4 & ~<u64>load<u32>(MODEL_CR4)) != 0;
  if (impossible) { shutDown(); return; }
  store<u64>(CR0, cr0);
  store<u64>(CR4, cr4);
  if (wide) restoreWide(save); else restoreNarrow(save);
  store<u32>(IN_SMM, 0);
  blockNmi(nmiBefore);
  settle(!(cr0 & CR0_PE) ? 0 : getRflags() & FLAG_VM ? 3 : <u32>load<u16>(SS, SEG_ATTRIBUTES) >> 5 & 3);
}

// ------------------------------------------------------------------------------------------------ AMD64's layout

function saveWide(save: usize): void {
  for (let i: usize = 0; i < 16; i++) store<u64>(save + 0x7ff8 - (i << 3), load<u64>(GPR + (i << 3)));
  for (let i: usize = 0; i < 6; i++) saveSegment(save + 0x7e00 + (i << 4), SEGMENTS + (i << 5));
  saveSegment(save + 0x7e70, SEGMENTS + 0xc0);
  saveSegment(save + 0x7e90, SEGMENTS + 0xe0);
  store<u32>(save, <u32>load<u16>(GDTR, 8), 0x7e64); store<u64>(save, load<u64>(GDTR), 0x7e68);
  store<u32>(save, <u32>load<u16>(IDTR, 8), 0x7e84); store<u64>(save, load<u64>(IDTR), 0x7e88);
  store<u8>(save, load<u32>(HALTED) != 0 ? 1 : 0, 0x7ec9);
  store<u64>(save, load<u64>(EFER), 0x7ed0);
  store<u32>(save, REVISION_64, REVISION);
  store<u32>(save, load<u32>(SMBASE), 0x7f00);
  store<u64>(save, load<u64>(CR4), 0x7f48);
  store<u64>(save, load<u64>(CR3), 0x7f50);
  store<u64>(save, load<u64>(CR0), 0x7f58);
  store<u64>(save, load<u64>(DR7), 0x7f60);
  store<u64>(save, load<u64>(DR6), 0x7f68);
  store<u64>(save, getRflags(), 0x7f70);
  store<u64>(save, load<u64>(RIP), 0x7f78);
}
/** Attributes hold AVL L D G in bits 12-15 there. */
function saveSegment(to: usize, segment: usize): void {
  const rights = <u32>load<u16>(segment, SEG_ATTRIBUTES);
  store<u16>(to, load<u16>(segment, SEG_SELECTOR));
  store<u16>(to, <u16>((rights & 0xff) | ((rights & 0xf00) << 4)), 2);
  store<u32>(to, load<u32>(segment, SEG_LIMIT), 4);
  store<u64>(to, load<u64>(segment, SEG_BASE), 8);
}

function restoreWide(save: usize): void {
  for (let i: usize = 0; i < 16; i++) store<u64>(GPR + (i << 3), load<u64>(save + 0x7ff8 - (i << 3)));
  for (let i: usize = 0; i < 6; i++) restoreSegment(save + 0x7e00 + (i << 4), SEGMENTS + (i << 5));
  restoreSegment(save + 0x7e70, SEGMENTS + 0xc0);
  restoreSegment(save + 0x7e90, SEGMENTS + 0xe0);
  store<u16>(GDTR, load<u16>(save, 0x7e64), 8); store<u64>(GDTR, load<u64>(save, 0x7e68));
  store<u16>(IDTR, load<u16>(save, 0x7e84), 8); store<u64>(IDTR, load<u64>(save, 0x7e88));
  store<u64>(EFER, load<u64>(save, 0x7ed0));
  store<u32>(SMBASE, load<u32>(save, 0x7f00));
  store<u64>(CR3, load<u64>(save, 0x7f50));
  store<u64>(DR7, load<u64>(save, 0x7f60) & 0xffffffff);
  store<u64>(DR6, load<u64>(save, 0x7f68) & 0xffffffff);
  setRflags(load<u64>(save, 0x7f70) & ALL_FLAGS, ALL_FLAGS);
  store<u64>(RIP, load<u64>(save, 0x7f78));
  store<u32>(HALTED, load<u8>(save, 0x7ec9) & 1);
}
function restoreSegment(from: usize, segment: usize): void {
  const rights = <u32>load<u16>(from, 2);
  store<u16>(segment, load<u16>(from), SEG_SELECTOR);
  store<u16>(segment, <u16>((rights & 0xff) | ((rights >> 4) & 0xf00)), SEG_ATTRIBUTES);
  store<u32>(segment, load<u32>(from, 4), SEG_LIMIT);
  store<u64>(segment, load<u64>(from, 8), SEG_BASE);
}

// ------------------------------------------------------------------------------------------------ the 32-bit layout

/** EAX to EDI lie downwards from 7FD0h; the selectors ES CS SS DS FS GS LDTR TR upwards from 7FA8h; what is hidden, where the manual reserves. */
function saveNarrow(save: usize): void {
  store<u32>(save, <u32>load<u64>(CR0), 0x7ffc);
  store<u32>(save, <u32>load<u64>(CR3), 0x7ff8);
  store<u32>(save, <u32>getRflags(), 0x7ff4);
  store<u32>(save, load<u32>(RIP), 0x7ff0);
  for (let i: usize = 0; i < 8; i++) store<u32>(save + 0x7fd0 + (i << 2), load<u32>(RAX + (i << 3)));
  store<u32>(save, load<u32>(DR6), 0x7fcc);
  store<u32>(save, load<u32>(DR7), 0x7fc8);
  for (let i: usize = 0; i < 8; i++) {
    const segment = SEGMENTS + (i << 5), hidden = save + 0x7e00 + (i << 4);
    store<u32>(save + selectorAt(i), <u32>load<u16>(segment, SEG_SELECTOR));
    store<u32>(hidden, <u32>load<u16>(segment, SEG_ATTRIBUTES));
    store<u32>(hidden, load<u32>(segment, SEG_LIMIT), 4);
    store<u32>(hidden, load<u32>(segment, SEG_BASE), 8);
  }
  store<u32>(save, load<u32>(GDTR), 0x7e80); store<u32>(save, <u32>load<u16>(GDTR, 8), 0x7e84);
  store<u32>(save, load<u32>(IDTR), 0x7e88); store<u32>(save, <u32>load<u16>(IDTR, 8), 0x7e8c);
  store<u32>(save, load<u32>(CR4), 0x7e90);
  store<u16>(save, load<u32>(HALTED) != 0 ? 1 : 0, 0x7f02);
  store<u32>(save, REVISION_32, REVISION);
  store<u32>(save, load<u32>(SMBASE), 0x7ef8);
}
/** LDTR is at 7FC0h and TR at 7FC4h. */
// @ts-ignore: decorator
@inline function selectorAt(i: usize): usize { return 0x7fa8 + (i << 2); }

function restoreNarrow(save: usize): void {
  store<u64>(CR3, load<u32>(save, 0x7ff8));
  setRflags(<u64>load<u32>(save, 0x7ff4) & ALL_FLAGS, ALL_FLAGS);
  store<u64>(RIP, load<u32>(save, 0x7ff0));
  for (let i: usize = 0; i < 8; i++) store<u64>(RAX + (i << 3), load<u32>(save + 0x7fd0 + (i << 2)));
  store<u64>(DR6, load<u32>(save, 0x7fcc));
  store<u64>(DR7, load<u32>(save, 0x7fc8));
  for (let i: usize = 0; i < 8; i++) {
    const segment = SEGMENTS + (i << 5), hidden = save + 0x7e00 + (i << 4);
    store<u16>(segment, load<u16>(save + selectorAt(i)), SEG_SELECTOR);
    store<u16>(segment, load<u16>(hidden), SEG_ATTRIBUTES);
    store<u32>(segment, load<u32>(hidden, 4), SEG_LIMIT);
    store<u64>(segment, load<u32>(hidden, 8), SEG_BASE);
  }
  store<u64>(GDTR, load<u32>(save, 0x7e80)); store<u16>(GDTR, load<u16>(save, 0x7e84), 8);
  store<u64>(IDTR, load<u32>(save, 0x7e88)); store<u16>(IDTR, load<u16>(save, 0x7e8c), 8);
  store<u32>(SMBASE, load<u32>(save, 0x7ef8));
  store<u32>(HALTED, <u32>load<u16>(save, 0x7f02) & 1);
}
