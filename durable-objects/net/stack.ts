import { Allowance } from "./allowance.ts";
import { answerArp, parseArp } from "./arp.ts";
import {
  ALL_NODES,
  groupMac,
  isFromThisLink,
  linkLocal,
  ndTypes,
  neighbourAdvertisement,
  routerAdvertisement,
  solicitedTarget,
} from "./discovery.ts";
import { Fragments } from "./fragments.ts";
import {
  echoReply,
  icmpError,
  type IcmpError,
  isEchoRequest,
  isIcmpIntact,
  mayBeAnsweredByError,
} from "./icmp.ts";
import { formatIp, parseIp } from "./ip-text.ts";
import { Neighbours } from "./neighbours.ts";
import type { Services } from "./service.ts";
import { TcpLayer } from "./tcp/layer.ts";
import { joinedPacket, parseUdp, writeUdp } from "./udp.ts";
import { BROADCAST, ETHERNET_BYTES, etherTypes, isFor } from "./wire/ethernet.ts";
import { type Packet, type Route, parseIpv4, parseIpv6, protocols } from "./wire/ip.ts";
import type {
  Endpoint,
  FlowId,
  FlowView,
  NetworkStack,
  QueryId,
  Refusal,
  StackConfig,
  World,
} from "./world.ts";

/** RFC 1812 §4.3.2.8: errors are few, whatever provokes them. */
const ERRORS_PER_SECOND = 50;
const DHCP_SERVER = 67,
  DHCP_CLIENT = 68,
  DNS = 53;

/**
 * A userspace TCP/IP stack as the gateway of a small LAN: it answers for itself (ARP, neighbour discovery, ping, DHCP, DNS,
 * NTP) and ends every TCP connection that a guest opens to the world, which `World` then makes. Pure: see `world.ts`.
 * Frames given to `onFrame` belong to the stack from then on.
 */
export class Stack implements NetworkStack {
  readonly #config: StackConfig;
  readonly #services: Services;
  readonly #world: World;
  readonly #tcp: TcpLayer;
  readonly #neighbours = new Neighbours();
  readonly #fragments = new Fragments();
  readonly #errors = new Allowance(ERRORS_PER_SECOND, ERRORS_PER_SECOND);
  readonly #mac: Uint8Array;
  readonly #gateway: Uint8Array;
  readonly #mask: number;
  readonly #prefix6: Uint8Array | undefined;
  readonly #own6: readonly Uint8Array[];
  #packetId = 0;

