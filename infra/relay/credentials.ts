import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import type { IncomingMessage } from "node:http";
import { readRelayToken } from "../../worker/relay-token.ts";

/** What opens a relay. Both empty: nothing is asked for. */
export interface RelayKeys {
  /** Opens every door. */
  readonly token: string;
  /** Secret of the JWTs that a site mints for its visitors (§5.2 of the relay's protocol): they open UDP only. */
  readonly jwtSecret: string;
}

/** Who may come in. `sid`: there may be one session of that name at a time. */
export interface Client {
  readonly sid: string;
  readonly isNamed: boolean;
}

const someone = (): Client => ({ sid: randomBytes(16).toString("hex"), isNamed: false });
const digest = (text: string): Buffer => createHash("sha256").update(text).digest();

export const needsNothing = ({ token, jwtSecret }: RelayKeys): boolean => token === "" && jwtSecret === "";

/** What the request shows: in its header, or in the query as pages must, whose WebSockets have no headers. */
export function shownBy(request: IncomingMessage): string | undefined {
  const bearer = /^Bearer +(\S+)$/i.exec(request.headers.authorization ?? "")?.[1];
  const { searchParams } = new URL(request.url ?? "/", "http://relay");
  return bearer ?? searchParams.get("token") ?? searchParams.get("apiKey") ?? undefined;
}

/** The session that it says it comes for: the answer of `POST /session`. */
export const idShownBy = (request: IncomingMessage): string | null =>
  new URL(request.url ?? "/", "http://relay").searchParams.get("sessionId");

/** Whether the token that opens everything is shown. */
export function hasToken({ token, jwtSecret }: RelayKeys, shown: string | undefined): boolean {
  if (token === "") return jwtSecret === "";
  return shown !== undefined && timingSafeEqual(digest(token), digest(shown));
}

/** Null: not one of ours. A JWT that names an origin is good for pages of that one only. */
export async function clientOf(
  keys: RelayKeys,
  shown: string | undefined,
  origin: string | undefined,
): Promise<Client | null> {
  if (hasToken(keys, shown)) return someone();
  if (keys.jwtSecret === "" || shown === undefined) return null;
  const expected = origin === undefined ? {} : { origin };
  const claims = await readRelayToken(keys.jwtSecret, shown, Date.now(), expected);
  return claims && { sid: claims.sid, isNamed: true };
}
