/** What the ROMs of system and long streams share: how they are laid out, how they are entered, and what the harness does in both. */
import { type Code, copy, fill, long, moveEax, word, writeMsr } from "./machine-code.ts";
import { pages, RAM, ROM } from "./system-tables.ts";

const ROM_BYTES = 0x2_0000;
/** The tables as they are before each stream. */
export const TEMPLATE = ROM;
/** Where the harness has to end. */
export const HARNESS_END = ROM + 0xfe00;

/** Places of a record's or a dump's fields, which follow each other from `first` on. */
export const placesOf = <Name extends string>(
  names: readonly Name[],
  first: number,
  fieldBytes: 4 | 8,
): Readonly<Record<Name, number>> =>
  Object.fromEntries(names.map((name, n) => [name, first + fieldBytes * n])) as Record<Name, number>;

export type Put = (place: number, list: readonly number[]) => void;

/** A ROM of records, which ends at 4 GiB and whose last 128 KiB are at 1 MiB too; `fillRest` puts the rest, and learns where the records are. */
export function putRom(
  records: readonly (readonly number[])[],
  recordBytes: number,
  fillRest: (put: Put, place: number) => void,
): Uint8Array {
  const size = ROM_BYTES + ((records.length * recordBytes + 0xffff) & ~0xffff),
    rom = new Uint8Array(size).fill(0xf4);
  for (const [n, list] of records.entries()) rom.set(list, recordBytes * n);
  fillRest((place, list) => rom.set(list, size - ROM_BYTES + place - ROM), 2 ** 32 - size);
  return rom;
}

/** Real mode at F000:FF00: LGDT CS:[pointer]; MOV EAX, 11h; MOV CR0, EAX; JMP far selector:start. The GDT is the template's. */
export function enterFlat(put: Put, start: number, selector: number): void {
  const pointer = 0xfe00;
  put(0xf_0000 + pointer, [...word(0xff), ...long(TEMPLATE + RAM.gdt - RAM.idt)]);
  const load = [0xfa, 0x66, 0x2e, 0x0f, 0x01, 0x16, ...word(pointer)];
  const jump = [0x66, 0xea, ...long(start), ...word(selector)];
  put(0xf_ff00, [...load, 0x66, ...moveEax(0x11), 0x0f, 0x22, 0xc0, ...jump]);
  put(0xf_fff0, [0xea, 0x00, 0xff, 0x00, 0xf0]);
}

/** Bytes of each vector's stub. */
export const STUB = 12;
const errorCodes = new Set([8, 10, 11, 12, 13, 14, 17]);
/** Stubs that push the vector, and 0 where the processor pushes no error code, and join `common`. */
export function putStubs(code: Code): void {
  for (let vector = 0; vector < 256; vector++) {
    const begin = code.bytes.length;
    if (!errorCodes.has(vector)) code.put(0x6a, 0);
    code.put(0x68, ...long(vector)).jump("common", 0xe9);
    while (code.bytes.length < begin + STUB) code.put(0x90);
  }
}

/** Breakpoints lie where nothing is, from EAX on: whether reading the interrupt table of real mode, at 0, meets one differs. */
export function resetDebug(code: Code): void {
  for (const number of [0, 1, 2, 3]) code.put(0x0f, 0x23, 0xc0 | (number << 3));
  code.put(...moveEax(0xffff0ff0), 0x0f, 0x23, 0xf0, ...moveEax(0x400), 0x0f, 0x23, 0xf8);
  for (const msr of [0x174, 0x175, 0x176]) code.put(...writeMsr(msr, 0));
}

/** With the next stream's number in EAX: to `end` where there is none, else its record is copied, and memory filled. */
export function fetchStream(
  code: Code,
  { count, streams, recordBytes }: { count: number; streams: number; recordBytes: number },
): void {
  code.put(0x3d, ...long(count)).jump("end", 0x0f, 0x83);
  // ESI = its record: IMUL ESI, EAX, size; ADD ESI, first.
  code.put(0x69, 0xf0, ...long(recordBytes), 0x81, 0xc6, ...long(streams));
  code.put(0xbf, ...long(RAM.record), 0xb9, ...long(recordBytes >> 2), 0xf3, 0xa5);
  code.put(...fill(RAM.code, 0x20cd20cd, 0x1000), ...fill(RAM.data, 0x5a3c7811, RAM.dataEnd - RAM.data));
  // INT3: a stream that jumps there ends, instead of running on through what it makes of the bytes.
  code.put(...fill(pages.kernel, 0xcccccccc, 0x1000));
  code.put(...fill(RAM.stack - 0x800, 0, RAM.stackEnd - RAM.stack + 0x800));
}
/** The stream's code, which stands behind the head of its record. */
export const copyCode = (head: number, codeBytes: number): number[] =>
  copy(RAM.code, RAM.record + head, codeBytes);

/** The dump to port E9h. */
export const printDump = (dumpBytes: number): number[] => [
  0xbe,
  ...long(RAM.dump),
  0xb9,
  ...long(dumpBytes),
  0xba,
  ...long(0xe9),
  0xac,
  0xee,
  0xe2,
  0xfc,
];
