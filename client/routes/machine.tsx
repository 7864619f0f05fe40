import { useParams } from "@solidjs/router";
import {
  createEffect,
  createMemo,
  createResource,
  createSignal,
  Match,
  onCleanup,
  onMount,
  Show,
  Switch,
  untrack,
} from "solid-js";
import type { Failure } from "#protocol/failure";
import { DebuggerPanel } from "../components/debugger-panel.tsx";
import { DetailsPanel } from "../components/details-panel.tsx";
import { Confirm } from "../components/dialog.tsx";
import type { GraphicsScreenHandle } from "../components/graphics-screen.tsx";
import { KeyBar } from "../components/key-bar.tsx";
import { MachineScreen } from "../components/machine-screen.tsx";
import { NetworkPanel } from "../components/network-panel.tsx";
import { Rain, type RainHandle } from "../components/rain.tsx";
import { SettingsDialog } from "../components/settings-dialog.tsx";
import { ShortcutsDialog } from "../components/shortcuts-dialog.tsx";
import { StatusLine } from "../components/status-line.tsx";
import { Terminal, type TerminalHandle } from "../components/terminal.tsx";
import { Toolbar } from "../components/toolbar.tsx";
import { Trouble } from "../components/trouble.tsx";
import { capabilities } from "../machine/capabilities.ts";
import { findImage } from "../machine/catalogue.ts";
import { createMachine, diskName, disksOf, type MachineView } from "../machine/create-machine.ts";
import { createNetwork } from "../machine/create-network.ts";
import { exportDisk, forgetChanges } from "../machine/disk-files.ts";
import { savePicture } from "../machine/screen-picture.ts";
import { settings } from "../machine/settings.ts";
import * as show from "../numbers.ts";

type Question = "settings" | "shortcuts" | "power-off" | "reset" | "forget";

