import { boundedUtf8, lenientText, strictText, utf8, viewOf } from "./wire-bytes.ts";

/**
 * `aero-tcp-mux-v1`: many TCP streams over one WebSocket. The payloads of the binary messages, one after the other, are a
 * byte stream of frames: type u8, stream u32, length u32, then `length` bytes; big endian. There is no answer to OPEN: a
 * client may send DATA at once, and failure arrives as ERROR.
 */
export const TCP_MUX = "aero-tcp-mux-v1";
const HEADER_BYTES = 9;
const types = { open: 1, data: 2, close: 3, error: 4, ping: 5, pong: 6 } as const;

export const tcpMuxLimits = {
  /** Longer frames are a reason to close the socket. */
  frameBytes: 16 * 2 ** 20,
  messageBytes: 2 ** 20,
  streams: 1024,
  /** What may wait for one stream's socket. */
  streamBytes: 2 ** 20,
  connectTimeoutMs: 10_000,
  idleTimeoutMs: 300_000,
  hostBytes: 255,
  metaBytes: 4096,
  /** All frames but DATA are kept until they are whole, so they have a bound of their own. */
  controlBytes: 8192,
} as const;

export const tcpMuxErrors = {
  POLICY_DENIED: 1,
  DIAL_FAILED: 2,
  PROTOCOL_ERROR: 3,
  UNKNOWN_STREAM: 4,
  STREAM_LIMIT_EXCEEDED: 5,
  STREAM_BUFFER_OVERFLOW: 6,
} as const;
export type TcpMuxError = keyof typeof tcpMuxErrors;

/** Close codes of the whole socket. */
export const tcpMuxCloses = { text: 1003, protocol: 1002, tooBig: 1009, internal: 1011 } as const;

export type TcpMuxFrame =
  | {
      readonly type: "open";
      readonly stream: number;
      readonly host: string;
      readonly port: number;
      /** JSON, or empty. */
      readonly meta: string;
    }
  /** A part of a DATA frame, or all of it: where frames were cut means nothing. A view of the message. */
  | { readonly type: "data"; readonly stream: number; readonly bytes: Uint8Array }
  | { readonly type: "close"; readonly stream: number; readonly fin: boolean; readonly rst: boolean }
  | { readonly type: "error"; readonly stream: number; readonly code: number; readonly text: string }
  | { readonly type: "ping" | "pong"; readonly stream: number; readonly bytes: Uint8Array }
  /** Answered with ERROR 3 on this stream; the socket stays. */
  | { readonly type: "malformed"; readonly stream: number; readonly problem: string };

/** Frames of one message, and why the socket must be closed after them, if it must. */
export interface TcpMuxRead {
  readonly frames: readonly TcpMuxFrame[];
  readonly close?: { readonly code: number; readonly reason: string };
}

type Reader = (stream: number, payload: Uint8Array) => TcpMuxFrame | string;

function readOpen(stream: number, payload: Uint8Array): TcpMuxFrame | string {
  const view = viewOf(payload);
  const hostBytes = view.getUint16(0);
  const portAt = 2 + hostBytes;
  if (payload.length < portAt + 4) return "OPEN ends inside its host.";
  const metaBytes = view.getUint16(portAt + 2);
  const metaAt = portAt + 4;
  if (payload.length !== metaAt + metaBytes) return "The lengths in OPEN do not add up.";
  if (hostBytes === 0 || hostBytes > tcpMuxLimits.hostBytes) return "OPEN has no host, or one too long.";
  if (metaBytes > tcpMuxLimits.metaBytes) return "The metadata of OPEN is too long.";
  const host = strictText(payload.subarray(2, portAt));
  const meta = strictText(payload.subarray(metaAt));
  const port = view.getUint16(portAt);
  if (host === undefined || meta === undefined) return "OPEN is not UTF-8.";
  return port === 0 ? "Port 0 cannot be opened." : { type: "open", stream, host, port, meta };
}

function readError(stream: number, payload: Uint8Array): TcpMuxFrame | string {
  const view = viewOf(payload);
  if (view.getUint16(2) !== payload.length - 4) return "The length in ERROR does not fit.";
  return { type: "error", stream, code: view.getUint16(0), text: lenientText(payload.subarray(4)) };
}

/** All frames that are read whole: their shortest and longest payload. */
const rows: ReadonlyMap<number, { min: number; max: number; read: Reader }> = new Map<
  number,
  { min: number; max: number; read: Reader }
>([
  [types.open, { min: 6, max: tcpMuxLimits.controlBytes, read: readOpen }],
  [types.close, { min: 1, max: 1, read: (stream, payload) => readClose(stream, payload[0]!) }],
  [types.error, { min: 4, max: tcpMuxLimits.controlBytes, read: readError }],
  [types.ping, { min: 0, max: tcpMuxLimits.controlBytes, read: echo("ping") }],
  [types.pong, { min: 0, max: tcpMuxLimits.controlBytes, read: echo("pong") }],
]);
function readClose(stream: number, flags: number): TcpMuxFrame {
  return { type: "close", stream, fin: (flags & 1) !== 0, rst: (flags & 2) !== 0 };
}
function echo(type: "ping" | "pong"): Reader {
  return (stream, payload) =>
    stream === 0 ? { type, stream, bytes: payload.slice() } : "PING and PONG belong to stream 0.";
}

