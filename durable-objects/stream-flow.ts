import type { FlowSink, Outflow, Refused } from "./gateway/flow.ts";
import { PieceQueue } from "./gateway/piece-queue.ts";

/** A connection as streams: a socket of this object, or one that an Egress object holds and hands over by RPC. */
export interface Pipe {
  readonly readable: ReadableStream<Uint8Array>;
  readonly writable: WritableStream<Uint8Array>;
  /** Frees what is left when both directions are over. */
  close?(): void;
}

/** What a read brings fits into two messages of `virga-l2-v1` with the headers of the segments that it becomes. */
const READ_BYTES = 124 * 1024;
/** A read that is under way owns its buffer, and a thousand idle connections may not own 121 MiB: the next is as long as the last suggests. */
const FIRST_READ_BYTES = 1024;
const SECOND_READ_BYTES = 16 * 1024;
/** A read that filled less than this is copied, so that what the stack keeps is not mostly empty buffer. */
const COPY_BELOW_BYTES = 16 * 1024;
/** Writes of a busy upload are gathered in the same memory again; shared by all flows, so that idle ones hold none. */
const GATHER_BYTES = 64 * 1024;
const MAX_GATHERERS = 8;
const gatherers: Uint8Array[] = [];
/** How long what is being written may still take when a connection is dropped. */
const LINGER_MS = 5000;

function nextReadBytes(lastBytes: number): number {
  if (lastBytes < FIRST_READ_BYTES) return FIRST_READ_BYTES;
  return lastBytes < SECOND_READ_BYTES ? SECOND_READ_BYTES : READ_BYTES;
}

/**
 * One flow over a pipe that is being made. Reads only what was granted; gathers what is written while a write is under
 * way, so that a turn's segments leave as one write. Holds no more than the dialler has written and not been told of.
 */
export class StreamFlow implements Outflow {
  readonly #sink: FlowSink;
  #pipe: Pipe | undefined;
  #dialling: AbortController | undefined;
  #writer: WritableStreamDefaultWriter<Uint8Array> | undefined;
  #reader: ReadableStreamBYOBReader | undefined;
  readonly #queue = new PieceQueue();
  #granted = 0;
  #wake: (() => void) | undefined;
  #isWriting = false;
  #wantsFinish = false;
  #isOver = false;
  #inDone = false;
  #outDone = false;

  /** `dial` is told by its signal when nobody wants the connection any more. */
  constructor(sink: FlowSink, dial: (unwanted: AbortSignal) => Promise<Pipe | Refused>) {
    this.#sink = sink;
    void this.#open(dial);
  }

  async #open(dial: (unwanted: AbortSignal) => Promise<Pipe | Refused>): Promise<void> {
    let pipe: Pipe | Refused;
    const dialling = new AbortController();
    this.#dialling = dialling;
    try {
      pipe = await dial(dialling.signal);
    } catch (error) {
      pipe = { refusal: "unreachable", code: "failed", sentence: String(error).slice(0, 200) };
    }
    this.#dialling = undefined;
    if ("refusal" in pipe) {
      if (!this.#isOver) this.#sink.onRefused(pipe);
      this.#isOver = true;
      return;
    }
    this.#pipe = pipe;
    this.#writer = pipe.writable.getWriter();
    this.#reader = pipe.readable.getReader({ mode: "byob" });
    if (this.#isOver) return this.#drop();
    this.#sink.onOpen();
    void this.#writeOut();
    void this.#readIn(this.#reader);
  }

  write(bytes: Uint8Array): void {
    if (this.#isOver || this.#wantsFinish || bytes.length === 0) return;
    this.#queue.push(bytes);
    void this.#writeOut();
  }

  finish(): void {
    this.#wantsFinish = true;
    void this.#writeOut();
  }

  grant(bytes: number): void {
    this.#granted += bytes;
    this.#wake?.();
  }

  abort(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#dialling?.abort();
    this.#drop();
  }

  #drop(): void {
    this.#queue.clear();
    this.#wake?.();
    void this.#reader?.cancel().catch(() => {});
    const writer = this.#writer;
    // Aborting a socket's writable leaves the connection open in workerd, closing it does not. A peer that takes nothing
    // keeps a write under way, which only an abort ends.
    const lingering = setTimeout(() => void writer?.abort().catch(() => {}), LINGER_MS);
    void writer
      ?.close()
      .catch(() => {})
      .finally(() => clearTimeout(lingering));
    this.#free();
  }

  #free(): void {
    const pipe = this.#pipe;
    this.#pipe = undefined;
    pipe?.close?.();
  }

  #break(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#drop();
    this.#sink.onBroken();
  }

  #direction(which: "in" | "out"): void {
    if (which === "in") this.#inDone = true;
    else this.#outDone = true;
    if (!this.#inDone || !this.#outDone || this.#isOver) return;
    this.#isOver = true;
    this.#free();
  }

  async #writeOut(): Promise<void> {
    const writer = this.#writer;
    if (!writer || this.#isWriting || this.#outDone) return;
    this.#isWriting = true;
    // The rest of this turn's segments join the first.
    await Promise.resolve();
    try {
      while (this.#queue.length > 0 && !this.#isOver) {
        const { bytes, gatherer } = this.#gather();
        await writer.write(bytes);
        // A write that has failed may still be read by the platform: its memory is left to it.
        if (gatherer && gatherers.length < MAX_GATHERERS) gatherers.push(gatherer);
        if (!this.#isOver) this.#sink.onWritten(bytes.length);
      }
      if (this.#wantsFinish && !this.#isOver) {
        this.#outDone = true;
        await writer.close();
        this.#direction("out");
      }
    } catch {
      this.#break();
    } finally {
      this.#isWriting = false;
    }
  }

  #gather(): { readonly bytes: Uint8Array; readonly gatherer?: Uint8Array } {
    const bytes = this.#queue.length;
    const first = this.#queue.shift()!;
    if (first.length === bytes) return { bytes: first };
    const gatherer = bytes > GATHER_BYTES ? undefined : (gatherers.pop() ?? new Uint8Array(GATHER_BYTES));
    const whole = gatherer?.subarray(0, bytes) ?? new Uint8Array(bytes);
    let at = 0;
    for (let piece: Uint8Array | undefined = first; piece; piece = this.#queue.shift()) {
      whole.set(piece, at);
      at += piece.length;
    }
    return { bytes: whole, ...(gatherer && { gatherer }) };
  }

  async #readIn(reader: ReadableStreamBYOBReader): Promise<void> {
    let spare: ArrayBuffer | undefined;
    let readBytes = FIRST_READ_BYTES;
    try {
      while (!this.#isOver) {
        if (this.#granted <= 0) {
          await new Promise<void>((resolve) => (this.#wake = resolve));
          this.#wake = undefined;
          continue;
        }
        const wanted = Math.min(this.#granted, readBytes);
        const isFitting = spare?.byteLength === readBytes;
        const buffer: ArrayBuffer = isFitting ? spare! : new ArrayBuffer(readBytes);
        const { value, done } = await reader.read(new Uint8Array(buffer, 0, wanted));
        if (this.#isOver) return;
        if (done) {
          this.#direction("in");
          return this.#sink.onEnd();
        }
        this.#granted -= value.length;
        readBytes = nextReadBytes(value.length);
        const isSmall = value.length < COPY_BELOW_BYTES;
        spare = isSmall ? value.buffer : undefined;
        this.#sink.onBytes(isSmall ? value.slice() : value);
      }
    } catch {
      this.#break();
    }
  }
}
