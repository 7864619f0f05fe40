import type { IcmpInput } from "./icmp-input.ts";
import type { IcmpOutput } from "./icmp.ts";
import type { Neighbours } from "./neighbours.ts";
import type { Reassembly } from "./reassembly.ts";
import type { Tcp } from "./tcp/tcp.ts";
import type { Udp } from "./udp.ts";
import { type Ip, readIp } from "./wire/address.ts";
import type { Mac } from "./wire/ethernet.ts";
import { icmpTypes, readIcmp } from "./wire/icmp.ts";
import { type IpHeader, emptyIpHeader, protocols, readIpv4 } from "./wire/ipv4.ts";
import type { StackConfig } from "./world.ts";

/** The parts of the stack that packets go to. */
export interface InputParts {
  readonly neighbours: Neighbours;
  readonly reassembly: Reassembly;
  readonly icmp: IcmpOutput;
  readonly icmpErrors: IcmpInput;
  readonly tcp: Tcp;
  readonly udp: Udp;
}

/** Longer than the link carries: for TCP that is what the other end may have left uncut. */
export const isTooBig = ({ start, end, protocol }: IpHeader, link: StackConfig): boolean =>
  end - start > (protocol === protocols.tcp ? link.segmentBytes : link.mtu);

/** IPv4 packets of the guests (RFC 791, RFC 1122 §3.2, RFC 1812): which of them are for the gateway, and which for the world. */
export class Ipv4Input {
  readonly #parts: InputParts;
  readonly #header = emptyIpHeader();
  readonly #gateway: number;
  readonly #mask: number;
  readonly #config: StackConfig;
  /** Who spoke last: most packets have nothing to teach. */
  #lastSource = 0;
  #lastMac: Mac = 0;

  constructor(parts: InputParts, gateway: Ip, config: StackConfig) {
    this.#parts = parts;
    this.#gateway = gateway.d;
    this.#mask = config.prefixLength === 0 ? 0 : -1 << (32 - config.prefixLength);
    this.#config = config;
  }

  /** An address of the LAN that a guest may have. */
  isGuest(word: number): boolean {
    const host = word & ~this.#mask;
    return (
      (word & this.#mask) === (this.#gateway & this.#mask) &&
      word !== this.#gateway &&
      host !== 0 &&
      host !== ~this.#mask
    );
  }

  ipOfWord(word: number): Ip {
    const view = new DataView(new ArrayBuffer(4));
    view.setInt32(0, word);
    return readIp(view, 0, 4);
  }

  onPacket(view: DataView, start: number, end: number, mac: Mac, nowMs: number): void {
    const header = readIpv4(view, start, end, this.#header);
    if (!header) return;
    const source = view.getInt32(header.source);
    const isGuest = this.isGuest(source);
    // RFC 2131 §4.1: a client without an address has 0.0.0.0; what it sends is UDP to everyone.
    if (!isGuest && source !== 0) return;
    if (isGuest && (source !== this.#lastSource || mac !== this.#lastMac)) {
      this.#parts.neighbours.learn(this.ipOfWord(source), mac);
      this.#lastSource = source;
      this.#lastMac = mac;
    }
    if (header.dontFragment && isTooBig(header, this.#config)) {
      this.#parts.icmp.about(view, header, "tooBig", nowMs, this.#config.mtu);
      return;
    }
    if (!header.moreFragments && header.fragmentOffset === 0) return this.#take(view, header, mac, nowMs);
    const whole = this.#parts.reassembly.add(view, header, nowMs);
    if (whole) this.#take(whole.view, whole.header, mac, nowMs);
    return undefined;
  }

  #take(view: DataView, header: IpHeader, mac: Mac, nowMs: number): void {
    const destination = view.getInt32(header.destination);
    const source = view.getInt32(header.source);
    const isEveryone = destination === -1 || destination === (this.#gateway | ~this.#mask);
    if (isEveryone || destination >>> 28 >= 14 || source === 0) {
      if (isEveryone && header.protocol === protocols.udp)
        this.#parts.udp.onDatagram(view, header, "everyone", mac, nowMs);
      return;
    }
    const isGateway = destination === this.#gateway;
    // Another guest's, or nobody's: the switch carries those, not the gateway. 0/8 and 127/8 are no addresses (RFC 1122 §3.2.1.3).
    const network = destination >>> 24;
    if ((!isGateway && (destination & this.#mask) === (this.#gateway & this.#mask)) || network === 0) return;
    if (!isGateway && header.ttl <= 1) return this.#parts.icmp.about(view, header, "timeExceeded", nowMs);
    if (header.protocol === protocols.tcp) return this.#parts.tcp.onPacket(view, header);
    if (header.protocol === protocols.udp) {
      const outcome = this.#parts.udp.onDatagram(view, header, isGateway ? "gateway" : "world", mac, nowMs);
      if (outcome === "refused") this.#parts.icmp.about(view, header, "port", nowMs);
    } else if (header.protocol === protocols.icmp) this.#onIcmp(view, header, isGateway, nowMs);
    else this.#parts.icmp.about(view, header, "protocol", nowMs);
  }

  /** The gateway answers echo. The world's addresses cannot be asked from here, and the guest hears so at once. */
  #onIcmp(view: DataView, header: IpHeader, isGateway: boolean, nowMs: number): void {
    const icmp = readIcmp(view, header.payload, header.end, 0);
    if (icmp?.type === icmpTypes.unreachable)
      return this.#parts.icmpErrors.onMessage(view, icmp, readIp(view, header.source, 4));
    if (icmp?.type !== icmpTypes.echo) return;
    if (!isGateway) return this.#parts.icmp.about(view, header, "prohibited", nowMs);
    const from = readIp(view, header.destination, 4);
    return this.#parts.icmp.echoReply(from, readIp(view, header.source, 4), view, icmp);
  }
}
