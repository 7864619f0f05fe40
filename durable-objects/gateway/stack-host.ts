import type { Endpoint, FlowId, FlowTarget, NetworkStack, QueryId, World } from "../net/world.ts";
import type {
  DatagramEgress,
  DatagramEvent,
  Egress,
  FlowSink,
  NamedEndpoint,
  OpenDatagrams,
  Outflow,
  Refused,
} from "./flow.ts";

interface FlowHead {
  readonly flow: FlowId;
  readonly target: FlowTarget;
  /** Absent: TCP. */
  readonly protocol?: "udp";
}
/** What a flow of the guest, or a conversation of datagrams, has come to, for panels. */
export type FlowEvent =
  | (FlowHead & { readonly kind: "opened" })
  | (FlowHead & { readonly kind: "refused"; readonly why: Refused })
  | (FlowHead & {
      readonly kind: "closed";
      readonly why: "done" | "reset" | "timeout";
      readonly sentBytes: number;
      readonly receivedBytes: number;
    });

export interface StackHostParts {
  readonly makeStack: (world: World) => NetworkStack;
  /** `sendBufferBytes` of the stack's configuration. */
  readonly flowBytes: number;
  readonly egress: Egress;
  readonly openDatagrams: OpenDatagrams;
  /** A DNS message in, an answer out; null where no upstream answers. */
  readonly resolve: (message: Uint8Array) => Promise<Uint8Array | null>;
  readonly transmit: (frame: Uint8Array) => void;
  /** Whether frames find room on their way to the guest. While not, nothing more is read from the world. */
  readonly isRoomy: () => boolean;
  readonly onFlow: (event: FlowEvent) => void;
  /** Something came from the world: frames wait to be flushed, `pollAt` has changed. */
  readonly onWork: () => void;
  /** Milliseconds of a clock that never goes back. */
  readonly now: () => number;
}

/** One side of a flow that the host opened to the guest. */
export interface GuestSink {
  onOpen(): void;
  /** Counts against the guest's window until `GuestFlow.took`. */
  onBytes(bytes: Uint8Array): void;
  onEnd(): void;
  /** The last call. */
  onClosed(why: "done" | "reset" | "timeout"): void;
  /** `GuestFlow.room` has grown. */
  onRoom(): void;
}
export interface GuestFlow {
  readonly room: number;
  /** At most `room` bytes. */
  write(bytes: Uint8Array): void;
  took(count: number): void;
  finish(): void;
  abort(): void;
}

/** Questions that wait for an answer at a time; more are answered by silence, and the guest asks again. */
const MAX_QUERIES = 64;
/**
 * Credit is given in steps, as a read of the world costs as much for three bytes as for all that is there: a sixteenth of what
 * a flow may hold. No step is more than a quarter of it, however many share it, so that `roomy` is sure to come after less.
 */
const STEPS = 16;
const SHARED_BYTES = 4 << 20;
const LEAST_GRANT_BYTES = 4096;

/** Conversations of datagrams have ids of their own, above all that a stack gives to its flows. */
const DATAGRAM_FLOWS = 2 ** 40;
/** Of as many the ids are remembered; what is refused and forgotten gets another id. */
const MAX_DATAGRAM_IDS = 1024;

interface OutboundRow {
  readonly direction: "out";
  readonly target: FlowTarget;
  readonly out: Outflow;
  isOpen: boolean;
  /** Granted and not yet arrived. */
  granted: number;
  sentBytes: number;
  receivedBytes: number;
}
interface InboundRow {
  readonly direction: "in";
  readonly sink: GuestSink;
}

/**
 * Runs a TCP/IP stack between a guest's frames and an egress: flows become connections, questions go to a resolver.
 * Everything that the stack must not hear inside one of its own calls waits for the end of the turn (`settle`).
 */
export class StackHost implements World {
  readonly stack: NetworkStack;
  readonly #parts: StackHostParts;
  readonly #rows = new Map<FlowId, OutboundRow | InboundRow>();
  readonly #roomy = new Set<FlowId>();
  readonly #datagrams: DatagramEgress;
  readonly #datagramIds = new Map<string, FlowId>();
  #nextDatagramId = DATAGRAM_FLOWS;
  #queries = 0;
  #isClosed = false;

