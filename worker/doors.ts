import { AERO_L2 } from "#protocol/aero-l2.ts";
import { TCP_MUX } from "#protocol/tcp-mux.ts";
import { VIRGA_L2 } from "#protocol/virga-l2.ts";
import type { Visit } from "#protocol/visit.ts";
import { WISP_V2, wispTarget } from "#protocol/wisp.ts";

export type Door = Pick<Visit, "door" | "target"> & { readonly protocol?: string };
export interface Refusal {
  readonly status: 400 | 401 | 403 | 404 | 414 | 429 | 503;
  readonly message: string;
}
export const refusal = (status: Refusal["status"], message: string): Refusal => ({ status, message });

/** The subprotocols that a client offers, in its order. */
const offered = (request: Request): string[] =>
  (request.headers.get("sec-websocket-protocol") ?? "")
    .split(",")
    .map((name) => name.trim())
    .filter((name) => name !== "");

/** Which door a path and its subprotocols lead to. */
export function doorOf(request: Request): Door | Refusal {
  const url = new URL(request.url);
  const names = offered(request);
  switch (url.pathname) {
    case "/l2":
    case "/l2/":
    case "/eth":
      if (names.includes(VIRGA_L2)) return { door: "virga", protocol: VIRGA_L2 };
      if (names.includes(AERO_L2)) return { door: "aero", protocol: AERO_L2 };
      return refusal(400, `missing subprotocol ${AERO_L2}`);
    case "/eth/raw":
      return { door: "raw" };
    case "/tcp-mux":
      return names.includes(TCP_MUX)
        ? { door: "tcp-mux", protocol: TCP_MUX }
        : refusal(400, `missing subprotocol ${TCP_MUX}`);
    case "/tcp":
      return tcpDoor(url);
    case "/udp":
      return { door: "udp" };
    default:
      return wispDoor(url, names);
  }
}

function wispDoor(url: URL, names: readonly string[]): Door | Refusal {
  const target = wispTarget(url.pathname);
  if (target === null) return refusal(400, "the path ends neither in / nor in host:port");
  if (target !== "wisp") return { door: "tcp", target };
  if (names.length === 0) return { door: "wisp" };
  const protocol = names.find((name) => name === WISP_V2) ?? names[0]!;
  return { door: "wisp2", protocol };
}

function tcpDoor(url: URL): Door | Refusal {
  if ((url.searchParams.get("v") ?? "1") !== "1") return refusal(400, "unknown version");
  const target = url.searchParams.get("target");
  const host = url.searchParams.get("host");
  const port = url.searchParams.get("port");
  const parts =
    target === null
      ? [host?.replace(/^\[(.*)\]$/, "$1"), port]
      : /^(\[[^\]]+\]|[^:]+):(\d{1,5})$/.exec(target)?.slice(1);
  const name = parts?.[0]?.replace(/^\[(.*)\]$/, "$1") ?? "";
  const number = /^\d{1,5}$/.test(parts?.[1] ?? "") ? Number(parts![1]) : 0;
  if (name === "" || name.length > 255 || number < 1 || number > 65_535)
    return refusal(400, "no such target");
  return { door: "tcp", target: { host: name, port: number } };
}

export const isRefusal = (door: Door | Refusal): door is Refusal => "status" in door;
