/** The machines that the demo images are for. */
import type { BootEntry, MachineDefinition } from "#protocol/machine-definition.ts";
import type { ChunkedFile } from "../store/chunker.ts";

/**
 * What every command line says beside its root: the screen and the serial line as consoles (the last is /dev/console), and
 * what saves a guest that is interpreted some hundred million instructions: no mitigations of a processor's faults that
 * this one has not, no tests of ciphers, no second guess at a clock that is right, grace periods without waiting.
 */
export const COMMON_COMMAND_LINE =
  "console=tty1 console=ttyS0 mitigations=off tsc=reliable nowatchdog audit=0 apparmor=0 selinux=0 cryptomgr.notests rcupdate.rcu_expedited=1 loglevel=3";

export interface BootFiles {
  readonly kernel: ChunkedFile;
  readonly initrd: ChunkedFile;
}

const entry = (id: string, label: string, { kernel, initrd }: BootFiles, rest: string): BootEntry => ({
  id,
  label,
  kernel: kernel.manifest,
  initrd: initrd.manifest,
  commandLine: `${COMMON_COMMAND_LINE} ${rest}`,
});

const disk = ({ manifest, sizeBytes }: ChunkedFile) => ({ kind: "chunked" as const, manifest, sizeBytes });

export const tinyDefinition = (boot: BootFiles, root: ChunkedFile): MachineDefinition => ({
  version: 1,
  memoryMiB: 128,
  boot: [entry("shell", "Shell", boot, "root=/dev/vda")],
  disks: [disk(root)],
  ready: "root@tiny:~# ",
});

export const debianDefinition = (boot: BootFiles, root: ChunkedFile): MachineDefinition => ({
  version: 1,
  memoryMiB: 512,
  boot: [
    entry("shell", "Shell", boot, "root=/dev/vda1 virga.init=/sbin/virga-init"),
    entry("full", "Full system (systemd)", boot, "root=/dev/vda1"),
  ],
  disks: [disk(root)],
  ready: "root@debian:~# ",
});
