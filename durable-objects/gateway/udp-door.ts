import {
  LARGEST_DATAGRAM_BYTES,
  type RelayControl,
  decodeRelayDatagram,
  encodeRelayDatagram,
  readRelayText,
} from "#protocol/udp-relay.ts";
import { formatIp, parseIp } from "../net/ip-text.ts";
import type { Outlet } from "./carrier.ts";
import type { Door } from "./door.ts";
import type { DatagramEgress, DatagramEvent, OpenDatagrams } from "./flow.ts";
import type { Endpoint } from "../net/world.ts";

const IDLE_MS = 60_000;
/** Refusals that are told; after that a client that goes on is not answered. */
const TOLD_REFUSALS = 16;
/** Of answers since the client has said anything: a client that says nothing for so long may not read either. */
const SILENT_BYTES = 4 * 2 ** 20;

/**
 * `/udp`: one datagram per binary message, in the relay's framing. Text is control: beside what the relay's protocol says,
 * READY tells how long a payload may be and that `{"type":"ping"}` is answered, by which a client knows what has arrived.
 */
export class UdpDoor implements Door {
  readonly #outlet: Outlet;
  readonly #datagrams: DatagramEgress;
  readonly #now: () => number;
  #activeMs: number;
  #hasSentV2 = false;
  #told = 0;
  #unansweredBytes = 0;
  #isOver = false;

  constructor(outlet: Outlet, openDatagrams: OpenDatagrams, now: () => number, sessionId: string) {
    this.#outlet = outlet;
    this.#now = now;
    this.#activeMs = now();
    this.#datagrams = openDatagrams({
      onReply: (from, to, payload) => this.#reply(from, to, payload),
      onEvent: (event) => this.#onEvent(event),
    });
    this.#say({ type: "ready", sessionId, maxPayloadBytes: LARGEST_DATAGRAM_BYTES, pings: true });
  }

  #reply(from: Endpoint, to: Endpoint, payload: Uint8Array): void {
    const remoteIp = parseIp(from.address);
    if (this.#isOver || !remoteIp || this.#unansweredBytes > SILENT_BYTES) return;
    const version = this.#hasSentV2 || remoteIp.length === 16 ? 2 : 1;
    const answer = { version, guestPort: to.port, remoteIp, remotePort: from.port, payload } as const;
    const message = encodeRelayDatagram(answer);
    if (!message) return;
    this.#unansweredBytes += message.length;
    this.#outlet.send(message);
  }

  #onEvent(event: DatagramEvent): void {
    if (event.kind !== "refused" || this.#isOver || this.#told++ >= TOLD_REFUSALS) return;
    const { from, to, why } = event;
    const ends = { guestPort: from.port, address: to.address, port: to.port };
    this.#say({ type: "error", code: "unsupported_destination", message: why.sentence, ...ends });
  }

  get streamCount(): number {
    return 0;
  }
  get isQuiet(): boolean {
    return this.streamCount === 0;
  }

  onMessage(message: Uint8Array | string): void {
    if (this.#isOver) return;
    this.#unansweredBytes = 0;
    if (typeof message === "string") return this.#onText(message);
    this.#activeMs = this.#now();
    const datagram = decodeRelayDatagram(message, LARGEST_DATAGRAM_BYTES);
    if (!datagram) return;
    if (datagram.version === 2) this.#hasSentV2 = true;
    const to = { address: formatIp(datagram.remoteIp), port: datagram.remotePort };
    const from = { address: "0.0.0.0", port: datagram.guestPort };
    this.#datagrams.send(from, to, datagram.payload);
  }

  #onText(text: string): void {
    if (readRelayText(text)?.type === "ping") this.#say({ type: "pong" });
  }

  #say(control: RelayControl): void {
    this.#outlet.send(JSON.stringify(control));
  }

  onClosed(): void {
    this.#isOver = true;
    this.#datagrams.close();
  }
  onTime(): void {
    if (this.#isOver || this.#now() - this.#activeMs < IDLE_MS) return;
    this.onClosed();
    this.#outlet.close(1000, "idle timeout");
  }
  pollAt(): number | undefined {
    return this.#isOver ? undefined : this.#activeMs + IDLE_MS;
  }
}
