/** Starts a machine definition in Node: the same core, board and storage as in a tab. */
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { BootEntry } from "#protocol/machine-definition.ts";
import { type Headless, type HeadlessOptions, runHeadless } from "../../emulator/machine/headless.ts";
import type { MachineNic } from "../../emulator/machine/machine-options.ts";
import type { BlockDevice } from "../../emulator/storage/block-device.ts";
import { FailureError } from "./disks.ts";
import { nodeHost } from "./node-host.ts";

const root = join(import.meta.dirname, "../..");

/** The core's module, built when nobody has built it yet. */
export function coreModule(): Uint8Array<ArrayBuffer> {
  const path = join(root, "build/wasm/cpu.wasm");
  if (!existsSync(path))
    execFileSync(process.execPath, [join(root, "infra/build-cpu.ts")], {
      cwd: root,
      stdio: ["ignore", 2, 2],
    });
  return new Uint8Array(readFileSync(path));
}

export interface NodeMachine {
  readonly boot: BootEntry;
  readonly kernel: Uint8Array;
  readonly initrd?: Uint8Array;
  readonly memoryMiB: number;
  readonly processor?: HeadlessOptions["processor"];
  readonly disks: readonly BlockDevice[];
  readonly nics?: readonly MachineNic[];
  readonly terminal?: { readonly columns: number; readonly rows: number };
  /** A graphics mode to start in; text when absent. */
  readonly screen?: { readonly width: number; readonly height: number };
  readonly onSerial: (bytes: Uint8Array) => void;
  readonly onLog?: (level: string, message: string) => void;
  /** Deterministic guest time. */
  readonly nsPerInstruction?: number;
  /** Instead of chance and of today: a run that is to be repeated. */
  readonly random32?: () => number;
  readonly wallClockMs?: number;
  /** Waits at the first instruction. */
  readonly startPaused?: boolean;
  readonly runSlice?: HeadlessOptions["runSlice"];
}

export async function startNodeMachine(machine: NodeMachine): Promise<Headless> {
  const { boot, initrd, terminal, nsPerInstruction, onLog } = machine;
  const started = await runHeadless({
    wasm: coreModule(),
    shared: true,
    memoryMiB: machine.memoryMiB,
    ...(machine.processor && { processor: machine.processor }),
    kernel: machine.kernel,
    ...(initrd ? { initrd } : {}),
    commandLine: boot.commandLine,
    disks: machine.disks,
    ...(machine.nics ? { nics: machine.nics } : {}),
    host: { ...nodeHost(), ...(machine.random32 ? { random32: machine.random32 } : {}) },
    wallClockMs: machine.wallClockMs ?? Date.now(),
    onSerial: machine.onSerial,
    onFailure: (failure) => onLog?.("error", JSON.stringify(failure)),
    ...(onLog ? { onLog } : {}),
    ...(terminal ? { terminal } : {}),
    ...(machine.screen ? { screen: machine.screen } : {}),
    ...(nsPerInstruction === undefined ? {} : { nsPerInstruction }),
    ...(machine.startPaused ? { startPaused: true } : {}),
    ...(machine.runSlice ? { runSlice: machine.runSlice } : {}),
  });
  if (!started.ok) throw new FailureError(started.failure);
  return started.value;
}
