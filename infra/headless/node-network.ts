/** The network of a machine in this terminal: the stack of the tunnel in this process, with real sockets behind it. */
import { createSocket, type Socket as DatagramSocket } from "node:dgram";
import { randomBytes } from "node:crypto";
import { connect, type Socket } from "node:net";
import type { FrameLink } from "#protocol/frame-link.ts";
import { HOST_ALIAS as HOST, HOST_NAME, LOOPBACK } from "../../durable-objects/gateway/host-alias.ts";
import { Dhcp } from "../../durable-objects/net/dhcp.ts";
import { Resolver } from "../../durable-objects/net/dns.ts";
import { parseIp } from "../../durable-objects/net/ip-text.ts";
import { largeLan } from "../../durable-objects/net/lan.ts";
import { Ntp } from "../../durable-objects/net/ntp.ts";
import { Stack } from "../../durable-objects/net/stack.ts";
import type {
  Address,
  Endpoint,
  FlowId,
  FlowTarget,
  NetworkStack,
  Refusal,
  World,
} from "../../durable-objects/net/world.ts";
import { classOf } from "../../durable-objects/policy/address-class.ts";
import { type Cidr, isIn } from "../../durable-objects/policy/cidr.ts";
import { askServers } from "./node-resolver.ts";

export interface NodeNetworkOptions {
  /** The network's end of the card's wire. */
  readonly link: FrameLink;
  /** Ranges that are reached though they are not public. `host.virga.internal` is this host's loopback. */
  readonly allow?: readonly Cidr[];
  /** A destination that may not be reached, once each. */
  readonly onProhibited?: (address: Address) => void;
}

/** Frames for the guest that found no room in the wire; more are lost, and sent again by the stack. */
const MAX_WAITING_FRAMES = 1024;
/** Associations of UDP: one socket for each port of the guest. */
const MAX_DATAGRAM_SOCKETS = 256;
const DATAGRAM_IDLE_MS = 60_000;

const refusals: Readonly<Record<string, Refusal>> = {
  ECONNREFUSED: "refused",
  ETIMEDOUT: "timeout",
  EHOSTUNREACH: "unreachable",
  ENETUNREACH: "unreachable",
};

interface Flow {
  readonly socket: Socket;
  connected: boolean;
  ended: boolean;
}

/** The MAC of a machine: locally administered, the same for the same name. */
export function macOf(name: string): Uint8Array {
  // FNV-1a over the name, 40 bits of it.
  let hash = 0xcbf2_9ce4_8422_2325n;
  for (const byte of new TextEncoder().encode(name))
    hash = ((hash ^ BigInt(byte)) * 0x100_0000_01b3n) & 0xffff_ffff_ffff_ffffn;
  return Uint8Array.from({ length: 6 }, (_, i) => (i === 0 ? 0x02 : Number((hash >> BigInt(8 * i)) & 0xffn)));
}

export class NodeNetwork implements World {
  readonly stack: NetworkStack;
  readonly #options: NodeNetworkOptions;
  readonly #flows = new Map<FlowId, Flow>();
  readonly #datagrams = new Map<string, { readonly socket: DatagramSocket; usedMs: number }>();
  readonly #waiting: Uint8Array[] = [];
  readonly #prohibited = new Set<Address>();
  readonly #leased = Promise.withResolvers<void>();
  readonly #dhcp: Dhcp;
  #timer: NodeJS.Timeout | undefined;
  #timerAt = Infinity;
  #closed = false;

