import type { Destination, Egress, FlowSink, Outflow, Refused } from "../../durable-objects/gateway/flow.ts";
import { answer, answerInWords } from "../../durable-objects/gateway/http-answer.ts";
import {
  HttpFlow,
  type AskedRequest,
  type Served,
  nextRequest,
} from "../../durable-objects/gateway/http-flow.ts";
import {
  type RequestHead,
  encodeHead,
  listOf,
  valuesOf,
  withoutHopByHop,
} from "../../durable-objects/gateway/http1.ts";
import type { Failure } from "../protocol/failure.ts";
import type { PageWay } from "./page-uplink.ts";

const HTTP_PORT = 80;
/** A browser sends a body only when it has all of it. */
const MAX_BODY_BYTES = 16 * 1024 * 1024;
/** Of a name and a port; what else stands in a Host header does not come into an address. */
const HOST_FIELD = /^[a-z0-9.-]{1,253}(:\d{1,5})?$/i;

/**
 * No sockets at all: connections to port 80 are answered in this page, and each request is made by the browser's own
 * `fetch()`, without cookies. It reaches what lets other sites' pages read it (CORS) and what this site's
 * Content-Security-Policy names; for the rest the guest gets a 502 that says so. On a page that came by https, requests go
 * by https too: browsers forbid the other.
 */
export class FetchWay implements PageWay, Egress {
  readonly kind = "fetch";
  readonly #fetcher: typeof fetch;
  readonly #scheme: string;
  readonly #enter: () => Promise<Failure | null>;

  /** `pageOrigin`: of the page; `enter` asks for the session that names are looked up with. */
  constructor(fetcher: typeof fetch, pageOrigin: string, enter: () => Promise<Failure | null>) {
    this.#fetcher = fetcher;
    this.#scheme = new URL(pageOrigin).protocol;
    this.#enter = enter;
  }

  get egress(): Egress {
    return this;
  }

  start(tell: Parameters<PageWay["start"]>[0]): void {
    tell("connecting");
    // Without a session names are not found, but addresses still work.
    void this.#enter().then(() => tell("online"));
  }
  reconnect(): void {}
  close(): void {}

  dial(to: Destination, sink: FlowSink): Outflow {
    if (to.port === HTTP_PORT) return new HttpFlow(sink, (connection) => this.#serve(to, connection));
    void Promise.resolve().then(() => sink.onRefused(onlyHttp));
    return { write() {}, finish() {}, abort() {}, grant() {} };
  }

  async #serve(to: Destination, connection: Served): Promise<void> {
    let rest: Uint8Array | null = new Uint8Array(0);
    while (rest) {
      const asked: AskedRequest | null = await nextRequest(connection, rest);
      if (!asked || !(await this.#exchange(to, connection, asked))) return;
      rest = asked.body.rest;
    }
  }

  /** False: the connection is over. */
  async #exchange(to: Destination, connection: Served, asked: AskedRequest): Promise<boolean> {
    const { head } = asked;
    const isLast = head.version === "1.0" || listOf(head.headers, "connection").includes("close");
    const body = await wholeBody(connection, asked);
    if (body === null) {
      await answerInWords(
        connection,
        head,
        "413 Content Too Large",
        "This network sends at most 16 MiB at once.\n",
      );
      return false;
    }
    const url = this.#urlOf(to, head);
    const abort = new AbortController();
    connection.onOver = () => abort.abort();
    const response = await this.#ask(url, head, body, abort.signal);
    if (typeof response === "string") {
      await answerInWords(connection, head, "502 Bad Gateway", response);
      return false;
    }
    await answer(connection, head, response, isLast);
    return !isLast;
  }

  #urlOf({ host, name }: Destination, { target, headers }: RequestHead): string {
    const asked = valuesOf(headers, "host")[0] ?? "";
    const known = HOST_FIELD.test(asked) ? asked : (name ?? (host.includes(":") ? `[${host}]` : host));
    const path = target.startsWith("/") ? target : "/";
    return `${this.#scheme}//${known}${path}`;
  }

  /** A string: why there is no answer. */
  async #ask(
    url: string,
    head: RequestHead,
    body: Uint8Array<ArrayBuffer>,
    signal: AbortSignal,
  ): Promise<Response | string> {
    try {
      return await this.#fetcher(url, {
        method: head.method,
        headers: allowedHeaders(head),
        credentials: "omit",
        referrerPolicy: "no-referrer",
        signal,
        ...(body.length > 0 && { body }),
      });
    } catch {
      return `The browser did not fetch ${url}\nEither nobody answers there, or the server does not let pages of other sites read it (CORS),\nor this site's Content-Security-Policy does not name it.\n`;
    }
  }
}

const onlyHttp: Refused = {
  refusal: "prohibited",
  code: "denied-port",
  sentence: "This machine's network is the browser's own: only HTTP to port 80 leaves it.",
};

/** Null: too long. A client that waits for leave to send gets it (RFC 9110 §10.1.1). */
async function wholeBody(
  connection: Served,
  { head, framing, body }: AskedRequest,
): Promise<Uint8Array<ArrayBuffer> | null> {
  if (framing.kind === "length" && framing.bytes > MAX_BODY_BYTES) return null;
  if (framing.kind !== "none" && listOf(head.headers, "expect").includes("100-continue"))
    await connection.send(encodeHead("HTTP/1.1 100 Continue", []));
  const kept: Uint8Array[] = [];
  let size = 0;
  for (let pieces = await body.pieces(); pieces; pieces = await body.pieces())
    for (const piece of pieces) {
      size += piece.length;
      if (size > MAX_BODY_BYTES) return null;
      kept.push(piece.slice());
    }
  const whole = new Uint8Array(size);
  let at = 0;
  for (const piece of kept) {
    whole.set(piece, at);
    at += piece.length;
  }
  return whole;
}

/** What a page may say of itself; the browser leaves out what it keeps for itself. */
function allowedHeaders({ headers }: RequestHead): Headers {
  const kept = new Headers();
  for (const [name, value] of withoutHopByHop(headers))
    if (!/^(host|content-length|expect|cookie|origin|referer|user-agent|accept-encoding)$/i.test(name))
      kept.append(name, value);
  return kept;
}
