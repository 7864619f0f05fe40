/**
 * Instruction table → AssemblyScript: the slot tables of the decoder, one 16-byte record per row, the handler table and
 * the numbers of the inlined operations. Run by `npm run build:cpu`; VIRGA_CPU_PARTIAL=1 leaves rows whose handler is
 * missing undefined (#UD) instead of failing.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import type { Instruction } from "./instructions/row.ts";
import { beforeJump, families, kindNames, pairs } from "./kinds.ts";
import { encodeRow, type Encoding, parseEncoding } from "./encoding.ts";

const here = import.meta.dirname;
const out = join(here, "../../build/generated/cpu");

/** A row with its place in the opcode map: it applies where (key & mask) == value. */
export interface Candidate {
  readonly row: Instruction;
  readonly encoding: Encoding;
  readonly opcode: number;
  readonly mask: number;
  readonly value: number;
}

// The key the decoder builds: see decoder.ts `selectRow`.
const KEY = { prefix: 0x3, digit: 0x1c, register: 0x20, rm: 0x1c0, w: 0x200, long: 0x400 } as const;

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

/** Exported functions of the assembly folder: name → file and whether it is generic. */
function findHandlers(): Map<string, { file: string; generic: boolean }> {
  const found = new Map<string, { file: string; generic: boolean }>();
  for (const file of readdirSync(join(here, "assembly")).filter((name) => name.endsWith(".ts"))) {
    const text = readFileSync(join(here, "assembly", file), "utf8");
    for (const [, name, generic] of text.matchAll(
      /^(?:@inline )?export function (\w+)(<T>)?\(u: usize\): void/gm,
    )) {
      found.set(name!, { file: file.slice(0, -3), generic: generic !== undefined });
    }
  }
  return found;
}

async function loadRows(partial: boolean): Promise<readonly Instruction[]> {
  if (!partial) return (await import("./instructions.ts")).instructions;
  const rows: Instruction[] = [];
  for (const name of ["base", "system", "simd", "x87"]) {
    const file = join(here, "instructions", `${name}.ts`);
    if (!existsSync(file)) continue;
    const module = (await import(pathToFileURL(file).href)) as Record<string, readonly Instruction[]>;
    rows.push(...(module[`${name}Rows`] ?? []));
  }
  return rows;
}

interface HandlerSlots {
  readonly source: string;
  /** Handler name (with "*" when sized) → first index in the handler table. */
  readonly index: Map<string, number>;
}

/** The handler table: a sized handler takes four consecutive places, for 1, 2, 4 and 8 bytes. */
function handlerTable(rows: readonly Instruction[], found: ReturnType<typeof findHandlers>): HandlerSlots {
  const index = new Map<string, number>();
  const wrappers: string[] = [],
    stores: string[] = [],
    imports = new Map<string, Set<string>>();
  let next = 0;
  for (const row of rows) {
    const sized = row.traits.includes("sized"),
      key = row.handler + (sized ? "*" : "");
    if (index.has(key)) continue;
    const { file } = found.get(row.handler)!;
    imports.set(file, (imports.get(file) ?? new Set()).add(row.handler));
    index.set(key, next);
    if (sized) {
      for (const bits of [8, 16, 32, 64]) {
        wrappers.push(
          `function ${row.handler}_${bits}(u: usize): void { handlers.${row.handler}<u${bits}>(u); }`.replace(
            "handlers.",
            "",
          ),
        );
        stores.push(
          `  store<u32>(HANDLERS + ${4 * next++}, load<u32>(changetype<usize>(${row.handler}_${bits})));`,
        );
      }
    } else
      stores.push(`  store<u32>(HANDLERS + ${4 * next++}, load<u32>(changetype<usize>(${row.handler})));`);
  }
  const heads = [...imports].map(
    ([file, names]) => `import { ${[...names].join(", ")} } from "../../../emulator/cpu/assembly/${file}";`,
  );
  const source = [
    "// Generated by emulator/cpu/generate.ts.",
    ...heads,
    `export const HANDLERS: usize = memory.data(${4 * (next + 1)}, 4);`,
    ...wrappers,
    "/** Fills the handler table; called once per reset. */",
    "export function bindHandlers(): void {",
    ...stores,
    "}",
    "",
  ].join("\n");
  return { source, index };
}

