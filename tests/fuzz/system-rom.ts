/**
 * A ROM of 128 KiB that runs streams of 32-bit system code and tells on port E9h what became of each: for the core and for another
 * emulator alike, without a BIOS. Before each stream the tables are made anew; every exception and INT 20h end it, and its whole
 * state goes out: selectors, general registers, the exception's frame, control and debug registers, and sums over tables and memory.
 */

export const ROM_BYTES = 0x2_0000;
const ROM = 0xe_0000;
/** Places in RAM. */
export const RAM = {
  idt: 0x1_0000,
  gdt: 0x1_1000,
  ldt: 0x1_2000,
  tss: 0x1_3000,
  directory: 0x1_4000,
  table: 0x1_5000,
  tablesEnd: 0x1_6000,
  record: 0x1_9000,
  kernelStack: 0x1_b000,
  dump: 0x1_c000,
  code: 0x2_0000,
  data: 0x2_1000,
  dataEnd: 0x2_4000,
  stack: 0x2_8800,
  stackEnd: 0x2_9000,
} as const;
/** A task to switch to. */
const OTHER_TSS = RAM.tss + 0x200;
/** Pages of the data window with other rights: read-only, absent, and the kernel's. */
export const pages = { readOnly: 0x2_5000, absent: 0x2_6000, kernel: 0x2_7000 } as const;

export const CODE_BYTES = 108;
const HEAD = 52;
const RECORD = HEAD + CODE_BYTES;
/** Templates of the tables in the ROM, then the harness, then the streams. */
const TEMPLATE = ROM,
  HARNESS = ROM + 0x6000,
  STREAMS = ROM + 0x7800;
export const MAX_STREAMS = Math.floor((0xf_f000 - STREAMS) / RECORD);
/** Doublewords of a dump: see `common` below. */
export const DUMP = [
  "gs",
  "fs",
  "es",
  "ds",
  "edi",
  "esi",
  "ebp",
  "esp",
  "ebx",
  "edx",
  "ecx",
  "eax",
  "vector",
  "error",
  "eip",
  "cs",
  "eflags",
  "above0",
  "above1",
  "ss",
  "frame",
  "cr0",
  "cr2",
  "cr3",
  "cr4",
  "dr6",
  "dr7",
  "ldtr",
  "tr",
  "tables",
  "memory",
] as const;
export const DUMP_BYTES = 4 + 4 * DUMP.length;

export interface SystemStream {
  readonly cpl: 0 | 3;
  /** EAX ECX EDX EBX ESP EBP ESI EDI. */
  readonly registers: readonly number[];
  readonly flags: number;
  readonly cr0: number;
  readonly cr4: number;
  readonly code: readonly number[];
}

const word = (value: number): number[] => [value & 255, (value >> 8) & 255];
const long = (value: number): number[] => [...word(value), ...word(value >>> 16)];

/** A descriptor (SDM 3A §3.4.5): access byte, flags nibble (G D L AVL). */
const descriptor = (base: number, limit: number, access: number, flags: number): number[] => [
  ...word(limit),
  ...word(base),
  (base >> 16) & 255,
  access,
  ((limit >> 16) & 15) | (flags << 4),
  (base >>> 24) & 255,
];
const gate = (selector: number, offset: number, access: number, count = 0): number[] => [
  ...word(offset),
  ...word(selector),
  count,
  access,
  ...word(offset >>> 16),
];

export const FIRST_TEST_SELECTOR = 0x38;
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
];

