/** Files of Debian's packages that processor models are shown with: in the suite's folder, or where a package has put them. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** Name in the suite's folder → the package, and where it is when the package is installed. */
const PLACES = {
  "bios/BIOS-bochs-legacy": ["bochsbios", "/usr/share/bochs/BIOS-bochs-legacy"],
  "bios/bios.bin": ["seabios", "/usr/share/seabios/bios.bin"],
  "bios/vgabios-stdvga.bin": ["seabios", "/usr/share/seabios/vgabios-stdvga.bin"],
  "disks/grub-rescue-cdrom.iso": ["grub-rescue-pc", "/usr/lib/grub-rescue/grub-rescue-cdrom.iso"],
  "disks/ipxe.iso": ["ipxe", "/usr/lib/ipxe/ipxe.iso"],
  "memtest/memtest86+ia32.bin": ["memtest86+", "/boot/memtest86+ia32.bin"],
  "memtest/memtest86+x64.bin": ["memtest86+", "/boot/memtest86+x64.bin"],
  "linux/vmlinuz-686": ["linux-image-686", undefined],
  "linux/vmlinuz-686-pae": ["linux-image-686-pae", undefined],
  "linux/vmlinuz-amd64": ["linux-image-amd64", undefined],
  "linux/busybox": ["busybox-static", undefined],
  "glibc/ld-linux-x86-64.so.2": ["libc6", "/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2"],
  "glibc/libc.so.6": ["libc6", "/lib/x86_64-linux-gnu/libc.so.6"],
  "glibc/true": ["coreutils", "/usr/bin/true"],
} as const satisfies Readonly<Record<string, readonly [string, string | undefined]>>;
export type GuestFile = keyof typeof PLACES;

/** Why a guest cannot be had here. */
export class GuestAbsent extends Error {}

export class GuestFiles {
  readonly #folder: string | undefined;
  readonly #read = new Map<GuestFile, Uint8Array>();
  constructor(folder: string | undefined) {
    this.#folder = folder;
  }

  has(name: GuestFile): boolean {
    return this.#find(name) !== undefined;
  }
  /** The bytes of a file; throws GuestAbsent, which names the package, where it is nowhere. */
  read(name: GuestFile): Uint8Array {
    const known = this.#read.get(name);
    if (known) return known;
    const path = this.#find(name);
    if (path === undefined) throw new GuestAbsent(`${name} of Debian's package ${PLACES[name][0]} is absent`);
    const bytes = new Uint8Array(readFileSync(path));
    this.#read.set(name, bytes);
    return bytes;
  }
  #find(name: GuestFile): string | undefined {
    const inFolder = this.#folder === undefined ? undefined : join(this.#folder, name);
    return [inFolder, PLACES[name][1]].find((place) => place !== undefined && existsSync(place));
  }
}
