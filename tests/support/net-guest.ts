import { randomBytes } from "node:crypto";
import { WebSocket } from "ws";
import { encodeAeroL2, receiveAeroL2 } from "#protocol/aero-l2.ts";
import type { TunnelNotice } from "#protocol/tunnel-notices.ts";
import { L2Session } from "#protocol/virga-l2-session.ts";
import { frameCost } from "#protocol/virga-l2.ts";
import { lanDefaults, largeLan } from "../../durable-objects/net/lan.ts";
import { Orphans } from "../../durable-objects/net/orphans.ts";
import { parseIp } from "../../durable-objects/net/ip-text.ts";
import { Stack } from "../../durable-objects/net/stack.ts";
import type { FlowId, FlowTarget, World } from "../../durable-objects/net/world.ts";

type Lan = typeof lanDefaults;
const now = (): number => performance.now();
const GATEWAY_MAC = lanDefaults.gatewayMac;

/** One end of a TCP connection in the guest. */
export class GuestConnection {
  readonly #side: Side;
  readonly flow: FlowId;
  readonly #waiters: (() => void)[] = [];
  readonly pieces: Uint8Array[] = [];
  receivedBytes = 0;
  isOpen = false;
  isEnded = false;
  closed: "done" | "reset" | "timeout" | undefined;
  /** While true nothing is read: the window closes. */
  isPaused = false;
  /** What has come is counted and not kept. */
  discards = false;
  onData: ((bytes: Uint8Array) => void) | undefined;

