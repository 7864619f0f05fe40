import { DnsStream } from "./dns-stream.ts";
import { IcmpInput } from "./icmp-input.ts";
import { IcmpOutput } from "./icmp.ts";
import { Ipv4Input } from "./ipv4-input.ts";
import { Ipv6Input } from "./ipv6-input.ts";
import { IpOutput } from "./ip-output.ts";
import { Ndp, ipv6Gateway } from "./ndp.ts";
import { Neighbours } from "./neighbours.ts";
import { Reassembly } from "./reassembly.ts";
import type { Services } from "./service.ts";
import type { Connection } from "./tcp/connection.ts";
import { Tcp } from "./tcp/tcp.ts";
import { Udp } from "./udp.ts";
import { type Ip, ipOf } from "./wire/address.ts";
import { ARP_BYTES, arpOperations, readArp, writeArp } from "./wire/arp.ts";
import {
  BROADCAST_MAC,
  ETHERNET_BYTES,
  type Mac,
  etherTypes,
  isGroupMac,
  readMac,
  writeEthernet,
} from "./wire/ethernet.ts";
import { protocols } from "./wire/ipv4.ts";
import type {
  Address,
  Endpoint,
  FlowId,
  FlowTarget,
  FlowView,
  NetworkStack,
  QueryId,
  Refusal,
  StackConfig,
  World,
} from "./world.ts";

const DNS_PORT = 53;

export interface StackOptions {
  /** The world carries UDP to port 443. Otherwise the guest hears at once that nobody does, and goes on over TCP. */
  readonly takesQuic?: boolean;
}

/**
 * The LAN's gateway: Ethernet in and out, flows of TCP and datagrams of UDP towards the world. Every flow that was dialled
 * or opened ends with exactly one call of `World.closed`, whoever ended it, and "done" waits until the host has written all
 * that it was given; calls about a flow that is over do nothing.
 * The bytes of a frame given to `onFrame` belong to the stack: what it gives to the world may be views on them.
 */
export class Stack implements NetworkStack {
  readonly #world: World;
  readonly #services: Services;
  readonly #mac: Mac;
  readonly #gateway: Ip;
  readonly #gateway6: Ip | undefined;
  readonly #neighbours: Neighbours;
  readonly #ip: IpOutput;
  readonly #icmp: IcmpOutput;
  readonly #tcp: Tcp;
  readonly #udp: Udp;
  readonly #ndp: Ndp | undefined;
  readonly #reassembly = new Reassembly();
  readonly #ipv4: Ipv4Input;
  readonly #ipv6: Ipv6Input | undefined;
  readonly #streams = new Map<FlowId, DnsStream>();
  /** What the stack's own services answer to TCP: done when TCP has finished its call of the world. */
  readonly #later: (() => void)[] = [];
  #view: DataView = new DataView(new ArrayBuffer(0));
  #nowMs = 0;

  /** Throws RangeError for a configuration that is none. */
  constructor(config: StackConfig, services: Services, world: World, options: StackOptions = {}) {
    this.#world = world;
    this.#services = services;
    const { gatewayMac } = config;
    this.#mac = readMac(new DataView(gatewayMac.buffer, gatewayMac.byteOffset, 6), 0);
    const gateway = ipOf(config.gateway);
    if (gateway?.version !== 4) throw new RangeError(`${config.gateway} is no IPv4 address`);
    this.#gateway = gateway;
    const transmit = (frame: Uint8Array) => world.transmit(frame);
    this.#neighbours = new Neighbours((ip) => this.#solicit(ip), transmit);
    this.#ip = new IpOutput(this.#mac, config, this.#neighbours, transmit);
    const gateway6 = config.ipv6Prefix === undefined ? undefined : ipv6Gateway(config.ipv6Prefix, this.#mac);
    this.#gateway6 = gateway6?.global;
    this.#ndp = gateway6 && new Ndp(this.#ip, this.#neighbours, gateway6, this.#mac);
    this.#icmp = new IcmpOutput(this.#ip, { 4: gateway, 6: gateway6?.global });
    this.#tcp = new Tcp(config, this.#tcpWorld(), this.#ip, {
      nameOf: (ip) => services.dns?.nameOf(ip.text),
      onDialTimeout: (c) => this.#quoteSyn(c, "host"),
    });
    this.#udp = new Udp(this.#ip, world, services, gateway, options.takesQuic === true);
    const parts = {
      neighbours: this.#neighbours,
      reassembly: this.#reassembly,
      icmp: this.#icmp,
      icmpErrors: new IcmpInput(this.#tcp, world),
      tcp: this.#tcp,
      udp: this.#udp,
    };
    this.#ipv4 = new Ipv4Input(parts, gateway, config);
    this.#ipv6 = gateway6 && new Ipv6Input(parts, gateway6, config, this.#ndp!);
  }

