import { Allowance } from "../allowance.ts";
import type { IcmpError } from "../icmp.ts";
import { formatIp, parseIp } from "../ip-text.ts";
import type { Services } from "../service.ts";
import type { Packet, Route } from "../wire/ip.ts";
import type { Endpoint, FlowId, FlowTarget, FlowView, Refusal, StackConfig, World } from "../world.ts";
import { onSegment } from "./arrive.ts";
import {
  type Application,
  type Connection,
  type Link,
  drop,
  makeConnection,
  takeSyn,
  tellClosed,
} from "./connection.ts";
import { dnsStream } from "./dns-stream.ts";
import { initialSequence } from "./initial-sequence.ts";
import { openWindow } from "./receive.ts";
import { ACK, RST, SYN, type Segment, TCP_BYTES, lengthOf, parseSegment, writeSegment } from "./segment.ts";
import { output, sendReset, sendSyn } from "./send.ts";
import { add, before } from "./sequence.ts";
import { next } from "./states.ts";
import { ConnectionTable, keyOf } from "./table.ts";
import { nextTimer, onTime } from "./timers.ts";

/** What TCP asks of the stack around it. */
export interface Network {
  transmit(frame: Uint8Array): void;
  routeTo(guest: Uint8Array, other: Uint8Array): Route | undefined;
  isOwn(address: Uint8Array): boolean;
  refuse(quoted: Uint8Array, family: 4 | 6, error: IcmpError, nowMs: number): void;
}

/** RFC 5961 §7: challenge ACKs of all connections together. */
const CHALLENGES_PER_SECOND = 100;
/** RFC 9293 §3.7.1, and RFC 8200 §5 for IPv6: what a guest takes that says nothing. */
const DEFAULT_MSS = { 4: 536, 6: 1220 } as const;
const DNS = 53;
const FIRST_EPHEMERAL = 49_152;
/** Of a SYN: enough for every ICMP error about it. */
const QUOTE_BYTES = 128;

const icmpOf: { readonly [Why in Refusal]: IcmpError | null } = {
  refused: null,
  unreachable: "host",
  prohibited: "prohibited",
  timeout: "host",
};

/** All TCP connections of a LAN with its gateway. */
export class TcpLayer implements Link {
  readonly #config: StackConfig;
  readonly #services: Services;
  readonly #world: World;
  readonly #network: Network;
  readonly #table = new ConnectionTable();
  readonly #flows = new Map<FlowId, Connection>();
  /** Connections that have ended on the wire while the host still writes what the guest sent. */
  readonly #endings = new Map<FlowId, Connection>();
  /** The SYNs of flows that are being dialled, for errors that quote them. */
  readonly #quotes = new Map<FlowId, Uint8Array>();
  readonly #challenges = new Allowance(CHALLENGES_PER_SECOND, CHALLENGES_PER_SECOND);
  #nextFlow: FlowId = 1;
  #nextPort = FIRST_EPHEMERAL;
  #wakeAt = Infinity;
  #nowMs = 0;

  constructor(config: StackConfig, services: Services, world: World, network: Network) {
    this.#config = config;
    this.#services = services;
    this.#world = world;
    this.#network = network;
  }

  // What connections ask for.