function tables(handlers: (vector: number) => number): number[] {
  const bytes = new Uint8Array(RAM.tablesEnd - RAM.idt);
  const put = (place: number, list: readonly number[]): void => bytes.set(list, place - RAM.idt);
  for (let vector = 0; vector < 256; vector++) {
    // Gates that CPL 3 may use: breakpoint, overflow, and 20h to 27h; traps among the latter.
    const open = vector === 3 || vector === 4 || (vector >= 0x20 && vector < 0x28);
    put(
      RAM.idt + 8 * vector,
      gate(0x08, handlers(vector), (open ? 0xee : 0x8e) | (vector >= 0x24 && vector < 0x28 ? 1 : 0)),
    );
  }
  put(RAM.idt + 8 * 0x28, gate(0x08, handlers(0x28), 0x0e));
  const gdt = [
    [0, 0, 0, 0, 0, 0, 0, 0],
    descriptor(0, 0xfffff, 0x9b, 12),
    descriptor(0, 0xfffff, 0x93, 12),
    descriptor(0, 0xfffff, 0xfb, 12),
    descriptor(0, 0xfffff, 0xf3, 12),
    descriptor(RAM.tss, 0xff, 0x89, 0),
    descriptor(RAM.ldt, 0xff, 0x82, 0),
    ...testDescriptors,
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
  // Ports 0-7Fh are open but for every fourth; E9h is shut to CPL 3.
  for (let n = 0; n < 32; n++) put(RAM.tss + 0x68 + n, [n < 16 ? 0x11 : 0xff]);
  put(RAM.directory, long(RAM.table | 7));
  for (let n = 0; n < 1024; n++) {
    const linear = n << 12;
    let rights = 7;
    if (linear < RAM.code || linear >= ROM || linear === pages.kernel) rights = 3;
    // What lies there differs from one machine to the next.
    if (linear < RAM.idt || (linear >= 0x3_0000 && linear < ROM) || linear >= 0x10_0000) rights = 0;
    if (linear === pages.readOnly) rights = 5;
    if (linear === pages.absent) rights = 0;
    put(RAM.table + 4 * n, long(linear | rights));
  }
  return [...bytes];
}

/** Flat 32-bit code with labels for near jumps. */
class Code {
  readonly bytes: number[] = [];
  readonly #labels = new Map<string, number>();
  readonly #uses: { at: number; name: string }[] = [];
  readonly #origin: number;
  constructor(origin: number) {
    this.#origin = origin;
  }
  put(...bytes: number[]): this {
    this.bytes.push(...bytes);
    return this;
  }
  label(name: string): this {
    this.#labels.set(name, this.bytes.length);
    return this;
  }
  /** An opcode followed by a 32-bit distance. */
  jump(name: string, ...opcode: number[]): this {
    this.put(...opcode);
    this.#uses.push({ at: this.bytes.length, name });
    return this.put(0, 0, 0, 0);
  }
  address(name: string): number {
    const place = this.#labels.get(name);
    if (place === undefined) throw new Error(`no label ${name}`);
    return this.#origin + place;
  }
  finish(): number[] {
    for (const { at, name } of this.#uses) {
      const distance = this.address(name) - (this.#origin + at + 4);
      this.bytes.splice(at, 4, ...long(distance));
    }
    return this.bytes;
  }
}

const STUB = 10;
const errorCodes = new Set([8, 10, 11, 12, 13, 14, 17]);

/** MOV EDI, to; MOV ESI, from; MOV ECX, count; REP MOVSD. */
const copy = (to: number, from: number, bytes: number): number[] => [
  0xbf,
  ...long(to),
  0xbe,
  ...long(from),
  0xb9,
  ...long(bytes >> 2),
  0xf3,
  0xa5,
];
const fill = (to: number, value: number, bytes: number): number[] => [
  0xbf,
  ...long(to),
  0xb8,
  ...long(value),
  0xb9,
  ...long(bytes >> 2),
  0xf3,
  0xab,
];
/** MOV EAX, source register of the system; STOSD. */
const storeSystem = (...load: number[]): number[] => [...load, 0xab];

/** Adds the doublewords of a stretch into EBX, turned by one bit each: MOV ESI; MOV ECX; LODSD; ROL EBX, 1; ADD EBX, EAX; LOOP. */
const sum = (from: number, end: number): number[] => [
  0xbe,
  ...long(from),
  0xb9,
  ...long((end - from) >> 2),
  0xad,
  0xd1,
  0xc3,
  0x01,
  0xc3,
  0xe2,
  0xf9,
];

/** Where the number of the next stream is kept: above the dump. */
const COUNTER = RAM.dump + 0x200;

function resetState(code: Code, descriptors: { gdt: number; idt: number }): void {
  // Flat segments and a stack of our own, then tables, CR0, CR4, LDTR, TR, debug registers, CR2.
  code.put(0x66, 0xb8, 0x10, 0, 0x8e, 0xd8, 0x8e, 0xc0, 0x8e, 0xd0, 0xbc, ...long(RAM.kernelStack), 0xfc);
  code.put(...copy(RAM.idt, TEMPLATE, RAM.tablesEnd - RAM.idt));
  code.put(0x0f, 0x01, 0x15, ...long(descriptors.gdt), 0x0f, 0x01, 0x1d, ...long(descriptors.idt));
  code.put(0x8e, 0xe0, 0x8e, 0xe8);
  code.put(0xb8, ...long(0x10), 0x0f, 0x22, 0xe0, 0xb8, ...long(RAM.directory), 0x0f, 0x22, 0xd8);
  code.put(0xb8, ...long(0x80000031), 0x0f, 0x22, 0xc0);
  code.put(0x66, 0xb8, 0x30, 0, 0x0f, 0x00, 0xd0, 0x66, 0xb8, 0x28, 0, 0x0f, 0x00, 0xd8);
  code.put(0x31, 0xc0, 0x0f, 0x22, 0xd0);
  for (const number of [0, 1, 2, 3]) code.put(0x0f, 0x23, 0xc0 | (number << 3));
  code.put(0xb8, ...long(0xffff0ff0), 0x0f, 0x23, 0xf0, 0xb8, ...long(0x400), 0x0f, 0x23, 0xf8);
  // SYSENTER's three MSRs.
  for (const msr of [0x174, 0x175, 0x176]) code.put(0xb9, ...long(msr), 0x31, 0xc0, 0x31, 0xd2, 0x0f, 0x30);
}

/** Prepares memory and starts the stream whose number is in COUNTER. */
function startStream(code: Code, count: number): void {
  code.put(0xa1, ...long(COUNTER), 0x3d, ...long(count)).jump("end", 0x0f, 0x83);
  // ESI = its record: IMUL ESI, EAX, size; ADD ESI, first.
  code.put(
    0x69,
    0xf0,
    ...long(RECORD),
    0x81,
    0xc6,
    ...long(STREAMS),
    0xbf,
    ...long(RAM.record),
    0xb9,
    ...long(RECORD >> 2),
    0xf3,
    0xa5,
  );
  code.put(...fill(RAM.code, 0x20cd20cd, 0x1000), ...fill(RAM.data, 0x5a3c7811, RAM.dataEnd - RAM.data));
  code.put(
    ...fill(RAM.stack - 0x800, 0, RAM.stackEnd - RAM.stack + 0x800),
    ...copy(RAM.code, RAM.record + HEAD, CODE_BYTES),
  );
  // INVLPG is not needed: CR3 was loaded. CR4, then CR0.
  code.put(0xa1, ...long(RAM.record + 48), 0x0f, 0x22, 0xe0);
  code.put(0xbc, ...long(RAM.stack));
  // CPL 3 wants SS:ESP in the frame.
  code.put(0x83, 0x3d, ...long(RAM.record + 4), 0).jump("flat", 0x0f, 0x84);
  code.put(0xbc, ...long(RAM.kernelStack), 0x6a, 0x23, 0xff, 0x35, ...long(RAM.record + 8 + 16));
  code.put(0xff, 0x35, ...long(RAM.record + 40), 0x6a, 0x1b, 0x68, ...long(RAM.code)).jump("load", 0xe9);
  code.label("flat").put(0xff, 0x35, ...long(RAM.record + 40), 0x6a, 0x08, 0x68, ...long(RAM.code));
  code.label("load");
  for (const [number, opcode] of [
    [1, 0x0d],
    [2, 0x15],
    [3, 0x1d],
    [5, 0x2d],
    [6, 0x35],
    [7, 0x3d],
  ] as const)
    code.put(0x8b, opcode, ...long(RAM.record + 8 + 4 * number));
  code.put(0xa1, ...long(RAM.record + 44), 0x0f, 0x22, 0xc0, 0xa1, ...long(RAM.record + 8));
  code.put(0xcf);
}

/** Every vector comes here with its number and error code pushed: copies the frame out, adds the rest, prints, goes on. */
function common(code: Code): void {
  code.label("common").put(0x60);
  // MOV EAX, selector; PUSH EAX: DS, ES, FS, GS. PUSH of a selector writes two bytes or four.
  for (const opcode of [0xd8, 0xc0, 0xe0, 0xe8]) code.put(0x8c, opcode, 0x50);
  // Debug registers first, so that no breakpoint of the stream meets the handler: EBX = DR6, EDX = DR7.
  code.put(0x0f, 0x21, 0xf3, 0x0f, 0x21, 0xfa, 0xb8, ...long(0x400), 0x0f, 0x23, 0xf8);
  code.put(0x66, 0xb8, 0x10, 0, 0x8e, 0xd8, 0x8e, 0xc0, 0xfc);
  // The dump begins with 'S' and the stream's number.
  code.put(0xbf, ...long(RAM.dump), 0xa1, ...long(COUNTER), 0xc1, 0xe0, 8, 0xb0, 0x53, 0xab);
  // 19 doublewords from SS:ESP: MOV ESI, ESP; MOV ECX; MOV EAX, SS:[ESI]; ADD ESI, 4; STOSD; LOOP.
  code.put(0x89, 0xe6, 0xb9, ...long(19), 0x36, 0x8b, 0x06, 0x83, 0xc6, 4, 0xab, 0xe2, 0xf7);
  code.put(...storeSystem(0x31, 0xc0, 0x8c, 0xd0), ...storeSystem(0x89, 0xe0));
  for (const cr of [0xc0, 0xd0, 0xd8, 0xe0]) code.put(...storeSystem(0x0f, 0x20, cr));
  code.put(...storeSystem(0x89, 0xd8), ...storeSystem(0x89, 0xd0));
  code.put(
    ...storeSystem(0x31, 0xc0, 0x66, 0x0f, 0x00, 0xc0),
    ...storeSystem(0x31, 0xc0, 0x66, 0x0f, 0x00, 0xc8),
  );
  // Memory may be read only through a sane CR0: protection stays, caching does not matter.
  code.put(0x31, 0xdb, ...sum(RAM.idt, RAM.tablesEnd), ...storeSystem(0x89, 0xd8));
  code.put(
    0x31,
    0xdb,
    ...sum(RAM.code, RAM.dataEnd),
    ...sum(RAM.stack - 0x800, RAM.stackEnd),
    ...storeSystem(0x89, 0xd8),
  );
  code.put(0xbe, ...long(RAM.dump), 0xb9, ...long(DUMP_BYTES), 0xba, ...long(0xe9), 0xac, 0xee, 0xe2, 0xfc);
  code.put(0xff, 0x05, ...long(COUNTER)).jump("next", 0xe9);
}

const bytesOf = (text: string): number[] => Array.from(text, (letter) => letter.charCodeAt(0));

function harness(count: number): { code: number[]; handlers: (vector: number) => number; start: number } {
  const code = new Code(HARNESS);
  for (let vector = 0; vector < 256; vector++) {
    const begin = code.bytes.length;
    // PUSH 0 where the processor pushes no error code; PUSH vector; JMP common.
    if (!errorCodes.has(vector)) code.put(0x6a, 0);
    code.put(0x68, ...long(vector)).jump("common", 0xe9);
    while (code.bytes.length < begin + STUB + 2) code.put(0x90);
  }
  code.label("gdt").put(...word(8 * (7 + testDescriptors.length) - 1), ...long(RAM.gdt));
  code.label("idt").put(...word(0x7ff), ...long(RAM.idt));
  code.label("romGdt").put(...word(0x1f), ...long(TEMPLATE + RAM.gdt - RAM.idt));
  code
    .label("start")
    .put(0x66, 0xb8, 0x10, 0, 0x8e, 0xd8, 0x8e, 0xc0, 0x8e, 0xd0, 0x31, 0xc0, 0xa3, ...long(COUNTER));
  code.label("next");
  resetState(code, { gdt: code.address("gdt"), idt: code.address("idt") });
  startStream(code, count);
  common(code);
  // 'E', then Bochs' own way to be switched off, then nothing.
  code.label("end").put(0xba, ...long(0xe9), 0xb0, 0x45, 0xee, 0x66, 0xba, 0x00, 0x89);
  for (const letter of bytesOf("Shutdown")) code.put(0xb0, letter, 0xee);
  code.put(0xfa, 0xf4);
  const finished = code.finish();
  if (HARNESS + finished.length > STREAMS) throw new Error("the harness has outgrown its place");
  return {
    code: finished,
    handlers: (vector) => HARNESS + vector * (STUB + 2),
    start: code.address("start"),
  };
}

/** The ROM for at most MAX_STREAMS streams. */
export function makeRom(streams: readonly SystemStream[]): Uint8Array {
  const rom = new Uint8Array(ROM_BYTES).fill(0xf4),
    { code, handlers, start } = harness(streams.length);
  const put = (place: number, list: readonly number[]): void => rom.set(list, place - ROM);
  put(TEMPLATE, tables(handlers));
  put(HARNESS, code);
  for (const [n, stream] of streams.entries()) {
    if (stream.code.length > CODE_BYTES) throw new Error("a stream is too long");
    const head = [n, stream.cpl, ...stream.registers, stream.flags, stream.cr0, stream.cr4].flatMap(long);
    put(STREAMS + RECORD * n, [...head, ...stream.code]);
  }
  // Real mode at F000:FF00: LGDT CS:[romGdt]; MOV EAX, 11h; MOV CR0, EAX; JMP far 08:start.
  const pointer = 0xfe00;
  put(0xf_0000 + pointer, [...word(0x1f), ...long(TEMPLATE + RAM.gdt - RAM.idt)]);
  put(0xf_ff00, [
    0xfa,
    0x66,
    0x2e,
    0x0f,
    0x01,
    0x16,
    ...word(pointer),
    0x66,
    0xb8,
    ...long(0x11),
    0x0f,
    0x22,
    0xc0,
    0x66,
    0xea,
    ...long(start),
    8,
    0,
  ]);
  put(0xf_fff0, [0xea, 0x00, 0xff, 0x00, 0xf0]);
  return rom;
}

/** Dumps by stream number; a run that was cut short has fewer. */
export function readDumps(output: Buffer): Map<number, number[]> {
  const dumps = new Map<number, number[]>();
  let place = output.indexOf(Buffer.from([0x53, 0, 0, 0]));
  while (place >= 0 && place + DUMP_BYTES <= output.length && output[place] === 0x53) {
    const number = output.readUInt32LE(place) >>> 8;
    dumps.set(
      number,
      DUMP.map((_name, k) => output.readUInt32LE(place + 4 + 4 * k)),
    );
    place += DUMP_BYTES;
  }
  return dumps;
}
