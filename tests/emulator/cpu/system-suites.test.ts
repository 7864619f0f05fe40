/** Other people's tests of the system architecture, from the folder that VIRGA_SUITES names; see its layout in ../shared/corpora. */
import { describe, expect, test } from "vitest";
import { readSuite, runMultiboot, runRom, suiteFile } from "./suite-machine.ts";

const BILLION = 1e9;

/** Programs of kvm-unit-tests that ask for one CPU and nothing that CPUID does not offer, with the thousand millions of instructions that they may take. */
const programs: Readonly<Record<string, readonly (readonly [name: string, limit?: number])[]>> = {
  x86: [
    ["access_test", 2],
    ["debug"],
    ["emulator"],
    ["eventinj"],
    ["idt_test"],
    ["ioapic"],
    ["lam"],
    ["memory"],
    ["msr"],
    ["pcid"],
    ["rdpru"],
    ["realmode"],
    ["rmap_chain"],
    ["setjmp"],
    ["smap"],
    ["smptest"],
    ["tsc"],
    ["tsc_adjust"],
    ["tscdeadline_latency"],
    ["umip"],
    ["xsave"],
  ],
  i386: [
    ["cmpxchg8b"],
    ["emulator"],
    ["eventinj"],
    ["msr"],
    ["setjmp"],
    ["smap"],
    ["taskswitch"],
    ["taskswitch2"],
    ["tsc"],
    ["umip"],
  ],
};

for (const [folder, list] of Object.entries(programs)) {
  describe(`kvm-unit-tests, ${folder}`, () => {
    for (const [name, limit = 1] of list) {
      const file = suiteFile(`kvm-unit-tests/${folder}/${name}.flat`);
      test.skipIf(file === undefined)(`${name}${file ? "" : " (absent)"}`, { timeout: 300_000 }, () => {
        const { exit, lines } = runMultiboot(readSuite(file!), limit * BILLION);
        expect(lines.filter((line) => /^FAIL|^Unhandled/.test(line))).toEqual([]);
        expect(exit).toBe(0);
      });
    }
  });
}

describe("test386.asm", () => {
  const file = suiteFile("test386/test386-128k.bin"),
    reference = suiteFile("test386/test386-EE-reference.txt");
  test.skipIf(!file || !reference)(
    `all stages, and every line of the last${file ? "" : " (absent)"}`,
    { timeout: 300_000 },
    () => {
      const { posts, text } = runRom(readSuite(file!), BILLION);
      expect(posts.at(-1)).toBe("ff");
      const trimmed = (lines: string): string[] =>
        lines
          .replaceAll("\r", "")
          .split("\n")
          .map((line) => line.trimEnd());
      const expected = trimmed(Buffer.from(readSuite(reference!)).toString("latin1"));
      const differences = trimmed(text).flatMap((line, n) =>
        line === expected[n] ? [] : [`${n + 1}: ${line} ≠ ${expected[n]}`],
      );
      expect(differences.slice(0, 10)).toEqual([]);
    },
  );
});
