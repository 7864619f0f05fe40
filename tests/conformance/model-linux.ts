/**
 * Debian's kernels on processor models, to a shell: what the kernel read from CPUID, a computation, and glibc's own opinion of the
 * processor's level (x86-64 psABI §3.1.1), with programs that are marked as made for a level.
 */
import { setTimeout as pause } from "node:timers/promises";
import type { BootEntry } from "#protocol/machine-definition.ts";
import type { ProcessorName } from "#protocol/processor.ts";
import { models } from "../../emulator/cpu/models.ts";
import { startNodeMachine } from "../../infra/headless/node-machine.ts";
import { SerialDialogue } from "../../infra/headless/serial-dialogue.ts";
import { packCpio } from "../../infra/images/cpio.ts";
import { TreeBuilder } from "../../infra/images/tree.ts";
import type { Trial } from "./model-firmware.ts";
import { GuestAbsent, type GuestFiles } from "./model-files.ts";

export type KernelName = "686" | "686-pae" | "amd64";
const LIMIT_MS = 240_000;
const COMMAND_LINE =
  "console=ttyS0 mitigations=off tsc=reliable nowatchdog cryptomgr.notests rcupdate.rcu_expedited=1 rdinit=/init loglevel=4";
const INIT = `#!/bin/busybox sh
/bin/busybox mkdir -p /proc
/bin/busybox mount -t proc proc /proc
/bin/busybox --install -s /bin
export PATH=/bin PS1='guest# '
exec setsid -c sh </dev/console >/dev/console 2>&1
`;
/** CPUID's flags that a model must show, and must not. */
const FLAGS: Partial<Record<ProcessorName, readonly [readonly string[], readonly string[]]>> = {
  pentium3: [
    ["sse", "cmov", "pae"],
    ["sse2", "nx", "lm"],
  ],
  core2: [
    ["ssse3", "cx16", "nx", "lm"],
    ["popcnt", "sse4_1", "rdtscp"],
  ],
  v1: [
    ["sse2", "lm", "xsave", "smep"],
    ["ssse3", "cx16", "lahf_lm", "popcnt"],
  ],
  v2: [
    ["sse4_2", "popcnt", "lahf_lm", "aes"],
    ["avx", "bmi1", "movbe"],
  ],
  v3: [["avx2", "fma", "bmi2", "f16c", "abm"], ["avx512f"]],
};
/** GNU_PROPERTY_X86_ISA_1_NEEDED, of 4 bytes (x86-64 psABI, "Program Property"); its first value is the baseline, the next the levels. */
const ISA_NEEDED = Buffer.from("028000c004000000", "hex");
/** The program, marked as one for level 2 or 3. */
function marked(program: Uint8Array, level: number): Uint8Array {
  const bytes = Buffer.from(program),
    place = bytes.indexOf(ISA_NEEDED);
  if (place < 0) throw new GuestAbsent("a program that says which processor it needs is absent");
  bytes.writeUInt32LE(1 << (level - 1), place + ISA_NEEDED.length);
  return bytes;
}

/** A RAM disk with BusyBox, to which more may be added. */
const withBusyBox = (files: GuestFiles): TreeBuilder =>
  new TreeBuilder(0)
    .character("dev/console", 5, 1)
    .file("init", INIT, 0o755)
    .file("bin/busybox", files.read("linux/busybox"), 0o755);

/** Family and model as CPUID's leaf 1 has them (SDM 2A, CPUID). */
function identity(processor: ProcessorName): string[] {
  const { signature } = models[processor];
  const family = (signature >> 8) & 15,
    model = ((signature >> 4) & 15) | (family === 6 ? (signature >> 12) & 0xf0 : 0);
  return [`cpu family : ${family}`, `model : ${model}`];
}

