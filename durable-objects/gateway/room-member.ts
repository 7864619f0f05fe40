import type { Room, RoomPort } from "./room.ts";
import type { VirgaCarrier } from "./virga-carrier.ts";
import type { LobbyGuest } from "./virga-lobby.ts";

/** One machine of a room: its session, and its plug of the switch. */
export class RoomMember implements LobbyGuest, RoomPort {
  readonly carrier: VirgaCarrier;
  readonly #room: Room;
  readonly #now: () => number;

  constructor(carrier: VirgaCarrier, room: Room, now: () => number) {
    this.carrier = carrier;
    this.#room = room;
    this.#now = now;
    room.join(this);
  }

  readonly streamCount = 0;
  get isQuiet(): boolean {
    return this.carrier.isQuiet;
  }

  deliver(frame: Uint8Array): void {
    this.carrier.transmit(frame);
  }

  onMessage(message: Uint8Array | string): void {
    const frames = this.carrier.onMessage(message, this.#now());
    for (const frame of frames) this.#room.onFrame(this, frame, this.#now());
    this.carrier.done(frames, this.#now());
  }

  restart(): void {
    // The machine may be another one: what the switch knew of this plug is void.
    this.#room.leave(this);
    this.#room.join(this);
  }

  onTime(): void {
    this.carrier.flush(this.#now());
  }
  onClosed(): void {
    this.#room.leave(this);
  }
  pollAt(): number | undefined {
    return this.carrier.pollAt();
  }
}
