import { type IncomingMessage, type Server, type ServerResponse, createServer } from "node:http";
import type { AddressInfo } from "node:net";
import type { PublishedImage } from "./disk-image.ts";
import { sha256 } from "./disk-image.ts";

type Bytes = Uint8Array<ArrayBuffer>;

/** How a server may misbehave, once. */
export type Mischief =
  | { readonly do: "status"; readonly status: number }
  /** The connection ends before anything is said. */
  | { readonly do: "hang-up" }
  /** Nothing is said, for ever. */
  | { readonly do: "silence" }
  /** Headers and half of the body, then nothing. */
  | { readonly do: "stall" }
  /** Half of the body, and an honest end. */
  | { readonly do: "truncate" }
  | { readonly do: "replace"; readonly bytes: Bytes }
  /** A 200 with the whole file, whatever range was asked for. */
  | { readonly do: "whole-file" }
  | { readonly do: "headers"; readonly headers: Record<string, string>; readonly status?: number };

export interface Asked {
  readonly method: string;
  readonly path: string;
  readonly range: string | undefined;
  readonly cacheControl: string | undefined;
}

interface RawFile {
  bytes: Bytes;
  etag: string;
}

/** Pages and scripts may be among the objects, for browsers. */
function contentType(path: string): Record<string, string> {
  if (path.endsWith(".js")) return { "content-type": "text/javascript" };
  return path === "/" ? { "content-type": "text/html" } : {};
}

/** A real HTTP server with the paths of the Worker's store, for tests: objects in memory, and mischief on demand. */
export class ImageServer {
  readonly #server: Server;
  readonly objects = new Map<string, Bytes>();
  readonly raws = new Map<string, RawFile>();
  readonly asked: Asked[] = [];
  /** Bodies of the answers, so that a test can see that a whole file was not taken. */
  sentBytes = 0;
  /** Signed URLs are good for this long, and refused after `refuseUrls()`. */
  urlLifeMs = 600_000;
  nowMs: () => number = () => Date.now();
  #signature = 1;
  mischief: (asked: Asked, count: number) => Mischief | undefined = () => undefined;
  readonly #counts = new Map<string, number>();

  private constructor(server: Server) {
    this.#server = server;
  }

  static async start(): Promise<ImageServer> {
    const server = createServer();
    const self = new ImageServer(server);
    server.on("request", (request, response) => self.#answer(request, response));
    await new Promise<void>((resolve) => {
      server.listen(0, "127.0.0.1", resolve);
    });
    return self;
  }

  get origin(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  publish(image: PublishedImage): void {
    this.objects.set(`/api/manifests/${image.manifest}`, image.manifestBytes);
    for (const [hash, bytes] of image.chunks) this.objects.set(`/api/chunks/${hash}`, bytes);
  }

  refuseUrls(): void {
    this.#signature++;
  }

  /** As if nothing had been asked yet. */
  forget(): void {
    this.asked.length = 0;
    this.#counts.clear();
  }

  countOf(path: string): number {
    return this.asked.filter((asked) => asked.path === path).length;
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const url = new URL(request.url ?? "/", this.origin);
    const asked = {
      method: request.method ?? "GET",
      path: url.pathname,
      range: request.headers.range,
      cacheControl: request.headers["cache-control"],
    };
    this.asked.push(asked);
    const count = (this.#counts.get(asked.path) ?? 0) + 1;
    this.#counts.set(asked.path, count);
    const mischief = this.mischief(asked, count);
    if (mischief?.do === "hang-up") return void request.socket.destroy();
    if (mischief?.do === "silence") return;
    if (mischief?.do === "status") return void response.writeHead(mischief.status).end("trouble");
    if (request.method === "PUT") return this.#take(request, response);
    if (asked.path.endsWith("/stream-url")) return this.#sign(asked.path.split("/")[3] ?? "", response);
    if (asked.path.startsWith("/api/raw/")) return this.#raw(url, asked, request, response, mischief);
    const bytes = this.objects.get(asked.path);
    if (!bytes) return void response.writeHead(404).end();
    this.#send(response, 200, contentType(asked.path), bytes, mischief);
  }

  #take(request: IncomingMessage, response: ServerResponse): void {
    const parts: Buffer[] = [];
    request.on("data", (part: Buffer) => parts.push(part));
    request.on("end", () => {
      const bytes = new Uint8Array(Buffer.concat(parts));
      const isNamed = (request.url ?? "").endsWith(sha256(bytes));
      if (isNamed) this.objects.set(request.url ?? "", bytes);
      response.writeHead(isNamed ? 201 : 422).end();
    });
  }

  #sign(id: string, response: ServerResponse): void {
    const raw = this.raws.get(id);
    if (!raw) return void response.writeHead(404).end();
    const expires = this.nowMs() + this.urlLifeMs;
    const answer = {
      url: `/api/raw/${id}?signature=${this.#signature}&expires=${expires}`,
      auth: { type: "url", expiresAt: new Date(expires).toISOString() },
      size: raw.bytes.length,
      etag: raw.etag,
    };
    response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(answer));
  }

  #raw(
    url: URL,
    asked: Asked,
    request: IncomingMessage,
    response: ServerResponse,
    mischief: Mischief | undefined,
  ): void {
    const raw = this.raws.get(asked.path.split("/")[3] ?? "");
    if (!raw) return void response.writeHead(404).end();
    if (url.searchParams.get("signature") !== String(this.#signature))
      return void response.writeHead(401).end();
    if (Number(url.searchParams.get("expires")) <= this.nowMs()) return void response.writeHead(403).end();
    const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(asked.range ?? "") ?? [];
    const ifRange = request.headers["if-range"];
    const isChanged = ifRange !== undefined && ifRange !== raw.etag;
    if (first === undefined || isChanged || mischief?.do === "whole-file")
      return this.#send(response, 200, { etag: raw.etag }, raw.bytes, mischief);
    const [from, to] = [Number(first), Math.min(Number(last), raw.bytes.length - 1)];
    const headers = { etag: raw.etag, "content-range": `bytes ${from}-${to}/${raw.bytes.length}` };
    this.#send(response, 206, headers, raw.bytes.subarray(from, to + 1), mischief);
  }

  #send(
    response: ServerResponse,
    status: number,
    headers: Record<string, string>,
    bytes: Uint8Array,
    mischief: Mischief | undefined,
  ): void {
    const body = mischief?.do === "replace" ? mischief.bytes : bytes;
    const length = mischief?.do === "truncate" ? body.length >> 1 : body.length;
    const changes = mischief?.do === "headers" ? mischief.headers : {};
    const changedStatus = mischief?.do === "headers" ? (mischief.status ?? status) : status;
    response.writeHead(changedStatus, { "content-length": length, ...headers, ...changes });
    if (mischief?.do === "stall") return void response.write(body.subarray(0, body.length >> 1));
    this.sentBytes += length;
    // In pieces, so that a reader who leaves is noticed.
    for (let at = 0; at < length; at += 65536)
      response.write(body.subarray(at, Math.min(length, at + 65536)));
    response.end();
  }
}
