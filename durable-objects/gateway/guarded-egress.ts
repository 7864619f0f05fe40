import type { EgressKind } from "#protocol/tunnel-notices.ts";
import type { Destination, Egress, FlowSink, Outflow, Refused } from "./flow.ts";
import { PieceQueue } from "./piece-queue.ts";

/** What has been let through: where to, by which way, and who counts. */
export interface Admission {
  readonly via: Exclude<EgressKind, "none">;
  /** A literal for `connect` (nothing is resolved again); a name where a relay resolves. */
  readonly host: string;
  readonly port: number;
  readonly name?: string;
  /** The dial has ended one way or the other. */
  onDialled(refused: Refused | null): void;
  /** Payload went through. False: the quota is used up, the connection is cut. */
  onBytes(count: number): boolean;
  onClosed(sentBytes: number, receivedBytes: number, why: FlowEnd): void;
}
/** `reset`: one side broke it. `too-many-bytes`: it was cut. */
export type FlowEnd = "done" | "reset" | "too-many-bytes";

export interface Gatekeeper {
  admit(to: Destination): Promise<Admission | Refused>;
}
/** Judges conversations of datagrams: `to.host` is an address, and all go by the relay. */
export interface DatagramGatekeeper {
  admitDatagrams(to: Destination): Promise<Admission | Refused>;
}
/** The ways out, by kind. `dial` never calls its sink before it returns. */
export type Ways = Readonly<Partial<Record<Admission["via"], Egress>>>;

const noWay: Refused = {
  refusal: "prohibited",
  code: "egress-off",
  sentence: "There is no way out of this kind here.",
};

/** For an object, which has 128 MB for everything: two LANs whose guests all fill their windows, and more. */
const MOST_UNWRITTEN_BYTES = 48 * 2 ** 20;

/** What all connections together were given and the world has not taken. */
class Unwritten {
  readonly #most: number;
  readonly #flows = new Set<GuardedFlow>();
  #bytes = 0;

  constructor(most: number) {
    this.#most = most;
  }

  add(flow: GuardedFlow, bytes: number): void {
    this.#bytes += bytes;
    this.#flows.add(flow);
    while (this.#bytes > this.#most) this.#largest(flow).cut();
  }
  remove(flow: GuardedFlow, bytes: number): void {
    this.#bytes -= bytes;
    if (flow.unwritten === 0) this.#flows.delete(flow);
  }
  #largest(first: GuardedFlow): GuardedFlow {
    let largest = first;
    for (const flow of this.#flows) if (flow.unwritten > largest.unwritten) largest = flow;
    return largest;
  }
}

/**
 * Everything that leaves passes here: the gatekeeper is asked, the bytes are counted, the end is told. Whatever the doors
 * allow each connection, all of them hold a bounded number of bytes: the one that holds most is cut.
 */
export class GuardedEgress implements Egress {
  readonly #gatekeeper: Gatekeeper;
  readonly #ways: Ways;
  readonly #unwritten: Unwritten;

  constructor(gatekeeper: Gatekeeper, ways: Ways, mostUnwrittenBytes = MOST_UNWRITTEN_BYTES) {
    this.#gatekeeper = gatekeeper;
    this.#ways = ways;
    this.#unwritten = new Unwritten(mostUnwrittenBytes);
  }

  dial(to: Destination, sink: FlowSink): Outflow {
    return new GuardedFlow(this.#gatekeeper.admit(to), this.#ways, sink, this.#unwritten);
  }
}

/** Stands between the dialler and the real connection, which may not be there yet. */
class GuardedFlow implements Outflow, FlowSink {
  readonly #sink: FlowSink;
  readonly #ways: Ways;
  #admission: Admission | undefined;
  #inner: Outflow | undefined;
  /** What came before there was anything to give it to; the dialler bounds it. */
  readonly #early = new PieceQueue();
  #earlyGrant = 0;
  #finished = false;
  #isOver = false;
  #isOpen = false;
  #sent = 0;
  #received = 0;
  #ends = 0;
  readonly #all: Unwritten;
  #unwritten = 0;

  constructor(admission: Promise<Admission | Refused>, ways: Ways, sink: FlowSink, all: Unwritten) {
    this.#all = all;
    this.#sink = sink;
    this.#ways = ways;
    void admission.then(
      (verdict) => this.#decide(verdict),
      (error: unknown) =>
        this.#decide({ refusal: "unreachable", code: "failed", sentence: String(error).slice(0, 200) }),
    );
  }

