import * as z from "zod/mini";
import type { Failure } from "../protocol/failure.ts";

/** A WebSocket address from a path, an http(s) or a ws(s) URL. */
export function webSocketUrl(given: string, origin: string): string {
  const url = new URL(given, origin);
  url.protocol = url.protocol.replace(/^http/, "ws");
  return url.href;
}

/** Errors of the gateway as the wire says them. */
const Refusal = z.object({ error: z.string(), message: z.optional(z.string()) });

/**
 * Asks the gateway for a session, whose cookie the browser keeps for the WebSocket. Null: it is there. `offline`: nobody
 * answered, so trying again may help. Anything else is the server's word.
 */
export async function enterSession(fetcher: typeof fetch, url: string): Promise<Failure | null> {
  let response: Response;
  try {
    response = await fetcher(url, { method: "POST", credentials: "include" });
  } catch {
    return { code: "offline", what: "the tunnel" };
  }
  if (response.ok) {
    await response.body?.cancel();
    return null;
  }
  if (response.status === 429) {
    const seconds = Number(response.headers.get("retry-after"));
    return {
      code: "too-many-requests",
      retryAfterSeconds: Number.isFinite(seconds) && seconds > 0 ? seconds : 60,
    };
  }
  if (response.status >= 500) return { code: "offline", what: "the tunnel" };
  const said = z.safeParse(Refusal, await response.json().catch(() => null));
  const sentence = said.success
    ? (said.data.message ?? said.data.error)
    : `The server answered ${response.status}.`;
  return { code: "tunnel-refused", sentence };
}

/** Asks whether an invite leads into a room: a WebSocket that is refused says nothing. Null: it does, or nobody knows. */
export async function checkInvite(fetcher: typeof fetch, url: string): Promise<Failure | null> {
  const response = await fetcher(url, { credentials: "include" }).catch(() => null);
  await response?.body?.cancel();
  if (response?.status !== 404) return null;
  return { code: "tunnel-refused", sentence: "This invite leads to no network; ask for another one." };
}
