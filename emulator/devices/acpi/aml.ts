/**
 * A writer of ACPI Machine Language, as much as the DSDT needs (ACPI 6.5 chapter 20). Every function returns the bytes of
 * one term.
 */
export type Aml = readonly number[];

const Op = {
  zero: 0x00,
  one: 0x01,
  name: 0x08,
  byte: 0x0a,
  word: 0x0b,
  dword: 0x0c,
  string: 0x0d,
  scope: 0x10,
  buffer: 0x11,
  package: 0x12,
  extended: 0x5b,
  device: 0x82,
} as const;

const little = (value: number, bytes: number): number[] =>
  Array.from({ length: bytes }, (_, i) => Math.floor(value / 2 ** (8 * i)) & 0xff);
const ascii = (text: string): number[] => Array.from(text, (character) => character.charCodeAt(0));

/** A name path: segments of four characters, padded with "_"; a leading backslash is the root (§20.2.2). */
function namePath(path: string): number[] {
  const root = path.startsWith("\\") ? [0x5c] : [];
  const segments = path
    .replace("\\", "")
    .split(".")
    .map((segment) => ascii(segment.padEnd(4, "_")));
  const prefix = segments.length === 1 ? [] : segments.length === 2 ? [0x2e] : [0x2f, segments.length];
  return [...root, ...prefix, ...segments.flat()];
}

/** PkgLength counts itself: 1 byte up to 63, then 4 bits and up to three more bytes (§20.2.4). */
function withLength(body: readonly number[]): number[] {
  if (body.length + 1 < 64) return [body.length + 1, ...body];
  const extra = body.length + 2 < 2 ** 12 ? 1 : 2;
  const total = body.length + 1 + extra;
  return [(extra << 6) | (total & 15), ...little(total >> 4, extra), ...body];
}

export function integer(value: number): Aml {
  if (value === 0) return [Op.zero];
  if (value === 1) return [Op.one];
  if (value < 0x100) return [Op.byte, value];
  return value < 0x10000 ? [Op.word, ...little(value, 2)] : [Op.dword, ...little(value, 4)];
}
export const text = (value: string): Aml => [Op.string, ...ascii(value), 0];
export const name = (path: string, value: Aml): Aml => [Op.name, ...namePath(path), ...value];
export const scope = (path: string, ...terms: readonly Aml[]): Aml => [
  Op.scope,
  ...withLength([...namePath(path), ...terms.flat()]),
];
export const device = (path: string, ...terms: readonly Aml[]): Aml => [
  Op.extended,
  Op.device,
  ...withLength([...namePath(path), ...terms.flat()]),
];
export const packageOf = (...elements: readonly Aml[]): Aml => [
  Op.package,
  ...withLength([elements.length, ...elements.flat()]),
];

/** EISAID("PNP0A03"): three letters in 5 bits each, then the product number, big-endian (§19.3.4). */
export function eisaId(id: string): Aml {
  const letter = (index: number): number => id.charCodeAt(index) - 0x40;
  const vendor = (letter(0) << 10) | (letter(1) << 5) | letter(2);
  const product = Number.parseInt(id.slice(3), 16);
  return [Op.dword, vendor >> 8, vendor & 0xff, product >> 8, product & 0xff];
}

/** A resource template: descriptors and the end tag (§6.4). */
export function resources(...descriptors: readonly Aml[]): Aml {
  const bytes = [...descriptors.flat(), 0x79, 0x00];
  return [Op.buffer, ...withLength([...integer(bytes.length), ...bytes])];
}
/** Fixed ports, 16-bit decode (§6.4.2.5). */
export const ports = (start: number, length: number): Aml => [
  0x47,
  0x01,
  ...little(start, 2),
  ...little(start, 2),
  0x01,
  length,
];
/** An ISA interrupt: edge, active high, exclusive (§6.4.2.1). */
export const irq = (line: number): Aml => [0x22, ...little(1 << line, 2)];
/** The same as a level, active low, that devices share. */
export const sharedIrq = (line: number): Aml => [0x23, ...little(1 << line, 2), 0x18];

/** Windows of a bridge (§6.4.3.5): fixed at both ends, produced by the bridge for what is behind it. */
const window = (
  tag: number,
  bytes: number,
  kind: number,
  flags: number,
  first: number,
  last: number,
): Aml => [
  tag,
  ...little(3 + 5 * bytes, 2),
  kind,
  0x0c,
  flags,
  ...little(0, bytes),
  ...little(first, bytes),
  ...little(last, bytes),
  ...little(0, bytes),
  ...little(last - first + 1, bytes),
];
export const busWindow = (first: number, last: number): Aml => window(0x88, 2, 2, 0, first, last);
export const portWindow = (first: number, last: number): Aml => window(0x88, 2, 1, 3, first, last);
export const memoryWindow = (first: number, last: number): Aml => window(0x87, 4, 0, 1, first, last);
