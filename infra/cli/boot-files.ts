/** How to boot a disk that comes without a definition: with kernels given, or with those of the demo images. */
import { readFileSync } from "node:fs";
import { BootEntry } from "#protocol/machine-definition.ts";
import { COMMON_COMMAND_LINE } from "../images/definitions.ts";
import { diskLayoutOfFile, rootDevice } from "../images/disk-layout.ts";
import type { ImageStore } from "../store/image-store.ts";
import { extractVmlinux } from "../images/kernel.ts";

export interface KernelOptions {
  readonly kernel?: string;
  readonly initrd?: string;
  readonly cmdline?: string | readonly string[];
  readonly boot?: readonly string[];
}

/** The command line for the disk, unless one is given. */
function commandLineFor(disk: string): string {
  const root = rootDevice(diskLayoutOfFile(disk));
  if (!root) throw new Error(`No Linux root file system was found on ${disk}: say --cmdline.`);
  return `${COMMON_COMMAND_LINE} root=${root}`;
}

/** An LZ4 bzImage is stored as the kernel inside it, which starts sooner and takes fewer bytes; others stay as they are. */
function kernelBytes(path: string): Uint8Array {
  const bytes = readFileSync(path);
  try {
    return extractVmlinux(bytes);
  } catch {
    return bytes;
  }
}

/** `id:label`, several times; the i-th goes with the i-th command line, or with the last. */
export async function bootEntries(
  store: ImageStore,
  disk: string,
  options: KernelOptions,
): Promise<BootEntry[]> {
  const demo = store.latest("debian") ?? store.latest("tiny");
  const lines = typeof options.cmdline === "string" ? [options.cmdline] : (options.cmdline ?? []);
  const commandLines = lines.length > 0 ? lines : [commandLineFor(disk)];
  if (!options.kernel && !demo)
    throw new Error('There is no kernel yet: say --kernel, or let "npm start" build the demo images.');
  const kernel = options.kernel
    ? (await store.addBytes(kernelBytes(options.kernel))).manifest
    : demo?.definition.boot[0]?.kernel;
  const ownInitrd = options.initrd
    ? (await store.addBytes(readFileSync(options.initrd))).manifest
    : undefined;
  const initrd = ownInitrd ?? (options.kernel ? undefined : demo?.definition.boot[0]?.initrd);
  const names = options.boot && options.boot.length > 0 ? options.boot : ["default:Start"];
  return names.map((name, index) => {
    const [id = "", label = id] = name.split(/:(.*)/s);
    const commandLine = commandLines[Math.min(index, commandLines.length - 1)];
    const entry = BootEntry.safeParse({ id, label, kernel, ...(initrd ? { initrd } : {}), commandLine });
    if (!entry.success) throw new Error(`The boot entry ${name} is not well formed: ${entry.error.message}`);
    return entry.data;
  });
}
