import { spawnSync } from "node:child_process";
import { describe, expect, test } from "vitest";
import { models } from "../../../emulator/cpu/models.ts";
import { hasObjdump, objdump } from "../../support/objdump.ts";
import { needs, samples } from "./model-samples.ts";

/**
 * GNU as knows which processor an instruction came with, and refuses those that are newer than the one it is told: a second opinion on
 * emulator/cpu/features.ts, for every row that has a name in 32-bit code.
 */
const PROCESSORS = {
  "386": ".arch i386\n.arch .387",
  "486": ".arch i486\n.arch .387",
  pentium: ".arch pentium",
  pentium3: ".arch pentiumiii",
  core2: ".arch core2",
} as const;
/**
 * Where its opinion is about something else: RSM it takes for a 386's, FFREEP, which no manual has, for a later coprocessor's; MOVD, MOVSD
 * and PEXTRW are names of older instructions too; later processors give meanings to some of the long NOPs and to 0F 0D.
 */
const OTHERWISE = /^(RSM|FFREEP|MOVD|MOVSD|PEXTRW|NOP|PREFETCHW)\b/;
const STEP = 24;

/** Rows and what objdump calls them; jumps need labels. */
function named(): { row: ReturnType<typeof samples>[number]["row"]; text: string }[] {
  const all = samples(false).filter(({ row }) => !OTHERWISE.test(row.syntax));
  const code = new Uint8Array(STEP * all.length).fill(0x90);
  for (const [index, { code: bytes }] of all.entries()) code.set(bytes, STEP * index);
  const listing = objdump(code, 32);
  return all.flatMap(({ row }, index) => {
    const text = listing.get(STEP * index)?.text ?? "";
    return text === "" || /bad|^(j|call|loop|xbegin)/.test(text) ? [] : [{ row, text }];
  });
}

/** Lines that as refuses for a processor, or for any when none is named, by number from 0. */
function refused(arch: string, lines: readonly string[]): Set<number> {
  const head = [".intel_syntax noprefix", ...(arch === "" ? [] : arch.split("\n"))];
  const { stderr } = spawnSync("as", ["--32", "-o", "/dev/null", "-"], {
    input: `${[...head, ...lines].join("\n")}\n`,
    encoding: "utf8",
    maxBuffer: 2 ** 26,
  });
  const found = [...stderr.matchAll(/:(\d+): Error: /g)];
  return new Set(found.map(([, line]) => Number(line) - 1 - head.length));
}

const hasAssembler = hasObjdump() && spawnSync("as", ["--version"]).status === 0;
describe.skipIf(!hasAssembler)(`GNU as and objdump${hasAssembler ? "" : " (binutils are absent)"}`, () => {
  const every = hasAssembler ? named() : [],
    unknown = refused(
      "",
      every.map(({ text }) => text),
    ),
    rows = every.filter((_row, index) => !unknown.has(index));
  test("name most of the table", () => {
    expect(rows.length).toBeGreaterThan(2000);
  });
  test.each(Object.entries(PROCESSORS))("agree about what a %s has", (name, arch) => {
    const { features } = models[name as keyof typeof PROCESSORS];
    const tooNew = refused(
      arch,
      rows.map(({ text }) => text),
    );
    const wrong = rows.filter(
      ({ row }, index) => needs(row).some((feature) => !features.includes(feature)) !== tooNew.has(index),
    );
    expect(wrong.map(({ row, text }) => `${row.encoding} (${row.syntax}): ${text}`)).toEqual([]);
  });
});
