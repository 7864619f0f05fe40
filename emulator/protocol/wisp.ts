import { type Outcome, fail, ok } from "./failure.ts";
import { boundedUtf8, lenientText, strictText, utf8, viewOf } from "./wire-bytes.ts";

/**
 * Wisp v1 and v2: TCP and UDP streams over one WebSocket, one packet per binary message: type u8, stream u32, payload;
 * little endian. v2 is spoken when the client offers any subprotocol; it adds INFO with extensions.
 */
export const WISP_V2 = "wisp-v2";
const HEADER_BYTES = 5;
const types = { connect: 1, data: 2, continue: 3, close: 4, info: 5 } as const;

export const wispLimits = {
  /** Of one WebSocket message; DATA of a reference client is at most 64 KiB. */
  messageBytes: 2 ** 20,
  hostBytes: 255,
  extensions: 16,
  extensionBytes: 4096,
  /** Packets per stream that a server takes before CONTINUE. */
  bufferPackets: 128,
  streams: 1024,
} as const;

export const wispCloseReasons = {
  unknown: 0x01,
  voluntary: 0x02,
  networkError: 0x03,
  incompatibleExtensions: 0x04,
  invalidInfo: 0x41,
  unreachable: 0x42,
  timeout: 0x43,
  refused: 0x44,
  idle: 0x47,
  blocked: 0x48,
  throttled: 0x49,
  clientError: 0x81,
  badPassword: 0xc0,
  badSignature: 0xc1,
  credentialsRequired: 0xc2,
} as const;

export const wispExtensions = { udp: 0x01, password: 0x02, key: 0x03, motd: 0x04, confirm: 0x05 } as const;
export interface WispExtension {
  readonly id: number;
  readonly payload: Uint8Array;
}

export type WispPacket =
  | {
      readonly type: "connect";
      readonly stream: number;
      readonly transport: "tcp" | "udp";
      readonly port: number;
      readonly host: string;
    }
  /** The bytes are a view of the message. */
  | { readonly type: "data"; readonly stream: number; readonly bytes: Uint8Array }
  | { readonly type: "continue"; readonly stream: number; readonly packets: number }
  | { readonly type: "close"; readonly stream: number; readonly reason: number }
  | {
      readonly type: "info";
      readonly stream: number;
      readonly major: number;
      readonly minor: number;
      readonly extensions: readonly WispExtension[];
    };

const bad = (problem: string): Outcome<never> => fail({ code: "bad-request", problem });

function readConnect(stream: number, payload: Uint8Array): WispPacket | string {
  const transport = payload[0] === 1 ? "tcp" : payload[0] === 2 ? "udp" : undefined;
  if (!transport) return `Stream type ${payload[0]} is unknown.`;
  const port = viewOf(payload).getUint16(1, true);
  const host = strictText(payload.subarray(3));
  if (stream === 0) return "Stream 0 cannot be connected.";
  if (port === 0) return "Port 0 cannot be connected.";
  return host === undefined ? "A host is not UTF-8." : { type: "connect", stream, transport, port, host };
}

function readInfo(stream: number, payload: Uint8Array): WispPacket | string {
  const extensions: WispExtension[] = [];
  const view = viewOf(payload);
  let at = 2;
  while (at < payload.length) {
    if (extensions.length === wispLimits.extensions) return "INFO has too many extensions.";
    if (at + 5 > payload.length) return "INFO ends inside an extension.";
    const length = view.getUint32(at + 1, true);
    if (length > wispLimits.extensionBytes) return "An extension of INFO is too long.";
    if (at + 5 + length > payload.length) return "INFO ends inside an extension.";
    extensions.push({ id: view.getUint8(at), payload: payload.slice(at + 5, at + 5 + length) });
    at += 5 + length;
  }
  return { type: "info", stream, major: view.getUint8(0), minor: view.getUint8(1), extensions };
}

/** Per type: the shortest and longest payload and how it is read. */
const rows: ReadonlyMap<
  number,
  { min: number; max: number; read: (stream: number, payload: Uint8Array) => WispPacket | string }
> = new Map([
  [types.connect, { min: 4, max: 3 + wispLimits.hostBytes, read: readConnect }],
  [
    types.data,
    {
      min: 0,
      max: wispLimits.messageBytes - HEADER_BYTES,
      read: (stream, bytes) => ({ type: "data", stream, bytes }) as const,
    },
  ],
  [
    types.continue,
    {
      min: 4,
      max: 4,
      read: (stream, payload) =>
        ({ type: "continue", stream, packets: viewOf(payload).getUint32(0, true) }) as const,
    },
  ],
  [
    types.close,
    {
      min: 1,
      max: 1,
      read: (stream, payload) => ({ type: "close", stream, reason: payload[0]! }) as const,
    },
  ],
  [types.info, { min: 2, max: 2 + wispLimits.extensions * (5 + wispLimits.extensionBytes), read: readInfo }],
]);

