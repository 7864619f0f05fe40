/**
 * A relay that an operator can run anywhere: the tunnel's doors (frames, multiplexers, Wisp, one connection, datagrams) with
 * the same stack and policy as the objects have, over sockets of this machine, UDP included.
 */
import { randomBytes } from "node:crypto";
import { type IncomingMessage, type Server, createServer } from "node:http";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import { type WebSocket, WebSocketServer } from "ws";
import type { Visit } from "#protocol/visit.ts";
import { DohClient } from "../../durable-objects/doh.ts";
import { AeroCarrier, aeroDefaults } from "../../durable-objects/gateway/aero-carrier.ts";
import { type Outlet, noFrames } from "../../durable-objects/gateway/carrier.ts";
import { type Door, earliest } from "../../durable-objects/gateway/door.ts";
import type { Destination, Egress, OpenDatagrams, Refused } from "../../durable-objects/gateway/flow.ts";
import { GuardedDatagrams } from "../../durable-objects/gateway/guarded-datagrams.ts";
import { type Admission, GuardedEgress } from "../../durable-objects/gateway/guarded-egress.ts";
import { L2Guest, type Lan, foreignLan, virgaLan } from "../../durable-objects/gateway/l2-guest.ts";
import { localDatagrams } from "../../durable-objects/gateway/local-datagrams.ts";
import { MuxDoor } from "../../durable-objects/gateway/mux-door.ts";
import { Names } from "../../durable-objects/gateway/names.ts";
import { RawCarrier } from "../../durable-objects/gateway/raw-carrier.ts";
import { TcpDoor } from "../../durable-objects/gateway/tcp-door.ts";
import { UdpDoor } from "../../durable-objects/gateway/udp-door.ts";
import { VirgaCarrier } from "../../durable-objects/gateway/virga-carrier.ts";
import { VirgaLobby } from "../../durable-objects/gateway/virga-lobby.ts";
import { WispDoor } from "../../durable-objects/gateway/wisp-door.ts";
import { guestStack } from "../../durable-objects/guest-stack.ts";
import { Keeper } from "../../durable-objects/keeper.ts";
import { parseIp } from "../../durable-objects/net/ip-text.ts";
import { dnsCodes } from "../../durable-objects/net/dns-message.ts";
import { headerAnswer } from "../../durable-objects/net/dns-answer.ts";
import { readSettings } from "../../durable-objects/settings.ts";
import { doorOf, isRefusal } from "../../worker/doors.ts";
import { askSystem } from "../stack/doh-bridge.ts";
import { type Client, type RelayKeys, hasToken, needsNothing, shownBy } from "./credentials.ts";
import { type DatagramLimits, datagramLimits, nodeDatagrams } from "./node-datagrams.ts";
import { NodeWay } from "./node-way.ts";
import { Signalling } from "./signalling.ts";
import { UdpSessions, admitUdp } from "./udp-sessions.ts";
import { type ChannelDoor, WebRtcCarrier } from "./webrtc.ts";
import type { WebRtcOptions } from "./webrtc-messages.ts";

const MAX_SOCKETS = 1024;
const MAX_STREAMS = 1024;
const MESSAGE_BYTES = 2 ** 20;
/** Of datagrams that wait in a socket for its client to read; what finds no room is lost. */
const UDP_WAITING_BYTES = 2 ** 20;
const LOOK_MS = 15_000;
/** Of all clients together, what the world has not taken of what they sent. */
const MOST_UNWRITTEN_BYTES = 512 * 2 ** 20;

export interface RelayOptions {
  readonly port: number;
  readonly host: string;
  /** Every client must show it. Empty: none is asked for, which is allowed on loopback only. */
  readonly token: string;
  /** Secret of the tokens that a site mints for its visitors, who may send datagrams only. Empty: none are taken. */
  readonly jwtSecret?: string;
  readonly datagrams?: Partial<DatagramLimits>;
  /** Datagrams by WebRTC too. Absent: not. */
  readonly webRtc?: WebRtcOptions;
  /** Policy and settings, in the variables that the Worker takes too. */
  readonly env: Readonly<Record<string, string | undefined>>;
}
export interface Relay {
  readonly url: string;
  close(): Promise<void>;
}

