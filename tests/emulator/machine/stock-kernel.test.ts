import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, onTestFailed, test } from "vitest";
import { runIntoFile } from "../../../infra/host/exec.ts";
import { packCpio } from "../../../infra/images/cpio.ts";
import { moduleClosure } from "../../../infra/images/modules.ts";
import { readTar } from "../../../infra/images/tar.ts";
import { bytesOf, type Tree, TreeBuilder } from "../../../infra/images/tree.ts";
import { startNodeMachine } from "../../../infra/headless/node-machine.ts";

/**
 * Debian's kernel for real PCs, which has a driver for this display and one for this mouse. VIRGA_STOCK_KERNEL names a folder
 * with two packages, as `apt-get download linux-image-6.1.0-56-amd64 busybox-static` leaves them.
 */
const folder = process.env["VIRGA_STOCK_KERNEL"] ?? "";
const packageOf = (start: string): string | undefined =>
  existsSync(folder)
    ? readdirSync(folder).find((name) => name.startsWith(start) && name.endsWith(".deb"))
    : undefined;
const packages = [packageOf("linux-image-"), packageOf("busybox-static_")] as const;
const core = existsSync("build/wasm/cpu.wasm");

/** Loads the drivers, paints the frame buffer, and says what the mouse said. */
const INIT = `#!/bin/busybox sh
busybox() { /bin/busybox "$@"; }
busybox mount -t proc proc /proc
busybox mount -t sysfs sys /sys
busybox mount -t devtmpfs dev /dev
for module in $(busybox cat /modules/order); do busybox insmod /modules/$module; done
until busybox test -e /dev/input/mice && busybox grep -q Mouse /proc/bus/input/devices; do busybox sleep 1; done
echo "fb: $(busybox cat /proc/fb)"
echo "size: $(busybox cat /sys/class/graphics/fb0/virtual_size)"
busybox dmesg | busybox grep -iE "bochs|psmouse|input: .*Mouse"
busybox grep -E "^ *12:" /proc/interrupts
echo 0 >/sys/class/graphics/fbcon/cursor_blink
busybox printf '\\063\\042\\021\\000' >/a
for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19; do busybox cat /a /a >/b; busybox mv /b /a; done
busybox cat /a >/dev/fb0
busybox sleep 1
echo "painted"
busybox dd if=/dev/input/mice bs=3 count=1 2>/dev/null | busybox od -An -tx1
busybox poweroff -f
`;

function unpack(deb: string, into: string): Tree {
  const tar = join(into, `${deb}.tar`);
  runIntoFile(tar, "dpkg-deb", ["--fsys-tarfile", join(folder, deb)]);
  return readTar(tar);
}
function fileIn(tree: Tree, pattern: RegExp): Uint8Array {
  for (const [path, node] of tree)
    if (node.kind === "file" && pattern.test(path)) return bytesOf(node.content);
  throw new Error(`no file looks like ${pattern}`);
}

/** The ELF kernel in a bzImage of XZ, as the payload fields of its setup header say (boot.rst): the guest would take long. */
function unpackKernel(bzImage: Uint8Array): Uint8Array {
  const view = new DataView(bzImage.buffer, bzImage.byteOffset);
  const start = (bzImage[0x1f1]! + 1) * 512 + view.getUint32(0x248, true);
  const packed = bzImage.subarray(start, start + view.getUint32(0x24c, true) - 4);
  return spawnSync("xz", ["-dc", "--single-stream"], { input: packed, maxBuffer: 2 ** 28 }).stdout;
}

/** Kernel and initial RAM disk. */
function bootFiles(): { kernel: Uint8Array; initrd: Uint8Array } {
  const work = mkdtempSync(join(tmpdir(), "virga-stock-"));
  try {
    const kernel = unpack(packages[0]!, work);
    const modules = moduleClosure(kernel, ["bochs", "psmouse"]);
    const builder = new TreeBuilder(0).file("init", new TextEncoder().encode(INIT), 0o755);
    for (const path of ["bin", "dev", "proc", "sys", "modules"]) builder.directory(path);
    builder.character("dev/console", 5, 1);
    builder.file("bin/busybox", fileIn(unpack(packages[1]!, work), /bin\/busybox$/), 0o755);
    for (const [name, bytes] of modules) builder.file(`modules/${name}`, bytes);
    builder.file("modules/order", new TextEncoder().encode([...modules.keys()].join("\n")));
    return { kernel: unpackKernel(fileIn(kernel, /^boot\/vmlinuz-/)), initrd: packCpio(builder.tree) };
  } finally {
    rmSync(work, { recursive: true });
  }
}

describe.skipIf(!core || !packages[0] || !packages[1])(
  "Debian's kernel for PCs (VIRGA_STOCK_KERNEL names a folder with its package and busybox-static)",
  () => {
    test("bochs-drm drives the display and psmouse the mouse", async () => {
      let said = "";
      onTestFailed(() => console.log(said.slice(-4000)));
      const machine = await startNodeMachine({
        ...bootFiles(),
        boot: {
          id: "stock",
          label: "stock",
          kernel: "" as never,
          commandLine: "console=ttyS0 loglevel=4 panic=-1",
        },
        memoryMiB: 512,
        disks: [],
        onSerial: (bytes) => (said += new TextDecoder().decode(bytes)),
      });
      await expect.poll(() => said, { timeout: 240_000 }).toContain("painted");
      expect(said).toContain("fb: 0 bochs-drmdrmfb");
      expect(said).toContain("size: 1024,768");
      expect(said).toMatch(/ImPS\/2 .*Wheel Mouse/);
      const picture = machine.picture();
      if (picture.kind !== "graphics") throw new Error("the screen shows text");
      expect([picture.width, picture.height]).toEqual([1024, 768]);
      for (const pixel of [100 * 1024, 200 * 1024 + 512, 500 * 1024 + 1023])
        expect([...picture.pixels.subarray(4 * pixel, 4 * pixel + 4)]).toEqual([0x11, 0x22, 0x33, 0xff]);
      // The driver listens only once somebody has opened the device.
      const hand = setInterval(() => machine.machine.moveMouse({ dx: 5, dy: 3, wheel: 0, buttons: 1 }), 200);
      expect(await machine.done).toEqual({ reason: "power-off" });
      clearInterval(hand);
      expect(said).toMatch(/ [0-9a-f]9 05 fd/);
    }, 300_000);
  },
);
