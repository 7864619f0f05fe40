/** The host's own package source: which Debian 12 packages there are, and their files. No server is named here. */
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { find, run } from "./exec.ts";

export const SUITE = "bookworm";
const WANTED_SUITES = [SUITE, `${SUITE}-updates`, `${SUITE}-security`];

/** Paragraphs of a deb822 file (deb822(5)) that give packages of Debian 12 itself. */
function paragraphs(text: string): string[] {
  const found: string[] = [];
  for (const paragraph of text.split(/\n[ \t]*\n/)) {
    const body = paragraph.replaceAll(/^#.*\n?/gm, "").trim();
    const field = (name: string): string[] =>
      new RegExp(`^${name}:[ \\t]*(.*)$`, "im").exec(body)?.[1]?.trim().split(/\s+/) ?? [];
    const suites = field("Suites").filter((suite) => WANTED_SUITES.includes(suite));
    const isDebian = field("Types").includes("deb") && field("Components").includes("main");
    if (!isDebian || suites.length === 0 || field("Enabled")[0]?.toLowerCase() === "no") continue;
    found.push(
      body
        .replace(/^Types:.*$/im, "Types: deb")
        .replace(/^Suites:.*$/im, `Suites: ${suites.join(" ")}`)
        .replace(/^Components:.*$/im, "Components: main"),
    );
  }
  return found;
}

/** The same of one-line files (sources.list(5)), as paragraphs. */
function oneLiners(text: string): string[] {
  const found: string[] = [];
  for (const line of text.split("\n")) {
    const [, options = "", uri, suite = "", components = ""] =
      /^deb\s+(?:\[([^\]]*)\]\s*)?(\S+)\s+(\S+)\s+([^#]*)/.exec(line.trim()) ?? [];
    if (!uri || !WANTED_SUITES.includes(suite) || !components.split(/\s+/).includes("main")) continue;
    const signedBy = /signed-by=(\S+)/i.exec(options)?.[1];
    const lines = ["Types: deb", `URIs: ${uri}`, `Suites: ${suite}`, "Components: main"];
    found.push([...lines, ...(signedBy ? [`Signed-By: ${signedBy}`] : [])].join("\n"));
  }
  return found;
}

/** What the host's configuration says of Debian 12, in deb822 form; empty when it says nothing. */
export function debianSources(etc = "/etc/apt"): string {
  const parts = join(etc, "sources.list.d");
  const names = existsSync(parts) ? readdirSync(parts).sort() : [];
  const found: string[] = [];
  for (const file of [join(etc, "sources.list"), ...names.map((name) => join(parts, name))]) {
    if (!existsSync(file)) continue;
    const text = readFileSync(file, "utf8");
    found.push(...(file.endsWith(".sources") ? paragraphs(text) : oneLiners(text)));
  }
  return found.map((paragraph) => `${paragraph}\n`).join("\n");
}

/** Why images cannot be made of this host's packages, or null. */
export function aptProblem(): string | null {
  if (!find("apt-get") || !find("dpkg")) return "there is no apt here";
  const architecture = run("dpkg", ["--print-architecture"]).stdout.trim();
  if (architecture !== "amd64") return `the packages of this host are for ${architecture}, not amd64`;
  if (debianSources() === "") return "the apt configuration of this host does not name Debian 12 (bookworm)";
  return null;
}

/** apt on nothing but Debian 12, as if nothing were installed. */
export class Apt {
  readonly sourcesFile: string;
  readonly #options: string[];

  constructor(workDirectory: string) {
    mkdirSync(join(workDirectory, "cache/archives/partial"), { recursive: true });
    this.sourcesFile = join(workDirectory, "debian.sources");
    writeFileSync(this.sourcesFile, debianSources());
    this.#options = [
      "Dir::State::status=/dev/null",
      "Debug::NoLocking=1",
      `Dir::Etc::SourceList=${this.sourcesFile}`,
      "Dir::Etc::SourceParts=-",
      "APT::Architecture=amd64",
      "APT::Architectures=amd64",
      "APT::Install-Recommends=false",
      "APT::Sandbox::User=root",
      `Dir::Cache=${join(workDirectory, "cache")}`,
    ].flatMap((option) => ["-o", option]);
  }

  /** `name version` of everything that installing these packages into an empty system would install, sorted. */
  closure(packages: readonly string[]): string[] {
    const { stdout } = run("apt-get", ["-s", "-qq", ...this.#options, "install", ...packages]);
    const lines = [...stdout.matchAll(/^Inst (\S+) (?:\[\S+\] )?\((\S+) /gm)];
    return lines.map(([, name, version]) => `${name} ${version}`).sort();
  }

  /** `name version` of packages without what they need. */
  versions(packages: readonly string[]): string[] {
    const { stdout } = run("apt-cache", [...this.#options, "show", "--no-all-versions", ...packages]);
    const names = [...stdout.matchAll(/^Package: (\S+)$/gm)].map(([, name]) => name);
    const versions = [...stdout.matchAll(/^Version: (\S+)$/gm)].map(([, version]) => version);
    return names.map((name, index) => `${name} ${versions[index]}`).sort();
  }

  /** The package that a package without content stands for: linux-image-cloud-amd64 names the newest kernel. */
  target(meta: string, pattern: RegExp): string {
    const { stdout } = run("apt-cache", [...this.#options, "depends", meta]);
    const target = [...stdout.matchAll(/^\s*Depends: (\S+)$/gm)]
      .map(([, name]) => name ?? "")
      .find((name) => pattern.test(name));
    if (!target) throw new Error(`${meta} of this host's packages depends on nothing like ${pattern}`);
    return target;
  }

  /** Downloads one package and answers the path of its file. apt checks signatures and hashes. */
  download(name: string, directory: string): string {
    mkdirSync(directory, { recursive: true });
    run("apt-get", ["-qq", ...this.#options, "download", name], { cwd: directory });
    const file = readdirSync(directory).find((entry) => entry.startsWith(`${name}_`));
    if (!file) throw new Error(`apt-get did not bring ${name}`);
    return join(directory, file);
  }
}

/** Asks the servers what there is now; only root may. */
export function updateLists(): void {
  run("apt-get", ["-qq", "update"]);
}

/** True when apt has never been told what packages exist. */
export function listsAreMissing(lists = "/var/lib/apt/lists"): boolean {
  return (
    !existsSync(lists) ||
    !readdirSync(lists).some((name) => name.includes(SUITE) && /InRelease$|Release$/.test(name))
  );
}
