/** Memory of the long-mode ROM's streams: descriptors and gates of 8 and 16 bytes, and four levels of pages, as they are before each stream. */
import { descriptor, long, longDescriptor, longGate, quad, word } from "./machine-code.ts";
import { gateAccess, ioMap, pages, RAM } from "./system-tables.ts";

/** Where what is not in `RAM` lies: the tables of four-level paging take the place of the other kinds'. */
export const LONG = {
  pml4: RAM.directory,
  pdpt: RAM.table,
  pd: RAM.paePointers,
  pt: RAM.paeDirectory,
  istStack: RAM.record + 0x1800,
  /** Where SYSCALL, call gates and tasks go: INT 20h fills the code page there. */
  entry: RAM.code + 0x90,
  fsBase: RAM.data + 0x100,
  gsBase: RAM.data + 0x800,
  kernelGsBase: RAM.data + 0x1100,
  /** The same memory again: by a page of 2 MiB, one of 1 GiB, and the upper half's PML4 entry, which is the kernel's. */
  alias2M: 0x20_0000n,
  alias1G: 0x4000_0000n,
  aliasHigh: 0xffff_8000_0000_0000n,
  /** Pages with a reserved bit set, of 2 MiB and 1 GiB. */
  reserved2M: 0x40_0000n,
  reserved1G: 0x8000_0000n,
  canonicalEnd: 0x8000_0000_0000n,
  /** Nothing is mapped from here to the ROM. */
  end: 0x3_0000,
} as const;

export const LONG_SELECTORS = {
  code64: 0x08,
  data: 0x10,
  userCode32: 0x1b,
  userData: 0x23,
  userCode64: 0x2b,
  tss: 0x30,
  ldt: 0x40,
  code32: 0x50,
  code16: 0x58,
  userCode16: 0x63,
} as const;
/** A code segment that sets both bits, which none may. */
export const LONG_AND_BIG = 0x68;
const NON_CANONICAL = 0x8000_0000_1234n;

/** From 50h on; gates and system descriptors take two places. */
const others: readonly (readonly number[])[] = [
  descriptor(0, 0xfffff, 0x9b, 12),
  descriptor(RAM.code, 0xffff, 0x9b, 0),
  descriptor(RAM.code, 0xffff, 0xfb, 0),
  descriptor(0, 0xfffff, 0xfb, 14),
  descriptor(0, 0xfffff, 0x9f, 10),
  descriptor(0, 0xfffff, 0xff, 10),
  descriptor(0, 0xfffff, 0xdf, 12),
  descriptor(0, 0xfffff, 0xf9, 10),
  descriptor(0, 0xfffff, 0x7b, 10),
  descriptor(RAM.data, 0xfff, 0xf1, 4),
  descriptor(RAM.data, 0xfff, 0x93, 4),
  descriptor(RAM.data, 0x7ff, 0xf7, 4),
  descriptor(RAM.data, 0xfff, 0x73, 4),
  descriptor(RAM.data, 0xfff, 0xd3, 4),
  longGate(0x08, BigInt(LONG.entry), 0xec),
  longGate(0x08, BigInt(LONG.entry), 0x8c),
  longGate(0x2b, BigInt(LONG.entry), 0xec),
  longGate(0x50, BigInt(LONG.entry), 0xec),
  longGate(0x70, BigInt(LONG.entry), 0xec),
  longGate(0x08, NON_CANONICAL, 0xec),
  longGate(0x08, BigInt(LONG.entry), 0x6c),
  longGate(0x00, BigInt(LONG.entry), 0xec),
  longGate(0x08, BigInt(LONG.entry), 0xe4),
  longDescriptor(BigInt(RAM.tss), 0xff, 0x89),
  longDescriptor(BigInt(RAM.tss), 0xff, 0xe9),
  longDescriptor(BigInt(RAM.ldt), 0x3f, 0xe2),
  longDescriptor(NON_CANONICAL, 0xff, 0x89),
  longDescriptor(BigInt(RAM.tss), 0xff, 0x81),
];
const gdt: readonly (readonly number[])[] = [
  [0, 0, 0, 0, 0, 0, 0, 0],
  descriptor(0, 0xfffff, 0x9b, 10),
  descriptor(0, 0xfffff, 0x93, 12),
  descriptor(0, 0xfffff, 0xfb, 12),
  descriptor(0, 0xfffff, 0xf3, 12),
  descriptor(0, 0xfffff, 0xfb, 10),
  longDescriptor(BigInt(RAM.tss), 0xff, 0x89),
  longDescriptor(BigInt(RAM.ldt), 0x7f, 0x82),
  ...others,
];
export const LONG_GDT_BYTES = gdt.flat().length;
export const LONG_TABLES_END = LONG.pt + 0x1000;

