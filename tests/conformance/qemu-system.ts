/** QEMU's tests/tcg for whole machines: multiboot programs that write to the debug console E9h, and then end the machine. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { runMultiboot } from "../emulator/cpu/suite-machine.ts";
import { type Suite, Tally } from "./suite.ts";

const LIMIT = 2e9;
const ARCHITECTURES = ["x86_64", "i386"] as const;
/** What a program says when it has found nothing wrong. */
const LAST_LINES: Readonly<Record<string, RegExp>> = {
  memory: /^Test complete: PASSED$/,
  hello: /^Hello World$/,
};

const about = {
  name: "qemu-tcg-system",
  origin: "Debian source package qemu 7.2, tests/tcg/multiarch/system with the start code of x86_64 and i386",
};
export const qemuSystem: Suite = {
  ...about,
  folder: "qemu-tcg/system",
  run(folder) {
    const tally = new Tally();
    if (!folder || !existsSync(folder)) {
      tally.skip("the suite is absent");
      return tally.result(about);
    }
    for (const architecture of ARCHITECTURES) {
      const here = join(folder, architecture);
      for (const name of existsSync(here) ? readdirSync(here) : []) {
        const wanted = LAST_LINES[name];
        const { exit, lines } = runMultiboot(readFileSync(join(here, name)), LIMIT);
        const said = lines.filter((line) => line !== "").at(-1) ?? "";
        // A program that fails writes its status to port F4h first; one that succeeds asks for a power-off as QEMU has it, and halts.
        const good = exit === "halted" && (wanted === undefined || wanted.test(said));
        tally.judge(`${architecture}/${name}`, good ? [] : [`ended with ${exit}: ${said.slice(-200)}`]);
      }
    }
    return tally.result(about);
  },
};
