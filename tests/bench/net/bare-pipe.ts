import { connect } from "cloudflare:sockets";

/**
 * The peer of the tunnel's throughput: a WebSocket through an object to `connect()`, with nothing in between. Messages of
 * at most the tunnel's batch; on the way up each is confirmed, as nothing else bounds what waits for the socket.
 */
const BATCH_BYTES = 65_536;

export class Pipe implements DurableObject {
  readonly #ctx: DurableObjectState;
  readonly #writers = new Map<WebSocket, WritableStreamDefaultWriter<Uint8Array>>();

  /** Of sockets that are only held. */
  readonly #held: WritableStreamDefaultWriter<Uint8Array>[] = [];

  constructor(ctx: DurableObjectState) {
    this.#ctx = ctx;
  }

  fetch(request: Request): Response {
    const { searchParams } = new URL(request.url);
    const port = Number(searchParams.get("port"));
    const { 0: client, 1: server } = new WebSocketPair();
    this.#ctx.acceptWebSocket(server);
    const hold = Number(searchParams.get("hold"));
    if (hold > 0) {
      void this.#hold(server, port, hold);
      return new Response(null, { status: 101, webSocket: client });
    }
    const socket = connect({ hostname: "127.0.0.1", port }, { allowHalfOpen: true });
    this.#writers.set(server, socket.writable.getWriter());
    void this.#down(socket.readable, server);
    return new Response(null, { status: 101, webSocket: client });
  }

  /** So many connections that have echoed a byte and wait for the next; told when all are there. */
  async #hold(owner: WebSocket, port: number, count: number): Promise<void> {
    for (let held = 0; held < count; held++) {
      const socket = connect({ hostname: "127.0.0.1", port }, { allowHalfOpen: true });
      const writer = socket.writable.getWriter();
      await writer.write(Uint8Array.of(120));
      const reader = socket.readable.getReader({ mode: "byob" });
      await reader.read(new Uint8Array(1024));
      void reader.read(new Uint8Array(1024)).catch(() => {});
      this.#held.push(writer);
    }
    owner.send("held");
  }

  async #down(from: ReadableStream<Uint8Array>, to: WebSocket): Promise<void> {
    const reader = from.getReader({ mode: "byob" });
    let buffer = new ArrayBuffer(BATCH_BYTES);
    for (;;) {
      const { value, done }: ReadableStreamReadResult<Uint8Array<ArrayBuffer>> = await reader.read(
        new Uint8Array(buffer),
      );
      if (done) return to.close(1000, "end");
      to.send(value);
      buffer = value.buffer;
    }
  }

  async webSocketMessage(socket: WebSocket, message: ArrayBuffer | string): Promise<void> {
    if (typeof message === "string") return;
    await this.#writers.get(socket)?.write(new Uint8Array(message));
    socket.send("taken");
  }

  webSocketClose(socket: WebSocket): void {
    void this.#writers.get(socket)?.abort();
    this.#writers.delete(socket);
    for (const writer of this.#held.splice(0)) void writer.close().catch(() => {});
  }
}

export default {
  fetch: (request, env) => env.PIPE.getByName("pipe").fetch(request),
} satisfies ExportedHandler<{ PIPE: DurableObjectNamespace }>;
