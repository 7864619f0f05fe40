/** Each row of the instruction table as machine code, and what a processor with some features makes of it. */
import { parseEncoding } from "../../../emulator/cpu/encoding.ts";
import { type Feature, featureOf } from "../../../emulator/cpu/features.ts";
import { instructions } from "../../../emulator/cpu/instructions.ts";
import type { Instruction } from "../../../emulator/cpu/instructions/row.ts";
import { slotKey, slotTable } from "../../../emulator/cpu/slots.ts";

const slots = slotTable(instructions);
const MAP_BYTES = [[], [0x0f], [0x0f, 0x38], [0x0f, 0x3a]] as const;
const PREFIX_BYTES: Readonly<Record<string, readonly number[]>> = { "66": [0x66], F3: [0xf3], F2: [0xf2] };
const PREFIXES = ["NP", "66", "F3", "F2"];
/** What a row came with; its vector form under VEX needs AVX besides (SDM 1 §14.2). */
export const needs = (row: Instruction): readonly Feature[] => {
  const feature = featureOf(row);
  return [
    ...(feature === undefined ? [] : [feature]),
    ...(row.traits.includes("avx") ? ["avx" as const] : []),
  ];
};

/** One instruction of a row, and the row that a processor with these features makes of it. */
export interface Sample {
  readonly row: Instruction;
  readonly code: readonly number[];
  readonly meaning: (has: (feature: Feature) => boolean) => Instruction | undefined;
}

/** A row as bytes: a register operand is number 1, a memory operand lies at RSI, VEX.vvvv is register 0 or none, immediates are 0. */
function sample(row: Instruction, form: "reg" | "mem", long: boolean): Sample {
  const encoding = parseEncoding(row.encoding),
    { map, opcode, prefix, digit, rm, vsib } = encoding;
  const w = row.traits.includes("rex.w") || encoding.w === 1,
    wide = encoding.length === 256;
  const modrm = ((digit ?? 0) << 3) | (form === "reg" ? 0xc0 | (rm ?? 1) : vsib ? 4 : 6);
  // A gather's destination, indices and mask are three registers.
  const operand = encoding.modrm ? (vsib ? [modrm | 8, 0x16] : [modrm]) : [];
  const vexPrefix = Math.max(0, PREFIXES.indexOf(prefix ?? ""));
  const head =
    map > 3
      ? [0xc4, 0xe0 | (map - 3), (w ? 0x80 : 0) | 0x78 | (wide ? 4 : 0) | vexPrefix]
      : [...(PREFIX_BYTES[prefix ?? ""] ?? []), ...(w ? [0x48] : []), ...MAP_BYTES[map]!];
  const key = slotKey({ prefix: vexPrefix, modrm: encoding.modrm ? modrm : 0, w, long, wide });
  const candidates = slots.get((map << 8) | opcode) ?? [];
  return {
    row,
    code: [...head, opcode, ...operand, ...Array.from({ length: 8 }, () => 0)],
    meaning: (has) =>
      candidates.find(
        ({ row: other, mask, value }) =>
          (key & mask) === value && needs(other).every((feature) => has(feature)),
      )?.row,
  };
}

/** Every row of a mode, with a register operand and a memory operand where it takes both. */
export function samples(long: boolean): Sample[] {
  return instructions.flatMap((row) => {
    const { modrm, form } = parseEncoding(row.encoding),
      elsewhere = row.traits.includes(long ? "i64" : "o64") || (!long && row.traits.includes("rex.w"));
    if (elsewhere) return [];
    const forms = !modrm || form === "reg" || onlyRegister(row) ? ["reg" as const] : ["mem" as const];
    return (
      modrm && form === undefined && !onlyRegister(row) && !onlyMemory(row)
        ? ["reg" as const, "mem" as const]
        : forms
    ).map((each) => sample(row, each, long));
  });
}
/** Operands that are registers or memory only, by their letters (SDM 2D appendix A.2.1). */
const onlyMemory = (row: Instruction): boolean => /[ ,]M/.test(row.syntax);
const onlyRegister = (row: Instruction): boolean => /[ ,](N|U|R[a-z]|C[a-z]|D[a-z])/.test(row.syntax);
