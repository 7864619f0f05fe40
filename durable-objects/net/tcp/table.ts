import { type Ip, sameIp } from "../wire/address.ts";
import type { IpHeader } from "../wire/ipv4.ts";
import type { FlowId } from "../world.ts";
import type { Connection } from "./connection.ts";
import { limits } from "./limits.ts";

const hash = (guest: number, guestPort: number, peer: number, peerPort: number): number =>
  (Math.imul(guest ^ Math.imul(peer, 0x9e37_79b1), 0x85eb_ca6b) ^
    Math.imul((guestPort << 16) | peerPort, 0xc2b2_ae35)) |
  0;

/** Compares with the addresses of a header where they stand: no object is made for a segment. */
function hasEnds(
  c: Connection,
  view: DataView,
  header: IpHeader,
  guestPort: number,
  peerPort: number,
): boolean {
  if (c.guestPort !== guestPort || c.peerPort !== peerPort || c.guest.version !== header.version)
    return false;
  return holds(c.guest, view, header.source) && holds(c.peer, view, header.destination);
}

function holds(ip: Ip, view: DataView, at: number): boolean {
  if (ip.version === 4) return ip.d === view.getInt32(at);
  return (
    ip.d === view.getInt32(at + 12) &&
    ip.c === view.getInt32(at + 8) &&
    ip.b === view.getInt32(at + 4) &&
    ip.a === view.getInt32(at)
  );
}

/** The four ends of a connection. */
export interface Ends {
  readonly guest: Ip;
  readonly guestPort: number;
  readonly peer: Ip;
  readonly peerPort: number;
}

/** All connections, by their four ends and by their name. */
export class ConnectionTable {
  readonly #buckets = new Map<number, Connection>();
  readonly #byId = new Map<FlowId, Connection>();
  /** The one that was found last: segments come in bursts. */
  #last: Connection | undefined;
  /** In the order in which they came here. */
  readonly #timeWaits = new Set<Connection>();

  /** Connections that are not in TIME-WAIT. */
  get active(): number {
    return this.#byId.size;
  }
  get timeWaits(): number {
    return this.#timeWaits.size;
  }

  get(id: FlowId): Connection | undefined {
    return this.#byId.get(id);
  }

  all(): Iterable<Connection> {
    return this.#byId.values();
  }

  /** The connection of a segment of the guest. */
  find(view: DataView, header: IpHeader, guestPort: number, peerPort: number): Connection | undefined {
    const last = this.#last;
    if (last && hasEnds(last, view, header, guestPort, peerPort)) return last;
    const word = header.version === 4 ? 0 : 12;
    const guest = view.getInt32(header.source + word);
    const peer = view.getInt32(header.destination + word);
    let c = this.#buckets.get(hash(guest, guestPort, peer, peerPort));
    while (c && !hasEnds(c, view, header, guestPort, peerPort)) c = c.chain;
    this.#last = c;
    return c;
  }

  has({ guest, guestPort, peer, peerPort }: Ends): boolean {
    let c = this.#buckets.get(hash(guest.d, guestPort, peer.d, peerPort));
    while (
      c &&
      !(
        c.guestPort === guestPort &&
        c.peerPort === peerPort &&
        sameIp(c.guest, guest) &&
        sameIp(c.peer, peer)
      )
    )
      c = c.chain;
    return c !== undefined;
  }

  add(c: Connection): void {
    const key = hash(c.guest.d, c.guestPort, c.peer.d, c.peerPort);
    c.chain = this.#buckets.get(key);
    this.#buckets.set(key, c);
    this.#byId.set(c.id, c);
  }

  /** The one to drop when there are too many. */
  toTimeWait(c: Connection): Connection | undefined {
    this.#byId.delete(c.id);
    this.#timeWaits.add(c);
    return this.#timeWaits.size > limits.timeWaits ? this.#timeWaits.values().next().value : undefined;
  }

  remove(c: Connection): void {
    if (this.#last === c) this.#last = undefined;
    this.#byId.delete(c.id);
    this.#timeWaits.delete(c);
    const key = hash(c.guest.d, c.guestPort, c.peer.d, c.peerPort);
    const head = this.#buckets.get(key);
    if (head === c) {
      if (c.chain) this.#buckets.set(key, c.chain);
      else this.#buckets.delete(key);
    } else {
      let at = head;
      while (at && at.chain !== c) at = at.chain;
      if (at) at.chain = c.chain;
    }
    c.chain = undefined;
  }
}
