/**
 * The recipe of `debian`: Debian 12 minbase with a few tools on one partition of a 2 GB disk. mmdebstrap installs the packages;
 * what is done to its tree here is the same for the same packages, on every host and at every time.
 */
import { readFileSync } from "node:fs";
import { TreeBuilder, bytesOf } from "./tree.ts";
import type { Node, Tree } from "./tree.ts";

const guest = (name: string): string =>
  readFileSync(new URL(`guest/debian/${name}`, import.meta.url), "utf8");
const lines = (name: string): string[] =>
  guest(name)
    .split("\n")
    .filter((line) => line && !line.startsWith("#"));

/** Beyond minbase, which brings bash, coreutils and apt. */
export const PACKAGES =
  "systemd,systemd-sysv,udev,kmod,acpid,python3-minimal,tcc,libc6-dev,curl,ca-certificates,openssh-client,vim-tiny,iproute2,iputils-ping,netbase,procps,less".split(
    ",",
  );

/** Modules of the kernel package that lie in the image, with what they need; udev loads them when the device is there. */
export const MODULES =
  "virtio_blk virtio_pci virtio_net virtio_console virtio_rng virtio_balloon virtio_input button evdev loop overlay isofs vfat nls_cp437 nls_ascii fuse autofs4 tun crc32c_intel".split(
    " ",
  );

/** Paths that a machine without people reading manuals does not need, or that differ from build to build. */
const DROPPED = [
  /^usr\/share\/(doc|man|info|locale|lintian|bug|doc-base)\/./,
  /^var\/(cache\/(apt|debconf|ldconfig|man)|lib\/apt\/lists|log|tmp)\/./,
  /^(tmp|run|dev|proc|sys)\/./,
  /^var\/lib\/(dpkg|systemd\/catalog)\/[^/]*(-old|database)$/,
  /^etc\/(passwd|group|shadow|gshadow|subuid|subgid)-$/,
  /^etc\/(resolv\.conf|\.pwd\.lock)$/,
  // Where the packages came from on the host that built this; the guest has sources of its own.
  /^etc\/apt\/sources\.list\.d\/./,
  // The hardware database, 20 MB, names devices that no virtual machine has.
  /^(usr\/)?lib\/udev\/hwdb\.(d\/.|bin)/,
  /^boot\/./,
];

/** What systemd would start for a machine with more hardware, users or patience. */
const MASKED =
  "systemd-timesyncd.service systemd-logind.service systemd-pstore.service systemd-update-utmp.service systemd-update-utmp-runlevel.service systemd-journal-catalog-update.service systemd-hwdb-update.service systemd-network-generator.service systemd-networkd-wait-online.service systemd-binfmt.service systemd-firstboot.service systemd-boot-random-seed.service systemd-journal-flush.service systemd-machine-id-commit.service systemd-sysusers.service systemd-tmpfiles-clean.timer systemd-ask-password-wall.path systemd-ask-password-console.path modprobe@.service kmod-static-nodes.service proc-sys-fs-binfmt_misc.automount sys-fs-fuse-connections.mount sys-kernel-config.mount sys-kernel-debug.mount sys-kernel-tracing.mount dev-hugepages.mount dev-mqueue.mount e2scrub_all.timer e2scrub_reap.service fstrim.timer apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer getty-static.service ldconfig.service".split(
    " ",
  );

/** Programs that write units for encrypted, partitioned by type, hibernated or SysV systems; each would be run at every boot. */
const MASKED_GENERATORS =
  "bless-boot cryptsetup debug gpt-auto hibernate-resume integritysetup rc-local run system-update sysv veritysetup".split(
    " ",
  );

/** Where the trees of packages put their example of a package source, which becomes the guest's own. */
const EXAMPLE_SOURCES = "usr/share/doc/apt/examples/sources.list";

/** Days since 1970 of the last password change say when the image was built: they are set to one day. */
const withoutDays = (shadow: string): string => shadow.replaceAll(/^([^:]*:[^:]*):\d+:/gm, "$1:19700:");

const text = (tree: Tree, path: string): string => {
  const node = tree.get(path);
  if (node?.kind !== "file") throw new Error(`The packages gave no file ${path}`);
  return new TextDecoder().decode(bytesOf(node.content));
};

/** Kernel modules are copied in by whoever builds: without root they would carry that person's number. */
const owned = (path: string, node: Node): Node =>
  path.startsWith("usr/lib/modules/") ? { ...node, uid: 0, gid: 0 } : node;

