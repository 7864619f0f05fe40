/** Memory of the 32-bit system ROM's streams: where everything lies, descriptors of every kind, and the tables as they are before each stream. */
import { descriptor, gate, long, quad, word } from "./machine-code.ts";

export const ROM = 0xe_0000;
/** Places in RAM. */
export const RAM = {
  idt: 0x1_0000,
  gdt: 0x1_1000,
  ldt: 0x1_2000,
  tss: 0x1_3000,
  directory: 0x1_4000,
  table: 0x1_5000,
  paePointers: 0x1_6000,
  paeDirectory: 0x1_7000,
  paeTable: 0x1_8000,
  tablesEnd: 0x1_9000,
  record: 0x1_9000,
  kernelStack: 0x1_b000,
  dump: 0x1_c000,
  code: 0x2_0000,
  data: 0x2_1000,
  dataEnd: 0x2_6000,
  stack: 0x2_8800,
  stackEnd: 0x2_9000,
} as const;
/** Tasks to switch to, of 32 bits and of 16. */
export const OTHER_TSS = RAM.tss + 0x200;
const TSS_16 = RAM.tss + 0x300;
/** Pages of the data window with other rights: read-only, absent, and the kernel's. */
export const pages = { readOnly: 0x2_5000, absent: 0x2_6000, kernel: 0x2_7000 } as const;
/** Base of the 16-bit stack segment of CPL 3. */
export const STACK_16 = RAM.stack - 0x800;

export const FIRST_TEST_SELECTOR = 0x38;
/** Selectors of the descriptors that streams start with. */
export const CODE_16 = FIRST_TEST_SELECTOR + 8 * 32,
  CODE_16_USER = CODE_16 + 8 + 3,
  STACK_16_USER = CODE_16 + 16 + 3;
const TASK = FIRST_TEST_SELECTOR + 8 * 27,
  TASK_16 = CODE_16 + 32;
/** Selectors 38h and up: descriptors of every kind, for the streams to stumble over. All writable data is big, so that any may be a stack. */
export const testDescriptors: readonly (readonly number[])[] = [
  descriptor(RAM.data, 0xfff, 0x93, 4),
  descriptor(RAM.data, 0xfff, 0xf3, 4),
  descriptor(RAM.data, 0x7ff, 0xb3, 4),
  descriptor(RAM.data, 0xfff, 0xf1, 4),
  descriptor(RAM.data, 0xfff, 0x91, 4),
  descriptor(RAM.data, 0x7ff, 0xf7, 4),
  descriptor(RAM.data, 0x7ff, 0x97, 4),
  descriptor(RAM.data, 0xfff, 0x73, 4),
  descriptor(0, 0xfffff, 0x9b, 12),
  descriptor(0, 0xfffff, 0xfb, 12),
  descriptor(0, 0xfffff, 0xdb, 12),
  descriptor(0, 0xfffff, 0x9f, 12),
  descriptor(0, 0xfffff, 0xff, 12),
  descriptor(0, 0xfffff, 0xdf, 12),
  descriptor(0, 0xfffff, 0x99, 12),
  descriptor(0, 0xfffff, 0xf9, 12),
  descriptor(0, 0xfffff, 0x7b, 12),
  descriptor(0, 0x1ff, 0xfb, 4),
  gate(0x08, RAM.code + 0x80, 0x8c),
  gate(0x08, RAM.code + 0x80, 0xec),
  gate(0x08, RAM.code + 0x80, 0xec, 3),
  gate(0x1b, RAM.code + 0x80, 0xec),
  gate(0x08, 0x80, 0xe4),
  gate(0x08, RAM.code + 0x80, 0x6c),
  gate(0x00, RAM.code + 0x80, 0xec),
  gate(0x10, RAM.code + 0x80, 0xec),
  gate(FIRST_TEST_SELECTOR + 8 * 28, 0, 0xe5),
  descriptor(OTHER_TSS, 0x67, 0x89, 0),
  descriptor(OTHER_TSS, 0x67, 0xe9, 0),
  descriptor(RAM.ldt, 0x3f, 0xe2, 0),
  gate(0x08, RAM.code + 0x80, 0xee),
  descriptor(0, 0xfff, 0xe8, 0),
  descriptor(RAM.code, 0xffff, 0x9b, 0),
  descriptor(RAM.code, 0xffff, 0xfb, 0),
  descriptor(STACK_16, 0xfff, 0xf3, 0),
  gate(CODE_16, 0x80, 0xe4, 1),
  descriptor(TSS_16, 0x2b, 0xe1, 0),
  descriptor(RAM.code, 0xffff, 0x9f, 0),
];

/** Behind the streams' descriptors: the ROM as 16-bit code, and the first 64 KiB, on the way to real mode. */
const romDescriptors = [descriptor(ROM, 0xffff, 0x9b, 0), descriptor(0, 0xffff, 0x93, 0)];
export const ROM_CODE_16 = FIRST_TEST_SELECTOR + 8 * testDescriptors.length,
  LOW_DATA_16 = ROM_CODE_16 + 8;
export const GDT_LIMIT = LOW_DATA_16 + 7;

