/**
 * DHCP messages (RFC 2131 §2, options RFC 2132): read with bounds, written with the fields that a server fills. Options
 * of one code that come in pieces are put together (RFC 3396); `file` and `sname` are read when option 52 says so.
 */
export const dhcpTypes = {
  discover: 1,
  offer: 2,
  request: 3,
  decline: 4,
  ack: 5,
  nak: 6,
  release: 7,
  inform: 8,
} as const;

export const dhcpOptions = {
  subnetMask: 1,
  router: 3,
  dns: 6,
  hostName: 12,
  domainName: 15,
  mtu: 26,
  broadcast: 28,
  ntp: 42,
  requestedAddress: 50,
  leaseTime: 51,
  overload: 52,
  type: 53,
  server: 54,
  parameters: 55,
  renewal: 58,
  rebinding: 59,
  clientId: 61,
} as const;

const OPTIONS_AT = 240;
const COOKIE = 0x63825363;
const MAX_MESSAGE_BYTES = 1500;
/** Of a BOOTP message; some clients drop shorter ones. */
const MIN_MESSAGE_BYTES = 300;
const SNAME = { at: 44, bytes: 64 };
const FILE = { at: 108, bytes: 128 };

export interface DhcpRequest {
  readonly type: number;
  readonly transaction: number;
  readonly seconds: number;
  readonly wantsBroadcast: boolean;
  readonly ciaddr: Uint8Array;
  readonly chaddr: Uint8Array;
  readonly giaddr: Uint8Array;
  readonly options: ReadonlyMap<number, Uint8Array>;
}

/** Null: not a DHCP request over Ethernet. Never throws. */
export function readDhcp(message: Uint8Array): DhcpRequest | null {
  if (message.length < OPTIONS_AT + 3 || message.length > MAX_MESSAGE_BYTES) return null;
  const view = new DataView(message.buffer, message.byteOffset, message.byteLength);
  const isRequest = message[0] === 1 && message[1] === 1 && message[2] === 6;
  if (!isRequest || view.getUint32(236) !== COOKIE) return null;
  const options = new Map<number, Uint8Array>();
  if (!readOptions(message.subarray(OPTIONS_AT), options)) return null;
  const overload = options.get(dhcpOptions.overload)?.[0] ?? 0;
  if (overload & 1 && !readOptions(part(message, FILE), options)) return null;
  if (overload & 2 && !readOptions(part(message, SNAME), options)) return null;
  const type = options.get(dhcpOptions.type);
  if (type?.length !== 1) return null;
  return {
    type: type[0]!,
    transaction: view.getUint32(4),
    seconds: view.getUint16(8),
    wantsBroadcast: (view.getUint16(10) & 0x8000) !== 0,
    ciaddr: message.slice(12, 16),
    giaddr: message.slice(24, 28),
    chaddr: message.slice(28, 34),
    options,
  };
}

const part = (message: Uint8Array, { at, bytes }: typeof FILE): Uint8Array =>
  message.subarray(at, at + bytes);

function readOptions(bytes: Uint8Array, options: Map<number, Uint8Array>): boolean {
  let at = 0;
  while (at < bytes.length) {
    const code = bytes[at++]!;
    if (code === 255) return true;
    if (code === 0) continue;
    const length = bytes[at++];
    if (length === undefined || at + length > bytes.length) return false;
    const piece = bytes.subarray(at, at + length);
    const before = options.get(code);
    options.set(code, before ? Uint8Array.of(...before, ...piece) : piece.slice());
    at += length;
  }
  // Without an end option the message ends the options.
  return true;
}

export interface DhcpReply {
  readonly yiaddr?: Uint8Array;
  readonly options: readonly (readonly [number, Uint8Array])[];
}

export function writeDhcp(request: DhcpRequest, reply: DhcpReply): Uint8Array<ArrayBuffer> {
  const optionBytes = reply.options.reduce((sum, [, value]) => sum + 2 + value.length, 1);
  const message = new Uint8Array(Math.max(MIN_MESSAGE_BYTES, OPTIONS_AT + optionBytes));
  const view = new DataView(message.buffer);
  message.set([2, 1, 6, 0]);
  view.setUint32(4, request.transaction);
  view.setUint16(10, request.wantsBroadcast ? 0x8000 : 0);
  message.set(request.ciaddr, 12);
  if (reply.yiaddr) message.set(reply.yiaddr, 16);
  message.set(request.giaddr, 24);
  message.set(request.chaddr, 28);
  view.setUint32(236, COOKIE);
  let at = OPTIONS_AT;
  for (const [code, value] of reply.options) {
    message.set([code, value.length], at);
    message.set(value, at + 2);
    at += 2 + value.length;
  }
  message[at] = 255;
  return message;
}
