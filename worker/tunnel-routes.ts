import { Hono } from "hono";
import { INVITE_HEADER, VISIT_HEADER, type Visit } from "#protocol/visit.ts";
import type { App } from "./app.ts";
import { type Refusal, doorOf, isRefusal, refusal } from "./doors.ts";
import { onError } from "./failures.ts";
import { gatewaySettings } from "./gateway-settings.ts";
import { readInvite } from "./lans.ts";
import { count } from "./metrics.ts";
import { admit } from "./visitor.ts";

const MAX_URL_CHARS = 8192;
const notUpgrade = refusal(400, "expected a WebSocket upgrade");

const answer = ({ status, message }: Refusal): Response =>
  new Response(message, { status, headers: { "cache-control": "no-store" } });

/** `?lan=<invite>`: the room's id, a dot, the secret. */
function roomOf(request: Request): { readonly id: string; readonly secret: string } | null | undefined {
  const invite = new URL(request.url).searchParams.get("lan");
  return invite === null ? undefined : readInvite(invite);
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
  if (!(await env.TUNNEL_RATE.limit({ key: address || "local" })).success) {
    count("l2_upgrade_rejected_total");
    count("l2_upgrade_ip_limit_exceeded_total");
    return answer(refusal(429, "too many tunnels from this address"));
  }
  const { protocol, ...way } = door;
  const { sid, profile, account } = admission.visitor;
  const visit: Visit = { ...way, sid, profile, address, ...(account !== undefined && { account }) };
  const headers = new Headers({ upgrade: "websocket", [VISIT_HEADER]: JSON.stringify(visit) });
  if (protocol) headers.set("sec-websocket-protocol", protocol);
  const room = roomOf(request);
  if (room === null) return answer(refusal(403, "the invite is not valid"));
  if (!room) return counted(await env.TUNNEL.getByName(visit.sid).fetch("https://tunnel/", { headers }));
  headers.set(INVITE_HEADER, room.secret);
  return counted(await env.LAN.getByName(room.id).fetch("https://lan/", { headers }));
}

/** An object that has as many sockets of one session as it lets in says 429. */
function counted(answered: Response): Response {
  if (answered.status !== 429) return answered;
  count("l2_upgrade_rejected_total");
  count("l2_upgrade_reject_max_connections_per_session_total");
  count("l2_session_connection_denied_total");
  return answered;
}

export const tunnelRoutes = new Hono<App>();
for (const path of ["/l2", "/l2/", "/eth", "/eth/raw", "/tcp-mux", "/tcp", "/udp", "/wisp/*"])
  tunnelRoutes.get(path, (c) => upgrade(c.req.raw, c.env));
tunnelRoutes.onError(onError);
