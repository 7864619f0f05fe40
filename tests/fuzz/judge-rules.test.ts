/** Rules excuse what they name, and nothing else: a difference that no rule knows is one. */
import { describe, expect, test } from "vitest";
import { bochsRule, tcgDifferences } from "./judge-rules.ts";
import { longRom } from "./long-rom.ts";
import type { Dump } from "./system-judges.ts";

const { fields } = longRom;
/** A dump with these fields, numbers in hex, and zeros for the rest. */
const dump = (values: Readonly<Record<string, string>>): Dump => fields.map((name) => values[name] ?? "0");
const ended = { vector: "20", rip: "20004", cs: "8", rflags: "2", rsp: "28800", ss: "10", dr7: "400" };
const stream = (...code: number[]): { rip: string; code: readonly number[] } => ({ rip: "20000", code });
const MOV = stream(0x89, 0xd8, 0xcd, 0x20),
  ARPL = stream(0x63, 0xc8, 0xcd, 0x20);

describe("a difference that no rule knows", () => {
  const cases: readonly (readonly [
    string,
    Readonly<Record<string, string>>,
    Readonly<Record<string, string>>,
  ])[] = [
    ["a register", { rbx: "5" }, { rbx: "7" }],
    ["a flag", { rflags: "3" }, { rflags: "2" }],
    ["a vector", { vector: "e", error: "2", cr2: "21000" }, { vector: "20" }],
    ["the stack pointer", { rsp: "287f8" }, { rsp: "28800" }],
    ["a base", { gsbase: "21000" }, { gsbase: "0" }],
  ];
  test.each(cases)("is one: %s", (_name, here, there) => {
    const [a, b] = [dump({ ...ended, ...here }), dump({ ...ended, ...there })];
    expect(bochsRule(fields, a, b, MOV)).toBeUndefined();
    expect(tcgDifferences(fields, a, b, MOV).differences.length).toBeGreaterThan(0);
  });
  test("is one where memory alone differs, for Bochs", () => {
    const [a, b] = [dump({ ...ended, memory: "1" }), dump({ ...ended, memory: "2" })];
    expect(bochsRule(fields, a, b, MOV)).toBeUndefined();
  });
});

describe("a rule", () => {
  const fault = { ...ended, vector: "e", rip: "20000", cr2: "400000" };
  test("looks at the instruction that faulted: ARPL's write bit", () => {
    const [a, b] = [dump({ ...fault, error: "9" }), dump({ ...fault, error: "b" })];
    expect(bochsRule(fields, a, b, ARPL)).toMatch(/^ARPL/);
    expect(bochsRule(fields, a, b, MOV)).toBeUndefined();
  });
  test("looks at halves of registers: only the upper ones are undefined in compatibility mode", () => {
    const here = dump({ ...ended, cs: "1b", rbp: "287d4" });
    const upper = dump({ ...ended, cs: "1b", rbp: "b83f9f0e000287d4" });
    const lower = dump({ ...ended, cs: "1b", rbp: "287d8" });
    expect(bochsRule(fields, here, upper, MOV)).toMatch(/^upper halves/);
    expect(bochsRule(fields, here, lower, MOV)).toBeUndefined();
    // In 64-bit code all of them count.
    const wide = dump({ ...ended, cs: "2b", rbp: "b83f9f0e000287d4" });
    expect(bochsRule(fields, dump({ ...ended, cs: "2b", rbp: "287d4" }), wide, MOV)).toBeUndefined();
  });
  test("looks at ports: what follows IN from a device of Bochs'", () => {
    // in al, 5; aam 11; mov dr7, eax
    const code = stream(0xe4, 5, 0xd4, 0x0b, 0x0f, 0x23, 0xf8, 0xcd, 0x20);
    const here = dump({ ...ended, rax: "1702", rflags: "602", dr7: "702" });
    const there = dump({ ...ended, rax: "0", rflags: "646" });
    expect(bochsRule(fields, here, there, code)).toMatch(/^IN from a port/);
    expect(bochsRule(fields, here, there, MOV)).toBeUndefined();
    expect(bochsRule(fields, dump({ ...ended, rbx: "1" }), there, code)).toBeUndefined();
  });
  test("looks at DR7: a breakpoint for instructions must have a length to be undefined", () => {
    const here = (dr7: string): Dump => dump({ ...ended, dr7 });
    const there = (dr7: string): Dump => dump({ ...ended, vector: "1", rip: "20000", dr7 });
    expect(bochsRule(fields, here("40402"), there("40402"), MOV)).toMatch(/^an instruction breakpoint/);
    expect(bochsRule(fields, here("402"), there("402"), MOV)).toBeUndefined();
  });
  test("of TCG's excuses faults that it leaves out, by name", () => {
    const here = dump({ ...fault, vector: "d", error: "0" });
    expect(tcgDifferences(fields, here, dump(ended), MOV)).toMatchObject({
      differences: [],
      rule: expect.stringMatching(/^segment limits/),
    });
  });
});
