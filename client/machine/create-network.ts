import { batch, onCleanup } from "solid-js";
import { createStore, reconcile } from "solid-js/store";
import type { Failure } from "#protocol/failure";
import { type FrameLinkEnd, portLinkEnds, sharedLinkEnds } from "#protocol/frame-link";
import { type MachineDefinition, nics } from "#protocol/machine-definition";
import type { NicOrder } from "#protocol/machine-messages";
import type {
  FlowRow,
  NetworkCommand,
  NetworkNotice,
  NetworkPath,
  NetworkState,
  NetworkStats,
} from "#protocol/network-messages";

import { machineMac } from "#protocol/published-port";
import type { Settings } from "./config.ts";

type TunnelWord = Extract<NetworkNotice, { type: "tunnel" }>["notice"];

/** Everything a page shows of a machine's network. */
export interface NetworkView {
  /** Where the cable leads. */
  kind: NetworkPath["kind"];
  state: NetworkState;
  failure?: Failure | undefined;
  retryInMs?: number | undefined;
  stats?: NetworkStats | undefined;
  flows: readonly FlowRow[];
  /** What this visitor may do here; unknown before the tunnel has said it. */
  policy?: Extract<TunnelWord, { type: "policy" }> | undefined;
  /** A bound that was reached a moment ago. */
  quota?: Extract<TunnelWord, { type: "quota" }> | undefined;
  /** The name of which no name server answered; undefined: they answer. */
  failingName?: string | undefined;
  /** Ports of the machine that have an address of their own on the web. */
  ports: Extract<TunnelWord, { type: "ports" }>["ports"];
  /** The machine's hardware address, by which it owns its ports. */
  machine?: string | undefined;
  /** False while a person has the cable out. */
  cable: boolean;
}

const off = (): NetworkView => ({
  kind: "off",
  state: "off",
  failure: undefined,
  retryInMs: undefined,
  stats: undefined,
  policy: undefined,
  quota: undefined,
  failingName: undefined,
  ports: [],
  machine: undefined,
  flows: [],
  cable: true,
});

/** What is over at once is shown for so long. */
const QUOTA_SHOWN_MS = 10_000;
/** The longest that a timer counts. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/** A card and what must be transferred with it. */
export interface Plug {
  readonly nic: NicOrder;
  readonly transfer: Transferable[];
}

const portsOf = (end: FrameLinkEnd): Transferable[] => (end.kind === "port" ? [end.port as MessagePort] : []);

/** Rings where the page has shared memory and can wait for it without blocking, messages elsewhere. */
const linkEnds = () =>
  crossOriginIsolated && "waitAsync" in Atomics ? sharedLinkEnds() : portLinkEnds(new MessageChannel());

/** Where the settings say that the cable leads. */
export function pathOf(settings: Settings): NetworkPath {
  if (settings.network === "off") return { kind: "off" };
  if (settings.network !== "tunnel") return pageStackOf(settings.network, settings);
  const tunnelUrl = settings.tunnel ?? "/l2";
  const sessionUrl = new URL("/session", new URL(tunnelUrl, location.origin));
  sessionUrl.protocol = sessionUrl.protocol.replace(/^ws/, "http");
  return {
    kind: "tunnel",
    tunnelUrl,
    sessionUrl: sessionUrl.href,
    ...(settings.invite ? { invite: settings.invite } : {}),
  };
}

const relayPaths = { "tcp-mux": "/tcp-mux", wisp: "/wisp/" } as const;

/** Only what is of this site wants a session of it. */
function pageStackOf(kind: "tcp-mux" | "wisp" | "fetch", settings: Settings): NetworkPath {
  const relayUrl = kind === "fetch" ? location.origin : (settings.relay ?? relayPaths[kind]);
  const dnsUrl = new URL(settings.dns ?? "/dns-query", location.origin).href;
  const isOurs = (url: string): boolean => new URL(url, location.origin).host === location.host;
  const wantsSession = isOurs(dnsUrl) || (kind !== "fetch" && isOurs(relayUrl));
  const stack = { dnsUrl, ...(wantsSession && { sessionUrl: new URL("/session", location.origin).href }) };
  return kind === "fetch" ? { kind, ...stack } : { kind, relayUrl, ...stack };
}

const DEVICE_KEY = "virga.device";

/** A random name of this browser, so that machines of two browsers differ on one LAN. A private window gets a new one each time. */
function deviceName(): string {
  const fresh = crypto.randomUUID();
  try {
    const known = localStorage.getItem(DEVICE_KEY);
    if (known) return known;
    localStorage.setItem(DEVICE_KEY, fresh);
  } catch (problem) {
    console.warn("this browser's name is not saved", problem);
  }
  return fresh;
}

