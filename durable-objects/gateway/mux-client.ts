import {
  type TcpMuxFrame,
  TcpMuxParser,
  encodeTcpMux,
  tcpMuxCloses,
  tcpMuxErrors,
} from "#protocol/tcp-mux.ts";
import type { Outlet } from "./carrier.ts";
import type { Destination, Egress, FlowSink, Outflow } from "./flow.ts";
import { Pacer } from "./pacer.ts";
import {
  type Held,
  type RelayBounds,
  RelayStream,
  noRelay,
  relayBounds,
  relayIsSilent,
} from "./relay-stream.ts";

const DATA_BYTES = 64 * 1024;
/** The relay's PING has not been answered for so long: the stream for which most waits is cut, before the relay gives all up. */
const LATE_MS = 5000;
/** A relay that has said nothing for so long is asked by PING, and when it says nothing for as long again it is taken for gone. */
const QUIET_MS = 15_000;

/**
 * `aero-tcp-mux-v1`, the client's end: an egress through a relay. The protocol has no answer to OPEN, so a connection
 * counts as open at once; a failed dial arrives as a broken connection.
 */
export class MuxClient implements Egress {
  readonly #outlet: Outlet;
  readonly #bounds: RelayBounds;
  readonly #now: () => number;
  readonly #parser = new TcpMuxParser();
  readonly #streams = new Map<number, RelayStream>();
  readonly #pacer = new Pacer();
  readonly #held: Held = { bytes: 0 };
  #next = 1;
  /** Streams with something to send, in the order in which they take turns. */
  readonly #ready = new Set<number>();
  #pongs: Uint8Array[] = [];
  /** Since when a PING waits for its answer. */
  #lateSinceMs: number | undefined;
  #heardMs: number;
  /** Since when a relay that has been quiet for long is known to have been asked. */
  #askedMs: number | undefined;
  #isSilent = false;
  #isClosed = false;

  constructor(outlet: Outlet, now: () => number, bounds: RelayBounds = relayBounds) {
    this.#outlet = outlet;
    this.#bounds = bounds;
    this.#now = now;
    this.#heardMs = now();
  }

  get streamCount(): number {
    return this.#streams.size;
  }

