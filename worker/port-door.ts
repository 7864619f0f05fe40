import { PORT_HEADER, type PortRequest } from "#protocol/published-port.ts";
import { gatewaySettings } from "./gateway-settings.ts";
import type { PortPlace } from "./port-place.ts";
import { PASS_PARAMETER, hasPassCookie, mayEnter, setPassCookie } from "./port-pass.ts";
import { type PortRow, findPort, placeOfPort } from "./ports-table.ts";

const plain = (status: 401 | 404, words: string): Response =>
  new Response(`${words}\n`, {
    status,
    headers: { "content-type": "text/plain; charset=utf-8", "cache-control": "no-store" },
  });

/** What a page of a guest may do on the app's own origin: run, but as a stranger to it. */
const SANDBOX = "sandbox allow-scripts allow-forms allow-popups allow-modals allow-downloads";

/** A request for a published port. The app's session is neither asked for nor passed on. */
export async function enterPort(request: Request, env: Env, place: PortPlace): Promise<Response> {
  const row = await findPort(env.DB, place.id);
  if (!row) return plain(404, "Nothing is published here.");
  const refusal = await judge(request, env, place, row);
  if (refusal) return refusal;
  const isShared = place.prefix !== "";
  const answer = await placeOfPort(env, row).fetch(forwarded(request, place, row));
  // An upgrade passes as it is; a sandboxed page's sockets come from an opaque origin all the same.
  if (answer.webSocket || !isShared) return answer;
  const headers = new Headers(answer.headers);
  headers.append("Content-Security-Policy", SANDBOX);
  headers.delete("Service-Worker-Allowed");
  headers.delete("Set-Cookie");
  headers.set("X-Content-Type-Options", "nosniff");
  const { status, statusText } = answer;
  return new Response(answer.body, { status, statusText, headers, encodeBody: "manual" });
}

/** Undefined: come in. */
async function judge(
  request: Request,
  env: Env,
  place: PortPlace,
  { id, access }: PortRow,
): Promise<Response | undefined> {
  if (access === "public") return undefined;
  const { sessionSecret } = gatewaySettings(env);
  const url = new URL(request.url);
  const pass = url.searchParams.get(PASS_PARAMETER);
  const nowMs = Date.now();
  if (pass === null)
    return (await hasPassCookie(sessionSecret, id, request.headers.get("cookie"), nowMs))
      ? undefined
      : plain(401, "This port is not open to everyone.");
  if (!(await mayEnter(sessionSecret, access, id, pass, nowMs)))
    return plain(401, "This link is not valid any more.");
  url.searchParams.delete(PASS_PARAMETER);
  const path = place.prefix === "" ? "/" : `${place.prefix}/`;
  const isSecure = url.protocol === "https:";
  const cookie = await setPassCookie(sessionSecret, id, { path, isSecure }, nowMs);
  const headers = { location: url.pathname + url.search, "set-cookie": cookie, "cache-control": "no-store" };
  return new Response(null, { status: 303, headers });
}

function forwarded(request: Request, place: PortPlace, row: PortRow): Request {
  const { id, port, machine, address } = row;
  const url = new URL(request.url);
  const isShared = place.prefix !== "";
  const headers = new Headers(request.headers);
  const ask: PortRequest = { id, port, machine, address, isShared };
  headers.set(PORT_HEADER, JSON.stringify(ask));
  headers.set("x-forwarded-host", url.host);
  headers.set("x-forwarded-proto", url.protocol.slice(0, -1));
  headers.set("x-forwarded-for", request.headers.get("cf-connecting-ip") ?? "");
  if (isShared) {
    headers.delete("cookie");
    headers.delete("authorization");
    headers.set("x-forwarded-prefix", place.prefix);
    url.pathname = url.pathname.slice(place.prefix.length) || "/";
  }
  return new Request(url, { method: request.method, headers, body: request.body, redirect: "manual" });
}
