import { readFileSync } from "node:fs";
import { zstdDecompressSync } from "node:zlib";
import { setRegister } from "../../support/cpu-bench.ts";
import { DATA, type LongRig } from "./long-rig.ts";

/**
 * Berkeley TestFloat's vectors for single and double precision, run as VEX-encoded scalar instructions: one guest program per
 * file loops over records of 64 bytes (operands @0, @16, @32, result @40, MXCSR @56).
 */
export const ARCHIVE = "../shared/corpora/testfloat.tar.zst";
const CONTROL = DATA - 64;

/** a op b: XMM1 = a, XMM0 = XMM1 op [RSI + 16], [RSI + 40] = XMM0. `p` is 0xf2 for singles, 0xf3 for doubles. */
const scalars = (name: "f32" | "f64"): Record<string, string> => {
  const double = name === "f64",
    p = double ? "c5f3" : "c5f2",
    load = double ? "c5fb10" : "c5fa10",
    store = double ? "c5fb114628" : "c5fa114628";
  const two = (operation: string): string => `${load}0e ${p}${operation} ${store}`;
  const compare = (predicate: string): string => two(`c24610${predicate}`);
  return {
    [`${name}_add`]: two("584610"),
    [`${name}_sub`]: two("5c4610"),
    [`${name}_mul`]: two("594610"),
    [`${name}_div`]: two("5e4610"),
    [`${name}_sqrt`]: two("5106"),
    [`${name}_roundToInt`]: `${load}0e c4e371${double ? "0b" : "0a"}0604 ${store}`,
    // VFMADD213 with b in the destination and a second, the order in which the vectors tell two NaNs apart.
    [`${name}_mulAdd`]: `${load}0e ${load}4610 c4e2${double ? "f1" : "71"}a94620 ${store}`,
    [`${name}_eq`]: compare("00"),
    [`${name}_eq_signaling`]: compare("10"),
    [`${name}_lt`]: compare("01"),
    [`${name}_lt_quiet`]: compare("11"),
    [`${name}_le`]: compare("02"),
    [`${name}_le_quiet`]: compare("12"),
    [`${name}_to_i32`]: `${double ? "c5fb" : "c5fa"}2d06 48894628`,
    [`${name}_to_i64`]: `${double ? "c4e1fb" : "c4e1fa"}2d06 48894628`,
    [`i32_to_${name}`]: `${p}2a06 ${store}`,
    [`i64_to_${name}`]: `${double ? "c4e1f3" : "c4e1f2"}2a06 ${store}`,
  };
};
export const programs: Record<string, string> = {
  ...scalars("f32"),
  ...scalars("f64"),
  f32_to_f64: "c5f25a06 c5fb114628",
  f64_to_f32: "c5f35a06 c5fa114628",
};
const rounding: Record<string, number> = { near_even: 0, min: 0x2000, max: 0x4000, minMag: 0x6000 };

/** Files of the archive by operation: the rest of each name, and its lines. */
export type Files = Map<string, { readonly name: string; readonly lines: readonly string[][] }[]>;

export function readArchive(archive = ARCHIVE): Files {
  const tar = zstdDecompressSync(readFileSync(archive)),
    files: Files = new Map();
  for (let place = 0; place + 512 <= tar.length && tar[place] !== 0;) {
    const field = (from: number, length: number): string =>
      tar.toString("latin1", place + from, place + from + length).replace(/\0.*$/s, "");
    const size = Number.parseInt(field(124, 12), 8),
      name = field(0, 100).replace(/^.*\/|\.txt$/g, ""),
      operation = name.split(".")[0]!;
    const text = tar.toString("latin1", place + 512, place + 512 + size),
      lines = text.split("\n").filter(Boolean);
    if (operation in programs)
      files.set(operation, [
        ...(files.get(operation) ?? []),
        { name, lines: lines.map((line) => line.trim().split(" ")) },
      ]);
    place += 512 + Math.ceil(size / 512) * 512;
  }
  return files;
}

/** x86's exception flags in TestFloat's order; it knows no denormal flag. */
const flagsOf = (mxcsr: number): number =>
  ((mxcsr >> 5) & 1) | ((mxcsr >> 3) & 2) | ((mxcsr >> 1) & 4) | ((mxcsr << 1) & 8) | ((mxcsr << 4) & 16);

/** Lines whose value or flags differ. */
export function judge(
  rig: LongRig,
  operation: string,
  { name, lines }: { name: string; lines: readonly string[][] },
): string[] {
  const mode = name.split(".").find((part) => part in rounding) ?? "near_even";
  rig.ram.setUint32(CONTROL, 0x1f80 | rounding[mode]!, true);
  for (const [index, line] of lines.entries())
    for (const [k, value] of line.slice(0, -2).entries())
      rig.ram.setBigUint64(DATA + 64 * index + 16 * k, BigInt(`0x${value}`), true);
  setRegister(rig.cpu, "rsi", BigInt(DATA));
  setRegister(rig.cpu, "rdi", BigInt(CONTROL));
  setRegister(rig.cpu, "rcx", BigInt(lines.length));
  // VLDMXCSR [RDI]; body; VSTMXCSR [RSI + 56]; ADD RSI, 64; DEC ECX; JNZ back.
  const loop = `c5f8ae17 ${programs[operation]!} c5f8ae5e38 4883c640 ffc9`.replaceAll(" ", "");
  const back = (256 - (loop.length / 2 + 2)).toString(16).padStart(2, "0");
  const exception = rig.run(`${loop} 75${back}`, 1_000_000);
  if (exception !== undefined) return [`exception ${exception}`];
  return lines.flatMap((line, index) => {
    const record = DATA + 64 * index,
      wanted = line.at(-2)!,
      digits = BigInt(4 * Math.max(wanted.length, 1));
    const bits = rig.ram.getBigUint64(record + 40, true) & ((1n << digits) - 1n),
      got = (wanted.length === 1 ? bits & 1n : bits).toString(16).toUpperCase().padStart(wanted.length, "0"),
      flags = flagsOf(rig.ram.getUint32(record + 56, true));
    return got === wanted && flags === Number.parseInt(line.at(-1)!, 16)
      ? []
      : [`${line.join(" ")}: got ${got} ${flags.toString(16)}`];
  });
}