  transmit(frame: Uint8Array): void {
    this.#network.transmit(frame);
  }
  mayChallenge(nowMs: number): boolean {
    return this.#challenges.take(nowMs);
  }
  forget(connection: Connection): void {
    this.#table.remove(connection);
    this.#flows.delete(connection.id);
    this.#quotes.delete(connection.id);
    if (connection.ending && !connection.isClosedToApplication) this.#endings.set(connection.id, connection);
  }
  wake(atMs: number): void {
    if (atMs < this.#wakeAt) this.#wakeAt = atMs;
  }

  /** The time of this turn, for services that answer inside of it. */
  at(nowMs: number): void {
    this.#nowMs = nowMs;
  }

  onTime(nowMs: number): void {
    this.#nowMs = nowMs;
    if (nowMs < this.#wakeAt) return;
    this.#wakeAt = Infinity;
    for (const connection of this.#table.all()) {
      if (nextTimer(connection) <= nowMs) onTime(connection, nowMs, this.#mssOf(connection.route));
      if (connection.state !== "Closed") this.wake(nextTimer(connection));
    }
  }
  pollAt(): number | undefined {
    return this.#wakeAt === Infinity ? undefined : this.#wakeAt;
  }

  onPacket(packet: Packet, nowMs: number): void {
    this.#nowMs = nowMs;
    if (packet.end - packet.start < TCP_BYTES) return;
    const connection = this.#table.find(packet);
    const segment = parseSegment(packet);
    if (!segment) return;
    const isNew = (segment.flags & (SYN | ACK | RST)) === SYN;
    if (connection && !(isNew && mayBeReplaced(connection, segment)))
      return onSegment(connection, segment, nowMs, this.#mssOf(connection.route));
    if (connection) drop(connection, "done");
    if (isNew) this.#onSyn(packet, segment, nowMs);
    else if (!(segment.flags & RST)) this.#resetStray(packet, segment);
  }

  #onSyn(packet: Packet, segment: Segment, nowMs: number): void {
    const { view, start, source, destination } = packet;
    const fromPort = view.getUint16(start);
    const toPort = view.getUint16(start + 2);
    const route = this.#network.routeTo(source, destination);
    const isOwn = this.#network.isOwn(destination);
    const dns = isOwn && toPort === DNS ? this.#services.dns : undefined;
    if (!route || (isOwn && !dns) || fromPort === 0 || toPort === 0 || !this.#makeRoom())
      return this.#resetStray(packet, segment);
    const address = formatIp(destination);
    const name = this.#services.dns?.nameOf(address);
    const target: FlowTarget = {
      address,
      port: toPort,
      from: { address: formatIp(source), port: fromPort },
      ...(name === undefined ? {} : { name }),
    };
    const connection = this.#make("out", target, route, { from: toPort, to: fromPort }, nowMs, (made) =>
      dns ? dnsStream(dns, this.#serviceStream(made), () => this.#nowMs) : this.#worldFlow(made),
    );
    takeSyn(connection, segment, nowMs, DEFAULT_MSS[packet.family]);
    if (dns) return this.#accept(connection, nowMs);
    this.#quotes.set(
      connection.id,
      packet.frame.slice(packet.header, Math.min(packet.end, packet.header + QUOTE_BYTES)),
    );
    this.#world.dial(connection.id, target);
  }

  /** A connection in TIME-WAIT makes room for a new one; an open one does not. */
  #makeRoom(): boolean {
    if (this.#table.size < this.#config.maxFlows) return true;
    for (const connection of this.#table.all())
      if (connection.state === "TimeWait") {
        drop(connection, "done");
        return true;
      }
    return false;
  }

  #make(
    direction: "out" | "in",
    target: FlowTarget,
    route: Route,
    ports: { readonly from: number; readonly to: number },
    nowMs: number,
    application: (connection: () => Connection) => Application,
  ): Connection {
    const key = keyOf(route.to, ports.to, route.from, ports.from);
    const made: Connection = makeConnection({
      id: this.#nextFlow++,
      direction,
      target,
      link: this,
      application: application(() => made),
      route,
      ports,
      key,
      state: direction === "out" ? "Dialling" : "SynSent",
      iss: initialSequence(this.#config.secret, key, nowMs),
      mss: this.#mssOf(route),
      sendBytes: this.#config.sendBufferBytes,
      receiveBytes: this.#config.receiveBufferBytes,
      nowMs,
    });
    this.#table.add(made);
    this.#flows.set(made.id, made);
    return made;
  }

  /** A flow of the world: each call goes out under the flow's number. */
  #worldFlow(connection: () => Connection): Application {
    const world = this.#world;
    return {
      onOpen: () => world.opened(connection().id),
      onBytes: (bytes) => world.send(connection().id, bytes),
      onFinish: () => world.finish(connection().id),
      onRoom: () => world.roomy(connection().id),
      onClosed: (why) => world.closed(connection().id, why),
    };
  }

  #serviceStream(connection: () => Connection) {
    return {
      write: (bytes: Uint8Array) => this.#push(connection(), bytes, this.#nowMs),
      written: (count: number) => openWindow(connection(), count, this.#nowMs),
      finish: () => this.#finish(connection(), this.#nowMs),
    };
  }

  #mssOf(route: Route): number {
    return this.#config.mtu - (route.to.length === 4 ? 40 : 60);
  }

  // What the host says.

  dialed(flow: FlowId, nowMs: number): void {
    const connection = this.#flows.get(flow);
    this.#quotes.delete(flow);
    if (connection?.state === "Dialling") this.#accept(connection, nowMs);
  }

  #accept(connection: Connection, nowMs: number): void {
    connection.state = next(connection.state, "accept");
    sendSyn(connection, nowMs, this.#mssOf(connection.route));
  }

  refused(flow: FlowId, why: Refusal, nowMs: number): void {
    const connection = this.#flows.get(flow);
    if (connection?.state !== "Dialling") return;
    const quoted = this.#quotes.get(flow);
    const error = icmpOf[why];
    const family = connection.route.to.length === 4 ? 4 : 6;
    if (quoted && error) this.#network.refuse(quoted, family, error, nowMs);
    if (why !== "timeout") this.#answerReset(connection.route, connection.ports, 0, connection.rcv.nxt);
    // The host knows: it hears no more of this flow.
    connection.isClosedToApplication = true;
    drop(connection, "reset");
  }

  open(to: Endpoint, from: Endpoint, nowMs: number): FlowId | null {
    const guest = parseIp(to.address);
    const other = parseIp(from.address);
    const route =
      guest && other && guest.length === other.length ? this.#network.routeTo(guest, other) : undefined;
    if (!guest || !other || !route || !this.#makeRoom()) return null;
    const port = from.port === 0 ? this.#freePort(guest, to.port, other) : from.port;
    if (port === null || this.#table.has(keyOf(guest, to.port, other, port))) return null;
    const target = { address: to.address, port: to.port, from: { address: from.address, port } };
    const connection = this.#make("in", target, route, { from: port, to: to.port }, nowMs, (made) =>
      this.#worldFlow(made),
    );
    sendSyn(connection, nowMs, this.#mssOf(route));
    return connection.id;
  }

  #freePort(guest: Uint8Array, guestPort: number, other: Uint8Array): number | null {
    for (let tries = FIRST_EPHEMERAL; tries < 65_536; tries++) {
      const port = this.#nextPort;
      this.#nextPort = port === 65_535 ? FIRST_EPHEMERAL : port + 1;
      if (!this.#table.has(keyOf(guest, guestPort, other, port))) return port;
    }
    return null;
  }

  room(flow: FlowId): number {
    const connection = this.#flows.get(flow);
    return connection && !connection.finishing
      ? Math.max(0, connection.queueLimit - connection.queue.length)
      : 0;
  }

  /** Throws for more than `room`: a bug of the host's. Bytes for a flow that has ended meanwhile are dropped. */
  deliver(flow: FlowId, bytes: Uint8Array, nowMs: number): void {
    const connection = this.#flows.get(flow);
    if (!connection || connection.finishing) return;
    if (bytes.length > this.room(flow))
      throw new RangeError(`flow ${flow} has no room for ${bytes.length} bytes`);
    this.#push(connection, bytes, nowMs);
  }

  #push(connection: Connection, bytes: Uint8Array, nowMs: number): void {
    if (connection.state === "Closed" || connection.finishing) return;
    connection.queue.push(bytes);
    if (connection.queueLimit - connection.queue.length < connection.queueLimit / 2)
      connection.wasFull = true;
    output(connection, nowMs);
  }

  written(flow: FlowId, count: number, nowMs: number): void {
    const connection = this.#flows.get(flow) ?? this.#endings.get(flow);
    if (!connection) return;
    openWindow(connection, count, nowMs);
    if (connection.ending && connection.rcv.unread === 0) {
      tellClosed(connection, "done");
      this.#endings.delete(flow);
    }
  }

  ended(flow: FlowId, nowMs: number): void {
    const connection = this.#flows.get(flow);
    if (connection) this.#finish(connection, nowMs);
  }

  #finish(connection: Connection, nowMs: number): void {
    if (connection.finishing || connection.state === "Closed") return;
    connection.finishing = true;
    output(connection, nowMs);
  }

  reset(flow: FlowId, nowMs: number): void {
    const connection = this.#flows.get(flow);
    if (!connection) return;
    connection.isClosedToApplication = true;
    if (connection.state === "Dialling") return this.refused(flow, "refused", nowMs);
    if (connection.state !== "TimeWait") sendReset(connection, nowMs);
    drop(connection, "reset");
  }

  /** RFC 9293 §3.10.7.1: a segment that belongs to nothing. */
  #resetStray(packet: Packet, segment: Segment): void {
    const { view, start, source, destination, frame } = packet;
    const route: Route = {
      toMac: frame.subarray(6, 12),
      fromMac: this.#config.gatewayMac,
      to: source,
      from: destination,
    };
    const ports = { from: view.getUint16(start + 2), to: view.getUint16(start) };
    if (segment.flags & ACK) this.#answerReset(route, ports, segment.ack, null);
    else this.#answerReset(route, ports, 0, add(segment.seq, lengthOf(segment)));
  }

  #answerReset(route: Route, ports: { from: number; to: number }, seq: number, ack: number | null): void {
    const flags = ack === null ? RST : RST | ACK;
    this.transmit(
      writeSegment(route, ports, { seq, ack: ack ?? 0, flags, window: 0, options: {}, payloadBytes: 0 }),
    );
  }

  *flows(): Iterable<FlowView> {
    for (const c of this.#flows.values())
      yield {
        id: c.id,
        target: c.target,
        direction: c.direction,
        state: c.state,
        sentBytes: (c.rcv.nxt - c.rcv.irs) >>> 0,
        receivedBytes: (c.snd.una - c.snd.iss) >>> 0,
        rttMs: c.roundTrip.smoothed,
      };
  }
}

/** RFC 1122 §4.2.2.13: a connection in TIME-WAIT gives way to a SYN beyond its numbers, or with a newer timestamp (RFC 6191). */
function mayBeReplaced(connection: Connection, segment: Segment): boolean {
  if (connection.state !== "TimeWait") return false;
  const { timestamp } = segment.options;
  if (connection.timestamps.on && timestamp && before(connection.timestamps.recent, timestamp.value))
    return true;
  return before(connection.rcv.nxt, segment.seq);
}
