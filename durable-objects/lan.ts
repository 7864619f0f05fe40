import { DurableObject } from "cloudflare:workers";
import * as z from "zod/mini";
import { type Outcome, fail, ok } from "#protocol/failure.ts";
import { Profile } from "#protocol/tunnel-notices.ts";
import { PORT_HEADER, PortRequest } from "#protocol/published-port.ts";
import { INVITE_HEADER, type Visit } from "#protocol/visit.ts";
import type { Lease as LeaseRow } from "./net/dhcp-leases.ts";
import { VirgaDoor } from "./gateway/virga-lobby.ts";
import { noPings } from "./policy/counters.ts";
import { subjectsOf } from "./policy/subjects.ts";
import { Presence, type PresenceParts } from "./presence.ts";
import { PublishedPorts } from "./published-ports.ts";
import { RoomHost } from "./room-host.ts";
import { SocketShell, readVisit } from "./socket-shell.ts";

/** Sockets of one room: as many machines, and a few that are being replaced. */
const MAX_MEMBERS = 16;

/** What a room is made with; all that is stored of it. */
const RoomPlan = z.strictObject({
  /** SHA-256 of the invite's secret, hex. */
  secretHash: z.string().check(z.regex(/^[0-9a-f]{64}$/)),
  /** Whether its gateway leads to the internet, by the policy for the one who made it. */
  internet: z.boolean(),
  owner: z.string().check(z.minLength(1), z.maxLength(128)),
  profile: Profile,
  /** Of the owner, with whose other sessions the gateway shares what it may use. */
  account: z.optional(z.string().check(z.minLength(1), z.maxLength(128))),
  address: z._default(z.string().check(z.maxLength(64)), ""),
  delayMs: z.number().check(z.minimum(0), z.maximum(10_000)),
  loss: z.number().check(z.minimum(0), z.maximum(1)),
  bytesPerSecond: z.number().check(z.minimum(0)),
  seed: z.number(),
});
export type RoomPlan = z.infer<typeof RoomPlan>;
const ownerOf = ({ owner, profile, account, address }: RoomPlan): Visit => ({
  door: "virga",
  sid: owner,
  profile,
  address,
  ...(account !== undefined && { account }),
});

/** An address that the room's gateway has promised to a machine. */
const Lease = z.strictObject({
  client: z.string(),
  mac: z.string(),
  address: z.number(),
  hostName: z.optional(z.string()),
  isBound: z.boolean(),
  expiresAt: z.number(),
});

/**
 * A room: machines of several visitors on one switch, with a gateway that gives them addresses and names. Sockets
 * hibernate; the room's plan and its leases are in storage, so that no address is given twice. Lost on eviction: what the
 * switch has learnt (it floods once more), flows to the internet, frames under way.
 */
