/** memtest86+ of Debian, booted as Linux kernels are: it must find the memory, start its tests and see no error. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import type { BootEntry } from "#protocol/machine-definition.ts";
import type { Headless } from "../../emulator/machine/headless.ts";
import { startNodeMachine } from "../../infra/headless/node-machine.ts";
import { type Suite, Tally } from "./suite.ts";

const LIMIT_MS = 240_000;

export function screenText(machine: Headless): string {
  const picture = machine.picture();
  if (picture.kind !== "text") return "";
  const { cells, columns } = picture.screen;
  return Array.from(
    { length: cells.length / 2 },
    (_, k) => String.fromCharCode(cells[2 * k]!) + ((k + 1) % columns === 0 ? "\n" : ""),
  ).join("");
}

/** Waits until the screen shows what is asked for; undefined when it does not in time. */
export async function seen(machine: Headless, pattern: RegExp): Promise<string | undefined> {
  const end = performance.now() + LIMIT_MS;
  while (performance.now() < end) {
    const match = pattern.exec(screenText(machine));
    if (match) return match[0];
    await pause(500);
  }
  return undefined;
}

export const memtest: Suite = {
  name: "memtest86+",
  origin: "Debian package memtest86+ 6.10-4, memtest86+x64.bin",
  folder: "memtest86+",
  async run(folder) {
    const tally = new Tally(),
      image = folder && join(folder, "memtest86+x64.bin");
    if (!image || !existsSync(image)) {
      tally.skip("the suite is absent");
      return tally.result(memtest);
    }
    const machine = await startNodeMachine({
      boot: { id: "memtest", label: "memtest86+", commandLine: "" } as BootEntry,
      kernel: readFileSync(image),
      memoryMiB: 64,
      disks: [],
      onSerial: () => {},
    });
    const first = await seen(machine, /Test #\s*\d+/);
    tally.judge(
      "the first test runs",
      first === undefined ? [`no "Test #" on the screen: ${screenText(machine).trim().slice(0, 200)}`] : [],
    );
    const later = first === undefined ? undefined : await seen(machine, /Test #\s*[2-9]/);
    tally.judge("it goes on to the third test", later === undefined ? ["no third test"] : []);
    const errors = /Errors:\s*(\d+)/.exec(screenText(machine))?.[1];
    tally.judge("no errors", errors === "0" ? [] : [`Errors: ${errors ?? "?"}`]);
    machine.powerOff();
    return tally.result(memtest);
  },
};
