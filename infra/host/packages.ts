/** Debian packages that the two commands need on the host: installed by root, named to everybody else. */
import { find, run } from "./exec.ts";
import { updateLists } from "./apt.ts";

/** Package → a program of it that must be there. */
export const IMAGE_TOOLS: Readonly<Record<string, string>> = {
  mmdebstrap: "mmdebstrap",
  e2fsprogs: "debugfs",
};
/** Without root, mmdebstrap needs the right to be root inside a user namespace. */
export const UNPRIVILEGED_TOOLS: Readonly<Record<string, string>> = { ...IMAGE_TOOLS, uidmap: "newuidmap" };
export const TEST_TOOLS: Readonly<Record<string, string>> = { chromium: "chromium" };

export const isRoot = (): boolean => process.getuid?.() === 0;

export function missingPackages(tools: Readonly<Record<string, string>>): string[] {
  return Object.entries(tools)
    .filter(([, program]) => !find(program))
    .map(([name]) => name);
}

/** Says what a person who is not root has to do. */
export const installAdvice = (packages: readonly string[]): string =>
  `These Debian packages are missing: ${packages.join(", ")}. Install them with\n  apt-get update && apt-get install -y --no-install-recommends ${packages.join(" ")}\nas root, then start again.`;

/** Installs what is missing, as root; answers what somebody else must install. */
export function ensurePackages(
  tools: Readonly<Record<string, string>>,
  say: (line: string) => void,
): string[] {
  const missing = missingPackages(tools);
  if (missing.length === 0 || !isRoot() || !find("apt-get")) return missing;
  say(`installing the Debian packages ${missing.join(", ")}`);
  updateLists();
  run("apt-get", ["-qq", "-y", "--no-install-recommends", "install", ...missing], {
    env: { DEBIAN_FRONTEND: "noninteractive" },
  });
  return missingPackages(tools);
}
