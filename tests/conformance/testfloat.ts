/** Berkeley TestFloat's vectors: the 80-bit format as x87 instructions, single and double precision as VEX-encoded ones. */
import { existsSync } from "node:fs";
import { LongRig } from "../emulator/cpu/long-rig.ts";
import * as vex from "../emulator/cpu/testfloat-vex.ts";
import * as x87 from "../emulator/cpu/testfloat-x87.ts";
import { FlatMachine } from "../emulator/cpu/x87-rig.ts";
import { type Suite, Tally } from "./suite.ts";

/** One line of a file is one test. */
function count(tally: Tally, name: string, lines: number, differences: readonly string[]): void {
  for (const text of differences) tally.fail(name, text);
  for (let k = differences.length; k < lines; k++) tally.pass();
}

export const testfloat: Suite = {
  name: "testfloat",
  origin: "Berkeley TestFloat 3e, level 1 vectors",
  folder: "the archive testfloat.tar.zst",
  run(named) {
    const archive = named ?? x87.ARCHIVE,
      tally = new Tally();
    if (!existsSync(archive)) {
      tally.skip(`${archive} is absent`);
      return tally.result(testfloat);
    }
    const flat = new FlatMachine();
    for (const file of x87.readArchive(archive)) {
      if (x87.programs[file.name.split(".")[0]!] !== undefined)
        count(tally, file.name, file.lines.length, x87.judge(flat, file));
      else tally.notApplicable(file.name, "the x87 has no such operation");
    }
    const rig = new LongRig();
    for (const [operation, files] of vex.readArchive(archive))
      for (const file of files) count(tally, file.name, file.lines.length, vex.judge(rig, operation, file));
    return tally.result(testfloat);
  },
};
