/** test386.asm as the only ROM of a 386 machine: every stage, and every line that its last stage prints. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { runRom } from "../emulator/cpu/suite-machine.ts";
import { type Suite, Tally } from "./suite.ts";

const trimmed = (text: string): string[] =>
  text
    .replaceAll("\r", "")
    .split("\n")
    .map((line) => line.trimEnd());

export const test386: Suite = {
  name: "test386",
  origin: "repository barotto/test386.asm, cfd052d (2026-04-19), 128 KiB ROM with the task-switch stage",
  folder: "test386",
  run(folder) {
    const tally = new Tally(),
      rom = folder && join(folder, "test386-128k.bin"),
      reference = folder && join(folder, "test386-EE-reference.txt");
    if (!rom || !reference || !existsSync(rom) || !existsSync(reference)) {
      tally.skip("the suite is absent");
      return tally.result(test386);
    }
    const { posts, text } = runRom(readFileSync(rom), 1e9);
    tally.judge("stages", posts.at(-1) === "ff" ? [] : [`stopped at POST ${posts.at(-1) ?? "-"}`]);
    const lines = trimmed(text);
    for (const [n, wanted] of trimmed(readFileSync(reference, "latin1")).entries())
      tally.judge(`EE line ${n + 1}`, lines[n] === wanted ? [] : [`${lines[n] ?? "nothing"} ≠ ${wanted}`]);
    return tally.result(test386);
  },
};
