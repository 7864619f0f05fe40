import type { L2Snapshot } from "#protocol/virga-l2-session.ts";
import { decodeL2 } from "#protocol/virga-l2.ts";
import type { Outlet } from "./carrier.ts";
import { type Door, earliest } from "./door.ts";
import type { VirgaCarrier } from "./virga-carrier.ts";

/** Somebody at the other end of a `virga-l2-v1` session: a guest with its own LAN, or a member of a room. */
export interface LobbyGuest extends Door {
  readonly carrier: VirgaCarrier;
  /** The session begins anew: what belonged to the last one is void. */
  restart(): void;
}
export interface LobbyParts<G> {
  readonly make: (onOpen: (resumed: boolean) => void, snapshot?: L2Snapshot) => G;
  /** 16 bytes of chance. */
  readonly freshSession: () => Uint8Array;
  readonly now: () => number;
  /** A session has begun or goes on: the page wants to be told how things stand. */
  readonly onOpen: (guest: G) => void;
}

const hex = (bytes: Uint8Array): string =>
  Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");

/** All `virga-l2-v1` sessions of one object, with and without a socket: a new socket's HELLO says whose it is. */
export class VirgaLobby<G extends LobbyGuest> {
  readonly #parts: LobbyParts<G>;
  /** Bounded by the sockets that the object lets in and the minute for which a session without one is kept. */
  readonly #guests = new Set<G>();

  constructor(parts: LobbyParts<G>) {
    this.#parts = parts;
  }

  get guests(): Iterable<G> {
    return this.#guests;
  }
  /** No session waits for its next socket. */
  get isQuiet(): boolean {
    for (const { carrier } of this.#guests) if (!carrier.outlet) return false;
    return true;
  }

  find(sessionId: string): G | undefined {
    for (const guest of this.#guests) if (guest.carrier.sessionId === sessionId) return guest;
    return undefined;
  }

  #make(snapshot?: L2Snapshot): G {
    const onOpen = (resumed: boolean): void => {
      if (!resumed) guest.restart();
      this.#parts.onOpen(guest);
    };
    const guest: G = this.#parts.make(onOpen, snapshot);
    this.#guests.add(guest);
    return guest;
  }

  /** The door of a new socket. */
  open(outlet: Outlet): VirgaDoor {
    return new VirgaDoor(outlet, (message) => this.#enter(message, outlet));
  }

  /** The door of a socket that was there while the object slept; its session was quiet. */
  reopen(outlet: Outlet, snapshot: L2Snapshot): VirgaDoor {
    const guest = this.#make(snapshot);
    guest.carrier.adopt(outlet);
    return new VirgaDoor(outlet, (message) => this.#enter(message, outlet), guest);
  }

  #enter(message: Uint8Array | string, outlet: Outlet): G {
    const hello = typeof message === "string" ? null : decodeL2(message);
    const known = hello?.ok && hello.value.type === "hello" ? this.find(hex(hello.value.session)) : undefined;
    const guest = known ?? this.#make();
    guest.carrier.attach(outlet, this.#parts.freshSession());
    return guest;
  }

  /** The sessions of these doors end now, with everything that is open in them. */
  dismiss(doors: Iterable<VirgaDoor>): void {
    const now = this.#parts.now();
    for (const door of doors) {
      const guest = door.entered as G | undefined;
      if (!guest || !this.#guests.delete(guest)) continue;
      guest.carrier.detach(now);
      guest.onClosed(now);
    }
  }
  /** All that wait for their next socket. */
  dismissAbsent(): void {
    for (const guest of this.#guests) {
      if (guest.carrier.outlet) continue;
      this.#guests.delete(guest);
      guest.onClosed(this.#parts.now());
    }
  }

  /** Sessions without a socket end after a minute. */
  onTime(): void {
    const now = this.#parts.now();
    for (const guest of this.#guests) {
      if (guest.carrier.outlet) continue;
      if (guest.carrier.sessionId !== undefined && !guest.carrier.isExpired(now)) guest.onTime();
      else {
        guest.onClosed(now);
        this.#guests.delete(guest);
      }
    }
  }

  /** When a session without a socket wants `onTime`. */
  pollAt(): number | undefined {
    let at: number | undefined;
    for (const guest of this.#guests)
      if (!guest.carrier.outlet) at = earliest(at, guest.pollAt(), guest.carrier.expiresAt);
    return at;
  }
}

/** One socket of a session. */
export class VirgaDoor implements Door {
  readonly #outlet: Outlet;
  readonly #enter: (message: Uint8Array | string) => LobbyGuest;
  #entered: LobbyGuest | undefined;

  constructor(outlet: Outlet, enter: (message: Uint8Array | string) => LobbyGuest, guest?: LobbyGuest) {
    this.#outlet = outlet;
    this.#enter = enter;
    this.#entered = guest;
  }

  /** Whose socket this is, or was. */
  get entered(): LobbyGuest | undefined {
    return this.#entered;
  }
  /** Undefined before the first message, and when another socket has taken over. */
  get #guest(): LobbyGuest | undefined {
    return this.#entered?.carrier.outlet === this.#outlet ? this.#entered : undefined;
  }
  get streamCount(): number {
    return this.#guest?.streamCount ?? 0;
  }
  get isQuiet(): boolean {
    return this.#guest?.isQuiet ?? true;
  }
  snapshot(): L2Snapshot | undefined {
    return this.#guest?.carrier.snapshot();
  }

  onMessage(message: Uint8Array | string): void {
    this.#entered ??= this.#enter(message);
    this.#guest?.onMessage(message);
  }
  /** The session waits for its next socket; the lobby forgets it in time. */
  onClosed(nowMs: number): void {
    this.#guest?.carrier.detach(nowMs);
  }
  onTime(): void {
    this.#guest?.onTime();
  }
  pollAt(): number | undefined {
    return this.#guest?.pollAt();
  }
}
