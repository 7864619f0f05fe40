/** Builds the demo images from the host's packages into an image store, unless they are there. */
import { closeSync, mkdirSync, mkdtempSync, openSync, rmSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { Apt } from "../host/apt.ts";
import { run, runIntoFile, runLong } from "../host/exec.ts";
import type { ImageRecord, ImageStore } from "../store/image-store.ts";
import { packCpio } from "./cpio.ts";
import { MODULES, PACKAGES, debianTree } from "./debian.ts";
import { type BootFiles, debianDefinition, tinyDefinition } from "./definitions.ts";
import { makeExt4 } from "./ext4.ts";
import { extractVmlinux } from "./kernel.ts";
import { masterBootRecord } from "./mbr.ts";
import { moduleClosure } from "./modules.ts";
import { recipeKey } from "./recipe.ts";
import { readTar } from "./tar.ts";
import { initrdTree, tinyTree } from "./tiny.ts";
import { type Tree, bytesOf } from "./tree.ts";

export const DEMO_IMAGES = ["tiny", "debian"] as const;
export type DemoImage = (typeof DEMO_IMAGES)[number];

const MiB = 2 ** 20;
const BUSYBOX = "busybox-static";
/** Drivers that the initial RAM disk loads: the disk, and what would otherwise cost a modprobe later. */
const INITRD_MODULES = ["virtio_pci", "virtio_blk", "virtio_net", "button", "evdev"];

/** The packages that both images start with, unpacked. */
interface Base {
  readonly kernel: Tree;
  readonly release: string;
  readonly busybox: Uint8Array;
  readonly initrdModules: ReadonlyMap<string, Uint8Array>;
  readonly modified: number;
  readonly boot: BootFiles;
}

const fileIn = (tree: Tree, pattern: RegExp): { path: string; bytes: Uint8Array } => {
  for (const [path, node] of tree)
    if (node.kind === "file" && pattern.test(path)) return { path, bytes: bytesOf(node.content) };
  throw new Error(`No file of the package looks like ${pattern}`);
};

const newest = (tree: Tree): number => Math.max(...[...tree.values()].map((node) => node.modified));

/** One run of the builder; what it downloads and unpacks lives as long as this. */
export class ImageBuilder {
  readonly #store: ImageStore;
  readonly #say: (line: string) => void;
  readonly #work: string;
  readonly #apt: Apt;
  #kernelPackage = "";
  #base: Promise<Base> | undefined;

  constructor(store: ImageStore, say: (line: string) => void) {
    this.#store = store;
    this.#say = say;
    mkdirSync(join(store.directory, "work"), { recursive: true });
    this.#work = mkdtempSync(join(store.directory, "work", "build-"));
    this.#apt = new Apt(join(this.#work, "apt"));
  }

  /** The image, from the store when the same recipe with the same packages has been built before. */
  async image(slug: DemoImage): Promise<ImageRecord> {
    const key = this.#key(slug);
    const known = this.#store.find(slug, key);
    if (known) return known;
    const record = slug === "tiny" ? await this.#tiny() : await this.#debian();
    this.#store.save(record, key);
    return record;
  }

  close(): void {
    rmSync(this.#work, { recursive: true, force: true });
  }

  #kernel(): string {
    this.#kernelPackage ||= this.#apt.target("linux-image-cloud-amd64", /^linux-image-\d/);
    return this.#kernelPackage;
  }

  #key(slug: DemoImage): string {
    const tools = [run("mke2fs", ["-V"]).stderr.split("\n")[0] ?? "", `zlib ${process.versions.zlib}`];
    const packages = this.#apt.versions([this.#kernel(), BUSYBOX]);
    const rest = slug === "debian" ? this.#apt.closure(["?essential", "apt", ...PACKAGES]) : [];
    return recipeKey(slug, [...tools, ...packages, ...rest]);
  }

  #unpack(name: string): Tree {
    const deb = this.#apt.download(name, join(this.#work, "packages"));
    const tar = join(this.#work, `${name}.tar`);
    runIntoFile(tar, "dpkg-deb", ["--fsys-tarfile", deb]);
    return readTar(tar);
  }

  #prepare(): Promise<Base> {
    this.#base ??= this.#prepareBase();
    return this.#base;
  }

  async #prepareBase(): Promise<Base> {
    this.#say(`downloading ${this.#kernel()} and ${BUSYBOX}`);
    const kernel = this.#unpack(this.#kernel());
    const busybox = fileIn(this.#unpack(BUSYBOX), /^(usr\/)?bin\/busybox$/).bytes;
    const image = fileIn(kernel, /^boot\/vmlinuz-/);
    const modified = newest(kernel);
    const initrdModules = moduleClosure(kernel, INITRD_MODULES);
    const boot = {
      kernel: await this.#store.addBytes(extractVmlinux(image.bytes)),
      initrd: await this.#store.addBytes(packCpio(initrdTree(busybox, initrdModules, modified))),
    };
    const release = image.path.replace(/^boot\/vmlinuz-/, "");
    return { kernel, release, busybox, initrdModules, modified, boot };
  }

  async #tiny(): Promise<ImageRecord> {
    const { release, busybox, modified, boot } = await this.#prepare();
    const disk = join(this.#work, "tiny.img");
    const system = {
      label: "tiny",
      uuid: "76697267-6100-4000-8000-000000000001",
      sizeBytes: 64 * MiB,
      offset: 0,
      journalMiB: 4,
      inodes: 4096,
      modified,
    };
    makeExt4(disk, tinyTree(busybox, modified), system, join(this.#work, "tiny"));
    return {
      slug: "tiny",
      name: "Tiny Linux",
      description: `Linux ${release} and BusyBox on 64 MB: at a shell in seconds.`,
      definition: tinyDefinition(boot, await this.#store.addFile(disk)),
    };
  }

  async #debian(): Promise<ImageRecord> {
    const { kernel, release, boot } = await this.#prepare();
    const disk = join(this.#work, "debian.img");
    const offset = MiB;
    const sizeBytes = 2048 * MiB;
    const { tar, builtSince } = await this.#installDebian(kernel, release);
    this.#say("debian: making the file system");
    const { tree, modified } = debianTree(readTar(tar), builtSince);
    const system = {
      label: "debian",
      uuid: "76697267-6100-4000-8000-000000000002",
      sizeBytes: sizeBytes - offset,
      offset,
      journalMiB: 16,
      inodes: 131072,
      modified,
    };
    makeExt4(disk, tree, system, join(this.#work, "debian"));
    const handle = openSync(disk, "r+");
    writeSync(handle, masterBootRecord(sizeBytes, offset, 0x61677276));
    closeSync(handle);
    this.#say("debian: cutting the disk into chunks");
    return {
      slug: "debian",
      name: "Debian 12",
      description:
        "A 64-bit Debian with bash, Python, a C compiler, curl and apt. Boots to a shell, or with systemd.",
      definition: debianDefinition(boot, await this.#store.addFile(disk)),
    };
  }

  /** Installs the packages into a tree of their own. The hooks bring our few kernel modules and index them. */
  async #installDebian(kernel: Tree, release: string): Promise<{ tar: string; builtSince: number }> {
    const modules = join(this.#work, release);
    mkdirSync(join(modules, "kernel"), { recursive: true });
    for (const [name, bytes] of moduleClosure(kernel, MODULES))
      writeFileSync(join(modules, "kernel", name), bytes);
    for (const name of ["builtin", "builtin.modinfo", "order"])
      writeFileSync(
        join(modules, `modules.${name}`),
        fileIn(kernel, new RegExp(`/modules\\.${name}$`)).bytes,
      );
    const tar = join(this.#work, "debian.tar");
    const builtSince = Math.floor(Date.now() / 1000);
    const hooks = [
      'mkdir -p "$1/usr/lib/modules"',
      `copy-in ${modules} /usr/lib/modules`,
      `chroot "$1" depmod -a ${release}`,
    ];
    const options = [
      "--variant=minbase",
      "--architectures=amd64",
      "--format=tar",
      '--aptopt=APT::Install-Recommends "false"',
    ];
    const step = (line: string): void => {
      const said =
        /^I: (downloading packages|extracting archives|installing \S+ packages|creating tarball)/.exec(
          line,
        )?.[1];
      if (said) this.#say(`debian: ${said}`);
    };
    await runLong(
      "mmdebstrap",
      [
        ...options,
        `--include=${PACKAGES.join(",")}`,
        ...hooks.map((hook) => `--customize-hook=${hook}`),
        "bookworm",
        tar,
        this.#apt.sourcesFile,
      ],
      { onLine: step },
    );
    return { tar, builtSince };
  }
}