const isLoopback = (host: string): boolean => /^(127\.|localhost$|\[?::1\]?$)/.test(host);

export async function startRelay(options: RelayOptions): Promise<Relay> {
  const keys: RelayKeys = { token: options.token, jwtSecret: options.jwtSecret ?? "" };
  if (needsNothing(keys) && !isLoopback(options.host))
    throw new Error("Without a token a relay listens on loopback only: anybody could use it.");
  const core = new RelayCore(options.env, { ...datagramLimits, ...options.datagrams });
  const sessions = new UdpSessions();
  const openChannel = (client: Client, outlet: Outlet) => core.channel(client, outlet);
  const carrier = options.webRtc && (await WebRtcCarrier.load(options.webRtc, sessions, openChannel));
  const signalling = new Signalling(keys, sessions, carrier);
  const server: Server = createServer((request, response) => {
    if (isForeignPage(keys, request)) response.writeHead(403).end();
    else if (!signalling.serve(request, response)) response.writeHead(426).end();
  });
  const sockets = new WebSocketServer({
    noServer: true,
    maxPayload: MESSAGE_BYTES,
    perMessageDeflate: false,
    handleProtocols: (_names, request) => chosen.get(request) ?? false,
  });
  const chosen = new WeakMap<IncomingMessage, string>();
  server.on("upgrade", (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    const refuse = (status: number): void =>
      void socket.end(`HTTP/1.1 ${status} Refused\r\nConnection: close\r\n\r\n`);
    if (sockets.clients.size >= MAX_SOCKETS) return refuse(429);
    if (isForeignPage(keys, request)) return refuse(403);
    if (carrier && new URL(request.url ?? "/", "http://relay").pathname === "/webrtc/signal")
      return sockets.handleUpgrade(request, socket, head, (webSocket) =>
        signalling.onSocket(carrier, request, webSocket),
      );
    const door = doorOf(requestOf(request));
    if (isRefusal(door)) return refuse(door.status);
    // Who may send datagrams is found out behind the upgrade.
    if (door.door !== "udp" && !hasToken(keys, shownBy(request))) return refuse(401);
    if (door.protocol) chosen.set(request, door.protocol);
    const { protocol: _, ...way } = door;
    const address = request.socket.remoteAddress ?? "";
    const visit: Visit = { ...way, sid: randomBytes(16).toString("hex"), profile: "signed-in", address };
    const serve = async (webSocket: WebSocket): Promise<void> => {
      if (door.door !== "udp") return core.serve(visit, webSocket);
      const client = await admitUdp(keys, sessions, request, webSocket);
      return client ? core.serve({ ...visit, sid: client.sid }, webSocket) : undefined;
    };
    return sockets.handleUpgrade(request, socket, head, (webSocket) => void serve(webSocket));
  });
  server.maxConnections = 2 * MAX_SOCKETS;
  await new Promise<void>((resolve, reject) => {
    server.on("error", reject).listen(options.port, options.host, resolve);
  });
  const { port } = server.address() as AddressInfo;
  const host = options.host.includes(":") ? `[${options.host}]` : options.host;
  return {
    url: `ws://${host}:${port}`,
    close: () =>
      new Promise((resolve) => {
        void carrier?.close();
        for (const client of sockets.clients) client.close(1001, "shutting down");
        setTimeout(() => sockets.clients.forEach((client) => client.terminate()), 200);
        server.close(() => resolve());
      }),
  };
}