/** Drops, and clamps times: what the installation itself wrote gets the time of the newest file out of a package. */
function normalised(raw: Tree, builtSince: number): { tree: Tree; modified: number } {
  let modified = 0;
  for (const node of raw.values())
    if (node.modified < builtSince) modified = Math.max(modified, node.modified);
  const tree: Tree = new Map();
  for (const [path, node] of raw) {
    if (DROPPED.some((pattern) => pattern.test(path))) continue;
    const isOurs = node.kind === "directory" || node.modified >= builtSince;
    tree.set(path, owned(path, isOurs ? { ...node, modified } : node));
  }
  return { tree, modified };
}

function configure(builder: TreeBuilder, sources: string): void {
  const { tree } = builder;
  for (const path of ["shadow", "gshadow"]) {
    const node = tree.get(`etc/${path}`);
    if (node?.kind === "file")
      tree.set(`etc/${path}`, {
        ...node,
        content: new TextEncoder().encode(withoutDays(text(tree, `etc/${path}`))),
      });
  }
  builder
    .file("etc/hostname", "debian\n")
    .file("etc/hosts", "127.0.0.1 localhost debian\n::1 localhost\n")
    .file("etc/machine-id", "");
  builder
    .file("etc/fstab", "/dev/vda1 / ext4 noatime 0 0\n")
    .file("etc/apt/sources.list", sources)
    .file("etc/apt/apt.conf.d/90virga", guest("apt.conf"))
    .file("etc/locale.conf", "LANG=C.UTF-8\n");
  builder
    .file("etc/motd", "")
    .file("etc/issue", "Debian GNU/Linux 12 \\n \\l\n\n")
    // Written by the DHCP client at every start, which must not be a change of the disk.
    .symlink("etc/resolv.conf", "/run/resolv.conf");
  builder.file("usr/sbin/virga-init", guest("virga-init"), 0o755);
  for (const name of ["poweroff", "halt", "shutdown", "reboot"])
    builder.file(`usr/local/sbin/${name}`, guest("stop-machine"), 0o755);
  builder.file("etc/profile.d/virga.sh", guest("profile.sh")).file("root/.bashrc", guest("bashrc"));
  builder.file("etc/profile", guest("profile")).file("root/.profile", guest("root-profile"));
  builder.file("etc/acpi/events/power", guest("acpi-power"));
  builder.file("etc/systemd/system/serial-getty@.service", guest("serial-getty@.service"));
  builder.file("etc/systemd/system/getty@.service.d/autologin.conf", guest("getty-autologin.conf"));
  builder.file("etc/systemd/journald.conf.d/virga.conf", guest("journald.conf"));
  builder.file("etc/systemd/system/systemd-udev-trigger.service.d/virga.conf", guest("udev-trigger.conf"));
  builder.file("etc/systemd/system/virga-network.service", guest("virga-network.service"));
  const wants = "etc/systemd/system/multi-user.target.wants";
  builder.symlink(`${wants}/virga-network.service`, "/etc/systemd/system/virga-network.service");
  // Cards keep the names that the kernel gave them, as in the entry without udev.
  builder.symlink("etc/systemd/network/99-default.link", "/dev/null");
  for (const name of MASKED_GENERATORS)
    builder.symlink(`etc/systemd/system-generators/systemd-${name}-generator`, "/dev/null");
  for (const unit of MASKED) builder.symlink(`etc/systemd/system/${unit}`, "/dev/null");
  builder.symlink("etc/systemd/system/default.target", "/lib/systemd/system/multi-user.target");
  builder.file("etc/.updated", "").file("var/.updated", "");
}

/**
 * Directories first, then what a boot reads in the order of `boot-order.txt`, then the rest by name, so that a boot touches
 * neighbouring chunks. Hard links come last, after the file that they name.
 */
export function inBootOrder(tree: Tree, bootOrder: readonly string[]): Tree {
  const rank = new Map(bootOrder.map((path, index) => [path, index]));
  const place = ([path, node]: [string, Node]): number => {
    if (node.kind === "directory") return -1;
    return node.kind === "hardlink" ? rank.size + 1 : (rank.get(path) ?? rank.size);
  };
  const byName = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);
  return new Map([...tree].sort((a, b) => place(a) - place(b) || byName(a[0], b[0])));
}

/** `raw` is the tree that mmdebstrap made after `builtSince` (seconds since 1970). */
export function debianTree(raw: Tree, builtSince: number): { tree: Tree; modified: number } {
  const sources = text(raw, EXAMPLE_SOURCES);
  const { tree, modified } = normalised(raw, builtSince);
  configure(new TreeBuilder(modified, tree), sources);
  return { tree: inBootOrder(tree, lines("boot-order.txt")), modified };
}
