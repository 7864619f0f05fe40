/**
 * Disks that check a Debian 12 userland on our processor: gcc, tcc, Python with its own tests, OpenSSL and `checks.sh` as the
 * first process. They are for tests alone and made on demand, because they take minutes and 1.5 GB each:
 *
 *     node tests/userland/disk.ts amd64
 *     node tests/userland/disk.ts i386
 *
 * The packages are those of the release alone, so that a disk stays good until the next point release.
 */
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { debianSources, SUITE } from "../../infra/host/apt.ts";
import { runLong } from "../../infra/host/exec.ts";
import { makeExt4 } from "../../infra/images/ext4.ts";
import { readTar } from "../../infra/images/tar.ts";
import { type Tree, TreeBuilder } from "../../infra/images/tree.ts";
import { cacheDirectory } from "../../infra/store/image-store.ts";

export const ARCHITECTURES = ["amd64", "i386"] as const;
export type Architecture = (typeof ARCHITECTURES)[number];

const PACKAGES = ["gcc", "libc6-dev", "tcc", "python3", "libpython3.11-testsuite", "openssl"];
const FILES = ["checks.sh", "program.c", "strings.c"];
const MiB = 2 ** 20;
/** What no check reads. */
const DROPPED =
  /^(?:usr\/share\/(?:doc|man|info|locale)\/.|var\/(?:cache|lib\/apt|log)\/.|(?:tmp|run|dev|proc|sys)\/.)/;

const guestFile = (name: string): Buffer => readFileSync(join(import.meta.dirname, name));

/** Where the disk of an architecture is, whether it has been made or not; other checks are another disk. */
export function userlandDisk(architecture: Architecture): string {
  const hash = createHash("sha256").update(PACKAGES.join());
  for (const name of FILES) hash.update(guestFile(name));
  const key = hash.digest("hex").slice(0, 16);
  return join(cacheDirectory(), "userland", `${architecture}-${key}.img`);
}

/** The release's paragraphs of the host's package sources, without updates and security. */
function releaseSources(): string {
  return debianSources()
    .split(/\n\n+/)
    .filter((paragraph) => new RegExp(`^Suites:.*\\b${SUITE}(?:\\s|$)`, "m").test(paragraph))
    .map((paragraph) => paragraph.replace(/^Suites:.*$/m, `Suites: ${SUITE}`))
    .join("\n\n");
}

async function install(architecture: Architecture, work: string, say: (line: string) => void): Promise<Tree> {
  const tar = join(work, "tree.tar");
  const sources = join(work, "debian.sources");
  writeFileSync(sources, `${releaseSources()}\n`);
  const options = ["--variant=minbase", `--architectures=${architecture}`, "--format=tar"];
  // An amd64 processor runs i386 programs: nothing has to be emulated for the installation.
  if (architecture === "i386") options.push("--skip=check/qemu");
  options.push('--aptopt=APT::Install-Recommends "false"', `--include=${PACKAGES.join(",")}`);
  await runLong("mmdebstrap", [...options, SUITE, tar, sources], { onLine: say });
  return readTar(tar);
}

/** Makes the disk and answers its path; `say` hears what is being done. */
export async function makeUserlandDisk(
  architecture: Architecture,
  say: (line: string) => void,
): Promise<string> {
  const disk = userlandDisk(architecture);
  if (existsSync(disk)) return disk;
  const folder = join(cacheDirectory(), "userland");
  mkdirSync(folder, { recursive: true });
  const work = mkdtempSync(join(folder, "work-"));
  try {
    const installed = await install(architecture, work, say);
    const tree: Tree = new Map([...installed].filter(([path]) => !DROPPED.test(path)));
    const modified = Math.max(...[...tree.values()].map((node) => node.modified));
    const builder = new TreeBuilder(modified, tree);
    builder.file("usr/sbin/virga-checks", guestFile("checks.sh"), 0o755);
    for (const name of FILES.slice(1)) builder.file(`checks/${name}`, guestFile(name));
    say("making the file system");
    const system = {
      label: "userland",
      uuid: "76697267-6100-4000-8000-000000000003",
      sizeBytes: 1536 * MiB,
      offset: 0,
      journalMiB: 16,
      inodes: 131_072,
      modified,
    };
    makeExt4(join(work, "disk.img"), tree, system, join(work, "files"));
    renameSync(join(work, "disk.img"), disk);
    return disk;
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

if (import.meta.main) {
  const wanted = ARCHITECTURES.find((name) => name === process.argv[2]);
  if (!wanted) {
    console.error(`Which userland? ${ARCHITECTURES.join(", ")}`);
    process.exit(2);
  }
  console.log(await makeUserlandDisk(wanted, (line) => console.log(line)));
}
