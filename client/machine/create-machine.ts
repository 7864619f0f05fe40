import { batch, onCleanup } from "solid-js";
import { createStore } from "solid-js/store";
import type { Failure } from "#protocol/failure";
import type { BootEntry, CatalogueEntry, DiskDefinition } from "#protocol/machine-definition";
import type {
  Command,
  Frame,
  InspectionNotice,
  MachineStats,
  Notice,
  ScreenMode,
  Stall,
} from "#protocol/machine-messages";
import type {
  StorageCommand,
  StorageNotice,
  StorageState,
  StorageStats,
  Touch,
} from "#protocol/storage-messages";
import { sizeOf, type Settings } from "./config.ts";
import type { Network } from "./create-network.ts";

export interface TextScreen {
  readonly columns: number;
  readonly rows: number;
  readonly cells: Uint8Array;
  readonly cursor: number;
}

/** Everything a page shows of a machine. `failed` keeps the last picture: the rest of the view stays as it was. */
export interface MachineView {
  phase: "off" | "starting" | "running" | "paused" | "failed";
  failure?: Failure | undefined;
  /** What is happening before the guest speaks. */
  progress: string;
  stall: Stall | null;
  storage: { state: StorageState; failure?: Failure | undefined; retryInMs?: number | undefined };
  stats?: MachineStats | undefined;
  disk?: StorageStats | undefined;
  /** What the debugger's panel shows; as old as the last pause or step. */
  inspection?: InspectionNotice | undefined;
  /** Bytes that the whole image takes in the store, and whether changes outlive the tab. */
  storedBytes?: number | undefined;
  persistent?: boolean | undefined;
  screen?: TextScreen | undefined;
  screenMode: ScreenMode;
  /** True when the guest drew something on its screen, so the page offers it. */
  hasScreen: boolean;
}

/** Where output that is not state goes: the terminal and the rain ask for it themselves. */
export interface MachineOutputs {
  onSerial(bytes: Uint8Array): void;
  onTouches(touches: readonly Touch[]): void;
  onFrame(frame: Frame): void;
}

const off = (): MachineView => ({
  phase: "off",
  failure: undefined,
  progress: "",
  stall: null,
  storage: { state: "idle" },
  screenMode: { kind: "text" },
  hasScreen: false,
});

/**
 * One machine and the two workers it lives in. `start` may be called again after `off` or `failed`; everything ends
 * with the component that asked for it.
 */
