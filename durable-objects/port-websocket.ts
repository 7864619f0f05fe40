import type { GuestPipe } from "./guest-pipe.ts";
import { type ResponseHead, valuesOf } from "./gateway/http1.ts";
import { PieceQueue } from "./gateway/piece-queue.ts";
import type { Unanswered } from "./gateway/unanswered.ts";
import {
  type FrameEvent,
  FrameReader,
  closePayload,
  encodeFrame,
  opcodes,
} from "./gateway/websocket-frames.ts";

/** What may wait for the guest's server, frames' heads included, before who goes on sending is cut off. */
const WAITING_BYTES = 4 * 2 ** 20;
const WRITE_BYTES = 64 * 1024;
const GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

async function acceptOf(key: string): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-1", new TextEncoder().encode(key + GUID));
  return btoa(String.fromCharCode(...new Uint8Array(digest)));
}

/** The browser's socket and the guest's become one: messages of either side go to the other. */
export async function passWebSocket(
  pipe: GuestPipe,
  head: ResponseHead,
  rest: Uint8Array,
  key: string,
  unanswered: Unanswered,
): Promise<Response> {
  if (key === "" || valuesOf(head.headers, "sec-websocket-accept")[0] !== (await acceptOf(key))) {
    pipe.abort();
    return new Response("The machine's server does not agree to a WebSocket.\n", { status: 502 });
  }
  const { 0: client, 1: server } = new WebSocketPair();
  server.accept();
  server.binaryType = "arraybuffer";
  const passage = new Passage(server, pipe, unanswered);
  server.addEventListener("message", ({ data }) => passage.fromBrowser(data as string | ArrayBuffer));
  server.addEventListener("close", ({ code, reason }) => passage.browserClosed(code, reason));
  void passage.run(rest);
  const protocol = valuesOf(head.headers, "sec-websocket-protocol")[0];
  const headers = new Headers(protocol ? { "sec-websocket-protocol": protocol } : {});
  return new Response(null, { status: 101, webSocket: client, headers });
}

export class Passage {
  readonly #socket: Pick<WebSocket, "send" | "close">;
  readonly #pipe: Pick<GuestPipe, "read" | "write" | "close">;
  readonly #unanswered: Unanswered;
  readonly #reader = new FrameReader();
  readonly #waiting = new PieceQueue();
  #writing: Promise<void> | undefined;
  #isClosed = false;

  constructor(
    socket: Pick<WebSocket, "send" | "close">,
    pipe: Pick<GuestPipe, "read" | "write" | "close">,
    unanswered: Unanswered,
  ) {
    this.#socket = socket;
    this.#pipe = pipe;
    this.#unanswered = unanswered;
  }

  async run(rest: Uint8Array): Promise<void> {
    try {
      let bytes: Uint8Array | null = rest;
      while (bytes !== null && !this.#isClosed) {
        for (const event of this.#reader.push(bytes)) this.#fromGuest(event);
        await this.#pace(bytes.length);
        bytes = await this.#pipe.read();
      }
      this.#close(1006, "");
    } catch {
      this.#close(1006, "");
    }
  }

  /** Whether the browser reads cannot be known: while it has been sent too much, the guest is not read from. */
  async #pace(bytes: number): Promise<void> {
    while (!this.#isClosed && !this.#unanswered.take(bytes, Date.now())) {
      const waitMs = this.#unanswered.roomAt(bytes, Date.now()) - Date.now();
      await new Promise<void>((resolve) => {
        setTimeout(resolve, waitMs);
      });
    }
  }

  #fromGuest(event: FrameEvent): void {
    switch (event.kind) {
      case "text":
        return this.#socket.send(event.text);
      case "binary":
        return this.#socket.send(event.bytes);
      case "ping":
        return this.#write(opcodes.pong, event.bytes);
      case "pong":
        return undefined;
      case "close":
        this.#write(opcodes.close, event.code === 1005 ? new Uint8Array(0) : closePayload(event.code, ""));
        return this.#close(event.code, event.reason);
      case "bad":
        this.#write(opcodes.close, closePayload(event.code, event.reason));
        return this.#close(event.code, event.reason);
      default:
        return event satisfies never;
    }
  }

  fromBrowser(data: string | ArrayBuffer): void {
    if (typeof data === "string") this.#write(opcodes.text, new TextEncoder().encode(data));
    else this.#write(opcodes.binary, new Uint8Array(data));
  }

  browserClosed(code: number, reason: string): void {
    const hasCode = code !== 1005 && code !== 1006;
    this.#write(opcodes.close, hasCode ? closePayload(code, reason) : new Uint8Array(0));
    this.#close(code, reason);
  }

  #write(opcode: number, payload: Uint8Array): void {
    if (this.#isClosed) return;
    if (this.#waiting.length + payload.length > WAITING_BYTES)
      return this.#close(1011, "the machine does not read");
    this.#waiting.push(encodeFrame(opcode, payload, crypto.getRandomValues(new Uint8Array(4))));
    this.#writing ??= this.#writeOut()
      .catch(() => this.#close(1006, ""))
      .finally(() => (this.#writing = undefined));
  }

  async #writeOut(): Promise<void> {
    // The rest of this turn's messages join the first.
    await Promise.resolve();
    for (let piece = this.#waiting.shift(WRITE_BYTES); piece; piece = this.#waiting.shift(WRITE_BYTES))
      await this.#pipe.write(piece);
  }

  #close(code: number, reason: string): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    void (this.#writing ?? Promise.resolve()).finally(() => this.#pipe.close());
    // Codes that may not be sent become 1011 (RFC 6455 §7.4.1).
    const isSendable = (code >= 1000 && code <= 1014 && ![1004, 1005, 1006].includes(code)) || code >= 3000;
    try {
      this.#socket.close(isSendable ? code : 1011, reason.slice(0, 100));
    } catch {
      // It is closed already.
    }
  }
}
