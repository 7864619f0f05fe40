import {
  type TcpMuxError,
  type TcpMuxFrame,
  TcpMuxParser,
  encodeTcpMux,
  tcpMuxCloses,
  tcpMuxLimits,
} from "#protocol/tcp-mux.ts";
import type { Outlet } from "./carrier.ts";
import { type Door, STREAM_IDLE_MS, SWEEP_MS, earliest } from "./door.ts";
import type { Egress, FlowSink, Outflow, Refused } from "./flow.ts";
import { Pacer } from "./pacer.ts";

/** What one stream may have on its way to the client. */
const STREAM_WINDOW_BYTES = 256 * 1024;

interface Stream {
  readonly out: Outflow;
  /** Given to the world and not yet taken by it. */
  unwritten: number;
  /** Granted again when the socket has room. */
  owed: number;
  clientDone: boolean;
  worldDone: boolean;
  activeMs: number;
}

/** `aero-tcp-mux-v1`, the server's end. A stream that fails never closes the socket. */
export class MuxDoor implements Door {
  readonly #outlet: Outlet;
  readonly #egress: Egress;
  readonly #now: () => number;
  readonly #maxStreams: number;
  readonly #onIdle: () => void;
  readonly #parser = new TcpMuxParser();
  readonly #streams = new Map<number, Stream>();
  /** Both ends have said their last; the world has not taken all of it. */
  readonly #leaving = new Set<Stream>();
  readonly #pacer = new Pacer();
  #pings = 0;
  #sweepAt: number;

  /** `onIdle`: the last stream has ended by itself, so that the host may rest. */
  constructor(
    outlet: Outlet,
    egress: Egress,
    now: () => number,
    maxStreams: number = tcpMuxLimits.streams,
    onIdle: () => void = () => {},
  ) {
    this.#onIdle = onIdle;
    this.#outlet = outlet;
    this.#egress = egress;
    this.#now = now;
    this.#sweepAt = now() + SWEEP_MS;
    this.#maxStreams = Math.min(maxStreams, tcpMuxLimits.streams);
  }

  get streamCount(): number {
    return this.#streams.size + this.#leaving.size;
  }
  get isQuiet(): boolean {
    return this.streamCount === 0;
  }

  onMessage(message: Uint8Array | string): void {
    const { frames, close } = this.#parser.push(message);
    for (const frame of frames) this.#onFrame(frame);
    if (!close) return;
    this.onClosed();
    this.#outlet.close(close.code, close.reason);
  }

  onClosed(): void {
    for (const stream of [...this.#streams.values(), ...this.#leaving]) stream.out.abort();
    this.#streams.clear();
    this.#leaving.clear();
  }

  #onFrame(frame: TcpMuxFrame): void {
    switch (frame.type) {
      case "open":
        return this.#open(frame);
      case "data":
        return this.#onData(frame.stream, frame.bytes);
      case "close":
        return this.#onClose(frame);
      case "malformed":
        return this.#complain(frame.stream, "PROTOCOL_ERROR", frame.problem);
      case "ping":
        return this.#answer(encodeTcpMux.pong(frame.bytes));
      case "pong":
        this.#pacer.answered(this.#now());
        this.#ask();
        return this.#catchUp();
      case "error":
        return undefined;
      default:
        return frame satisfies never;
    }
  }

  #open({ stream: id, host, port }: Extract<TcpMuxFrame, { type: "open" }>): void {
    if (id === 0 || this.#streams.has(id))
      return this.#complain(id, "PROTOCOL_ERROR", "The stream's number is 0 or in use.");
    if (this.streamCount >= this.#maxStreams)
      return this.#complain(id, "STREAM_LIMIT_EXCEEDED", `At most ${this.#maxStreams} streams.`);
    const stream: Stream = {
      out: this.#egress.dial(
        { host, port },
        this.#sink(id, () => stream),
      ),
      unwritten: 0,
      owed: 0,
      clientDone: false,
      worldDone: false,
      activeMs: this.#now(),
    };
    this.#streams.set(id, stream);
  }

  #onData(id: number, bytes: Uint8Array): void {
    const stream = this.#streams.get(id);
    if (!stream) return this.#complain(id, "UNKNOWN_STREAM", "There is no such stream.");
    if (stream.clientDone) return this.#complain(id, "PROTOCOL_ERROR", "DATA after FIN.");
    stream.activeMs = this.#now();
    if (stream.unwritten + bytes.length > tcpMuxLimits.streamBytes) {
      this.#error(id, "STREAM_BUFFER_OVERFLOW", "The destination does not take data this fast.");
      return this.#drop(id, stream);
    }
    stream.unwritten += bytes.length;
    stream.out.write(bytes);
  }

