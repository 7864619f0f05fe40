/** The table of results is what `npm run conformance -- --write` writes, and has a row for every suite. */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { readConfiguration } from "./kvm-unit-tests.ts";
import { type SuiteResult, Tally } from "./suite.ts";
import { suites } from "./suites.ts";
import { readTable, updated } from "./table.ts";

const document = readFileSync("infra/docs/cpu-conformance.md", "utf8");

test("the table is as it is written", () => {
  expect(updated(document, [])).toBe(document);
  expect([...readTable(document).keys()]).toEqual(suites.map(({ name }) => name));
});

test("each failure that it counts is named", () => {
  for (const [name, { row, section }] of readTable(document)) {
    const failed = Number(row.split("|")[3]);
    const named = section.split("Failed:")[1]?.split(/\n\n(?=- \d+ not|- skipped)/)[0] ?? "";
    expect(named.split("\n").filter((line) => line.startsWith("- ")).length, name).toBe(failed);
  }
});

test("results replace those of the same suite, and no others", () => {
  const [first, second] = suites;
  const tally = new Tally();
  tally.pass();
  tally.fail("one", "a | b");
  tally.notApplicable("two", "because");
  const result: SuiteResult = tally.result(first!);
  const next = updated(document, [result]);
  expect(readTable(next).get(first!.name)?.row).toContain("| 1 | 1 | 1 | 0 |");
  expect(next).toContain("- one: a \\| b");
  expect(readTable(next).get(second!.name)).toEqual(readTable(document).get(second!.name));
});

test("unittests.cfg: sections, quotes, defaults", () => {
  expect(
    readConfiguration(
      "# x\n[a]\nfile = a.flat\nsmp = 2\ntest_args = 'x y'\narch = i386\n[b]\nfile = b.flat\n",
    ),
  ).toEqual([
    { name: "a", file: "a.flat", arch: "i386", smp: 2, words: "x y", machine: "", check: "" },
    { name: "b", file: "b.flat", smp: 1, words: "", machine: "", check: "" },
  ]);
});
