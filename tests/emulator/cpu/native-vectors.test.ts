/** Ground truth of a real CPU, one test per mode and category; see tests/support/cpu-vectors.ts. */
import { existsSync, readdirSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { corpus, readVectors, VectorMachine } from "../../support/cpu-vectors.ts";

/** Instruction sets that CPUID does not offer. */
const notOffered = /-(avx2?|fma|f16c)$/;

/** Vectors whose outcome is not the architecture's, by id. */
const notArchitectural: Readonly<Record<string, string>> = {
  "m64/memfault/672": "the page below the top of user space was present in the generator's process",
  "m64/memfault/705": "the page below the top of user space was present in the generator's process",
};

const sets = existsSync(corpus)
  ? readdirSync(corpus)
      .filter((name) => name.endsWith(".ndjson.gz"))
      .map((name) => name.replace(".ndjson.gz", ""))
      .filter((name) => !notOffered.test(name))
  : [];

describe.skipIf(sets.length === 0)(
  "native vectors (skipped without ../shared/corpora/native-vectors)",
  () => {
    const machine = sets.length > 0 ? new VectorMachine() : undefined;
    test.each(sets)("%s", (set) => {
      const failures: string[] = [];
      for (const vector of readVectors(set)) {
        if (notArchitectural[vector.id] !== undefined) continue;
        const differences = machine!.replay(vector);
        if (differences.length > 0)
          failures.push(`${vector.id} ${vector.n} [${vector.c}]: ${differences.join("; ")}`);
      }
      expect(failures.slice(0, 10)).toEqual([]);
    });
  },
);
