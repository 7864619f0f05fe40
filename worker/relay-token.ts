import * as z from "zod/mini";
import { fromBase64Url, toBase64Url } from "./base64url.ts";
import { isMac, macOf } from "./hmac.ts";
import { jsonOf } from "./session-token.ts";

/** JWTs for relays and tunnels (RFC 7519), HS256 and nothing else: `none` and other algorithms are refused by name. */
export const RELAY_TOKEN_SECONDS = 300;
const MAX_HEADER_CHARS = Math.ceil((4 * 1024 * 4) / 3);
const MAX_PAYLOAD_CHARS = Math.ceil((16 * 1024 * 4) / 3);

const Header = z.object({ alg: z.literal("HS256"), typ: z.optional(z.string()) });
const time = z.number().check(z.int());
const Claims = z.object({
  sid: z.string(),
  iat: time,
  exp: time,
  nbf: z.optional(time),
  aud: z.optional(z.union([z.string(), z.array(z.string())])),
  iss: z.optional(z.string()),
  origin: z.optional(z.string()),
  /** RFC 7519 §4.1.2: whose token it is; several sessions may have one subject. */
  sub: z.optional(z.string().check(z.minLength(1), z.maxLength(128))),
});
export type RelayClaims = z.infer<typeof Claims>;

/** What a token must say, where something is expected. */
export interface Expected {
  readonly audience?: string;
  readonly issuer?: string;
  /** Of the request; a token that names an origin is good for that one only. */
  readonly origin?: string;
}

const part = (value: unknown): string => toBase64Url(new TextEncoder().encode(JSON.stringify(value)));

export async function mintRelayToken(secret: string, claims: RelayClaims): Promise<string> {
  const text = `${part({ alg: "HS256", typ: "JWT" })}.${part(claims)}`;
  return `${text}.${await macOf(secret, text)}`;
}

/** Null: not a token, not ours, not for this, not yet or no longer. */
export async function readRelayToken(
  secret: string,
  token: string,
  nowMs: number,
  expected: Expected = {},
): Promise<RelayClaims | null> {
  const [header, payload, signature, ...rest] = token.split(".");
  if (header === undefined || payload === undefined || signature === undefined || rest.length > 0)
    return null;
  if (header.length > MAX_HEADER_CHARS || payload.length > MAX_PAYLOAD_CHARS) return null;
  const [headerBytes, payloadBytes] = [fromBase64Url(header), fromBase64Url(payload)];
  if (!headerBytes || !payloadBytes) return null;
  if (!(await isMac(secret, `${header}.${payload}`, signature))) return null;
  const claims = Claims.safeParse(jsonOf(payloadBytes));
  if (!Header.safeParse(jsonOf(headerBytes)).success || !claims.success) return null;
  return isTimely(claims.data, nowMs) && isFor(claims.data, expected) ? claims.data : null;
}

const isTimely = ({ exp, nbf }: RelayClaims, nowMs: number): boolean =>
  nowMs / 1000 < exp && (nbf === undefined || nowMs / 1000 >= nbf);

function isFor({ aud, iss, origin }: RelayClaims, expected: Expected): boolean {
  const audiences = typeof aud === "string" ? [aud] : (aud ?? []);
  if (expected.audience !== undefined && !audiences.includes(expected.audience)) return false;
  if (expected.issuer !== undefined && iss !== expected.issuer) return false;
  return origin === undefined || origin === expected.origin;
}
