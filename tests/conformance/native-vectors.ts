/** Vectors recorded on a processor (tests/support/cpu-vectors.ts); `--dir` takes any folder of them, compressed or plain. */
import { existsSync, readdirSync } from "node:fs";
import { corpus, readVectors, VectorMachine } from "../support/cpu-vectors.ts";
import { type Suite, type SuiteResult, Tally } from "./suite.ts";

/** Vectors whose outcome is not the architecture's, by id, in the recorded corpus. */
export const notArchitectural: Readonly<Record<string, string>> = {
  "m64/memfault/672": "the page below the top of user space was present in the generator's process",
  "m64/memfault/705": "the page below the top of user space was present in the generator's process",
};

/**
 * Differences between one vendor's processors and another's, which fresh vectors from another host show: flags after a fault in the
 * middle of REP CMPS and SCAS, the stack after a near branch that faults at its target, and the presence of a page above user space.
 */
function isVendors(category: string, mnemonic: string, differences: readonly string[]): boolean {
  if (category === "memfault" && /^(scas|cmps)/.test(mnemonic))
    return differences.every((text) => text.startsWith("fl "));
  if (mnemonic.startsWith("call")) return differences.every((text) => /^(memory|rsp|rip) /.test(text));
  return category === "memfault" && differences.every((text) => /^#14\(\d+\) cr2 7ffffffff/.test(text));
}

const GFNI = /-gfni/;

export const nativeVectors: Suite = {
  name: "native-vectors",
  origin: "the project's own generator, seed 1, recorded on an AMD EPYC (family 25, model 17)",
  folder: "a folder of env.json and *.ndjson or *.ndjson.gz",
  run(named): SuiteResult {
    const folder = named ?? corpus,
      tally = new Tally();
    if (!existsSync(folder)) {
      tally.skip(`${folder} is absent`);
      return tally.result(nativeVectors);
    }
    const machine = new VectorMachine("long", folder);
    const files = readdirSync(folder).filter((name) => /\.ndjson(\.gz)?$/.test(name));
    for (const set of new Set(files.map((name) => name.replace(/\.ndjson(\.gz)?$/, "")))) {
      for (const vector of readVectors(set, folder)) {
        const reason = named === undefined ? notArchitectural[vector.id] : undefined;
        if (reason !== undefined) tally.notApplicable(vector.id, reason);
        else if (GFNI.test(set)) tally.notApplicable(vector.id, "no processor model has GFNI");
        else {
          const differences = machine.replay(vector);
          if (differences.length > 0 && isVendors(vector.id.split("/")[1]!, vector.n, differences))
            tally.notApplicable(vector.id, "processors of one vendor differ here from another's");
          else tally.judge(`${vector.id} ${vector.n} [${vector.c}]`, differences);
        }
      }
    }
    return tally.result(nativeVectors);
  },
};
