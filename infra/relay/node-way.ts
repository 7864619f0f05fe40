import { type Socket, connect } from "node:net";
import type { Destination, Egress, FlowSink, Outflow, Refused } from "../../durable-objects/gateway/flow.ts";
import { PieceQueue } from "../../durable-objects/gateway/piece-queue.ts";

const DIAL_MS = 10_000;
/** Given to a socket at a time: what waits beyond that waits where small pieces are gathered. */
const WRITE_BYTES = 256 * 1024;

const failures: Readonly<Record<string, Pick<Refused, "refusal" | "code" | "sentence">>> = {
  ECONNREFUSED: { refusal: "refused", code: "refused", sentence: "The host refused the connection." },
  ETIMEDOUT: { refusal: "timeout", code: "timeout", sentence: "The host did not answer in time." },
};
const unreachable: Refused = {
  refusal: "unreachable",
  code: "unreachable",
  sentence: "The host cannot be reached.",
};

/** Sockets of this machine. */
export class NodeWay implements Egress {
  dial(to: Destination, sink: FlowSink): Outflow {
    return new NodeFlow(to, sink);
  }
}

class NodeFlow implements Outflow {
  readonly #socket: Socket;
  readonly #sink: FlowSink;
  #isOpen = false;
  #isOver = false;
  #granted = 0;
  #hasEnded = false;
  readonly #waiting = new PieceQueue();
  #isWriting = false;
  #isFinished = false;

  constructor({ host, port }: Destination, sink: FlowSink) {
    this.#sink = sink;
    this.#socket = connect({ host, port, allowHalfOpen: true, noDelay: true });
    const timer = setTimeout(() => this.#socket.destroy(dialTimeout()), DIAL_MS);
    this.#socket.on("connect", () => {
      clearTimeout(timer);
      this.#isOpen = true;
      if (!this.#isOver) sink.onOpen();
    });
    // Without a listener of "data" nothing is read but what `read` asks for.
    this.#socket.on("readable", () => this.#read());
    this.#socket.on("end", () => {
      if (!this.#isOver) sink.onEnd();
    });
    this.#socket.on("error", (error: NodeJS.ErrnoException) => {
      clearTimeout(timer);
      this.#fail(error);
    });
  }

  #fail(error: NodeJS.ErrnoException): void {
    if (this.#isOver) return;
    this.#isOver = true;
    if (this.#isOpen) this.#sink.onBroken();
    else this.#sink.onRefused(failures[error.code ?? ""] ?? unreachable);
  }

  /** At most what was granted. At the end of the stream `read` must be called once more for "end" to come. */
  #read(): void {
    while (!this.#isOver && !this.#hasEnded) {
      const there = this.#socket.readableLength;
      if (there > 0 && this.#granted <= 0) return;
      const bytes = this.#socket.read(
        there > 0 ? Math.min(there, this.#granted) : undefined,
      ) as Buffer | null;
      if (bytes === null) return;
      this.#granted -= bytes.length;
      this.#sink.onBytes(new Uint8Array(bytes));
    }
  }

  write(bytes: Uint8Array): void {
    if (this.#isOver || this.#isFinished) return;
    this.#waiting.push(bytes);
    this.#writeOut();
  }
  finish(): void {
    this.#isFinished = true;
    this.#writeOut();
  }

  #writeOut(): void {
    if (this.#isOver || this.#isWriting) return;
    if (this.#waiting.length === 0) {
      if (this.#isFinished) this.#socket.end();
      return;
    }
    this.#isWriting = true;
    // The rest of this turn's segments join the first.
    setImmediate(() => {
      if (this.#isOver) return;
      let count = 0;
      const onWritten = (error?: Error | null): void => {
        this.#isWriting = false;
        if (error || this.#isOver) return;
        this.#sink.onWritten(count);
        this.#writeOut();
      };
      this.#socket.cork();
      while (this.#waiting.length > 0 && count < WRITE_BYTES) {
        const piece = this.#waiting.shift(WRITE_BYTES)!;
        count += piece.length;
        const isLast = this.#waiting.length === 0 || count >= WRITE_BYTES;
        this.#socket.write(piece, isLast ? onWritten : undefined);
      }
      this.#socket.uncork();
    });
  }

  abort(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#waiting.clear();
    this.#socket.resetAndDestroy();
  }
  grant(bytes: number): void {
    this.#granted += bytes;
    // Not inside the sink's own call.
    setImmediate(() => this.#read());
  }
}

const dialTimeout = (): Error => Object.assign(new Error("no answer"), { code: "ETIMEDOUT" });