/**
 * Takes the byte stream apart. Keeps at most one header and one control frame (`controlBytes`): DATA is handed on as it
 * comes, and what nobody can use is skipped. After `close` it takes nothing more.
 */
export class TcpMuxParser {
  #header = new Uint8Array(HEADER_BYTES);
  #headerBytes = 0;
  #type = 0;
  #stream = 0;
  /** Bytes of the frame that have not come yet. */
  #left = 0;
  /** What has come of a control frame. */
  #control: Uint8Array | undefined;
  #controlBytes = 0;
  #isOver = false;

  push(message: Uint8Array | string): TcpMuxRead {
    if (this.#isOver) return { frames: [] };
    if (typeof message === "string") return this.#close([], tcpMuxCloses.text, "binary messages only");
    if (message.length > tcpMuxLimits.messageBytes)
      return this.#close([], tcpMuxCloses.tooBig, "message too big");
    const frames: TcpMuxFrame[] = [];
    let at = 0;
    while (at < message.length) {
      if (this.#headerBytes < HEADER_BYTES) {
        at += this.#takeHeader(message.subarray(at));
        if (this.#headerBytes < HEADER_BYTES) break;
        const problem = this.#begin(frames);
        if (problem) return this.#close(frames, tcpMuxCloses.protocol, problem);
      } else {
        const part = message.subarray(at, at + this.#left);
        at += part.length;
        this.#left -= part.length;
        this.#takePart(part, frames);
      }
      if (this.#headerBytes === HEADER_BYTES && this.#left === 0) this.#finish(frames);
    }
    return { frames };
  }

  #close(frames: TcpMuxFrame[], code: number, reason: string): TcpMuxRead {
    this.#isOver = true;
    this.#control = undefined;
    return { frames, close: { code, reason } };
  }

  #takeHeader(bytes: Uint8Array): number {
    const part = bytes.subarray(0, HEADER_BYTES - this.#headerBytes);
    this.#header.set(part, this.#headerBytes);
    this.#headerBytes += part.length;
    return part.length;
  }

  /** Judges a header before anything is allocated for its payload. */
  #begin(frames: TcpMuxFrame[]): string | undefined {
    const view = viewOf(this.#header);
    this.#type = view.getUint8(0);
    this.#stream = view.getUint32(1);
    this.#left = view.getUint32(5);
    this.#control = undefined;
    this.#controlBytes = 0;
    if (this.#left > tcpMuxLimits.frameBytes) return "frame too long";
    if (this.#type === types.data) return undefined;
    const row = rows.get(this.#type);
    if (row && this.#left >= row.min && this.#left <= row.max) this.#control = new Uint8Array(this.#left);
    else {
      const problem = row ? `${this.#left} bytes are no frame of this type.` : "The frame type is unknown.";
      frames.push({ type: "malformed", stream: this.#stream, problem });
    }
    return undefined;
  }

  #takePart(part: Uint8Array, frames: TcpMuxFrame[]): void {
    if (this.#type === types.data) frames.push({ type: "data", stream: this.#stream, bytes: part });
    else if (this.#control) {
      this.#control.set(part, this.#controlBytes);
      this.#controlBytes += part.length;
    }
  }

  #finish(frames: TcpMuxFrame[]): void {
    this.#headerBytes = 0;
    const row = rows.get(this.#type);
    if (!row || !this.#control) return;
    const read = row.read(this.#stream, this.#control);
    frames.push(typeof read === "string" ? { type: "malformed", stream: this.#stream, problem: read } : read);
    this.#control = undefined;
  }
}

function make(type: number, stream: number, payload: Uint8Array): Uint8Array<ArrayBuffer> {
  const frame = new Uint8Array(HEADER_BYTES + payload.length);
  const view = viewOf(frame);
  view.setUint8(0, type);
  view.setUint32(1, stream);
  view.setUint32(5, payload.length);
  frame.set(payload, HEADER_BYTES);
  return frame;
}

function openPayload(host: string, port: number, meta: string): Uint8Array {
  const [name, words] = [
    boundedUtf8(host, tcpMuxLimits.hostBytes),
    boundedUtf8(meta, tcpMuxLimits.metaBytes),
  ];
  const payload = new Uint8Array(6 + name.length + words.length);
  const view = viewOf(payload);
  view.setUint16(0, name.length);
  payload.set(name, 2);
  view.setUint16(2 + name.length, port);
  view.setUint16(4 + name.length, words.length);
  payload.set(words, 6 + name.length);
  return payload;
}

function errorPayload(code: TcpMuxError, text: string): Uint8Array {
  const words = utf8(text.slice(0, 256));
  const payload = new Uint8Array(4 + words.length);
  const view = viewOf(payload);
  view.setUint16(0, tcpMuxErrors[code]);
  view.setUint16(2, words.length);
  payload.set(words, 4);
  return payload;
}

export const encodeTcpMux = {
  open: (stream: number, host: string, port: number, meta = "") =>
    make(types.open, stream, openPayload(host, port, meta)),
  data: (stream: number, bytes: Uint8Array) => make(types.data, stream, bytes),
  close: (stream: number, how: "fin" | "rst") =>
    make(types.close, stream, Uint8Array.of(how === "fin" ? 1 : 2)),
  error: (stream: number, code: TcpMuxError, text: string) =>
    make(types.error, stream, errorPayload(code, text)),
  ping: (bytes: Uint8Array) => make(types.ping, 0, bytes),
  pong: (bytes: Uint8Array) => make(types.pong, 0, bytes),
} as const;
