import { readFileSync } from "node:fs";
import { zstdDecompressSync } from "node:zlib";
import { DATA, type FlatMachine, RECORDS } from "./x87-rig.ts";

/**
 * Berkeley TestFloat's vectors for the 80-bit format, run as real x87 instructions on the core: one guest program per file loops
 * over records of 64 bytes (operands @0 and @16, result @32, status word @48).
 */
export const ARCHIVE = "../shared/corpora/testfloat.tar.zst";

/** The loop's body: operands are loaded, the status word is taken into AX at 66 89 46 30, the result stored. */
const takeStatus = "DFE0 66894630";
const storeExtended = "DB7E20";
const two = (operation: string): string => `DB6E10 DB2E ${operation} ${takeStatus} ${storeExtended}`;
const one = (operation: string): string => `DB2E ${operation} ${takeStatus} ${storeExtended}`;
const narrow = (store: string): string => `DB2E ${store} ${takeStatus}`;
const widen = (fetch: string): string => `${fetch} ${takeStatus} ${storeExtended}`;

export const programs: Record<string, string> = {
  extF80_add: two("D8C1"),
  extF80_sub: two("D8E1"),
  extF80_mul: two("D8C9"),
  extF80_div: two("D8F1"),
  // FPREM1 until C2 is clear.
  extF80_rem: two("D9F5 DFE0 F6C404 75F7"),
  extF80_sqrt: one("D9FA"),
  extF80_roundToInt: one("D9FC"),
  extF80_eq: two("DDE1"),
  extF80_eq_signaling: two("D8D1"),
  extF80_le: two("D8D1"),
  extF80_le_quiet: two("DDE1"),
  extF80_lt: two("D8D1"),
  extF80_lt_quiet: two("DDE1"),
  extF80_to_f32: narrow("D95E20"),
  extF80_to_f64: narrow("DD5E20"),
  extF80_to_i32: narrow("DB5E20"),
  extF80_to_i64: narrow("DF7E20"),
  f32_to_extF80: widen("D906"),
  f64_to_extF80: widen("DD06"),
  i32_to_extF80: widen("DB06"),
  i64_to_extF80: widen("DF2E"),
};
const rounding: Record<string, number> = { near_even: 0, min: 0x400, max: 0x800, minMag: 0xc00 };

export interface Vectors {
  readonly name: string;
  readonly lines: readonly string[][];
}

export function readArchive(archive = ARCHIVE): Vectors[] {
  const tar = zstdDecompressSync(readFileSync(archive)),
    files: Vectors[] = [];
  for (let at = 0; at + 512 <= tar.length && tar[at] !== 0;) {
    const field = (from: number, length: number): string =>
      tar.toString("latin1", at + from, at + from + length).replace(/\0.*$/s, "");
    const size = Number.parseInt(field(124, 12), 8),
      name = field(0, 100)
        .replace(/^.*\//, "")
        .replace(/\.txt$/, "");
    if (/extF80/.test(name)) {
      const text = tar.toString("latin1", at + 512, at + 512 + size);
      files.push({
        name,
        lines: text
          .split("\n")
          .filter(Boolean)
          .map((line) => line.trim().split(" ")),
      });
    }
    at += 512 + Math.ceil(size / 512) * 512;
  }
  return files;
}

const controlWord = (name: string): number => {
  const parts = name.split(".");
  const mode = parts.find((part) => part in rounding);
  return (
    0x7f |
    (mode ? rounding[mode]! : 0) |
    (parts.includes("pc32") ? 0 : parts.includes("pc64") ? 0x200 : 0x300)
  );
};

/** x86's exception flags in TestFloat's order. */
const flagsOf = (status: number): number =>
  (status & 0x20 ? 1 : 0) |
  (status & 0x10 ? 2 : 0) |
  (status & 8 ? 4 : 0) |
  (status & 4 ? 8 : 0) |
  (status & 1 ? 16 : 0);

function comparisonOf(operation: string, status: number): string {
  const unordered = (status & 0x4500) === 0x4500;
  const equal = !unordered && (status & 0x4000) !== 0,
    less = !unordered && (status & 0x100) !== 0;
  const kind = operation.slice(7, 9);
  return (kind === "eq" ? equal : kind === "lt" ? less : equal || less) ? "1" : "0";
}

function store(machine: FlatMachine, at: number, value: string): void {
  if (value.length === 20) machine.setExtended(at, value);
  else if (value.length === 16) machine.view.setBigUint64(at, BigInt(`0x${value}`), true);
  else machine.view.setUint32(at, Number.parseInt(value, 16), true);
}

function fetch(machine: FlatMachine, at: number, digits: number): string {
  if (digits === 20) return machine.extended(at);
  const value = digits === 16 ? machine.view.getBigUint64(at, true) : machine.view.getUint32(at, true);
  return value.toString(16).toUpperCase().padStart(digits, "0");
}

/** Lines whose value or flags differ. */
export function judge(machine: FlatMachine, { name, lines }: Vectors): string[] {
  const operation = name.split(".")[0]!,
    body = programs[operation];
  if (!body) throw new Error(`no program for ${operation}`);
  lines.forEach(([a, b, ...rest], index) => {
    store(machine, RECORDS + index * 64, a!);
    if (rest.length === 2) store(machine, RECORDS + index * 64 + 16, b!);
  });
  machine.view.setUint16(DATA, controlWord(name), true);
  // FNINIT; FLDCW [EDI]; body; ADD ESI, 64; DEC ECX; JNZ back.
  const loop = `DBE3 D92F ${body} 83C640 49`.replaceAll(" ", "");
  const back = (256 - (loop.length / 2 + 2)).toString(16).padStart(2, "0");
  machine.run(`${loop} 75${back}`, { ecx: lines.length, esi: RECORDS, budget: 50_000_000 });
  return lines.flatMap((line, index) => {
    const at = RECORDS + index * 64,
      status = machine.view.getUint16(at + 48, true);
    const result = line.at(-2)!,
      flags = Number.parseInt(line.at(-1)!, 16);
    const got =
      result.length === 1 ? comparisonOf(operation, status) : fetch(machine, at + 32, result.length);
    return got === result && flagsOf(status) === flags
      ? []
      : [`${line.join(" ")}: got ${got} ${flagsOf(status).toString(16)}`];
  });
}
