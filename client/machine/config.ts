import * as z from "zod/mini";
import { NicName } from "#protocol/machine-definition.ts";
import { ProcessorName } from "#protocol/processor.ts";

/**
 * Settings in four layers, later wins: the defaults of this schema, the operator's `/virga.config.json`, what the
 * person saved in this browser, and the address (`?mem=512&log=debug`). Unknown keys and bad values are named, never
 * guessed at.
 */
export const Settings = z.strictObject({
  /** Memory of the machine in MiB; the image's own wish when absent. */
  memoryMiB: z.optional(z.number().check(z.int(), z.minimum(64), z.maximum(3072))),
  /** Model of the processor; the image's own wish when absent. */
  processor: z.optional(ProcessorName),
  /** Which of the image's boot entries to start; its first one when absent. */
  boot: z.optional(z.string().check(z.regex(/^[a-z0-9-]{1,32}$/))),
  /** Another disk than the image's own: a manifest hash. */
  disk: z.optional(z.string().check(z.regex(/^[0-9a-f]{64}$/))),
  /**
   * Where the machine's network cable leads: to the site's tunnel; to a stack in this page, whose connections go through a
   * relay (tcp-mux, wisp) or by the browser's own fetch; or nowhere.
   */
  network: z._default(z.enum(["tunnel", "tcp-mux", "wisp", "fetch", "off"]), "tunnel"),
  /** The machine's network card; the image's own wish when absent. Drivers differ: a guest needs the one of its card. */
  card: z.optional(NicName),
  /** Another tunnel than the site's own: a ws(s) or http(s) address, with the address that gives its session. */
  tunnel: z.optional(z.string().check(z.regex(/^(wss?|https?):\/\/[^\s]{1,500}$|^\/[^\s]{0,500}$/))),
  /** Another relay than the site's own, for `tcp-mux` and `wisp`; the Worker's VIRGA_CONNECT_SRC must name it. */
  relay: z.optional(z.string().check(z.regex(/^(wss?|https?):\/\/[^\s]{1,500}$|^\/[^\s]{0,500}$/))),
  /** Another DNS over HTTPS than the site's own, for a stack in this page; the Worker's VIRGA_CONNECT_SRC must name it. */
  dns: z.optional(z.string().check(z.regex(/^https?:\/\/[^\s]{1,500}$|^\/[^\s]{0,500}$/))),
  /** A name that machines in other tabs of this browser share to be on one network. */
  room: z.optional(z.string().check(z.regex(/^[a-z0-9-]{1,32}$/))),
  /** Invite to a network that machines in other browsers share. */
  invite: z.optional(z.string().check(z.regex(/^[0-9a-f]{32}\.[A-Za-z0-9_-]{22,64}$/))),
  /** How much the machine writes to the browser's console. */
  log: z._default(z.enum(["error", "warn", "info", "debug"]), "warn"),
  /** Colours: the system's, or always one of them. */
  theme: z._default(z.enum(["system", "dark", "light"]), "system"),
  /** Size of the terminal's letters in pixels. */
  fontSize: z._default(z.number().check(z.int(), z.minimum(8), z.maximum(32)), 14),
  /** What the screen shows when the machine starts: text, or graphics of this size for a guest that can draw on it. */
  screen: z._default(
    z.enum(["text", "640x480", "800x600", "1024x768", "1280x720", "1280x1024", "1920x1080"]),
    "text",
  ),
  /** Graphics as large as there is room, or by whole numbers of this device's pixels. */
  scaling: z._default(z.enum(["fit", "whole"]), "fit"),
  /** Says everything the terminal prints to screen readers, at some cost in speed. */
  screenReader: z._default(z.boolean(), false),
});
export type Settings = z.infer<typeof Settings>;
/** The size of a graphics mode as its setting names it. */
export function sizeOf(screen: Exclude<Settings["screen"], "text">): { width: number; height: number } {
  const [width, height] = screen.split("x").map(Number) as [number, number];
  return { width, height };
}
export type SettingName = keyof Settings;
export type Layer = "default" | "operator" | "saved" | "address";

export interface ResolvedSettings {
  readonly values: Settings;
  /** Which layer each value came from. */
  readonly from: { readonly [Name in SettingName]: Layer };
  /** What was left out, in words. */
  readonly problems: readonly string[];
}

/** Address parameters that are settings, and how their text is read. */
const addressNames: { readonly [parameter: string]: { name: SettingName; read: (text: string) => unknown } } =
  {
    mem: { name: "memoryMiB", read: Number },
    cpu: { name: "processor", read: String },
    boot: { name: "boot", read: String },
    disk: { name: "disk", read: String },
    net: { name: "network", read: String },
    card: { name: "card", read: String },
    room: { name: "room", read: String },
    lan: { name: "invite", read: String },
    log: { name: "log", read: String },
    theme: { name: "theme", read: String },
    font: { name: "fontSize", read: Number },
    screen: { name: "screen", read: String },
    scaling: { name: "scaling", read: String },
    reader: { name: "screenReader", read: (text) => ({ "1": true, "0": false })[text] ?? text },
  };

/** The settings that an address asks for. Parameters that are not settings are left alone. */
export function settingsInAddress(search: string): Record<string, unknown> {
  const found: Record<string, unknown> = {};
  for (const [parameter, text] of new URLSearchParams(search)) {
    const known = Object.hasOwn(addressNames, parameter) ? addressNames[parameter] : undefined;
    if (known) found[known.name] = known.read(text);
  }
  return found;
}

const layerWords = {
  operator: "this site's settings file",
  saved: "your saved settings",
  address: "the address",
};

/** Lays the layers over each other. A value that does not fit its field is left out and named. */
export function resolveSettings(operator: unknown, saved: unknown, address: unknown): ResolvedSettings {
  const problems: string[] = [];
  const merged: Record<string, unknown> = {};
  const from: Record<string, Layer> = {};
  for (const name of Object.keys(Settings.shape)) from[name] = "default";
  for (const [layer, given] of Object.entries({ operator, saved, address }) as [
    keyof typeof layerWords,
    unknown,
  ][]) {
    if (given === undefined || given === null) continue;
    if (typeof given !== "object" || Array.isArray(given)) {
      problems.push(`${layerWords[layer]} cannot be read: it is not an object.`);
      continue;
    }
    for (const [name, value] of Object.entries(given)) {
      const field = Object.hasOwn(Settings.shape, name) ? Settings.shape[name as SettingName] : undefined;
      if (!field) problems.push(`"${name}" in ${layerWords[layer]} is not a setting.`);
      else if (!z.safeParse(field, value).success || value === undefined)
        problems.push(`"${name}" in ${layerWords[layer]} cannot be ${JSON.stringify(value)}.`);
      else {
        merged[name] = value;
        from[name] = layer;
      }
    }
  }
  return { values: z.parse(Settings, merged), from: from as ResolvedSettings["from"], problems };
}
