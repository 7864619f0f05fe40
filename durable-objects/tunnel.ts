import { DurableObject } from "cloudflare:workers";
import { PORT_HEADER, PortRequest } from "#protocol/published-port.ts";
import type { TunnelNotice } from "#protocol/tunnel-notices.ts";
import type { Visit } from "#protocol/visit.ts";
import type { AeroL2Error } from "#protocol/aero-l2.ts";
import { AeroCarrier } from "./gateway/aero-carrier.ts";
import { LateOutlet, type Outlet, noFrames } from "./gateway/carrier.ts";
import type { Door } from "./gateway/door.ts";
import { L2Guest, foreignLan } from "./gateway/l2-guest.ts";
import { MuxDoor } from "./gateway/mux-door.ts";
import { RawCarrier } from "./gateway/raw-carrier.ts";
import type { StackHost } from "./gateway/stack-host.ts";
import { TcpDoor } from "./gateway/tcp-door.ts";
import { UdpDoor } from "./gateway/udp-door.ts";
import { VirgaCarrier } from "./gateway/virga-carrier.ts";
import { VirgaDoor, VirgaLobby } from "./gateway/virga-lobby.ts";
import { WispDoor } from "./gateway/wisp-door.ts";
import { Hall } from "./hall.ts";
import { addPing, frameCounts, noPings } from "./policy/counters.ts";
import { subjectsOf } from "./policy/subjects.ts";
import { Presence, type PresenceParts } from "./presence.ts";
import { PublishedPorts } from "./published-ports.ts";
import { SocketShell, readVisit } from "./socket-shell.ts";

/** Sockets of one session. */
const MAX_SOCKETS = 16;

const isL2 = ({ door }: Visit): boolean => door === "virga" || door === "aero" || door === "raw";

/**
 * One visitor's way to the internet: the sockets of a session, whatever they speak, with one policy and one egress behind
 * all of them. Named by the session's id, which is random, so that it starts near its visitor.
 *
 * Sockets hibernate. What sleeps through hibernation: the numbers of a quiet `virga-l2-v1` session, in its socket's
 * attachment. What is lost on eviction: TCP flows (the guest's next segment meets a stack that answers with RST), DHCP
 * leases (the guest keeps its address and renews it), the DNS cache, the counters. A session that was not quiet is told to
 * begin anew: its socket closes with 1012, and its next HELLO is answered with a new session.
 */
