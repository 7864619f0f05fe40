import type { IpOutput } from "./ip-output.ts";
import { TokenBucket } from "./token-bucket.ts";
import { type Ip, isMulticast, isUnspecified, pseudoSum, readIp } from "./wire/address.ts";
import { checksum, sum } from "./wire/checksum.ts";
import { ICMP_BYTES, type Icmp, icmpTypes, icmpv6Types, writeIcmp } from "./wire/icmp.ts";
import { IPV4_BYTES, type IpHeader, protocols, writeIpv4 } from "./wire/ipv4.ts";
import { IPV6_BYTES, writeIpv6 } from "./wire/ipv6.ts";

/** RFC 1812 §4.3.2.8 and RFC 4443 §2.4 (f) want a limit and leave its size open. */
const ERRORS_PER_SECOND = 100;
const ERROR_BURST = 50;
/** What an error quotes: RFC 1812 §4.3.2.3 up to 576 bytes in all, RFC 4443 §2.4 (c) up to IPv6's least MTU. */
const QUOTE_BYTES = { 4: 576 - IPV4_BYTES - ICMP_BYTES, 6: 1280 - IPV6_BYTES - ICMP_BYTES } as const;

/** Why a datagram is not carried. Type and code for IPv4 (RFC 792, RFC 1812 §5.2.7.1) and for IPv6 (RFC 4443 §3). */
const errors = {
  host: { 4: [3, 1], 6: [1, 3] },
  protocol: { 4: [3, 2], 6: [4, 1] },
  port: { 4: [3, 3], 6: [1, 4] },
  tooBig: { 4: [3, 4], 6: [2, 0] },
  prohibited: { 4: [3, 13], 6: [1, 1] },
  timeExceeded: { 4: [11, 0], 6: [3, 0] },
} as const satisfies Record<string, Record<4 | 6, readonly [type: number, code: number]>>;
export type IcmpError = keyof typeof errors;

/** ICMP and ICMPv6 of the gateway: answers to echo, and errors about what the guest sent. */
export class IcmpOutput {
  readonly #ip: IpOutput;
  readonly #gateways: { readonly 4: Ip; readonly 6: Ip | undefined };
  readonly #budget = new TokenBucket(ERRORS_PER_SECOND, ERROR_BURST);

  constructor(ip: IpOutput, gateways: { readonly 4: Ip; readonly 6: Ip | undefined }) {
    this.#ip = ip;
    this.#gateways = gateways;
  }

  /** RFC 792: the same identifier, number and text. Larger answers than the MTU go in fragments. */
  echoReply(from: Ip, to: Ip, view: DataView, echo: Icmp): void {
    const message = new Uint8Array(ICMP_BYTES + echo.end - echo.payload);
    message.set(
      new Uint8Array(view.buffer, view.byteOffset + echo.payload, echo.end - echo.payload),
      ICMP_BYTES,
    );
    const type = from.version === 4 ? icmpTypes.echoReply : icmpv6Types.echoReply;
    this.#send(from, to, type, 0, echo.rest, message);
  }

  /** About a datagram of the guest; `rest` is the MTU when it was too big. */
  about(view: DataView, header: IpHeader, error: IcmpError, nowMs: number, rest = 0): void {
    if (header.fragmentOffset > 0 || isErrorItself(view, header)) return;
    const to = readIp(view, header.source, header.version);
    const destination = readIp(view, header.destination, header.version);
    if (isMulticast(destination) || isMulticast(to) || isUnspecified(to)) return;
    const length = Math.min(header.end - header.start, QUOTE_BYTES[header.version]);
    const quote = new Uint8Array(view.buffer, view.byteOffset + header.start, length);
    this.#error(to, error, nowMs, rest, quote);
  }

  /** About a datagram that is gone: its header is made again from its ends, and the first 8 bytes of its payload given. */
  aboutEnds(from: Ip, to: Ip, protocol: number, first8: Uint8Array, error: IcmpError, nowMs: number): void {
    const headerBytes = from.version === 4 ? IPV4_BYTES : IPV6_BYTES;
    const quote = new Uint8Array(headerBytes + 8);
    const view = new DataView(quote.buffer);
    const fields = { from, to, protocol, ttl: 64 };
    if (from.version === 4)
      writeIpv4(view, 0, { ...fields, length: headerBytes + 8, identification: 0, fragment: 0 });
    else writeIpv6(view, 0, { ...fields, length: 8 });
    quote.set(first8, headerBytes);
    this.#error(from, error, nowMs, 0, quote);
  }

  #error(to: Ip, error: IcmpError, nowMs: number, rest: number, quote: Uint8Array): void {
    const from = this.#gateways[to.version];
    if (!from || !this.#budget.take(nowMs)) return;
    const [type, code] = errors[error][to.version];
    const message = new Uint8Array(ICMP_BYTES + quote.length);
    message.set(quote, ICMP_BYTES);
    this.#send(from, to, type, code, rest, message);
  }

  #send(from: Ip, to: Ip, type: number, code: number, rest: number, message: Uint8Array): void {
    const view = new DataView(message.buffer);
    writeIcmp(view, 0, type, code, rest);
    const protocol = from.version === 4 ? protocols.icmp : protocols.icmpv6;
    const pseudo = from.version === 4 ? 0 : pseudoSum(from, to, protocol, message.length);
    view.setUint16(2, checksum(sum(view, 0, message.length, pseudo)));
    this.#ip.send(from, to, protocol, message);
  }
}

/** RFC 1122 §3.2.2 and RFC 4443 §2.4 (e): no error about an error. What is too short to tell counts as one. */
function isErrorItself(view: DataView, header: IpHeader): boolean {
  if (header.protocol === protocols.icmpv6)
    return header.end <= header.payload || view.getUint8(header.payload) < 128;
  if (header.protocol !== protocols.icmp) return false;
  const type = header.end > header.payload ? view.getUint8(header.payload) : icmpTypes.unreachable;
  return type !== icmpTypes.echo && type !== icmpTypes.echoReply;
}
