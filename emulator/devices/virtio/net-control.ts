import type { VirtioPort } from "./pci-transport.ts";
import { gather, scatter, type Chain } from "./virtqueue.ts";

/**
 * The control queue of a network card (virtio 1.2 §5.1.6.5) and what it decides: which frames the card takes. Until the
 * driver has said anything, all of them.
 */
const Class = { receive: 0, mac: 1 } as const;
const Receive = {
  promiscuous: 0,
  allMulticast: 1,
  allUnicast: 2,
  noMulticast: 3,
  noUnicast: 4,
  noBroadcast: 5,
} as const;
const Mac = { table: 0, address: 1 } as const;
const OK = 0;
const ERROR = 1;
const MAC_BYTES = 6;
/** Longer tables are answered by taking everything of their kind, as cards do whose filter is full. */
const MAX_ADDRESSES = 64;
const MAX_COMMAND_BYTES = 2 + 8 + 2 * MAX_ADDRESSES * MAC_BYTES;

const key = (bytes: Uint8Array, at: number): string => bytes.subarray(at, at + MAC_BYTES).join(":");

export class ReceiveFilter {
  /** Six bytes; the driver may set another. */
  readonly mac: Uint8Array;
  readonly #port: VirtioPort;
  readonly #burnedIn: Uint8Array;
  /** By number of the receive command. */
  readonly #modes = new Uint8Array(6);
  readonly #addresses = new Set<string>();
  /** The table was too long. */
  #overflow = false;

  constructor(port: VirtioPort, mac: Uint8Array) {
    this.#port = port;
    this.#burnedIn = mac.slice();
    this.mac = mac.slice();
    this.reset();
  }

  reset(): void {
    this.mac.set(this.#burnedIn);
    this.#modes.fill(0);
    this.#modes[Receive.promiscuous] = 1;
    this.#addresses.clear();
    this.#overflow = false;
  }

  accepts(frame: Uint8Array): boolean {
    const modes = this.#modes;
    if (frame.length < 14) return false;
    if (modes[Receive.promiscuous]) return true;
    const group = (frame[0]! & 1) !== 0;
    const address = key(frame, 0);
    if (address === "255:255:255:255:255:255") return !modes[Receive.noBroadcast];
    if (group)
      return (
        !modes[Receive.noMulticast] &&
        (modes[Receive.allMulticast] !== 0 || this.#overflow || this.#addresses.has(address))
      );
    if (modes[Receive.noUnicast]) return false;
    const mine = this.mac.every((byte, i) => byte === frame[i]);
    return mine || modes[Receive.allUnicast] !== 0 || this.#overflow || this.#addresses.has(address);
  }

  serve(index: number): void {
    const queue = this.#port.queues[index]!;
    queue.drain((chain) => {
      if (chain.writableBytes < 1) queue.values.BROKEN = 1;
      else {
        scatter(this.#port.memory, chain.writable, 0, Uint8Array.of(this.#obey(chain)));
        this.#port.complete(index, chain.head, 1);
      }
      return true;
    });
  }

  #obey({ readable, readableBytes }: Chain): number {
    if (readableBytes < 2 || readableBytes > MAX_COMMAND_BYTES) return this.#tooLong(readable, readableBytes);
    const command = gather(this.#port.memory, readable, 0, readableBytes);
    const [kind = 0, what = 0] = command;
    const rest = command.subarray(2);
    if (kind === Class.receive && what in this.#modes && rest.length === 1) {
      this.#modes[what] = Math.min(rest[0]!, 1);
      return OK;
    }
    if (kind === Class.mac && what === Mac.address && rest.length === MAC_BYTES) {
      this.mac.set(rest);
      return OK;
    }
    if (kind === Class.mac && what === Mac.table) return this.#setTable(rest);
    return ERROR;
  }

  /** Two lists, unicast and multicast, each a little-endian count and so many addresses. */
  #setTable(tables: Uint8Array): number {
    const view = new DataView(tables.buffer, tables.byteOffset, tables.length);
    const found: string[] = [];
    let at = 0;
    for (let list = 0; list < 2; list++) {
      if (at + 4 > tables.length) return ERROR;
      const count = view.getUint32(at, true);
      at += 4;
      if (count > (tables.length - at) / MAC_BYTES) return ERROR;
      for (let i = 0; i < count; i++, at += MAC_BYTES) found.push(key(tables, at));
    }
    this.#overflow = false;
    this.#addresses.clear();
    for (const address of found) this.#addresses.add(address);
    return OK;
  }

  /** A table that is longer than the filter; anything else of that length is no command. */
  #tooLong(readable: Chain["readable"], bytes: number): number {
    if (bytes < 2) return ERROR;
    const [kind, what] = gather(this.#port.memory, readable, 0, 2);
    if (kind !== Class.mac || what !== Mac.table) return ERROR;
    this.#addresses.clear();
    this.#overflow = true;
    return OK;
  }
}
