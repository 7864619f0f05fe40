import type { PortRequest } from "#protocol/published-port.ts";
import type { StackHost } from "./gateway/stack-host.ts";
import { GuestPipe } from "./guest-pipe.ts";
import { lanDefaults } from "./net/lan.ts";
import { askGuest } from "./port-proxy.ts";

/** Requests and sockets that go into one machine at a time. */
const MAX_CONNECTIONS = 128;
/** Ports of the gateway that connections to the guest come from, in turn (RFC 6335 §6). */
const FIRST_PORT = 49_152;
const PORTS = 16_384;

const refuse = (status: 502 | 503, words: string): Response =>
  new Response(`${words}\n`, { status, headers: { "content-type": "text/plain; charset=utf-8" } });

/** The connections from browsers to the servers of one machine. */
export class PublishedPorts {
  readonly #open = new Map<GuestPipe, string>();
  #turn = 0;

  get count(): number {
    return this.#open.size;
  }

  async ask(request: Request, { id, port }: PortRequest, host: StackHost | undefined): Promise<Response> {
    for (const pipe of this.#open.keys()) if (pipe.isClosed) this.#open.delete(pipe);
    if (!host) return refuse(502, "The machine is not connected.");
    if (this.#open.size >= MAX_CONNECTIONS) return refuse(503, "Too many connections to this machine.");
    const from = { address: lanDefaults.gateway, port: FIRST_PORT + (this.#turn++ % PORTS) };
    const pipe = await GuestPipe.open(host, { address: lanDefaults.firstLease, port }, from);
    if (!pipe) return refuse(502, "Nothing answers at this port of the machine.");
    this.#open.set(pipe, id);
    return askGuest(request, pipe);
  }

  stopAll(): void {
    for (const pipe of this.#open.keys()) pipe.abort();
  }
  stop(id: string): void {
    for (const [pipe, of] of this.#open) if (of === id) pipe.abort();
  }
}
