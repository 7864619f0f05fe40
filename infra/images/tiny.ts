/** The recipe of `tiny`: a static BusyBox on a small ext4 disk without partitions. */
import { readFileSync } from "node:fs";
import { TreeBuilder } from "./tree.ts";
import type { Tree } from "./tree.ts";

const guest = (name: string): string => readFileSync(new URL(`guest/${name}`, import.meta.url), "utf8");

/** Commands that live in /sbin; all others go to /bin. */
const SYSTEM_COMMANDS = new Set(
  "acpid blkid fdisk fstrim getty halt hwclock ifconfig init insmod ip klogd losetup lsmod mdev mkfs.ext2 mkswap modprobe pivot_root poweroff reboot rmmod route swapoff swapon switch_root sysctl syslogd udhcpc".split(
    " ",
  ),
);

/**
 * The names BusyBox answers to, which it holds as a list of words each ended by a zero byte, beginning with "[" and "[[".
 * Reading them here means that the program of the guest never has to run on the host.
 */
export function busyboxNames(binary: Uint8Array): string[] {
  const bytes = Buffer.from(binary.buffer, binary.byteOffset, binary.byteLength);
  const start = bytes.indexOf("\0[\0[[\0", 0, "latin1") + 1;
  const end = bytes.indexOf("\0\0", start, "latin1");
  if (start === 0 || end < 0) throw new Error("The list of applets was not found in the BusyBox binary");
  return bytes.toString("latin1", start, end).split("\0");
}

/** The initial RAM disk: BusyBox, `modules` in the order in which they are loaded, and the script that mounts the root. */
export function initrdTree(
  busybox: Uint8Array,
  modules: ReadonlyMap<string, Uint8Array>,
  modified: number,
): Tree {
  const builder = new TreeBuilder(modified)
    .directory("dev")
    .directory("proc")
    .directory("root")
    .directory("bin");
  builder.character("dev/console", 5, 1).file("init", guest("initrd/init"), 0o755);
  builder.file("bin/busybox", busybox, 0o755);
  // The running system keeps these, and BusyBox, in /run/virga.
  for (const name of ["network", "lease"]) builder.file(`virga/${name}`, guest(`initrd/${name}`), 0o755);
  for (const [name, bytes] of modules) builder.file(`modules/${name}`, bytes);
  return builder.file("modules/order", [...modules.keys()].join("\n") + "\n").tree;
}

export function tinyTree(busybox: Uint8Array, modified: number): Tree {
  const builder = new TreeBuilder(modified);
  for (const path of ["bin", "sbin", "dev", "etc", "proc", "sys", "run", "mnt", "usr/bin", "usr/sbin", "var"])
    builder.directory(path);
  builder.directory("root", 0o700).directory("tmp", 0o1777).symlink("var/run", "/run");
  builder.file("bin/busybox", busybox, 0o755);
  for (const name of busyboxNames(busybox)) {
    if (name === "busybox" || name === "linuxrc") continue;
    if (SYSTEM_COMMANDS.has(name)) builder.symlink(`sbin/${name}`, "../bin/busybox");
    else builder.symlink(`bin/${name}`, "busybox");
  }
  builder
    .file("etc/inittab", guest("tiny/inittab"))
    .file("etc/rc", guest("tiny/rc"), 0o755)
    .file("etc/profile", guest("tiny/profile"));
  builder
    .file("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n")
    .file("etc/group", "root:x:0:\ntty:x:5:\n")
    .file("etc/hostname", "tiny\n")
    .file("etc/hosts", "127.0.0.1 localhost tiny\n::1 localhost\n")
    .symlink("etc/resolv.conf", "/run/resolv.conf");
  builder
    .file("etc/fstab", "/dev/vda / ext4 noatime 0 0\n")
    .file("etc/os-release", 'NAME="Virga tiny"\nID=virga-tiny\n');
  return builder.tree;
}
