/**
 * A ROM that runs streams of 16- and 32-bit system code and tells on port E9h what became of each: for the core and for another
 * emulator alike, without a BIOS. Before each stream the tables are made anew; every exception and INT 20h end it, and its whole
 * state goes out: selectors, general registers, the exception's frame, control and debug registers, and sums over tables and memory.
 * A stream that shuts the processor down costs a reset: RAM keeps the count, and the ROM goes on with the next.
 * Tables and harness are in the last 128 KiB below 1 MiB, the streams below them at the top of the address space.
 */
import {
  copyCode,
  enterFlat,
  fetchStream,
  HARNESS_END,
  placesOf,
  printDump,
  putRom,
  putStubs,
  resetDebug,
  STUB,
  TEMPLATE,
} from "./rom-parts.ts";
import { readMarked, type SystemRom } from "./system-judges.ts";
import { Code, copy, fill, long, moveEax, sum, switchOff, word, writeMsr } from "./machine-code.ts";
import { GDT_LIMIT, LOW_DATA_16, RAM, ROM, ROM_CODE_16, tables } from "./system-tables.ts";

const CODE_BYTES = 108;
const HEAD = 88;
const RECORD = HEAD + CODE_BYTES;
const HARNESS = ROM + 0xa000;

/** Doublewords of a dump: see `common` below. */
const DUMP = (
  "gs fs es ds edi esi ebp esp ebx edx ecx eax vector error eip cs eflags above0 above1 above2 above3 above4 above5 ss frame " +
  "cr0 cr2 cr3 cr4 dr6 dr7 ldtr tr tables memory"
).split(" ");
/** A dump begins with the stream's number and a mark. */
const DUMP_BYTES = 8 + 4 * DUMP.length;
const DUMP_MARK = 0x5e3c_a1d7;
/** Doublewords that come from the stack: four selectors, PUSHA, vector, error code, and nine of the frame. */
const FROM_STACK = 23;

/** Where a stream begins: CPL 0 on its own stack, by an IRET to CPL 3 or virtual-8086 mode, or in real mode. */
export const START = { inner: 0, outer: 1, real: 2 } as const;

export interface SystemStream {
  readonly start: 0 | 1 | 2;
  readonly eip: number;
  readonly cs: number;
  readonly esp: number;
  readonly ss: number;
  /** ES DS FS GS, in real and virtual-8086 mode. */
  readonly segments: readonly number[];
  /** EAX ECX EDX EBX - EBP ESI EDI. */
  readonly registers: readonly number[];
  readonly flags: number;
  readonly cr0: number;
  readonly cr3: number;
  readonly cr4: number;
  readonly code: readonly number[];
}

/** Places in a record. */
const R = {
  start: 4,
  registers: 8,
  ...placesOf(["eip", "cs", "flags", "esp", "ss", "es", "ds", "fs", "gs", "cr0", "cr3", "cr4"], 40, 4),
} as const;

/** Where the number of the next stream is kept, and a word that says so: above the dump. */
const COUNTER = RAM.dump + 0x200,
  MARK = COUNTER + 4,
  MARKED = 0x6772_6956;
/** CR0, CR4, DR6 and DR7 as the stream left them; then what the handler of real mode saves, in the dump's order. */
const SYSTEM = RAM.dump + 0x240,
  REAL = RAM.dump + 0x300;
const GENERAL: readonly (readonly [number, number])[] = [
  [1, 0x0d],
  [2, 0x15],
  [3, 0x1d],
  [5, 0x2d],
  [6, 0x35],
  [7, 0x3d],
];

/** MOV EAX, source register of the system; STOSD. */
const storeSystem = (...load: readonly number[]): number[] => [...load, 0xab];
/** MOV EAX, [place] and MOV [place], EAX. */
const loadEax = (place: number): number[] => [0xa1, ...long(place)];
const storeEax = (place: number): number[] => [0xa3, ...long(place)];
const pushFrom = (place: number): number[] => [0xff, 0x35, ...long(place)];
const flatSegments = [0x66, 0xb8, 0x10, 0, 0x8e, 0xd8, 0x8e, 0xc0];

/** MOV EDI; the stream's number and the mark. */
const beginDump = [0xbf, ...long(RAM.dump), ...loadEax(COUNTER), 0xab, ...moveEax(DUMP_MARK), 0xab];

