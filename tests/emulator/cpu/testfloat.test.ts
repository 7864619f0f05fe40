import { existsSync } from "node:fs";
import { beforeAll, describe, expect, test } from "vitest";
import { ARCHIVE, judge, programs, readArchive, type Vectors } from "./testfloat-x87.ts";
import { FlatMachine } from "./x87-rig.ts";

const missing = existsSync(ARCHIVE) ? "" : " (skipped: ../shared/corpora/testfloat.tar.zst is absent)";
describe.skipIf(missing)(`TestFloat, 80-bit format${missing}`, () => {
  let machine: FlatMachine, files: Vectors[];
  beforeAll(() => {
    machine = new FlatMachine();
    files = readArchive();
  });

  test.each(Object.keys(programs))("%s", (operation) => {
    const chosen = files.filter(({ name }) => name.split(".")[0] === operation);
    expect(chosen).not.toEqual([]);
    for (const vectors of chosen) expect(judge(machine, vectors), vectors.name).toEqual([]);
  });
});