  dial({ host, port }: Destination, sink: FlowSink): Outflow {
    const id = this.#next++;
    const stream = new RelayStream(sink, this.#bounds.streamBytes, this.#held);
    if (!this.#isClosed) {
      this.#streams.set(id, stream);
      this.#outlet.send(encodeTcpMux.open(id, host, port));
    }
    void Promise.resolve().then(() => {
      if (this.#streams.has(id)) sink.onOpen();
      else if (this.#isClosed) sink.onRefused(noRelay);
    });
    return {
      write: (bytes) => {
        if (!this.#streams.has(id)) return;
        stream.waiting.push(bytes);
        this.#send(id);
      },
      finish: () => {
        stream.isFinished = true;
        this.#send(id);
      },
      abort: () => this.#abort(id),
      grant: (bytes) => {
        stream.grant(bytes);
        this.#answer();
      },
    };
  }

  #send(id: number): void {
    this.#ready.add(id);
    this.#drain();
  }

  /** Bytes count as taken when they are in the socket, which is kept to a window by PING and PONG. */
  #drain(): void {
    // A stream that has more goes to the end, and is come to again.
    for (const id of this.#ready) {
      if (!this.#pacer.isRoomy) break;
      this.#ready.delete(id);
      const stream = this.#streams.get(id);
      const bytes = stream?.waiting.shift(DATA_BYTES);
      if (stream && bytes) {
        this.#outlet.send(encodeTcpMux.data(id, bytes));
        this.#pacer.sent(bytes.length);
        void Promise.resolve().then(() => stream.sink.onWritten(bytes.length));
        if (stream.waiting.length > 0 || stream.isFinished) this.#ready.add(id);
      } else if (stream?.isFinished && !stream.hasSaidEnd) {
        this.#outlet.send(encodeTcpMux.close(id, "fin"));
        stream.hasSaidEnd = true;
        this.#forgetEnded(id, stream);
      }
    }
    if (this.#pacer.ask(this.#now())) this.#outlet.send(encodeTcpMux.ping(new Uint8Array(4)));
  }

  /** What has arrived is still delivered as it is asked for. */
  #forgetEnded(id: number, { hasSaidEnd, hasHeardEnd }: RelayStream): void {
    if (hasSaidEnd && hasHeardEnd) this.#streams.delete(id);
  }

  #abort(id: number): void {
    const stream = this.#streams.get(id);
    if (!stream) return;
    this.#streams.delete(id);
    stream.drop();
    this.#outlet.send(encodeTcpMux.close(id, "rst"));
    this.#answer();
  }

  onMessage(message: Uint8Array | string): void {
    this.#heardMs = this.#now();
    this.#askedMs = undefined;
    const { frames, close } = this.#parser.push(message);
    for (const frame of frames) this.#onFrame(frame);
    if (!close) return;
    this.#outlet.close(close.code, close.reason);
    this.onClosed();
  }

  #onFrame(frame: TcpMuxFrame): void {
    const stream = this.#streams.get(frame.stream);
    switch (frame.type) {
      case "data":
        if (stream && !stream.arrive(frame.bytes)) this.#cut(frame.stream, stream);
        return;
      case "close":
        if (stream && frame.rst) this.#break(frame.stream, stream);
        else if (frame.fin && stream) {
          stream.hasHeardEnd = true;
          stream.end();
          this.#forgetEnded(frame.stream, stream);
        }
        return;
      case "error":
        if (stream) this.#fail(frame.stream, stream, frame.code, frame.text);
        return;
      case "ping":
        if (this.#pongs.length < 4) this.#pongs.push(frame.bytes);
        return this.#answer();
      case "pong":
        this.#pacer.answered(this.#now());
        return this.#drain();
      case "open":
      case "malformed":
        return;
      default:
        frame satisfies never;
    }
  }

  /** Wanted every second or so while there are streams. */
  onTime(): void {
    this.#answer();
    const now = this.#now();
    if (this.#isClosed || this.#streams.size === 0 || now - this.#heardMs < QUIET_MS) return;
    if (this.#askedMs === undefined) {
      this.#askedMs = now;
      if (this.#pacer.ask(now, true)) this.#outlet.send(encodeTcpMux.ping(new Uint8Array(4)));
    } else if (now - this.#askedMs >= QUIET_MS) {
      this.#isSilent = true;
      this.#outlet.close(tcpMuxCloses.internal, "the relay does not answer");
      this.onClosed();
    }
  }

  /** PONG when the streams have room: the relay's pace is ours. */
  #answer(): void {
    if (this.#pongs.length === 0) return;
    if (this.#held.bytes > this.#bounds.lateBytes) {
      this.#lateSinceMs ??= this.#now();
      if (this.#now() - this.#lateSinceMs < LATE_MS) return;
      let most: [number, RelayStream] | undefined;
      for (const entry of this.#streams)
        if (entry[1].queuedBytes > (most?.[1].queuedBytes ?? 0)) most = entry;
      if (most) this.#cut(...most);
    }
    this.#lateSinceMs = undefined;
    for (const bytes of this.#pongs.splice(0)) this.#outlet.send(encodeTcpMux.pong(bytes));
  }

  #cut(id: number, stream: RelayStream): void {
    this.#outlet.send(encodeTcpMux.close(id, "rst"));
    this.#break(id, stream);
  }

  #break(id: number, stream: RelayStream): void {
    this.#streams.delete(id);
    stream.drop();
    stream.sink.onBroken();
  }

  #fail(id: number, stream: RelayStream, code: number, text: string): void {
    this.#streams.delete(id);
    stream.drop();
    const isPolicy = code === tcpMuxErrors.POLICY_DENIED;
    stream.sink.onRefused({
      refusal: isPolicy ? "prohibited" : "refused",
      code: isPolicy ? "denied-address" : "refused",
      sentence: `The relay says: ${text}`.slice(0, 256),
    });
  }

  onClosed(): void {
    this.#isClosed = true;
    const streams = [...this.#streams.values()];
    this.#streams.clear();
    this.#ready.clear();
    this.#pongs = [];
    for (const stream of streams) {
      stream.drop();
      if (this.#isSilent) stream.sink.onRefused(relayIsSilent);
      else stream.sink.onBroken();
    }
  }
}
