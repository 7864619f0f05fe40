/**
 * Makes ext4 file systems that depend on nothing but the tree: mke2fs makes an empty one with fixed identity, debugfs fills
 * it in the tree's own order (so files that a boot reads together lie together), e2fsck confirms it.
 * Neither root nor mounting is needed. Hash trees for large directories are left to the guest.
 */
import { chmodSync, mkdirSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { run as execute } from "../host/exec.ts";
import { bytesOf } from "./tree.ts";
import type { Node, Tree } from "./tree.ts";

export interface FileSystem {
  readonly label: string;
  readonly uuid: string;
  readonly sizeBytes: number;
  /** Where it begins in the disk file: behind a partition table, or 0. */
  readonly offset: number;
  readonly journalMiB: number;
  readonly inodes: number;
  /** Seconds since 1970, for everything the tree gives no time. */
  readonly modified: number;
}

/**
 * Said in full, so that /etc/mke2fs.conf of the host does not matter. Metadata checksums are left out, because every chunk is
 * verified on its way anyway and the guest would compute CRC32C in software; the inode tables are
 * marked as zeroed, or the guest would spend its first minutes writing zeros into its overlay.
 */
const FEATURES =
  "has_journal,ext_attr,dir_index,filetype,extent,flex_bg,sparse_super,large_file,huge_file,dir_nlink,extra_isize,uninit_bg";

const run = (tool: string, args: readonly string[], { modified }: FileSystem): string =>
  execute(tool, args, { env: { E2FSPROGS_FAKE_TIME: String(modified), MKE2FS_CONFIG: "/dev/null" } }).stderr;

function makeEmpty(disk: string, system: FileSystem): void {
  const extended = [
    `offset=${system.offset}`,
    `hash_seed=${system.uuid}`,
    "lazy_itable_init=0",
    "lazy_journal_init=0",
    "nodiscard",
    "root_owner=0:0",
  ];
  const options = ["-q", "-F", "-t", "ext4", "-b", "4096", "-I", "256", "-m", "0", "-O", `none,${FEATURES}`];
  const identity = [
    "-L",
    system.label,
    "-U",
    system.uuid,
    "-N",
    String(system.inodes),
    "-J",
    `size=${system.journalMiB}`,
    "-E",
    extended.join(","),
  ];
  run("mke2fs", [...options, ...identity, disk, `${system.sizeBytes / 1024}k`], system);
}

const TYPE_BITS = {
  file: 0o100000,
  directory: 0o040000,
  symlink: 0o120000,
  character: 0o020000,
  block: 0o060000,
  fifo: 0o010000,
  hardlink: 0,
} as const;

/** debugfs takes words in double quotes, with a quote inside written twice (libss). */
const quote = (word: string): string => {
  if (/[\n\r]/.test(word)) throw new Error(`debugfs cannot name ${JSON.stringify(word)}`);
  return `"${word.replaceAll('"', '""')}"`;
};

/** The command that makes one node in the current directory. Contents are first put into a file of the host. */
function creation(name: string, node: Node, stage: (node: Node & { kind: "file" }) => string): string {
  switch (node.kind) {
    case "directory":
      return `mkdir ${quote(name)}`;
    case "file":
      return `write ${quote(stage(node))} ${quote(name)}`;
    case "symlink":
      return `symlink ${quote(name)} ${quote(node.target)}`;
    case "hardlink":
      return `ln ${quote(`/${node.target}`)} ${quote(name)}`;
    case "fifo":
      return `mknod ${quote(name)} p`;
    case "character":
    case "block":
      return `mknod ${quote(name)} ${node.kind === "block" ? "b" : "c"} ${node.major} ${node.minor}`;
    default:
      return node satisfies never;
  }
}

/** Mode and owner, where they differ from what creation gave. */
function attributesOf(name: string, node: Node): string[] {
  if (node.kind === "hardlink") return [];
  const commands: string[] = [];
  if (node.kind !== "symlink")
    commands.push(`sif ${quote(name)} mode 0${(TYPE_BITS[node.kind] | node.mode).toString(8)}`);
  if (node.uid) commands.push(`sif ${quote(name)} uid ${node.uid}`);
  if (node.gid) commands.push(`sif ${quote(name)} gid ${node.gid}`);
  return commands;
}

/** All commands that put the tree, in its order, into the empty file system. */
function* commandsFor(
  tree: Tree,
  modified: number,
  stage: (node: Node & { kind: "file" }) => string,
): Generator<string> {
  let directory = "";
  let time = -1;
  for (const [path, node] of tree) {
    const parent = dirname(path) === "." ? "" : dirname(path);
    if (parent !== directory) yield `cd ${quote(`/${parent}`)}`;
    directory = parent;
    const now = Math.min(node.modified, modified);
    if (now !== time) yield `set_current_time @${now}`;
    time = now;
    const name = basename(path);
    yield creation(name, node, stage);
    yield* attributesOf(name, node);
  }
  yield* linkCounts(tree);
  yield `set_current_time @${modified}`;
}

/** `ln` of debugfs leaves the link count of the file as it was. */
function* linkCounts(tree: Tree): Generator<string> {
  const counts = new Map<string, number>();
  for (const node of tree.values())
    if (node.kind === "hardlink") counts.set(node.target, (counts.get(node.target) ?? 1) + 1);
  for (const [target, count] of counts) yield `sif ${quote(`/${target}`)} links_count ${count}`;
}

/** Removes lost+found's reserve, fills the file system and checks it. `workDirectory` is made and removed. */
export function makeExt4(disk: string, tree: Tree, system: FileSystem, workDirectory: string): void {
  mkdirSync(workDirectory, { recursive: true });
  try {
    writeFileSync(disk, "", { flag: "a" });
    truncateSync(disk, system.offset + system.sizeBytes);
    makeEmpty(disk, system);
    let staged = 0;
    const stage = (node: Node & { kind: "file" }): string => {
      const path = join(workDirectory, `f${staged++}`);
      writeFileSync(path, bytesOf(node.content));
      chmodSync(path, 0o600);
      return path;
    };
    const script = join(workDirectory, "commands");
    writeFileSync(script, [...commandsFor(tree, system.modified, stage)].join("\n") + "\n");
    const device = system.offset ? `${disk}?offset=${system.offset}` : disk;
    const complaints = run("debugfs", ["-w", "-f", script, device], system)
      .split("\n")
      .filter((line) => line && !line.startsWith("debugfs "));
    if (complaints.length > 0) throw new Error(`debugfs: ${complaints.slice(0, 5).join("; ")}`);
    run("e2fsck", ["-fn", device], system);
  } finally {
    rmSync(workDirectory, { recursive: true, force: true });
  }
}
