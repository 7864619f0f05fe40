/** Ground truth of a real CPU, one test per mode and category; see tests/support/cpu-vectors.ts. */
import { existsSync, readdirSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { notArchitectural } from "../../conformance/native-vectors.ts";
import { corpus, readVectors, VectorMachine } from "../../support/cpu-vectors.ts";

const sets = existsSync(corpus)
  ? readdirSync(corpus)
      .filter((name) => name.endsWith(".ndjson.gz"))
      .map((name) => name.replace(".ndjson.gz", ""))
  : [];

/** The 16-bit sets hold in real mode too, but for "priv": its traps are those of CPL 3. */
const realSets = sets.filter((set) => set.startsWith("m16-") && set !== "m16-priv");

function failuresOf(machine: VectorMachine, set: string): string[] {
  return readVectors(set).flatMap((vector) => {
    if (notArchitectural[vector.id] !== undefined) return [];
    const differences = machine.replay(vector);
    return differences.length === 0
      ? []
      : [`${vector.id} ${vector.n} [${vector.c}]: ${differences.join("; ")}`];
  });
}

describe.skipIf(sets.length === 0)(
  "native vectors (skipped without ../shared/corpora/native-vectors)",
  () => {
    const long = sets.length > 0 ? new VectorMachine("long") : undefined;
    const real = sets.length > 0 ? new VectorMachine("real") : undefined;
    test.each(sets)("%s", (set) => {
      expect(failuresOf(long!, set).slice(0, 10)).toEqual([]);
    });
    test.each(realSets)("%s in real mode", (set) => {
      expect(failuresOf(real!, set).slice(0, 10)).toEqual([]);
    });
  },
);