export class Lan extends DurableObject<Env> {
  readonly #shell: SocketShell;
  readonly #presence: Presence;
  readonly #ports: PublishedPorts;
  #hungUp = 0;
  #sessions = 0;
  #plan: RoomPlan | undefined;
  #host: RoomHost | undefined;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    this.#presence = new Presence({
      kind: "lan",
      name: ctx.id.toString(),
      namespace: env.REGISTER,
      describe: () => this.#describe(),
      onHangUp: (hangUps) => {
        for (const { subject, sentence } of hangUps) this.hangUp(subject, sentence);
      },
      onPulse: () => this.#host?.onPulse(),
    });
    this.#ports = new PublishedPorts({
      hosts: () => (this.#host && this.#shell.socketCount > 0 ? [this.#host.gateway] : []),
      flush: () => this.#afterTurn(),
      unanswered: () => this.#running().unanswered,
      onEnd: (...ended) => this.#host?.logPort(...ended),
    });
    this.#shell = new SocketShell({
      ctx,
      maxSockets: MAX_MEMBERS,
      open: (_visit, outlet, isWaking) => {
        if (!isWaking) this.#sessions++;
        return this.#running().open(outlet);
      },
      reopen: (_visit, outlet, snapshot) => this.#running().reopen(outlet, snapshot),
      pollAt: () => this.#host?.pollAt(),
      onTime: () => this.#onTime(),
      isQuiet: () => this.#host?.isQuiet ?? true,
    });
    const stored = RoomPlan.safeParse(ctx.storage.kv.get("plan"));
    if (!stored.success) return;
    this.#plan = stored.data;
    this.#shell.wake();
  }

  #running(): RoomHost {
    const plan = this.#plan;
    if (!plan) throw new Error("A socket of a room that was never made.");
    return (this.#host ??= new RoomHost({
      env: this.env,
      conditions: plan,
      internet: plan.internet,
      owner: ownerOf(plan),
      presence: this.#presence,
      holder: this.ctx.id.toString(),
      leases: readLeases(this.ctx.storage.kv.get("leases")),
      onLeases: (leases) => this.ctx.storage.kv.put("leases", leases),
      onWork: () => this.#afterTurn(),
    }));
  }

  /** Frames that a slow link has let go leave with this turn: nothing else may come for long. */
  #onTime(): void {
    this.#host?.onTime();
    this.#settle();
  }

  #settle(): void {
    this.#shell.rouseAll();
    this.#host?.settle();
  }

  #afterTurn(): void {
    this.#settle();
    this.#shell.afterTurn();
  }

  /** Called once, by the Worker, for a room whose id it has just made up. */
  make(plan: RoomPlan): Outcome<true> {
    if (this.#plan) return fail({ code: "bad-request", problem: "The room exists." });
    this.#plan = RoomPlan.parse(plan);
    this.ctx.storage.kv.put("plan", this.#plan);
    return ok(true);
  }

  /** Whether this secret opens the room. */
  async admits(secret: string): Promise<boolean> {
    return this.#plan !== undefined && isSecretOf(this.#plan, secret);
  }

  /** The IPv4 address of a member, for its published ports. */
  locate(machine: string): string | null {
    return this.#ports.locate(machine);
  }
  /** Ends what goes through a port that is published no more. */
  stopPort(id: string): void {
    this.#ports.stop(id);
  }

  override async fetch(request: Request): Promise<Response> {
    const ask = request.headers.get(PORT_HEADER);
    if (ask !== null) return this.#ports.ask(request, PortRequest.parse(JSON.parse(ask)));
    if (!this.#plan) return new Response("no such room", { status: 404 });
    const secret = request.headers.get(INVITE_HEADER) ?? "";
    if (!(await isSecretOf(this.#plan, secret)))
      return new Response("the invite is not valid", { status: 403 });
    const visit = readVisit(request);
    if (visit.door !== "virga") return new Response("rooms speak virga-l2-v1", { status: 400 });
    const answer = this.#shell.accept(visit, request);
    if (answer.webSocket) this.ctx.waitUntil(this.#presence.changed());
    return answer;
  }

  override webSocketMessage(socket: WebSocket, message: ArrayBuffer | string): void {
    this.#shell.onMessage(socket, message);
    this.#afterTurn();
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
    this.#afterTurn();
  }

  /** The kill switch, by the register: for members, and for the way out of a room whose owner is meant. */
  hangUp(subject: string, sentence: string): void {
    this.#hungUp++;
    const doors = this.#shell.hangUp((visit) => subjectsOf(visit).includes(subject), sentence);
    this.#host?.dismiss(doors.filter((door) => door instanceof VirgaDoor));
    if (this.#plan && subjectsOf(ownerOf(this.#plan)).includes(subject)) this.#host?.endFlows();
    this.#afterTurn();
  }

  metrics() {
    return { ...this.#host?.metrics(), sockets: this.#shell.socketCount };
  }

  #describe(): ReturnType<PresenceParts["describe"]> {
    const visits = this.#shell.visits;
    const people = this.#plan && visits.length > 0 ? [...visits, ownerOf(this.#plan)] : visits;
    return {
      subjects: [...new Set(people.flatMap(subjectsOf))],
      counts: {
        ...this.#host?.counts(),
        l2_sessions_total: this.#sessions,
        virga_sessions_hung_up_total: this.#hungUp,
      },
      gauges: {
        l2_sessions_active: visits.length,
        l2_tcp_conns_active: this.#host?.flowCount ?? 0,
        l2_udp_flows_active: this.#host?.udpFlows ?? 0,
        virga_tunnel_sockets_active: visits.length,
      },
      pings: noPings(),
    };
  }
}

function readLeases(stored: unknown): LeaseRow[] {
  const leases = z.array(Lease).safeParse(stored);
  return (leases.data ?? []).map((lease) => ({ ...lease, hostName: lease.hostName }));
}

/** Digests of equal length are compared, in a time that does not depend on where they differ. */
async function isSecretOf(plan: RoomPlan, secret: string): Promise<boolean> {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(secret)));
  const hex = Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
  let difference = 0;
  for (let at = 0; at < 64; at++) difference |= hex.charCodeAt(at) ^ plan.secretHash.charCodeAt(at);
  return difference === 0;
}