/** Flat segments, a stack of our own, no paging; then tables, CR3, CR4, LDTR, TR, debug registers, CR2, SYSENTER's three MSRs and EFER. */
function resetState(code: Code): void {
  code.put(...flatSegments, 0x8e, 0xd0, 0xbc, ...long(RAM.kernelStack), 0xfc);
  // FNINIT: nothing of one stream may reach the next.
  code.put(...moveEax(0x31), 0x0f, 0x22, 0xc0, ...moveEax(0x10), 0x0f, 0x22, 0xe0, 0xdb, 0xe3);
  code.put(...copy(RAM.idt, TEMPLATE, RAM.tablesEnd - RAM.idt));
  code.put(...copy(0, code.address("interrupts"), 0x400));
  code.put(0x0f, 0x01, 0x15, ...long(code.address("gdt")), 0x0f, 0x01, 0x1d, ...long(code.address("idt")));
  code.put(0x8e, 0xe0, 0x8e, 0xe8);
  code.put(0x66, 0xb8, 0x30, 0, 0x0f, 0x00, 0xd0, 0x66, 0xb8, 0x28, 0, 0x0f, 0x00, 0xd8);
  code.put(0x31, 0xc0, 0x0f, 0x22, 0xd0, ...moveEax(RAM.dump + 0x1000));
  resetDebug(code);
  code.put(...writeMsr(0xc0000080, 0x800));
}

/** Prepares memory and starts the stream whose number is in COUNTER. */
function startStream(code: Code, count: number, streams: number): void {
  code.put(...loadEax(COUNTER));
  fetchStream(code, { count, streams, recordBytes: RECORD });
  code.put(...fill(REAL, 0, 0x80), ...copyCode(HEAD, CODE_BYTES));
  const field = (place: number): number => RAM.record + place;
  // CR3, which a task switch loads too, then CR4.
  code.put(...loadEax(field(R.cr3)), 0x0f, 0x22, 0xd8, ...storeEax(RAM.tss + 0x1c));
  code.put(...storeEax(RAM.tss + 0x21c), ...loadEax(field(R.cr4)), 0x0f, 0x22, 0xe0);
  code
    .put(0x83, 0x3d, ...long(field(R.start)), START.outer)
    .jump("outer", 0x0f, 0x84)
    .jump("real", 0x0f, 0x87);
  code.put(0xbc, ...long(RAM.stack), ...[R.flags, R.cs, R.eip].flatMap((place) => pushFrom(field(place))));
  code.jump("load", 0xe9);
  code.label("outer").put(0xbc, ...long(RAM.kernelStack));
  for (const place of [R.gs, R.fs, R.ds, R.es, R.ss, R.esp, R.flags, R.cs, R.eip])
    code.put(...pushFrom(field(place)));
  code.label("load");
  for (const [number, opcode] of GENERAL) code.put(0x8b, opcode, ...long(field(R.registers + 4 * number)));
  code.put(...loadEax(field(R.cr0)), 0x0f, 0x22, 0xc0, ...loadEax(field(R.registers)), 0xcf);
}

/** To real mode by way of 16-bit segments: the record is then at 1900h:0. */
function startReal(code: Code): void {
  const offset = (name: string): number[] => word(code.address(name) - ROM);
  code.label("realSwitch").put(0xb8, ...word(LOW_DATA_16));
  for (const segment of [0xd8, 0xc0, 0xd0, 0xe0, 0xe8]) code.put(0x8e, segment);
  code.put(0x66, 0x89, 0xd8, 0x0f, 0x22, 0xc0);
  // JMP far to the next instruction, which is five bytes on.
  const next = code.address("realSwitch") - ROM + 24;
  code.put(0xea, ...word(next), ...word(ROM >> 4));
  code.put(0x2e, 0x0f, 0x01, 0x1e, ...offset("realIdt"), 0xb8, ...word(RAM.record >> 4), 0x8e, 0xd8);
  for (const [segment, place] of [
    [0x06, R.es],
    [0x26, R.fs],
    [0x2e, R.gs],
    [0x16, R.ss],
  ] as const)
    code.put(0x8e, segment, ...word(place));
  code.put(0x66, 0x8b, 0x26, ...word(R.esp));
  for (const place of [R.flags, R.cs, R.eip]) code.put(0xff, 0x36, ...word(place));
  for (const [number, opcode] of GENERAL) code.put(0x66, 0x8b, opcode + 1, ...word(R.registers + 4 * number));
  code.put(0xff, 0x36, ...word(R.ds), 0x66, 0xa1, ...word(R.registers), 0x1f, 0xcf);
}