  constructor(side: Side, flow: FlowId) {
    this.#side = side;
    this.flow = flow;
  }
  wake(): void {
    for (const waiter of this.#waiters.splice(0)) waiter();
  }
  change(): Promise<void> {
    return new Promise((resolve) => this.#waiters.push(resolve));
  }
  get isOver(): boolean {
    return this.isEnded || this.closed !== undefined;
  }

  /** Waits for room as a socket's write would. Throws when the connection is gone. */
  async write(bytes: Uint8Array): Promise<void> {
    let at = 0;
    while (at < bytes.length) {
      if (this.closed) throw new Error(`the connection is ${this.closed}`);
      const room = this.isOpen ? this.#side.stack.room(this.flow) : 0;
      if (room === 0) {
        await this.change();
        continue;
      }
      const part = bytes.subarray(at, at + room);
      this.#side.stack.deliver(this.flow, part, now());
      this.#side.turn();
      at += part.length;
    }
  }
  end(): void {
    this.#side.stack.ended(this.flow, now());
    this.#side.turn();
  }
  abort(): void {
    this.#side.stack.reset(this.flow, now());
    this.#side.turn();
  }
  resume(): void {
    this.isPaused = false;
    this.#side.took(this);
  }
  /** All that comes until FIN. Throws when the connection breaks before. */
  async whole(): Promise<Buffer> {
    while (!this.isEnded) {
      if (this.closed) throw new Error(`the connection is ${this.closed}`);
      await this.change();
    }
    return Buffer.concat(this.pieces);
  }
}

/** One stack in the role of a guest, with what runs on it. */
class Side implements World {
  readonly stack: Stack;
  readonly connections = new Map<FlowId, GuestConnection>();
  readonly turn: () => void;
  readonly #send: (frame: Uint8Array) => void;
  readonly #unread = new Map<GuestConnection, number>();
  /** Those that hear of what has come at the end of this turn. */
  readonly #told = new Set<GuestConnection>();
  readonly accept: ((connection: GuestConnection, port: number) => void) | undefined;

  constructor(
    lan: { mac: Uint8Array; gateway: string; prefixLength: number; link: Lan },
    send: (frame: Uint8Array) => void,
    turn: () => void,
    accept?: (connection: GuestConnection, port: number) => void,
  ) {
    this.#send = send;
    this.turn = turn;
    this.accept = accept;
    const { mac: gatewayMac, link, ...network } = lan;
    const { ipv6Prefix: _, ...defaults } = link;
    const config = {
      ...defaults,
      gatewayMac,
      ...network,
      secret: randomBytes(32),
      epochMs: Date.now(),
    };
    this.stack = new Stack(config, {}, this);
  }

  took(connection: GuestConnection): void {
    const count = this.#unread.get(connection) ?? 0;
    this.#unread.delete(connection);
    if (count > 0) this.stack.written(connection.flow, count, now());
    this.turn();
  }

  transmit(frame: Uint8Array): void {
    this.#send(frame);
  }
  dial(flow: FlowId, target: FlowTarget): void {
    queueMicrotask(() => {
      if (!this.accept) this.stack.refused(flow, "refused", now());
      else {
        const connection = new GuestConnection(this, flow);
        connection.isOpen = true;
        this.connections.set(flow, connection);
        this.stack.dialed(flow, now());
        this.accept(connection, target.port);
      }
      this.turn();
    });
  }
  send(flow: FlowId, bytes: Uint8Array): void {
    const connection = this.connections.get(flow);
    if (!connection) return;
    connection.receivedBytes += bytes.length;
    if (!connection.discards) connection.pieces.push(bytes);
    this.#unread.set(connection, (this.#unread.get(connection) ?? 0) + bytes.length);
    if (connection.onData) queueMicrotask(() => connection.onData?.(bytes));
    // Everything that one message brings is read at once, as a program does that is woken for all of it.
    if (this.#told.has(connection)) return;
    this.#told.add(connection);
    queueMicrotask(() => {
      this.#told.delete(connection);
      if (!connection.isPaused) this.took(connection);
      connection.wake();
    });
  }
  finish(flow: FlowId): void {
    const connection = this.connections.get(flow);
    if (!connection) return;
    connection.isEnded = true;
    queueMicrotask(() => connection.wake());
  }
  closed(flow: FlowId, why: "done" | "reset" | "timeout"): void {
    const connection = this.connections.get(flow);
    if (!connection) return;
    this.connections.delete(flow);
    connection.closed = why;
    queueMicrotask(() => connection.wake());
  }
  roomy(flow: FlowId): void {
    const connection = this.connections.get(flow);
    queueMicrotask(() => connection?.wake());
  }
  opened(flow: FlowId): void {
    const connection = this.connections.get(flow);
    if (!connection) return;
    connection.isOpen = true;
    queueMicrotask(() => connection.wake());
  }
  resolve(): void {}
  datagram(): void {}
}

/** Where an IPv4 TCP segment in a frame is going. */
const portOf = (frame: Uint8Array): number | undefined => {
  if (frame.length < 38 || frame[12] !== 8 || frame[13] !== 0 || frame[23] !== 6) return undefined;
  const at = 14 + (frame[14]! & 15) * 4 + 2;
  return (frame[at]! << 8) | frame[at + 1]!;
};

/**
 * A guest's TCP: the same stack in the other role. As a client it owns the guest's address, believes that every address is
 * on its link, and opens flows "to" them. A stack that speaks with itself could share its own mistakes with itself; that it
 * speaks with Linux is tested elsewhere.
 */
export class NetGuest {
  readonly address: string;
  readonly mac: Uint8Array;
  readonly #link: Lan;
  readonly client: Side;
  readonly #send: (frame: Uint8Array) => void;
  readonly #flush: () => void;
  readonly #servers = new Map<number, Side>();
  #timer: { readonly id: NodeJS.Timeout; readonly atMs: number } | undefined;
  isGone = false;
  /** Sees every frame first; what it takes (true) nobody else sees. */
  onFrame: ((frame: Uint8Array) => boolean) | undefined;

  /** `link`: what the carrier takes. */
  constructor(
    send: (frame: Uint8Array) => void,
    flush: () => void,
    address = "10.0.2.15",
    link: Lan = lanDefaults,
  ) {
    this.#link = link;
    this.#send = send;
    this.#flush = flush;
    this.address = address;
    this.mac = Uint8Array.of(2, 0, 0, 0, 1, parseIp(address)![3]!);
    const lan = { mac: this.mac, gateway: address, prefixLength: 0, link };
    this.client = new Side(lan, send, () => this.turn());
  }

  /**
   * A server in the guest. Its stack plays the gateway of a network of two, itself and `peer`, so that the guest's own
   * address is somebody in the world whose flows it ends. The guest's address must not be one of the four of that network.
   */
  listen(port: number, peer: string, accept: (connection: GuestConnection, port: number) => void): void {
    const bytes = parseIp(peer)!;
    const gateway = [...bytes.subarray(0, 3), bytes[3]! ^ 3].join(".");
    const lan = { mac: this.mac, gateway, prefixLength: 30, link: this.#link };
    this.#servers.set(port, new Side(lan, this.#send, () => this.turn(), accept));
  }

  /** `mac`: where the address is, if not behind the gateway. */
  knows(address: string, mac: Uint8Array = GATEWAY_MAC): void {
    const frame = new Uint8Array(42);
    frame.set(this.mac, 0);
    frame.set(mac, 6);
    // An ARP request (RFC 826) from that address for somebody else: only its sender is learnt.
    frame.set([8, 6, 0, 1, 8, 0, 6, 4, 0, 1], 12);
    frame.set(mac, 22);
    frame.set(parseIp(address)!, 28);
    frame.set([255, 255, 255, 255], 38);
    this.client.stack.onFrame(frame, now());
  }

  /** To the world: every address is behind the gateway. */
  connect(address: string, port: number): GuestConnection {
    this.knows(address);
    return this.connectTo(address, port);
  }
  /** To an address whose hardware address is known. */
  connectTo(address: string, port: number): GuestConnection {
    const flow = this.client.stack.open({ address, port }, { address: this.address, port: 0 }, now());
    if (flow === null) throw new Error("the guest has no room for a connection");
    const connection = new GuestConnection(this.client, flow);
    this.client.connections.set(flow, connection);
    this.turn();
    return connection;
  }

  onFrames(frames: readonly Uint8Array[]): void {
    for (const frame of frames) {
      if (this.onFrame?.(frame)) continue;
      const server = this.#servers.get(portOf(frame) ?? 0);
      (server ?? this.client).stack.onFrame(frame, now());
    }
    this.turn();
  }

  /** A frame beside the guest's TCP. */
  sendFrame(frame: Uint8Array): void {
    this.#send(frame);
    this.turn();
  }

  get #sides(): Side[] {
    return [this.client, ...this.#servers.values()];
  }

  /** At the end of everything. */
  turn(): void {
    if (this.isGone) return;
    this.#flush();
    const times = this.#sides.map(({ stack }) => stack.pollAt()).filter((time) => time !== undefined);
    const atMs = Math.min(...times);
    // A timer that fires too early asks again; to set one anew in every turn would cost more than the turn.
    if (times.length === 0 || (this.#timer && this.#timer.atMs <= atMs)) return;
    clearTimeout(this.#timer?.id);
    const onTime = (): void => {
      this.#timer = undefined;
      for (const { stack } of this.#sides) stack.onTime(now());
      this.turn();
    };
    this.#timer = { id: setTimeout(onTime, Math.max(0, atMs - now())), atMs };
  }

  stop(): void {
    this.isGone = true;
    clearTimeout(this.#timer?.id);
  }
}

/** Where frames are lost on their way, for soaks: a share of them, from a seed. */
export interface Loss {
  readonly share: number;
  readonly random: () => number;
}

/** A guest behind a `virga-l2-v1` socket, which it makes anew when it is cut. */
export class VirgaGuest {
  readonly guest: NetGuest;
  readonly #url: string;
  readonly #headers: Record<string, string>;
  readonly #session = new L2Session("client", { queueBytes: 4 * 2 ** 20, isCopied: true });
  readonly notices: TunnelNotice[] = [];
  /** Why the tunnel hung up, each time that it did. */
  readonly byes: { readonly code: number; readonly sentence: string }[] = [];
  readonly #orphans = new Orphans(GATEWAY_MAC);
  readonly #waiters: (() => void)[] = [];
  #socket: WebSocket | undefined;
  #timer: NodeJS.Timeout | undefined;
  #soon: NodeJS.Immediate | undefined;
  #isStopped = false;
  /** Sessions that began; more than one: the tunnel has forgotten us in between. */
  sessions = 0;
  resumed = 0;
  loss: Loss | undefined;

  constructor(url: string, options: { headers?: Record<string, string>; address?: string } = {}) {
    this.#url = url;
    this.#headers = options.headers ?? {};
    this.guest = new NetGuest(
      (frame) => {
        this.#orphans.onSent(frame);
        if (!this.#isLost()) this.#session.queue(frame);
      },
      () => this.#flushSoon(),
      options.address,
      largeLan,
    );
    this.#connect();
  }

  #isLost(): boolean {
    return this.loss !== undefined && this.loss.random() < this.loss.share;
  }

  #connect(): void {
    const socket = new WebSocket(this.#url, ["virga-l2-v1"], {
      perMessageDeflate: false,
      headers: this.#headers,
    });
    this.#socket = socket;
    socket.on("open", () => {
      this.#session.attach();
      this.#flush();
    });
    socket.on("message", (message: Buffer) =>
      this.#onMessage(new Uint8Array(message.buffer, message.byteOffset, message.length)),
    );
    socket.on("error", () => {});
    socket.on("close", () => {
      if (this.#socket !== socket) return;
      this.#session.detach(now());
      if (!this.#isStopped) setTimeout(() => this.#isStopped || this.#connect(), 50);
    });
  }

  #onMessage(message: Uint8Array): void {
    const received = this.#session.onMessage(message, now());
    if (received.opened) {
      if (received.opened.resumed) this.resumed++;
      else {
        this.sessions++;
        // What belonged to the session before hangs for ever unless it is told.
        this.guest.onFrames(this.#orphans.reset());
      }
      for (const waiter of this.#waiters.splice(0)) waiter();
    }
    if (received.notice !== undefined) this.notices.push(JSON.parse(received.notice) as TunnelNotice);
    if (received.bye) this.byes.push({ code: received.bye.code, sentence: received.bye.sentence });
    if (received.fault !== undefined || received.bye) this.#socket?.terminate();
    const kept = received.frames.filter(() => !this.#isLost());
    if (received.frames.length > 0) {
      this.guest.onFrames(kept);
      this.#session.consume(
        received.frames.reduce((sum, frame) => sum + frameCost(frame), 0),
        now(),
      );
    }
    this.#flushSoon();
  }

  /** Once for all that this turn of the event loop brings: messages that lie in the socket are read before any is answered. */
  #flushSoon(): void {
    this.#soon ??= setImmediate(() => this.#flush());
  }

  #flush(): void {
    clearImmediate(this.#soon);
    this.#soon = undefined;
    if (this.#socket?.readyState === WebSocket.OPEN)
      for (const message of this.#session.flush(now())) this.#socket.send(message);
    const at = this.#session.pollAt();
    clearTimeout(this.#timer);
    if (at !== undefined) this.#timer = setTimeout(() => this.#flush(), Math.max(0, at - now()));
  }

  /** Until the session is open. */
  async ready(): Promise<this> {
    while (!this.#session.isOpen) await new Promise<void>((resolve) => this.#waiters.push(resolve));
    return this;
  }
  /** Until nothing is under way in either direction. */
  async quiet(): Promise<void> {
    while (!this.#session.isQuiet || this.guest.client.connections.size > 0)
      await new Promise((resolve) => setTimeout(resolve, 10));
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  /** Cuts the socket as a lost network would; the session goes on with the next one. */
  cut(): void {
    this.#socket?.terminate();
  }
  stop(): void {
    this.#isStopped = true;
    clearTimeout(this.#timer);
    this.guest.stop();
    this.#socket?.terminate();
  }
}

/** A guest behind a socket that carries one frame per message: `aero-l2-tunnel-v1`, or bare frames. */
export async function frameGuest(
  url: string,
  kind: "aero" | "raw",
): Promise<{ guest: NetGuest; socket: WebSocket }> {
  const protocols = kind === "aero" ? ["aero-l2-tunnel-v1"] : [];
  const socket = new WebSocket(url, protocols, { perMessageDeflate: false });
  const send = (frame: Uint8Array): void => socket.send(kind === "aero" ? encodeAeroL2.frame(frame) : frame);
  const guest = new NetGuest(send, () => {});
  socket.on("message", (message: Buffer) => {
    const bytes = new Uint8Array(message);
    if (kind === "raw") return guest.onFrames([bytes]);
    const verdict = receiveAeroL2("client", bytes);
    if (verdict.kind !== "message") return undefined;
    if (verdict.message.type === "ping") socket.send(encodeAeroL2.pong(verdict.message.payload));
    return verdict.message.type === "frame" ? guest.onFrames([verdict.message.payload]) : undefined;
  });
  await new Promise((resolve, reject) => socket.on("open", resolve).on("error", reject));
  return { guest, socket };
}
