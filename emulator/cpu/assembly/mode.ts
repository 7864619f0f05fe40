import {
  CPL, CR0, CR4, CS, DR, DS, EFER, ES, MODE, RFLAGS, SEG_ATTRIBUTES, SEG_BASE, SEG_LIMIT, SS,
} from "./layout";
import { selectBank } from "./memory";
import { closeSmapWindow } from "./mmu";

/**
 * The mode word: what the decoder must know about the machine's state besides the bytes. It is part of every block's key
 * (SDM 3A §2.2, §5.2). Everything that changes CS, SS, CPL, CR0, EFER, RFLAGS.VM, RFLAGS.TF or RFLAGS.AC calls `updateMode`.
 */
/** CS.L in long mode. */
export const MODE_64: u32 = 1;
/** CS.D: 32-bit operands and addresses by default. */
export const MODE_32: u32 = 2;
/** SS.B: pushes use ESP (else SP). Not meaningful in 64-bit mode. */
export const MODE_STACK32: u32 = 4;
/** CPL 3, virtual-8086 mode included. */
export const MODE_USER: u32 = 8;
/** Real or virtual-8086 mode: segment loads are selector << 4, some instructions are undefined. */
export const MODE_REAL: u32 = 16;
export const MODE_PAGING: u32 = 32;
/** ES, CS, SS and DS have base 0, limit 4 GiB and every right, so that an offset is a linear address. Always set in 64-bit mode. */
export const MODE_FLAT: u32 = 64;
/** RFLAGS.TF is set or a breakpoint is armed: the run loop takes one instruction at a time (debug.ts). */
export const MODE_TRACE: u32 = 128;

export const CR0_PE: u64 = 1, CR0_MP: u64 = 2, CR0_EM: u64 = 4, CR0_TS: u64 = 8, CR0_ET: u64 = 16, CR0_NE: u64 = 32;
export const CR0_WP: u64 = 0x10000, CR0_AM: u64 = 0x40000, CR0_NW: u64 = 0x20000000, CR0_CD: u64 = 0x40000000, CR0_PG: u64 = 0x80000000;
export const CR4_VME: u64 = 1, CR4_PVI: u64 = 2, CR4_TSD: u64 = 4, CR4_DE: u64 = 8, CR4_PSE: u64 = 0x10, CR4_PAE: u64 = 0x20, CR4_MCE: u64 = 0x40, CR4_PGE: u64 = 0x80;
export const CR4_PCE: u64 = 0x100, CR4_OSFXSR: u64 = 0x200, CR4_OSXMMEXCPT: u64 = 0x400, CR4_UMIP: u64 = 0x800, CR4_FSGSBASE: u64 = 0x10000;
export const CR4_PCIDE: u64 = 0x20000, CR4_OSXSAVE: u64 = 0x40000, CR4_SMEP: u64 = 0x100000, CR4_SMAP: u64 = 0x200000;
export const EFER_SCE: u64 = 1, EFER_LME: u64 = 0x100, EFER_LMA: u64 = 0x400, EFER_NXE: u64 = 0x800;

export const FLAG_CF: u64 = 1, FLAG_PF: u64 = 4, FLAG_AF: u64 = 0x10, FLAG_ZF: u64 = 0x40, FLAG_SF: u64 = 0x80, FLAG_TF: u64 = 0x100, FLAG_IF: u64 = 0x200;
export const FLAG_DF: u64 = 0x400, FLAG_OF: u64 = 0x800, FLAG_IOPL: u64 = 0x3000, FLAG_NT: u64 = 0x4000, FLAG_RF: u64 = 0x10000, FLAG_VM: u64 = 0x20000;
export const FLAG_AC: u64 = 0x40000, FLAG_VIF: u64 = 0x80000, FLAG_VIP: u64 = 0x100000, FLAG_ID: u64 = 0x200000;

/** Attribute bits of a cached segment (layout.ts). */
export const SEG_PRESENT: u32 = 0x80, SEG_S: u32 = 0x10, SEG_CODE: u32 = 8, SEG_LONG: u32 = 0x200, SEG_BIG: u32 = 0x400;