/** Every vector of real mode comes here with its number pushed. Saves in the dump's order, then goes to flat protected mode. */
function commonReal(code: Code): void {
  const at = (name: string): number[] => word((REAL & 0xfff) + 4 * DUMP.indexOf(name));
  code.label("commonReal").put(0x1e, 0x68, ...word(RAM.dump >> 4), 0x1f, 0x66, 0xa3, ...at("eax"));
  for (const name of ["ds", "vector", "eip", "cs", "eflags"] as const) code.put(0x8f, 0x06, ...at(name));
  for (const [name, modrm] of [
    ["ecx", 0x0e],
    ["edx", 0x16],
    ["ebx", 0x1e],
    ["esp", 0x26],
    ["ebp", 0x2e],
    ["esi", 0x36],
    ["edi", 0x3e],
  ] as const)
    code.put(0x66, 0x89, modrm, ...at(name));
  for (const [name, modrm] of [
    ["es", 0x06],
    ["ss", 0x16],
    ["fs", 0x26],
    ["gs", 0x2e],
  ] as const)
    code.put(0x8c, modrm, ...at(name));
  code.put(0x0f, 0x20, 0xc0, 0x66, 0xa3, ...word(SYSTEM & 0xfff));
  code.put(0xfa, 0x66, 0x2e, 0x0f, 0x01, 0x16, ...word(code.address("romGdt") - ROM));
  code.put(0x66, ...moveEax(0x11), 0x0f, 0x22, 0xc0, 0x66, 0xea, ...long(code.address("realFlat")), 8, 0);
}

/** The way out of real mode, in flat segments: what was saved becomes the dump's beginning. */
function finishReal(code: Code): void {
  code.label("realFlat").put(...flatSegments, 0x8e, 0xd0, 0xbc, ...long(RAM.kernelStack), 0xfc);
  code.put(0x0f, 0x21, 0xf0, ...storeEax(SYSTEM + 8), 0x0f, 0x21, 0xf8, ...storeEax(SYSTEM + 12));
  code.put(...moveEax(0x400), 0x0f, 0x23, 0xf8, 0x0f, 0x20, 0xe0, ...storeEax(SYSTEM + 4));
  code.put(...beginDump, 0xbe, ...long(REAL), 0xb9, ...long(FROM_STACK + 2), 0xf3, 0xa5).jump("system", 0xe9);
}

/** Every vector comes here with its number and error code pushed: copies the frame out, adds the rest, prints, goes on. */
function common(code: Code): void {
  code.label("common").put(0x60);
  // MOV EAX, selector; PUSH EAX: DS, ES, FS, GS. PUSH of a selector writes two bytes or four.
  for (const opcode of [0xd8, 0xc0, 0xe0, 0xe8]) code.put(0x8c, opcode, 0x50);
  // Debug registers first, so that no breakpoint of the stream meets the handler: EBX = DR6, EDX = DR7; then SMEP and SMAP off.
  code.put(0x0f, 0x21, 0xf3, 0x0f, 0x21, 0xfa, ...moveEax(0x400), 0x0f, 0x23, 0xf8);
  code.put(0x0f, 0x20, 0xe0, 0x89, 0xc5, 0x25, ...long(~0x300000), 0x0f, 0x22, 0xe0);
  code.put(...flatSegments, 0xfc, 0x89, 0xe8, ...storeEax(SYSTEM + 4), 0x0f, 0x20, 0xc0, ...storeEax(SYSTEM));
  code.put(0x89, 0xd8, ...storeEax(SYSTEM + 8), 0x89, 0xd0, ...storeEax(SYSTEM + 12));
  code.put(...beginDump);
  // Doublewords from SS:ESP: MOV ESI, ESP; MOV ECX; MOV EAX, SS:[ESI]; ADD ESI, 4; STOSD; LOOP.
  code.put(0x89, 0xe6, 0xb9, ...long(FROM_STACK), 0x36, 0x8b, 0x06, 0x83, 0xc6, 4, 0xab, 0xe2, 0xf7);
  code.put(...storeSystem(0x31, 0xc0, 0x8c, 0xd0), ...storeSystem(0x89, 0xe0));
  code.label("system");
  code.put(
    ...storeSystem(...loadEax(SYSTEM)),
    ...storeSystem(0x0f, 0x20, 0xd0),
    ...storeSystem(0x0f, 0x20, 0xd8),
  );
  for (const place of [4, 8, 12]) code.put(...storeSystem(...loadEax(SYSTEM + place)));
  code.put(
    ...storeSystem(0x31, 0xc0, 0x66, 0x0f, 0x00, 0xc0),
    ...storeSystem(0x31, 0xc0, 0x66, 0x0f, 0x00, 0xc8),
  );
  code.put(0x31, 0xdb, ...sum(RAM.idt, RAM.tablesEnd), ...storeSystem(0x89, 0xd8));
  code.put(0x31, 0xdb, ...sum(RAM.code, RAM.dataEnd), ...sum(RAM.stack - 0x800, RAM.stackEnd));
  code.put(...storeSystem(0x89, 0xd8));
  code.put(...printDump(DUMP_BYTES), 0xff, 0x05, ...long(COUNTER)).jump("next", 0xe9);
}