  constructor(options: NodeNetworkOptions) {
    this.#options = options;
    const config = { ...largeLan, secret: randomBytes(32), epochMs: Date.now() - performance.now() };
    this.#dhcp = new Dhcp(config);
    const services = {
      dhcp: this.#dhcp,
      dns: new Resolver({
        ...config,
        resolve: (query, message) => this.resolve(query, message),
        hosts: (nowMs) => [{ hostName: HOST_NAME, address: HOST }, ...this.#dhcp.leases(nowMs)],
      }),
      udp: [new Ntp(config.epochMs)],
    };
    this.stack = new Stack(config, services, this, { takesQuic: true });
    options.link.listen(() => this.#hear());
    this.#hear();
  }

  /** Resolves when a guest has an address by DHCP. */
  get leased(): Promise<void> {
    return this.#leased.promise;
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#options.link.close();
    for (const { socket } of this.#flows.values()) socket.destroy();
    for (const { socket } of this.#datagrams.values()) socket.close();
  }

  transmit(frame: Uint8Array): void {
    const { link } = this.#options;
    if (this.#waiting.length === 0 && link.send(frame)) return;
    if (this.#waiting.length < MAX_WAITING_FRAMES) this.#waiting.push(frame);
  }

  dial(id: FlowId, target: FlowTarget): void {
    const address = this.#reached(target.address);
    if (address === null) return this.#soon(() => this.stack.refused(id, "prohibited", now()));
    const socket = connect({ host: address, port: target.port, allowHalfOpen: true, noDelay: true });
    const flow: Flow = { socket, connected: false, ended: false };
    this.#flows.set(id, flow);
    const tell = (call: (nowMs: number) => void): void => {
      if (this.#flows.get(id) === flow) this.#soon(() => call(now()));
    };
    socket.on("connect", () => {
      flow.connected = true;
      tell((nowMs) => this.stack.dialed(id, nowMs));
    });
    socket.on("readable", () => this.#read(id));
    socket.on("end", () => tell((nowMs) => this.stack.ended(id, nowMs)));
    socket.on("error", ({ code = "" }: NodeJS.ErrnoException) => {
      tell((nowMs) =>
        flow.connected
          ? this.stack.reset(id, nowMs)
          : this.stack.refused(id, refusals[code] ?? "unreachable", nowMs),
      );
      this.#flows.delete(id);
    });
  }

  send(id: FlowId, bytes: Uint8Array): void {
    const flow = this.#flows.get(id);
    flow?.socket.write(bytes, () => {
      if (this.#flows.get(id) === flow) this.#soon(() => this.stack.written(id, bytes.length, now()));
    });
  }

  finish(id: FlowId): void {
    this.#flows.get(id)?.socket.end();
  }

  closed(id: FlowId, why: "done" | "reset" | "timeout"): void {
    const flow = this.#flows.get(id);
    this.#flows.delete(id);
    if (why === "done") flow?.socket.destroySoon();
    else flow?.socket.resetAndDestroy();
  }

  roomy(id: FlowId): void {
    setImmediate(() => this.#read(id));
  }

  /** No port of the guest is published here. */
  opened(): void {}

  resolve(query: number, message: Uint8Array): void {
    void askServers(message).then((answer) => this.#soon(() => this.stack.answer(query, answer, now())));
  }

  datagram(from: Endpoint, to: Endpoint, payload: Uint8Array): void {
    const address = this.#reached(to.address);
    if (address === null) return this.#soon(() => this.stack.unreachable(from, to, "prohibited", now()));
    const socket = this.#association(from, address.includes(":"));
    socket?.send(payload, to.port, address);
  }

  /** Where a guest's destination is from here, or null: it may not be reached. */
  #reached(wanted: Address): Address | null {
    const address = wanted === HOST ? LOOPBACK : wanted;
    const bytes = parseIp(address);
    const { allow = [], onProhibited } = this.#options;
    if (bytes && (classOf(bytes) === "public" || allow.some((range) => isIn(range, bytes)))) return address;
    if (!this.#prohibited.has(wanted) && this.#prohibited.size < MAX_DATAGRAM_SOCKETS) {
      this.#prohibited.add(wanted);
      onProhibited?.(wanted);
    }
    return null;
  }

  /** What has come for the guest, as far as the stack has room for it; the rest stays in the socket, and with its sender. */
  #read(id: FlowId): void {
    const socket = this.#flows.get(id)?.socket;
    if (!socket) return;
    for (;;) {
      const room = this.stack.room(id);
      const size = Math.min(room, socket.readableLength);
      // Reading nothing is how a stream at its end says so.
      const bytes = (size > 0 ? socket.read(size) : room > 0 ? socket.read() : null) as Buffer | null;
      if (!bytes) break;
      this.stack.deliver(id, bytes, now());
    }
    this.#arm();
  }

  /** A socket for one port of the guest; the one that was idle for longest gives way. */
  #association(from: Endpoint, isIpv6: boolean): DatagramSocket | undefined {
    const key = `${from.address} ${from.port} ${isIpv6}`;
    const known = this.#datagrams.get(key);
    this.#datagrams.delete(key);
    if (known) {
      known.usedMs = now();
      this.#datagrams.set(key, known);
      return known.socket;
    }
    this.#forgetIdle();
    const socket = createSocket(isIpv6 ? "udp6" : "udp4");
    socket.on("error", () => {});
    socket.on("message", (bytes, { address, port }) => {
      const source = address === LOOPBACK ? HOST : address;
      this.#soon(() => this.stack.datagram({ address: source, port }, from, new Uint8Array(bytes), now()));
    });
    socket.unref();
    this.#datagrams.set(key, { socket, usedMs: now() });
    return socket;
  }

  #forgetIdle(): void {
    for (const [key, { socket, usedMs }] of this.#datagrams) {
      const isIdle = now() - usedMs > DATAGRAM_IDLE_MS;
      if (!isIdle && this.#datagrams.size < MAX_DATAGRAM_SOCKETS) break;
      socket.close();
      this.#datagrams.delete(key);
    }
  }

  /** Frames of the guest, and room for those that wait. */
  #hear(): void {
    const { link } = this.#options;
    while (this.#waiting.length > 0 && link.send(this.#waiting[0]!)) this.#waiting.shift();
    for (let frame = link.receive(); frame; frame = link.receive()) this.stack.onFrame(frame, now());
    if (this.#dhcp.leases(now()).length > 0) this.#leased.resolve();
    this.#arm();
  }

  /** Calls into the stack in a turn of their own: a call of the world's must not come back into it. */
  #soon(call: () => void): void {
    setImmediate(() => {
      if (this.#closed) return;
      call();
      this.#arm();
    });
  }

  #arm(): void {
    const at = this.stack.pollAt() ?? Infinity;
    if (at === this.#timerAt) return;
    clearTimeout(this.#timer);
    this.#timerAt = at;
    if (at === Infinity || this.#closed) return;
    this.#timer = setTimeout(
      () => {
        this.#timerAt = Infinity;
        this.stack.onTime(now());
        this.#arm();
      },
      Math.max(at - now(), 0),
    );
    this.#timer.unref();
  }
}

const now = (): number => performance.now();