/** What is wrong with what /proc/cpuinfo says. */
function judgeInformation(processor: ProcessorName, text: string): string[] {
  const lines = text.split("\n").map((line) => line.replaceAll(/\s+/g, " ").trim());
  const flags = (lines.find((line) => line.startsWith("flags :")) ?? "").split(" ");
  const [present, absent] = FLAGS[processor] ?? [[], []];
  return [
    ...identity(processor).flatMap((line) => (lines.includes(line) ? [] : [`not "${line}"`])),
    ...present.flatMap((flag) => (flags.includes(flag) ? [] : [`no ${flag}`])),
    ...absent.flatMap((flag) => (flags.includes(flag) ? [`has ${flag}`] : [])),
  ];
}

/** glibc names the levels whose libraries it would take, and refuses programs above the processor's. */
async function judgeLevels(dialogue: SerialDialogue, most: number): Promise<string[]> {
  const { output } = await dialogue.run("/glibc/ld.so --help | grep supported");
  const problems = [2, 3].flatMap((level) =>
    new RegExp(`x86-64-v${level} \\(supported`).test(output) === level <= most
      ? []
      : [`glibc on v${level}: ${output}`],
  );
  for (const level of [2, 3]) {
    const ran = await dialogue.run(`/glibc/ld.so --library-path /glibc /glibc/true${level}`);
    const good =
      level <= most
        ? ran.exitCode === 0
        : ran.exitCode !== 0 && ran.output.includes("CPU ISA level is lower than required");
    if (!good) problems.push(`a program for v${level}: ${ran.exitCode}, ${ran.output.trim()}`);
  }
  return problems;
}

/** Boots to a shell, and has `talk` say what is wrong there. */
async function boot(
  { processor, kernel, initrd }: { processor: ProcessorName; kernel: Uint8Array; initrd: Uint8Array },
  talk: (dialogue: SerialDialogue) => Promise<string[]>,
): Promise<string[]> {
  const dialogue = new SerialDialogue((bytes) => machine.sendSerial(bytes));
  const machine = await startNodeMachine({
    boot: { id: "model", label: processor, commandLine: COMMAND_LINE } as BootEntry,
    kernel,
    initrd,
    memoryMiB: 256,
    processor,
    disks: [],
    onSerial: (bytes) => dialogue.hear(bytes),
  });
  const last = (): string[] => [`it ended: ${dialogue.transcript.slice(-200)}`];
  const judged = dialogue.prompt("guest# ").then(() => talk(dialogue));
  const problems = await Promise.race([
    judged,
    machine.done.then(last),
    pause(LIMIT_MS, undefined, { ref: false }).then(last),
  ]);
  machine.powerOff();
  await machine.done;
  return problems;
}

/** A shell computes, and looks at what CPUID told the kernel. */
export const linux =
  (processor: ProcessorName, kernel: KernelName): Trial =>
  (files) => {
    const guest = {
      processor,
      kernel: files.read(`linux/vmlinuz-${kernel}`),
      initrd: packCpio(withBusyBox(files).tree),
    };
    return boot(guest, async (dialogue) => {
      const information = await dialogue.run("cat /proc/cpuinfo");
      const { output } = await dialogue.run("echo '7^77' | bc");
      // Registers that the kernel takes for granted are there: it says so when one is not.
      const unexpected = await dialogue.run("dmesg | grep -E 'unchecked MSR|BUG:|Oops'");
      return [
        ...judgeInformation(processor, information.output),
        ...(output.replaceAll("\\\n", "").includes((7n ** 77n).toString()) ? [] : ["7^77 came out wrong"]),
        ...(unexpected.exitCode === 1 ? [] : [unexpected.output.trim()]),
      ];
    });
  };

/** glibc judges the processor's level of the psABI. */
export const level =
  (processor: ProcessorName, most: number): Trial =>
  (files) => {
    const tree = withBusyBox(files)
      .file("glibc/ld.so", files.read("glibc/ld-linux-x86-64.so.2"), 0o755)
      .file("glibc/libc.so.6", files.read("glibc/libc.so.6"), 0o755);
    for (const each of [2, 3]) tree.file(`glibc/true${each}`, marked(files.read("glibc/true"), each), 0o755);
    const guest = { processor, kernel: files.read("linux/vmlinuz-amd64"), initrd: packCpio(tree.tree) };
    return boot(guest, (dialogue) => judgeLevels(dialogue, most));
  };