function tablesSource(
  rows: readonly Instruction[],
  slots: Map<number, Candidate[]>,
  index: Map<string, number>,
): string {
  const opcodes = Array.from({ length: 7 * 256 }, () => 0),
    groups: number[] = [0];
  for (const [opcode, list] of slots) {
    const only = list[0]!;
    if (list.length === 1 && only.mask === 0) {
      opcodes[opcode] = 0x8000 | rows.indexOf(only.row);
      continue;
    }
    opcodes[opcode] = groups.length;
    groups.push(list.length | (only.encoding.modrm ? 0x100 : 0));
    for (const { mask, value, row } of list) groups.push(mask, value, rows.indexOf(row));
  }
  const records = rows.flatMap((row) =>
    encodeRow(row, index.get(row.handler + (row.traits.includes("sized") ? "*" : ""))!),
  );
  return [
    "// Generated by emulator/cpu/generate.ts.",
    `export const OPCODES: usize = memory.data<u16>([${opcodes.join(",")}]);`,
    `export const GROUPS: usize = memory.data<u16>([${groups.join(",")}]);`,
    `export const ROWS: usize = memory.data<u8>([${records.join(",")}]);`,
    "",
  ].join("\n");
}

/** First kind, second kind, fused kind: what blocks.ts looks up for every two neighbours. */
function fusions(): number[] {
  const kind = (name: string): number => kindNames.indexOf(`K_${name}`);
  const jumps = beforeJump.flatMap((first) =>
    ["JZ", "JNZ"].map((second) => [kind(first), kind(second), kind(`${first}_J`)]),
  );
  const others = pairs.map(([first, second]) => [kind(first), kind(second), kind(`${first}_${second}`)]);
  return [...jumps, ...others].flat();
}

function kindsSource(): string {
  return [
    "// Generated by emulator/cpu/generate.ts.",
    ...kindNames.map((name, number) => `export const ${name}: u32 = ${number};`),
    ...families.map((name, number) => `export const F_${name}: u32 = ${number + 1};`),
    `export const FUSIONS: usize = memory.data<u16>([${fusions().join(",")}]);`,
    `export const FUSION_COUNT: u32 = ${fusions().length / 3};`,
    `export const KIND_COUNT: u32 = ${kindNames.length};`,
    "",
  ].join("\n");
}

async function generate(partial: boolean): Promise<void> {
  const found = findHandlers();
  const all = await loadRows(partial);
  const missing = all.filter(
    (row) => !found.has(row.handler) || found.get(row.handler)!.generic !== row.traits.includes("sized"),
  );
  if (missing.length > 0) {
    const names = [...new Set(missing.map((row) => row.handler))].join(" ");
    const text = `no handler (or generic where not "sized", or the other way round) for ${missing.length} rows: ${names}`;
    if (!partial) throw new Error(text);
    console.warn(`warning: ${text}`);
  }
  const rows = all.filter((row) => !missing.includes(row));
  const slots = slotTable(rows);
  const handlers = handlerTable(rows, found);
  mkdirSync(out, { recursive: true });
  writeFileSync(join(out, "kinds.ts"), kindsSource());
  writeFileSync(join(out, "handlers.ts"), handlers.source);
  writeFileSync(join(out, "tables.ts"), tablesSource(rows, slots, handlers.index));
  console.log(`${rows.length} rows, ${handlers.index.size} handlers, ${kindNames.length} kinds`);
}

if (import.meta.main) await generate(process.env["VIRGA_CPU_PARTIAL"] === "1");
