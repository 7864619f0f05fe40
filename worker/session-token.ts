import * as z from "zod/mini";
import { Profile } from "#protocol/tunnel-notices.ts";
import { strictText } from "#protocol/wire-bytes.ts";
import { fromBase64Url, toBase64Url } from "./base64url.ts";
import { isMac, macOf } from "./hmac.ts";

/**
 * The gateway's session, as the cookie `aero_session` carries it: base64url(JSON) "." base64url(HMAC-SHA256 of the first
 * part). Stateless: whoever has the secret can check it, and it ends by itself (ADR 12).
 */
export const SESSION_COOKIE = "aero_session";
export const SESSION_SECONDS = 86_400;
const MAX_PAYLOAD_CHARS = 16 * 1024;

const Claims = z.object({
  v: z.literal(1),
  sid: z.string().check(z.minLength(1)),
  exp: z.number().check(z.int()),
  /** Ours: who the visitor is to the rules of egress. Others' tokens have none. */
  profile: z.optional(Profile),
  /** Ours: names what several sessions of one person have in common. */
  account: z.optional(z.string().check(z.minLength(1), z.maxLength(128))),
});

export interface Session {
  readonly sid: string;
  readonly profile: Profile;
  readonly account?: string;
  /** Seconds since 1970. */
  readonly expires: number;
}

export async function mintSession(secret: string, session: Session): Promise<string> {
  const { sid, profile, account, expires } = session;
  const claims = {
    v: 1,
    sid,
    exp: expires,
    ...(profile !== "anonymous" && { profile }),
    ...(account !== undefined && { account }),
  };
  const payload = toBase64Url(new TextEncoder().encode(JSON.stringify(claims)));
  return `${payload}.${await macOf(secret, payload)}`;
}

/** Null: not a session, not ours, or over. The MAC is checked before anything is parsed. */
export async function readSession(secret: string, token: string, nowMs: number): Promise<Session | null> {
  const [payload, signature, ...rest] = token.split(".");
  if (payload === undefined || signature === undefined || rest.length > 0) return null;
  if (payload.length > MAX_PAYLOAD_CHARS || fromBase64Url(payload) === null) return null;
  if (!(await isMac(secret, payload, signature))) return null;
  const claims = Claims.safeParse(jsonOf(fromBase64Url(payload)!));
  if (!claims.success || claims.data.exp * 1000 <= nowMs) return null;
  const { sid, exp, profile, account } = claims.data;
  return { sid, expires: exp, profile: profile ?? "anonymous", ...(account !== undefined && { account }) };
}

/** Undefined, which no schema takes, for what is not JSON in UTF-8. */
export function jsonOf(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(strictText(bytes) ?? "");
  } catch {
    return undefined;
  }
}

/** The first `aero_session` of a Cookie header, even if it is empty; undefined: there is none. */
export function sessionCookie(header: string | null): string | undefined {
  for (const pair of (header ?? "").split(";")) {
    const equals = pair.indexOf("=");
    if (equals >= 0 && pair.slice(0, equals).trim() === SESSION_COOKIE) return pair.slice(equals + 1).trim();
  }
  return undefined;
}

export function setCookie(token: string, isSecure: boolean): string {
  const attributes = [`Path=/`, `Max-Age=${SESSION_SECONDS}`, "HttpOnly", "SameSite=Lax"];
  return [`${SESSION_COOKIE}=${token}`, ...attributes, ...(isSecure ? ["Secure"] : [])].join("; ");
}
