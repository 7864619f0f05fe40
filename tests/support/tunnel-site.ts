import { existsSync } from "node:fs";
import { WebSocket } from "ws";
import { createTestHarness } from "wrangler";
import { afterAll, beforeAll } from "vitest";

const configPath = "./build/dist/virga/wrangler.json";

/** What infra/local.env says of the internet, as variables of the Worker. */
export const localVariables = (): Record<string, string> =>
  Object.fromEntries(
    Object.entries(process.env).filter(
      (entry): entry is [string, string] =>
        /^VIRGA_(EGRESS|TUNNEL|OPEN_ORIGINS|AUDIT|L2|RELAY|PORTS)/.test(entry[0]) && entry[1] !== undefined,
    ),
  );

/** After a close handshake workerd leaves the TCP connection open; ws would wait 30 s for it (its types do not know the option). */
const early = { closeTimeout: 200 };

export interface TunnelSite {
  url: URL;
  server: ReturnType<typeof createTestHarness>;
}

/** The built Worker with its objects, where loopback may be dialled, for the tests of one file. */
export function tunnelSite(vars: Record<string, string> = {}): TunnelSite {
  const site = {} as TunnelSite;
  beforeAll(async () => {
    if (!existsSync(configPath)) throw new Error(`${configPath} is not there: run "npm run build" first`);
    site.server = createTestHarness({ workers: [{ configPath, vars: { ...localVariables(), ...vars } }] });
    ({ url: site.url } = await site.server.listen());
    await site.server.getWorker().applyD1Migrations("DB");
  });
  afterAll(async () => site.server.close());
  return site;
}

/** A WebSocket whose messages wait until they are asked for. */
export class TestSocket {
  readonly socket: WebSocket;
  readonly #queue: (Buffer | string)[] = [];
  #waiters: (() => void)[] = [];
  closed: { code: number; reason: string } | undefined;

  private constructor(socket: WebSocket) {
    this.socket = socket;
    socket.on("message", (message: Buffer, isBinary) => {
      this.#queue.push(isBinary ? message : message.toString());
      this.#wake();
    });
    socket.on("close", (code, reason: Buffer) => {
      this.closed = { code, reason: reason.toString() };
      this.#wake();
    });
  }

  /** Rejects with the HTTP status where there is no upgrade. */
  static open(
    site: Pick<TunnelSite, "url">,
    path: string,
    protocols: string[] = [],
    headers: Record<string, string> = {},
  ): Promise<TestSocket> {
    const url = new URL(path, site.url);
    url.protocol = "ws:";
    return new Promise((resolve, reject) => {
      const socket = new WebSocket(url, protocols, { perMessageDeflate: false, headers, ...early });
      const waiting = new TestSocket(socket);
      socket.on("open", () => resolve(waiting));
      socket.on("error", (error) => reject(new Error(/\d{3}/.exec(error.message)?.[0] ?? error.message)));
    });
  }

  #wake(): void {
    for (const waiter of this.#waiters.splice(0)) waiter();
  }

  send(message: Uint8Array | string): void {
    this.socket.send(message);
  }

  /** The next message; undefined: the socket has closed. */
  async next(): Promise<Buffer | string | undefined> {
    while (this.#queue.length === 0) {
      if (this.closed) return undefined;
      await new Promise<void>((resolve) => this.#waiters.push(resolve));
    }
    return this.#queue.shift();
  }

  async untilClosed(): Promise<{ code: number; reason: string }> {
    while (!this.closed) await new Promise<void>((resolve) => this.#waiters.push(resolve));
    return this.closed;
  }

  drop(): void {
    this.socket.terminate();
  }
}

/** Headers of a visitor with a session, so that all sockets meet the same Tunnel. */
export async function visitorHeaders(site: Pick<TunnelSite, "url">): Promise<Record<string, string>> {
  const response = await fetch(new URL("/session", site.url), { method: "POST" });
  await response.arrayBuffer();
  const [cookie = ""] = response.headers.getSetCookie();
  return { cookie: cookie.split(";", 1)[0]! };
}
