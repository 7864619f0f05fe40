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

const MAX_HEAD_BYTES = 10;
const FIRST_MESSAGE_BYTES = 1024;

/** Puts the server's frames together. Keeps at most one message and one control frame, which have bounds, and one header. */
export class FrameReader {
  readonly #head = new Uint8Array(MAX_HEAD_BYTES);
  #headBytes = 0;
  /** Bytes of the frame that are not there yet; undefined: its header is not. */
  #left: number | undefined;
  readonly #control = new Uint8Array(MAX_CONTROL_BYTES);
  #controlBytes = 0;
  /** What has come of a message, however many frames it has. */
  #message = new Uint8Array(0);
  #messageBytes = 0;
  /** Of the message that has begun; undefined: none has. */
  #opcode: number | undefined;
  #isBad = false;

  push(bytes: Uint8Array): FrameEvent[] {
    const events: FrameEvent[] = [];
    for (let at = 0; at < bytes.length && !this.#isBad;) {
      let event: FrameEvent | undefined;
      if (this.#left === undefined) {
        this.#head[this.#headBytes++] = bytes[at++]!;
        event = this.#readHead();
      } else {
        const part = bytes.subarray(at, at + this.#left);
        at += part.length;
        this.#left -= part.length;
        this.#take(part);
      }
      if (this.#left === 0) event = this.#finish();
      if (!event) continue;
      events.push(event);
      this.#isBad = event.kind === "bad";
    }
    return events;
  }

  /** What is kept of a message that is not whole. */
  get heldBytes(): number {
    return this.#message.length;
  }

  get #frameOpcode(): number {
    return this.#head[0]! & 15;
  }

  /** When the header is whole, `#left` says how much follows; or it is none that a server may send. */
  #readHead(): FrameEvent | undefined {
    if (this.#headBytes < 2) return undefined;
    const [first, second] = [this.#head[0]!, this.#head[1]!];
    if ((first & 0x70) !== 0) return bad(1002, "An extension that was not agreed on.");
    if ((second & 0x80) !== 0) return bad(1002, "A server does not mask.");
    const short = second & 127;
    const headBytes = short < 126 ? 2 : short === 126 ? 4 : MAX_HEAD_BYTES;
    if (this.#headBytes < headBytes) return undefined;
    const length = short < 126 ? short : lengthAt(this.#head, headBytes);
    const opcode = this.#frameOpcode;
    if (opcode >= 8) {
      if ((first & 0x80) === 0 || length > MAX_CONTROL_BYTES)
        return bad(1002, "A control frame is too long.");
    } else {
      const isFirst = opcode !== opcodes.continuation;
      if (isFirst === (this.#opcode !== undefined) || opcode > opcodes.binary)
        return bad(1002, "Frames are out of order.");
      if (this.#messageBytes + length > MAX_MESSAGE_BYTES) return bad(1009, "The message is too long.");
      if (isFirst) this.#opcode = opcode;
    }
    this.#left = length;
    return undefined;
  }

  #take(part: Uint8Array): void {
    if (this.#frameOpcode >= 8) {
      this.#control.set(part, this.#controlBytes);
      this.#controlBytes += part.length;
      return;
    }
    const wanted = this.#messageBytes + part.length;
    if (wanted > this.#message.length) {
      const room = Math.max(wanted, Math.min(2 * this.#message.length, MAX_MESSAGE_BYTES));
      const grown = new Uint8Array(Math.max(room, FIRST_MESSAGE_BYTES));
      grown.set(this.#message.subarray(0, this.#messageBytes));
      this.#message = grown;
    }
    this.#message.set(part, this.#messageBytes);
    this.#messageBytes = wanted;
  }

  /** The frame is whole; undefined: its message is not. */
  #finish(): FrameEvent | undefined {
    this.#headBytes = 0;
    this.#left = undefined;
    const opcode = this.#frameOpcode;
    if (opcode >= 8) {
      const payload = this.#control.slice(0, this.#controlBytes);
      this.#controlBytes = 0;
      return control(opcode, payload);
    }
    if ((this.#head[0]! & 0x80) === 0) return undefined;
    const message = this.#message.subarray(0, this.#messageBytes);
    const isBinary = this.#opcode === opcodes.binary;
    this.#message = new Uint8Array(0);
    this.#messageBytes = 0;
    this.#opcode = undefined;
    if (isBinary) return { kind: "binary", bytes: message };
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