/** The tables, from RAM.idt to LONG_TABLES_END; `handlers` tells where a vector is handled. */
export function longTables(handlers: (vector: number) => number): number[] {
  const bytes = new Uint8Array(LONG_TABLES_END - RAM.idt);
  const put = (place: number, list: readonly number[]): void => bytes.set(list, place - RAM.idt);
  const setGate = (vector: number, access: number, count = 0, selector = 0x08): void =>
    put(RAM.idt + 16 * vector, longGate(selector, BigInt(handlers(vector)), access, count));
  for (let vector = 0; vector < 256; vector++) setGate(vector, gateAccess(vector), vector === 8 ? 1 : 0);
  setGate(0x28, 0x0e);
  setGate(0x29, 0xee, 2);
  setGate(0x2a, 0xee, 0, LONG_SELECTORS.code32);
  put(RAM.idt + 16 * 0x2b, longGate(0x08, NON_CANONICAL, 0xee));
  setGate(0x2c, 0xee, 0, LONG_SELECTORS.userCode64);
  setGate(0x2d, 0xe5);
  put(RAM.gdt, gdt.flat());
  put(RAM.ldt, others.slice(0, 14).flat());
  put(RAM.tss + 4, quad(BigInt(RAM.kernelStack)));
  put(RAM.tss + 12, quad(BigInt(RAM.kernelStack - 0x400)));
  put(RAM.tss + 0x24, quad(BigInt(LONG.istStack)));
  put(RAM.tss + 0x2c, quad(BigInt(LONG.istStack - 0x400)));
  put(RAM.tss + 0x66, word(0x68));
  put(RAM.tss + 0x68, ioMap);
  putPages(put);
  return [...bytes];
}

function putPages(put: (place: number, list: readonly number[]) => void): void {
  const entry = (table: number, n: number, value: bigint): void => put(table + 8 * n, quad(value));
  entry(LONG.pml4, 0, BigInt(LONG.pdpt | 7));
  entry(LONG.pml4, 256, BigInt(LONG.pdpt | 3));
  entry(LONG.pdpt, 0, BigInt(LONG.pd | 7));
  entry(LONG.pdpt, 1, 0x87n);
  entry(LONG.pdpt, 2, 0x2087n);
  // The ROM at the top of 4 GiB, the kernel's.
  entry(LONG.pdpt, 3, 0xc000_0083n);
  entry(LONG.pd, 0, BigInt(LONG.pt | 7));
  entry(LONG.pd, 1, 0x187n);
  entry(LONG.pd, 2, 0x2087n);
  for (let n = 0; n < 512; n++) {
    const linear = n << 12;
    let rights = linear < RAM.code || linear >= 0xe_0000 || linear === pages.kernel ? 3 : 7;
    if (linear < RAM.idt || (linear >= 0x3_0000 && linear < 0xe_0000) || linear >= 0x10_0000) rights = 0;
    if (linear === pages.readOnly) rights = 5;
    if (linear === pages.absent) rights = 0;
    const noCode = linear === RAM.data + 0x1000 || linear === RAM.data + 0x2000;
    put(LONG.pt + 8 * n, [...long(linear | rights), 0, 0, 0, noCode ? 0x80 : 0]);
  }
}
