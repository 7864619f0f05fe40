import { type InputParts, isTooBig } from "./ipv4-input.ts";
import type { Ipv6Gateway, Ndp } from "./ndp.ts";
import { type Ip, isMulticast, isUnspecified, pseudoSum, readIp, sameIp } from "./wire/address.ts";
import type { Mac } from "./wire/ethernet.ts";
import { icmpv6Types, readIcmp } from "./wire/icmp.ts";
import { type IpHeader, emptyIpHeader, protocols } from "./wire/ipv4.ts";
import { readIpv6 } from "./wire/ipv6.ts";
import type { StackConfig } from "./world.ts";

/** IPv6 packets of the guests (RFC 8200): neighbour discovery, the gateway's echo, and the world for the rest. */
export class Ipv6Input {
  readonly #parts: InputParts;
  readonly #gateway: Ipv6Gateway;
  readonly #ndp: Ndp;
  readonly #header = emptyIpHeader();
  readonly #config: StackConfig;
  #last: Ip | undefined;
  #lastMac: Mac = 0;

  constructor(parts: InputParts, gateway: Ipv6Gateway, config: StackConfig, ndp: Ndp) {
    this.#parts = parts;
    this.#gateway = gateway;
    this.#ndp = ndp;
    this.#config = config;
  }

  onPacket(view: DataView, start: number, end: number, mac: Mac, nowMs: number): void {
    const header = readIpv6(view, start, end, this.#header);
    if (!header) return;
    const source = this.#sourceOf(view, header);
    if (isMulticast(source)) return;
    this.#learn(source, mac, nowMs);
    if (isTooBig(header, this.#config)) {
      this.#parts.icmp.about(view, header, "tooBig", nowMs, this.#config.mtu);
      return;
    }
    if (!header.moreFragments && header.fragmentOffset === 0)
      return this.#take(view, header, source, mac, nowMs);
    const whole = this.#parts.reassembly.add(view, header, nowMs);
    if (whole) this.#take(whole.view, whole.header, source, mac, nowMs);
    return undefined;
  }

  /** The address of who spoke last, if it is the same: most packets need no new object. */
  #sourceOf(view: DataView, header: IpHeader): Ip {
    const last = this.#last;
    const at = header.source;
    const isSame =
      last !== undefined &&
      last.d === view.getInt32(at + 12) &&
      last.c === view.getInt32(at + 8) &&
      last.b === view.getInt32(at + 4) &&
      last.a === view.getInt32(at);
    return isSame ? last : readIp(view, at, 6);
  }

  #isOnLink(ip: Ip): boolean {
    const { prefix } = this.#gateway;
    return ip.a >>> 22 === 0xfe80 >>> 6 || (ip.a === prefix.a && ip.b === prefix.b);
  }

  #isGateway(ip: Ip): boolean {
    return sameIp(ip, this.#gateway.global) || sameIp(ip, this.#gateway.linkLocal);
  }

  #learn(source: Ip, mac: Mac, nowMs: number): void {
    if (source === this.#last && mac === this.#lastMac) return;
    if (isUnspecified(source) || !this.#isOnLink(source) || this.#isGateway(source)) return;
    this.#last = source;
    this.#lastMac = mac;
    this.#parts.neighbours.learn(source, mac);
    this.#ndp.heard(nowMs);
  }

  #take(view: DataView, header: IpHeader, source: Ip, mac: Mac, nowMs: number): void {
    const destination = readIp(view, header.destination, 6);
    if (header.protocol === protocols.icmpv6 && this.#onIcmp(view, header, source, destination, nowMs))
      return;
    // RFC 4291 §2.5.6: what has a link-local source is not carried off the link.
    const isGateway = this.#isGateway(destination);
    if (
      isUnspecified(source) ||
      isMulticast(destination) ||
      !this.#isOnLink(source) ||
      this.#isGateway(source)
    )
      return;
    if (!isGateway && (this.#isOnLink(destination) || !this.#mayLeave(source, destination))) return;
    if (!isGateway && header.ttl <= 1) return this.#parts.icmp.about(view, header, "timeExceeded", nowMs);
    if (header.protocol === protocols.tcp) return this.#parts.tcp.onPacket(view, header);
    if (header.protocol === protocols.udp) {
      const outcome = this.#parts.udp.onDatagram(view, header, isGateway ? "gateway" : "world", mac, nowMs);
      if (outcome === "refused") this.#parts.icmp.about(view, header, "port", nowMs);
    } else if (header.protocol === protocols.icmpv6) {
      if (!isGateway) this.#parts.icmp.about(view, header, "prohibited", nowMs);
    } else if (header.protocol !== protocols.none) this.#parts.icmp.about(view, header, "protocol", nowMs);
  }

  /** Neither the unspecified nor the loopback address is anywhere (RFC 4291 §2.5.2, §2.5.3). */
  #mayLeave(source: Ip, destination: Ip): boolean {
    const isLow = (destination.a | destination.b | destination.c) === 0 && destination.d >>> 0 <= 1;
    return !isLow && source.a >>> 22 !== 0xfe80 >>> 6;
  }

  /** True: it was the gateway's own business. */
  #onIcmp(view: DataView, header: IpHeader, source: Ip, destination: Ip, nowMs: number): boolean {
    const length = header.end - header.payload;
    const pseudo = pseudoSum(source, destination, protocols.icmpv6, length);
    const icmp = readIcmp(view, header.payload, header.end, pseudo);
    if (!icmp) return true;
    if (icmp.type === icmpv6Types.unreachable) {
      this.#parts.icmpErrors.onMessage(view, icmp, source);
      return true;
    }
    if (icmp.type === icmpv6Types.echo) {
      const isToAll = isMulticast(destination);
      if ((!isToAll && !this.#isGateway(destination)) || isUnspecified(source)) return false;
      const from = isToAll ? this.#gateway.linkLocal : destination;
      this.#parts.icmp.echoReply(from, source, view, icmp);
      return true;
    }
    if (icmp.type >= icmpv6Types.routerSolicitation) this.#ndp.onMessage(view, header, icmp, nowMs);
    return true;
  }
}
