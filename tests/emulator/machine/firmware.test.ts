import { join } from "node:path";
import { expect, test } from "vitest";
import { BOOT_SECTOR, FirmwareMachine, waitingDisk } from "../../support/firmware-machine.ts";
import { type GuestFile, GuestFiles } from "../../conformance/model-files.ts";

/** A BIOS of a Debian package on the board: from reset to the boot sector of a virtio disk. */
const suites = process.env["VIRGA_SUITES"];
const files = new GuestFiles(suites === undefined ? undefined : join(suites, "guests"));
const LIMIT_SECONDS = 30;

/** Where a file is absent, the test is skipped by its name and this. */
const without = (...names: readonly GuestFile[]): string =>
  names
    .filter((name) => !files.has(name))
    .map((name) => ` (${name} of a Debian package is absent)`)
    .join("");
const seaBios = (processor: "486" | "v3"): FirmwareMachine =>
  new FirmwareMachine({
    processor,
    memoryMiB: 64,
    rom: files.read("bios/bios.bin"),
    files: new Map([["vgaroms/vgabios.bin", files.read("bios/vgabios-stdvga.bin")]]),
    disks: [waitingDisk],
  });

const noSeaBios = without("bios/bios.bin", "bios/vgabios-stdvga.bin");
test.skipIf(noSeaBios)(`SeaBIOS starts a disk on a 486, and on the newest model${noSeaBios}`, async () => {
  for (const processor of ["486", "v3"] as const) {
    const machine = seaBios(processor);
    expect(await machine.until(() => machine.cpu.rip === BOOT_SECTOR, LIMIT_SECONDS)).toBeUndefined();
    expect(machine.debug).toContain("using modern (1.0) virtio mode");
    expect(machine.screen).toContain("Booting from Hard Disk...");
  }
});

const noKernel = without("bios/bios.bin", "bios/vgabios-stdvga.bin", "linux/vmlinuz-686");
test.skipIf(noKernel)(`a kernel that asks for more than a 486 says so${noKernel}`, async () => {
  const machine = seaBios("486");
  await machine.until(() => machine.cpu.rip === BOOT_SECTOR, LIMIT_SECONDS);
  machine.enterSetup(files.read("linux/vmlinuz-686"), "");
  await machine.until(() => machine.screen.includes("Unable to boot"), LIMIT_SECONDS);
  expect(machine.screen).toContain("This kernel requires an i586 CPU, but only detected an i486 CPU.");
});

const noBochs = without("bios/BIOS-bochs-legacy", "bios/vgabios-stdvga.bin");
test.skipIf(noBochs)(
  `the legacy BIOS of Bochs runs on a 386, whose timer interrupts come without an APIC${noBochs}`,
  async () => {
    const machine = new FirmwareMachine({
      processor: "386",
      memoryMiB: 16,
      rom: files.read("bios/BIOS-bochs-legacy"),
      displayRom: files.read("bios/vgabios-stdvga.bin"),
    });
    const ended = await machine.until(() => machine.debug.includes("No bootable device."), LIMIT_SECONDS);
    expect(ended).toBeUndefined();
  },
);
