/**
 * Processor models in front of firmware: a BIOS and what it starts, the setup code of Linux kernels, which looks at the processor in real
 * mode and says what it misses, and memtest86+, which names the processor that it sees.
 */
import { setTimeout as pause } from "node:timers/promises";
import type { BootEntry } from "#protocol/machine-definition.ts";
import type { ProcessorName } from "#protocol/processor.ts";
import { startNodeMachine } from "../../infra/headless/node-machine.ts";
import { BOOT_SECTOR, FirmwareMachine, waitingDisk } from "../support/firmware-machine.ts";
import { screenText, seen } from "./memtest.ts";
import type { GuestFile, GuestFiles } from "./model-files.ts";

/** What is wrong with a guest on a model; nothing, where it did what it should. */
export type Trial = (files: GuestFiles) => Promise<string[]>;

/** Guest seconds, which pass by instructions and by waiting for timers. */
const BIOS_SECONDS = 30,
  KERNEL_SECONDS = 600;

/** SeaBIOS with its display's ROM. */
const withSeaBios = (
  files: GuestFiles,
  processor: ProcessorName,
  disk: Uint8Array,
  memoryMiB = 64,
): FirmwareMachine =>
  new FirmwareMachine({
    processor,
    memoryMiB,
    rom: files.read("bios/bios.bin"),
    files: new Map([["vgaroms/vgabios.bin", files.read("bios/vgabios-stdvga.bin")]]),
    disks: [disk],
  });

/** The last lines that a machine showed. */
const shown = (machine: FirmwareMachine): string =>
  `${machine.screen}\n${machine.serial}`
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "")
    .slice(-3)
    .join(" / ");

async function waitFor(machine: FirmwareMachine, wanted: () => boolean, seconds: number): Promise<string[]> {
  const ended = await machine.until(wanted, seconds);
  return ended === undefined ? [] : [`${ended}: ${shown(machine)}`];
}

/** Bochs's older BIOS needs a 386, and ends where it finds nothing to start. */
async function legacyBios(files: GuestFiles, processor: ProcessorName): Promise<[FirmwareMachine, string[]]> {
  const machine = new FirmwareMachine({
    processor,
    memoryMiB: 64,
    rom: files.read("bios/BIOS-bochs-legacy"),
    displayRom: files.read("bios/vgabios-stdvga.bin"),
  });
  const problems = await waitFor(machine, () => machine.debug.includes("No bootable device."), BIOS_SECONDS);
  return [machine, problems];
}
export const bochsBios =
  (processor: ProcessorName): Trial =>
  async (files) =>
    (await legacyBios(files, processor))[1];

/** SeaBIOS swaps bytes with BSWAP, which came with the 486. */
export const stopsAtBswap =
  (processor: ProcessorName): Trial =>
  async (files) => {
    const machine = withSeaBios(files, processor, waitingDisk);
    const ended = await machine.until(() => machine.cpu.rip === BOOT_SECTOR, BIOS_SECONDS);
    return ended === "triple fault" && machine.debug.includes("SeaBIOS (version") ? [] : [ended ?? "it runs"];
  };

/** SeaBIOS starts a disk, which has to show this. */
export const disk =
  (processor: ProcessorName, file: GuestFile, pattern: RegExp): Trial =>
  async (files) => {
    const machine = withSeaBios(files, processor, files.read(file));
    return waitFor(machine, () => pattern.test(machine.screen), BIOS_SECONDS);
  };

/** Scan codes, set 1, of what is typed below. */
const KEYS = new Map(
  [
    ["qwertyuiop", 0x10],
    ["asdfghjkl;", 0x1e],
    ["zxcvbnm,./", 0x2c],
    ["-", 0x0c],
    [" ", 0x39],
    ["\n", 0x1c],
  ].flatMap(([letters, first]) => Array.from(String(letters), (letter, k) => [letter, Number(first) + k])),
);

/** GRUB's shell is asked whether the processor has long mode. */
export const grub =
  (processor: ProcessorName, isLong: boolean): Trial =>
  async (files) => {
    const machine = withSeaBios(files, processor, files.read("disks/grub-rescue-cdrom.iso"));
    const menu = await waitFor(machine, () => machine.screen.includes("GNU GRUB  version"), BIOS_SECONDS);
    if (menu.length > 0) return menu;
    for (const letter of "cif cpuid -l; then echo wide; else echo narrow; fi\n") {
      const code = KEYS.get(letter)!;
      machine.press([code, code | 0x80]);
      await machine.until(() => false, 0.05);
    }
    const wanted = isLong ? /^ *wide *$/m : /^ *narrow *$/m;
    return waitFor(machine, () => wanted.test(machine.screen), BIOS_SECONDS);
  };

/** A kernel's setup code, in real mode behind a BIOS, has to say this; where it goes on, what it becomes has to. */
export const setup =
  (processor: ProcessorName, kernel: GuestFile, pattern: RegExp): Trial =>
  async (files) => {
    const [machine, problems] =
      processor === "386"
        ? await legacyBios(files, processor)
        : [withSeaBios(files, processor, waitingDisk, 256), []];
    const ready =
      processor === "386"
        ? problems
        : await waitFor(machine, () => machine.cpu.rip === BOOT_SECTOR, BIOS_SECONDS);
    if (ready.length > 0) return ready;
    machine.enterSetup(
      files.read(kernel),
      "console=ttyS0,115200 earlyprintk=serial,ttyS0,115200 nokaslr edd=off",
    );
    const ended = (): boolean => pattern.test(machine.serial) || machine.serial.includes("Kernel panic");
    const late = await waitFor(machine, ended, KERNEL_SECONDS);
    return late.length > 0 || pattern.test(machine.serial)
      ? late
      : [`it ends without saying it: ${shown(machine)}`];
  };

/** A machine that has nothing but what it boots. */
const startImage = (processor: ProcessorName, kernel: Uint8Array) =>
  startNodeMachine({
    boot: { id: "guest", label: "guest", commandLine: "" } as BootEntry,
    kernel,
    memoryMiB: 64,
    processor,
    disks: [],
    onSerial: () => {},
  });

const ENTER = Uint8Array.of(0x1c, 0x9c);
/** memtest86+ names the processor, and its tests run without an error. */
export const memtest =
  (processor: ProcessorName, file: GuestFile, name: RegExp): Trial =>
  async (files) => {
    const machine = await startImage(processor, files.read(file));
    // It waits some seconds for keys; one that starts the tests need not be waited for.
    await seen(machine, /to start testing|Test #\s*\d/);
    machine.machine.sendKeys(ENTER);
    const third = await seen(machine, /Test #\s*[2-9]/);
    const text = screenText(machine);
    machine.powerOff();
    await machine.done;
    return [
      ...(third === undefined ? ["no third test"] : []),
      ...(name.test(text) ? [] : [`it sees ${text.split("\n")[0]!.trim()}`]),
      ...(/Errors:\s*0\s/.test(text) ? [] : ["it does not say that there is no error"]),
    ];
  };

/** A guest that uses what the processor lacks before it can say so: the instruction at which the machine ends. */
export const endsAt =
  (processor: ProcessorName, file: GuestFile, mnemonic: string): Trial =>
  async (files) => {
    const machine = await startImage(processor, files.read(file));
    const end = await Promise.race([machine.done, pause(60_000, undefined, { ref: false })]);
    machine.powerOff();
    const said = JSON.stringify(end);
    return end?.reason === "failed" && said.includes(mnemonic) ? [] : [said];
  };
