import { createMachine, type Machine } from "../../emulator/machine/machine.ts";
import { ok } from "../../emulator/protocol/failure.ts";
import { defaultProcessor } from "../../emulator/protocol/processor.ts";
import { nodeHost } from "../../infra/headless/node-host.ts";
import type { GuestProgram } from "./guest-program.ts";

/** A machine that stands before the first instruction of a program, or of another kernel. Throws when it cannot be made. */
export async function pausedMachine(
  core: WebAssembly.Module,
  program: Pick<GuestProgram, "kernel">,
  processor = defaultProcessor,
): Promise<Machine> {
  const created = createMachine({
    module: core,
    shared: false,
    memoryMiB: 32,
    processor,
    disks: [],
    loadBootFiles: async () => ok({ kernel: program.kernel }),
    commandLine: "",
    wallClockMs: 0,
    startPaused: true,
    host: nodeHost(),
    events: { state: () => {}, serial: () => {}, failed: () => {} },
  });
  if (!created.ok) throw new Error(created.failure.code);
  const machine = created.value;
  const paused = new Promise<void>((resolve) => (machine.onPaused = () => resolve()));
  await machine.start();
  await paused;
  return machine;
}
