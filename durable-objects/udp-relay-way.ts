import { mintRelayToken } from "../worker/relay-token.ts";
import type { DatagramGatekeeper } from "./gateway/guarded-egress.ts";
import type { OpenDatagrams } from "./gateway/flow.ts";
import { GuardedDatagrams } from "./gateway/guarded-datagrams.ts";
import { UdpRelayClient, udpBeside } from "./gateway/udp-relay-client.ts";
import type { Settings } from "./settings.ts";

/** How often silence is looked for. An open socket keeps its object awake: without conversations it goes. */
const LOOK_MS = 5000;
const OPEN_MS = 10_000;
const TOKEN_SECONDS = 300;

/** Where the datagrams' relay is and what it wants to see. Null: there is none. */
export interface UdpRelayAddress {
  readonly url: string;
  readonly auth: "none" | "bearer" | "api_key" | "jwt";
  readonly key: string;
}

/** The relay for UDP if one is named, else that for TCP: its last path becomes `/udp`. */
export function udpRelayOf(settings: Settings): UdpRelayAddress | null {
  const base = settings.VIRGA_UDP_RELAY_URL.replace(/\/$/, "");
  if (base !== "") {
    const { VIRGA_UDP_RELAY_AUTH: auth, VIRGA_UDP_RELAY_KEY: key } = settings;
    return { url: `${base}/udp`, auth, key };
  }
  const relay = settings.VIRGA_RELAY_URL;
  if (relay === "") return null;
  return { url: udpBeside(new URL(relay).href), auth: "bearer", key: settings.VIRGA_RELAY_TOKEN };
}

/**
 * Datagrams of one object's guests through the operator's relay: one WebSocket with the framing of `udp-relay.ts`, opened
 * for the first datagram and closed after a minute of silence.
 */
export class UdpRelayWay {
  readonly open: OpenDatagrams;
  readonly #relay: UdpRelayAddress;
  /** What the relay knows this object's session by: no two sockets of one visitor have the same. */
  readonly #sid = crypto.randomUUID();
  readonly #client: UdpRelayClient;
  readonly #conversations: GuardedDatagrams;
  #look: ReturnType<typeof setInterval> | undefined;
  #socket: WebSocket | undefined;

  constructor(relay: UdpRelayAddress, gatekeeper: DatagramGatekeeper) {
    this.#relay = relay;
    this.#client = new UdpRelayClient({ now: Date.now, connect: () => void this.#connect() });
    this.#conversations = new GuardedDatagrams(gatekeeper, this.#client.open, Date.now);
    this.open = this.#conversations.open;
  }

  metrics() {
    const { sent, received, dropped } = this.#client.counts;
    return { udpFlows: this.#conversations.count, udpSent: sent, udpReceived: received, udpDropped: dropped };
  }

  async #connect(): Promise<void> {
    this.#look ??= setInterval(() => this.#onTime(), LOOK_MS);
    const abort = new AbortController();
    const timer = setTimeout(() => abort.abort(), OPEN_MS);
    try {
      await this.#open(abort.signal);
    } catch (error) {
      console.warn(JSON.stringify({ udpRelay: "away", problem: String(error).slice(0, 200) }));
      this.#client.onClosed();
    } finally {
      clearTimeout(timer);
    }
  }

  async #open(signal: AbortSignal): Promise<void> {
    const { url, auth, key } = this.#relay;
    const headers = new Headers({ upgrade: "websocket" });
    if (auth === "bearer" && key !== "") headers.set("authorization", `Bearer ${key}`);
    const { webSocket, status } = await fetch(url.replace(/^ws/, "http"), { headers, signal });
    if (!webSocket) throw new Error(`The relay answered ${status}.`);
    webSocket.accept();
    webSocket.binaryType = "arraybuffer";
    this.#socket = webSocket;
    const gone = (): void => {
      if (this.#socket !== webSocket) return;
      this.#socket = undefined;
      this.#client.onClosed();
    };
    webSocket.addEventListener("message", ({ data }) =>
      this.#client.onMessage(typeof data === "string" ? data : new Uint8Array(data as ArrayBuffer)),
    );
    webSocket.addEventListener("close", gone);
    webSocket.addEventListener("error", gone);
    this.#client.onOpen({
      send: (message) => webSocket.send(message),
      close: (code, reason) => webSocket.close(code, reason),
    });
    if (auth === "api_key") webSocket.send(JSON.stringify({ type: "auth", apiKey: key }));
    if (auth === "jwt") webSocket.send(JSON.stringify({ type: "auth", token: await this.#token(key) }));
  }

  /** What `POST /udp-relay/token` gives a page, for this object. */
  #token(key: string): Promise<string> {
    const iat = Math.floor(Date.now() / 1000);
    return mintRelayToken(key, { sid: this.#sid, iat, exp: iat + TOKEN_SECONDS });
  }

  #onTime(): void {
    this.#conversations.onTime();
    this.#client.onTime();
    if (!this.#client.isIdle || this.#conversations.count > 0) return;
    clearInterval(this.#look ?? null);
    this.#look = undefined;
    const socket = this.#socket;
    this.#socket = undefined;
    socket?.close(1000, "idle");
    this.#client.onClosed();
  }
}
