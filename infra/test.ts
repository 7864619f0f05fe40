/**
 * `npm test`: everything. Installs what is missing, builds, then types, lint, format, the tests in Node, in workerd and in
 * Chromium. Ends with one plain line that counts them all; a check counts as one test. Arguments name steps: `npm test -- node`.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import * as z from "zod/mini";
import { TEST_TOOLS, ensurePackages, installAdvice } from "./host/packages.ts";
import { buildApp, root } from "./stack/build-app.ts";
import { NoImages, imageSupply } from "./stack/demo-images.ts";

interface Count {
  passed: number;
  failed: number;
  skipped: number;
}

interface Step {
  readonly name: string;
  run(): Promise<Count> | Count;
}

const REPORTS = join(root, "build/test");
const startedMs = Date.now();
const say = (line: string): void => {
  console.log(`\nvirga ${((Date.now() - startedMs) / 1000).toFixed(0).padStart(4)} s  ${line}`);
};

function command(name: string, ...args: string[]): boolean {
  return spawnSync(name, args, { cwd: root, stdio: "inherit" }).status === 0;
}

const script = (name: string): Step => ({
  name,
  run: () =>
    command("npm", "run", "-s", name)
      ? { passed: 1, failed: 0, skipped: 0 }
      : { passed: 0, failed: 1, skipped: 0 },
});

const Report = z.object({
  numPassedTests: z.number(),
  numFailedTests: z.number(),
  numPendingTests: z.number(),
  numTodoTests: z.number(),
  numFailedTestSuites: z.number(),
  success: z.boolean(),
});

/** A file that cannot even be loaded has no tests that could fail: it counts as one. */
function countOf(file: string): Count {
  const report = existsSync(file) ? Report.safeParse(JSON.parse(readFileSync(file, "utf8"))) : null;
  if (!report?.success) return { passed: 0, failed: 1, skipped: 0 };
  const { numPassedTests, numFailedTests, numPendingTests, numTodoTests, success } = report.data;
  return {
    passed: numPassedTests,
    failed: numFailedTests || Number(!success),
    skipped: numPendingTests + numTodoTests,
  };
}

const vitest = (name: string, config: string): Step => ({
  name,
  run() {
    const outputFile = join(REPORTS, `${name}.json`);
    rmSync(outputFile, { force: true });
    const reporters = ["--reporter=default", "--reporter=json", `--outputFile.json=${outputFile}`];
    const ended = command(
      process.execPath,
      "node_modules/vitest/vitest.mjs",
      "run",
      "-c",
      config,
      ...reporters,
    );
    const count = countOf(outputFile);
    return ended || count.failed > 0 ? count : { ...count, failed: 1 };
  },
});

/** Builds the demo images into the cache, where tests find them. Where that is impossible, the tests that need them say so. */
async function images(): Promise<Count> {
  try {
    for await (const { slug } of imageSupply(say).images()) say(`${slug} is there`);
  } catch (error) {
    if (!(error instanceof NoImages)) throw error;
    say(error.message);
  }
  return { passed: 0, failed: 0, skipped: 0 };
}

const steps: readonly Step[] = [
  script("check"),
  script("lint"),
  script("fmt"),
  { name: "images", run: images },
  vitest("node", "vitest.node.config.ts"),
  vitest("cloud", "vitest.config.ts"),
  vitest("e2e", "vitest.e2e.config.ts"),
];

const wanted = process.argv.slice(2);
mkdirSync(REPORTS, { recursive: true });
const missing = ensurePackages(TEST_TOOLS, say);
if (missing.length > 0) {
  console.error(`virga: ${installAdvice(missing)}`);
  process.exit(1);
}
await buildApp(say);
const total: Count = { passed: 0, failed: 0, skipped: 0 };
const failures: string[] = [];
for (const step of steps) {
  if (wanted.length > 0 && !wanted.includes(step.name)) continue;
  say(step.name);
  const count = await step.run();
  total.passed += count.passed;
  total.failed += count.failed;
  total.skipped += count.skipped;
  if (count.failed > 0) failures.push(step.name);
}
if (failures.length > 0) say(`failed: ${failures.join(", ")}`);
console.log(`\n${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);
process.exit(total.failed > 0 ? 1 : 0);