/** The vectors' stubs, and those of real mode with its interrupt table. */
function stubs(code: Code): { handlers: number; real: number } {
  const handlers = code.address("handlers");
  putStubs(code);
  const real = code.label("realHandlers").address("realHandlers");
  for (let vector = 0; vector < 256; vector++) code.put(0x68, ...word(vector)).jump16("commonReal", 0xe9);
  code.label("interrupts");
  for (let vector = 0; vector < 256; vector++) code.put(...word(real + 6 * vector - ROM), ...word(ROM >> 4));
  return { handlers, real };
}

function harness(count: number, streams: number): { code: number[]; handlers: number; start: number } {
  const code = new Code(HARNESS);
  code.label("handlers");
  const { handlers } = stubs(code);
  code.label("gdt").put(...word(GDT_LIMIT), ...long(RAM.gdt));
  code.label("idt").put(...word(0x7ff), ...long(RAM.idt));
  code.label("realIdt").put(...word(0x3ff), ...long(0));
  code.label("romGdt").put(...word(0x1f), ...long(TEMPLATE + RAM.gdt - RAM.idt));
  // After a reset in the middle of a stream the count goes on; else it starts.
  code.label("start").put(...flatSegments, 0x8e, 0xd0, 0xff, 0x05, ...long(COUNTER));
  code.put(0x81, 0x3d, ...long(MARK), ...long(MARKED)).jump("next", 0x0f, 0x84);
  code.put(0xc7, 0x05, ...long(MARK), ...long(MARKED), 0x31, 0xc0, ...storeEax(COUNTER));
  code.label("next");
  resetState(code);
  startStream(code, count, streams);
  // EBX is free until the stream's registers are loaded: CR0 for real mode.
  code.label("real").put(0x8b, 0x1d, ...long(RAM.record + R.cr0));
  code.put(0xea, ...long(code.address("real") - ROM + 13), ...word(ROM_CODE_16));
  startReal(code);
  finishReal(code);
  commonReal(code);
  common(code);
  code.label("end").put(...switchOff());
  const finished = code.finish();
  if (HARNESS + finished.length > HARNESS_END) throw new Error("the harness has outgrown its place");
  return { code: finished, handlers, start: code.address("start") };
}

const makeRom = (streams: readonly SystemStream[]): Uint8Array =>
  putRom(
    streams.map((stream, n) => record(n, stream)),
    RECORD,
    (put, place) => {
      const { code, handlers, start } = harness(streams.length, place);
      put(
        TEMPLATE,
        tables((vector) => handlers + vector * STUB),
      );
      put(HARNESS, code);
      enterFlat(put, start, 8);
    },
  );

function record(n: number, stream: SystemStream): number[] {
  if (stream.code.length > CODE_BYTES) throw new Error("a stream is too long");
  const { start, registers, eip, cs, flags, esp, ss, segments, cr0, cr3, cr4 } = stream;
  const head = [n, start, ...registers, eip, cs, flags, esp, ss, ...segments, cr0, cr3, cr4].flatMap(long);
  if (head.length !== HEAD) throw new Error("a stream is incomplete");
  return [...head, ...stream.code];
}

export const systemRom: SystemRom<SystemStream> = {
  makeRom,
  fields: DUMP,
  readDumps: (output) => readMarked(output, DUMP_MARK, DUMP.length, 4),
};
