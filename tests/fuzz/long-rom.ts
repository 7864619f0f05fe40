/**
 * As system-rom.ts, for long mode: streams of 64-bit code, and of compatibility mode's 32 and 16 bits, at CPL 0 and 3 on four
 * levels of pages. Every exception and INT 20h go to 64-bit handlers; a double fault has a stack of its own.
 */
import { LONG, LONG_GDT_BYTES, LONG_SELECTORS, LONG_TABLES_END, longTables } from "./long-tables.ts";
import { Code, copy, long, moveEax, quad, sum, switchOff, word, writeMsr } from "./machine-code.ts";
import { readMarked, type SystemRom } from "./system-judges.ts";
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
import { RAM, ROM } from "./system-tables.ts";

export const LONG_CODE_BYTES = 144;
const HEAD = 240;
const RECORD = HEAD + LONG_CODE_BYTES;
const HARNESS = ROM + 0x9000;

/** Quadwords of a dump: what is on the stack, then the rest as `common` stores it. */
const DUMP = (
  "r15 r14 r13 r12 r11 r10 r9 r8 rdi rsi rbp rbx rdx rcx rax vector error rip cs rflags rsp ss " +
  "ds es fs gs fsbase gsbase kernelgsbase cr0 cr2 cr3 cr4 cr8 efer dr6 dr7 ldtr tr frame tables memory"
).split(" ");
const FROM_STACK = DUMP.indexOf("ss") + 1;
const DUMP_BYTES = 8 + 8 * DUMP.length;
const DUMP_MARK = 0x5e3c_a264;

/** Numbers of 64 bits are in hex. */
export interface LongStream {
  readonly rip: string;
  readonly cs: number;
  readonly flags: number;
  readonly rsp: string;
  readonly ss: number;
  /** DS ES FS GS. */
  readonly segments: readonly number[];
  /** RAX RCX RDX RBX - RBP RSI RDI R8 to R15. */
  readonly registers: readonly string[];
  readonly cr0: number;
  readonly cr3: number;
  readonly cr4: number;
  readonly efer: number;
  readonly code: readonly number[];
}
const R = {
  ...placesOf(["rip", "cs", "flags", "rsp", "ss", "ds", "es", "fs", "gs", "registers"], 8, 8),
  ...placesOf(["cr0", "cr3", "cr4", "efer"], 208, 8),
} as const;

const COUNTER = RAM.dump + 0x400,
  MARK = COUNTER + 4,
  MARKED = 0x6772_6964;

const absolute = (place: number): number[] => [0x04, 0x25, ...long(place)];
const loadEax = (place: number): number[] => [0x8b, ...absolute(place)];
const loadRax = (place: number): number[] => [0x48, 0x8b, ...absolute(place)];
/** STOSQ of what the bytes before it put into RAX. */
const store = (...load: readonly number[]): number[] => [...load, 0x48, 0xab];
/** RDMSR into RAX. */
const readMsr = (number: number): number[] => [
  0xb9,
  ...long(number),
  0x0f,
  0x32,
  0x48,
  0xc1,
  0xe2,
  32,
  0x48,
  0x09,
  0xd0,
];
/** MOV RAX, R8 and up. */
const fromUpper = (number: number): number[] => [0x4c, 0x89, 0xc0 | ((number & 7) << 3)];

/** Segments, stack, CR0, CR4 and CR3, tables, then everything else that a stream can change. */
function resetState(code: Code): void {
  code.put(...moveEax(0x10), 0x8e, 0xd8, 0x8e, 0xc0, 0x8e, 0xd0, 0xbc, ...long(RAM.kernelStack), 0xfc);
  code.put(...copy(RAM.idt, TEMPLATE, LONG_TABLES_END - RAM.idt));
  code.put(...moveEax(LONG.pml4), 0x0f, 0x22, 0xd8, 0xdb, 0xe3);
  code.put(
    0x0f,
    0x01,
    0x14,
    0x25,
    ...long(code.address("gdt")),
    0x0f,
    0x01,
    0x1c,
    0x25,
    ...long(code.address("idt")),
  );
  code.put(0x66, 0xb8, ...word(LONG_SELECTORS.ldt), 0x0f, 0x00, 0xd0);
  code.put(0x66, 0xb8, ...word(LONG_SELECTORS.tss), 0x0f, 0x00, 0xd8);
  code.put(0x31, 0xc0, 0x0f, 0x22, 0xd0, 0x44, 0x0f, 0x22, 0xc0, ...moveEax(RAM.dump + 0x1000));
  resetDebug(code);
  // STAR: 08h for SYSCALL, 18h for SYSRET.
  code.put(0xb9, ...long(0xc0000081), 0x31, 0xc0, 0xba, ...long(0x180008), 0x0f, 0x30);
  for (const msr of [0xc0000082, 0xc0000083]) code.put(...writeMsr(msr, LONG.entry));
  code.put(...writeMsr(0xc0000084, 0x700));
}

