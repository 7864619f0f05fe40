import { type RelayError, decodeRelayDatagram, encodeRelayDatagram } from "#protocol/udp-relay.ts";
import { formatIp, parseIp } from "../net/ip-text.ts";
import type { Outlet } from "./carrier.ts";
import type { Door } from "./door.ts";
import type { DatagramEgress, OpenDatagrams } from "./flow.ts";

const IDLE_MS = 60_000;
/** Refusals that are told; after that a client that goes on is not answered. */
const TOLD_REFUSALS = 16;

/** `/udp`: one datagram per binary message, in the relay's framing. Text is control, and there is none to a client that is let in. */
export class UdpDoor implements Door {
  readonly #outlet: Outlet;
  readonly #datagrams: DatagramEgress;
  readonly #now: () => number;
  #activeMs: number;
  #hasSentV2 = false;
  #told = 0;
  #isOver = false;

  constructor(outlet: Outlet, openDatagrams: OpenDatagrams, now: () => number, sessionId: string) {
    this.#outlet = outlet;
    this.#now = now;
    this.#activeMs = now();
    this.#datagrams = openDatagrams((from, to, payload) => {
      const remoteIp = parseIp(from.address);
      if (this.#isOver || !remoteIp) return;
      const version = this.#hasSentV2 || remoteIp.length === 16 ? 2 : 1;
      const answer = { version, guestPort: to.port, remoteIp, remotePort: from.port, payload } as const;
      const message = encodeRelayDatagram(answer);
      if (message) outlet.send(message);
    });
    outlet.send(JSON.stringify({ type: "ready", sessionId }));
  }

  get streamCount(): number {
    return 0;
  }
  get isQuiet(): boolean {
    return this.streamCount === 0;
  }

  onMessage(message: Uint8Array | string): void {
    if (this.#isOver || typeof message === "string") return;
    this.#activeMs = this.#now();
    const datagram = decodeRelayDatagram(message);
    if (!datagram) return;
    if (datagram.version === 2) this.#hasSentV2 = true;
    const to = { address: formatIp(datagram.remoteIp), port: datagram.remotePort };
    const from = { address: "0.0.0.0", port: datagram.guestPort };
    const refused = this.#datagrams.send(from, to, datagram.payload);
    if (refused && this.#told++ < TOLD_REFUSALS) this.#tell("unsupported_destination", refused.sentence);
  }

  #tell(code: RelayError, message: string): void {
    this.#outlet.send(JSON.stringify({ type: "error", code, message }));
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
