import { DurableObject } from "cloudflare:workers";
import * as z from "zod/mini";
import { type Outcome, fail, ok } from "#protocol/failure.ts";
import { Profile } from "#protocol/tunnel-notices.ts";
import { INVITE_HEADER } from "#protocol/visit.ts";
import type { Lease as LeaseRow } from "./net/dhcp-leases.ts";
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
  delayMs: z.number().check(z.minimum(0), z.maximum(10_000)),
  loss: z.number().check(z.minimum(0), z.maximum(1)),
  bytesPerSecond: z.number().check(z.minimum(0)),
  seed: z.number(),
});
export type RoomPlan = z.infer<typeof RoomPlan>;

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
  #plan: RoomPlan | undefined;
  #host: RoomHost | undefined;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    this.#shell = new SocketShell({
      ctx,
      maxSockets: MAX_MEMBERS,
      open: (_visit, outlet) => this.#running().open(outlet),
      reopen: (_visit, outlet, snapshot) => this.#running().reopen(outlet, snapshot),
      pollAt: () => this.#host?.pollAt(),
      onTime: () => this.#host?.onTime(),
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
      owner: { door: "virga", sid: plan.owner, profile: plan.profile, address: "" },
      leases: readLeases(this.ctx.storage.kv.get("leases")),
      onLeases: (leases) => this.ctx.storage.kv.put("leases", leases),
      onWork: () => this.#afterTurn(),
    }));
  }

  #afterTurn(): void {
    this.#shell.rouseAll();
    this.#host?.settle();
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

  override async fetch(request: Request): Promise<Response> {
    if (!this.#plan) return new Response("no such room", { status: 404 });
    const secret = request.headers.get(INVITE_HEADER) ?? "";
    if (!(await isSecretOf(this.#plan, secret)))
      return new Response("the invite is not valid", { status: 403 });
    const visit = readVisit(request);
    if (visit.door !== "virga") return new Response("rooms speak virga-l2-v1", { status: 400 });
    return this.#shell.accept(visit, request);
  }

  override webSocketMessage(socket: WebSocket, message: ArrayBuffer | string): void {
    this.#shell.onMessage(socket, message);
    this.#afterTurn();
  }
  override webSocketClose(socket: WebSocket, code: number): void {
    this.#shell.onClose(socket, code);
  }
  override webSocketError(socket: WebSocket): void {
    this.#shell.onGone(socket);
  }
  override alarm(): void {
    this.#shell.onAlarm();
    this.#afterTurn();
  }

  metrics() {
    return { ...this.#host?.metrics(), sockets: this.#shell.socketCount };
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
