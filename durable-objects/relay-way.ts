import type { Outlet } from "./gateway/carrier.ts";
import type { Destination, Egress, FlowSink, Outflow } from "./gateway/flow.ts";
import { LateFlow } from "./gateway/late-flow.ts";
import { MuxClient } from "./gateway/mux-client.ts";
import { WispClient } from "./gateway/wisp-client.ts";
import { TCP_MUX } from "#protocol/tcp-mux.ts";

/** Without streams for so long the relay's socket is closed: an open one keeps the object awake. */
const IDLE_MS = 10_000;

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
    this.#client ??= this.#connect();
    this.#client.then(
      (client) => flow.attach(client.dial(to, sink)),
      () => {
        this.#client = undefined;
        flow.attach(null);
        sink.onRefused({
          refusal: "unreachable",
          code: "unreachable",
          sentence: "The operator's relay does not answer.",
        });
      },
    );
    return flow;
  }

  async #connect(): Promise<Client> {
    const isWisp = new URL(this.#url).pathname.endsWith("/");
    const url = this.#url.replace(/^ws/, "http");
    const headers = new Headers({ upgrade: "websocket" });
    if (!isWisp) headers.set("sec-websocket-protocol", TCP_MUX);
    if (this.#token !== "") headers.set("authorization", `Bearer ${this.#token}`);
    const { webSocket, status } = await fetch(url, { headers });
    if (!webSocket) throw new Error(`The relay answered ${status}.`);
    webSocket.accept();
    webSocket.binaryType = "arraybuffer";
    const outlet: Outlet = {
      send: (message) => webSocket.send(message),
      close: (code, reason) => webSocket.close(code, reason),
    };
    const client = isWisp ? new WispClient(outlet) : new MuxClient(outlet, Date.now);
    const gone = (): void => {
      this.#client = undefined;
      clearInterval(idle);
      client.onClosed();
    };
    const idle = setInterval(() => {
      if (client.streamCount > 0) return;
      gone();
      webSocket.close(1000, "idle");
    }, IDLE_MS);
    webSocket.addEventListener("message", ({ data }) =>
      client.onMessage(typeof data === "string" ? data : new Uint8Array(data as ArrayBuffer)),
    );
    webSocket.addEventListener("close", gone);
    webSocket.addEventListener("error", gone);
    return client;
  }
}
