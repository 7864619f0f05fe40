import type { Destination, Egress, FlowSink, Outflow } from "./gateway/flow.ts";
import {
  BodyDecoder,
  HeadReader,
  type HeaderLine,
  type RequestHead,
  encodeChunk,
  encodeHead,
  lastChunk,
  readRequestHead,
  requestFraming,
  valuesOf,
  withoutHopByHop,
} from "./gateway/http1.ts";

/** One piece of an answer as it is handed to the guest. */
const PIECE_BYTES = 16 * 1024;

/**
 * Plain HTTP to hosts that `connect()` may not reach: the guest's requests are read off the connection and made by
 * `fetch()`, one after the other. What is not HTTP breaks the connection. Redirects and encodings stay the guest's business.
 */
export class FetchWay implements Egress {
  dial(to: Destination, sink: FlowSink): Outflow {
    return new FetchFlow(to, sink);
  }
}

class FetchFlow implements Outflow {
  readonly #to: Destination;
  readonly #sink: FlowSink;
  #queue: Uint8Array[] = [];
  #waiters: (() => void)[] = [];
  #isFinished = false;
  #isOver = false;
  #granted = 0;

  constructor(to: Destination, sink: FlowSink) {
    this.#to = to;
    this.#sink = sink;
    void this.#run();
  }

  write(bytes: Uint8Array): void {
    this.#queue.push(bytes);
    this.#wake();
  }
  finish(): void {
    this.#isFinished = true;
    this.#wake();
  }
  abort(): void {
    this.#isOver = true;
    this.#wake();
  }
  grant(bytes: number): void {
    this.#granted += bytes;
    this.#wake();
  }

  #wake(): void {
    for (const waiter of this.#waiters.splice(0)) waiter();
  }

  async #change(): Promise<void> {
    await new Promise<void>((resolve) => this.#waiters.push(resolve));
    if (this.#isOver) throw new Error("over");
  }

  /** Null: the guest has finished. */
  async #read(): Promise<Uint8Array | null> {
    for (;;) {
      const bytes = this.#queue.shift();
      if (bytes) {
        this.#sink.onWritten(bytes.length);
        return bytes;
      }
      if (this.#isFinished) return null;
      await this.#change();
    }
  }

  async #run(): Promise<void> {
    await Promise.resolve();
    if (this.#isOver) return;
    this.#sink.onOpen();
    try {
      let rest: Uint8Array | null = new Uint8Array(0);
      while (rest) rest = await this.#exchange(rest);
      if (!this.#isOver) this.#sink.onEnd();
    } catch {
      if (!this.#isOver) this.#sink.onBroken();
    }
    this.#isOver = true;
  }

  /** One request and its answer. Answers what came after the request; null: the connection is over. */
  async #exchange(early: Uint8Array): Promise<Uint8Array | null> {
    const reader = new HeadReader();
    let read = reader.push(early);
    while (read === null) {
      const bytes = await this.#read();
      if (bytes === null) {
        if (reader.isEmpty) return null;
        throw new Error("A request is cut short.");
      }
      read = reader.push(bytes);
    }
    const head = read && readRequestHead(read.lines);
    const framing = head && requestFraming(head);
    if (!read || !head || !framing) {
      await this.#send(encodeHead("HTTP/1.1 400 Bad Request", [["Connection", "close"]]));
      return null;
    }
    const body = new RequestBody(new BodyDecoder(framing), read.rest, () => this.#read());
    const response = await fetch(this.#url(head), {
      method: head.method,
      headers: fetchHeaders(head),
      redirect: "manual",
      ...(framing.kind !== "none" && { body: body.stream() }),
    });
    await this.#answer(head, response);
    const isLast = valuesOf(head.headers, "connection").some((value) => /close/i.test(value));
    return isLast || head.version === "1.0" || !body.isDone ? null : body.rest;
  }

  /** The name that the guest asked for is what `fetch` is asked for: the policy has vetted it together with the address. */
  #url({ target, headers }: RequestHead): string {
    const { host, name, port } = this.#to;
    const asked = valuesOf(headers, "host")[0] ?? "";
    const known = name ?? host;
    // A Host header that names another site would go round the policy.
    const isSame = asked.toLowerCase().replace(/:\d+$/, "") === known.toLowerCase();
    if (!isSame) throw new Error("The Host header is not where the connection goes.");
    const path = target.startsWith("/") ? target : new URL(target).pathname;
    return `http://${known}${port === 80 ? "" : `:${port}`}${path}`;
  }

  async #answer(head: RequestHead, response: Response): Promise<void> {
    const headers: HeaderLine[] = [];
    for (const [name, value] of withoutHopByHop(response.headers))
      if (name !== "content-length" && name !== "content-encoding") headers.push([name, value]);
    const isBodyless = head.method === "HEAD" || response.status === 204 || response.status === 304;
    if (!isBodyless) headers.push(["Transfer-Encoding", "chunked"]);
    await this.#send(encodeHead(`HTTP/1.1 ${response.status} ${response.statusText || "Answer"}`, headers));
    if (isBodyless) return;
    for await (const piece of response.body ?? [])
      for (let at = 0; at < piece.length; at += PIECE_BYTES)
        await this.#send(encodeChunk(piece.subarray(at, at + PIECE_BYTES)));
    await this.#send(lastChunk);
  }

  async #send(bytes: Uint8Array): Promise<void> {
    let at = 0;
    while (at < bytes.length) {
      if (this.#isOver) throw new Error("over");
      if (this.#granted <= 0) {
        await this.#change();
        continue;
      }
      const part = bytes.slice(at, at + this.#granted);
      this.#granted -= part.length;
      at += part.length;
      this.#sink.onBytes(part);
    }
  }
}

function fetchHeaders({ headers }: RequestHead): Headers {
  const kept = new Headers();
  for (const [name, value] of withoutHopByHop(headers))
    if (!/^(host|content-length|expect|cf-.*)$/i.test(name)) kept.append(name, value);
  return kept;
}

/** The body of the request that is being made, and what follows it on the connection. */
class RequestBody {
  readonly #decoder: BodyDecoder;
  readonly #read: () => Promise<Uint8Array | null>;
  #next: Uint8Array | null;
  rest: Uint8Array = new Uint8Array(0);

  constructor(decoder: BodyDecoder, first: Uint8Array, read: () => Promise<Uint8Array | null>) {
    this.#decoder = decoder;
    this.#read = read;
    this.#next = first;
    if (decoder.isDone) this.rest = first;
  }

  get isDone(): boolean {
    return this.#decoder.isDone;
  }

  stream(): ReadableStream<Uint8Array> {
    return new ReadableStream<Uint8Array>({
      pull: async (controller) => {
        for (;;) {
          if (this.#decoder.isDone) return controller.close();
          const bytes: Uint8Array | null =
            this.#next && this.#next.length > 0 ? this.#next : await this.#read();
          this.#next = null;
          if (!bytes) throw new Error("A request is cut short.");
          const { pieces, used } = this.#decoder.push(bytes);
          if (this.#decoder.isBad) throw new Error("A request's body is malformed.");
          if (this.#decoder.isDone) this.rest = bytes.subarray(used);
          for (const piece of pieces) controller.enqueue(piece);
          if (pieces.length > 0) return undefined;
        }
      },
    });
  }
}
