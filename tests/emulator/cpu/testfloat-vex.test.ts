import { existsSync } from "node:fs";
import { beforeAll, describe, expect, test } from "vitest";
import { LongRig } from "./long-rig.ts";
import { ARCHIVE, type Files, judge, programs, readArchive } from "./testfloat-vex.ts";

const missing = existsSync(ARCHIVE) ? "" : " (skipped: ../shared/corpora/testfloat.tar.zst is absent)";
describe.skipIf(missing)(`TestFloat, single and double precision${missing}`, () => {
  let rig: LongRig, files: Files;
  beforeAll(() => {
    rig = new LongRig();
    files = readArchive();
  });
  test("the archive holds every operation", () => {
    expect([...files.keys()].toSorted()).toEqual(Object.keys(programs).toSorted());
  });
  test.each(Object.keys(programs))("%s", (operation) => {
    for (const file of files.get(operation)!)
      expect(judge(rig, operation, file).slice(0, 10), file.name).toEqual([]);
  });
});
