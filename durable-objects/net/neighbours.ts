import type { Ip } from "./wire/address.ts";
import type { Mac } from "./wire/ethernet.ts";

/** More machines than a LAN has leases for; the one that was silent longest goes first. */
const MAX_NEIGHBOURS = 256;
/** Frames that wait for one address to be resolved (RFC 1122 §2.3.2.2 wants one at least), and for all of them. */
const MAX_WAITING_EACH = 3;
const MAX_WAITING_ADDRESSES = 16;
/** RFC 4861 §10: MAX_MULTICAST_SOLICIT and RETRANS_TIMER; ARP has no numbers of its own. */
const SOLICITATIONS = 3;
const SOLICIT_MS = 1000;

interface Waiting {
  readonly ip: Ip;
  readonly frames: Uint8Array[];
  asked: number;
  askAgainAt: number;
}

/** Who has which address: the ARP table and the neighbour cache in one. Learned from everything that a guest sends. */
export class Neighbours {
  readonly #ipv4 = new Map<number, Mac>();
  readonly #ipv6 = new Map<string, Mac>();
  readonly #waiting = new Map<string, Waiting>();
  /** Asks for an address, by ARP or by a neighbour solicitation. */
  readonly #solicit: (ip: Ip) => void;
  readonly #transmit: (frame: Uint8Array) => void;

  constructor(solicit: (ip: Ip) => void, transmit: (frame: Uint8Array) => void) {
    this.#solicit = solicit;
    this.#transmit = transmit;
  }

  macOf(ip: Ip): Mac | undefined {
    return ip.version === 4 ? this.#ipv4.get(ip.d) : this.#ipv6.get(ip.text);
  }

  /** The IPv4 address of a machine as its word; undefined: it has not spoken, or not by IPv4. The last that it had. */
  ipv4Of(mac: Mac): number | undefined {
    let found: number | undefined;
    for (const [word, known] of this.#ipv4) if (known === mac) found = word;
    return found;
  }

  /** Asks for an address, unless it is known or asked for already. */
  seek(ip: Ip, nowMs: number): void {
    if (this.macOf(ip) === undefined && !this.#waiting.has(ip.text)) this.#await(ip, [], nowMs);
  }

  learn(ip: Ip, mac: Mac): void {
    if (ip.version === 4) put(this.#ipv4, ip.d, mac);
    else put(this.#ipv6, ip.text, mac);
    const waiting = this.#waiting.get(ip.text);
    if (!waiting) return;
    this.#waiting.delete(ip.text);
    for (const frame of waiting.frames) {
      new DataView(frame.buffer, frame.byteOffset).setUint16(0, Math.floor(mac / 0x1_0000_0000));
      new DataView(frame.buffer, frame.byteOffset).setUint32(2, mac >>> 0);
      this.#transmit(frame);
    }
  }

  /** Keeps a frame whose receiver's hardware address is not known yet, and asks for it. */
  hold(ip: Ip, frame: Uint8Array, nowMs: number): void {
    const known = this.#waiting.get(ip.text);
    if (known) {
      if (known.frames.length < MAX_WAITING_EACH) known.frames.push(frame);
      return;
    }
    this.#await(ip, [frame], nowMs);
  }

  #await(ip: Ip, frames: Uint8Array[], nowMs: number): void {
    if (this.#waiting.size >= MAX_WAITING_ADDRESSES) return;
    this.#waiting.set(ip.text, { ip, frames, asked: 1, askAgainAt: nowMs + SOLICIT_MS });
    this.#solicit(ip);
  }

  onTime(nowMs: number): void {
    for (const [text, waiting] of this.#waiting) {
      if (waiting.askAgainAt > nowMs) continue;
      if (waiting.asked >= SOLICITATIONS) {
        this.#waiting.delete(text);
        continue;
      }
      waiting.asked++;
      waiting.askAgainAt = nowMs + SOLICIT_MS;
      this.#solicit(waiting.ip);
    }
  }

  pollAt(): number {
    let soonest = Infinity;
    for (const { askAgainAt } of this.#waiting.values()) soonest = Math.min(soonest, askAgainAt);
    return soonest;
  }
}

function put<Key>(map: Map<Key, Mac>, key: Key, mac: Mac): void {
  if (map.get(key) === mac) return;
  map.delete(key);
  map.set(key, mac);
  if (map.size > MAX_NEIGHBOURS) map.delete(map.keys().next().value!);
}
