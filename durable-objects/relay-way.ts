import type { Outlet } from "./gateway/carrier.ts";
import type { Destination, Egress, FlowSink, Outflow } from "./gateway/flow.ts";
import { LateFlow } from "./gateway/late-flow.ts";
import { MuxClient } from "./gateway/mux-client.ts";
import { noRelay } from "./gateway/relay-stream.ts";
import { WispClient } from "./gateway/wisp-client.ts";
import { TCP_MUX } from "#protocol/tcp-mux.ts";

/** Without streams for so long the relay's socket is closed: an open one keeps the object awake. */
const IDLE_MS = 10_000;
/** A relay that has not answered the upgrade by then is none. */
const OPEN_MS = 10_000;
/** How often the client is looked after. */
const LOOK_MS = 1000;

type Client = MuxClient | WispClient;

/** The operator's relay: one outgoing WebSocket, opened when it is needed, that speaks aero-tcp-mux-v1 or Wisp. */
export class RelayWay implements Egress {
  readonly #url: string;
  readonly #token: string;
  #client: Promise<Client> | undefined;

  constructor(url: string, token: string) {
    this.#url = url;
    this.#token = token;
  }

  dial(to: Destination, sink: FlowSink): Outflow {
    const flow = new LateFlow();
    this.#client ??= this.#connect(() => (this.#client = undefined));
    this.#client.then(
      (client) => flow.attach(client.dial(to, sink)),
      () => {
        flow.attach(null);
        sink.onRefused(noRelay);
      },
    );
    return flow;
  }

  /** `forget` is called once, when this socket is no use any more: the next dial makes another. */
  async #connect(forget: () => void): Promise<Client> {
    const isWisp = new URL(this.#url).pathname.endsWith("/");
    let webSocket: WebSocket;
    try {
      webSocket = await this.#upgrade(isWisp);
    } catch (error) {
      forget();
      throw error;
    }
    webSocket.accept();
    webSocket.binaryType = "arraybuffer";
    const outlet: Outlet = {
      send(message) {
        if (isOpen(webSocket)) webSocket.send(message);
      },
      close(code, reason) {
        if (isOpen(webSocket)) webSocket.close(code, reason);
        // A relay that hangs does not answer the close either.
        gone();
      },
    };
    const client = isWisp ? new WispClient(outlet, Date.now) : new MuxClient(outlet, Date.now);
    let isGone = false;
    const gone = (): void => {
      if (isGone) return;
      isGone = true;
      forget();
      clearInterval(looking);
      client.onClosed();
    };
    let idleSinceMs = Date.now();
    const looking = setInterval(() => {
      client.onTime();
      if (client.streamCount > 0) idleSinceMs = Date.now();
      if (Date.now() - idleSinceMs >= IDLE_MS) outlet.close(1000, "idle");
    }, LOOK_MS);
    webSocket.addEventListener("message", ({ data }) =>
      client.onMessage(typeof data === "string" ? data : new Uint8Array(data as ArrayBuffer)),
    );
    webSocket.addEventListener("close", gone);
    webSocket.addEventListener("error", gone);
    return client;
  }

  async #upgrade(isWisp: boolean): Promise<WebSocket> {
    const url = this.#url.replace(/^ws/, "http");
    const headers = new Headers({ upgrade: "websocket" });
    if (!isWisp) headers.set("sec-websocket-protocol", TCP_MUX);
    if (this.#token !== "") headers.set("authorization", `Bearer ${this.#token}`);
    const late = new AbortController();
    const timer = setTimeout(() => late.abort(), OPEN_MS);
    try {
      const { webSocket, status } = await fetch(url, { headers, signal: late.signal });
      if (!webSocket) throw new Error(`The relay answered ${status}.`);
      return webSocket;
    } finally {
      clearTimeout(timer);
    }
  }
}

/** A socket that is closing takes nothing. */
const isOpen = (socket: WebSocket): boolean => socket.readyState === WebSocket.OPEN;