  /** Throws RangeError for a configuration that is none. */
  constructor(config: StackConfig, services: Services, world: World) {
    const gateway = parseIp(config.gateway);
    const prefix = config.ipv6Prefix === undefined ? undefined : parseIp(config.ipv6Prefix);
    if (gateway?.length !== 4 || prefix === null || prefix?.length === 4)
      throw new RangeError("A LAN has an IPv4 gateway, and perhaps an IPv6 prefix.");
    this.#config = config;
    this.#services = services;
    this.#world = world;
    this.#mac = config.gatewayMac;
    this.#gateway = gateway;
    this.#mask = config.prefixLength === 0 ? 0 : (-1 << (32 - config.prefixLength)) >>> 0;
    this.#prefix6 = prefix;
    const own = linkLocal(this.#mac);
    this.#own6 = prefix ? [own, globalAddress(prefix)] : [own];
    this.#tcp = new TcpLayer(config, services, world, {
      transmit: (frame) => world.transmit(frame),
      routeTo: (guest, other) => this.#routeTo(guest, other),
      isOwn: (address) => this.#isOwn(address),
      refuse: (quoted, family, error, nowMs) => this.#tellError(quoted, family, error, nowMs),
    });
  }

  onFrame(frame: Uint8Array, nowMs: number): void {
    if (frame.length < ETHERNET_BYTES || !isFor(frame, this.#mac)) return;
    const type = (frame[12]! << 8) | frame[13]!;
    if (type === etherTypes.arp) return this.#onArp(frame);
    const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
    const packet =
      type === etherTypes.ipv4
        ? parseIpv4(frame, view)
        : type === etherTypes.ipv6 && this.#prefix6
          ? parseIpv6(frame, view)
          : null;
    if (packet) this.#onPacket(packet, nowMs);
  }

  onTime(nowMs: number): void {
    this.#tcp.onTime(nowMs);
  }
  pollAt(): number | undefined {
    return this.#tcp.pollAt();
  }

  dialed(flow: FlowId, nowMs: number): void {
    this.#tcp.dialed(flow, nowMs);
  }
  refused(flow: FlowId, why: Refusal, nowMs: number): void {
    this.#tcp.refused(flow, why, nowMs);
  }
  open(to: Endpoint, from: Endpoint, nowMs: number): FlowId | null {
    return this.#tcp.open(to, from, nowMs);
  }
  room(flow: FlowId): number {
    return this.#tcp.room(flow);
  }
  deliver(flow: FlowId, bytes: Uint8Array, nowMs: number): void {
    this.#tcp.deliver(flow, bytes, nowMs);
  }
  written(flow: FlowId, count: number, nowMs: number): void {
    this.#tcp.written(flow, count, nowMs);
  }
  ended(flow: FlowId, nowMs: number): void {
    this.#tcp.ended(flow, nowMs);
  }
  reset(flow: FlowId, nowMs: number): void {
    this.#tcp.reset(flow, nowMs);
  }
  flows(): Iterable<FlowView> {
    return this.#tcp.flows();
  }

  answer(query: QueryId, message: Uint8Array, nowMs: number): void {
    this.#tcp.at(nowMs);
    this.#services.dns?.onAnswer(query, message, nowMs);
  }

  datagram(from: Endpoint, to: Endpoint, payload: Uint8Array, _nowMs: number): void {
    const source = parseIp(from.address);
    const guest = parseIp(to.address);
    const route =
      source && guest && source.length === guest.length ? this.#routeTo(guest, source) : undefined;
    if (route && payload.length <= 65_507) this.#sendUdp(route, from.port, to.port, payload);
  }

  unreachable(from: Endpoint, to: Endpoint, why: "port" | "prohibited", nowMs: number): void {
    const guest = parseIp(from.address);
    const other = parseIp(to.address);
    if (!guest || !other || guest.length !== other.length) return;
    // The packet as the guest sent it, as far as an error quotes it: its IP header and its ports.
    const [quoted] = writeUdp(
      { toMac: this.#mac, fromMac: this.#mac, to: other, from: guest },
      from.port,
      to.port,
      new Uint8Array(0),
      this.#config.mtu,
      0,
    );
    this.#tellError(quoted!.subarray(ETHERNET_BYTES), guest.length === 4 ? 4 : 6, why, nowMs);
  }

  #onArp(frame: Uint8Array): void {
    const message = parseArp(frame);
    if (!message) return;
    if (this.#isLocal4(message.sender)) this.#neighbours.learn(message.sender, message.senderMac);
    const answer = answerArp(message, this.#mac, this.#gateway);
    if (answer) this.#world.transmit(answer);
  }

  #onPacket(packet: Packet, nowMs: number): void {
    const { family, frame, source, destination, header, end } = packet;
    const isLocal = family === 4 ? this.#isLocal4(source) : true;
    if (isLocal) this.#neighbours.learn(source, frame.subarray(6, 12));
    if (end - header > this.#config.mtu && !packet.fragment)
      return this.#refuse(packet, "tooBig", nowMs, this.#config.mtu);
    if (!this.#isOwn(destination) && !isGroup(destination) && packet.hopLimit <= 1)
      return this.#refuse(packet, "expired", nowMs);
    if (!packet.fragment) return this.#onWhole(packet, nowMs);
    const payload = this.#fragments.add(packet, nowMs);
    if (payload) this.#onWhole(joinedPacket(packet, payload), nowMs);
  }

  #onWhole(packet: Packet, nowMs: number): void {
    switch (packet.protocol) {
      case protocols.tcp:
        return this.#isElsewhereOnLan(packet) ? undefined : this.#tcp.onPacket(packet, nowMs);
      case protocols.udp:
        return this.#onUdp(packet, nowMs);
      case protocols.icmp:
        return packet.family === 4 ? this.#onEcho(packet, nowMs) : undefined;
      case protocols.icmpv6:
        return packet.family === 6 ? this.#onIcmpv6(packet, nowMs) : undefined;
      default:
        return this.#refuse(packet, "protocol", nowMs);
    }
  }

  #onUdp(packet: Packet, nowMs: number): void {
    const datagram = parseUdp(packet);
    if (!datagram) return;
    const { fromPort, toPort, payload } = datagram;
    if (toPort === DHCP_SERVER && packet.family === 4 && this.#services.dhcp)
      return this.#onDhcp(packet.frame.subarray(6, 12), payload, nowMs);
    if (isGroup(packet.destination) || this.#isBroadcast4(packet.destination)) return;
    const route = this.#replyRoute(packet);
    const reply = (message: Uint8Array): void => this.#sendUdp(route, toPort, fromPort, message);
    // Any server that the guest was told of is played by the gateway: datagrams to the world may have no way out.
    if (toPort === DNS && this.#services.dns) return this.#services.dns.ask(payload, nowMs, reply);
    const service = this.#services.udp?.find(({ port }) => port === toPort);
    const from = { address: formatIp(packet.source), port: fromPort };
    const to = { address: formatIp(packet.destination), port: toPort };
    if (service) return service.onDatagram(from, to, payload, nowMs, reply);
    if (this.#isOwn(packet.destination)) return this.#refuse(packet, "port", nowMs);
    if (!this.#isElsewhereOnLan(packet)) this.#world.datagram(from, to, payload);
  }

  #onDhcp(mac: Uint8Array, message: Uint8Array, nowMs: number): void {
    const answer = this.#services.dhcp?.onMessage(message, mac, nowMs);
    const to = answer && parseIp(answer.toAddress);
    if (!answer || !to) return;
    const route = {
      toMac: answer.broadcast ? BROADCAST : mac,
      fromMac: this.#mac,
      to: answer.broadcast ? Uint8Array.of(255, 255, 255, 255) : to,
      from: this.#gateway,
    };
    this.#sendUdp(route, DHCP_SERVER, DHCP_CLIENT, answer.payload);
  }

  #onEcho(packet: Packet, nowMs: number): void {
    if (!isIcmpIntact(packet) || !isEchoRequest(packet)) return;
    if (this.#isOwn(packet.destination)) {
      if (this.#errors.take(nowMs)) this.#world.transmit(echoReply(packet, this.#replyRoute(packet)));
    } else if (!this.#isElsewhereOnLan(packet)) this.#refuse(packet, "prohibited", nowMs);
  }

  #onIcmpv6(packet: Packet, nowMs: number): void {
    const type = packet.frame[packet.start];
    if (type === ndTypes.routerSolicit || type === ndTypes.neighbourSolicit) {
      if (!isFromThisLink(packet) || !isIcmpIntact(packet)) return;
      if (type === ndTypes.routerSolicit) this.#advertiseRouter(packet);
      else this.#advertiseNeighbour(packet);
    } else this.#onEcho(packet, nowMs);
  }

  #advertiseRouter(packet: Packet): void {
    const [own, dns] = this.#own6;
    if (!dns || !this.#prefix6) return;
    const isAnonymous = packet.source.every((byte) => byte === 0);
    const to = isAnonymous ? ALL_NODES : packet.source;
    const toMac = isAnonymous ? groupMac(ALL_NODES) : packet.frame.subarray(6, 12);
    const route = { toMac, fromMac: this.#mac, to, from: own! };
    this.#world.transmit(routerAdvertisement(route, { prefix: this.#prefix6, dns, mtu: this.#config.mtu }));
  }

  /** Also answers a guest that tries whether our address is free (RFC 4862 §5.4.3). */
  #advertiseNeighbour(packet: Packet): void {
    const target = solicitedTarget(packet);
    const own = target && this.#own6.find((address) => same(address, target));
    if (!own) return;
    const isProbe = packet.source.every((byte) => byte === 0);
    const to = isProbe ? ALL_NODES : packet.source;
    const toMac = isProbe ? groupMac(ALL_NODES) : packet.frame.subarray(6, 12);
    this.#world.transmit(neighbourAdvertisement({ toMac, fromMac: this.#mac, to, from: own }, own, !isProbe));
  }

  #sendUdp(route: Route, fromPort: number, toPort: number, payload: Uint8Array): void {
    this.#packetId = (this.#packetId + 1) & 0xffff;
    for (const frame of writeUdp(route, fromPort, toPort, payload, this.#config.mtu, this.#packetId))
      this.#world.transmit(frame);
  }

  #refuse(packet: Packet, error: IcmpError, nowMs: number, more = 0): void {
    if (!mayBeAnsweredByError(packet) || this.#isBroadcast4(packet.destination)) return;
    this.#tellError(packet.frame.subarray(packet.header, packet.end), packet.family, error, nowMs, more);
  }

  /** An ICMP error to the sender of an IP packet. */
  #tellError(quoted: Uint8Array, family: 4 | 6, error: IcmpError, nowMs: number, more = 0): void {
    const guest = family === 4 ? quoted.subarray(12, 16) : quoted.subarray(8, 24);
    const own = family === 4 ? this.#gateway : this.#own6.at(-1)!;
    const route = this.#routeTo(guest, own);
    if (route && this.#errors.take(nowMs))
      this.#world.transmit(icmpError(error, family, quoted, route, more));
  }

  /** The way back of a packet, from the address that it was sent to. */
  #replyRoute(packet: Packet): Route {
    return {
      toMac: packet.frame.slice(6, 12),
      fromMac: this.#mac,
      to: packet.source.slice(),
      from: packet.destination.slice(),
    };
  }

  /** Undefined: nobody on the LAN has been heard with this address. */
  #routeTo(guest: Uint8Array, from: Uint8Array): Route | undefined {
    const toMac = this.#neighbours.find(guest);
    return toMac && { toMac, fromMac: this.#mac, to: guest.slice(), from: from.slice() };
  }

  #isOwn(address: Uint8Array): boolean {
    return address.length === 4 ? same(address, this.#gateway) : this.#own6.some((own) => same(own, address));
  }

  #isLocal4(address: Uint8Array): boolean {
    return ((toNumber(address) ^ toNumber(this.#gateway)) & this.#mask) === 0;
  }

  #isBroadcast4(address: Uint8Array): boolean {
    if (address.length !== 4) return false;
    const value = toNumber(address);
    return value === 0xffff_ffff || (this.#isLocal4(address) && (value | this.#mask) >>> 0 === 0xffff_ffff);
  }

  /** For another machine of the LAN, which the switch brings it to. */
  #isElsewhereOnLan({ destination, family }: Packet): boolean {
    if (isGroup(destination) || this.#isBroadcast4(destination)) return true;
    if (this.#isOwn(destination)) return false;
    if (family === 4) return this.#isLocal4(destination);
    const isLinkLocal = destination[0] === 0xfe && (destination[1]! & 0xc0) === 0x80;
    return isLinkLocal || same(destination.subarray(0, 8), this.#prefix6!.subarray(0, 8));
  }
}

/** The router's own address in its prefix: prefix::1. */
function globalAddress(prefix: Uint8Array): Uint8Array<ArrayBuffer> {
  const address = new Uint8Array(16);
  address.set(prefix.subarray(0, 8));
  address[15] = 1;
  return address;
}

const toNumber = (address: Uint8Array): number =>
  ((address[0]! << 24) | (address[1]! << 16) | (address[2]! << 8) | address[3]!) >>> 0;
const isGroup = (address: Uint8Array): boolean =>
  address.length === 4 ? address[0]! >> 4 === 14 : address[0] === 0xff;
const same = (a: Uint8Array, b: Uint8Array): boolean =>
  a.length === b.length && a.every((byte, at) => byte === b[at]);
