import { For, Show, type JSX } from "solid-js";
import type { BootEntry, NicName } from "#protocol/machine-definition";
import type { Layer, SettingName } from "../machine/config.ts";
import { settings } from "../machine/settings.ts";
import { Dialog } from "./dialog.tsx";

const sources: { readonly [Source in Layer]: string } = {
  default: "",
  operator: "Set by this site.",
  saved: "",
  address: "Set by the address of this page; remove it there to change it here.",
};

/** One setting: its name, its control, and who decided it when it was not the person. */
function Row(props: { name: SettingName; label: string; children: (locked: boolean) => JSX.Element }) {
  const from = () => settings.resolved().from[props.name];
  return (
    <label class="setting">
      <span>{props.label}</span>
      {props.children(from() === "address")}
      <Show when={sources[from()]}>{(words) => <small>{words()}</small>}</Show>
    </label>
  );
}

function Choice(props: {
  name: SettingName;
  label: string;
  options: readonly (readonly [string, string])[];
  value: string;
  read?: (text: string) => unknown;
}) {
  const save = (text: string) =>
    settings.save(props.name, text === "" ? undefined : (props.read ?? String)(text));
  return (
    <Row name={props.name} label={props.label}>
      {(locked) => (
        <select disabled={locked} onChange={(event) => save(event.currentTarget.value)}>
          <For each={props.options}>
            {([value, words]) => (
              <option value={value} selected={value === props.value}>
                {words}
              </option>
            )}
          </For>
        </select>
      )}
    </Row>
  );
}

/** Ways of sites without tunnels: offered where one of them is in use. */
const pageStacks: readonly (readonly [string, string])[] = [
  ["tcp-mux", "The internet, through a relay"],
  ["wisp", "The internet, through a Wisp relay"],
  ["fetch", "Web pages only, fetched by this browser"],
];
const inPage = (network: string) => pageStacks.filter(([value]) => value === network);

const cardWords: { readonly [Name in NicName]: string } = {
  "virtio-net": "virtio-net, the fastest",
  "virtio-net-transitional": "virtio-net, for old Linux too",
  "virtio-net-windows7": "virtio-net, for Windows 7",
  e1000: "Intel E1000",
  rtl8139: "Realtek RTL8139C+",
  "rtl8139-8139c": "Realtek RTL8139C",
};
const cards = [["", "As the machine wishes"], ...Object.entries(cardWords)] as const;

const memorySizes = [128, 256, 512, 768, 1024, 1536, 2048];

/** What the next start uses, and how the page looks. Values from the address are shown and cannot be changed here. */
export function SettingsDialog(props: {
  boot: readonly BootEntry[];
  imageMemoryMiB: number | undefined;
  busy: boolean;
  onForget(): void;
  onExport(): void;
  exported: string | undefined;
  onClose(): void;
}) {
  const values = () => settings.resolved().values;
  const sizes = () =>
    [...new Set([...memorySizes, ...(values().memoryMiB ? [values().memoryMiB as number] : [])])].sort(
      (a, b) => a - b,
    );
  return (
    <Dialog title="Settings" onClose={() => props.onClose()}>
      <p class="muted">Memory, start, screen and network take effect at the next start.</p>
      <Choice
        name="memoryMiB"
        label="Memory"
        value={String(values().memoryMiB ?? "")}
        read={Number}
        options={[
          ["", `As the machine wishes${props.imageMemoryMiB ? ` (${props.imageMemoryMiB} MiB)` : ""}`],
          ...sizes().map((size) => [String(size), `${size} MiB`] as const),
        ]}
      />
      <Choice
        name="boot"
        label="Start"
        value={values().boot ?? ""}
        options={[["", "As the machine wishes"], ...props.boot.map(({ id, label }) => [id, label] as const)]}
      />
      <Choice
        name="network"
        label="Network"
        value={values().network}
        options={[
          ["tunnel", "The internet, through this site"],
          ...inPage(values().network),
          ["off", "No cable"],
        ]}
      />
      <Choice name="card" label="Network card" value={values().card ?? ""} options={cards} />
      <Choice
        name="screen"
        label="Screen at the start"
        value={values().screen}
        options={[
          ["text", "Text"],
          ...(["640x480", "800x600", "1024x768", "1280x720", "1280x1024", "1920x1080"] as const).map(
            (size) => [size, `Graphics, ${size.replace("x", " × ")}`] as const,
          ),
        ]}
      />
      <Choice
        name="scaling"
        label="Size of graphics"
        value={values().scaling}
        options={[
          ["fit", "As large as there is room"],
          ["whole", "Whole multiples, sharp"],
        ]}
      />
      <Choice
        name="theme"
        label="Colours"
        value={values().theme}
        options={[
          ["system", "Like this device"],
          ["dark", "Dark"],
          ["light", "Light"],
        ]}
      />
      <Choice
        name="fontSize"
        label="Letters"
        value={String(values().fontSize)}
        read={Number}
        options={[10, 12, 13, 14, 16, 18, 20, 24].map((size) => [String(size), `${size} px`] as const)}
      />
      <Choice
        name="log"
        label="Messages in the console"
        value={values().log}
        options={[
          ["error", "Errors"],
          ["warn", "Warnings"],
          ["info", "Information"],
          ["debug", "Everything"],
        ]}
      />
      <Row name="screenReader" label="Read the terminal aloud">
        {(locked) => (
          <input
            type="checkbox"
            disabled={locked}
            checked={values().screenReader}
            onChange={(event) => settings.save("screenReader", event.currentTarget.checked)}
          />
        )}
      </Row>
      <For each={settings.resolved().problems}>{(problem) => <p class="problem">{problem}</p>}</For>
      <h3>Your changes</h3>
      <p class="muted">{props.busy ? "Power the machine off first." : "They are kept on this device."}</p>
      <div class="actions">
        <button disabled={props.busy} onClick={() => props.onExport()}>
          Save the disk as a file
        </button>
        <button class="danger" disabled={props.busy} onClick={() => props.onForget()}>
          Forget your changes
        </button>
      </div>
      <Show when={props.exported}>{(words) => <p role="status">{words()}</p>}</Show>
      <form method="dialog" class="actions">
        <button class="primary">Done</button>
      </form>
    </Dialog>
  );
}
