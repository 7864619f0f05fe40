import { Hono } from "hono";
import { AERO_L2 } from "#protocol/aero-l2.ts";
import { TCP_MUX } from "#protocol/tcp-mux.ts";
import { VIRGA_L2 } from "#protocol/virga-l2.ts";
import { INVITE_HEADER, VISIT_HEADER, type Visit } from "#protocol/visit.ts";
import { WISP_V2, wispTarget } from "#protocol/wisp.ts";
import type { App } from "./app.ts";
import { onError } from "./failures.ts";
import { gatewaySettings } from "./gateway-settings.ts";
import { admit } from "./visitor.ts";

type Door = Pick<Visit, "door" | "target"> & { readonly protocol?: string };
interface Refusal {
  readonly status: 400 | 401 | 403 | 404 | 414 | 429 | 503;
  readonly message: string;
}
const refusal = (status: Refusal["status"], message: string): Refusal => ({ status, message });

const MAX_URL_CHARS = 8192;
const notUpgrade = refusal(400, "expected a WebSocket upgrade");

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

const isRefusal = (door: Door | Refusal): door is Refusal => "status" in door;
const answer = ({ status, message }: Refusal): Response =>
  new Response(message, { status, headers: { "cache-control": "no-store" } });

/** `?lan=<invite>`: the room's id, a dot, the secret. */
function roomOf(request: Request): { readonly id: string; readonly secret: string } | null | undefined {
  const invite = new URL(request.url).searchParams.get("lan");
  if (invite === null) return undefined;
  const parts = /^([0-9a-f]{32})\.([A-Za-z0-9_-]{22,64})$/.exec(invite);
  return parts && { id: parts[1]!, secret: parts[2]! };
}

/** Every WebSocket that leads to the internet or into a room. Refuses in the order of aero-l2-tunnel-v1 §1.6. */
async function upgrade(request: Request, env: Env): Promise<Response> {
  if (request.url.length > MAX_URL_CHARS) return answer(refusal(414, "the URL is too long"));
  if (gatewaySettings(env).isDraining) return answer(refusal(503, "draining"));
  if (request.headers.get("upgrade")?.toLowerCase() !== "websocket") return answer(notUpgrade);
  const door = doorOf(request);
  // The target of /tcp is looked at after the visitor.
  const isTcp = new URL(request.url).pathname === "/tcp";
  if (isRefusal(door) && !isTcp) return answer(door);
  const admission = await admit(request, env, Date.now());
  if (!admission.ok) return answer(admission);
  if (isRefusal(door)) return answer(door);
  const address = (request.headers.get("cf-connecting-ip") ?? "").slice(0, 64);
  if (!(await env.TUNNEL_RATE.limit({ key: address || "local" })).success)
    return answer(refusal(429, "too many tunnels from this address"));
  const { protocol, ...way } = door;
  const { sid, profile } = admission.visitor;
  const visit: Visit = { ...way, sid, profile, address };
  const headers = new Headers({ upgrade: "websocket", [VISIT_HEADER]: JSON.stringify(visit) });
  if (protocol) headers.set("sec-websocket-protocol", protocol);
  const room = roomOf(request);
  if (room === null) return answer(refusal(403, "the invite is not valid"));
  if (!room) return env.TUNNEL.getByName(visit.sid).fetch("https://tunnel/", { headers });
  headers.set(INVITE_HEADER, room.secret);
  return env.LAN.getByName(room.id).fetch("https://lan/", { headers });
}

export const tunnelRoutes = new Hono<App>();
for (const path of ["/l2", "/l2/", "/eth", "/eth/raw", "/tcp-mux", "/tcp", "/udp", "/wisp/*"])
  tunnelRoutes.get(path, (c) => upgrade(c.req.raw, c.env));
tunnelRoutes.onError(onError);