/** Access byte of a vector's gate: CPL 3 may use breakpoint, overflow, and 20h to 27h; 24h to 27h are traps. */
export function gateAccess(vector: number): number {
  const open = vector === 3 || vector === 4 || (vector >= 0x20 && vector < 0x28);
  return (open ? 0xee : 0x8e) | (vector >= 0x24 && vector < 0x28 ? 1 : 0);
}
/** Ports 0-7Fh are open but for every fourth; E9h is shut to CPL 3. */
export const ioMap: readonly number[] = Array.from({ length: 32 }, (_, n) => (n < 16 ? 0x11 : 0xff));

/** The tables, from RAM.idt to RAM.tablesEnd; `handlers` tells where a vector is handled. */
export function tables(handlers: (vector: number) => number): number[] {
  const bytes = new Uint8Array(RAM.tablesEnd - RAM.idt);
  const put = (place: number, list: readonly number[]): void => bytes.set(list, place - RAM.idt);
  for (let vector = 0; vector < 256; vector++)
    put(RAM.idt + 8 * vector, gate(0x08, handlers(vector), gateAccess(vector)));
  put(RAM.idt + 8 * 0x28, gate(0x08, handlers(0x28), 0x0e));
  // A gate of the 286, and task gates.
  put(RAM.idt + 8 * 0x29, gate(CODE_16, 0x80, 0xe6));
  put(RAM.idt + 8 * 0x2a, gate(TASK, 0, 0xe5));
  put(RAM.idt + 8 * 0x2b, gate(TASK_16, 0, 0xe5));
  const gdt = [
    [0, 0, 0, 0, 0, 0, 0, 0],
    descriptor(0, 0xfffff, 0x9b, 12),
    descriptor(0, 0xfffff, 0x93, 12),
    descriptor(0, 0xfffff, 0xfb, 12),
    descriptor(0, 0xfffff, 0xf3, 12),
    descriptor(RAM.tss, 0xff, 0x89, 0),
    descriptor(RAM.ldt, 0xff, 0x82, 0),
    ...testDescriptors,
    ...romDescriptors,
  ];
  for (const [n, list] of gdt.entries()) put(RAM.gdt + 8 * n, list);
  for (const [n, list] of testDescriptors.slice(0, 18).entries()) put(RAM.ldt + 8 * n, list);
  for (const tss of [RAM.tss, OTHER_TSS]) {
    put(tss + 4, [...long(RAM.kernelStack), ...long(0x10), ...long(RAM.kernelStack - 0x400), ...long(0x11)]);
    // What a task switch to it loads: the end of a stream, at CPL 0.
    put(tss + 0x1c, [...long(RAM.directory), ...long(RAM.code + 0x80), ...long(2)]);
    put(tss + 0x38, long(RAM.stack - 0x200));
    for (const [n, selector] of [0x10, 0x08, 0x10, 0x10, 0, 0, 0x30].entries())
      put(tss + 0x48 + 4 * n, long(selector));
    put(tss + 102, word(0x68));
  }
  put(RAM.tss + 0x68, ioMap);
  for (const [n, value] of [0, 0x800, FIRST_TEST_SELECTOR, 0, 0, 0, 0, 0x80, 2].entries())
    put(TSS_16 + 2 * n, word(value));
  for (const [n, selector] of [0x10, CODE_16, FIRST_TEST_SELECTOR, 0x10, 0x30].entries())
    put(TSS_16 + 34 + 2 * n, word(selector));
  putPages(put);
  return [...bytes];
}

/** Rights of a page: bits 2, 1 and 0 of its entry. */
function rightsOf(linear: number): number {
  // The interrupt table of real mode, which virtual-8086 code reads: whether as a user differs.
  if (linear === 0) return 7;
  // What lies there differs from one machine to the next.
  if (linear < RAM.idt || (linear >= 0x3_0000 && linear < ROM) || linear >= 0x10_0000) return 0;
  if (linear === pages.readOnly) return 5;
  if (linear === pages.absent) return 0;
  return linear < RAM.code || linear >= ROM || linear === pages.kernel ? 3 : 7;
}

/** Two page tables of the same pages: of 32-bit paging, and of PAE, where the data pages hold no code and 2 MiB lie at 4 MiB too. */
function putPages(put: (place: number, list: readonly number[]) => void): void {
  put(RAM.directory, long(RAM.table | 7));
  // 4 MiB again, as one page where CR4.PSE is set; without it, an empty page table.
  put(RAM.directory + 4, long(0x87));
  for (let n = 0; n < 1024; n++) {
    const linear = n << 12;
    put(RAM.table + 4 * n, long(linear | rightsOf(linear)));
  }
  put(RAM.paePointers, quad(BigInt(RAM.paeDirectory | 1)));
  put(RAM.paeDirectory, quad(BigInt(RAM.paeTable | 7)));
  put(RAM.paeDirectory + 16, quad(0x87n));
  for (let n = 0; n < 512; n++) {
    const linear = n << 12,
      isData = linear === RAM.data + 0x1000 || linear === RAM.data + 0x2000;
    put(RAM.paeTable + 8 * n, quad(BigInt(linear | rightsOf(linear)) | (isData ? 1n << 63n : 0n)));
  }
}