/** The last line that the console printed, politely and at most once a second, for those who listen. */
function createSpoken() {
  const [spoken, setSpoken] = createSignal("");
  const decoder = new TextDecoder();
  let pending = "";
  let timer: ReturnType<typeof setTimeout> | undefined;
  onCleanup(() => clearTimeout(timer));
  const hear = (bytes: Uint8Array) => {
    pending = (pending + decoder.decode(bytes, { stream: true })).slice(-2000);
    timer ??= setTimeout(() => {
      // eslint-disable-next-line no-control-regex -- escape sequences are what is taken out.
      setSpoken(pending.replace(/\x1b\[[0-9;?]*[A-Za-z]|\x1b[()][A-Z0-9]|[\x00-\x08\x0b-\x1f]/g, ""));
      pending = "";
      timer = undefined;
    }, 1000);
  };
  return { spoken, hear };
}

/** A guest that starts to draw wants to be seen; one that goes back to text leaves the choice as it is. */
function createScreenChoice(view: MachineView) {
  const [screen, setScreen] = createSignal<"terminal" | "screen">("terminal");
  const isDrawing = () => view.screenMode.kind === "graphics";
  createEffect(() => {
    if (isDrawing()) setScreen("screen");
  });
  return { screen, setScreen, isDrawing };
}

/** What a key of the key bar types while Control is held. */
const controlled = (text: string): string =>
  /^[a-z@[\\\]^_?]$/i.test(text) ? String.fromCharCode(text.toUpperCase().charCodeAt(0) & 0x1f) : text;

const leaveScreen = () => document.querySelector<HTMLElement>(".toolbar button:not(:disabled)")?.focus();

function createTitle(name: () => string, view: MachineView): void {
  createEffect(() => {
    document.title = `${view.phase === "running" ? "▸ " : ""}${name()} · Virga`;
  });
}

/** A network that ends when the machine is off. */
function createNetworkOf(view: MachineView) {
  const network = createNetwork();
  createEffect(() => {
    if (view.phase === "off") untrack(() => network.stop());
  });
  return network;
}

type Panel = "details" | "network" | "debugger";

/** One panel at a time beside the screen. */
function createPanels() {
  const wide = matchMedia("(min-width: 1000px)").matches;
  const [panel, setPanel] = createSignal<Panel | undefined>(wide ? "details" : undefined);
  return { panel, toggle: (wanted: Panel) => setPanel(panel() === wanted ? undefined : wanted) };
}

/** `/m/<slug>`: the machine starts when the page opens. */
export default function MachinePage() {
  const params = useParams<{ slug: string }>();
  const [entry, { refetch }] = createResource(() => params.slug, findImage);
  const image = () => {
    const outcome = entry.latest;
    return outcome?.ok ? outcome.value : undefined;
  };
  const [found] = createResource(capabilities);
  const lacking = () => found()?.find(({ needed, present }) => needed && !present);
  const [terminal, setTerminal] = createSignal<TerminalHandle>();
  const [asked, ask] = createSignal<Question>();
  const { panel, toggle } = createPanels();
  const [exported, setExported] = createSignal<string>();
  const [notice, setNotice] = createSignal<Failure>();
  const [control, setControl] = createSignal(false);
  const { spoken, hear } = createSpoken();
  let rain: RainHandle | undefined;
  let graphics: GraphicsScreenHandle | undefined;
  let page!: HTMLDivElement;

  const machine = createMachine({
    onSerial(bytes) {
      terminal()?.write(bytes);
      hear(bytes);
    },
    onTouches: (touches) => rain?.fall(touches),
    onFrame: (frame) => graphics?.show(frame),
  });
  const { view } = machine;
  const network = createNetworkOf(view);
  const busy = () => ["starting", "running", "paused"].includes(view.phase);

  async function start(): Promise<void> {
    const chosen = image();
    const console = terminal();
    if (!chosen || !console || lacking()) return;
    await settings.loaded;
    console.clear();
    setNotice(undefined);
    await machine.start(chosen, settings.resolved().values, console.size(), network);
    console.focus();
  }

  // Once, when the image is known, the browser is found fit and the terminal is there.
  const canStart = createMemo(() =>
    Boolean(image()?.state === "ready" && terminal() && found() && !lacking()),
  );
  createEffect(() => {
    if (canStart()) untrack(() => void start());
  });

  createTitle(() => image()?.name ?? "Machine", view);

  const { screen, setScreen, isDrawing } = createScreenChoice(view);
  function picture(): void {
    const source = isDrawing() ? graphics?.canvas : view.screen;
    if (source) void savePicture(source, image()?.name ?? params.slug, Date.now());
  }

  function pause(): void {
    machine.send({ type: view.phase === "paused" ? "resume" : "pause" });
  }

  function type(text: string): void {
    const code = control() ? controlled(text) : text;
    setControl(false);
    machine.send({ type: "serial", bytes: new TextEncoder().encode(code) });
  }

  /** Graphics get all of it; a terminal keeps its status line. */
  function fullScreen(): void {
    const drawing = screen() === "screen" && isDrawing();
    void (drawing ? page.querySelector(".screen") : page)?.requestFullscreen?.();
  }

  function onShortcut(event: KeyboardEvent): void {
    const target = event.target as HTMLElement;
    if (
      target.closest(".screen, dialog, input, select, textarea, button, a") ||
      event.ctrlKey ||
      event.altKey ||
      event.metaKey
    )
      return;
    const actions: { readonly [key: string]: () => void } = {
      "?": () => ask("shortcuts"),
      Enter: () => terminal()?.focus(),
      p: () => busy() && pause(),
      d: () => toggle("details"),
      n: () => toggle("network"),
      b: () => toggle("debugger"),
      f: fullScreen,
    };
    const action = actions[event.key];
    if (!action) return;
    event.preventDefault();
    action();
  }
  onMount(() => {
    document.addEventListener("keydown", onShortcut);
    onCleanup(() => document.removeEventListener("keydown", onShortcut));
  });

  const disk = () => {
    const chosen = image();
    return chosen?.definition && disksOf(chosen.definition.disks, settings.resolved().values)[0];
  };

  async function forget(): Promise<void> {
    ask(undefined);
    setNotice(await forgetChanges(diskName(params.slug, 0)));
  }

  async function save(): Promise<void> {
    const source = disk();
    if (!source) return;
    try {
      await exportDisk(diskName(params.slug, 0), source, (written) =>
        setExported(`${show.bytes(written)} written.`),
      );
      setExported("The disk is saved.");
    } catch (problem) {
      setExported(
        problem instanceof DOMException && problem.name === "AbortError"
          ? undefined
          : "The disk could not be saved; nothing was changed.",
      );
    }
  }

  const failure = (): Failure | undefined => {
    const outcome = entry.latest;
    if (outcome && !outcome.ok) return outcome.failure;
    const missing = lacking();
    if (missing) return { code: "unsupported", feature: missing.name };
    return view.phase === "failed" ? view.failure : notice();
  };

  return (
    <div class="machine" ref={page}>
      <Toolbar
        name={image()?.name ?? params.slug}
        view={view}
        details={panel() === "details"}
        debugger={panel() === "debugger"}
        screen={screen()}
        onStart={() => void start()}
        onPause={pause}
        onReset={() => ask("reset")}
        onPower={() => ask("power-off")}
        onFullScreen={fullScreen}
        network={panel() === "network"}
        networkState={network.view.state}
        onNetwork={() => toggle("network")}
        onDetails={() => toggle("details")}
        onDebugger={() => toggle("debugger")}
        onSettings={() => ask("settings")}
        onScreen={() => setScreen(screen() === "screen" ? "terminal" : "screen")}
        onPicture={picture}
      />
      <div class="stage">
        <main
          class="screen"
          classList={{ dimmed: failure() !== undefined || view.phase === "off" }}
          aria-label={`Screen of ${image()?.name ?? "the machine"}`}
        >
          <div class="pane" hidden={screen() === "screen"}>
            <Terminal
              label={`Console of ${image()?.name ?? "the machine"}. Press Ctrl and Alt twice to leave it.`}
              fontSize={settings.resolved().values.fontSize}
              screenReader={settings.resolved().values.screenReader}
              onInput={(bytes) => type(new TextDecoder().decode(bytes))}
              onReady={setTerminal}
              onLeave={leaveScreen}
            />
          </div>
          <Show when={screen() === "screen"}>
            <MachineScreen
              view={view}
              label={`Screen of ${image()?.name ?? "the machine"}. Press Ctrl and Alt twice to leave it`}
              scaling={settings.resolved().values.scaling}
              onGraphics={(handle) => (graphics = handle)}
              onCommand={(command) => machine.send(command)}
              onLeave={leaveScreen}
            />
          </Show>
          <Switch>
            <Match when={failure()}>
              {(problem) => (
                <Trouble
                  failure={problem()}
                  onRetry={() =>
                    entry.latest && !entry.latest.ok
                      ? void refetch()
                      : machine.isOn() && view.phase === "failed" && problem().code !== "guest-crashed"
                        ? machine.retry()
                        : void start()
                  }
                  onRestart={view.phase === "failed" ? () => void start() : undefined}
                />
              )}
            </Match>
            <Match when={view.storage.state === "offline" && busy()}>
              <Trouble
                failure={view.storage.failure ?? { code: "offline", what: "the disk" }}
                onRetry={() => machine.retry()}
              />
            </Match>
            <Match when={image()?.state === "building"}>
              <p class="waiting" role="status">
                {image()?.name} is still being built. It appears on the first page when it is ready.
              </p>
            </Match>
            <Match when={view.phase === "off" && image() && canStart()}>
              <section class="trouble calm">
                <h2>The machine is off</h2>
                <p>What it saved is on this device and is there at the next start.</p>
                <div class="actions">
                  <button class="primary" onClick={() => void start()}>
                    Start
                  </button>
                </div>
              </section>
            </Match>
            <Match when={view.phase === "starting" && view.progress}>
              <p class="waiting">{view.progress}…</p>
            </Match>
          </Switch>
        </main>
        <Show when={panel() === "debugger"}>
          <DebuggerPanel view={view} onCommand={(command) => machine.send(command)} />
        </Show>
        <Show when={panel() === "network"}>
          <NetworkPanel network={network} slug={params.slug} invite={settings.resolved().values.invite} />
        </Show>
        <Show when={panel() === "details"}>
          <DetailsPanel
            view={view}
            memoryMiB={settings.resolved().values.memoryMiB ?? image()?.definition?.memoryMiB}
            boot={settings.resolved().values.boot ?? image()?.definition?.boot[0]?.label}
          />
        </Show>
      </div>
      <KeyBar onType={type} onControl={setControl} onKeyboard={() => terminal()?.focus()} />
      <footer class="rain">
        <Rain onReady={(handle) => (rain = handle)} />
        <StatusLine view={view} />
        <p class="visually-hidden" aria-live="polite">
          {spoken()}
        </p>
      </footer>
      <Switch>
        <Match when={asked() === "settings"}>
          <SettingsDialog
            boot={image()?.definition?.boot ?? []}
            imageMemoryMiB={image()?.definition?.memoryMiB}
            busy={busy()}
            exported={exported()}
            onExport={() => void save()}
            onForget={() => ask("forget")}
            onClose={() => asked() === "settings" && ask(undefined)}
          />
        </Match>
        <Match when={asked() === "shortcuts"}>
          <ShortcutsDialog onClose={() => ask(undefined)} />
        </Match>
        <Match when={asked() === "forget"}>
          <Confirm
            title={`Forget your changes to ${image()?.name}?`}
            lost="Everything you changed on this disk is deleted from this device. It is nowhere else."
            action="Forget my changes"
            onYes={() => void forget()}
            onNo={() => ask(undefined)}
          />
        </Match>
        <Match when={asked() === "reset"}>
          <Confirm
            title={`Reset ${image()?.name}?`}
            lost="Programs that are running in it are lost. What it saved to its disk stays."
            action="Reset"
            onYes={() => {
              machine.send({ type: "reset" });
              ask(undefined);
            }}
            onNo={() => ask(undefined)}
          />
        </Match>
        <Match when={asked() === "power-off"}>
          <Confirm
            title={`Power ${image()?.name} off?`}
            lost="Programs that are running in it are lost. What it saved to its disk stays. Typing “poweroff” in it shuts it down in order."
            action="Power off"
            onYes={() => {
              machine.powerOff();
              ask(undefined);
            }}
            onNo={() => ask(undefined)}
          />
        </Match>
      </Switch>
    </div>
  );
}
