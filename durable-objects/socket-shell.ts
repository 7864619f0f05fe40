import * as z from "zod/mini";
import { aeroL2Limits, encodeAeroL2 } from "#protocol/aero-l2.ts";
import { L2Snapshot } from "#protocol/virga-l2-session.ts";
import { byeCodes, encodeL2 } from "#protocol/virga-l2.ts";
import { VISIT_HEADER, Visit } from "#protocol/visit.ts";
import { closeReason } from "#protocol/wire-bytes.ts";
import type { LateOutlet, Outlet } from "./gateway/carrier.ts";
import { type Door, earliest } from "./gateway/door.ts";
import { VirgaDoor } from "./gateway/virga-lobby.ts";

/** What a socket keeps while its object sleeps. Without a snapshot its session was not quiet, and cannot be gone on with. */
const Attachment = z.strictObject({ visit: Visit, snapshot: z.optional(L2Snapshot) });
type Attachment = z.infer<typeof Attachment>;

/** A timer that is due within this waits for the one that is already set. */
const SLACK_MS = 1;

export interface ShellParts {
  readonly ctx: DurableObjectState;
  readonly maxSockets: number;
  /** The door of a new socket, or of one that was there while the object slept. */
  readonly open: (visit: Visit, outlet: Outlet, isWaking: boolean) => Door;
  /** A socket of a quiet virga-l2-v1 session that was there while the object slept. */
  readonly reopen: (visit: Visit, outlet: Outlet, snapshot: L2Snapshot) => VirgaDoor;
  /** What else has timers: sessions that wait for their next socket. Undefined: nothing. */
  readonly pollAt: () => number | undefined;
  readonly onTime: () => void;
  /** Whether everything beside the sockets' own doors is quiet. */
  readonly isQuiet: () => boolean;
}

/**
 * The hibernating sockets of an object, each behind a door, and their timers. While something is under way there is one
 * `setTimeout`; when all is quiet there is none, but an alarm if a timer is wanted later, and what a session needs to go on
 * lies in its socket's attachment, so that the object may sleep.
 */
export class SocketShell {
  readonly #parts: ShellParts;
  readonly #doors = new Map<WebSocket, Door>();
  /** Sockets whose attachment holds the snapshot of a quiet session. */
  readonly #resting = new Set<WebSocket>();
  #timer: { readonly id: ReturnType<typeof setTimeout>; readonly atMs: number } | undefined;
  #alarmAtMs: number | undefined;

  constructor(parts: ShellParts) {
    this.#parts = parts;
  }

