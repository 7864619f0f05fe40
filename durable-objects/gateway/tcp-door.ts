import type { Outlet } from "./carrier.ts";
import { type Door, STREAM_IDLE_MS, earliest } from "./door.ts";
import type { Destination, Egress, FlowSink, Outflow, Refused } from "./flow.ts";
import { Unanswered } from "./unanswered.ts";

const MESSAGE_BYTES = 2 ** 20;
/** What may wait for the destination; a client that sends on is cut off. */
const UNWRITTEN_BYTES = 4 * 2 ** 20;
const WINDOW_BYTES = 256 * 1024;
const closes = { normal: 1000, tooBig: 1009, internal: 1011 } as const;

/** One connection per socket: `/tcp`, and the wsproxy form of a Wisp server. Bytes of messages are bytes of the stream. */
export class TcpDoor implements Door {
  readonly #outlet: Outlet;
  readonly #now: () => number;
  readonly #out: Outflow;
  readonly #unanswered: Unanswered;
  #unwritten = 0;
  /** What the world may send once there is room for it: a window at first, then what was sent to the client. */
  #owed = 0;
  #activeMs: number;
  #isOver = false;

  private constructor(
    outlet: Outlet,
    egress: Egress,
    now: () => number,
    to: Destination,
    unanswered: Unanswered,
    /** Called once, when it is known whether there is a connection. */
    onDialled: (refused: Refused | null) => void,
  ) {
    this.#unanswered = unanswered;
    this.#outlet = outlet;
    this.#now = now;
    this.#activeMs = now();
    const sink: FlowSink = {
      onOpen: () => {
        onDialled(null);
        this.#owed = WINDOW_BYTES;
        this.#repay();
      },
      onRefused: (why) => {
        onDialled(why);
        this.#end(closes.internal, why.sentence);
      },
      onBytes: (bytes) => {
        if (this.#isOver) return;
        this.#activeMs = this.#now();
        this.#outlet.send(bytes);
        this.#owed += bytes.length;
        this.#repay();
      },
      onEnd: () => this.#end(closes.normal, "end of stream"),
      onBroken: () => this.#end(closes.internal, "connection lost"),
      onWritten: (count) => {
        this.#unwritten -= count;
        this.#activeMs = this.#now();
        // The last bytes of a client that is gone have left.
        if (this.#isOver && this.#unwritten <= 0) this.#out.abort();
      },
    };
    this.#out = egress.dial(to, sink);
  }

  /** A door whose connection has been made, or why there is none. */
  static dial(
    outlet: Outlet,
    egress: Egress,
    now: () => number,
    to: Destination,
    unanswered = new Unanswered(0),
  ): Promise<{ readonly door: TcpDoor; readonly refused: Refused | null }> {
    return new Promise((resolve) => {
      const door: TcpDoor = new TcpDoor(outlet, egress, now, to, unanswered, (refused) =>
        resolve({ door, refused }),
      );
    });
  }

  get streamCount(): number {
    return this.#isOver ? 0 : 1;
  }
  get isQuiet(): boolean {
    return this.streamCount === 0;
  }

  onMessage(message: Uint8Array | string): void {
    if (this.#isOver) return;
    const bytes = typeof message === "string" ? new TextEncoder().encode(message) : message;
    if (bytes.length > MESSAGE_BYTES) return this.#end(closes.tooBig, "message too big");
    this.#unwritten += bytes.length;
    if (this.#unwritten > UNWRITTEN_BYTES) return this.#end(closes.internal, "the destination does not read");
    this.#activeMs = this.#now();
    this.#out.write(bytes);
  }

  onClosed(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    if (this.#unwritten <= 0) this.#out.abort();
  }

  #end(code: number, reason: string): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#out.abort();
    this.#outlet.close(code, reason);
  }

  #repay(): void {
    const owed = this.#owed;
    if (owed === 0 || this.#isOver || !this.#unanswered.take(owed, this.#now())) return;
    this.#owed = 0;
    this.#out.grant(owed);
  }

  onTime(): void {
    this.#repay();
    if (this.#now() - this.#activeMs >= STREAM_IDLE_MS) this.#end(closes.internal, "idle timeout");
  }
  pollAt(): number | undefined {
    if (this.#isOver) return undefined;
    const repayAt = this.#owed > 0 ? this.#unanswered.roomAt(this.#owed, this.#now()) : undefined;
    return earliest(this.#activeMs + STREAM_IDLE_MS, repayAt);
  }
}
