import type { IncomingMessage } from "node:http";
import type { RawData, WebSocket } from "ws";
import { type RelayControl, type RelayError, readRelayText } from "#protocol/udp-relay.ts";
import { type Client, type RelayKeys, clientOf, idShownBy, needsNothing, shownBy } from "./credentials.ts";

/** Sessions of datagrams at a time, whatever carries them. */
const MAX_SESSIONS = 256;
/** For the credential to come. */
const AUTH_MS = 10_000;
const PING_MS = 20_000;

/** `POST /session` keeps a place for so long, and at most so many: whoever asks for places leaves most of them to others. */
const RESERVED_MS = 60_000;
const MAX_RESERVED = 64;

type NoPlace = "too_many_sessions" | "session_already_active";

/** Sessions by their ids: of the name in a token there is one at a time (§7.3 of the relay's protocol). */
export class UdpSessions {
  readonly #now: () => number;
  readonly #active = new Set<string>();
  #count = 0;
  /** Until when a place is kept for the session of this id, the first to end in front. */
  readonly #reserved = new Map<string, number>();

  constructor(now: () => number = Date.now) {
    this.#now = now;
  }

  /** Keeps a place for a minute, for the client's one session of its name or for who shows the id. */
  reserve(client: Client): "reserved" | NoPlace {
    this.#forgetLate();
    if (this.#isTaken(client) || this.#reserved.has(client.sid)) return "session_already_active";
    if (this.#isFull || this.#reserved.size >= MAX_RESERVED) return "too_many_sessions";
    this.#reserved.set(client.sid, this.#now() + RESERVED_MS);
    return "reserved";
  }

  /** A client without a name that shows the id of a place that is kept comes for that one. */
  claimed(client: Client, id: string | null): Client {
    this.#forgetLate();
    return client.isNamed || id === null || !this.#reserved.has(id) ? client : { ...client, sid: id };
  }

  /** Takes a place, to be given back once. */
  enter(client: Client): { readonly leave: () => void } | NoPlace {
    this.#forgetLate();
    if (this.#isTaken(client)) return "session_already_active";
    if (!this.#reserved.delete(client.sid) && this.#isFull) return "too_many_sessions";
    if (client.isNamed) this.#active.add(client.sid);
    this.#count++;
    let isIn = true;
    const leave = (): void => {
      if (!isIn) return;
      isIn = false;
      this.#count--;
      if (client.isNamed) this.#active.delete(client.sid);
    };
    return { leave };
  }

  get #isFull(): boolean {
    return this.#count + this.#reserved.size >= MAX_SESSIONS;
  }
  #isTaken({ isNamed, sid }: Client): boolean {
    return isNamed && this.#active.has(sid);
  }
  #forgetLate(): void {
    for (const [id, untilMs] of this.#reserved) {
      if (untilMs > this.#now()) return;
      this.#reserved.delete(id);
    }
  }
}

export const sentences: Readonly<Record<Exclude<RelayError, "unsupported_destination">, string>> = {
  unauthorized: "The credential is missing or not valid.",
  too_many_sessions: "This relay has as many sessions as it takes.",
  session_already_active: "This session is open already.",
};

/**
 * Lets a WebSocket of `/udp` in: a credential in the request or in the first message, a place, a ping every 20 s. Null: it
 * has been told why not, and closed. The socket is handed over paused, so that nothing of it is lost.
 */
export async function admitUdp(
  keys: RelayKeys,
  sessions: UdpSessions,
  request: IncomingMessage,
  socket: WebSocket,
): Promise<Client | null> {
  socket.on("error", () => {});
  const refuse = (code: keyof typeof sentences): null => {
    const told: RelayControl = { type: "error", code, message: sentences[code] };
    socket.send(JSON.stringify(told));
    socket.close(1008, code);
    socket.resume();
    return null;
  };
  const shown = shownBy(request) ?? (needsNothing(keys) ? undefined : await firstCredential(socket));
  // The next message is for who takes the socket over.
  socket.pause();
  const someone = await clientOf(keys, shown, request.headers.origin);
  if (socket.readyState !== socket.OPEN) return null;
  if (!someone) return refuse("unauthorized");
  const client = sessions.claimed(someone, idShownBy(request));
  const place = sessions.enter(client);
  if (typeof place === "string") return refuse(place);
  socket.on("close", place.leave);
  keepAlive(socket);
  return client;
}

/** Undefined: something else came first, or nothing in time. */
async function firstCredential(socket: WebSocket): Promise<string | undefined> {
  return new Promise((resolve) => {
    const done = (shown: string | undefined): void => {
      clearTimeout(timer);
      socket.pause();
      socket.off("message", onMessage).off("close", onClose);
      resolve(shown);
    };
    const onMessage = (message: RawData, isBinary: boolean): void => {
      const said = isBinary ? null : readRelayText((message as Buffer).toString());
      done(said?.type === "auth" ? (said.token ?? said.apiKey) : undefined);
    };
    const onClose = (): void => done(undefined);
    const timer = setTimeout(onClose, AUTH_MS);
    socket.on("message", onMessage).on("close", onClose);
  });
}

function keepAlive(socket: WebSocket): void {
  let isAnswered = true;
  socket.on("pong", () => (isAnswered = true));
  const timer = setInterval(() => {
    if (!isAnswered) return socket.close(1001, "ping timeout");
    isAnswered = false;
    return socket.ping();
  }, PING_MS);
  socket.on("close", () => clearInterval(timer));
}
