import type { Outlet } from "../../durable-objects/gateway/carrier.ts";
import type {
  Destination,
  Egress,
  FlowSink,
  OpenDatagrams,
  Outflow,
} from "../../durable-objects/gateway/flow.ts";
import { LateFlow } from "../../durable-objects/gateway/late-flow.ts";
import { MuxClient } from "../../durable-objects/gateway/mux-client.ts";
import { type RelayBounds, noRelay } from "../../durable-objects/gateway/relay-stream.ts";
import { WispClient } from "../../durable-objects/gateway/wisp-client.ts";
import type { Failure } from "../protocol/failure.ts";
import { TCP_MUX } from "../protocol/tcp-mux.ts";
import type { Clock } from "./clock.ts";
import { udpBeside } from "../../durable-objects/gateway/udp-relay-client.ts";
import { PageDatagrams } from "./page-datagrams.ts";
import type { PageWay } from "./page-uplink.ts";
import type { Socket } from "./tunnel-uplink.ts";

const FIRST_RETRY_MS = 500;
const LAST_RETRY_MS = 15_000;
const OPEN_TIMEOUT_MS = 10_000;
const MAX_WAITING = 1024;
/** A page has more room than an object, and its guest is slower than the relay. */
const BOUNDS: RelayBounds = {
  streamBytes: 64 * 2 ** 20,
  lateBytes: 16 * 2 ** 20,
  totalBytes: 128 * 2 ** 20,
};
/** How often the client is looked after while there are connections: a relay that is silent wakes nobody. */
const LOOK_MS = 1000;

export interface RelayHost {
  readonly clock: Clock;
  openSocket(url: string, protocols: string[]): Socket;
  /** Asks for a session where the relay is of this site. Null: there is one, or none is needed. */
  enter(): Promise<Failure | null>;
}

type Tell = Parameters<PageWay["start"]>[0];
interface Waiting {
  readonly to: Destination;
  readonly sink: FlowSink;
  readonly flow: LateFlow;
}

/**
 * Connections through one WebSocket to a relay, by `aero-tcp-mux-v1` or Wisp. Neither resumes: when the socket is lost, what
 * goes through it is reset, and the next connection finds a new socket.
 */
export class RelayWay implements PageWay, Egress {
  readonly kind = "relay";
  readonly #host: RelayHost;
  readonly #protocol: "tcp-mux" | "wisp";
  readonly #url: string;
  readonly #datagrams: PageDatagrams;
  #tell: Tell = () => {};
  #socket: Socket | undefined;
  #client: MuxClient | WispClient | undefined;
  /** Dialled before there was a socket. */
  #waiting: Waiting[] = [];
  #retryMs = FIRST_RETRY_MS;
  #hasBeenOnline = false;
  #isClosed = false;
  #isLooking = false;
  #attempt = 0;
  #cancelTimer: (() => void) | undefined;

  constructor(host: RelayHost, protocol: "tcp-mux" | "wisp", url: string) {
    this.#host = host;
    this.#protocol = protocol;
    this.#url = url;
    this.#datagrams = new PageDatagrams(host, udpBeside(url));
  }

  get egress(): Egress {
    return this;
  }
  get openDatagrams(): OpenDatagrams {
    return this.#datagrams.open;
  }

  start(tell: Tell): void {
    this.#tell = tell;
    void this.#connect();
  }

  reconnect(): void {
    this.#retryMs = FIRST_RETRY_MS;
    this.#drop();
    void this.#connect();
  }

  close(): void {
    this.#isClosed = true;
    this.#datagrams.close();
    this.#drop();
  }

  dial(to: Destination, sink: FlowSink): Outflow {
    const flow = new LateFlow();
    if (this.#client) {
      flow.attach(this.#client.dial(to, sink));
      this.#lookLater();
    } else if (this.#waiting.length < MAX_WAITING) this.#waiting.push({ to, sink, flow });
    else void Promise.resolve().then(() => sink.onRefused(noRelay));
    return flow;
  }

  async #connect(): Promise<void> {
    const attempt = ++this.#attempt;
    this.#cancelTimer?.();
    this.#tell(this.#hasBeenOnline ? "reconnecting" : "connecting");
    const refusal = await this.#host.enter();
    if (attempt !== this.#attempt || this.#isClosed) return;
    if (refusal?.code === "offline") return this.#retry();
    if (refusal) {
      this.#refuseWaiting();
      return this.#tell("refused", refusal);
    }
    this.#open(this.#host.openSocket(this.#url, this.#protocol === "tcp-mux" ? [TCP_MUX] : []));
  }

  #open(socket: Socket): void {
    socket.binaryType = "arraybuffer";
    this.#socket = socket;
    const current = (work: (event: { readonly data?: unknown }) => void) => (event: object) => {
      if (this.#socket === socket) work(event);
    };
    const lost = current(() => {
      this.#drop();
      this.#retry();
    });
    socket.addEventListener(
      "open",
      current(() => this.#onOpen(socket, () => lost({}))),
    );
    socket.addEventListener(
      "message",
      current(({ data }) => {
        this.#client?.onMessage(data instanceof ArrayBuffer ? new Uint8Array(data) : "");
      }),
    );
    socket.addEventListener("close", lost);
    socket.addEventListener("error", lost);
    this.#cancelTimer = this.#host.clock.after(OPEN_TIMEOUT_MS, () => lost({}));
  }

  /** `lose`: the client has given the relay up, which would answer no close either. */
  #onOpen(socket: Socket, lose: () => void): void {
    this.#cancelTimer?.();
    this.#retryMs = FIRST_RETRY_MS;
    this.#hasBeenOnline = true;
    const outlet: Outlet = {
      send: (message) => socket.send(message as Uint8Array<ArrayBuffer>),
      close: lose,
    };
    this.#client =
      this.#protocol === "tcp-mux"
        ? new MuxClient(outlet, () => this.#host.clock.nowMs(), BOUNDS)
        : new WispClient(outlet, () => this.#host.clock.nowMs(), BOUNDS);
    this.#tell("online");
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const { to, sink, flow } of waiting) flow.attach(this.#client.dial(to, sink));
    this.#lookLater();
  }

  #lookLater(): void {
    if (this.#isLooking || !this.#client || this.#client.streamCount === 0) return;
    this.#isLooking = true;
    this.#host.clock.after(LOOK_MS, () => {
      this.#isLooking = false;
      this.#client?.onTime();
      this.#lookLater();
    });
  }

  /** Exponential back-off with a fifth of jitter. Who waits for a connection is told that there is none. */
  #retry(): void {
    if (this.#isClosed) return;
    this.#refuseWaiting();
    const wait = Math.round(this.#retryMs * (1 + this.#host.clock.random() / 5));
    this.#retryMs = Math.min(2 * this.#retryMs, LAST_RETRY_MS);
    this.#tell(this.#hasBeenOnline ? "reconnecting" : "connecting", undefined, wait);
    this.#cancelTimer = this.#host.clock.after(wait, () => void this.#connect());
  }

  #refuseWaiting(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const { sink, flow } of waiting) {
      flow.attach(null);
      sink.onRefused(noRelay);
    }
  }

  #drop(): void {
    const socket = this.#socket;
    const client = this.#client;
    this.#socket = undefined;
    this.#client = undefined;
    this.#attempt++;
    this.#cancelTimer?.();
    socket?.close(1000);
    client?.onClosed();
  }
}
