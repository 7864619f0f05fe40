import { AERO_L2_TOKEN } from "#protocol/aero-l2.ts";
import type { Profile } from "#protocol/tunnel-notices.ts";
import { type AuthMode, type GatewaySettings, gatewaySettings } from "./gateway-settings.ts";
import { type Counter, count } from "./metrics.ts";
import { judgeHost, judgeOrigin, ownOrigin } from "./origins.ts";
import { readRelayToken } from "./relay-token.ts";
import { readSession, sessionCookie } from "./session-token.ts";

/** Who opens a tunnel. `sid` names the session and is no credential. */
export interface Visitor {
  readonly sid: string;
  readonly profile: Profile;
  /** Names what several sessions of one person have in common; absent: nothing. */
  readonly account?: string;
}
export type Admission =
  | { readonly ok: true; readonly visitor: Visitor }
  | { readonly ok: false; readonly status: 401 | 403 | 503; readonly message: string };

/** What each mode takes. Without a mode: a session or, where one is configured, the static key. */
const accepts: Readonly<Record<AuthMode, readonly ("session" | "token" | "jwt")[]>> = {
  none: [],
  session: ["session"],
  token: ["token"],
  jwt: ["jwt"],
  cookie_or_jwt: ["session", "jwt"],
  session_or_token: ["session", "token"],
  session_and_token: ["session", "token"],
};

function refuse(status: 401 | 403 | 503, message: string, counter?: Counter): Admission {
  count("l2_upgrade_rejected_total");
  if (counter) count(counter);
  if (status === 401) count("l2_auth_reject_total");
  return { ok: false, status, message };
}

/**
 * The checks before an upgrade, in the order of aero-l2-tunnel-v1 §1.6 after the subprotocol: credential, Origin, Host. A
 * missing credential is always 401, whatever page asks.
 */
export async function admit(request: Request, env: object, nowMs: number): Promise<Admission> {
  const settings = gatewaySettings(env);
  if (settings.isDraining) return refuse(503, "draining");
  const visitor = await visitorOf(request, settings, nowMs);
  if (visitor === "missing")
    return refuse(401, "a credential is needed", "l2_upgrade_reject_auth_missing_total");
  if (visitor === "invalid") {
    count("l2_auth_failures_total");
    return refuse(401, "the credential is not valid", "l2_upgrade_reject_auth_invalid_total");
  }
  return judgePlace(request, settings) ?? { ok: true, visitor };
}

/** Undefined: the request comes from a page that may ask, and names a host of ours. */
export function judgePlace(request: Request, settings: GatewaySettings): Admission | undefined {
  const own = ownOrigin(request, settings.trustsProxy);
  const scheme = own.protocol === "https:" ? "https" : "http";
  const origin = judgeOrigin(request.headers.get("origin"), own.origin, settings.origins);
  if (origin === "missing") return refuse(403, "Origin is missing", "l2_upgrade_reject_origin_missing_total");
  if (origin === "denied")
    return refuse(403, "this origin is not allowed", "l2_upgrade_reject_origin_not_allowed_total");
  const host = judgeHost(own.host, scheme, settings.hosts);
  if (host === "missing") return refuse(403, "Host is missing", "l2_upgrade_reject_host_missing_total");
  if (host === "invalid") return refuse(403, "Host is not one", "l2_upgrade_reject_host_invalid_total");
  if (host === "denied")
    return refuse(403, "this host is not allowed", "l2_upgrade_reject_host_not_allowed_total");
  return undefined;
}

/** The credentials of a request in the order in which they are looked at; the first that is there counts. */
function carried(request: Request, isJwt: boolean): string | undefined {
  const { searchParams } = new URL(request.url);
  const offered = (request.headers.get("sec-websocket-protocol") ?? "")
    .split(",")
    .map((name) => name.trim())
    .find((name) => name.startsWith(AERO_L2_TOKEN));
  const bearer = /^Bearer +(\S+)$/i.exec(request.headers.get("authorization") ?? "")?.[1];
  return (
    searchParams.get("token") ??
    searchParams.get("apiKey") ??
    offered?.slice(AERO_L2_TOKEN.length) ??
    (isJwt ? bearer : undefined)
  );
}

async function visitorOf(
  request: Request,
  settings: GatewaySettings,
  nowMs: number,
): Promise<Visitor | "missing" | "invalid"> {
  const { auth } = settings;
  const cookie = sessionCookie(request.headers.get("cookie"));
  const session = await readSession(settings.sessionSecret, cookie ?? "", nowMs);
  // Without a credential a visitor is still somebody to the quotas, if there is a session.
  if (auth === "none") return session ?? { sid: crypto.randomUUID(), profile: "anonymous" };
  const kinds = accepts[auth];
  const credential = carried(request, kinds.includes("jwt"));
  const byToken = kinds.includes("token") && credential !== undefined && (await isKey(settings, credential));
  if (auth === "session_and_token") {
    if (cookie === undefined || credential === undefined) return "missing";
    return session && byToken ? session : "invalid";
  }
  if (byToken) return { sid: session?.sid ?? crypto.randomUUID(), profile: "signed-in" };
  if (kinds.includes("jwt") && credential !== undefined) {
    const claims = await jwtOf(request, settings, credential, nowMs);
    if (claims)
      return { sid: claims.sid, profile: "guest", ...(claims.sub !== undefined && { account: claims.sub }) };
  }
  if (kinds.includes("session") && session) return session;
  const isThere = (kinds.includes("session") && cookie !== undefined) || credential !== undefined;
  return isThere ? "invalid" : "missing";
}

/** Compared by their hashes, so that neither length nor content can be felt out by time. */
async function isKey({ tunnelToken }: GatewaySettings, credential: string): Promise<boolean> {
  if (tunnelToken === "") return false;
  const digest = async (text: string) =>
    new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text)));
  const [ours, theirs] = await Promise.all([digest(tunnelToken), digest(credential)]);
  return ours.reduce((difference, byte, at) => difference | (byte ^ theirs[at]!), 0) === 0;
}

function jwtOf(request: Request, { tunnelJwt }: GatewaySettings, credential: string, nowMs: number) {
  const { secret, ...expected } = tunnelJwt;
  if (secret === "") return null;
  const origin = request.headers.get("origin");
  return readRelayToken(secret, credential, nowMs, { ...expected, ...(origin !== null && { origin }) });
}