  #decide(verdict: Admission | Refused): void {
    if ("refusal" in verdict) {
      if (!this.#isOver) this.#sink.onRefused(verdict);
      this.#isOver = true;
      return this.#take(this.#unwritten);
    }
    const way = this.#ways[verdict.via];
    this.#admission = verdict;
    if (this.#isOver) {
      verdict.onDialled(null);
      return verdict.onClosed(0, 0, "reset");
    }
    if (!way) return this.onRefused(noWay);
    const { host, port, name } = verdict;
    const inner = way.dial({ host, port, ...(name !== undefined && { name }) }, this);
    this.#inner = inner;
    for (let bytes = this.#early.shift(); bytes; bytes = this.#early.shift()) inner.write(bytes);
    if (this.#earlyGrant > 0) inner.grant(this.#earlyGrant);
    if (this.#finished) inner.finish();
  }

  #end(why: FlowEnd): void {
    this.#isOver = true;
    this.#early.clear();
    // What ended well may still be on its way.
    if (why !== "done") this.#take(this.#unwritten);
    this.#admission?.onClosed(this.#sent, this.#received, why);
    this.#admission = undefined;
  }

  get unwritten(): number {
    return this.#unwritten;
  }
  #take(bytes: number): void {
    const counted = Math.min(bytes, this.#unwritten);
    this.#unwritten -= counted;
    this.#all.remove(this, counted);
  }

  /** Too much waits, here most. */
  cut(): void {
    this.#inner?.abort();
    if (this.#isOver) this.#take(this.#unwritten);
    else this.#end("reset");
    void Promise.resolve().then(() => this.#sink.onBroken());
  }

  #half(): void {
    if (++this.#ends === 2 && !this.#isOver) this.#end("done");
  }

  /** Counts, and cuts the connection when nothing more is allowed. */
  #count(bytes: number): boolean {
    if (!this.#admission || this.#admission.onBytes(bytes)) return true;
    this.#inner?.abort();
    this.#end("too-many-bytes");
    // The dialler is in the middle of a call of its own, or has not finished its turn.
    void Promise.resolve().then(() => this.#sink.onBroken());
    return false;
  }

  // The dialler's side.

  write(bytes: Uint8Array): void {
    if (this.#isOver || this.#finished) return;
    this.#sent += bytes.length;
    this.#unwritten += bytes.length;
    this.#all.add(this, bytes.length);
    if (this.#isOver) return;
    if (!this.#inner) {
      this.#early.push(bytes);
      return;
    }
    if (this.#count(bytes.length)) this.#inner.write(bytes);
  }
  finish(): void {
    if (this.#finished || this.#isOver) return;
    this.#finished = true;
    this.#inner?.finish();
    this.#half();
  }
  abort(): void {
    if (this.#isOver && this.#unwritten === 0) return;
    this.#inner?.abort();
    if (this.#isOver) return this.#take(this.#unwritten);
    this.#end("reset");
  }
  grant(bytes: number): void {
    if (this.#inner) this.#inner.grant(bytes);
    else this.#earlyGrant += bytes;
  }

  // The connection's side.

  onOpen(): void {
    if (this.#isOver) return;
    this.#isOpen = true;
    this.#admission?.onDialled(null);
    this.#sink.onOpen();
  }
  onRefused(why: Refused): void {
    if (this.#isOver) return this.onBroken();
    // A relay says late that its dial has failed.
    if (!this.#isOpen) this.#admission?.onDialled(why);
    this.#end("reset");
    this.#sink.onRefused(why);
  }
  onBytes(bytes: Uint8Array): void {
    if (this.#isOver) return;
    this.#received += bytes.length;
    if (this.#count(bytes.length)) this.#sink.onBytes(bytes);
  }
  onEnd(): void {
    if (this.#isOver) return;
    this.#half();
    this.#sink.onEnd();
  }
  onBroken(): void {
    // Of one that has ended well the rest is lost.
    if (this.#isOver && (this.#ends < 2 || this.#unwritten === 0)) return;
    if (this.#isOver) this.#take(this.#unwritten);
    else this.#end("reset");
    this.#sink.onBroken();
  }
  onWritten(count: number): void {
    this.#take(count);
    if (!this.#isOver || this.#ends === 2) this.#sink.onWritten(count);
  }
}
