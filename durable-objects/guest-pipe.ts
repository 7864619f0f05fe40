import { PieceQueue } from "./gateway/piece-queue.ts";
import type { GuestFlow, GuestSink, StackHost } from "./gateway/stack-host.ts";
import type { Endpoint } from "./net/world.ts";

/** How a connection ended, and what went from the guest and to it. */
export interface PipeEnd {
  readonly why: "done" | "reset" | "timeout";
  readonly atMs: number;
  readonly sentBytes: number;
  readonly receivedBytes: number;
}

const OPEN_MS = 10_000;
const LINGER_MS = 2000;

/**
 * A connection to a port of the guest, as calls that wait: `read` opens the guest's window by what it takes, `write` waits
 * for room in the stack's buffer. Holds at most the stack's receive buffer.
 */
export class GuestPipe implements GuestSink {
  #flow: GuestFlow | undefined;
  readonly #queue = new PieceQueue();
  #isEnded = false;
  #isClosed = false;
  #isOpen = false;
  #waiters: (() => void)[] = [];
  readonly #startMs = Date.now();
  readonly #onEnd: (end: PipeEnd) => void;
  #sentBytes = 0;
  #receivedBytes = 0;

  private constructor(onEnd: (end: PipeEnd) => void) {
    this.#onEnd = onEnd;
  }

  /** Null: nobody answers at this port of the guest, or there is no guest. */
  static async open(
    host: StackHost,
    to: Endpoint,
    from: Endpoint,
    onEnd: (end: PipeEnd) => void,
  ): Promise<GuestPipe | null> {
    const pipe = new GuestPipe(onEnd);
    const flow = host.openToGuest(to, from, pipe);
    if (!flow) return null;
    pipe.#flow = flow;
    const timer = setTimeout(() => pipe.abort(), OPEN_MS);
    while (!pipe.#isOpen && !pipe.#isClosed) await pipe.#change();
    clearTimeout(timer);
    return pipe.#isClosed ? null : pipe;
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  #change(): Promise<void> {
    return new Promise((resolve) => this.#waiters.push(resolve));
  }
  #wake(): void {
    for (const waiter of this.#waiters.splice(0)) waiter();
  }

  onOpen(): void {
    this.#isOpen = true;
    this.#wake();
  }
  onBytes(bytes: Uint8Array): void {
    this.#sentBytes += bytes.length;
    this.#queue.push(bytes);
    this.#wake();
  }
  onEnd(): void {
    this.#isEnded = true;
    this.#wake();
  }
  onClosed(why: "done" | "reset" | "timeout"): void {
    this.#over(why);
    if (why === "done") this.#isEnded = true;
    this.#wake();
  }
  #over(why: PipeEnd["why"]): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    const [sentBytes, receivedBytes] = [this.#sentBytes, this.#receivedBytes];
    this.#onEnd({ why, atMs: this.#startMs, sentBytes, receivedBytes });
  }
  onRoom(): void {
    this.#wake();
  }

  /** Null: the guest has finished. Throws when the connection broke. */
  async read(): Promise<Uint8Array | null> {
    for (;;) {
      const bytes = this.#queue.shift();
      if (bytes) {
        this.#flow?.took(bytes.length);
        return bytes;
      }
      if (this.#isEnded) return null;
      if (this.#isClosed) throw new Error("The guest broke the connection.");
      await this.#change();
    }
  }

  async write(bytes: Uint8Array): Promise<void> {
    let at = 0;
    while (at < bytes.length) {
      if (this.#isClosed || !this.#flow) throw new Error("The guest broke the connection.");
      const room = this.#flow.room;
      if (room === 0) {
        await this.#change();
        continue;
      }
      const part = bytes.slice(at, at + room);
      this.#flow.write(part);
      this.#receivedBytes += part.length;
      at += part.length;
    }
  }

  /** Says FIN; a guest that does not answer it in time is reset. */
  close(): void {
    if (this.#isClosed) return;
    this.#flow?.finish();
    setTimeout(() => this.abort(), LINGER_MS);
  }
  abort(): void {
    if (this.#isClosed) return;
    this.#over("reset");
    this.#flow?.abort();
    this.#wake();
  }
}
