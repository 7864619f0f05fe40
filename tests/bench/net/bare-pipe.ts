import { connect } from "cloudflare:sockets";

/**
 * The peer of the tunnel's throughput: a WebSocket through an object to `connect()`, with nothing in between. Messages of
 * at most the tunnel's batch; on the way up each is confirmed, as nothing else bounds what waits for the socket.
 */
const BATCH_BYTES = 65_536;

export class Pipe implements DurableObject {
  readonly #ctx: DurableObjectState;
  readonly #writers = new Map<WebSocket, WritableStreamDefaultWriter<Uint8Array>>();

  constructor(ctx: DurableObjectState) {
    this.#ctx = ctx;
  }

  fetch(request: Request): Response {
    const port = Number(new URL(request.url).searchParams.get("port"));
    const { 0: client, 1: server } = new WebSocketPair();
    this.#ctx.acceptWebSocket(server);
    const socket = connect({ hostname: "127.0.0.1", port }, { allowHalfOpen: true });
    this.#writers.set(server, socket.writable.getWriter());
    void this.#down(socket.readable, server);
    return new Response(null, { status: 101, webSocket: client });
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
  }
}

export default {
  fetch: (request, env) => env.PIPE.getByName("pipe").fetch(request),
} satisfies ExportedHandler<{ PIPE: DurableObjectNamespace }>;
