import type { Tcp } from "./tcp/tcp.ts";
import { type Ip, readIp, sameIp } from "./wire/address.ts";
import { type Icmp, icmpTypes, icmpv6Types } from "./wire/icmp.ts";
import { IPV4_BYTES, type IpHeader, emptyIpHeader, protocols } from "./wire/ipv4.ts";
import { IPV6_BYTES } from "./wire/ipv6.ts";
import type { World } from "./world.ts";

/** Ports and the sequence number: what every error quotes of TCP and UDP (RFC 792, RFC 4443 §2.4 c). */
const QUOTED_BYTES = 8;
/**
 * What says for good that a port of this guest takes nothing: protocol, port (RFC 1122 §4.2.3.9 calls them hard), and the
 * prohibitions that a guest's firewall answers with (RFC 1812 §5.2.7.1); of IPv6 prohibited, port, policy and reject
 * (RFC 4443 §3.1).
 */
const hardCodes: Readonly<Record<4 | 6, readonly number[]>> = { 4: [2, 3, 9, 10, 13], 6: [1, 4, 5, 6] };

/** Errors of a guest about what the stack has sent to it. Anything else that it quotes is ignored. */
export class IcmpInput {
  readonly #tcp: Tcp;
  readonly #world: World;
  readonly #quoted = emptyIpHeader();

  constructor(tcp: Tcp, world: World) {
    this.#tcp = tcp;
    this.#world = world;
  }

  /** `source`: who sent the error. An error is only believed of the host that the quoted packet was for. */
  onMessage(view: DataView, icmp: Icmp, source: Ip): void {
    const isUnreachable =
      icmp.type === (source.version === 4 ? icmpTypes.unreachable : icmpv6Types.unreachable);
    if (!isUnreachable || !hardCodes[source.version].includes(icmp.code)) return;
    const quoted = this.#read(view, icmp, source.version);
    if (!quoted || !sameIp(readIp(view, quoted.destination, source.version), source)) return;
    const peerPort = view.getUint16(quoted.payload);
    const guestPort = view.getUint16(quoted.payload + 2);
    if (quoted.protocol === protocols.tcp)
      this.#tcp.onUnreachable(view, quoted, guestPort, peerPort, view.getUint32(quoted.payload + 4));
    else if (quoted.protocol === protocols.udp) {
      const peer = readIp(view, quoted.source, source.version);
      this.#world.unheard?.(
        { address: source.text, port: guestPort },
        { address: peer.text, port: peerPort },
      );
    }
  }

  /** The header of the quoted packet, which is cut short; its own checksum and length say nothing any more. */
  #read(view: DataView, icmp: Icmp, version: 4 | 6): IpHeader | null {
    const at = icmp.payload;
    const least = version === 4 ? IPV4_BYTES : IPV6_BYTES;
    if (icmp.end - at < least || view.getUint8(at) >> 4 !== version) return null;
    const headerBytes = version === 4 ? (view.getUint8(at) & 15) * 4 : IPV6_BYTES;
    // A fragment that is not the first has no ports.
    const isLater = version === 4 && (view.getUint16(at + 6) & 0x1fff) !== 0;
    if (headerBytes < least || icmp.end - at < headerBytes + QUOTED_BYTES || isLater) return null;
    const quoted = this.#quoted;
    quoted.version = version;
    quoted.start = at;
    quoted.payload = at + headerBytes;
    quoted.end = icmp.end;
    quoted.protocol = view.getUint8(at + (version === 4 ? 9 : 6));
    quoted.source = at + (version === 4 ? 12 : 8);
    quoted.destination = at + (version === 4 ? 16 : 24);
    return quoted;
  }
}