function startStream(code: Code, count: number, streams: number): void {
  code.put(...loadEax(COUNTER));
  fetchStream(code, { count, streams, recordBytes: RECORD });
  code.put(...copyCode(HEAD, LONG_CODE_BYTES));
  const field = (place: number): number => RAM.record + place;
  // DS ES FS GS, then the bases that go with them.
  for (const [place, modrm] of [
    [R.ds, 0x1c],
    [R.es, 0x04],
    [R.fs, 0x24],
    [R.gs, 0x2c],
  ] as const)
    code.put(0x8e, modrm, 0x25, ...long(field(place)));
  for (const [msr, base] of [
    [0xc0000100, LONG.fsBase],
    [0xc0000101, LONG.gsBase],
    [0xc0000102, LONG.kernelGsBase],
  ] as const)
    code.put(...writeMsr(msr, base));
  for (const place of [R.ss, R.rsp, R.flags, R.cs, R.rip]) code.put(0xff, 0x34, 0x25, ...long(field(place)));
  code.put(0xb9, ...long(0xc0000080), ...loadEax(field(R.efer)), 0x31, 0xd2, 0x0f, 0x30);
  code.put(...loadEax(field(R.cr0)), 0x0f, 0x22, 0xc0);
  for (let number = 1; number < 16; number++)
    if (number !== 4)
      code.put(
        number < 8 ? 0x48 : 0x4c,
        0x8b,
        0x04 | ((number & 7) << 3),
        0x25,
        ...long(field(R.registers + 8 * number)),
      );
  // CR4 and CR3 come last: with SMAP on, the record is still the kernel's.
  code.put(...loadEax(field(R.cr4)), 0x0f, 0x22, 0xe0, ...loadEax(field(R.cr3)), 0x0f, 0x22, 0xd8);
  code.put(...loadRax(field(R.registers)), 0x48, 0xcf);
}

/** Every vector comes here with its number and error code pushed. */
function common(code: Code): void {
  code.label("common").put(0x50, 0x51, 0x52, 0x53, 0x55, 0x56, 0x57);
  for (let number = 8; number < 16; number++) code.put(0x41, 0x50 | (number & 7));
  // R8 = DR6, R9 = DR7, R10 = CR4, R11 = CR0, R12 = EFER, R13 = CR3, R14 = CR8; then a sane DR7, EFER, CR4 and CR0.
  code.put(0x41, 0x0f, 0x21, 0xf0, 0x41, 0x0f, 0x21, 0xf9, ...moveEax(0x400), 0x0f, 0x23, 0xf8);
  code.put(0x41, 0x0f, 0x20, 0xe2, 0x41, 0x0f, 0x20, 0xc3, 0x41, 0x0f, 0x20, 0xdd, 0x45, 0x0f, 0x20, 0xc6);
  code.put(0xb9, ...long(0xc0000080), 0x0f, 0x32, 0x41, 0x89, 0xc4, ...writeMsr(0xc0000080, 0xd01));
  code.put(...moveEax(0x620), 0x0f, 0x22, 0xe0, ...moveEax(0x80000031), 0x0f, 0x22, 0xc0, 0xfc);
  code.put(0xbf, ...long(RAM.dump), ...loadEax(COUNTER), 0xab, ...moveEax(DUMP_MARK), 0xab);
  code.put(0x48, 0x89, 0xe6, 0xb9, ...long(FROM_STACK), 0xf3, 0x48, 0xa5);
  for (const modrm of [0xd8, 0xc0, 0xe0, 0xe8]) code.put(...store(0x8c, modrm));
  for (const msr of [0xc0000100, 0xc0000101, 0xc0000102]) code.put(...store(...readMsr(msr)));
  code.put(
    ...store(...fromUpper(11)),
    ...store(0x0f, 0x20, 0xd0),
    ...store(...fromUpper(13)),
    ...store(...fromUpper(10)),
  );
  for (const number of [14, 12, 8, 9]) code.put(...store(...fromUpper(number)));
  code.put(
    ...store(0x31, 0xc0, 0x0f, 0x00, 0xc0),
    ...store(0x31, 0xc0, 0x0f, 0x00, 0xc8),
    ...store(0x48, 0x89, 0xe0),
  );
  code.put(0x31, 0xdb, ...sum(RAM.idt, LONG_TABLES_END), ...store(0x89, 0xd8));
  code.put(
    0x31,
    0xdb,
    ...sum(RAM.code, RAM.dataEnd),
    ...sum(RAM.stack - 0x800, RAM.stackEnd),
    ...store(0x89, 0xd8),
  );
  code.put(...printDump(DUMP_BYTES), 0xff, 0x04, 0x25, ...long(COUNTER)).jump("next", 0xe9);
}

