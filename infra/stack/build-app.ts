/** Builds what the stack serves, when its sources have changed since the last time. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { runLong } from "../host/exec.ts";
import { hashFiles } from "../host/hash-files.ts";

export const root = join(import.meta.dirname, "../..");
export const BUILT_CONFIG = "build/dist/virga/wrangler.json";

const STAMPS = join(root, "build/stamps");
const TOOLS = ["package-lock.json", "package.json"];
const CORE = ["emulator/cpu", "infra/build-cpu.ts", ...TOOLS];
const APP = [
  "client",
  "worker",
  "durable-objects",
  "emulator",
  "vite.config.ts",
  "wrangler.toml",
  "infra/app-shell.ts",
  "infra/build-info.ts",
  "infra/sdk-for-workerd.ts",
  "infra/static-headers.ts",
  ...TOOLS,
];

/** Does `work` unless it was done for the same files and its result is still there. Answers whether it did. */
export async function once(
  name: string,
  files: readonly string[],
  result: string,
  work: () => Promise<void>,
): Promise<boolean> {
  const stamp = join(STAMPS, name);
  const hash = hashFiles(root, files);
  if (existsSync(join(root, result)) && existsSync(stamp) && readFileSync(stamp, "utf8") === hash)
    return false;
  await work();
  mkdirSync(STAMPS, { recursive: true });
  writeFileSync(stamp, hash);
  return true;
}

/** Every line of a build is kept for the case that it fails. */
const node = (...args: string[]): Promise<void> => runLong(process.execPath, args, { cwd: root });

export async function buildApp(say: (line: string) => void): Promise<void> {
  await once("core", CORE, "build/wasm/cpu.wasm", async () => {
    say("building the processor");
    await node("infra/build-cpu.ts");
  });
  await once("app", APP, BUILT_CONFIG, async () => {
    say("building the app");
    await node("node_modules/vite/bin/vite.js", "build");
  });
}