  constructor(parts: StackHostParts) {
    this.#parts = parts;
    this.stack = parts.makeStack(this);
    this.#datagrams = parts.openDatagrams({
      // As on any link that is full, what finds no room is lost.
      onReply: (from, to, payload) => {
        if (parts.isRoomy()) this.#later(() => this.stack.datagram(from, to, payload, parts.now()));
      },
      onEvent: (event) => this.#later(() => this.#onDatagrams(event)),
    });
  }

  get flowCount(): number {
    return this.#rows.size;
  }
  /** Flows wait for the carrier to have room. */
  get isWaiting(): boolean {
    return this.#roomy.size > 0;
  }
  /** Nothing is open and nothing is asked: the object that holds this may sleep. */
  get isQuiet(): boolean {
    return this.#rows.size === 0 && this.#queries === 0;
  }

  onFrame(frame: Uint8Array): void {
    if (!this.#isClosed) this.stack.onFrame(frame, this.#parts.now());
  }

  /** At the end of every turn, and when `pollAt` has come. */
  settle(): void {
    if (this.#isClosed) return;
    const now = this.#parts.now();
    const at = this.stack.pollAt();
    if (at !== undefined && at <= now) this.stack.onTime(now);
    if (this.#roomy.size === 0 || !this.#parts.isRoomy()) return;
    const roomy = [...this.#roomy];
    this.#roomy.clear();
    for (const flow of roomy) {
      const row = this.#rows.get(flow);
      if (row?.direction === "in") row.sink.onRoom();
      else if (row) this.#grant(flow, row);
    }
  }

  #grant(flow: FlowId, row: OutboundRow): void {
    if (!row.isOpen) return;
    const more = this.stack.room(flow) - row.granted;
    if (
      more <
      Math.max(LEAST_GRANT_BYTES, Math.min(this.#parts.flowBytes / STEPS, SHARED_BYTES / this.#rows.size))
    )
      return;
    row.granted += more;
    row.out.grant(more);
  }

  /** Ends every flow towards the world with a reset; the LAN goes on. */
  resetFlows(): void {
    const now = this.#parts.now();
    for (const [flow, row] of this.#rows) {
      if (row.direction === "in") continue;
      this.stack.reset(flow, now);
      this.closed(flow, "reset");
    }
    this.#parts.onWork();
  }

  /** Ends every flow towards the world without a word to the guest: its LAN is gone. */
  close(): void {
    this.#isClosed = true;
    this.#datagrams.close();
    for (const [flow, row] of this.#rows) {
      if (row.direction === "in") row.sink.onClosed("reset");
      else {
        row.out.abort();
        this.#tell(flow, row, "reset");
      }
    }
    this.#rows.clear();
    this.stack.discard();
  }

  // What the stack asks of the world.

  transmit(frame: Uint8Array): void {
    this.#parts.transmit(frame);
  }

  dial(flow: FlowId, target: FlowTarget): void {
    const row: OutboundRow = {
      direction: "out",
      target,
      out: this.#parts.egress.dial(destinationOf(target), this.#sink(flow)),
      isOpen: false,
      granted: 0,
      sentBytes: 0,
      receivedBytes: 0,
    };
    this.#rows.set(flow, row);
  }

  send(flow: FlowId, bytes: Uint8Array): void {
    const row = this.#rows.get(flow);
    if (row?.direction === "in") return row.sink.onBytes(bytes);
    if (!row) return;
    row.sentBytes += bytes.length;
    row.out.write(bytes);
  }

  finish(flow: FlowId): void {
    const row = this.#rows.get(flow);
    if (row?.direction === "in") row.sink.onEnd();
    else row?.out.finish();
  }

  closed(flow: FlowId, why: "done" | "reset" | "timeout"): void {
    const row = this.#rows.get(flow);
    if (!row) return;
    this.#rows.delete(flow);
    this.#roomy.delete(flow);
    if (row.direction === "in") return row.sink.onClosed(why);
    row.out.abort();
    this.#tell(flow, row, why);
  }

  #tell(flow: FlowId, row: OutboundRow, why: "done" | "reset" | "timeout"): void {
    if (!row.isOpen) return;
    const { target, sentBytes, receivedBytes } = row;
    this.#parts.onFlow({ kind: "closed", flow, target, why, sentBytes, receivedBytes });
  }

  roomy(flow: FlowId): void {
    this.#roomy.add(flow);
  }

  opened(flow: FlowId): void {
    const row = this.#rows.get(flow);
    if (row?.direction === "in") row.sink.onOpen();
  }

  resolve(query: QueryId, message: Uint8Array): void {
    if (this.#queries >= MAX_QUERIES) return;
    this.#queries++;
    void this.#parts.resolve(message).then(
      (answer) => this.#answer(query, answer),
      () => this.#answer(query, null),
    );
  }

  #answer(query: QueryId, answer: Uint8Array | null): void {
    this.#queries--;
    if (this.#isClosed) return;
    if (answer) this.stack.answer(query, answer, this.#parts.now());
    this.#parts.onWork();
  }

  datagram(from: Endpoint, to: NamedEndpoint, payload: Uint8Array): void {
    const refused = this.#datagrams.send(from, to, payload);
    // The stack hears of it after its own call.
    if (refused) this.#later(() => this.#unreachable(from, to, refused));
  }

  unheard(from: Endpoint, to: Endpoint): void {
    this.#datagrams.unheard?.(from, to);
  }

  #unreachable(from: Endpoint, to: Endpoint, { refusal }: Refused): void {
    const why = refusal === "prohibited" ? "prohibited" : "port";
    this.stack.unreachable(from, to, why, this.#parts.now());
  }

  #onDatagrams(event: DatagramEvent): void {
    const { from, to } = event;
    const key = `${from.address} ${from.port} ${to.address} ${to.port}`;
    const flow = this.#datagramIds.get(key) ?? this.#nextDatagramId++;
    this.#datagramIds.delete(key);
    if (event.kind !== "closed") this.#datagramIds.set(key, flow);
    if (this.#datagramIds.size > MAX_DATAGRAM_IDS)
      this.#datagramIds.delete(this.#datagramIds.keys().next().value!);
    const head = { flow, target: { ...to, from }, protocol: "udp" } as const;
    if (event.kind === "refused") {
      this.#unreachable(from, to, event.why);
      this.#parts.onFlow({ kind: "refused", ...head, why: event.why });
    } else if (event.kind === "opened") this.#parts.onFlow({ kind: "opened", ...head });
    else {
      const { sentBytes, receivedBytes } = event;
      this.#parts.onFlow({ kind: "closed", ...head, why: "done", sentBytes, receivedBytes });
    }
  }

  #later(action: () => void): void {
    void Promise.resolve().then(() => {
      if (this.#isClosed) return;
      action();
      this.#parts.onWork();
    });
  }

  // What the world tells the stack.

  #sink(flow: FlowId): FlowSink {
    const row = (): OutboundRow | undefined => {
      const found = this.#rows.get(flow);
      return found?.direction === "out" ? found : undefined;
    };
    const turn = (action: (row: OutboundRow, now: number) => void) => {
      const found = row();
      if (!found) return;
      action(found, this.#parts.now());
      this.#parts.onWork();
    };
    return {
      onOpen: () =>
        turn((found, now) => {
          found.isOpen = true;
          this.stack.dialed(flow, now);
          this.#parts.onFlow({ kind: "opened", flow, target: found.target });
          this.#roomy.add(flow);
        }),
      onRefused: (why) =>
        turn((found, now) => {
          // A relay says late that its dial has failed: the guest believes that it is connected.
          if (found.isOpen) this.stack.reset(flow, now);
          else this.stack.refused(flow, why.refusal, now);
          this.#rows.delete(flow);
          this.#roomy.delete(flow);
          this.#parts.onFlow({ kind: "refused", flow, target: found.target, why });
        }),
      onBytes: (bytes) =>
        turn((found, now) => {
          found.granted -= bytes.length;
          found.receivedBytes += bytes.length;
          this.stack.deliver(flow, bytes, now);
          this.#roomy.add(flow);
        }),
      onEnd: () => turn((_, now) => this.stack.ended(flow, now)),
      onBroken: () =>
        turn((_, now) => {
          this.stack.reset(flow, now);
          this.closed(flow, "reset");
        }),
      onWritten: (count) => turn((_, now) => this.stack.written(flow, count, now)),
    };
  }

  /** Opens a flow to a port of the guest; null where there is no guest or no room for one more flow. */
  openToGuest(to: Endpoint, from: Endpoint, sink: GuestSink): GuestFlow | null {
    if (this.#isClosed) return null;
    const flow = this.stack.open(to, from, this.#parts.now());
    if (flow === null) return null;
    this.#rows.set(flow, { direction: "in", sink });
    const { stack, now } = { stack: this.stack, now: this.#parts.now };
    const turn = (action: () => void): void => {
      if (!this.#rows.has(flow)) return;
      action();
      this.#parts.onWork();
    };
    this.#parts.onWork();
    return {
      get room() {
        return stack.room(flow);
      },
      write: (bytes) => turn(() => stack.deliver(flow, bytes, now())),
      took: (count) => turn(() => stack.written(flow, count, now())),
      finish: () => turn(() => stack.ended(flow, now())),
      abort: () =>
        turn(() => {
          stack.reset(flow, now());
          this.closed(flow, "reset");
        }),
    };
  }
}

const destinationOf = ({ address, port, name }: FlowTarget) => ({
  host: address,
  port,
  ...(name !== undefined && { name }),
});
