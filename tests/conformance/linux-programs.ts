/**
 * Suites that are Linux programs: a guest boots Debian's stock kernel with the programs in its RAM disk, and runs one after another.
 * blink's test/func says by its exit status; QEMU's tests/tcg/i386 also by what it prints, which a processor's output is compared with.
 */
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import type { BootEntry } from "#protocol/machine-definition.ts";
import type { Headless } from "../../emulator/machine/headless.ts";
import { startNodeMachine } from "../../infra/headless/node-machine.ts";
import { SerialDialogue } from "../../infra/headless/serial-dialogue.ts";
import { packCpio } from "../../infra/images/cpio.ts";
import { TreeBuilder } from "../../infra/images/tree.ts";
import { type StockKernel, stockKernel } from "../support/stock-kernel.ts";
import { type Suite, Tally } from "./suite.ts";

const COMMAND_LINE =
  "console=ttyS0 mitigations=off tsc=reliable nowatchdog cryptomgr.notests rcupdate.rcu_expedited=1 rdinit=/init loglevel=4";
const SECONDS = 120;

interface Guest {
  readonly machine: Headless;
  /** What a program prints, and its exit status; 143 is one that had to be stopped. With `compared`, how that differs from its file. */
  run(name: string, compared?: boolean): Promise<{ output: string; exitCode: number }>;
}

async function boot(stock: StockKernel, folder: string, names: readonly string[]): Promise<Guest> {
  const programs = new TreeBuilder(0);
  for (const name of names) {
    programs.file(`suite/${name}`, readFileSync(join(folder, name)), 0o755);
    if (isLong(folder, name)) programs.file(`suite/${name}.ref`, readFileSync(join(folder, `${name}.ref`)));
  }
  // Linux unpacks archives that follow one another.
  const initrd = Buffer.concat([stock.initrd([]), packCpio(programs.tree)]);
  const dialogue = new SerialDialogue((bytes) => machine.sendSerial(bytes));
  const machine = await startNodeMachine({
    boot: { id: "stock", label: "Stock kernel", commandLine: COMMAND_LINE } as BootEntry,
    kernel: stock.vmlinux,
    initrd,
    memoryMiB: 512,
    disks: [],
    onSerial: (bytes) => dialogue.hear(bytes),
  });
  await dialogue.prompt("stock# ");
  await dialogue.run("ifconfig lo up");
  const start = (name: string): string => `cd /tmp; timeout ${SECONDS} /suite/${name}`;
  return {
    machine,
    run: (name, compared = false) =>
      dialogue.run(
        compared
          ? `${start(name)} >said 2>&1 && diff said /suite/${name}.ref >differs; code=$?; head -n 8 differs; rm -f said differs; (exit $code)`
          : `${start(name)} 2>&1`,
      ),
  };
}

/** What a processor printed is so much that the guest had better look at it itself: a serial line is slow. */
const LONG_BYTES = 200_000;
const isLong = (folder: string, name: string): boolean => {
  const reference = join(folder, `${name}.ref`);
  return existsSync(reference) && statSync(reference).size > LONG_BYTES && name !== "test-i386";
};

type Judge = (name: string, ended: { output: string; exitCode: number }, folder: string) => string[];

const byStatus: Judge = (_name, { exitCode, output }) =>
  exitCode === 0 ? [] : [`exit status ${exitCode}: ${output.trim().split("\n").at(-1) ?? ""}`];

/**
 * Lines of SHLD and SHRD by 16 bits with a count above 16, whose result is undefined, and of a variable that the program prints
 * without having set it: another number in each run.
 */
const isUndefined = (line: string): boolean => {
  if (/^val=0x(?!abcd)/.test(line)) return true;
  const count = /^sh[lr]dw .* C=([0-9a-f]+)/i.exec(line)?.[1];
  return count !== undefined && (Number.parseInt(count, 16) & 31) > 16;
};

/** Silence and success, or the lines of a run on a processor, in a file beside the program. */
const byOutput: Judge = (name, { exitCode, output }, folder) => {
  if (exitCode !== 0) return [`exit status ${exitCode}: ${output.trim().split("\n").at(-1) ?? ""}`];
  const reference = join(folder, `${name}.ref`);
  const wanted = existsSync(reference) ? readFileSync(reference, "latin1") : "";
  const lines = (text: string): string[] => text.replaceAll("\r", "").trimEnd().split("\n");
  const got = lines(output);
  return lines(wanted).flatMap((line, n) =>
    line === got[n] || isUndefined(line) ? [] : [`${got[n] ?? "nothing"} ≠ ${line}`],
  );
};

interface Programs {
  readonly name: string;
  readonly origin: string;
  readonly folder: string;
  readonly accepts: RegExp;
  readonly idle: Readonly<Record<string, string>>;
  readonly judge: Judge;
}

const makeSuite = (about: Programs): Suite => ({
  ...about,
  async run(folder) {
    const tally = new Tally(),
      stock = folder && existsSync(folder) ? stockKernel() : "the suite is absent";
    if (folder === undefined || typeof stock === "string") {
      tally.skip(typeof stock === "string" ? stock.split("\n")[0]! : "the suite is absent");
      return tally.result(about);
    }
    const names = readdirSync(folder).filter((name) => about.accepts.test(name));
    const runnable = names.filter((name) => about.idle[name] === undefined);
    for (const name of names) if (about.idle[name] !== undefined) tally.notApplicable(name, about.idle[name]);
    const guest = await boot(stock, folder, runnable);
    for (const name of runnable) {
      const compared = isLong(folder, name);
      tally.judge(name, (compared ? byStatus : about.judge)(name, await guest.run(name, compared), folder));
    }
    guest.machine.powerOff();
    return tally.result(about);
  },
});

export const linuxPrograms: readonly Suite[] = [
  makeSuite({
    name: "blink-func",
    origin: "repository jart/blink, f006a4f (2025-12-10), as programs in a Linux guest",
    folder: "blink/func",
    accepts: /\.elf$/,
    idle: { "robust_exit_test.elf": "it hangs on a processor too" },
    judge: byStatus,
  }),
  makeSuite({
    name: "qemu-tcg-i386",
    origin: "repository bonzini/qemu, dd8c1e808f (2020-10-02), tests/tcg/i386, as programs in a Linux guest",
    folder: "qemu-tcg/i386",
    accepts: /^test-i386[\w-]*$/,
    idle: { "test-i386-fprem": "1.7 million lines to compare: TestFloat's rem covers FPREM1" },
    judge: byOutput,
  }),
  makeSuite({
    name: "qemu-tcg-x86_64",
    origin:
      "Debian source package qemu 7.2, tests/tcg/{i386,x86_64,multiarch} as 64-bit programs in a Linux guest; test-avx and test-mmx are its generators'",
    folder: "qemu-tcg/x86_64",
    accepts: /^[\w-]+$/,
    idle: {
      "test-avx": "it asks for VAES, which no processor model has",
      vsyscall: "the guest's kernel has no page of system calls at FFFFFFFFFF600000h",
    },
    judge: byOutput,
  }),
];
