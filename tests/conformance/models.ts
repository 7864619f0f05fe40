/**
 * Each processor model with guests that fit it, and with some that do not and say so: BIOSes, GRUB, iPXE, memtest86+ and Debian's kernels.
 * All of them are files of Debian packages; a guest whose files are absent is skipped by its name.
 */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { ProcessorName } from "#protocol/processor.ts";
import { runRom } from "../emulator/cpu/suite-machine.ts";
import { GuestAbsent, GuestFiles } from "./model-files.ts";
import { bochsBios, disk, endsAt, grub, memtest, setup, stopsAtBswap, type Trial } from "./model-firmware.ts";
import { type KernelName, level, linux } from "./model-linux.ts";
import { type Suite, Tally } from "./suite.ts";

const IA32 = "memtest/memtest86+ia32.bin",
  X64 = "memtest/memtest86+x64.bin";
const INSTRUCTIONS = 1e9;

/** "This kernel requires an i686 CPU, but only detected an i486 CPU." */
const refused = (needed: string, found: string): RegExp =>
  new RegExp(`requires an ${needed} CPU, but only detected an ${found} CPU`);
const detected: Partial<Record<ProcessorName, string>> = {
  "386": "i386",
  "486": "i486",
  pentium: "i586",
  pentium3: "i686",
};

const firmware: readonly (readonly [ProcessorName, string, Trial])[] = [
  ["386", "Bochs's legacy BIOS, to its end", bochsBios("386")],
  ["386", "SeaBIOS, until it needs BSWAP", stopsAtBswap("386")],
  ...(["486", "pentium", "pentium3", "core2", "v1", "v2", "v3"] as const).map(
    (name) => [name, "SeaBIOS, GRUB and its shell", grub(name, /^(core2|v\d)$/.test(name))] as const,
  ),
  ...(["pentium3", "v1", "v3"] as const).map(
    (name) => [name, "SeaBIOS, ISOLINUX, iPXE", disk(name, "disks/ipxe.iso", /^iPXE \d/m)] as const,
  ),
  ["386", "memtest86+, until it needs CPUID", endsAt("386", IA32, "cpuid")],
  ["486", "memtest86+", memtest("486", IA32, /Intel 486DX4/)],
  ["pentium", "memtest86+", memtest("pentium", IA32, /Pentium\s/)],
  ["pentium3", "memtest86+", memtest("pentium3", IA32, /Pentium III/)],
  ["core2", "memtest86+", memtest("core2", X64, /Virga virtual CPU, as Core 2/)],
  ["v3", "memtest86+", memtest("v3", X64, /Virga virtual CPU/)],
];

const kernelFile = (kernel: KernelName): `linux/vmlinuz-${KernelName}` => `linux/vmlinuz-${kernel}`;
const isRefused = (
  name: ProcessorName,
  kernel: KernelName,
  pattern: RegExp,
): readonly [ProcessorName, string, Trial] => [
  name,
  `Debian's ${kernel} kernel, which says what it misses`,
  setup(name, kernelFile(kernel), pattern),
];
const refusals: readonly (readonly [ProcessorName, string, Trial])[] = [
  ...(["386", "486"] as const).map((name) => isRefused(name, "686", refused("i586", detected[name]!))),
  isRefused("pentium", "686", /features not present on the CPU:\s+cmov\s/),
  ...(["386", "486", "pentium"] as const).map((name) =>
    isRefused(name, "686-pae", refused("i686", detected[name]!)),
  ),
  ...(["386", "486", "pentium", "pentium3"] as const).map((name) =>
    isRefused(name, "amd64", refused("x86-64", detected[name]!)),
  ),
];

/** Through the kernel's own way from real mode; then from the entries that the machine itself uses, to a shell. */
const boots: readonly (readonly [ProcessorName, string, Trial])[] = [
  [
    "pentium3",
    "Debian's 686 kernel from real mode",
    setup("pentium3", kernelFile("686"), /CPU0: Intel Pentium III \(Coppermine\) \(family: 0x6, model: 0x8/),
  ],
  [
    "core2",
    "Debian's amd64 kernel from real mode",
    setup("core2", kernelFile("amd64"), /CPU0: Intel Virga virtual CPU, as Core 2 \(family: 0x6, model: 0xf/),
  ],
  ...(
    [
      ["pentium3", "686"],
      ["pentium3", "686-pae"],
      ["core2", "686-pae"],
      ["core2", "amd64"],
      ["v1", "686"],
      ["v1", "amd64"],
      ["v2", "amd64"],
      ["v3", "686-pae"],
      ["v3", "amd64"],
    ] as const
  ).map(([name, kernel]) => [name, `Debian's ${kernel} kernel to a shell`, linux(name, kernel)] as const),
  ...(
    [
      ["core2", 1],
      ["v1", 1],
      ["v2", 2],
      ["v3", 3],
    ] as const
  ).map(([name, most]) => [name, "glibc, which names its level", level(name, most)] as const),
];

/** The ROM of test386 on those that no kernel fits; it lies beside the suite's folder. */
function roms(folder: string | undefined, tally: Tally): void {
  const rom = folder === undefined ? undefined : join(folder, "../test386/test386-128k.bin");
  if (rom === undefined || !existsSync(rom)) {
    tally.skip("test386 on 386, 486 and pentium: test386-128k.bin is absent", 3);
    return;
  }
  for (const processor of ["386", "486", "pentium"] as const) {
    const { posts } = runRom(readFileSync(rom), INSTRUCTIONS, processor);
    tally.judgeOn(processor, "test386", posts.at(-1) === "ff" ? [] : [`it ends at ${posts.at(-1)}`]);
  }
}

const about = {
  name: "models",
  origin:
    "Debian packages bochsbios, seabios, grub-rescue-pc, ipxe, memtest86+, linux-image-686, -686-pae, -amd64, busybox-static, libc6, coreutils; test386",
};
export const modelGuests: Suite = {
  ...about,
  folder: "guests",
  async run(folder, note) {
    const tally = new Tally(),
      files = new GuestFiles(folder);
    roms(folder, tally);
    for (const [processor, what, trial] of [...firmware, ...refusals, ...boots]) {
      const name = `${processor}: ${what}`;
      note?.(name);
      try {
        tally.judgeOn(processor, what, await trial(files));
      } catch (problem) {
        if (!(problem instanceof GuestAbsent)) throw problem;
        tally.skip(`${name}: ${problem.message}`);
      }
    }
    return tally.result(about);
  },
};
