import type { IpOutput } from "../ip-output.ts";
import { type Ip, readIp } from "../wire/address.ts";
import { isIntact, sum } from "../wire/checksum.ts";
import { type IpHeader, protocols } from "../wire/ipv4.ts";
import { type Segment, emptySegment, flags, readTcp } from "../wire/tcp.ts";
import type { FlowId, FlowView, StackConfig, World } from "../world.ts";
import type { Connection } from "./connection.ts";
import { type TcpContext, holdForGuest, holdForWorld, sendShare } from "./context.ts";
import { Deadlines } from "./deadlines.ts";
import { emitBare } from "./emit.ts";
import { abort, forget, sendReset, breakEnding } from "./end.ts";
import { connect, dialed, listen, onSegmentWhileDialing, takeSyn, targetOf } from "./handshake.ts";
import { written } from "./receive.ts";
import { onSegment } from "./segment-in.ts";
import { output } from "./send.ts";
import { add } from "./sequence.ts";
import { ConnectionTable, type Ends } from "./table.ts";
import { expire } from "./timers.ts";

const FIRST_DYNAMIC_PORT = 49_152;
const DYNAMIC_PORTS = 0x1_0000 - FIRST_DYNAMIC_PORT;

export interface TcpHooks {
  /** What the guest asked DNS for when it was told this address. */
  readonly nameOf: (ip: Ip) => string | undefined;
  /** Nobody answered the dial of this guest. */
  readonly onDialTimeout: (c: Connection) => void;
}

/** TCP (RFC 9293) that terminates the guest's flows: all connections, and what the host may do with them. */
export class Tcp {
  readonly #t: TcpContext;
  readonly #hooks: TcpHooks;
  readonly #segment = emptySegment();
  #nextId: FlowId = 1;
  #nextPort = 0;
  #badChecksums = 0;

