import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import type { BuildInfo } from "../worker/build-info.ts";

/** Version, commit and time of this build, as the bundler's `define` wants them. SOURCE_DATE_EPOCH makes the time reproducible. */
export function defineBuildInfo(): Record<string, string> {
  const { version } = JSON.parse(readFileSync("package.json", "utf8")) as { version: string };
  const epoch = process.env["SOURCE_DATE_EPOCH"];
  const builtAt = (epoch ? new Date(Number(epoch) * 1000) : new Date()).toISOString();
  const info: BuildInfo = { version, gitSha: process.env["GIT_SHA"] ?? headCommit(), builtAt };
  return { VIRGA_BUILD: JSON.stringify(info) };
}

/** A source archive has no history: "unknown" then. */
function headCommit(): string {
  try {
    return execFileSync("git", ["rev-parse", "HEAD"], {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
    }).trim();
  } catch {
    return "unknown";
  }
}
