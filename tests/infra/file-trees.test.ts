import { execFileSync } from "node:child_process";
import {
  mkdtempSync,
  mkdirSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
  readFileSync,
  linkSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { find } from "../../infra/host/exec.ts";
import { packCpio } from "../../infra/images/cpio.ts";
import { inBootOrder } from "../../infra/images/debian.ts";
import { diskLayout, rootDevice } from "../../infra/images/disk-layout.ts";
import { makeExt4 } from "../../infra/images/ext4.ts";
import { masterBootRecord } from "../../infra/images/mbr.ts";
import { readTar } from "../../infra/images/tar.ts";
import { busyboxNames, tinyTree } from "../../infra/images/tiny.ts";
import { TreeBuilder, bytesOf } from "../../infra/images/tree.ts";

const work = mkdtempSync(join(tmpdir(), "virga-trees-"));
afterAll(() => rmSync(work, { recursive: true, force: true }));
const MODIFIED = 1_700_000_000;
const busybox = Buffer.from("ELF\0other\0[\0[[\0ash\0busybox\0init\0ls\0\0rest", "latin1");

test("tar: what the host's tar packed is read again, long names and links included", () => {
  const root = join(work, "tree");
  const long = `${"d".repeat(90)}/${"f".repeat(120)}`;
  mkdirSync(join(root, "d".repeat(90)), { recursive: true });
  writeFileSync(join(root, long), "long");
  writeFileSync(join(root, "plain"), "text", { mode: 0o640 });
  linkSync(join(root, "plain"), join(root, "same"));
  symlinkSync("plain", join(root, "link"));
  utimesSync(join(root, "plain"), MODIFIED, MODIFIED);
  for (const format of ["gnu", "pax", "ustar"]) {
    if (format === "ustar") rmSync(join(root, "d".repeat(90)), { recursive: true });
    const file = join(work, `${format}.tar`);
    execFileSync("tar", ["--sort=name", `--format=${format}`, "-cf", file, "-C", root, "."]);
    const tree = readTar(file);
    expect(tree.get("plain")).toMatchObject({ kind: "file", mode: 0o640, modified: MODIFIED });
    expect(tree.get("same")).toMatchObject({ kind: "hardlink", target: "plain" });
    expect(tree.get("link")).toMatchObject({ kind: "symlink", target: "plain" });
    const node = tree.get(format === "ustar" ? "plain" : long);
    expect(node?.kind === "file" && Buffer.from(bytesOf(node.content)).toString()).toBe(
      format === "ustar" ? "text" : "long",
    );
  }
});

test("cpio: every header and body begins at a multiple of four and the archive ends in its trailer", () => {
  const archive = Buffer.from(packCpio(new TreeBuilder(MODIFIED).file("abc", "12345").tree));
  const second = archive.indexOf("070701", 6, "latin1");
  expect([archive.length % 4, second % 4]).toEqual([0, 0]);
  expect(archive.toString("latin1", second + 110, second + 120)).toBe("TRAILER!!!");
});

test("BusyBox says which commands it has", () => {
  expect(busyboxNames(busybox)).toEqual(["[", "[[", "ash", "busybox", "init", "ls"]);
  expect(() => busyboxNames(Buffer.from("nothing"))).toThrow("list of applets");
});

test("boot order: directories, then the files of the trace, then names, hard links last", () => {
  const builder = new TreeBuilder(1)
    .directory("z")
    .file("a", "")
    .file("m", "")
    .file("z/y", "")
    .symlink("b", "a");
  builder.tree.set("c", { kind: "hardlink", target: "z/y", mode: 0, uid: 0, gid: 0, modified: 1 });
  expect([...inBootOrder(builder.tree, ["z/y", "gone", "m"]).keys()]).toEqual([
    "z",
    "z/y",
    "m",
    "a",
    "b",
    "c",
  ]);
});

const hasExt4 = ["mke2fs", "debugfs", "e2fsck"].every((tool) => find(tool) !== null);

describe.skipIf(!hasExt4)("ext4 (skipped where e2fsprogs are not installed)", () => {
  const system = {
    label: "test",
    uuid: "76697267-6100-4000-8000-0000000000ff",
    offset: 0,
    sizeBytes: 16 * 2 ** 20,
    journalMiB: 4,
    inodes: 1024,
    modified: MODIFIED,
  };
  const make = (name: string, offset = 0): string => {
    const disk = join(work, name);
    const { tree } = new TreeBuilder(MODIFIED, tinyTree(busybox, MODIFIED))
      .file('odd "name" here', "odd")
      .file("big", new Uint8Array(300_000).fill(7));
    tree.set("twin", { kind: "hardlink", target: "big", mode: 0, uid: 0, gid: 0, modified: MODIFIED });
    tree.set("mine", {
      kind: "file",
      content: Uint8Array.of(1),
      mode: 0o4755,
      uid: 12,
      gid: 34,
      modified: 1_600_000_000,
    });
    makeExt4(disk, tree, { ...system, offset }, join(work, `${name}.work`));
    return disk;
  };
  const ask = (disk: string, question: string): string =>
    execFileSync("debugfs", ["-R", question, disk], {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
      env: { ...process.env, PATH: `${process.env["PATH"]}:/usr/sbin:/sbin`, TZ: "UTC" },
    });

  test("the same tree gives the same bytes under any name, and no time but its own is in them", () => {
    const disk = make("first.img");
    expect(readFileSync(make("second.img")).equals(readFileSync(disk))).toBe(true);
    const times = [
      ...ask(disk, "show_super_stats -h").matchAll(/(?:created|write time|Last checked):\s+(.*)/g),
    ];
    expect(times.map(([, time]) => Date.parse(`${time} UTC`) / 1000)).toEqual([MODIFIED, MODIFIED, MODIFIED]);
  });

  test("it holds the tree: contents, owners, modes, times, links, odd names", () => {
    const disk = make("third.img");
    expect(ask(disk, "cat /etc/hostname")).toBe("tiny\n");
    expect(ask(disk, 'cat "/odd ""name"" here"')).toBe("odd");
    expect(ask(disk, "stat /mine")).toMatch(/Mode:\s+04755[\s\S]*User:\s+12\s+Group:\s+34/);
    expect(ask(disk, "stat /mine")).toMatch(/mtime: 0x5f5e1000/);
    expect(ask(disk, "stat /big")).toMatch(/Links: 2[\s\S]*Size: 300000|Size: 300000[\s\S]*Links: 2/);
    expect(ask(disk, "stat /bin/ls")).toContain('Fast link dest: "busybox"');
  });

  test("inside a partition it is found there", () => {
    const disk = make("fourth.img", 2 ** 20);
    const bytes = readFileSync(disk);
    bytes.set(masterBootRecord(bytes.length, 2 ** 20, 1));
    const layout = diskLayout((offset, length) =>
      Buffer.concat([bytes.subarray(offset, offset + length), Buffer.alloc(length)], length),
    );
    expect(layout).toMatchObject({
      table: "mbr",
      partitions: [
        { number: 1, offset: 2 ** 20, sizeBytes: 16 * 2 ** 20, isLinux: true, fileSystem: "ext4" },
      ],
    });
    expect(rootDevice(layout)).toBe("/dev/vda1");
  });
});

test("a disk without a table or a file system has no root", () => {
  const layout = diskLayout((_, length) => Buffer.alloc(length));
  expect([layout.table, rootDevice(layout)]).toEqual(["none", null]);
});
