import { type IpOutput, NEIGHBOUR_TTL } from "./ip-output.ts";
import type { Neighbours } from "./neighbours.ts";
import { type Ip, ipOf, isUnspecified, pseudoSum, readIp, sameIp, writeIp } from "./wire/address.ts";
import { checksum, sum } from "./wire/checksum.ts";
import { type Mac, macBytes, readMac, writeMac } from "./wire/ethernet.ts";
import { ICMP_BYTES, type Icmp, icmpv6Types, writeIcmp } from "./wire/icmp.ts";
import { type IpHeader, protocols } from "./wire/ipv4.ts";

/** Neighbour discovery of the gateway (RFC 4861), with RDNSS (RFC 8106). Not modelled: redirects, the router's reachability probes. */
const ALL_NODES = ipOf("ff02::1")!;
const options = { sourceMac: 1, targetMac: 2, prefix: 3, mtu: 5, rdnss: 25 } as const;
/** §6.2.1: AdvDefaultLifetime is 9,000 s at most. An idle LAN is not woken: a guest that speaks is told again in time. */
const ROUTER_LIFETIME_S = 9000;
const ADVERTISE_EVERY_MS = 600_000;
const FOREVER = 0xffff_ffff;
const SOLICITED_OVERRIDE = 0x6000_0000;
const ROUTER = 0x8000_0000;

export interface Ipv6Gateway {
  readonly linkLocal: Ip;
  readonly global: Ip;
  /** The /64. */
  readonly prefix: Ip;
}

/** fe80:: with the modified EUI-64 of the hardware address (RFC 4291 appendix A), and the first address of the prefix. */
export function ipv6Gateway(prefixText: string, mac: Mac): Ipv6Gateway {
  const prefix = ipOf(prefixText);
  if (prefix?.version !== 6) throw new RangeError(`${prefixText} is no IPv6 prefix`);
  const bytes = new Uint8Array(16);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, 0xfe80);
  const [a = 0, ...others] = macBytes(mac);
  bytes.set([a ^ 2, ...others.slice(0, 2), 0xff, 0xfe, ...others.slice(2)], 8);
  const linkLocal = readIp(view, 0, 6);
  writeIp(view, 0, { ...prefix, c: 0, d: 1 });
  return { linkLocal, global: readIp(view, 0, 6), prefix };
}

/** Where a solicitation for an address is sent (RFC 4291 §2.7.1). */
export function solicitedNode(ip: Ip): Ip {
  const bytes = new Uint8Array(16);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, 0xff02);
  view.setUint8(11, 1);
  view.setUint32(12, (0xff00_0000 | (ip.d & 0xff_ffff)) >>> 0);
  return readIp(view, 0, 6);
}

export class Ndp {
  readonly #ip: IpOutput;
  readonly #neighbours: Neighbours;
  readonly #gateway: Ipv6Gateway;
  readonly #mac: Mac;
  /** Undefined: nobody on the LAN has spoken IPv6 yet. */
  #advertisedAt: number | undefined;

  constructor(ip: IpOutput, neighbours: Neighbours, gateway: Ipv6Gateway, mac: Mac) {
    this.#ip = ip;
    this.#neighbours = neighbours;
    this.#gateway = gateway;
    this.#mac = mac;
  }

  /** §6.1 and §7.1: only what comes from this link, with code 0 and whole options, is valid. */
  onMessage(view: DataView, header: IpHeader, icmp: Icmp, nowMs: number): void {
    if (header.ttl !== NEIGHBOUR_TTL || icmp.code !== 0) return;
    const from = readIp(view, header.source, 6);
    if (icmp.type === icmpv6Types.routerSolicitation) this.#onRouterSolicitation(view, icmp, from, nowMs);
    else if (icmp.type === icmpv6Types.neighbourSolicitation) this.#onSolicitation(view, icmp, from);
    else if (icmp.type === icmpv6Types.neighbourAdvertisement) this.#onAdvertisement(view, icmp);
  }

