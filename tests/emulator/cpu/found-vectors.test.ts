/** Differences that the fuzzer found, each with what the processor does (tests/fuzz): none may come back. */
import { readdirSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { readVectors, VectorMachine } from "../../support/cpu-vectors.ts";
import { replaySystem, type SystemVector } from "../../fuzz/system-vectors.ts";

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

test("system streams", () => {
  const lines = readFileSync(`${folder}/system-found.jsonl`, "utf8").trimEnd().split("\n");
  const vectors = lines.map((line) => JSON.parse(line) as SystemVector);
  expect(vectors.length).toBeGreaterThan(0);
  for (const vector of vectors) expect(replaySystem(vector), vector.id).toEqual([]);
});
