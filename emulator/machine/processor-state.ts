import type { Cpu } from "../cpu/core.ts";
import type { BootState } from "./linux-boot.ts";

/**
 * The processor as the Linux boot protocol wants it at its entries, written into the core's state. The places are those
 * of cpu/assembly/layout.ts, which AssemblyScript alone can import.
 */
const STATE = 0x1000;
const RSP = STATE + 0x20;
const RSI = STATE + 0x30;
const RIP = STATE + 0x98;
const SEGMENTS = STATE + 0x100;
const GDTR = STATE + 0x200;
const CR0 = STATE + 0x220;
const CR3 = STATE + 0x230;
const CR4 = STATE + 0x238;
const EFER = STATE + 0x290;
const MTRR_DEFAULT_TYPE = STATE + 0x300;

const CR0_PE_ET = 0x11n;
const CR0_PE_ET_NE_WP_PG = 0x8001_0031n;
const CR4_PAE = 0x20n;
const EFER_LME_LMA = 0x500n;
/** MTRRs on, write-back everywhere: what firmware leaves, without which Linux turns the PAT off too. */
const MTRR_WRITE_BACK = 0x806n;
/** Accessed, present, code, 64-bit, 4 KiB granules; and the same for writable data of 32 bits. */
const CODE_64 = 0xa9b;
const CODE_32 = 0xc9b;
const DATA_32 = 0xc93;
/** Of 64 bits in long mode, else of 32. */
const TSS_BUSY = 0x08b;
const CODE_SELECTOR = 0x10;
const DATA_SELECTOR = 0x18;
/** A stack for a guest that pushes before it sets its own; Linux does not. */
const STACK = 0xf000;

export function enterKernel(cpu: Cpu, boot: BootState): void {
  const { view } = cpu;
  const set = (at: number, value: bigint): void => view.setBigUint64(at, value, true);
  const segment = (index: number, selector: number, attributes: number, limit: number): void => {
    const at = SEGMENTS + 32 * index;
    view.setUint16(at, selector, true);
    view.setUint16(at + 2, attributes, true);
    view.setUint32(at + 4, limit, true);
    set(at + 8, 0n);
  };
  // ES CS SS DS FS GS LDTR TR.
  for (const index of [0, 2, 3, 4, 5]) segment(index, DATA_SELECTOR, DATA_32, 0xffff_ffff);
  segment(1, CODE_SELECTOR, boot.bits === 64 ? CODE_64 : CODE_32, 0xffff_ffff);
  segment(7, 0, TSS_BUSY, 0x67);
  set(GDTR, BigInt(boot.gdt.address));
  view.setUint16(GDTR + 8, boot.gdt.limit, true);
  if (boot.bits === 64) {
    set(CR3, BigInt(boot.pageTables));
    set(CR4, CR4_PAE);
    set(EFER, EFER_LME_LMA);
  }
  set(CR0, boot.bits === 64 ? CR0_PE_ET_NE_WP_PG : CR0_PE_ET);
  set(MTRR_DEFAULT_TYPE, MTRR_WRITE_BACK);
  // The 32-bit entry wants EBX, EBP and EDI to be zero: so they are after the reset.
  set(RSP, BigInt(STACK));
  set(RSI, BigInt(boot.bootParameters));
  set(RIP, BigInt(boot.entry));
  cpu.rflags = 2n;
  cpu.reload();
}
