import { createServer, request, type IncomingHttpHeaders, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { buffer } from "node:stream/consumers";

/** A way to the site that can be cut, and that can change what comes through it. */
export interface CuttingProxy {
  readonly url: string;
  /** Cuts the way when so many chunks have been asked for: every connection through it is broken off. */
  cutAfterChunks(count: number): void;
  cut(): void;
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
  await new Promise<void>((resolve) => server.listen(0, "localhost", resolve));
  return {
    url: `http://localhost:${(server.address() as AddressInfo).port}`,
    cutAfterChunks: (count) => (chunksLeft = count),
    cut: () => void (isCut = true),
    get isCut() {
      return isCut;
    },
    mend() {
      chunksLeft = Infinity;
      isCut = false;
    },
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
}
