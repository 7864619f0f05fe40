import { type DhcpRequest, dhcpOptions, dhcpTypes, readDhcp, writeDhcp } from "./dhcp-message.ts";
import { type Lease, LeaseTable } from "./dhcp-leases.ts";
import { formatIp, parseIp } from "./ip-text.ts";
import type { DhcpAnswer, DhcpService } from "./service.ts";
import type { Address, StackConfig } from "./world.ts";

/**
 * The LAN's DHCP server (RFC 2131): the only one, so that it answers with authority. It may have been asleep: a client that
 * comes back with an address that is free keeps it. Not modelled: relays, RFC 3203 forced renewal, boot file names.
 */
const LEASE_SECONDS = 86_400;
const NOBODY = "255.255.255.255";

/** A lease that runs, for the panel and for DNS. */
export interface LeaseView {
  readonly address: Address;
  /** Six bytes as hex. */
  readonly mac: string;
  readonly hostName: string | undefined;
  readonly expiresAt: number;
}

type DhcpConfig = Pick<StackConfig, "gateway" | "prefixLength" | "firstLease" | "leases" | "mtu" | "domain">;

const toNumber = (bytes: Uint8Array): number =>
  bytes.length === 4 ? new DataView(bytes.buffer, bytes.byteOffset, 4).getUint32(0) : 0;
const toBytes = (value: number): Uint8Array =>
  Uint8Array.of(value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255);
const hexOf = (bytes: Uint8Array): string =>
  Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
const ascii = (text: string): Uint8Array => Uint8Array.from(text, (letter) => letter.charCodeAt(0) & 0x7f);

export class Dhcp implements DhcpService {
  readonly #gateway: Uint8Array;
  readonly #mask: number;
  readonly #table: LeaseTable;
  /** What a client may ask for, in the order in which it is told. */
  readonly #facts: ReadonlyMap<number, Uint8Array>;
  /** Grows whenever an address is promised or given back: then `memory` has changed. */
  revision = 0;