/** Reads one binary message. Never throws. */
export function decodeWisp(message: Uint8Array): Outcome<WispPacket> {
  if (message.length < HEADER_BYTES) return bad("The packet is shorter than its header.");
  const row = rows.get(message[0]!);
  if (!row) return bad(`Packet type ${message[0]} is unknown.`);
  const payload = message.subarray(HEADER_BYTES);
  if (payload.length < row.min || payload.length > row.max)
    return bad(`A packet of type ${message[0]} cannot have ${payload.length} bytes.`);
  const read = row.read(viewOf(message).getUint32(1, true), payload);
  return typeof read === "string" ? bad(read) : ok(read);
}

function make(type: number, stream: number, payload: Uint8Array): Uint8Array<ArrayBuffer> {
  const message = new Uint8Array(HEADER_BYTES + payload.length);
  message[0] = type;
  viewOf(message).setUint32(1, stream, true);
  message.set(payload, HEADER_BYTES);
  return message;
}

function u32(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  viewOf(bytes).setUint32(0, value, true);
  return bytes;
}

function infoPayload(major: number, minor: number, extensions: readonly WispExtension[]): Uint8Array {
  const parts = extensions.flatMap(({ id, payload }) => [Uint8Array.of(id), u32(payload.length), payload]);
  return concat([Uint8Array.of(major, minor), ...parts]);
}

function concat(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

export const encodeWisp = {
  connect: (stream: number, transport: "tcp" | "udp", host: string, port: number) => {
    const head = Uint8Array.of(transport === "tcp" ? 1 : 2, port & 0xff, port >> 8);
    return make(types.connect, stream, concat([head, boundedUtf8(host, wispLimits.hostBytes)]));
  },
  data: (stream: number, bytes: Uint8Array) => make(types.data, stream, bytes),
  continue: (stream: number, packets: number) => make(types.continue, stream, u32(packets)),
  close: (stream: number, reason: keyof typeof wispCloseReasons) =>
    make(types.close, stream, Uint8Array.of(wispCloseReasons[reason])),
  info: (extensions: readonly WispExtension[], major = 2, minor = 0) =>
    make(types.info, 0, infoPayload(major, minor, extensions)),
} as const;

export interface WispPassword {
  readonly user: string;
  readonly password: string;
}

/**
 * The client's payload of the password extension. Draft 6 writes user length u8, user, password to the end; the
 * reference library writes user length u8, password length u16, user, password. The second is meant when its lengths add
 * up exactly. Undefined: neither.
 */
export function readWispPassword(payload: Uint8Array): WispPassword | undefined {
  if (payload.length < 1) return undefined;
  const userBytes = payload[0]!;
  const isLong = payload.length >= 3 && 3 + userBytes + viewOf(payload).getUint16(1, true) === payload.length;
  const userAt = isLong ? 3 : 1;
  if (payload.length < userAt + userBytes) return undefined;
  const user = strictText(payload.subarray(userAt, userAt + userBytes));
  const password = strictText(payload.subarray(userAt + userBytes));
  return user === undefined || password === undefined ? undefined : { user, password };
}

/** The payload as a client writes it, in the layout asked for. Names are at most 255 bytes. */
export function wispPassword({ user, password }: WispPassword, layout: "draft" | "library"): Uint8Array {
  const name = boundedUtf8(user, 255);
  const secret = boundedUtf8(password, 1024);
  const head =
    layout === "draft"
      ? Uint8Array.of(name.length)
      : Uint8Array.of(name.length, secret.length & 0xff, secret.length >> 8);
  return concat([head, name, secret]);
}

/** Payloads that a server's INFO carries: a message of the day as text, "required" as one byte. */
export const wispMotd = (text: string): WispExtension => ({
  id: wispExtensions.motd,
  payload: utf8(text.slice(0, 1024)),
});
export const readWispMotd = (extensions: readonly WispExtension[]): string | undefined => {
  const motd = extensions.find(({ id }) => id === wispExtensions.motd);
  return motd && lenientText(motd.payload);
};

/** A path that ends in `/` is Wisp; `…/host:port` is one raw TCP connection (wsproxy). Null: neither. */
export function wispTarget(path: string): "wisp" | { readonly host: string; readonly port: number } | null {
  if (path.endsWith("/")) return "wisp";
  const last = path.slice(path.lastIndexOf("/") + 1);
  const parts = /^(\[[0-9A-Fa-f:.]{2,45}\]|[^:/[\]]{1,253}):(\d{1,5})$/.exec(last);
  if (!parts) return null;
  const port = Number(parts[2]);
  return port >= 1 && port <= 65_535 ? { host: parts[1]!.replace(/^\[|\]$/g, ""), port } : null;
}
