import { describe, expect, test } from "vitest";
import type { Feature } from "../../../emulator/cpu/features.ts";
import { instructions } from "../../../emulator/cpu/instructions.ts";
import { models } from "../../../emulator/cpu/models.ts";
import { ProcessorName } from "../../../emulator/protocol/processor.ts";
import { ModelRig } from "./model-rig.ts";
import { samples } from "./model-samples.ts";

/** Every row of the instruction table on every model: #UD exactly where the model lacks what the row came with. */
const UD = 6;
/** Undefined for a reason of their own: always, outside system-management mode, and Intel's SYSCALL outside 64-bit mode. */
const ALWAYS = /^(UD[012]|RSM)$/;
const IN_64_BIT_MODE_ONLY = /^SYS(CALL|RET)$/;
/** In 64-bit mode a feature of its own, but not a row. */
const FLAGS_IN_AH = /^[LS]AHF$/;

describe.each(ProcessorName.options)("every instruction on a processor %s", (name) => {
  const { features } = models[name];
  const has = (feature: Feature): boolean => features.includes(feature);
  const modes = has("lm") ? ([false, true] as const) : ([false] as const);

  test.each(modes.map((long) => [long ? 64 : 32, long] as const))("in %i-bit mode", (_bits, long) => {
    const rig = new ModelRig(name, long),
      wrong: string[] = [];
    for (const { row, code, meaning } of samples(long)) {
      const mnemonic = row.syntax.split(" ")[0]!,
        meant = meaning(has);
      const elsewhere = long
        ? FLAGS_IN_AH.test(mnemonic) && !has("lahf")
        : IN_64_BIT_MODE_ONLY.test(mnemonic);
      const expected = meant === undefined || ALWAYS.test(mnemonic) || elsewhere;
      if ((rig.run(code) === UD) !== expected)
        wrong.push(`${row.encoding} (${row.syntax}) ${expected ? "runs" : "is undefined"}`);
    }
    expect(wrong).toEqual([]);
  });
});

test("the samples cover the table", () => {
  const covered = new Set([...samples(false), ...samples(true)].map(({ row }) => row));
  expect(instructions.filter((row) => !covered.has(row))).toEqual([]);
});
