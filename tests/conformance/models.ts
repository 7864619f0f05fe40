/**
 * Each processor model with guests that fit it: Debian's kernels for 32 and 64 bits with a BusyBox, and for the models that are too
 * old for any of them test386's ROM and images of kvm-unit-tests. VIRGA_SUITES/guests/linux holds `vmlinuz-686`,
 * `vmlinuz-686-pae` and `vmlinuz-amd64` (of the packages linux-image-*) and a static 32-bit `busybox`.
 */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { BootEntry } from "#protocol/machine-definition.ts";
import type { ProcessorName } from "#protocol/processor.ts";
import { startNodeMachine } from "../../infra/headless/node-machine.ts";
import { SerialDialogue } from "../../infra/headless/serial-dialogue.ts";
import { packCpio } from "../../infra/images/cpio.ts";
import { TreeBuilder } from "../../infra/images/tree.ts";
import { runMultiboot, runRom } from "../emulator/cpu/suite-machine.ts";
import { type Suite, Tally } from "./suite.ts";

const LINUX: readonly (readonly [ProcessorName, string])[] = [
  ["pentium3", "686"],
  ["pentium3", "686-pae"],
  ["core2", "686-pae"],
  ["core2", "amd64"],
  ["v1", "686-pae"],
  ["v1", "amd64"],
  ["v2", "amd64"],
  ["v3", "686-pae"],
  ["v3", "amd64"],
];
const OLD: readonly ProcessorName[] = ["386", "486", "pentium"];
const IMAGES: readonly (readonly [ProcessorName, string])[] = [
  ["pentium", "cmpxchg8b"],
  ["pentium", "setjmp"],
  ["pentium", "realmode"],
  ["pentium3", "taskswitch"],
  ["pentium3", "smap"],
];
const BILLION = 1e9;
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
const FLAGS: Partial<Record<ProcessorName, readonly [string, string]>> = {
  pentium3: ["sse", "sse2"],
  core2: ["ssse3", "popcnt"],
  v1: ["sse2", "ssse3"],
  v2: ["sse4_2", "avx"],
  v3: ["avx2", "avx512f"],
};

function initrd(busybox: Uint8Array): Uint8Array {
  const tree = new TreeBuilder(0).character("dev/console", 5, 1).file("init", INIT, 0o755);
  return packCpio(tree.file("bin/busybox", busybox, 0o755).tree);
}

/** Boots to a shell, computes, and looks at what CPUID told the kernel; what was wrong. */
async function bootLinux(folder: string, processor: ProcessorName, kernel: string): Promise<string[]> {
  const dialogue = new SerialDialogue((bytes) => machine.sendSerial(bytes));
  const machine = await startNodeMachine({
    boot: { id: kernel, label: kernel, commandLine: COMMAND_LINE } as BootEntry,
    kernel: readFileSync(join(folder, `vmlinuz-${kernel}`)),
    initrd: initrd(readFileSync(join(folder, "busybox"))),
    memoryMiB: 256,
    processor,
    disks: [],
    onSerial: (bytes) => dialogue.hear(bytes),
  });
  const ready = dialogue.prompt("guest# ").then(() => "ready");
  const ended = await Promise.race([ready, machine.done]);
  if (ended !== "ready") return [`the machine ended: ${dialogue.transcript.slice(-200)}`];
  const { output } = await dialogue.run("grep -w flags /proc/cpuinfo; echo '7^77' | bc; uname -m");
  machine.powerOff();
  await machine.done;
  const words = output.split(/\s+/),
    [present, absent] = FLAGS[processor]!;
  return [
    ...(words.includes((7n ** 77n).toString()) ? [] : ["7^77 came out wrong"]),
    ...(words.includes(present) ? [] : [`no ${present}`]),
    ...(words.includes(absent) ? [`has ${absent}`] : []),
  ];
}

const about = {
  name: "models",
  origin: "Debian packages linux-image-686, linux-image-686-pae, linux-image-amd64; test386; kvm-unit-tests",
};
export const models: Suite = {
  ...about,
  folder: "guests/linux",
  async run(folder, note) {
    const tally = new Tally();
    if (!folder || !existsSync(folder)) {
      tally.skip("the guests are absent");
      return tally.result(about);
    }
    const suites = join(folder, "../.."),
      rom = join(suites, "test386/test386-128k.bin");
    for (const processor of OLD) {
      if (!existsSync(rom)) tally.skip("test386 is absent");
      else
        tally.judgeShown(
          `${processor}: test386`,
          runRom(readFileSync(rom), BILLION, processor).posts.at(-1) === "ff"
            ? []
            : ["it did not come to its end"],
        );
    }
    for (const [processor, name] of IMAGES) {
      const image = join(suites, "kvm-unit-tests/i386", `${name}.flat`);
      if (!existsSync(image)) {
        tally.skip(`${name}.flat is absent`);
        continue;
      }
      const { exit, lines } = runMultiboot(readFileSync(image), BILLION, "", processor);
      const wrong = lines.filter((line) => /^FAIL|^Unhandled/.test(line));
      tally.judgeShown(
        `${processor}: kvm-unit-tests ${name}`,
        exit === 0 && wrong.length === 0 ? [] : [`${exit}`, ...wrong],
      );
    }
    for (const [processor, kernel] of LINUX) {
      if (!existsSync(join(folder, `vmlinuz-${kernel}`))) {
        tally.skip(`vmlinuz-${kernel} is absent`);
        continue;
      }
      note?.(`${processor}: ${kernel}`);
      tally.judgeShown(
        `${processor}: Debian's ${kernel} kernel to a shell`,
        await bootLinux(folder, processor, kernel),
      );
    }
    return tally.result(about);
  },
};
