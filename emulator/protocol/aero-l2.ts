import { type Outcome, fail, ok } from "./failure.ts";
import { boundedUtf8, lenientText, strictText, utf8, viewOf } from "./wire-bytes.ts";

/**
 * `aero-l2-tunnel-v1`: one Ethernet frame per binary WebSocket message. Four bytes of header (magic, version, type,
 * flags), then the payload; big endian. A server is strict (the first malformed message ends in ERROR 1 and 1008), a
 * client is tolerant (it drops what it does not understand): `receiveAeroL2` says which.
 */
export const AERO_L2 = "aero-l2-tunnel-v1";
/** A credential may be offered as a further subprotocol with this prefix. */
export const AERO_L2_TOKEN = "aero-l2-token.";

const MAGIC = 0xa2;
const VERSION = 0x03;
const HEADER_BYTES = 4;
const types = { frame: 0x00, ping: 0x01, pong: 0x02, error: 0x7f } as const;

/** Bounds of the payloads; a client takes them from POST /session. */
export interface AeroL2Limits {
  readonly maxFramePayloadBytes: number;
  readonly maxControlPayloadBytes: number;
}
export const aeroL2Limits: AeroL2Limits = { maxFramePayloadBytes: 2048, maxControlPayloadBytes: 256 };
export const aeroL2MessageBytes = (limits: AeroL2Limits): number =>
  HEADER_BYTES + Math.max(limits.maxFramePayloadBytes, limits.maxControlPayloadBytes);

export const aeroL2Errors = {
  protocol_error: 1,
  auth_required: 2,
  auth_invalid: 3,
  origin_missing: 4,
  origin_denied: 5,
  quota_bytes: 6,
  quota_fps: 7,
  quota_connections: 8,
  backpressure: 9,
} as const;
export type AeroL2Error = keyof typeof aeroL2Errors;

/** WebSocket close codes (RFC 6455 §7.4). */
export const aeroL2Closes = { normal: 1000, goingAway: 1001, refused: 1008 } as const;

export type AeroL2Message =
  | { readonly type: "frame" | "ping" | "pong"; readonly payload: Uint8Array }
  /** `code` is absent where the peer sent words alone. */
  | { readonly type: "error"; readonly code?: number; readonly text: string }
  /** Of a later version of the protocol; ignored. */
  | { readonly type: "unknown" };

const bad = (problem: string): Outcome<never> => fail({ code: "bad-request", problem });

/** Structured only if the length says exactly what is there; anything else is words. */
function readError(payload: Uint8Array): AeroL2Message {
  if (payload.length >= 4) {
    const view = viewOf(payload);
    const text = strictText(payload.subarray(4));
    if (view.getUint16(2) === payload.length - 4 && text !== undefined)
      return { type: "error", code: view.getUint16(0), text };
  }
  return { type: "error", text: lenientText(payload) };
}

/** Per type: which bound its payload has and how it is read. The payload is a view of the message. */
const rows: ReadonlyMap<
  number,
  { readonly bound: keyof AeroL2Limits; readonly read: (payload: Uint8Array) => AeroL2Message }
> = new Map([
  [
    types.frame,
    { bound: "maxFramePayloadBytes", read: (payload: Uint8Array) => ({ type: "frame", payload }) },
  ],
  [
    types.ping,
    { bound: "maxControlPayloadBytes", read: (payload: Uint8Array) => ({ type: "ping", payload }) },
  ],
  [
    types.pong,
    { bound: "maxControlPayloadBytes", read: (payload: Uint8Array) => ({ type: "pong", payload }) },
  ],
  [types.error, { bound: "maxControlPayloadBytes", read: readError }],
] as const);

/** Reads one binary message. Never throws and copies nothing. */
export function decodeAeroL2(
  message: Uint8Array,
  limits: AeroL2Limits = aeroL2Limits,
): Outcome<AeroL2Message> {
  if (message.length < HEADER_BYTES) return bad("The message is shorter than its header.");
  if (message[0] !== MAGIC) return bad("The message does not begin with 0xA2.");
  if (message[1] !== VERSION) return bad(`Version ${message[1]} is not spoken here.`);
  const payload = message.subarray(HEADER_BYTES);
  const row = rows.get(message[2]!);
  const bound = row ? limits[row.bound] : aeroL2MessageBytes(limits) - HEADER_BYTES;
  if (payload.length > bound) return bad(`The payload is longer than ${bound} bytes.`);
  return ok(row ? row.read(payload) : { type: "unknown" });
}

/** What a receiver does with a WebSocket message. */
export type AeroL2Verdict =
  | { readonly kind: "message"; readonly message: Exclude<AeroL2Message, { type: "unknown" }> }
  | { readonly kind: "ignore" }
  /** Send these bytes, then close with 1008 and the reason. */
  | { readonly kind: "refuse"; readonly error: Uint8Array<ArrayBuffer>; readonly reason: string };

export function receiveAeroL2(
  side: "client" | "server",
  message: Uint8Array | string,
  limits: AeroL2Limits = aeroL2Limits,
): AeroL2Verdict {
  if (typeof message === "string") return { kind: "ignore" };
  const decoded = decodeAeroL2(message, limits);
  if (decoded.ok)
    return decoded.value.type === "unknown"
      ? { kind: "ignore" }
      : { kind: "message", message: decoded.value };
  if (side === "client") return { kind: "ignore" };
  const reason = "problem" in decoded.failure ? decoded.failure.problem : "protocol error";
  return {
    kind: "refuse",
    error: encodeAeroL2.error("protocol_error", reason, limits.maxControlPayloadBytes),
    reason,
  };
}

function make(type: number, payload: Uint8Array): Uint8Array<ArrayBuffer> {
  const message = new Uint8Array(HEADER_BYTES + payload.length);
  message.set([MAGIC, VERSION, type, 0]);
  message.set(payload, HEADER_BYTES);
  return message;
}

/** The caller keeps frames and control payloads within the peer's limits. */
export const encodeAeroL2 = {
  frame: (frame: Uint8Array) => make(types.frame, frame),
  ping: (payload: Uint8Array) => make(types.ping, payload),
  pong: (payload: Uint8Array) => make(types.pong, payload),
  error: (code: AeroL2Error, text: string, maxBytes: number = aeroL2Limits.maxControlPayloadBytes) => {
    const words = boundedUtf8(text, Math.max(maxBytes - 4, 0));
    const payload = new Uint8Array(4 + words.length);
    const view = viewOf(payload);
    view.setUint16(0, aeroL2Errors[code]);
    view.setUint16(2, words.length);
    payload.set(words, 4);
    return make(types.error, payload);
  },
  errorText: (text: string) => make(types.error, utf8(text)),
} as const;

/** PING of a server: a counter as u64. */
export function pingPayload(counter: bigint): Uint8Array<ArrayBuffer> {
  const payload = new Uint8Array(8);
  viewOf(payload).setBigUint64(0, BigInt.asUintN(64, counter));
  return payload;
}
