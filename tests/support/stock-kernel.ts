import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Apt, aptProblem } from "../../infra/host/apt.ts";
import { runIntoFile } from "../../infra/host/exec.ts";
import { packCpio } from "../../infra/images/cpio.ts";
import { moduleClosure } from "../../infra/images/modules.ts";
import { readTar } from "../../infra/images/tar.ts";
import { bytesOf, TreeBuilder, type Tree } from "../../infra/images/tree.ts";
import { cacheDirectory } from "../../infra/store/image-store.ts";

/** Debian's stock kernel, whose drivers the cloud kernel of our images leaves out. Its packages stay in the cache. */
export interface StockKernel {
  readonly vmlinux: Uint8Array;
  /** A RAM disk that loads these modules, each with the parameters that follow its name, and stops at a BusyBox prompt, "stock# ". */
  initrd(modules: readonly string[]): Uint8Array;
}

const INIT = `#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /dev /tmp
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sys /sys
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox --install -s /bin
export PATH=/bin PS1='stock# '
while read -r module words; do insmod "/modules/$module" $words; done </modules/order
exec setsid -c sh </dev/ttyS0 >/dev/ttyS0 2>&1
`;

const fileIn = (tree: Tree, pattern: RegExp): Uint8Array => {
  for (const [path, node] of tree)
    if (node.kind === "file" && pattern.test(path)) return bytesOf(node.content);
  throw new Error(`no file like ${pattern}`);
};

/** The ELF file inside a bzImage (Linux Documentation/arch/x86/boot.rst: setup_sects, payload_offset, payload_length). */
function unpackedKernel(bzImage: Uint8Array, work: string): Uint8Array {
  const view = new DataView(bzImage.buffer, bzImage.byteOffset);
  const start = ((view.getUint8(0x1f1) || 4) + 1) * 512 + view.getUint32(0x248, true);
  // The size of what is packed follows the stream.
  writeFileSync(join(work, "vmlinux.xz"), bzImage.subarray(start, start + view.getUint32(0x24c, true) - 4));
  runIntoFile(join(work, "vmlinux"), "xz", ["-dc", join(work, "vmlinux.xz")]);
  return readFileSync(join(work, "vmlinux"));
}

/** The reason when it cannot be had here. */
export function stockKernel(): StockKernel | string {
  const problem = aptProblem();
  if (problem) return problem;
  const home = join(cacheDirectory(), "suites", "stock-kernel");
  mkdirSync(home, { recursive: true });
  const work = mkdtempSync(join(home, "work-"));
  try {
    const apt = new Apt(join(work, "apt"));
    const unpack = (name: string): Tree => {
      const kept = readdirSync(home).find((file) => file.startsWith(`${name}_`));
      const tar = join(work, `${name}.tar`);
      runIntoFile(tar, "dpkg-deb", ["--fsys-tarfile", kept ? join(home, kept) : apt.download(name, home)]);
      const tree = readTar(tar);
      for (const [path, node] of tree)
        if (node.kind === "file" && /vmlinuz|\/net\/|busybox|virtio/.test(path))
          tree.set(path, { ...node, content: bytesOf(node.content) });
      return tree;
    };
    const kernel = unpack(apt.target("linux-image-amd64", /^linux-image-\d/));
    const busybox = fileIn(unpack("busybox-static"), /^(usr\/)?bin\/busybox$/);
    return {
      vmlinux: unpackedKernel(fileIn(kernel, /^boot\/vmlinuz-/), work),
      initrd(modules) {
        const builder = new TreeBuilder(0).character("dev/console", 5, 1).file("init", INIT, 0o755);
        builder.file("bin/busybox", busybox, 0o755);
        const words = new Map<string, string>();
        for (const line of modules) {
          const [name = "", ...parameters] = line.split(" ");
          words.set(name, parameters.join(" "));
        }
        const closure = moduleClosure(kernel, [...words.keys()]);
        for (const [name, bytes] of closure) builder.file(`modules/${name}`, bytes);
        const order = [...closure.keys()].map((name) => `${name} ${words.get(name.slice(0, -3)) ?? ""}\n`);
        return packCpio(builder.file("modules/order", order.join("")).tree);
      },
    };
  } catch (error) {
    return String(error);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}