  #onRouterSolicitation(view: DataView, icmp: Icmp, from: Ip, nowMs: number): void {
    const mac = optionMac(view, icmp.payload, icmp.end, options.sourceMac);
    if (mac === null) return;
    if (mac !== undefined && !isUnspecified(from)) this.#neighbours.learn(from, mac);
    this.advertise(isUnspecified(from) ? ALL_NODES : from, nowMs);
  }

  /** §7.2.3 and §7.2.4; a probe of duplicate address detection (RFC 4862 §5.4.3) has no source and is answered to all. */
  #onSolicitation(view: DataView, icmp: Icmp, from: Ip): void {
    if (icmp.end - icmp.payload < 16) return;
    const target = readIp(view, icmp.payload, 6);
    const mac = optionMac(view, icmp.payload + 16, icmp.end, options.sourceMac);
    if (mac === null) return;
    if (mac !== undefined && !isUnspecified(from)) this.#neighbours.learn(from, mac);
    if (!sameIp(target, this.#gateway.linkLocal) && !sameIp(target, this.#gateway.global)) return;
    const isProbe = isUnspecified(from);
    const flags = (ROUTER | (isProbe ? 0x2000_0000 : SOLICITED_OVERRIDE)) >>> 0;
    const body = new Uint8Array(16 + 8);
    const bodyView = new DataView(body.buffer);
    writeIp(bodyView, 0, target);
    writeMacOption(bodyView, 16, options.targetMac, this.#mac);
    this.#send(target, isProbe ? ALL_NODES : from, icmpv6Types.neighbourAdvertisement, flags, body);
  }

  #onAdvertisement(view: DataView, icmp: Icmp): void {
    if (icmp.end - icmp.payload < 16) return;
    const mac = optionMac(view, icmp.payload + 16, icmp.end, options.targetMac);
    if (mac !== null && mac !== undefined) this.#neighbours.learn(readIp(view, icmp.payload, 6), mac);
  }

  /** §7.2.2. */
  solicit(ip: Ip): void {
    const body = new Uint8Array(16 + 8);
    const view = new DataView(body.buffer);
    writeIp(view, 0, ip);
    writeMacOption(view, 16, options.sourceMac, this.#mac);
    const isLocal = ip.a >>> 16 === 0xfe80;
    const from = isLocal ? this.#gateway.linkLocal : this.#gateway.global;
    this.#send(from, solicitedNode(ip), icmpv6Types.neighbourSolicitation, 0, body);
  }

  /** Somebody speaks IPv6: from now on the LAN is reminded. */
  heard(nowMs: number): void {
    this.#advertisedAt ??= nowMs;
  }

  /** With a frame of a guest: it is told again before what it knows runs out. */
  remind(nowMs: number): void {
    if (this.#advertisedAt !== undefined && nowMs - this.#advertisedAt >= ADVERTISE_EVERY_MS)
      this.advertise(ALL_NODES, nowMs);
  }

  /** §4.2: the router, its prefix for addresses of the guest's own making, the MTU, the resolver. */
  advertise(to: Ip, nowMs: number): void {
    if (to === ALL_NODES) this.#advertisedAt = nowMs;
    const body = new Uint8Array(8 + 8 + 8 + 32 + 24);
    const view = new DataView(body.buffer);
    writeMacOption(view, 8, options.sourceMac, this.#mac);
    view.setUint16(16, (options.mtu << 8) | 1);
    view.setUint32(20, this.#ip.mtu);
    view.setUint16(24, (options.prefix << 8) | 4);
    // On-link and autonomous, /64.
    view.setUint16(26, (64 << 8) | 0xc0);
    view.setUint32(28, FOREVER);
    view.setUint32(32, FOREVER);
    writeIp(view, 40, this.#gateway.prefix);
    view.setUint16(56, (options.rdnss << 8) | 3);
    view.setUint32(60, FOREVER);
    writeIp(view, 64, this.#gateway.global);
    const rest = (64 << 24) | ROUTER_LIFETIME_S;
    this.#send(this.#gateway.linkLocal, to, icmpv6Types.routerAdvertisement, rest >>> 0, body);
  }

  #send(from: Ip, to: Ip, type: number, rest: number, body: Uint8Array): void {
    const length = ICMP_BYTES + body.length;
    const at = this.#ip.open(from, to, protocols.icmpv6, length, NEIGHBOUR_TTL);
    const { view, bytes } = this.#ip.slab;
    bytes.set(body, at + ICMP_BYTES);
    writeIcmp(view, at, type, 0, rest);
    view.setUint16(
      at + 2,
      checksum(sum(view, at, at + length, pseudoSum(from, to, protocols.icmpv6, length))),
    );
    this.#ip.close();
  }
}

function writeMacOption(view: DataView, at: number, kind: number, mac: Mac): void {
  view.setUint16(at, (kind << 8) | 1);
  writeMac(view, at + 2, mac);
}

/** §4.6: the hardware address in the options; undefined: none; null: an option that cannot be, and the message is dropped. */
function optionMac(view: DataView, start: number, end: number, kind: number): Mac | null | undefined {
  let found: Mac | undefined;
  for (let at = start; at < end;) {
    const length = at + 2 <= end ? view.getUint8(at + 1) * 8 : 0;
    if (length === 0 || at + length > end) return null;
    if (view.getUint8(at) === kind) found = readMac(view, at + 2);
    at += length;
  }
  return found;
}
