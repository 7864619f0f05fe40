/** Differences that the fuzzer found, each with what the processor does (tests/fuzz): none may come back. */
import { readdirSync } from "node:fs";
import { expect, test } from "vitest";
import { readVectors, VectorMachine } from "../../support/cpu-vectors.ts";

const folder = "tests/vectors/cpu";
const sets = readdirSync(folder)
  .filter((name) => name.endsWith(".ndjson"))
  .map((name) => name.replace(".ndjson", ""));

test.each(sets)("%s", (set) => {
  const machine = new VectorMachine("long", folder);
  const failures = readVectors(set, folder).flatMap((vector) => {
    const differences = machine.replay(vector);
    return differences.length === 0 ? [] : [`${vector.id} [${vector.c}]: ${differences.join("; ")}`];
  });
  expect(failures).toEqual([]);
});
