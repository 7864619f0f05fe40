/** kvm-unit-tests' own list, unittests.cfg: each entry's flat image on the board, with its arguments, judged by port F4h and FAIL lines. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { runMultiboot } from "../emulator/cpu/suite-machine.ts";
import { type Suite, Tally } from "./suite.ts";

export interface Entry {
  readonly name: string;
  readonly file: string;
  readonly arch?: string;
  readonly smp: number;
  readonly words: string;
  readonly machine: string;
  /** A file that must say something before the list's own runner starts the test. */
  readonly check: string;
}

/** Reads unittests.cfg: sections of `key = value`, where a value may be quoted. */
export function readConfiguration(text: string): Entry[] {
  return text.split(/^(?=\[)/m).flatMap((section) => {
    const name = /^\[([^\]]+)\]/.exec(section)?.[1];
    if (name === undefined) return [];
    const value = (key: string): string | undefined =>
      new RegExp(`^${key}\\s*=\\s*(.*?)\\s*$`, "m").exec(section)?.[1]?.replace(/^(['"])(.*)\1$/, "$2");
    const arch = value("arch");
    return [
      {
        name,
        file: value("file") ?? "",
        ...(arch === undefined ? {} : { arch }),
        smp: Number(value("smp") ?? 1) || 1,
        words: value("test_args") ?? "",
        machine: value("qemu_params") ?? "",
        check: value("check") ?? "",
      },
    ];
  });
}

/** What this machine does not have, and no processor model claims. */
const beyond: readonly (readonly [RegExp, string])[] = [
  [/^(vmx|ept|svm)/, "no processor model has virtualization"],
  [
    /^(hyperv|kvmclock|asyncpf|vmexit_vmcall|hypercall|vmware|x2apic|xapic)/,
    "it asks for a hypervisor's interface: VMCALL, or its registers",
  ],
  [/^pmu/, "no processor model has performance counters"],
  [/^intel_iommu|^intel-iommu/, "the machine has no IOMMU"],
  [/^s3$/, "the machine does not sleep"],
];

/** Thousand millions of instructions that a test may take. */
const patience: Readonly<Record<string, number>> = { access: 3, sieve: 60 };
const BILLION = 1e9;

function judge(tally: Tally, entry: Entry, image: string): void {
  const { exit, lines } = runMultiboot(
    readFileSync(image),
    (patience[entry.name] ?? 1) * BILLION,
    entry.words,
  );
  const wrong = lines.filter((line) => /^FAIL|^Unhandled/.test(line));
  // A verdict of 38 is the test's own word for "skipped".
  if (exit === 38) tally.notApplicable(entry.name, "it skips itself: CPUID does not offer what it tests");
  else tally.judge(entry.name, exit === 0 && wrong.length === 0 ? [] : [`ended with ${exit}`, ...wrong]);
}

function makeSuite(name: string, folderName: "x86" | "i386"): Suite {
  const about = { name, origin: "repository kvm-unit-tests/kvm-unit-tests, 1da1819e (2026-06-26)" };
  return {
    ...about,
    folder: `kvm-unit-tests/${folderName}`,
    run(folder, note) {
      const tally = new Tally(),
        configuration = folder && join(folder, "../unittests.cfg");
      if (!folder || !configuration || !existsSync(configuration)) {
        tally.skip("the suite is absent");
        return tally.result(about);
      }
      const arch = folderName === "x86" ? "x86_64" : "i386";
      for (const entry of readConfiguration(readFileSync(configuration, "utf8"))) {
        if (entry.arch !== undefined && entry.arch !== arch) continue;
        const image = join(folder, entry.file),
          reason = beyond.find(([pattern]) => pattern.test(entry.name))?.[1];
        if (entry.check.includes("/sys/module/kvm"))
          tally.notApplicable(entry.name, "it asks for a parameter of KVM's module");
        else if (/vendor=AuthenticAMD/.test(entry.machine))
          tally.notApplicable(entry.name, "it asks for AMD's SYSCALL in compatibility mode");
        else if (reason !== undefined) tally.notApplicable(entry.name, reason);
        else if (!existsSync(image)) tally.skip(`${entry.name}: ${entry.file} is absent`);
        else {
          note?.(entry.name);
          judge(tally, entry, image);
        }
      }
      return tally.result(about);
    },
  };
}

export const kvmUnitTests: readonly Suite[] = [
  makeSuite("kvm-unit-tests-x86_64", "x86"),
  makeSuite("kvm-unit-tests-i386", "i386"),
];
