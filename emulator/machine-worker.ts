import sharedCore from "../build/wasm/cpu.wasm?url";
import plainCore from "../build/wasm/cpu-plain.wasm?url";
import { Inspection } from "./machine/inspection.ts";
import { reportOf } from "./machine/inspection-report.ts";
import { createMachine, type Machine } from "./machine/machine.ts";
import type { BootFiles, MachineHost } from "./machine/machine-options.ts";
import { ok, type Outcome } from "./protocol/failure.ts";
import { openFrameLink } from "./protocol/frame-link.ts";
import type { Command, Notice, PowerOn } from "./protocol/machine-messages.ts";
import { readWhole, RemoteBlockDevice } from "./storage/remote-block-device.ts";

/** The machine worker: the PC itself, with this browser's clock, randomness and event loop. Commands in, notices out. */
const STATS_MS = 500;
/** A machine that idles has little to tell, and telling it would keep the page awake: then one sample in so many is sent. */
const IDLE_SHARE = 0.8;
const IDLE_SAMPLES = 30;
const LEVELS = ["error", "warn", "info", "debug"] as const;

const say = (notice: Notice, transfer: Transferable[] = []): void => self.postMessage(notice, { transfer });

/** A turn of the event loop without the 4 ms that nested timers cost. */
const turn = new MessageChannel();
let onTurn: () => void = () => {};
turn.port1.onmessage = () => onTurn();

/** Timers nest, and nested timers are clamped to 4 ms; a wait on shared memory is not. */
const bell =
  crossOriginIsolated && "waitAsync" in Atomics ? new Int32Array(new SharedArrayBuffer(4)) : undefined;
const MAX_TIMER_MS = 2 ** 30;

const randomPool = new Uint32Array(1024);
let randomLeft = 0;

const host: MachineHost = {
  nowNs: () => performance.now() * 1e6,
  yieldToHost: () =>
    new Promise((resolve) => {
      onTurn = resolve;
      turn.port2.postMessage(null);
    }),
  sleep(ms) {
    const wait = bell && Atomics.waitAsync(bell, 0, 0, Math.min(ms, MAX_TIMER_MS));
    if (bell && wait?.async)
      return { done: wait.value.then(() => {}), wake: () => void Atomics.notify(bell, 0) };
    let wake!: () => void;
    const done = new Promise<void>((resolve) => (wake = resolve));
    const timer = setTimeout(wake, Math.min(ms, MAX_TIMER_MS));
    return {
      done,
      wake: () => {
        clearTimeout(timer);
        wake();
      },
    };
  },
  random32() {
    if (randomLeft === 0) {
      crypto.getRandomValues(randomPool);
      randomLeft = randomPool.length;
    }
    return randomPool[--randomLeft]!;
  },
};

async function loadCore(): Promise<WebAssembly.Module> {
  const url = crossOriginIsolated ? sharedCore : plainCore;
  try {
    return await WebAssembly.compileStreaming(fetch(url));
  } catch (problem) {
    // A server that does not know the type of .wasm files; anything else fails again below.
    if (!(problem instanceof TypeError)) throw problem;
    return WebAssembly.compile(await (await fetch(url)).arrayBuffer());
  }
}

const remote = (port: MessagePort, sizeBytes: number, readOnly: boolean): RemoteBlockDevice =>
  new RemoteBlockDevice(port, sizeBytes, readOnly);

const megabytes = (bytes: number): string => (bytes / 1e6).toFixed(1);

/** Reads kernel and initial RAM disk through their ports, at power-on and again at every reset. */
function bootFiles(order: PowerOn): () => Promise<Outcome<BootFiles>> {
  const kernel = remote(order.kernel.port, order.kernel.sizeBytes, true);
  const initrd = order.initrd && remote(order.initrd.port, order.initrd.sizeBytes, true);
  const read = (what: string, file: RemoteBlockDevice): Promise<Outcome<Uint8Array>> =>
    readWhole(file, (done) =>
      say({
        type: "progress",
        sentence: `Reading the ${what}, ${megabytes(done)} of ${megabytes(file.sizeBytes)} MB`,
      }),
    );
  return async () => {
    const first = await read("kernel", kernel);
    if (!first.ok || !initrd) return first.ok ? ok({ kernel: first.value }) : first;
    const second = await read("initial RAM disk", initrd);
    return second.ok ? ok({ kernel: first.value, initrd: second.value }) : second;
  };
}

