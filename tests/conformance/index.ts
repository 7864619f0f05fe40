/**
 * `npm run conformance -- [suite …] [--dir D] [--json] [--write]`: other people's tests on the CPU core.
 * Suites lie under VIRGA_SUITES (infra/docs/cpu-conformance.md says how); --dir names one suite's folder. --write brings the
 * table in infra/docs up to date. The exit status is 1 when a test failed.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { suites } from "./suites.ts";
import type { SuiteResult } from "./suite.ts";
import { asText, updated } from "./table.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { dir: { type: "string" }, json: { type: "boolean" }, write: { type: "boolean" } },
});
const chosen = suites.filter(
  ({ name }) =>
    positionals.length === 0 || positionals.some((word) => name === word || name.startsWith(`${word}-`)),
);
if (chosen.length === 0 || (values.dir !== undefined && positionals.length !== 1)) {
  console.error(
    `Which suite${values.dir === undefined ? "" : " does --dir belong to"}? ${suites.map(({ name }) => name).join(", ")}`,
  );
  process.exit(2);
}
const root = process.env["VIRGA_SUITES"];
const results: SuiteResult[] = [];
for (const suite of chosen) {
  // A name without a slash after its first word is no folder under VIRGA_SUITES: that suite has a place of its own.
  const usual =
    root === undefined || !/^[\w+-]+(\/[\w-]+)?$/.test(suite.folder) ? undefined : join(root, suite.folder);
  if (!values.json) console.error(`${suite.name} …`);
  results.push(
    await suite.run(values.dir ?? usual, values.json ? undefined : (text) => console.error(`  ${text}`)),
  );
}
if (values.json) {
  const plain = results.map(({ name, passed, failed, notApplicable, skipped, failures }) => ({
    name,
    passed,
    failed,
    notApplicable,
    skipped,
    failures,
  }));
  console.log(JSON.stringify({ suites: plain }));
} else console.log(asText(results));
if (values.write) {
  const file = join(import.meta.dirname, "../../infra/docs/cpu-conformance.md");
  writeFileSync(file, updated(readFileSync(file, "utf8"), results));
}
process.exitCode = results.some(({ failed }) => failed > 0) ? 1 : 0;
