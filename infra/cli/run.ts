/** `virga run`: the machine of the tab, in this terminal. */
import { writeFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import type { Command } from "commander";
import { InvalidArgumentError, Option } from "commander";
import type { Failure } from "#protocol/failure.ts";
import type { BootEntry } from "#protocol/machine-definition.ts";
import { ProcessorName } from "#protocol/processor.ts";
import type { Headless } from "../../emulator/machine/headless.ts";
import type { BlockDevice } from "../../emulator/storage/block-device.ts";
import type { Origin } from "../../emulator/storage/chunked-image.ts";
import { DiskRoom, RawFileDisk, withForgottenChanges } from "../headless/disks.ts";
import { GdbServer, type Listening, readListening } from "../headless/gdb-server.ts";
import { startNodeMachine } from "../headless/node-machine.ts";
import { encodePng } from "../headless/png.ts";
import { traceTo } from "../headless/trace-file.ts";
import { SerialDialogue } from "../headless/serial-dialogue.ts";
import { drawText } from "../headless/text-picture.ts";
import { ImageStore } from "../store/image-store.ts";
import { type KernelOptions, bootEntries } from "./boot-files.ts";
import { type NamedImage, findImage, localOrigin } from "./image-source.ts";
import { memoryArgument } from "./publish.ts";
import { addNetworkOptions, type NetworkOptions, type Plugged, plugNetwork } from "./run-network.ts";
import { Terminal } from "./terminal.ts";
import { say } from "./words.ts";

export interface RunOptions extends Omit<KernelOptions, "boot">, NetworkOptions {
  readonly memory?: number;
  readonly cpu?: ProcessorName;
  readonly exec?: string;
  readonly entry?: string;
  readonly json?: boolean;
  readonly url?: string;
  readonly timeout: number;
  readonly verbose?: boolean;
  readonly gdb?: Listening;
  readonly trace?: string;
  readonly traceFrom: number;
  readonly traceCount: number;
  readonly screen?: ScreenSize;
  readonly screenshot?: string;
}

interface ScreenSize {
  readonly width: number;
  readonly height: number;
}

/** Exit codes of our own, as the shell and timeout(1) have them. */
const TIMED_OUT = 124;
const MACHINE_FAILED = 125;

/** What makes two traces of one machine the same: time by instructions, the start of 2026, and numbers of a fixed sequence. */
function repeatable() {
  let state = 1;
  // xorshift32.
  const random32 = (): number => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
  return { nsPerInstruction: 10, wallClockMs: Date.UTC(2026), random32 };
}

/** How long a command waits for the guest to have an address. A guest that never asks for one loses so much. */
const LEASE_MS = 3_000;

const secondsArgument = (value: string): number => {
  const seconds = Number(value);
  if (!(seconds > 0)) throw new InvalidArgumentError("Say a number of seconds.");
  return seconds;
};

const listeningArgument = (value: string): Listening => {
  const listening = readListening(value);
  if (!listening) throw new InvalidArgumentError("Say a port, as :1234.");
  return listening;
};

/** Rows of a picture are read in whole words, and video memory holds so much of it. */
const MAX_SCREEN = { width: 2560, height: 1600 } as const;
const screenArgument = (value: string): ScreenSize => {
  const [width, height] = (/^(\d{2,4})x(\d{2,4})$/.exec(value)?.slice(1) ?? []).map(Number);
  if (!width || !height || width > MAX_SCREEN.width || height > MAX_SCREEN.height)
    throw new InvalidArgumentError(
      `Say a size such as 1024x768, up to ${MAX_SCREEN.width}x${MAX_SCREEN.height}.`,
    );
  return { width, height };
};

const countArgument = (value: string): number => {
  const count = Number(value);
  if (!Number.isSafeInteger(count) || count < 0) throw new InvalidArgumentError("Say a whole number.");
  return count;
};

export function addRun(program: Command): void {
  const command = program
    .command("run")
    .description("run a machine here: its console is this terminal; Ctrl-] ends it")
    .argument("<slug|file>", "a published or built image, or a raw disk")
    .option("--memory <MiB>", "memory, instead of the definition's", memoryArgument)
    .addOption(
      new Option("--cpu <model>", "processor, instead of the definition's").choices(ProcessorName.options),
    )
    .option("--exec <command>", "run this in the guest's shell, print its output, and exit with its code")
    .option("--boot <id>", "boot entry, instead of the first")
    .option("--json", "print one object with the output and what was measured")
    .option("--url <url>", "the Virga server that has the image")
    .option("--timeout <seconds>", "for --exec: how long it may take, booting included", secondsArgument, 600)
    .option("--verbose", "with --exec: show the console on standard error")
    .option("--screen <width>x<height>", "start in graphics, for a guest that draws", screenArgument)
    .option("--screenshot <png>", "at the end, write what the screen shows to this file")
    .option("--kernel <file>", "for a raw disk: Linux kernel (bzImage or ELF)")
    .option("--initrd <file>", "for a raw disk: initial RAM disk")
    .option("--cmdline <words>", "for a raw disk: kernel command line")
    .option("--gdb <[host]:port>", "wait there for GDB before the first instruction", listeningArgument)
    .option("--trace <file>", "write a line for each instruction; guest time is counted by instructions then")
    .option("--trace-from <count>", "instructions that run before the first line", countArgument, 0)
    .option("--trace-count <count>", "lines at most", countArgument, 1_000_000)
    .addHelpText("after", "\nChanges to the disk are forgotten when the machine ends.")
    .action(async (name: string, { boot, ...options }: RunOptions & { boot?: string }) => {
      process.exitCode = await runMachine(name, boot === undefined ? options : { ...options, entry: boot });
    });
  addNetworkOptions(command);
}

interface Ready extends Plugged {
  readonly boot: BootEntry;
  readonly memoryMiB: number;
  readonly processor: ProcessorName | undefined;
  readonly prompt: string | undefined;
  readonly room: DiskRoom;
  readonly disks: readonly BlockDevice[];
}

async function fromImage(image: NamedImage, options: RunOptions): Promise<Ready> {
  const { definition, origin } = image;
  const wanted = options.entry ?? definition.boot[0]?.id;
  const boot = definition.boot.find(({ id }) => id === wanted);
  if (!boot)
    throw new Error(
      `${image.name} has no boot entry ${wanted}: it has ${definition.boot.map(({ id }) => id).join(", ")}.`,
    );
  const room = new DiskRoom(origin, sayTrouble);
  const disks: BlockDevice[] = [];
  for (const disk of definition.disks) {
    if (disk.kind === "raw") throw new Error("Raw images are read in the browser only; run the file itself.");
    const trace = await image.trace(disk.manifest, boot.id);
    disks.push(await withForgottenChanges(await room.openChunked(disk.manifest, trace)));
  }
  return {
    boot,
    memoryMiB: options.memory ?? definition.memoryMiB,
    processor: options.cpu ?? definition.processor,
    prompt: definition.ready,
    room,
    disks,
    ...plugNetwork(image.name, options, definition.network),
  };
}

async function fromFile(path: string, options: RunOptions): Promise<Ready> {
  const store = new ImageStore();
  const [boot] = await bootEntries(store, path, options);
  if (!boot) throw new Error("There is no boot entry.");
  const origin: Origin = localOrigin(store);
  const disks = [await withForgottenChanges(await RawFileDisk.open(path))];
  return {
    boot,
    memoryMiB: options.memory ?? 512,
    processor: options.cpu,
    prompt: undefined,
    room: new DiskRoom(origin, sayTrouble),
    disks,
    ...plugNetwork(path, options),
  };
}

/** The machine waits for its disk; a person should know what for. */
function sayTrouble(failure: Failure, triesAgain: boolean): void {
  const what = "what" in failure ? failure.what : failure.code;
  if (failure.code === "offline") say(`The machine waits: ${what} does not answer. Trying again.`);
  else if (triesAgain) say(`The machine waits: ${what} came damaged (${failure.code}). Fetching it again.`);
  else say(`The machine cannot go on: ${what} cannot be had (${failure.code}).`);
}

async function powerOn(
  { boot, memoryMiB, processor, room, disks, nics }: Ready,
  { gdb, screen, trace, traceFrom, traceCount }: RunOptions,
  onSerial: (bytes: Uint8Array) => void,
): Promise<Headless> {
  const kernel = await room.readWhole(boot.kernel);
  const initrd = boot.initrd && (await room.readWhole(boot.initrd));
  const { columns, rows } = process.stdout;
  if (gdb && trace !== undefined)
    throw new Error("--gdb and --trace step the machine, each its own way: say one.");
  const range = { from: traceFrom, count: traceCount };
  const tracing =
    trace === undefined ? undefined : traceTo(trace, range, () => say("virga: the trace is complete"));
  const headless = await startNodeMachine({
    boot,
    startPaused: gdb !== undefined,
    // Steps are so slow that a clock of the host's would leave the guest nothing but timer interrupts.
    ...(tracing ? { ...repeatable(), runSlice: tracing.tracer.runSlice.bind(tracing.tracer) } : {}),
    kernel,
    ...(initrd ? { initrd } : {}),
    memoryMiB,
    ...(processor ? { processor } : {}),
    disks,
    nics,
    ...(process.stdout.isTTY && columns && rows ? { terminal: { columns, rows } } : {}),
    ...(screen ? { screen } : {}),
    onSerial,
    onLog: (level, message) => level === "error" && say(`machine: ${message}`),
  });
  if (tracing) void headless.done.then(() => tracing.close());
  if (!gdb) return headless;
  const server = await GdbServer.listen(headless.machine, gdb);
  say(`virga: waiting for GDB: target remote ${gdb.host}:${server.port}`);
  return headless;
}

async function photograph(machine: Headless, { screenshot }: RunOptions): Promise<void> {
  if (screenshot === undefined) return;
  const picture = machine.picture();
  await writeFile(screenshot, encodePng(picture.kind === "text" ? drawText(picture.screen) : picture));
}

/** Answers the exit code. */
export async function runMachine(name: string, options: RunOptions): Promise<number> {
  const found = await findImage(name, options.url);
  if (options.screenshot !== undefined) await writeFile(options.screenshot, "");
  const ready = found.kind === "file" ? await fromFile(found.path, options) : await fromImage(found, options);
  try {
    return options.exec === undefined
      ? await interact(ready, options)
      : await execute(name, ready, options, options.exec);
  } finally {
    ready.network?.close();
    ready.room.close();
  }
}

/** Keys are the guest's from the start. What comes from a pipe waits for the prompt: nobody would hear it before. */
async function interact(ready: Ready, options: RunOptions): Promise<number> {
  const dialogue = new SerialDialogue(() => {});
  const machine = await powerOn(ready, options, (bytes) => {
    process.stdout.write(bytes);
    if (!process.stdin.isTTY) dialogue.hear(bytes);
  });
  if (!process.stdin.isTTY) await Promise.race([dialogue.prompt(ready.prompt), machine.done]);
  const terminal = new Terminal(
    process.stdin,
    (bytes) => machine.sendSerial(bytes),
    () => machine.powerOff(),
  );
  const end = await machine.done;
  terminal.close();
  await photograph(machine, options);
  if (end.reason === "failed") say(`The machine failed: ${JSON.stringify(end.failure)}`);
  return end.reason === "failed" ? MACHINE_FAILED : 0;
}

async function execute(name: string, ready: Ready, options: RunOptions, command: string): Promise<number> {
  const startMs = performance.now();
  const dialogue = new SerialDialogue((bytes) => machine.sendSerial(bytes));
  const machine = await powerOn(ready, options, (bytes) => {
    if (options.verbose) process.stderr.write(bytes);
    dialogue.hear(bytes);
  });
  const abort = Promise.withResolvers<"timeout">();
  const timer = setTimeout(() => abort.resolve("timeout"), options.timeout * 1000);
  const measured: Record<string, unknown> = {};
  const session = async () => {
    await dialogue.prompt(ready.prompt);
    const { instructions } = machine.stats();
    Object.assign(measured, {
      bootMs: Math.round(performance.now() - startMs),
      bootInstructions: instructions,
      bootFetchedBytes: ready.room.ledger.stats.fetchedBytes,
    });
    if (ready.network) await Promise.race([ready.network.leased, sleep(LEASE_MS, null, { ref: false })]);
    return dialogue.run(command);
  };
  const result = await Promise.race([session(), machine.done, abort.promise]);
  clearTimeout(timer);
  await photograph(machine, options);
  machine.powerOff();
  const isResult = typeof result === "object" && "exitCode" in result;
  const exitCode = isResult ? result.exitCode : result === "timeout" ? TIMED_OUT : MACHINE_FAILED;
  const output = isResult ? result.output : "";
  if (!isResult)
    say(
      result === "timeout"
        ? `virga: no answer within ${options.timeout} s; the console said:\n${dialogue.transcript.slice(-2000)}`
        : `virga: the machine ended first: ${JSON.stringify(result)}`,
    );
  if (options.json) {
    const { instructions } = machine.stats();
    const totals = {
      ...measured,
      totalMs: Math.round(performance.now() - startMs),
      instructions,
      ...ready.room.ledger.stats,
    };
    process.stdout.write(
      `${JSON.stringify({ image: name, boot: ready.boot.id, command, exitCode, output, ...totals }, null, 2)}\n`,
    );
  } else if (output) process.stdout.write(`${output}\n`);
  return exitCode;
}
