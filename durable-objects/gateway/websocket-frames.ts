/**
 * WebSocket frames (RFC 6455 §5) as a client sends them to a guest's server, and as it reads the server's. The platform
 * speaks WebSocket for us towards browsers, but gives no way to speak it over a connection of our own.
 */
export const opcodes = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const;
export const MAX_MESSAGE_BYTES = 2 ** 20;
const MAX_CONTROL_BYTES = 125;

export type FrameEvent =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "binary"; readonly bytes: Uint8Array }
  | { readonly kind: "ping" | "pong"; readonly bytes: Uint8Array }
  /** 1005: the peer gave no code. */
  | { readonly kind: "close"; readonly code: number; readonly reason: string }
  | { readonly kind: "bad"; readonly code: 1002 | 1007 | 1009; readonly reason: string };

/** One whole message or control frame; `mask` is four bytes of chance (§5.3). */
export function encodeFrame(opcode: number, payload: Uint8Array, mask: Uint8Array): Uint8Array<ArrayBuffer> {
  const { length } = payload;
  const sizeBytes = length < 126 ? 0 : length < 65_536 ? 2 : 8;
  const headBytes = 2 + sizeBytes + 4;
  const frame = new Uint8Array(headBytes + length);
  const view = new DataView(frame.buffer);
  frame[0] = 0x80 | opcode;
  frame[1] = 0x80 | (sizeBytes === 0 ? length : sizeBytes === 2 ? 126 : 127);
  if (sizeBytes === 2) view.setUint16(2, length);
  if (sizeBytes === 8) view.setUint32(6, length);
  frame.set(mask.subarray(0, 4), headBytes - 4);
  for (let at = 0; at < length; at++) frame[headBytes + at] = payload[at]! ^ mask[at & 3]!;
  return frame;
}

export function closePayload(code: number, reason: string): Uint8Array<ArrayBuffer> {
  const text = new TextEncoder().encode(reason).subarray(0, MAX_CONTROL_BYTES - 2);
  const payload = new Uint8Array(2 + text.length);
  new DataView(payload.buffer).setUint16(0, code);
  payload.set(text, 2);
  return payload;
}

/** Puts the server's frames together. Keeps at most one message, which has a bound, and one header. */
export class FrameReader {
  #bytes: Uint8Array = new Uint8Array(0);
  #parts: Uint8Array[] = [];
  #partBytes = 0;
  #opcode = 0;
  #isBad = false;

  push(bytes: Uint8Array): FrameEvent[] {
    const events: FrameEvent[] = [];
    if (this.#isBad) return events;
    const all = new Uint8Array(this.#bytes.length + bytes.length);
    all.set(this.#bytes);
    all.set(bytes, this.#bytes.length);
    this.#bytes = all;
    for (;;) {
      const event = this.#next();
      if (event === null) return events;
      if (event === undefined) continue;
      events.push(event);
      if (event.kind !== "bad") continue;
      this.#isBad = true;
      return events;
    }
  }

  /** Null: more bytes are needed. Undefined: a frame that completes nothing. */
  #next(): FrameEvent | null | undefined {
    const bytes = this.#bytes;
    if (bytes.length < 2) return null;
    const isFinal = (bytes[0]! & 0x80) !== 0;
    const opcode = bytes[0]! & 15;
    if ((bytes[0]! & 0x70) !== 0) return bad(1002, "An extension that was not agreed on.");
    if ((bytes[1]! & 0x80) !== 0) return bad(1002, "A server does not mask.");
    const short = bytes[1]! & 127;
    const headBytes = short < 126 ? 2 : short === 126 ? 4 : 10;
    if (bytes.length < headBytes) return null;
    const length = short < 126 ? short : lengthAt(bytes, headBytes);
    const isControl = opcode >= 8;
    if (isControl && (!isFinal || length > MAX_CONTROL_BYTES))
      return bad(1002, "A control frame is too long.");
    if (!isControl && this.#partBytes + length > MAX_MESSAGE_BYTES)
      return bad(1009, "The message is too long.");
    if (bytes.length < headBytes + length) return null;
    const payload = bytes.slice(headBytes, headBytes + length);
    this.#bytes = bytes.subarray(headBytes + length);
    return isControl ? control(opcode, payload) : this.#data(opcode, payload, isFinal);
  }

  #data(opcode: number, payload: Uint8Array, isFinal: boolean): FrameEvent | undefined {
    const isFirst = opcode !== opcodes.continuation;
    if (isFirst === this.#parts.length > 0 || opcode > 2) return bad(1002, "Frames are out of order.");
    if (isFirst) this.#opcode = opcode;
    this.#parts.push(payload);
    this.#partBytes += payload.length;
    if (!isFinal) return undefined;
    const message = join(this.#parts, this.#partBytes);
    this.#parts = [];
    this.#partBytes = 0;
    if (this.#opcode === opcodes.binary) return { kind: "binary", bytes: message };
    const text = textOf(message);
    return text === undefined ? bad(1007, "Text is not UTF-8.") : { kind: "text", text };
  }
}

const bad = (code: 1002 | 1007 | 1009, reason: string): FrameEvent => ({ kind: "bad", code, reason });

function lengthAt(bytes: Uint8Array, headBytes: number): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, headBytes);
  if (headBytes === 4) return view.getUint16(2);
  return view.getUint32(2) === 0 ? view.getUint32(6) : Number.MAX_SAFE_INTEGER;
}

function control(opcode: number, payload: Uint8Array): FrameEvent {
  if (opcode === opcodes.ping) return { kind: "ping", bytes: payload };
  if (opcode === opcodes.pong) return { kind: "pong", bytes: payload };
  if (opcode !== opcodes.close || payload.length === 1) return bad(1002, "An unknown control frame.");
  if (payload.length === 0) return { kind: "close", code: 1005, reason: "" };
  const reason = textOf(payload.subarray(2));
  const code = (payload[0]! << 8) | payload[1]!;
  return reason === undefined ? bad(1007, "A reason is not UTF-8.") : { kind: "close", code, reason };
}

function textOf(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return undefined;
  }
}

function join(parts: readonly Uint8Array[], sizeBytes: number): Uint8Array {
  if (parts.length === 1) return parts[0]!;
  const whole = new Uint8Array(sizeBytes);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
