import * as z from "zod/mini";
import { type Outcome, fail, ok } from "./failure.ts";

/**
 * What a tunnel tells the network panel beside the frames: NOTICE of `virga-l2-v1`, UTF-8 JSON of at most 4,096 bytes.
 * The client puts the codes into words.
 */
const text = (maxLength: number) => z.string().check(z.maxLength(maxLength));
const count = z.number().check(z.int(), z.minimum(0));
const port = z.number().check(z.int(), z.minimum(0), z.maximum(65_535));

/** Why a flow did not come to be. The first group is policy, the second the platform, the third the world. */
export const refusalCodes = [
  "egress-off",
  "needs-account",
  "denied-port",
  "denied-name",
  "denied-address",
  "private-address",
  "too-many-flows",
  "too-many-connections",
  "too-many-hosts",
  "too-many-bytes",
  "looks-like-a-scan",
  "platform-port",
  "platform-address",
  "no-udp",
  "no-relay",
  "name-not-found",
  "refused",
  "unreachable",
  "timeout",
  "failed",
] as const;
export const RefusalCode = z.enum(refusalCodes);
export type RefusalCode = z.infer<typeof RefusalCode>;

export const profiles = ["anonymous", "guest", "signed-in"] as const;
export const Profile = z.enum(profiles);
export type Profile = z.infer<typeof Profile>;

/** How flows leave: sockets of the platform, `fetch` for plain HTTP, or a relay of the operator. */
export const EgressKind = z.enum(["none", "connect", "fetch", "relay"]);
export type EgressKind = z.infer<typeof EgressKind>;

const flow = {
  flow: count,
  /** `in`: through a published port. */
  direction: z.enum(["out", "in"]),
  /** What the guest asked DNS for when it was told the address. */
  name: z.optional(text(253)),
  address: text(45),
  port,
  /** Absent: TCP. Of UDP a flow is what one port of the guest and one of the world say to each other. */
  protocol: z.optional(z.literal("udp")),
};

export const TunnelNotice = z.discriminatedUnion("type", [
  z.object({ type: z.literal("flow-opened"), ...flow, egress: EgressKind }),
  z.object({
    type: z.literal("flow-refused"),
    ...flow,
    code: RefusalCode,
    /** One sentence of the server that says more than the code. */
    problem: z.optional(text(256)),
  }),
  z.object({
    type: z.literal("flow-closed"),
    ...flow,
    why: z.enum(["done", "reset", "timeout"]),
    /** Payload, as the guest sees it. */
    sentBytes: count,
    receivedBytes: count,
  }),
  /** A bucket is empty or a bound is reached; flows are refused or wait until it is over. */
  z.object({
    type: z.literal("quota"),
    of: z.enum(["connections", "flows", "bytes", "hosts", "scan"]),
    limit: count,
    /** 0: not before something is closed, or never. */
    retryAfterMs: count,
  }),
  /** Whether name servers answer, when it is first known and when it changes. `failing`: the name of which none did. */
  z.object({ type: z.literal("names"), failing: z.optional(text(253)) }),
  /** Who the visitor is to this tunnel, and what that allows. Sent at the start and when it changes. */
  z.object({
    type: z.literal("policy"),
    profile: Profile,
    egress: EgressKind,
    internet: z.boolean(),
  }),
  /** All published ports of this machine, whenever the list changes. */
  z.object({
    type: z.literal("ports"),
    ports: z
      .array(
        z.object({
          id: text(64),
          port,
          access: z.enum(["private", "link", "public"]),
          url: text(512),
        }),
      )
      .check(z.maxLength(32)),
  }),
  /** Bounds of this tunnel, once at the start. */
  z.object({
    type: z.literal("limits"),
    flows: count,
    connectionsPerSecond: count,
    bytes: count,
    hostsPerMinute: count,
    idleTimeoutMs: count,
  }),
]);
export type TunnelNotice = z.infer<typeof TunnelNotice>;

/** Reads a notice. One that a newer server sends and this page does not know is `unsupported`, and may be passed over. */
export function readTunnelNotice(json: string): Outcome<TunnelNotice> {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch {
    return fail({ code: "bad-request", problem: "A notice is not JSON." });
  }
  const parsed = TunnelNotice.safeParse(value);
  return parsed.success ? ok(parsed.data) : fail({ code: "unsupported", feature: "notice" });
}
