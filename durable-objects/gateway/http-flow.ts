import type { FlowSink, Outflow } from "./flow.ts";
import {
  BodyDecoder,
  type Framing,
  HeadReader,
  type RequestHead,
  encodeHead,
  readRequestHead,
  requestFraming,
} from "./http1.ts";
import { PieceQueue } from "./piece-queue.ts";

/** The serving end of a connection, as calls that wait. */
export interface Served {
  /** Null: the guest has finished. Throws when the connection is over. */
  read(): Promise<Uint8Array | null>;
  /** Waits for the guest's credit. */
  send(bytes: Uint8Array): Promise<void>;
  /** Called once, when the connection is over before its server has returned. */
  onOver: (() => void) | undefined;
}

/**
 * A connection that nobody is dialled for: `serve` answers in the place of the host. When it returns, the connection ends
 * well; when it throws, the guest sees it break.
 */
export class HttpFlow implements Outflow, Served {
  readonly #sink: FlowSink;
  readonly #queue = new PieceQueue();
  #waiters: (() => void)[] = [];
  #isFinished = false;
  #isOver = false;
  #granted = 0;
  onOver: (() => void) | undefined;

  constructor(sink: FlowSink, serve: (connection: Served) => Promise<void>) {
    this.#sink = sink;
    void this.#run(serve);
  }

  write(bytes: Uint8Array): void {
    this.#queue.push(bytes);
    if (this.#isOver) void Promise.resolve().then(() => this.#discard());
    else this.#wake();
  }
  /** Nobody reads any more. */
  #discard(): void {
    const { length } = this.#queue;
    this.#queue.clear();
    if (length > 0) this.#sink.onWritten(length);
  }
  finish(): void {
    this.#isFinished = true;
    this.#wake();
  }
  abort(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.onOver?.();
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

  async read(): Promise<Uint8Array | null> {
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

  async send(bytes: Uint8Array): Promise<void> {
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

  async #run(serve: (connection: Served) => Promise<void>): Promise<void> {
    await Promise.resolve();
    if (this.#isOver) return;
    this.#sink.onOpen();
    try {
      await serve(this);
      if (!this.#isOver) this.#sink.onEnd();
    } catch {
      if (!this.#isOver) this.#sink.onBroken();
    }
    this.#isOver = true;
    this.#discard();
  }
}

export interface AskedRequest {
  readonly head: RequestHead;
  readonly framing: Framing;
  readonly body: RequestBody;
}

/** The next request of a connection, `early` being what came behind the last one. Null: there is none, or it was refused. */
export async function nextRequest(connection: Served, early: Uint8Array): Promise<AskedRequest | null> {
  const reader = new HeadReader();
  let read = reader.push(early);
  while (read === null) {
    const bytes = await connection.read();
    if (bytes === null) {
      if (reader.isEmpty) return null;
      throw new Error("A request is cut short.");
    }
    read = reader.push(bytes);
  }
  const head = read && readRequestHead(read.lines);
  const framing = head && requestFraming(head);
  if (read && head && framing)
    return { head, framing, body: new RequestBody(new BodyDecoder(framing), read.rest, connection) };
  await connection.send(encodeHead("HTTP/1.1 400 Bad Request", [["Connection", "close"]]));
  return null;
}

/** The body of a request, and what follows it on the connection. */
export class RequestBody {
  readonly #decoder: BodyDecoder;
  readonly #connection: Served;
  #next: Uint8Array | null;
  rest: Uint8Array = new Uint8Array(0);

  constructor(decoder: BodyDecoder, first: Uint8Array, connection: Served) {
    this.#decoder = decoder;
    this.#connection = connection;
    this.#next = first;
    if (decoder.isDone) this.rest = first;
  }

  get isDone(): boolean {
    return this.#decoder.isDone;
  }

  /** Some of it; null: that was all. Throws when it is cut short or is no body of its framing. */
  async pieces(): Promise<Uint8Array[] | null> {
    while (!this.#decoder.isDone) {
      const isEarly = this.#next !== null && this.#next.length > 0;
      const bytes: Uint8Array | null = isEarly ? this.#next : await this.#connection.read();
      this.#next = null;
      if (!bytes) throw new Error("A request is cut short.");
      const { pieces, used } = this.#decoder.push(bytes);
      if (this.#decoder.isBad) throw new Error("A request's body is malformed.");
      if (this.#decoder.isDone) this.rest = bytes.subarray(used);
      if (pieces.length > 0) return pieces;
    }
    return null;
  }
}