/** 32-bit code from the reset to long mode: counts a stream that was cut short, makes the pages, switches. */
function enterLong(code: Code): void {
  code
    .label("start")
    .put(0x66, 0xb8, 0x10, 0, 0x8e, 0xd8, 0x8e, 0xc0, 0x8e, 0xd0, 0xfc, 0xff, 0x05, ...long(COUNTER));
  code.put(0x81, 0x3d, ...long(MARK), ...long(MARKED)).jump("switch", 0x0f, 0x84);
  code.put(0xc7, 0x05, ...long(MARK), ...long(MARKED), 0xc7, 0x05, ...long(COUNTER), ...long(0));
  code.label("switch").put(...copy(RAM.idt, TEMPLATE, LONG_TABLES_END - RAM.idt));
  code.put(
    ...moveEax(0x620),
    0x0f,
    0x22,
    0xe0,
    ...moveEax(LONG.pml4),
    0x0f,
    0x22,
    0xd8,
    ...writeMsr(0xc0000080, 0x901),
  );
  code.put(...moveEax(0x80000031), 0x0f, 0x22, 0xc0);
  // JMP far to what follows its seven bytes.
  code.put(0xea, ...long(HARNESS + code.bytes.length + 7), ...word(LONG_SELECTORS.code64));
}

function harness(count: number, streams: number): { code: number[]; start: number } {
  const code = new Code(HARNESS);
  putStubs(code);
  code.label("gdt").put(...word(LONG_GDT_BYTES - 1), ...quad(BigInt(RAM.gdt)));
  code.label("idt").put(...word(0xfff), ...quad(BigInt(RAM.idt)));
  enterLong(code);
  code.label("next");
  resetState(code);
  startStream(code, count, streams);
  common(code);
  code.label("end").put(...switchOff());
  const finished = code.finish();
  if (HARNESS + finished.length > HARNESS_END) throw new Error("the harness has outgrown its place");
  return { code: finished, start: code.address("start") };
}

function record(n: number, stream: LongStream): number[] {
  if (stream.code.length > LONG_CODE_BYTES) throw new Error("a stream is too long");
  const big = (hex: string): bigint => BigInt(`0x${hex}`);
  const { rip, cs, flags, rsp, ss, segments, registers, cr0, cr3, cr4, efer } = stream;
  const fields = [big(rip), BigInt(cs), BigInt(flags), big(rsp), BigInt(ss), ...segments.map(BigInt)];
  const rest = [...registers.map(big), ...[cr0, cr3, cr4, efer].map(BigInt)];
  const head = [...long(n), 0, 0, 0, 0, ...[...fields, ...rest].flatMap(quad)];
  if (head.length !== HEAD) throw new Error("a stream is incomplete");
  return [...head, ...stream.code];
}

export const longRom: SystemRom<LongStream> = {
  makeRom(streams) {
    return putRom(
      streams.map((stream, n) => record(n, stream)),
      RECORD,
      (put, place) => {
        const { code, start } = harness(streams.length, place);
        put(
          TEMPLATE,
          longTables((vector) => HARNESS + vector * STUB),
        );
        put(HARNESS, code);
        enterFlat(put, start, LONG_SELECTORS.code32);
      },
    );
  },
  fields: DUMP,
  readDumps: (output) => readMarked(output, DUMP_MARK, DUMP.length, 8),
};