  get socketCount(): number {
    return this.#doors.size;
  }
  get doors(): Iterable<Door> {
    return this.#doors.values();
  }
  /** Whose sockets they are. */
  get visits(): Visit[] {
    return Array.from(this.#doors.keys(), (socket) => (socket.deserializeAttachment() as Attachment).visit);
  }

  /** The operator does not want these visitors: they are told so, in the words of their protocol, and their doors closed. */
  hangUp(isMeant: (visit: Visit) => boolean, sentence: string): Door[] {
    const closed: Door[] = [];
    for (const [socket, door] of this.#doors) {
      const { visit } = socket.deserializeAttachment() as Attachment;
      if (!isMeant(visit)) continue;
      const outlet = outletOf(socket);
      const parting = partingOf(visit.door, sentence);
      if (parting) outlet.send(parting);
      this.onGone(socket);
      outlet.close(POLICY_VIOLATION, closeReason(sentence));
      closed.push(door);
    }
    return closed;
  }

  /** Takes over the sockets that were there while the object slept. */
  wake(): void {
    for (const socket of this.#parts.ctx.getWebSockets()) this.#wake(socket);
  }

  #wake(socket: WebSocket): void {
    const attachment = Attachment.safeParse(socket.deserializeAttachment());
    if (!attachment.success) return socket.close(1011, "lost");
    const { visit, snapshot } = attachment.data;
    const outlet = outletOf(socket);
    if (visit.door === "virga" && snapshot) {
      this.#doors.set(socket, this.#parts.reopen(visit, outlet, snapshot));
      this.#resting.add(socket);
    } else if (visit.door === "virga" || visit.door === "tcp") {
      // Its session, or its one connection, went with the memory of this object.
      socket.close(1012, "begin anew");
    } else this.#doors.set(socket, this.#parts.open(visit, outlet, true));
    return undefined;
  }

  /** Answers an upgrade that the Worker has let through. `ready`: a door that was made beforehand. */
  accept(
    visit: Visit,
    request: Request,
    ready?: { readonly door: Door; readonly outlet: LateOutlet },
  ): Response {
    if (this.#doors.size >= this.#parts.maxSockets)
      return new Response("too many connections of this session", { status: 429 });
    const { 0: client, 1: server } = new WebSocketPair();
    this.#parts.ctx.acceptWebSocket(server);
    server.serializeAttachment({ visit } satisfies Attachment);
    const outlet = outletOf(server);
    this.#doors.set(server, ready?.door ?? this.#parts.open(visit, outlet, false));
    ready?.outlet.attach(outlet);
    this.afterTurn();
    const protocol = request.headers.get("sec-websocket-protocol");
    const headers = new Headers(protocol ? { "sec-websocket-protocol": protocol } : {});
    return new Response(null, { status: 101, webSocket: client, headers });
  }

  onMessage(socket: WebSocket, message: ArrayBuffer | string): void {
    const door = this.#doors.get(socket);
    if (!door) return;
    this.#rouse(socket);
    door.onMessage(typeof message === "string" ? message : new Uint8Array(message));
    this.afterTurn();
  }

  onClose(socket: WebSocket, code: number): void {
    this.onGone(socket);
    // 1005 and 1006 are never sent (RFC 6455 §7.4.1).
    socket.close(code === 1005 || code === 1006 ? 1000 : code);
  }

  onGone(socket: WebSocket): void {
    this.#doors.get(socket)?.onClosed(Date.now());
    this.#doors.delete(socket);
    this.#resting.delete(socket);
    this.afterTurn();
  }

  onAlarm(): void {
    this.#alarmAtMs = undefined;
    this.#onTime();
  }

  #onTime(): void {
    const now = Date.now();
    for (const [socket, door] of this.#doors) {
      const at = door.pollAt();
      if (at === undefined || at > now) continue;
      this.#rouse(socket);
      door.onTime();
    }
    this.#parts.onTime();
    this.afterTurn();
  }

  /** At the end of everything that happened. */
  afterTurn(): void {
    let at = this.#parts.pollAt();
    let isQuiet = this.#parts.isQuiet();
    for (const door of this.#doors.values()) {
      at = earliest(at, door.pollAt());
      isQuiet &&= door.isQuiet;
    }
    if (isQuiet) return this.#rest(at);
    if (at === undefined || (this.#timer && this.#timer.atMs <= at + SLACK_MS)) return;
    clearTimeout(this.#timer?.id ?? null);
    const fire = (): void => {
      this.#timer = undefined;
      this.#onTime();
    };
    this.#timer = { id: setTimeout(fire, Math.max(0, at - Date.now())), atMs: at };
  }

  #rest(wakeAtMs: number | undefined): void {
    clearTimeout(this.#timer?.id ?? null);
    this.#timer = undefined;
    for (const [socket, door] of this.#doors) {
      if (!(door instanceof VirgaDoor) || this.#resting.has(socket)) continue;
      const snapshot = door.snapshot();
      if (!snapshot) continue;
      const { visit } = socket.deserializeAttachment() as Attachment;
      socket.serializeAttachment({ visit, snapshot } satisfies Attachment);
      this.#resting.add(socket);
    }
    if (wakeAtMs === undefined || (this.#alarmAtMs !== undefined && this.#alarmAtMs <= wakeAtMs)) return;
    this.#alarmAtMs = wakeAtMs;
    void this.#parts.ctx.storage.setAlarm(wakeAtMs);
  }

  /** Before a quiet session changes, its snapshot is void. */
  #rouse(socket: WebSocket): void {
    if (!this.#resting.delete(socket)) return;
    const { visit } = socket.deserializeAttachment() as Attachment;
    socket.serializeAttachment({ visit } satisfies Attachment);
  }

  /** Sessions are about to change for another reason than a message of their own socket. */
  rouseAll(): void {
    for (const socket of this.#resting) this.#rouse(socket);
  }
}

/** RFC 6455 §7.4.1. */
const POLICY_VIOLATION = 1008;

/** What a protocol says before it closes for good, where it has words for that. */
function partingOf(door: Visit["door"], sentence: string): Uint8Array | undefined {
  if (door === "virga") return encodeL2.bye(byeCodes.internetOff, sentence);
  return door === "aero"
    ? encodeAeroL2.error("auth_invalid", sentence, aeroL2Limits.maxControlPayloadBytes)
    : undefined;
}

/** Throws when the header is not there: only the Worker can ask an object. */
export const readVisit = (request: Request): Visit =>
  Visit.parse(JSON.parse(request.headers.get(VISIT_HEADER) ?? "null"));

export const outletOf = (socket: WebSocket): Outlet => ({
  send(message) {
    try {
      socket.send(message);
    } catch {
      // The socket is closing: webSocketClose tells the door.
    }
  },
  close(code, reason) {
    try {
      socket.close(code, reason);
    } catch {
      // It is closed already.
    }
  },
});