export class Tunnel extends DurableObject<Env> {
  readonly #counts = noFrames();
  readonly #events = { sessions: 0, quotaBytes: 0, quotaFps: 0, backpressure: 0, idle: 0, hungUp: 0 };
  readonly #pings = noPings();
  readonly #presence: Presence;
  readonly #hall: Hall;
  readonly #lobby: VirgaLobby<L2Guest<VirgaCarrier>>;
  readonly #shell: SocketShell;
  readonly #ports: PublishedPorts;
  /** Visitors whose one connection is being made: their sockets come after it. */
  readonly #arriving = new Set<Visit>();

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    this.#presence = new Presence({
      kind: "tunnel",
      name: ctx.id.toString(),
      namespace: env.REGISTER,
      describe: () => this.#describe(),
      onHangUp: ([hangUp]) => this.#end(hangUp!.sentence),
      onPulse: () => this.#hall.onPulse(),
    });
    this.#hall = new Hall({
      env,
      afterTurn: () => this.#shell.afterTurn(),
      isOpen: true,
      presence: this.#presence,
      holder: ctx.id.toString(),
    });
    this.#ports = new PublishedPorts({
      hosts: () => this.#hosts(),
      flush: () => this.#flush(),
      unanswered: () => this.#hall.unanswered,
      onEnd: (...ended) => this.#hall.logPort(...ended),
    });
    this.#lobby = new VirgaLobby({
      make: (onOpen, snapshot) => {
        const carrier = new VirgaCarrier(this.#counts, onOpen, snapshot);
        return this.#hall.guest(carrier);
      },
      freshSession: () => crypto.getRandomValues(new Uint8Array(16)),
      now: Date.now,
      onOpen: (guest) => this.#hall.greet(guest.carrier),
    });
    this.#shell = new SocketShell({
      ctx,
      maxSockets: MAX_SOCKETS,
      open: (visit, outlet, isWaking) => this.#open(visit, outlet, isWaking),
      reopen: (visit, outlet, snapshot) => {
        this.#hall.visit = visit;
        return this.#lobby.reopen(outlet, snapshot);
      },
      pollAt: () => this.#lobby.pollAt(),
      onTime: () => this.#lobby.onTime(),
      isQuiet: () => this.#lobby.isQuiet,
    });
    this.#shell.wake();
  }

  override async fetch(request: Request): Promise<Response> {
    const ask = request.headers.get(PORT_HEADER);
    if (ask !== null) return this.#ports.ask(request, PortRequest.parse(JSON.parse(ask)));
    const visit = readVisit(request);
    if (visit.door !== "tcp") return this.#accept(visit, request);
    // One connection: whether there is one is said before the upgrade.
    this.#hall.visit = visit;
    const outlet = new LateOutlet();
    const target = visit.target ?? { host: "", port: 0 };
    this.#arriving.add(visit);
    this.ctx.waitUntil(this.#presence.changed());
    const { door, refused } = await TcpDoor.dial(
      outlet,
      this.#hall.egress,
      Date.now,
      target,
      this.#hall.unanswered,
    );
    this.#arriving.delete(visit);
    if (!refused) return this.#accept(visit, request, { door, outlet });
    return new Response(refused.sentence, { status: refused.refusal === "prohibited" ? 403 : 502 });
  }

  /** Whether the visitor is wanted is asked while the socket opens; nothing is dialled before that is known. */
  #accept(...accepted: Parameters<SocketShell["accept"]>): Response {
    const answer = this.#shell.accept(...accepted);
    if (answer.webSocket) this.ctx.waitUntil(this.#presence.changed());
    return answer;
  }

  #aero(outlet: Outlet): AeroCarrier {
    const onClosed = (why: "protocol" | AeroL2Error | "idle"): void => {
      if (why === "idle") this.#events.idle++;
      if (why === "quota_bytes") this.#events.quotaBytes++;
      if (why === "quota_fps") this.#events.quotaFps++;
      if (why === "backpressure") this.#events.backpressure++;
    };
    const onPing = (rttMs: number): void => addPing(this.#pings, rttMs);
    return new AeroCarrier(outlet, this.#counts, this.#hall.limits.aero, onClosed, Date.now(), onPing);
  }

  #open(visit: Visit, outlet: Outlet, isWaking: boolean): Door {
    this.#hall.visit = visit;
    const { egress, openDatagrams, hasUdp, limits } = this.#hall;
    const now = Date.now;
    if (!isWaking && isL2(visit)) this.#events.sessions++;
    const onIdle = (): void => this.#shell.afterTurn();
    switch (visit.door) {
      case "virga":
        return this.#lobby.open(outlet);
      case "aero":
        return this.#hall.guest(this.#aero(outlet), foreignLan);
      case "raw":
        return this.#hall.guest(new RawCarrier(outlet, this.#counts), foreignLan);
      case "tcp-mux":
        return new MuxDoor(outlet, egress, now, limits.streams, onIdle);
      case "wisp":
      case "wisp2": {
        const isVersion2 = visit.door === "wisp2";
        const maxStreams = limits.streams;
        const parts = { outlet, egress, openDatagrams, hasUdp, now, isVersion2, maxStreams, onIdle };
        return new WispDoor({ ...parts, isGreeted: isWaking, unanswered: this.#hall.unanswered });
      }
      case "tcp":
        throw new Error("A connection is dialled before its socket is accepted.");
      case "udp":
        return new UdpDoor(outlet, openDatagrams, now, visit.sid);
      default:
        return visit.door satisfies never;
    }
  }

  override webSocketMessage(socket: WebSocket, message: ArrayBuffer | string): void {
    this.#shell.onMessage(socket, message);
  }
  override webSocketClose(socket: WebSocket, code: number): void {
    this.#shell.onClose(socket, code);
    this.ctx.waitUntil(this.#presence.changed());
  }
  override webSocketError(socket: WebSocket): void {
    this.#shell.onGone(socket);
    this.ctx.waitUntil(this.#presence.changed());
  }
  override alarm(): void {
    this.#shell.onAlarm();
  }

  /** The LANs of this session, the one that was joined last first. */
  #hosts(): StackHost[] {
    const hosts: StackHost[] = [];
    for (const door of this.#shell.doors) if (door instanceof L2Guest) hosts.unshift(door.host);
    for (const { host } of this.#lobby.guests) hosts.unshift(host);
    return hosts;
  }
  #flush(): void {
    this.#shell.rouseAll();
    for (const door of this.#shell.doors) if (door instanceof L2Guest) door.turn();
    for (const guest of this.#lobby.guests) guest.turn();
    this.#shell.afterTurn();
  }

  /** The IPv4 address of a machine of this session, for its published ports. */
  locate(machine: string): string | null {
    return this.#ports.locate(machine);
  }

  /** Ends what goes through a port that is published no more. */
  stopPort(id: string): void {
    this.#ports.stop(id);
  }

  /** Tells the pages of this session what is published. */
  announcePorts(ports: Extract<TunnelNotice, { type: "ports" }>["ports"]): void {
    this.#shell.rouseAll();
    for (const guest of this.#lobby.guests) {
      guest.carrier.notify({ type: "ports", ports });
      guest.turn();
    }
    this.#shell.afterTurn();
  }

  /** The kill switch, by the register. All sockets of a Tunnel are one visitor's, whoever of several names is meant. */
  hangUp(_subject: string, sentence: string): void {
    this.#end(sentence);
  }

  #end(sentence: string): void {
    this.#events.hungUp++;
    const doors = this.#shell.hangUp(() => true, sentence);
    this.#lobby.dismiss(doors.filter((door) => door instanceof VirgaDoor));
    this.#lobby.dismissAbsent();
    this.#ports.stopAll();
    this.#shell.afterTurn();
  }

  /** Starts anew with nothing, as after an eviction: what an operator does with an object that misbehaves. The call fails. */
  forget(): void {
    this.ctx.abort("The operator has told this tunnel to begin anew.");
  }

  /** What this object knows for `/metrics`, and for tests of its bounds. */
  metrics() {
    let [flows, heldBytes] = [0, 0];
    for (const door of this.#shell.doors) flows += door.streamCount;
    for (const { carrier } of this.#lobby.guests) heldBytes += carrier.heldBytes;
    const sockets = this.#shell.socketCount;
    let stackBytes = 0;
    for (const { stack } of this.#hosts()) {
      const { sendHeld, receiveHeld, reassembling } = stack.counts;
      stackBytes += sendHeld + receiveHeld + reassembling;
    }
    return { ...this.#counts, ...this.#hall.metrics(), sockets, flows, heldBytes, stackBytes };
  }

  /** The same for the register, by the names of `/metrics`. */
  #describe(): ReturnType<PresenceParts["describe"]> {
    const { flows, heldBytes, sockets } = this.metrics();
    const { sessions, quotaBytes, quotaFps, backpressure, idle, hungUp } = this.#events;
    const visits = this.#shell.visits;
    return {
      subjects: [...new Set([...visits, ...this.#arriving].flatMap(subjectsOf))],
      counts: {
        ...frameCounts(this.#counts),
        ...this.#hall.counts(),
        l2_sessions_total: sessions,
        l2_sessions_closed_quota_bytes_total: quotaBytes,
        l2_sessions_closed_quota_fps_total: quotaFps,
        l2_sessions_closed_backpressure_total: backpressure,
        aero_l2_idle_timeouts_total: idle,
        virga_sessions_hung_up_total: hungUp,
      },
      gauges: {
        l2_sessions_active: visits.filter(isL2).length,
        l2_tcp_conns_active: flows,
        l2_udp_flows_active: this.#hall.udpFlows,
        virga_tunnel_sockets_active: sockets,
        virga_tunnel_held_bytes: heldBytes,
      },
      pings: this.#pings,
    };
  }
}
