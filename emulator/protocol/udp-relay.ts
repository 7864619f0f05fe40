import * as z from "zod/mini";
import { viewOf } from "./wire-bytes.ts";

/**
 * Framing of UDP datagrams between a guest's gateway and a relay, the same in both directions; big endian.
 *
 * v1: guest port u16, remote IPv4 4 bytes, remote port u16, payload.
 * v2: A2 02, family u8 (4, 6), type u8 = 0, guest port u16, remote IP 4 or 16 bytes, remote port u16, payload.
 *
 * The first two bytes tell them apart, so a v1 datagram of guest port 0xA202 cannot be sent. A relay answers in v2 only
 * a client that has sent v2, and always for IPv6.
 */
export interface RelayDatagram {
  readonly version: 1 | 2;
  readonly guestPort: number;
  /** 4 or 16 bytes. */
  readonly remoteIp: Uint8Array;
  readonly remotePort: number;
  /** A view of the message when decoded. */
  readonly payload: Uint8Array;
}

/** Fits a path of 1280 bytes with the headers of IPv6 and a relay's own transport. */
export const MAX_RELAY_PAYLOAD_BYTES = 1200;
const V2_MARK = 0xa202;
const families = { 4: 0x04, 16: 0x06 } as const;

/** Per form: how its header is laid out. First match wins. */
const layouts = [
  { version: 2, family: 0x04, ipBytes: 4, ipAt: 6 },
  { version: 2, family: 0x06, ipBytes: 16, ipAt: 6 },
  { version: 1, family: undefined, ipBytes: 4, ipAt: 2 },
] as const;

/** Null: drop it. Too short, of an unknown family or type, to port 0, or with more payload than allowed. */
export function decodeRelayDatagram(
  message: Uint8Array,
  maxPayloadBytes: number = MAX_RELAY_PAYLOAD_BYTES,
): RelayDatagram | null {
  if (message.length < 8) return null;
  const view = viewOf(message);
  const isV2 = view.getUint16(0) === V2_MARK;
  if (isV2 && view.getUint8(3) !== 0) return null;
  const layout = layouts.find(({ version, family }) =>
    isV2 ? version === 2 && family === view.getUint8(2) : version === 1,
  );
  if (!layout) return null;
  const { version, ipAt, ipBytes } = layout;
  const payloadAt = ipAt + ipBytes + 2;
  if (message.length < payloadAt || message.length - payloadAt > maxPayloadBytes) return null;
  const remotePort = view.getUint16(payloadAt - 2);
  if (remotePort === 0) return null;
  const remoteIp = message.slice(ipAt, ipAt + ipBytes);
  return {
    version,
    guestPort: view.getUint16(ipAt - 2),
    remoteIp,
    remotePort,
    payload: message.subarray(payloadAt),
  };
}

/** Null: this version cannot say it (IPv6 or guest port 0xA202 in v1, an address of another length). */
export function encodeRelayDatagram(datagram: RelayDatagram): Uint8Array<ArrayBuffer> | null {
  const { version, guestPort, remoteIp, remotePort, payload } = datagram;
  const length = remoteIp.length;
  if (length !== 4 && length !== 16) return null;
  if (version === 1 && (length === 16 || guestPort === V2_MARK)) return null;
  const ipAt = version === 1 ? 2 : 6;
  const message = new Uint8Array(ipAt + length + 2 + payload.length);
  const view = viewOf(message);
  if (version === 2) {
    view.setUint16(0, V2_MARK);
    view.setUint8(2, families[length]);
  }
  view.setUint16(ipAt - 2, guestPort);
  message.set(remoteIp, ipAt);
  view.setUint16(ipAt + length, remotePort);
  message.set(payload, ipAt + length + 2);
  return message;
}

/** UDP over IPv4 carries no more (RFC 768, RFC 791). A relay of this house takes it and says so. */
export const LARGEST_DATAGRAM_BYTES = 65_507;

/**
 * Text messages of the WebSocket carrier `/udp`. Ours alone, and absent from others' relays: in `ready` the longest payload
 * (others: 1,200) and whether pings are answered; in `error` the conversation that it is about; `ping` and `pong`, by which
 * a client that sends much knows how much has arrived.
 */
const short = z.string().check(z.maxLength(4096));
const port = z.number().check(z.int(), z.minimum(0), z.maximum(65_535));
export const RelayAuth = z.object({
  type: z.literal("auth"),
  token: z.optional(short),
  apiKey: z.optional(short),
});
export type RelayAuth = z.infer<typeof RelayAuth>;
export const RelayControl = z.discriminatedUnion("type", [
  z.object({
    type: z.literal("ready"),
    sessionId: short,
    maxPayloadBytes: z.optional(
      z.number().check(z.int(), z.minimum(MAX_RELAY_PAYLOAD_BYTES), z.maximum(LARGEST_DATAGRAM_BYTES)),
    ),
    pings: z.optional(z.boolean()),
  }),
  z.object({
    type: z.literal("error"),
    code: short,
    message: short,
    guestPort: z.optional(port),
    address: z.optional(z.string().check(z.maxLength(45))),
    port: z.optional(port),
  }),
  z.object({ type: z.literal("ping") }),
  z.object({ type: z.literal("pong") }),
]);
export type RelayControl = z.infer<typeof RelayControl>;
const RelayText = z.union([RelayAuth, RelayControl]);

/** Null: not one of the messages above. Longer texts are not looked at. */
export function readRelayText(text: string): z.infer<typeof RelayText> | null {
  if (text.length > MAX_TEXT_CHARS) return null;
  try {
    return RelayText.safeParse(JSON.parse(text)).data ?? null;
  } catch {
    return null;
  }
}
const MAX_TEXT_CHARS = 16_384;

/** `code` of an error. The last is our own: a datagram that has no way. */
export const relayErrors = [
  "unauthorized",
  "too_many_sessions",
  "session_already_active",
  "unsupported_destination",
] as const;
export type RelayError = (typeof relayErrors)[number];