  #onClose({ stream: id, fin, rst }: Extract<TcpMuxFrame, { type: "close" }>): void {
    const stream = this.#streams.get(id);
    if (!stream) return this.#complain(id, "UNKNOWN_STREAM", "There is no such stream.");
    if (rst) return this.#drop(id, stream);
    if (!fin || stream.clientDone) return;
    stream.clientDone = true;
    stream.out.finish();
    if (stream.worldDone) this.#leave(id, stream);
  }

  /** Its number is free; what it holds counts until the world has taken it. */
  #leave(id: number, stream: Stream): void {
    this.#streams.delete(id);
    if (stream.unwritten > 0) this.#leaving.add(stream);
  }

  #left(stream: Stream): void {
    if (this.#leaving.delete(stream) && this.streamCount === 0) this.#onIdle();
  }

  #drop(id: number, stream: Stream): void {
    this.#streams.delete(id);
    stream.out.abort();
  }

  #error(stream: number, code: TcpMuxError, text: string): void {
    this.#outlet.send(encodeTcpMux.error(stream, code, text));
  }

  #complain(stream: number, code: TcpMuxError, text: string): void {
    this.#answer(encodeTcpMux.error(stream, code, text));
  }

  /** What a client can ask for without end: one that does not read gets no more of it than a socket may hold. */
  #answer(message: Uint8Array): void {
    if (this.#pacer.isFull) return;
    this.#pacer.sent(message.length);
    this.#outlet.send(message);
    this.#ask();
  }

  #sink(id: number, own: () => Stream): FlowSink {
    const turn = (action: (stream: Stream) => void): void => {
      const stream = own();
      const isLeaving = this.#leaving.has(stream);
      if (!isLeaving && this.#streams.get(id) !== stream) return;
      stream.activeMs = this.#now();
      if (!isLeaving) action(stream);
      if (this.streamCount === 0) this.#onIdle();
    };
    return {
      onOpen: () => turn((stream) => stream.out.grant(STREAM_WINDOW_BYTES)),
      onRefused: (why) => {
        this.#left(own());
        turn(() => {
          this.#streams.delete(id);
          this.#error(id, muxError(why), why.sentence);
        });
      },
      onBytes: (bytes) => turn((stream) => this.#deliver(id, stream, bytes)),
      onEnd: () =>
        turn((stream) => {
          stream.worldDone = true;
          this.#outlet.send(encodeTcpMux.close(id, "fin"));
          if (stream.clientDone) this.#leave(id, stream);
        }),
      onBroken: () => {
        this.#left(own());
        turn(() => {
          this.#streams.delete(id);
          this.#outlet.send(encodeTcpMux.close(id, "rst"));
        });
      },
      onWritten: (count) => {
        own().unwritten -= count;
        if (own().unwritten <= 0) this.#left(own());
        turn(() => {});
      },
    };
  }

  #deliver(id: number, stream: Stream, bytes: Uint8Array): void {
    this.#outlet.send(encodeTcpMux.data(id, bytes));
    this.#pacer.sent(bytes.length);
    this.#ask();
    stream.owed += bytes.length;
    if (this.#pacer.isRoomy) this.#repay(stream);
  }

  #ask(): void {
    if (this.#pacer.ask(this.#now()))
      this.#outlet.send(encodeTcpMux.ping(Uint8Array.of(++this.#pings & 0xff)));
  }

  #repay(stream: Stream): void {
    const { owed } = stream;
    stream.owed = 0;
    stream.out.grant(owed);
  }

  /** The client has read on: every stream that was held back may go on. */
  #catchUp(): void {
    if (!this.#pacer.isRoomy) return;
    for (const stream of this.#streams.values()) if (stream.owed > 0) this.#repay(stream);
  }

  onTime(): void {
    const now = this.#now();
    if (this.#pacer.isStuck(now)) {
      this.onClosed();
      return this.#outlet.close(tcpMuxCloses.internal, "the client does not read");
    }
    if (now < this.#sweepAt) return undefined;
    this.#sweepAt = now + SWEEP_MS;
    for (const [id, stream] of this.#streams) {
      if (now - stream.activeMs < STREAM_IDLE_MS) continue;
      this.#error(id, "DIAL_FAILED", "Nothing was sent for five minutes.");
      this.#drop(id, stream);
    }
    for (const stream of this.#leaving) {
      if (now - stream.activeMs < STREAM_IDLE_MS) continue;
      this.#leaving.delete(stream);
      stream.out.abort();
    }
    return undefined;
  }

  pollAt(): number | undefined {
    return earliest(this.#pacer.pollAt(), this.streamCount > 0 ? this.#sweepAt : undefined);
  }
}

const muxError = ({ code }: Refused): TcpMuxError => {
  if (code === "too-many-connections" || code === "too-many-flows") return "STREAM_LIMIT_EXCEEDED";
  const isWorld = /^(refused|unreachable|timeout|failed|name-not-found|no-relay|platform-.*)$/.test(code);
  return isWorld ? "DIAL_FAILED" : "POLICY_DENIED";
};