/** The machine's hardware address: the same at every start, locally administered (IEEE 802 §8.4: bit 1 set, bit 0 clear). */
async function macFor(slug: string): Promise<Uint8Array> {
  const name = new TextEncoder().encode(`${deviceName()}/${slug}`);
  const mac = new Uint8Array(await crypto.subtle.digest("SHA-256", name)).slice(0, 6);
  mac[0] = (mac[0]! & 0xfc) | 0x02;
  return mac;
}

/** Hands a file to the browser's downloads. */
function download(bytes: Uint8Array<ArrayBuffer>, name: string): void {
  const url = URL.createObjectURL(new Blob([bytes], { type: "application/octet-stream" }));
  const anchor = document.createElement("a");
  anchor.href = url;
  anchor.download = name;
  anchor.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

/** The network worker of one machine. It lives from `start` to `stop`, and ends with the component that asked for it. */
export function createNetwork() {
  const [view, setView] = createStore<NetworkView>(off());
  let worker: Worker | undefined;
  let quotaTimer: ReturnType<typeof setTimeout> | undefined;
  const send = (command: NetworkCommand, transfer: Transferable[] = []) =>
    worker?.postMessage(command, transfer);

  /** It is over when the server says so, or a little later. */
  function showQuota(notice: Extract<TunnelWord, { type: "quota" }>): void {
    setView("quota", notice);
    clearTimeout(quotaTimer);
    const lastsMs = Math.min(Math.max(notice.retryAfterMs, QUOTA_SHOWN_MS), MAX_TIMER_MS);
    quotaTimer = setTimeout(() => setView("quota", undefined), lastsMs);
  }

  function onTunnel(notice: TunnelWord): void {
    if (notice.type === "policy") setView("policy", notice);
    else if (notice.type === "quota") showQuota(notice);
    else if (notice.type === "names") setView("failingName", notice.failing);
    else if (notice.type === "ports") setView("ports", reconcile(notice.ports, { key: "id" }));
  }

  function onNotice(notice: NetworkNotice): void {
    switch (notice.type) {
      case "state":
        return setView({ state: notice.state, failure: notice.failure, retryInMs: notice.retryInMs });
      case "stats":
        return setView("stats", notice.stats);
      case "flows":
        return setView("flows", reconcile([...notice.flows], { key: "id" }));
      case "tunnel":
        return onTunnel(notice.notice);
      case "capture-file":
        return download(notice.bytes as Uint8Array<ArrayBuffer>, "virga.pcapng");
      default:
        return notice satisfies never;
    }
  }

  function stop(): void {
    worker?.terminate();
    worker = undefined;
    clearTimeout(quotaTimer);
    setView(off());
  }

  /** Starts the worker, and answers with the card to plug into the machine; null: this machine has none. */
  async function plug(slug: string, definition: MachineDefinition, settings: Settings): Promise<Plug | null> {
    stop();
    if (definition.network === "none") return null;
    const [card, far] = linkEnds();
    start(pathOf(settings), far, settings.room);
    const chosen = settings.card ? nics[settings.card] : definition.network;
    const mac = await macFor(slug);
    setView("machine", machineMac(mac));
    const nic: NicOrder = {
      ...(chosen ?? nics["virtio-net"]),
      mac,
      link: card,
    };
    return { nic, transfer: portsOf(card) };
  }

  function start(path: NetworkPath, link: FrameLinkEnd, room: string | undefined): void {
    setView("kind", path.kind);
    worker = new Worker(new URL("../../emulator/network-worker.ts", import.meta.url), {
      type: "module",
      name: "network",
    });
    worker.onmessage = ({ data }: MessageEvent<NetworkNotice>) => batch(() => onNotice(data));
    worker.onerror = (event) => {
      event.preventDefault();
      console.error(event.message, event.filename, event.lineno);
      // The machine goes on without: a broken network is never a broken machine.
      setView({ state: "refused", failure: { code: "internal", incident: event.message || "network" } });
    };
    send({ type: "start", path, link, ...(room ? { room } : {}) }, portsOf(link));
  }

  onCleanup(stop);
  return {
    view,
    plug,
    stop,
    reconnect: () => send({ type: "reconnect" }),
    setCable(connected: boolean): void {
      setView("cable", connected);
      send({ type: "cable", connected });
    },
    capture: (on: boolean) => send({ type: "capture", on }),
    saveCapture: () => send({ type: "capture-file" }),
  };
}

export type Network = ReturnType<typeof createNetwork>;