/** Where nothing is asked for, a page of another machine's must not use the relay of the one who looks at it. */
const isForeignPage = (keys: RelayKeys, { headers: { origin } }: IncomingMessage): boolean =>
  needsNothing(keys) &&
  origin !== undefined &&
  !(URL.canParse(origin) && isLoopback(new URL(origin).hostname));

function requestOf(request: IncomingMessage): Request {
  const headers = new Headers();
  const protocols = request.headers["sec-websocket-protocol"];
  if (protocols) headers.set("sec-websocket-protocol", protocols);
  return new Request(new URL(request.url ?? "/", "http://relay"), { headers });
}

/** What all sockets of a relay share: one policy, one way to names, the sessions that wait for their next socket. */
class RelayCore {
  readonly #egress: Egress;
  readonly #keeper: Keeper;
  readonly #names: Names;
  readonly #limits: DatagramLimits;
  readonly #ask: (message: Uint8Array) => Promise<Uint8Array>;
  readonly #counts = noFrames();
  readonly #lobby: VirgaLobby<L2Guest<VirgaCarrier>>;
  readonly #lines = new Set<Line>();

  constructor(env: RelayOptions["env"], limits: DatagramLimits) {
    this.#limits = limits;
    const settings = readSettings(env);
    const doh = new DohClient(settings.VIRGA_DOH_UPSTREAMS);
    this.#ask =
      settings.VIRGA_DOH_UPSTREAMS.length > 0
        ? (message) => doh.ask(message)
        : async (message) => (await askSystem(message)) ?? headerAnswer(message, dnsCodes.serverFailure);
    const names = (this.#names = new Names(this.#ask, Date.now));
    const keeper = (this.#keeper = new Keeper(env, settings, names, { fetch: false, relay: true }));
    keeper.visit = { door: "tcp-mux", sid: "relay", profile: "signed-in", address: "" };
    // What the platform forbids to a Worker is no different from anything else here.
    const way = new NodeWay();
    this.#egress = new GuardedEgress(keeper, { connect: way, relay: way, fetch: way }, MOST_UNWRITTEN_BYTES);
    this.#lobby = new VirgaLobby({
      make: (onOpen, snapshot) => this.#guest(new VirgaCarrier(this.#counts, onOpen, snapshot), virgaLan),
      freshSession: () => randomBytes(16),
      now: Date.now,
      onOpen: (guest) => {
        for (const notice of keeper.greeting()) guest.carrier.notify(notice);
      },
    });
    setInterval(() => this.#lobby.onTime(), 1000).unref();
  }

  #guest<C extends VirgaCarrier | AeroCarrier | RawCarrier>(carrier: C, lan: Lan): L2Guest<C> {
    const guest: L2Guest<C> = new L2Guest(carrier, {
      flowBytes: lan.sendBufferBytes,
      makeStack: (world) => guestStack(world, lan, { hasHost: false, takesQuic: true }),
      egress: this.#egress,
      openDatagrams: this.#datagrams(),
      resolve: this.#ask,
      onFlow: () => {},
      onWork: () => {
        guest.turn();
        for (const line of this.#lines) line.arm();
      },
      now: Date.now,
    });
    return guest;
  }

  /**
   * One client's datagrams, judged by the relay's policy and bounded by its limits. Names, which Wisp knows, are looked up.
   */
  #datagrams(onAbuse = () => {}): OpenDatagrams {
    const admitDatagrams = async ({ host, port }: Destination): Promise<Admission | Refused> => {
      const addresses = parseIp(host) ? [host] : await this.#names.addresses(host);
      const address = addresses[0] ?? host;
      const refused = this.#keeper.judgeDatagram(address, port);
      return (
        refused ?? { via: "relay", host: address, port, onDialled() {}, onBytes: () => true, onClosed() {} }
      );
    };
    const sockets = nodeDatagrams(this.#limits, onAbuse);
    const guarded = new GuardedDatagrams({ admitDatagrams }, sockets, Date.now);
    return localDatagrams(this.#names, Date.now, (sink) => {
      const datagrams = guarded.open(sink);
      const look = setInterval(() => guarded.onTime(), LOOK_MS).unref();
      return {
        send: (from, to, payload) => datagrams.send(from, to, payload),
        close() {
          clearInterval(look);
          datagrams.close();
        },
      };
    });
  }

