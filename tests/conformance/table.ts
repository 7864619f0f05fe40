/** Results as text, and the table in infra/docs/cpu-conformance.md. */
import type { SuiteResult } from "./suite.ts";
import { suites } from "./suites.ts";

/** For a terminal. */
export function asText(results: readonly SuiteResult[]): string {
  const row = (cells: readonly (string | number)[]): string =>
    cells.map((cell, k) => (k === 0 ? String(cell).padEnd(24) : String(cell).padStart(15))).join("");
  return [
    row(["suite", "passed", "failed", "not applicable", "skipped"]),
    ...results.flatMap(({ name, passed, failed, notApplicable, skipped, failures, reasons }) => [
      row([name, passed, failed, notApplicable, skipped]),
      ...failures.slice(0, 20).map((text) => `    ${text}`),
      ...(failures.length > 20 ? [`    … and ${failures.length - 20} more`] : []),
      ...reasons.map((text) => `    ${text}`),
    ]),
  ].join("\n");
}

const ROW = /^\| ([\w+-]+) \| (\d+) \| (\d+) \| (\d+) \| (\d+) \|/;
const cell = (text: string): string => text.replaceAll("|", "\\|").replaceAll("\n", " ");

const asRow = (result: SuiteResult): string =>
  `| ${result.name} | ${result.passed} | ${result.failed} | ${result.notApplicable} | ${result.skipped} | ${cell(result.origin)} |`;
const asSection = ({ name, failures, reasons }: SuiteResult): string =>
  [
    `### ${name}`,
    "",
    ...(failures.length > 0 ? [`Failed:`, "", ...failures.map((text) => `- ${cell(text)}`), ""] : []),
    ...(reasons.length > 0 ? [...reasons.map((text) => `- ${cell(text)}`), ""] : []),
    ...(failures.length + reasons.length === 0 ? ["Everything applies, and passes.", ""] : []),
  ].join("\n");

const intro = `# How the CPU core stands against other people's tests

Made by \`npm run conformance -- --write\`; do not edit. Suites are looked for under the folder that \`VIRGA_SUITES\` names, and are no part
of this repository: a suite that is not there is skipped, which is not the same as passed. \`--dir\` names the folder of one suite.
"Not applicable" is a test of something that no processor model claims, or that processors themselves answer otherwise; each is named below.

| suite | passed | failed | not applicable | skipped | from |
|---|---:|---:|---:|---:|---|
`;

/** Rows and sections of a document by suite. */
export function readTable(text: string): Map<string, { row: string; section: string }> {
  const rows = new Map<string, { row: string; section: string }>();
  for (const line of text.split("\n")) {
    const name = ROW.exec(line)?.[1];
    if (name !== undefined) rows.set(name, { row: line, section: "" });
  }
  for (const section of text.split(/^(?=### )/m)) {
    const name = /^### ([\w+-]+)\n/.exec(section)?.[1],
      known = name === undefined ? undefined : rows.get(name);
    if (known) known.section = section;
  }
  return rows;
}

/** The document with these results in the place of those that it had. */
export function updated(text: string, results: readonly SuiteResult[]): string {
  const known = readTable(text);
  for (const result of results) known.set(result.name, { row: asRow(result), section: asSection(result) });
  const present = suites.flatMap(({ name }) => known.get(name) ?? []);
  const sections = present.map(({ section }) => `${section.trimEnd()}\n`);
  return `${intro}${present.map(({ row }) => row).join("\n")}\n\n## What did not count, and what failed\n\n${sections.join("\n")}`;
}