/**
 * 1 after STI or a load of SS: no interrupt (2: and no debug trap) is taken before the next instruction has ended
 * (SDM 3A §6.8.1, §6.8.3). The run loop clears it once that instruction is done.
 */
export let interruptShadow: u32 = 0;
export function setInterruptShadow(kind: u32): void { interruptShadow = kind; }
export function clearInterruptShadow(): void { interruptShadow = 0; }

// @ts-ignore: decorator
@inline export function protectedMode(): bool { return (load<u64>(CR0) & CR0_PE) != 0; }
// @ts-ignore: decorator
@inline export function longMode(): bool { return (load<u64>(EFER) & EFER_LMA) != 0; }
// @ts-ignore: decorator
@inline export function virtual8086(): bool { return (load<u64>(RFLAGS) & FLAG_VM) != 0; }
// @ts-ignore: decorator
@inline export function mode64(): bool { return (load<u32>(MODE) & MODE_64) != 0; }
/** Segment registers hold selector << 4: real mode or virtual-8086 mode. */
// @ts-ignore: decorator
@inline export function realSegments(): bool { return (load<u32>(MODE) & MODE_REAL) != 0; }
// @ts-ignore: decorator
@inline export function iopl(): u32 { return <u32>(load<u64>(RFLAGS) >> 12) & 3; }
/** Whether a linear address sign-extends from bit 47 (SDM 1 §3.3.7.1). */
// @ts-ignore: decorator
@inline export function canonical(address: u64): bool { return <u64>((<i64>address << 16) >> 16) == address; }

/** The privilege level changes: accesses go through its TLB bank from now on. Callers follow with `updateMode`. */
export function setCpl(cpl: u32): void {
  store<u32>(CPL, cpl);
  closeSmapWindow();
  selectBank(cpl);
}

/**
 * Whether both VIF and VIP are set at the beginning of an instruction to which they count: it is #GP(0), so that the monitor
 * delivers the interrupt that waits (SDM 3A §2.3, §20.3.2, §20.4). IRET, SYSRET and task switches can bring that about.
 */
export function virtualInterruptDue(): bool {
  const flags = load<u64>(RFLAGS), both = FLAG_VIF | FLAG_VIP;
  if ((flags & both) != both || load<u32>(CPL) != 3 || iopl() == 3) return false;
  return (load<u64>(CR4) & (flags & FLAG_VM ? CR4_VME : CR4_PVI)) != 0;
}

/** Recomputes the mode word and selects the TLB bank. */
export function updateMode(): void {
  const cr0 = load<u64>(CR0), flags = load<u64>(RFLAGS), cpl = load<u32>(CPL), code = <u32>load<u16>(CS, SEG_ATTRIBUTES);
  let mode: u32 = cpl == 3 ? MODE_USER : 0;
  if (cr0 & CR0_PG) mode |= MODE_PAGING;
  if (!(cr0 & CR0_PE) || (flags & FLAG_VM)) mode |= MODE_REAL;
  if ((load<u64>(EFER) & EFER_LMA) && (code & SEG_LONG)) mode |= MODE_64 | MODE_FLAT;
  else {
    if (code & SEG_BIG) mode |= MODE_32;
    if (load<u16>(SS, SEG_ATTRIBUTES) & SEG_BIG) mode |= MODE_STACK32;
    if (flat(CS, 0x9a, 0x9a) && flat(SS, 0x92, 0x9e) && flat(DS, 0x92, 0x9e) && flat(ES, 0x92, 0x9e)) mode |= MODE_FLAT;
  }
  // DR7.L0 to G3.
  if ((flags & FLAG_TF) || (load<u64>(DR, 56) & 0xff) || virtualInterruptDue()) mode |= MODE_TRACE;
  store<u32>(MODE, mode);
  closeSmapWindow();
  selectBank(cpl);
}

function flat(segment: usize, rights: u32, mask: u32): bool {
  return load<u64>(segment, SEG_BASE) == 0 && load<u32>(segment, SEG_LIMIT) == 0xffffffff && (load<u16>(segment, SEG_ATTRIBUTES) & mask) == rights;
}