  /** The same door as `/udp`, behind another carrier. */
  channel(client: Client, outlet: Outlet): ChannelDoor {
    const datagrams = this.#datagrams(() => outlet.close(1008, "too many datagrams"));
    const door = new UdpDoor(outlet, datagrams, Date.now, client.sid);
    const line = new Line(door);
    this.#lines.add(line);
    line.arm();
    return {
      onMessage(message) {
        door.onMessage(message);
        line.arm();
      },
      onClosed: () => {
        door.onClosed();
        line.stop();
        this.#lines.delete(line);
      },
    };
  }

  async serve(visit: Visit, socket: WebSocket): Promise<void> {
    const isUdp = visit.door === "udp";
    const outlet: Outlet = {
      send: (message) => {
        const isLost = isUdp && typeof message !== "string" && socket.bufferedAmount > UDP_WAITING_BYTES;
        if (!isLost) socket.send(message);
      },
      close: (code, reason) => socket.close(code, reason),
    };
    const door = await this.#open(visit, outlet);
    if (!door) return;
    const line = new Line(door);
    this.#lines.add(line);
    socket.on("message", (message: Buffer, isBinary) => {
      door.onMessage(isBinary ? new Uint8Array(message) : message.toString());
      line.arm();
    });
    socket.on("error", () => {});
    socket.on("close", () => {
      door.onClosed(Date.now());
      line.stop();
      this.#lines.delete(line);
    });
    line.arm();
    socket.resume();
  }

  async #open(visit: Visit, outlet: Outlet): Promise<Door | null> {
    const now = Date.now;
    const egress = this.#egress;
    const openDatagrams = this.#datagrams(() => outlet.close(1008, "too many datagrams"));
    switch (visit.door) {
      case "virga":
        return this.#lobby.open(outlet);
      case "aero":
        return this.#guest(new AeroCarrier(outlet, this.#counts, aeroDefaults, () => {}, now()), foreignLan);
      case "raw":
        return this.#guest(new RawCarrier(outlet, this.#counts), foreignLan);
      case "tcp-mux":
        return new MuxDoor(outlet, egress, now, MAX_STREAMS);
      case "wisp":
      case "wisp2": {
        const isVersion2 = visit.door === "wisp2";
        const bounds = { hasUdp: true, maxStreams: MAX_STREAMS, isGreeted: false };
        return new WispDoor({ outlet, egress, openDatagrams, now, isVersion2, ...bounds });
      }
      case "tcp": {
        const { door, refused } = await TcpDoor.dial(
          outlet,
          egress,
          now,
          visit.target ?? { host: "", port: 0 },
        );
        return refused ? null : door;
      }
      case "udp":
        return new UdpDoor(outlet, openDatagrams, now, visit.sid);
      default:
        return visit.door satisfies never;
    }
  }
}

/** The one timer of a socket. */
class Line {
  readonly #door: Door;
  #timer: NodeJS.Timeout | undefined;
  #atMs: number | undefined;

  constructor(door: Door) {
    this.#door = door;
  }

  arm(): void {
    const at = earliest(this.#door.pollAt());
    if (at === undefined || (this.#atMs !== undefined && this.#atMs <= at)) return;
    clearTimeout(this.#timer);
    this.#atMs = at;
    const fire = (): void => {
      this.#atMs = undefined;
      const due = this.#door.pollAt();
      if (due !== undefined && due <= Date.now()) this.#door.onTime();
      this.arm();
    };
    this.#timer = setTimeout(fire, Math.max(0, at - Date.now()));
  }
  stop(): void {
    clearTimeout(this.#timer);
    this.#atMs = Infinity;
  }
}
