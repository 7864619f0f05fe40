import type { OpenDatagrams } from "../../durable-objects/gateway/flow.ts";
import { GuardedDatagrams } from "../../durable-objects/gateway/guarded-datagrams.ts";
import type { Admission } from "../../durable-objects/gateway/guarded-egress.ts";
import { UdpRelayClient } from "../../durable-objects/gateway/udp-relay-client.ts";
import type { RelayHost } from "./relay-way.ts";
import type { Socket } from "./tunnel-uplink.ts";

const LOOK_MS = 5000;

/**
 * Datagrams of a stack in this page: a WebSocket to `/udp` beside the relay of its connections, opened for the first of them
 * and closed after a minute of silence. What may leave is the relay's to say: a page that judges itself judges nothing.
 */
export class PageDatagrams {
  readonly open: OpenDatagrams;
  readonly #host: RelayHost;
  readonly #url: string;
  readonly #client: UdpRelayClient;
  readonly #conversations: GuardedDatagrams;
  #socket: Socket | undefined;
  #isLooking = false;
  #isClosed = false;

  constructor(host: RelayHost, url: string) {
    this.#host = host;
    this.#url = url;
    const now = (): number => host.clock.nowMs();
    this.#client = new UdpRelayClient({ now, connect: () => void this.#connect() });
    const admitDatagrams = (to: { host: string; port: number }): Promise<Admission> =>
      Promise.resolve({ ...to, via: "relay", onDialled() {}, onBytes: () => true, onClosed() {} });
    this.#conversations = new GuardedDatagrams({ admitDatagrams }, this.#client.open, now);
    this.open = this.#conversations.open;
  }

  close(): void {
    this.#isClosed = true;
    this.#hangUp();
  }

  async #connect(): Promise<void> {
    this.#lookLater();
    const refusal = await this.#host.enter();
    if (refusal || this.#isClosed) return this.#client.onClosed();
    const socket = this.#host.openSocket(this.#url, []);
    socket.binaryType = "arraybuffer";
    this.#socket = socket;
    const gone = (): void => {
      if (this.#socket === socket) this.#hangUp();
    };
    socket.addEventListener("open", () =>
      this.#client.onOpen({
        send: (message) => socket.send(message as Uint8Array<ArrayBuffer>),
        close: (code) => socket.close(code),
      }),
    );
    socket.addEventListener("message", ({ data }: { readonly data?: unknown }) => {
      if (this.#socket !== socket) return;
      this.#client.onMessage(data instanceof ArrayBuffer ? new Uint8Array(data) : String(data));
    });
    socket.addEventListener("close", gone);
    socket.addEventListener("error", gone);
    return undefined;
  }

  #hangUp(): void {
    const socket = this.#socket;
    this.#socket = undefined;
    socket?.close(1000);
    this.#client.onClosed();
  }

  #lookLater(): void {
    if (this.#isLooking || this.#isClosed) return;
    this.#isLooking = true;
    this.#host.clock.after(LOOK_MS, () => {
      this.#isLooking = false;
      this.#conversations.onTime();
      this.#client.onTime();
      if (this.#client.isIdle && this.#conversations.count === 0) this.#hangUp();
      else this.#lookLater();
    });
  }
}