export function createMachine(outputs: MachineOutputs) {
  const [view, setView] = createStore<MachineView>(off());
  let machine: Worker | undefined;
  let storage: Worker | undefined;
  let opening: Map<string, (notice: StorageNotice) => void> = new Map();

  const failed = (failure: Failure) => setView({ phase: "failed", failure });
  const send = (command: Command, transfer: Transferable[] = []) => machine?.postMessage(command, transfer);
  const order = (command: StorageCommand, transfer: Transferable[] = []) =>
    storage?.postMessage(command, transfer);

  function onNotice(notice: Notice): void {
    switch (notice.type) {
      case "state":
        // A machine that the world failed pauses too; what failed stays on the page until someone tries again.
        if (notice.state === "paused" && view.phase === "failed") return;
        return setView({ phase: notice.state, ...(notice.state === "running" ? { progress: "" } : {}) });
      case "progress":
        return setView("progress", notice.sentence);
      case "serial":
        return outputs.onSerial(notice.bytes);
      case "text-screen":
        return setView({ screen: notice, hasScreen: true });
      case "screen-mode":
        return setView({
          screenMode: notice.mode,
          ...(notice.mode.kind === "graphics" && { hasScreen: true }),
        });
      case "frame":
        return outputs.onFrame(notice);
      case "stalled":
        return setView("stall", notice.stall);
      case "stats":
        return setView("stats", notice.stats);
      case "inspection":
        return setView("inspection", notice);
      case "log":
        return console[notice.level](`machine: ${notice.message}`);
      case "failed":
        return failed(notice.failure);
      default:
        return notice satisfies never;
    }
  }

  function onStorageNotice(notice: StorageNotice): void {
    switch (notice.type) {
      case "opened":
      case "open-failed":
        opening.get(notice.disk)?.(notice);
        return void opening.delete(notice.disk);
      case "state":
        return setView("storage", {
          state: notice.state,
          failure: notice.failure,
          retryInMs: notice.retryInMs,
        });
      case "stats":
        setView("disk", notice.stats);
        return outputs.onTouches(notice.touches);
      case "overlay-reset":
        return;
      default:
        return notice satisfies never;
    }
  }

  /** Opens one disk or boot file; resolves with the machine's end of its port, or tells the page why not. */
  async function open(disk: string, source: DiskDefinition, writable: boolean, boot: string) {
    const { port1, port2 } = new MessageChannel();
    const notice = await new Promise<StorageNotice>((resolve) => {
      opening.set(disk, resolve);
      order({ type: "open", disk, source, writable, port: port2, boot }, [port2]);
    });
    if (notice.type === "open-failed") {
      failed(notice.failure);
      return undefined;
    }
    return notice.type === "opened" ? { ...notice, port: port1 } : undefined;
  }

  const file = (disk: string, manifest: BootEntry["kernel"], boot: string) =>
    open(disk, { kind: "chunked", manifest, sizeBytes: 0 }, false, boot);

  function startWorkers(): void {
    stopWorkers();
    storage = new Worker(new URL("../../emulator/storage-worker.ts", import.meta.url), {
      type: "module",
      name: "storage",
    });
    machine = new Worker(new URL("../../emulator/machine-worker.ts", import.meta.url), {
      type: "module",
      name: "machine",
    });
    storage.onmessage = ({ data }: MessageEvent<StorageNotice>) => batch(() => onStorageNotice(data));
    machine.onmessage = ({ data }: MessageEvent<Notice>) => batch(() => onNotice(data));
    for (const worker of [storage, machine])
      worker.onerror = (event) => {
        event.preventDefault();
        console.error(event.message, event.filename, event.lineno);
        failed({ code: "internal", incident: event.message || "worker" });
      };
  }

  function stopWorkers(): void {
    machine?.terminate();
    storage?.terminate();
    machine = storage = undefined;
    opening = new Map();
  }

  /** Opens the disks, the kernel and the initial RAM disk, and powers on. */
  async function start(
    entry: CatalogueEntry,
    settings: Settings,
    size: { columns: number; rows: number },
    network: Network,
  ): Promise<void> {
    const { definition } = entry;
    const boot = definition?.boot.find(({ id }) => id === settings.boot) ?? definition?.boot[0];
    if (!definition || !boot) {
      failed({ code: "bad-image", problem: `${entry.name} is still being built.` });
      return;
    }
    // Browsers may throw away what a site keeps when space is short, unless it asked to keep it.
    void navigator.storage?.persist?.().catch(() => false);
    startWorkers();
    setView({ ...off(), phase: "starting", progress: "Reading the disk's index", hasScreen: false });
    const mine = machine;
    const disks = await Promise.all(
      disksOf(definition.disks, settings).map((source, index) =>
        open(diskName(entry.slug, index), source, true, boot.id),
      ),
    );
    const kernel = await file(`${entry.slug}/kernel`, boot.kernel, boot.id);
    const initrd = boot.initrd && (await file(`${entry.slug}/initrd`, boot.initrd, boot.id));
    if (mine !== machine || view.phase === "failed" || !kernel) return;
    const opened = disks.filter((disk) => disk !== undefined);
    setView({
      storedBytes: entry.storedBytes,
      persistent: opened.every(({ persistent }) => persistent),
      progress: "Reading the kernel",
    });
    const plug = await network.plug(entry.slug, definition, settings);
    if (mine !== machine) return;
    const processor = settings.processor ?? definition.processor;
    const ports = [...opened, kernel, ...(initrd ? [initrd] : [])].map(({ port }) => port);
    send(
      {
        type: "power-on",
        memoryMiB: settings.memoryMiB ?? definition.memoryMiB,
        ...(processor && { processor }),
        boot,
        disks: opened.map(({ port, sizeBytes }) => ({ port, sizeBytes, readOnly: false })),
        kernel: { port: kernel.port, sizeBytes: kernel.sizeBytes },
        ...(initrd ? { initrd: { port: initrd.port, sizeBytes: initrd.sizeBytes } } : {}),
        ...(plug ? { nics: [plug.nic] } : {}),
        wallClockMs: Date.now(),
        log: settings.log,
        ...(settings.screen !== "text" && { screen: sizeOf(settings.screen) }),
        ...size,
      },
      [...ports, ...(plug?.transfer ?? [])],
    );
  }

  /** Ends the machine at once. What the guest flushed stays. */
  function powerOff(): void {
    stopWorkers();
    setView({ phase: "off", stall: null, progress: "" });
  }

  /** Whatever waits for the network or for a person tries again now. */
  function retry(): void {
    order({ type: "retry" });
    setView({ failure: undefined, phase: "running" });
    send({ type: "resume" });
  }

  onCleanup(stopWorkers);
  return { view, start, powerOff, retry, send, isOn: () => machine !== undefined };
}

export type Machine = ReturnType<typeof createMachine>;

export const diskName = (slug: string, index: number): string => (index === 0 ? slug : `${slug}/${index}`);

/** The image's disks, the first replaced when the settings name another. */
export function disksOf(disks: readonly DiskDefinition[], settings: Settings): readonly DiskDefinition[] {
  if (!settings.disk) return disks;
  const replacement = { kind: "chunked", manifest: settings.disk, sizeBytes: 0 } as DiskDefinition;
  return [replacement, ...disks.slice(1)];
}
