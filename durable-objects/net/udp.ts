import type { IpOutput } from "./ip-output.ts";
import type { Services } from "./service.ts";
import { type Ip, ipOf, readIp } from "./wire/address.ts";
import type { Mac } from "./wire/ethernet.ts";
import { macBytes } from "./wire/ethernet.ts";
import { type IpHeader, protocols } from "./wire/ipv4.ts";
import { UDP_BYTES, readUdp, writeUdp } from "./wire/udp.ts";
import type { Endpoint, World } from "./world.ts";

const ports = { dns: 53, dhcpServer: 67, dhcpClient: 68, https: 443 } as const;
const EVERYONE = ipOf("255.255.255.255")!;
const MAX_PAYLOAD = 65_535 - 40 - UDP_BYTES;

/** What `onDatagram` did: `refused` wants an ICMP port unreachable. */
export type UdpOutcome = "taken" | "refused";

/** UDP: the services of the gateway, and the world for the rest. */
export class Udp {
  readonly #ip: IpOutput;
  readonly #world: World;
  readonly #services: Services;
  readonly #gateway: Ip;
  /** Whether the world carries QUIC; a browser that hears at once that nobody does goes on over TCP. */
  readonly #takesQuic: boolean;

  constructor(ip: IpOutput, world: World, services: Services, gateway: Ip, takesQuic: boolean) {
    this.#ip = ip;
    this.#world = world;
    this.#services = services;
    this.#gateway = gateway;
    this.#takesQuic = takesQuic;
  }

  /** To the gateway itself, to everyone (`isGroup`: only services hear it), or to the world. */
  onDatagram(
    view: DataView,
    header: IpHeader,
    to: "gateway" | "everyone" | "world",
    mac: Mac,
    nowMs: number,
  ): UdpOutcome {
    const source = readIp(view, header.source, header.version);
    const destination = readIp(view, header.destination, header.version);
    const udp = readUdp(view, header.payload, header.end, source, destination);
    if (!udp) return "taken";
    const payload = new Uint8Array(view.buffer, view.byteOffset + udp.payload, udp.end - udp.payload);
    if (to !== "world" && header.version === 4 && udp.destinationPort === ports.dhcpServer)
      return this.#onDhcp(payload, mac, nowMs);
    if (to === "everyone") return "taken";
    const ends = { from: destination, fromPort: udp.destinationPort, to: source, toPort: udp.sourcePort };
    const from: Endpoint = { address: source.text, port: udp.sourcePort };
    const target: Endpoint = { address: destination.text, port: udp.destinationPort };
    if (this.#serve(ends, from, target, payload, to === "gateway", nowMs)) return "taken";
    if (to === "gateway") return "refused";
    if (udp.destinationPort === ports.https && !this.#takesQuic) return "refused";
    const name = this.#services.dns?.nameOf(target.address);
    this.#world.datagram(from, name === undefined ? target : { ...target, name }, payload);
    return "taken";
  }

  /** Any resolver that the guest was told of is played by the gateway: datagrams to the world may have no way out. */
  #serve(
    ends: Ends,
    from: Endpoint,
    to: Endpoint,
    payload: Uint8Array,
    isGateway: boolean,
    nowMs: number,
  ): boolean {
    const reply = (answer: Uint8Array) => this.send(ends, answer);
    if (to.port === ports.dns && this.#services.dns) {
      this.#services.dns.ask(payload, nowMs, reply, "udp");
      return true;
    }
    if (!isGateway) return false;
    const service = this.#services.udp?.find(({ port }) => port === to.port);
    service?.onDatagram(from, to, payload, nowMs, reply);
    return service !== undefined;
  }

  /** RFC 2131 §4.1: a client without an address is told by its hardware address, or all are. */
  #onDhcp(payload: Uint8Array, mac: Mac, nowMs: number): UdpOutcome {
    const answer = this.#services.dhcp?.onMessage(payload, macBytes(mac), nowMs);
    if (!answer) return "taken";
    const to = answer.broadcast ? EVERYONE : ipOf(answer.toAddress);
    if (to?.version !== 4) return "taken";
    const ends = { from: this.#gateway, fromPort: ports.dhcpServer, to, toPort: ports.dhcpClient };
    this.send(ends, answer.payload, answer.broadcast ? undefined : mac);
    return "taken";
  }

  send(ends: Ends, payload: Uint8Array, mac?: Mac): void {
    if (payload.length > MAX_PAYLOAD) return;
    const datagram = new Uint8Array(UDP_BYTES + payload.length);
    datagram.set(payload, UDP_BYTES);
    writeUdp(new DataView(datagram.buffer), 0, ends, payload.length);
    this.#ip.send(ends.from, ends.to, protocols.udp, datagram, mac);
  }
}

export interface Ends {
  readonly from: Ip;
  readonly fromPort: number;
  readonly to: Ip;
  readonly toPort: number;
}
