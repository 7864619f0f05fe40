import { type Encoding, parseEncoding } from "./encoding.ts";
import type { Instruction } from "./instructions/row.ts";

/** Rows by the bytes that choose them: what the generator gives to the decoder, and what the disassembler looks up. */

/** A row with its place in the opcode map: it applies where (key & mask) == value. */
export interface Candidate {
  readonly row: Instruction;
  readonly encoding: Encoding;
  readonly opcode: number;
  readonly mask: number;
  readonly value: number;
}

/** The key the decoder builds: see decoder.ts `selectRow`. */
const KEY = {
  prefix: 0x3,
  digit: 0x1c,
  register: 0x20,
  rm: 0x1c0,
  w: 0x200,
  long: 0x400,
  wide: 0x800,
} as const;

export function candidatesOf(row: Instruction): Candidate[] {
  const encoding = parseEncoding(row.encoding);
  let mask = 0,
    value = 0;
  const need = (bits: number, set: number): void => {
    mask |= bits;
    value |= set;
  };
  if (encoding.prefix !== undefined) need(KEY.prefix, ["NP", "66", "F3", "F2"].indexOf(encoding.prefix));
  if (encoding.digit !== undefined) need(KEY.digit, encoding.digit << 2);
  if (encoding.form !== undefined) need(KEY.register, encoding.form === "reg" ? KEY.register : 0);
  if (encoding.rm !== undefined) need(KEY.rm, encoding.rm << 6);
  if (encoding.length !== undefined) need(KEY.wide, encoding.length === 256 ? KEY.wide : 0);
  if (encoding.w !== undefined) need(KEY.w, encoding.w === 1 ? KEY.w : 0);
  if (row.traits.includes("rex.w")) need(KEY.w, KEY.w);
  if (row.traits.includes("no-rex.w")) need(KEY.w, 0);
  if (row.traits.includes("i64")) need(KEY.long, 0);
  if (row.traits.includes("o64")) need(KEY.long, KEY.long);
  const opcodes = encoding.plusRegister ? [0, 1, 2, 3, 4, 5, 6, 7] : [0];
  return opcodes.map((plus) => ({
    row,
    encoding,
    opcode: (encoding.map << 8) | (encoding.opcode + plus),
    mask,
    value,
  }));
}

/** What the bytes of an instruction say that may choose a row of their slot. */
export interface SlotKey {
  /** Mandatory prefix: 0 none, 1 66, 2 F3, 3 F2. */
  readonly prefix: number;
  /** The ModRM byte, or 0 where the slot has none. */
  readonly modrm: number;
  readonly w: boolean;
  /** 64-bit mode. */
  readonly long: boolean;
  /** VEX.L. */
  readonly wide: boolean;
}

export const slotKey = ({ prefix, modrm, w, long, wide }: SlotKey): number =>
  prefix |
  ((modrm & 0x38) >> 1) |
  (modrm >= 0xc0 ? KEY.register : 0) |
  ((modrm & 7) << 6) |
  (w ? KEY.w : 0) |
  (long ? KEY.long : 0) |
  (wide ? KEY.wide : 0);

const bitCount = (n: number): number => n.toString(2).replaceAll("0", "").length;

/** Slots in the order in which the decoder tries them. Two rows for the same bytes are an error, so a typo cannot hide. */
export function slotTable(rows: readonly Instruction[]): Map<number, Candidate[]> {
  const slots = new Map<number, Candidate[]>();
  for (const candidate of rows.flatMap(candidatesOf)) {
    const others = slots.get(candidate.opcode) ?? [];
    for (const other of others) {
      const common = candidate.mask & other.mask;
      const apart = (candidate.value & common) !== (other.value & common);
      // One row may refine another ("66" beside any prefix, "/6 mem" beside "/6"); a mandatory prefix always refines.
      const ranked =
        (candidate.mask & KEY.prefix) !== (other.mask & KEY.prefix) ||
        (candidate.mask !== other.mask && (common === candidate.mask || common === other.mask));
      if (!apart && !ranked)
        throw new Error(
          `${candidate.row.encoding} ${candidate.row.syntax} collides with ${other.row.encoding} ${other.row.syntax}`,
        );
      if (other.encoding.modrm !== candidate.encoding.modrm)
        throw new Error(`${candidate.row.encoding} and ${other.row.encoding} disagree about ModRM`);
    }
    slots.set(candidate.opcode, [...others, candidate]);
  }
  for (const list of slots.values()) {
    list.sort((a, b) => (b.mask & KEY.prefix) - (a.mask & KEY.prefix) || bitCount(b.mask) - bitCount(a.mask));
  }
  return slots;
}