  /** `memory`: of a server of this LAN that was here before. */
  constructor(config: DhcpConfig, memory: readonly Lease[] = []) {
    const gateway = parseIp(config.gateway);
    const first = parseIp(config.firstLease);
    if (gateway?.length !== 4 || first?.length !== 4) throw new RangeError("The LAN's addresses are IPv4.");
    this.#gateway = gateway;
    this.#mask = config.prefixLength === 0 ? 0 : (0xffff_ffff << (32 - config.prefixLength)) >>> 0;
    const last = (toNumber(gateway) | ~this.#mask) >>> 0;
    // The highest address of the network is its broadcast address.
    this.#table = new LeaseTable(toNumber(first), Math.min(config.leases, last - toNumber(first)), memory);
    this.#facts = new Map<number, Uint8Array>([
      [dhcpOptions.subnetMask, toBytes(this.#mask)],
      [dhcpOptions.router, gateway],
      [dhcpOptions.dns, gateway],
      [dhcpOptions.domainName, ascii(config.domain)],
      [dhcpOptions.mtu, Uint8Array.of(config.mtu >> 8, config.mtu & 255)],
      [dhcpOptions.broadcast, toBytes(last)],
      [dhcpOptions.ntp, gateway],
    ]);
  }

  /** What a server that takes over must know, so that no address is given twice. */
  memory(): readonly Lease[] {
    return this.#table.rows();
  }

  leases(nowMs: number): LeaseView[] {
    return this.#table.all(nowMs).map(({ address, mac, hostName, expiresAt }) => ({
      address: formatIp(toBytes(address)),
      mac,
      hostName,
      expiresAt,
    }));
  }

  /** `clientMac` is where the frame came from; the message's own hardware address names the client (§4.1). */
  onMessage(message: Uint8Array, _clientMac: Uint8Array, nowMs: number): DhcpAnswer | null {
    const request = readDhcp(message);
    if (!request || toNumber(request.giaddr) !== 0) return null;
    const client = identityOf(request);
    switch (request.type) {
      case dhcpTypes.discover:
        return this.#onDiscover(request, client, nowMs);
      case dhcpTypes.request:
        return this.#onRequest(request, client, nowMs);
      case dhcpTypes.decline: {
        const declined = request.options.get(dhcpOptions.requestedAddress) ?? request.ciaddr;
        this.revision++;
        this.#table.decline(client.client, client.mac, toNumber(declined), nowMs);
        return null;
      }
      case dhcpTypes.release:
        this.revision++;
        this.#table.release(client.client, client.mac, toNumber(request.ciaddr), nowMs);
        return null;
      case dhcpTypes.inform:
        return this.#answer(request, dhcpTypes.ack, null);
      default:
        return null;
    }
  }

  #onDiscover(request: DhcpRequest, { client, mac }: Identity, nowMs: number): DhcpAnswer | null {
    const address = this.#table.choose(client, mac, requested(request), nowMs);
    if (address === undefined) return null;
    const lease = { client, mac, address, hostName: this.#nameFor(request, client, mac, address, nowMs) };
    return this.#answer(request, dhcpTypes.offer, this.#table.offer(lease, nowMs).address);
  }

  /** The four states of §4.3.2 differ in where the address stands: option 50, or `ciaddr`. */
  #onRequest(request: DhcpRequest, { client, mac }: Identity, nowMs: number): DhcpAnswer | null {
    const server = request.options.get(dhcpOptions.server);
    if (server && toNumber(server) !== toNumber(this.#gateway)) {
      this.#table.forgetOffer(client, mac);
      return null;
    }
    const address = requested(request) ?? toNumber(request.ciaddr);
    if (address === 0) return null;
    if (!this.#table.isFree(address, client, mac, nowMs)) return this.#answer(request, dhcpTypes.nak, null);
    const hostName = this.#nameFor(request, client, mac, address, nowMs);
    const expiresAt = nowMs + LEASE_SECONDS * 1000;
    this.revision++;
    this.#table.bind({ client, mac, address, hostName, expiresAt });
    return this.#answer(request, dhcpTypes.ack, address);
  }

  /** The host name that a client gives itself; the second of the same name gets its last octet behind it. */
  #nameFor(
    request: DhcpRequest,
    client: string,
    mac: string,
    address: number,
    nowMs: number,
  ): string | undefined {
    const given = request.options.get(dhcpOptions.hostName);
    if (!given) return this.#table.of(client, mac)?.hostName;
    const name = hostName(given);
    if (!name) return undefined;
    const isTaken = this.#table
      .all(nowMs)
      .some((lease: Lease) => lease.hostName === name && lease.client !== client && lease.mac !== mac);
    return isTaken || name === "gateway" ? `${name.slice(0, 59)}-${address & 255}` : name;
  }

  /** `address` null: none is given (NAK, INFORM). Where it goes is §4.1's last table. */
  #answer(request: DhcpRequest, type: number, address: number | null): DhcpAnswer {
    const options: [number, Uint8Array][] = [
      [dhcpOptions.type, Uint8Array.of(type)],
      [dhcpOptions.server, this.#gateway],
    ];
    if (address !== null)
      options.push(
        [dhcpOptions.leaseTime, toBytes(LEASE_SECONDS)],
        [dhcpOptions.renewal, toBytes(LEASE_SECONDS / 2)],
        [dhcpOptions.rebinding, toBytes(Math.floor((LEASE_SECONDS * 7) / 8))],
      );
    if (type !== dhcpTypes.nak) options.push(...this.#asked(request));
    // RFC 6842: a client id comes back as it was sent.
    const clientId = request.options.get(dhcpOptions.clientId);
    if (clientId && clientId.length <= 255) options.push([dhcpOptions.clientId, clientId]);
    const payload = writeDhcp(request, {
      ...(address !== null && { yiaddr: toBytes(address) }),
      options,
    });
    return { payload, ...where(request, type, address) };
  }

  #asked(request: DhcpRequest): [number, Uint8Array][] {
    const wanted = request.options.get(dhcpOptions.parameters);
    return [...this.#facts].filter(([code]) => !wanted || wanted.includes(code));
  }
}

function where(
  request: DhcpRequest,
  type: number,
  address: number | null,
): { broadcast: boolean; toAddress: Address } {
  const toEveryone = { broadcast: true, toAddress: NOBODY };
  if (type === dhcpTypes.nak) return toEveryone;
  if (toNumber(request.ciaddr) !== 0) return { broadcast: false, toAddress: formatIp(request.ciaddr) };
  if (request.wantsBroadcast || address === null) return toEveryone;
  return { broadcast: false, toAddress: formatIp(toBytes(address)) };
}

interface Identity {
  readonly client: string;
  readonly mac: string;
}
function identityOf(request: DhcpRequest): Identity {
  const mac = hexOf(request.chaddr);
  const id = request.options.get(dhcpOptions.clientId);
  // The type byte keeps a client id apart from a hardware address of the same bytes; 255 bytes are its longest form.
  return { mac, client: id && id.length >= 2 ? `id:${hexOf(id.subarray(0, 255))}` : `mac:${mac}` };
}

function requested(request: DhcpRequest): number | undefined {
  const wish = request.options.get(dhcpOptions.requestedAddress);
  return wish?.length === 4 ? toNumber(wish) : undefined;
}

/** The first label, in lower case; undefined: not a host name (RFC 952, RFC 1123 §2.1). */
function hostName(bytes: Uint8Array): string | undefined {
  const text = String.fromCharCode(...bytes.subarray(0, 63)).toLowerCase();
  const label = text.replace(/\0+$/, "").split(".")[0]!;
  return /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(label) ? label : undefined;
}