let machine: Machine | undefined;

async function powerOn(order: PowerOn): Promise<void> {
  const loadBootFiles = bootFiles(order);
  const disks = order.disks.map(({ port, sizeBytes, readOnly }) => remote(port, sizeBytes, readOnly));
  const nics = (order.nics ?? []).map((nic) => ({ ...nic, link: openFrameLink(nic.link) }));
  const module = await loadCore();
  const heard = LEVELS.slice(0, LEVELS.indexOf(order.log) + 1);
  const created = createMachine({
    module,
    shared: crossOriginIsolated,
    memoryMiB: order.memoryMiB,
    ...(order.processor && { processor: order.processor }),
    disks,
    nics,
    loadBootFiles,
    commandLine: order.boot.commandLine,
    wallClockMs: order.wallClockMs,
    terminal: { columns: order.columns ?? 80, rows: order.rows ?? 25 },
    ...(order.screen && { screen: order.screen }),
    host,
    events: {
      state: (state) => say({ type: "state", state }),
      serial: (bytes) => say({ type: "serial", bytes }, [bytes.buffer]),
      textScreen: (screen) => say({ type: "text-screen", ...screen }),
      screenMode: (mode) => say({ type: "screen-mode", mode }),
      frame: (frame) =>
        say(
          { type: "frame", ...frame },
          frame.bands.map(({ pixels }) => pixels.buffer),
        ),
      stalled: (stall) => say({ type: "stalled", stall }),
      failed: (failure) => say({ type: "failed", failure }),
      log: (level, message) => heard.includes(level) && say({ type: "log", level, message }),
    },
  });
  if (!created.ok) return say({ type: "failed", failure: created.failure });
  machine = created.value;
  say({ type: "state", state: "starting" });
  const started = await machine.start();
  if (!started.ok) return;
  let unsent = 0;
  /** Samples in a row in which the guest worked: one alone is a wake-up that is over before anybody has read of it. */
  let busy = 0;
  const timer = setInterval(() => {
    const stats = created.value.stats();
    busy = stats.idle > IDLE_SHARE ? 0 : busy + 1;
    unsent = busy > 1 ? 0 : (unsent % IDLE_SAMPLES) + 1;
    if (unsent <= 1) say({ type: "stats", stats });
  }, STATS_MS);
  await machine.done;
  clearInterval(timer);
}

/** A machine that runs has nothing to look at: it would be old before it is seen. */
function inspect(address: string): void {
  if (machine?.state !== "paused") return;
  say(reportOf(new Inspection(machine.cpu, machine.memory), address));
}

function obey(command: Command): void {
  switch (command.type) {
    case "power-on":
      machine?.powerOff();
      powerOn(command).catch((problem: unknown) =>
        say({ type: "failed", failure: { code: "internal", incident: String(problem) } }),
      );
      return;
    case "serial":
      return machine?.sendSerial(command.bytes);
    case "keyboard":
      return machine?.sendKeys(command.scanCodes);
    case "cable":
      return machine?.setCable(command.nic, command.connected);
    case "mouse":
      return machine?.moveMouse(command);
    case "frame-wanted":
      return machine?.requestFrame(command.whole);
    case "pause":
      return machine?.pause();
    case "resume":
      return machine?.resume();
    case "inspect":
      return inspect(command.address);
    case "step":
      if (machine?.state === "paused") machine.step();
      return inspect("");
    case "reset":
      return machine?.reset();
    case "power-button":
      return machine?.pressPowerButton();
    case "power-off":
      return machine?.powerOff();
    default:
      return command satisfies never;
  }
}

self.onmessage = ({ data }: MessageEvent<Command>) => obey(data);
