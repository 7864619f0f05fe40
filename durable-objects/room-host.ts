import type { L2Snapshot } from "#protocol/virga-l2-session.ts";
import type { Visit } from "#protocol/visit.ts";
import { type Outlet, noFrames } from "./gateway/carrier.ts";
import { earliest } from "./gateway/door.ts";
import { virgaLan } from "./gateway/l2-guest.ts";
import { RoomMember } from "./gateway/room-member.ts";
import { type LinkConditions, Room, type RoomPort } from "./gateway/room.ts";
import { StackHost } from "./gateway/stack-host.ts";
import { VirgaCarrier } from "./gateway/virga-carrier.ts";
import { type VirgaDoor, VirgaLobby } from "./gateway/virga-lobby.ts";
import type { Lease } from "./net/dhcp-leases.ts";
import { Dhcp } from "./net/dhcp.ts";
import { type Counts, frameCounts } from "./policy/counters.ts";
import type { Presence } from "./presence.ts";
import { Hall } from "./hall.ts";

export interface RoomHostParts {
  readonly env: Env;
  readonly conditions: LinkConditions;
  /** Whether the gateway leads to the internet, and in whose name. */
  readonly internet: boolean;
  readonly owner: Visit;
  readonly presence: Presence;
  /** Names the room to those that its gateway borrows from. */
  readonly holder: string;
  /** Of the gateway's DHCP server, from before the object slept. */
  readonly leases: readonly Lease[];
  readonly onLeases: (leases: readonly Lease[]) => void;
  /** Something came from the world or a timer: sockets may change. */
  readonly onWork: () => void;
}

/** A room that runs: a switch, its members' sessions, and a gateway on a plug of its own. */
export class RoomHost {
  readonly #counts = noFrames();
  readonly #hall: Hall;
  readonly #lobby: VirgaLobby<RoomMember>;
  readonly #room: Room;
  readonly #gateway: StackHost;
  readonly #gatewayPort: RoomPort;
  readonly #dhcp: Dhcp;
  readonly #onLeases: RoomHostParts["onLeases"];
  #keptRevision = 0;

  constructor(parts: RoomHostParts) {
    const { env, conditions, internet, owner, presence, holder, leases, onLeases, onWork } = parts;
    this.#dhcp = new Dhcp(virgaLan, leases);
    this.#onLeases = onLeases;
    this.#room = new Room(conditions);
    this.#hall = new Hall({ env, afterTurn: onWork, isOpen: internet, presence, holder });
    this.#hall.visit = owner;
    this.#gatewayPort = { deliver: (frame) => this.#gateway.onFrame(frame) };
    this.#gateway = new StackHost({
      ...this.#hall.stackParts(virgaLan, onWork, () => {}, this.#dhcp),
      transmit: (frame) => this.#room.onFrame(this.#gatewayPort, frame, Date.now()),
      isRoomy: () => this.#isRoomy(),
    });
    this.#room.join(this.#gatewayPort);
    this.#lobby = new VirgaLobby({
      make: (onOpen, snapshot) =>
        new RoomMember(new VirgaCarrier(this.#counts, onOpen, snapshot), this.#room, Date.now),
      freshSession: () => crypto.getRandomValues(new Uint8Array(16)),
      now: Date.now,
      onOpen: (member) => this.#hall.greet(member.carrier),
    });
  }

  open(outlet: Outlet): VirgaDoor {
    return this.#lobby.open(outlet);
  }
  reopen(outlet: Outlet, snapshot: L2Snapshot): VirgaDoor {
    return this.#lobby.reopen(outlet, snapshot);
  }

  get isQuiet(): boolean {
    return this.#lobby.isQuiet && this.#room.isQuiet && this.#gateway.isQuiet;
  }
  pollAt(): number | undefined {
    return earliest(this.#lobby.pollAt(), this.#room.pollAt(), this.#gateway.stack.pollAt());
  }
  onTime(): void {
    this.#lobby.onTime();
    this.#room.onTime(Date.now());
  }

  /** While one member does not read, the gateway does not read from the world. */
  #isRoomy(): boolean {
    for (const { carrier } of this.#lobby.guests) if (!carrier.isRoomy) return false;
    return true;
  }

  /** What one member sends reaches others, and what the gateway says reaches all: everyone's frames go out. */
  settle(): void {
    this.#gateway.settle();
    if (this.#dhcp.revision !== this.#keptRevision) {
      this.#keptRevision = this.#dhcp.revision;
      this.#onLeases(this.#dhcp.memory());
    }
    for (const { carrier } of this.#lobby.guests) carrier.flush(Date.now());
  }

  onPulse(): void {
    this.#hall.onPulse();
  }
  get gateway(): StackHost {
    return this.#gateway;
  }
  get unanswered(): Hall["unanswered"] {
    return this.#hall.unanswered;
  }
  get logPort(): Hall["logPort"] {
    return this.#hall.logPort;
  }
  get flowCount(): number {
    return this.#gateway.flowCount;
  }
  get udpFlows(): number {
    return this.#hall.udpFlows;
  }
  /** Members who are not wanted any more. */
  dismiss(doors: Iterable<VirgaDoor>): void {
    this.#lobby.dismiss(doors);
  }
  /** Every connection to the world ends; the room goes on. */
  endFlows(): void {
    this.#gateway.resetFlows();
  }

  counts(): Counts {
    return { ...frameCounts(this.#counts), ...this.#hall.counts() };
  }
  metrics() {
    return { ...this.#counts, ...this.#room.counts, flows: this.#gateway.flowCount };
  }
}