  /** What is held now: payload and connections, for metrics and for tests of the bounds. */
  get counts() {
    return { ...this.#tcp.counts, reassembling: this.#reassembly.heldBytes } as const;
  }

  discard(): void {
    this.#tcp.discard();
  }

  #enter(nowMs: number): void {
    this.#nowMs = nowMs;
    this.#ip.at(nowMs);
    this.#tcp.at(nowMs);
  }

  #leave(): void {
    for (let next = this.#later.shift(); next; next = this.#later.shift()) next();
  }

  onFrame(frame: Uint8Array, nowMs: number): void {
    this.#enter(nowMs);
    if (frame.length < ETHERNET_BYTES) return;
    // Frames of one message share a buffer; one view serves them all.
    if (this.#view.buffer !== frame.buffer) this.#view = new DataView(frame.buffer);
    const view = this.#view;
    const start = frame.byteOffset;
    const end = start + frame.length;
    const to = readMac(view, start);
    const from = readMac(view, start + 6);
    if ((to !== this.#mac && !isGroupMac(to)) || isGroupMac(from) || from === this.#mac) return;
    const type = view.getUint16(start + 12);
    const payload = start + ETHERNET_BYTES;
    if (type === etherTypes.ipv4) this.#ipv4.onPacket(view, payload, end, from, nowMs);
    else if (type === etherTypes.ipv6) this.#ipv6?.onPacket(view, payload, end, from, nowMs);
    else if (type === etherTypes.arp) this.#onArp(view, payload, end);
    this.#ndp?.remind(nowMs);
    this.#leave();
  }

  /** RFC 826, and RFC 5227: a probe has no sender's address, is answered for the gateway's and teaches nothing. */
  #onArp(view: DataView, start: number, end: number): void {
    const arp = readArp(view, start, end);
    if (!arp || isGroupMac(arp.senderMac)) return;
    if (this.#ipv4.isGuest(arp.sender))
      this.#neighbours.learn(this.#ipv4.ipOfWord(arp.sender), arp.senderMac);
    if (arp.operation !== arpOperations.request || arp.target !== this.#gateway.d) return;
    this.#sendArp(arpOperations.reply, arp.senderMac, arp.sender, arp.senderMac);
  }

  #sendArp(operation: number, to: Mac, target: number, targetMac: Mac): void {
    const { slab } = this.#ip;
    const at = slab.take(ETHERNET_BYTES + ARP_BYTES);
    writeEthernet(slab.view, at, to, this.#mac, etherTypes.arp);
    const arp = { operation, senderMac: this.#mac, sender: this.#gateway.d, target };
    writeArp(slab.view, at + ETHERNET_BYTES, arp, targetMac);
    this.#world.transmit(slab.cut(at, ETHERNET_BYTES + ARP_BYTES));
  }

  #solicit(ip: Ip): void {
    if (ip.version === 6) this.#ndp?.solicit(ip);
    else this.#sendArp(arpOperations.request, BROADCAST_MAC, ip.d, 0);
  }

  /** The world as TCP sees it: connections to port 53 of the gateway end in the resolver. */
  #tcpWorld(): World {
    const world = this.#world;
    return {
      transmit: (frame) => world.transmit(frame),
      dial: (flow, target) => {
        if (!this.#dialResolver(flow, target)) world.dial(flow, target);
      },
      send: (flow, bytes) => {
        const stream = this.#streams.get(flow);
        if (!stream) return world.send(flow, bytes);
        this.#later.push(() => stream.onBytes(bytes, this.#nowMs));
        return undefined;
      },
      finish: (flow) => {
        if (!this.#streams.has(flow)) return world.finish(flow);
        this.#later.push(() => this.#tcp.ended(flow));
        return undefined;
      },
      closed: (flow, why) => {
        if (!this.#streams.delete(flow)) world.closed(flow, why);
      },
      roomy: (flow) => {
        if (!this.#streams.has(flow)) world.roomy(flow);
      },
      opened: (flow) => world.opened(flow),
      resolve: (query, message) => world.resolve(query, message),
      datagram: (from, to, payload) => world.datagram(from, to, payload),
    };
  }

  #dialResolver(flow: FlowId, target: FlowTarget): boolean {
    const { dns } = this.#services;
    const isOurs = target.address === this.#gateway.text || target.address === this.#gateway6?.text;
    if (!dns || target.port !== DNS_PORT || !isOurs) return false;
    const tcp = this.#tcp;
    const end = {
      room: () => tcp.room(flow),
      deliver: (bytes: Uint8Array) => tcp.deliver(flow, bytes),
      reset: () => tcp.reset(flow),
      written: (count: number) => tcp.written(flow, count),
    };
    this.#streams.set(flow, new DnsStream(dns, end));
    this.#later.push(() => tcp.dialed(flow));
    return true;
  }

  onTime(nowMs: number): void {
    this.#enter(nowMs);
    this.#tcp.onTime();
    this.#neighbours.onTime(nowMs);
    this.#leave();
  }

  pollAt(): number | undefined {
    const at = Math.min(this.#tcp.pollAt(), this.#neighbours.pollAt());
    return at === Infinity ? undefined : at;
  }

  dialed(flow: FlowId, nowMs: number): void {
    this.#enter(nowMs);
    this.#tcp.dialed(flow);
  }

  refused(flow: FlowId, why: Refusal, nowMs: number): void {
    this.#enter(nowMs);
    const c = this.#tcp.get(flow);
    if (c?.state === "Dialing" && why !== "refused")
      this.#quoteSyn(c, why === "prohibited" ? "prohibited" : "host");
    this.#tcp.refuse(flow, why !== "timeout");
  }

  /** An ICMP error about the SYN that waits. */
  #quoteSyn(c: Connection, error: "host" | "prohibited"): void {
    const first8 = new Uint8Array(8);
    const view = new DataView(first8.buffer);
    view.setUint16(0, c.guestPort);
    view.setUint16(2, c.peerPort);
    view.setUint32(4, c.irs);
    this.#icmp.aboutEnds(c.guest, c.peer, protocols.tcp, first8, error, this.#nowMs);
  }

  /** Port 0 of `from`: any that is free. */
  open(to: Endpoint, from: Endpoint, nowMs: number): FlowId | null {
    this.#enter(nowMs);
    const guest = ipOf(to.address);
    const peer = ipOf(from.address);
    const isKnown = guest !== null && this.#neighbours.macOf(guest) !== undefined;
    if (!isKnown || guest.version !== peer?.version) return null;
    return this.#tcp.open({ guest, guestPort: to.port, peer, peerPort: from.port });
  }

  room(flow: FlowId): number {
    return this.#tcp.room(flow);
  }

  deliver(flow: FlowId, bytes: Uint8Array, nowMs: number): void {
    this.#enter(nowMs);
    this.#tcp.deliver(flow, bytes);
  }

  written(flow: FlowId, count: number, nowMs: number): void {
    this.#enter(nowMs);
    this.#tcp.written(flow, count);
  }

  ended(flow: FlowId, nowMs: number): void {
    this.#enter(nowMs);
    this.#tcp.ended(flow);
  }

  reset(flow: FlowId, nowMs: number): void {
    this.#enter(nowMs);
    this.#tcp.reset(flow);
  }

  answer(query: QueryId, message: Uint8Array, nowMs: number): void {
    this.#enter(nowMs);
    this.#services.dns?.onAnswer(query, message, nowMs);
    this.#leave();
  }

  datagram(from: Endpoint, to: Endpoint, payload: Uint8Array, nowMs: number): void {
    this.#enter(nowMs);
    const source = ipOf(from.address);
    const target = ipOf(to.address);
    if (!source || source.version !== target?.version) return;
    this.#udp.send({ from: source, fromPort: from.port, to: target, toPort: to.port }, payload);
  }

  /** `from` and `to` are those of the guest's datagram. */
  unreachable(from: Endpoint, to: Endpoint, why: "port" | "prohibited", nowMs: number): void {
    this.#enter(nowMs);
    const source = ipOf(from.address);
    const target = ipOf(to.address);
    if (!source || source.version !== target?.version) return;
    const first8 = new Uint8Array(8);
    const view = new DataView(first8.buffer);
    view.setUint16(0, from.port);
    view.setUint16(2, to.port);
    view.setUint16(4, 8);
    this.#icmp.aboutEnds(source, target, protocols.udp, first8, why, nowMs);
  }

  addressOf(mac: Uint8Array): Address | null {
    const word = this.#neighbours.ipv4Of(readMac(new DataView(mac.buffer, mac.byteOffset, 6), 0));
    return word === undefined ? null : this.#ipv4.ipOfWord(word).text;
  }

  seek(address: Address, nowMs: number): boolean {
    this.#enter(nowMs);
    const ip = ipOf(address);
    if (ip?.version !== 4 || !this.#ipv4.isGuest(ip.d)) return false;
    this.#neighbours.seek(ip, nowMs);
    return this.#neighbours.macOf(ip) !== undefined;
  }

  flows(): Iterable<FlowView> {
    return this.#tcp.flows();
  }
}