  constructor(config: StackConfig, world: World, ip: IpOutput, hooks: TcpHooks) {
    this.#hooks = hooks;
    this.#t = {
      world,
      config,
      ip,
      table: new ConnectionTable(),
      deadlines: new Deadlines(),
      now: 0,
      endings: new Map(),
      receiveHeld: 0,
      sendHeld: 0,
      held: config.held ?? { send: 0, receive: 0 },
    };
  }

  discard(): void {
    holdForGuest(this.#t, -this.#t.sendHeld);
    holdForWorld(this.#t, -this.#t.receiveHeld);
    this.#t.held = { send: 0, receive: 0 };
  }

  /** What is held now, for metrics and for tests of the bounds. */
  get counts() {
    const { table, sendHeld, receiveHeld } = this.#t;
    const { active, timeWaits } = table;
    return { active, timeWaits, sendHeld, receiveHeld, badChecksums: this.#badChecksums } as const;
  }

  at(nowMs: number): void {
    this.#t.now = nowMs;
  }

  /** A segment of the guest, behind its IP header. */
  onPacket(view: DataView, header: IpHeader): void {
    const { payload, end, source } = header;
    const length = end - payload;
    const pseudo = sum(view, source, source + (header.version === 4 ? 8 : 32), protocols.tcp + length);
    const segment = readTcp(view, payload, end, this.#segment);
    if (!segment) return;
    if (!isIntact(sum(view, payload, end, pseudo))) {
      this.#badChecksums++;
      return;
    }
    const c = this.#t.table.find(view, header, segment.sourcePort, segment.destinationPort);
    if (!c) return this.#onUnknown(view, header, segment);
    if (c.state === "Dialing") {
      if (!onSegmentWhileDialing(this.#t, c, segment)) this.#onUnknown(view, header, segment);
      return;
    }
    const isSyn = (segment.flags & (flags.syn | flags.rst)) === flags.syn;
    if (isSyn && c.state !== "SynSent") {
      if (!takeSyn(this.#t, c, segment)) return;
      forget(this.#t, c, "done");
      return this.#onUnknown(view, header, segment);
    }
    return onSegment(this.#t, c, view, segment);
  }

  /** RFC 9293 §3.10.7.1 and §3.10.7.2: no connection, but every address of the world listens. */
  #onUnknown(view: DataView, header: IpHeader, segment: Segment): void {
    if (segment.flags & flags.rst) return;
    const ends: Ends = {
      guest: readIp(view, header.source, header.version),
      guestPort: segment.sourcePort,
      peer: readIp(view, header.destination, header.version),
      peerPort: segment.destinationPort,
    };
    const isFull = this.#isFull();
    const isOpening = (segment.flags & (flags.syn | flags.ack)) === flags.syn;
    if (!isOpening || isFull || segment.sourcePort === 0 || segment.destinationPort === 0)
      return this.#refuse(ends, segment);
    const c = listen(this.#t, this.#nextId++, ends, segment);
    c.name = this.#hooks.nameOf(ends.peer);
    return this.#t.world.dial(c.id, targetOf(c));
  }

  /** Flows that the host still has to write out count as well. */
  #isFull(): boolean {
    const { table, endings, config } = this.#t;
    return table.active + endings.size >= config.maxFlows;
  }

  #refuse(ends: Ends, segment: Segment): void {
    if (segment.flags & flags.ack) return emitBare(this.#t, ends, flags.rst, segment.ack, 0);
    const bits = segment.flags & (flags.syn | flags.fin);
    const extra = (bits & flags.syn ? 1 : 0) + (bits & flags.fin ? 1 : 0);
    const ack = add(segment.seq, segment.end - segment.payload + extra);
    return emitBare(this.#t, ends, flags.rst | flags.ack, 0, ack);
  }

  /**
   * The guest says by ICMP that it does not take what `quoted` was: a connection that the host was opening has failed. Of
   * one that is open such an error is not believed (RFC 5927 §5.2), and of a segment that was never sent neither (§4.1).
   */
  onUnreachable(view: DataView, quoted: IpHeader, guestPort: number, peerPort: number, seq: number): void {
    // What the stack had sent is read the other way round.
    const sent = { ...quoted, source: quoted.destination, destination: quoted.source };
    const c = this.#t.table.find(view, sent, guestPort, peerPort);
    if (c?.state === "SynSent" && seq === c.iss) abort(this.#t, c, "reset");
  }

  onTime(): void {
    for (let c = this.#t.deadlines.due(this.#t.now); c; c = this.#t.deadlines.due(this.#t.now))
      expire(this.#t, c, this.#hooks.onDialTimeout);
  }

  pollAt(): number {
    return this.#t.deadlines.pollAt();
  }

  get(flow: FlowId): Connection | undefined {
    return this.#t.table.get(flow);
  }

  dialed(flow: FlowId): void {
    const c = this.get(flow);
    if (c?.state === "Dialing") dialed(this.#t, c);
  }

  /** With an RST or, when the guest has heard of it by ICMP already, without. */
  refuse(flow: FlowId, withReset: boolean): void {
    const c = this.get(flow);
    if (c?.state !== "Dialing") return;
    if (withReset) sendReset(this.#t, c);
    abort(this.#t, c, withReset ? "reset" : "timeout");
  }

  /** Null: too many flows, or these four ends are in use. */
  open(wanted: Ends): FlowId | null {
    const { table } = this.#t;
    const peerPort = wanted.peerPort === 0 ? this.#freePort(wanted) : wanted.peerPort;
    const ends = { ...wanted, peerPort };
    if (peerPort === 0 || this.#isFull() || table.has(ends)) return null;
    return connect(this.#t, this.#nextId++, ends).id;
  }

  /** RFC 6335 §6: of the dynamic ports, in turn. */
  #freePort(wanted: Ends): number {
    for (let tries = 0; tries < DYNAMIC_PORTS; tries++) {
      const peerPort = FIRST_DYNAMIC_PORT + (this.#nextPort++ % DYNAMIC_PORTS);
      if (!this.#t.table.has({ ...wanted, peerPort })) return peerPort;
    }
    return 0;
  }

  room(flow: FlowId): number {
    const c = this.get(flow);
    if (!c || c.finQueued) return 0;
    const most = sendShare(this.#t);
    const room = Math.max(0, most - c.out.length);
    if (room < most >> 1) c.wantsRoom = true;
    return room;
  }

  deliver(flow: FlowId, bytes: Uint8Array): void {
    const c = this.get(flow);
    if (!c || bytes.length === 0) return;
    const room = this.room(flow);
    if (bytes.length > room)
      throw new RangeError(`Flow ${flow} has room for ${room} bytes, not ${bytes.length}`);
    c.out.push(bytes);
    holdForGuest(this.#t, bytes.length);
    this.room(flow);
    output(this.#t, c);
  }

  written(flow: FlowId, count: number): void {
    const c = this.get(flow) ?? this.#t.endings.get(flow);
    if (c) written(this.#t, c, count);
  }

  ended(flow: FlowId): void {
    const c = this.get(flow);
    if (!c) return;
    c.finQueued = true;
    output(this.#t, c);
  }

  reset(flow: FlowId): void {
    const c = this.get(flow);
    if (breakEnding(this.#t, flow) || !c) return;
    sendReset(this.#t, c);
    abort(this.#t, c, "reset");
  }

  *flows(): Iterable<FlowView> {
    for (const c of this.#t.table.all())
      yield {
        id: c.id,
        target: targetOf(c),
        direction: c.direction,
        state: c.state,
        sentBytes: c.sentBytes,
        receivedBytes: c.receivedBytes,
        rttMs: c.srtt < 0 ? null : c.srtt,
      };
  }
}
