import {
  createServer,
  request,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type Server,
} from "node:http";
import { connect, type AddressInfo, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { buffer } from "node:stream/consumers";

/** A way to the site that can be cut, and that can change what comes through it. */
export interface CuttingProxy {
  readonly url: string;
  /** Cuts the way when so many chunks have been asked for: every connection through it is broken off. */
  cutAfterChunks(count: number): void;
  cut(): void;
  /** Breaks off the WebSockets that are open, and answers how many; new ones may be opened at once. */
  cutSockets(): number;
  /** Nothing more goes through the WebSockets that are open, and they stay open; answers how many. */
  freezeSockets(): number;
  /** Payload of WebSockets from the site so far, frames' heads included. */
  readonly socketBytes: number;
  /** WebSockets that are open. */
  readonly socketCount: number;
  readonly isCut: boolean;
  mend(): void;
  close(): Promise<void>;
}

/** What the proxy does to answers; each may be left out. */
export interface Changes {
  readonly headers?: (headers: IncomingHttpHeaders) => IncomingHttpHeaders;
  /** Pages only: text/html. */
  readonly page?: (html: string) => string;
}

interface Joined {
  readonly far: Socket;
  readonly near: Duplex;
}

/** Opens the same upgrade at the target and joins the two connections. */
function joinUpgrade(target: URL, { url, method, rawHeaders }: IncomingMessage, near: Duplex): Joined {
  const far = connect(Number(target.port), target.hostname);
  const lines = [`${method} ${url} HTTP/1.1`];
  for (let at = 0; at < rawHeaders.length; at += 2) lines.push(`${rawHeaders[at]}: ${rawHeaders[at + 1]}`);
  far.write(`${lines.join("\r\n")}\r\n\r\n`);
  far.pipe(near);
  near.pipe(far);
  const end = (): void => {
    far.destroy();
    near.destroy();
  };
  for (const side of [near, far]) side.on("error", end).on("close", end);
  return { far, near };
}

/** Forwards HTTP to `target`, an origin like `http://localhost:8787`. */
export async function startCuttingProxy(target: string, changes: Changes = {}): Promise<CuttingProxy> {
  let chunksLeft = Infinity;
  let isCut = false;
  const { hostname, port } = new URL(target);
  const server: Server = createServer((incoming, outgoing) => {
    if (incoming.url?.startsWith("/api/chunks/") && chunksLeft-- <= 0) isCut = true;
    if (isCut) return void incoming.socket.destroy();
    const { url: path, method, headers } = incoming;
    const asked = { hostname, port, path, method, headers: { ...headers, "accept-encoding": "identity" } };
    const onward = request(asked, (answer) => {
      const sent = changes.headers?.(answer.headers) ?? answer.headers;
      const isPage = answer.headers["content-type"]?.startsWith("text/html") ?? false;
      if (!isPage || !changes.page) {
        outgoing.writeHead(answer.statusCode ?? 502, sent);
        answer.pipe(outgoing);
        return;
      }
      const { page } = changes;
      const { etag: _, ...rest } = sent;
      void buffer(answer).then((bytes) => {
        const html = Buffer.from(page(bytes.toString()));
        outgoing.writeHead(answer.statusCode ?? 502, { ...rest, "content-length": html.length });
        outgoing.end(html);
      });
    });
    onward.on("error", () => incoming.socket.destroy());
    incoming.pipe(onward);
    return undefined;
  });
  const sockets = new Set<Joined>();
  let socketBytes = 0;
  server.on("upgrade", (incoming: IncomingMessage, near: Duplex) => {
    if (isCut) return void near.destroy();
    const joined = joinUpgrade(new URL(target), incoming, near);
    const { far } = joined;
    sockets.add(joined);
    far.on("data", (piece: Buffer) => (socketBytes += piece.length));
    far.on("close", () => sockets.delete(joined));
    return undefined;
  });
  const cutSockets = (): number => {
    const count = sockets.size;
    for (const { far } of sockets) far.destroy();
    return count;
  };
  const freezeSockets = (): number => {
    for (const { far, near } of sockets) {
      far.unpipe(near).pause();
      near.unpipe(far).pause();
    }
    return sockets.size;
  };
  await new Promise<void>((resolve) => server.listen(0, "localhost", resolve));
  return {
    url: `http://localhost:${(server.address() as AddressInfo).port}`,
    cutAfterChunks: (count) => (chunksLeft = count),
    cut() {
      isCut = true;
      cutSockets();
    },
    cutSockets,
    freezeSockets,
    get socketCount() {
      return sockets.size;
    },
    get socketBytes() {
      return socketBytes;
    },
    get isCut() {
      return isCut;
    },
    mend() {
      chunksLeft = Infinity;
      isCut = false;
    },
    close: () =>
      new Promise((resolve) => {
        cutSockets();
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
}
