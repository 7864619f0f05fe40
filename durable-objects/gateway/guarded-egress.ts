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

/** Everything that leaves passes here: the gatekeeper is asked, the bytes are counted, the end is told. */
export class GuardedEgress implements Egress {
  readonly #gatekeeper: Gatekeeper;
  readonly #ways: Ways;

  constructor(gatekeeper: Gatekeeper, ways: Ways) {
    this.#gatekeeper = gatekeeper;
    this.#ways = ways;
  }

  dial(to: Destination, sink: FlowSink): Outflow {
    return new GuardedFlow(this.#gatekeeper.admit(to), this.#ways, sink);
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

  constructor(admission: Promise<Admission | Refused>, ways: Ways, sink: FlowSink) {
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
      return;
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
    this.#admission?.onClosed(this.#sent, this.#received, why);
    this.#admission = undefined;
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
    if (this.#isOver) return;
    this.#inner?.abort();
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
    if (this.#isOver) return;
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
    if (this.#isOver) return;
    this.#end("reset");
    this.#sink.onBroken();
  }
  onWritten(count: number): void {
    if (!this.#isOver || this.#ends === 2) this.#sink.onWritten(count);
  }
}
