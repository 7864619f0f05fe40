import type { PortRequest } from "#protocol/published-port.ts";
import type { StackHost } from "./gateway/stack-host.ts";
import type { Unanswered } from "./gateway/unanswered.ts";
import { GuestPipe, type PipeEnd } from "./guest-pipe.ts";
import { lanDefaults } from "./net/lan.ts";
import type { Address } from "./net/world.ts";
import { askGuest } from "./port-proxy.ts";

/** Requests and sockets that go into the machines of one object at a time. */
const MAX_CONNECTIONS = 128;
/** Ports of the gateway that connections to the guest come from, in turn (RFC 6335 §6). */
const FIRST_PORT = 49_152;
const PORTS = 16_384;
/** A machine that the object has forgotten, as it slept, is asked for and has so long to answer. */
const SEEK_MS = 1500;
const LOOK_MS = 25;

const refuse = (status: 502 | 503, words: string): Response =>
  new Response(`${words}\n`, { status, headers: { "content-type": "text/plain; charset=utf-8" } });

const macOf = (text: string): Uint8Array =>
  Uint8Array.from({ length: 6 }, (_, at) => Number.parseInt(text.slice(2 * at, 2 * at + 2), 16));

interface Found {
  readonly host: StackHost;
  readonly address: Address;
}
export interface PortsParts {
  /** The LANs of this object, the one that was joined last first. */
  readonly hosts: () => readonly StackHost[];
  /** What WebSockets to browsers share with other sockets that cannot answer. */
  readonly unanswered: () => Unanswered;
  /** Frames for the guests go out. */
  readonly flush: () => void;
  /** `from`: the browser's address, if it is known. */
  readonly onEnd: (from: string, port: number, end: PipeEnd) => void;
}

/** The connections from browsers to the servers of machines. */
export class PublishedPorts {
  readonly #parts: PortsParts;
  readonly #open = new Map<GuestPipe, string>();
  #turn = 0;

  constructor(parts: PortsParts) {
    this.#parts = parts;
  }

  get count(): number {
    return this.#open.size;
  }

  async ask(request: Request, { id, port, machine, address }: PortRequest): Promise<Response> {
    for (const pipe of this.#open.keys()) if (pipe.isClosed) this.#open.delete(pipe);
    if (this.#open.size >= MAX_CONNECTIONS) return refuse(503, "Too many connections to this machine.");
    const found = await this.#find(machine, address);
    if (!found) return refuse(502, "The machine is not connected.");
    const from = { address: lanDefaults.gateway, port: FIRST_PORT + (this.#turn++ % PORTS) };
    const browser = request.headers.get("x-forwarded-for") ?? "";
    const onEnd = (end: PipeEnd): void => this.#parts.onEnd(browser, port, end);
    const pipe = await GuestPipe.open(found.host, { address: found.address, port }, from, onEnd);
    if (!pipe) return refuse(502, "Nothing answers at this port of the machine.");
    this.#open.set(pipe, id);
    return askGuest(request, pipe, this.#parts.unanswered());
  }

  /** Where a machine is now; null: it has not spoken since this object woke. */
  locate(machine: string): Address | null {
    return this.#located(macOf(machine))?.address ?? null;
  }

  #located(mac: Uint8Array): Found | undefined {
    for (const host of this.#parts.hosts()) {
      const address = host.stack.addressOf(mac);
      if (address !== null) return { host, address };
    }
    return undefined;
  }

  /** The machine, or else whoever has its last address is asked until the machine answers. Without a name: the one that is there. */
  async #find(machine: string, last: Address): Promise<Found | undefined> {
    const address = last === "" ? lanDefaults.firstLease : last;
    const look = (): Found | undefined => {
      if (machine !== "") return this.#located(macOf(machine));
      const host = this.#parts.hosts().find(({ stack }) => stack.seek(address, Date.now()));
      return host && { host, address };
    };
    for (const end = Date.now() + SEEK_MS; ;) {
      const found = look();
      if (found || this.#parts.hosts().length === 0 || Date.now() > end) return found;
      for (const { stack } of this.#parts.hosts()) stack.seek(address, Date.now());
      this.#parts.flush();
      await new Promise<void>((resolve) => {
        setTimeout(resolve, LOOK_MS);
      });
    }
  }

  stopAll(): void {
    for (const pipe of this.#open.keys()) pipe.abort();
  }
  stop(id: string): void {
    for (const [pipe, of] of this.#open) if (of === id) pipe.abort();
  }
}
