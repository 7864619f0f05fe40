import * as z from "zod/mini";
import { type Outcome, fail, ok } from "#protocol/failure.ts";
import type { Profile } from "#protocol/tunnel-notices.ts";
import { type Cidr, cidr, parseCidr } from "./cidr.ts";
import { type PortSet, allPorts, parsePorts } from "./ports.ts";

/**
 * The operator's rules for the way out, from strings of the environment. Each name is explained in infra/docs/egress.md. A
 * value that cannot be read refuses everything: a typing error must not open a door.
 */
export interface ProfileLimits {
  /** Open at once. */
  readonly flows: number;
  /** New ones per second, and how many at once after a pause. */
  readonly connections: number;
  readonly burst: number;
  /** Payload per day, both ways; it refills evenly. */
  readonly bytes: number;
  /** Distinct hosts per minute. */
  readonly hosts: number;
}

export interface EgressConfig {
  readonly mode: "off" | "on";
  /** Ranges that are reached though they are not public. */
  readonly allow: readonly Cidr[];
  readonly deny: readonly Cidr[];
  /** If there are any, only these names and what is below them. */
  readonly allowNames: readonly string[];
  readonly denyNames: readonly string[];
  readonly denyPorts: PortSet;
  readonly ports: Readonly<Record<Profile, PortSet>>;
  /** Of one session. */
  readonly limits: Readonly<Record<Profile, ProfileLimits>>;
  /** All sessions of one account, or from one address, have together what so many have. 0: no bound of this kind. */
  readonly sessionsPer: Readonly<Record<"account" | "address", number>>;
}

/** What several sessions may use together. */
export function limitsOfMany(one: ProfileLimits, sessions: number): ProfileLimits {
  const { flows, connections, burst, bytes, hosts } = one;
  return {
    flows: flows * sessions,
    connections: connections * sessions,
    burst: burst * sessions,
    bytes: bytes * sessions,
    hosts: hosts * sessions,
  };
}

const GiB = 2 ** 30;
const defaultLimits: Readonly<Record<Profile, ProfileLimits>> = {
  anonymous: { flows: 32, connections: 5, burst: 30, bytes: GiB, hosts: 30 },
  guest: { flows: 64, connections: 10, burst: 60, bytes: 4 * GiB, hosts: 60 },
  "signed-in": { flows: 512, connections: 50, burst: 300, bytes: 64 * GiB, hosts: 300 },
};
const defaultSessionsPer = { account: 2, address: 4 } as const;
const loopback = ["127.0.0.0/8", "::1"].map(cidr);
const MAX_LIST = 256;

/** A value of the environment: undefined and empty mean the default. */
const value = z.optional(z.string().check(z.maxLength(8192)));
function read<T>(fallback: T, problem: string, parse: (text: string) => T | null) {
  return z.pipe(
    value,
    z.transform((text, context): T => {
      if (text === undefined || text.trim() === "") return fallback;
      const parsed = parse(text.trim());
      if (parsed !== null) return parsed;
      context.issues.push({ code: "custom", message: problem, input: text });
      return z.NEVER;
    }),
  );
}

function listOf<T>(one: (text: string) => T | null): (text: string) => readonly T[] | null {
  return (text) => {
    const parts = text.split(/[\s,]+/).filter((part) => part !== "");
    const values = parts.slice(0, MAX_LIST + 1).map(one);
    const isWhole = values.length <= MAX_LIST && values.every((part) => part !== null);
    return isWhole ? values : null;
  };
}

const nameSuffix = (text: string): string | null => {
  const name = text
    .toLowerCase()
    .replace(/^\*?\./, "")
    .replace(/\.$/, "");
  return /^[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*$/.test(name) ? name : null;
};

/** `flows=64,bytes=1000000000`: what is named replaces the default. */
const limitsFrom =
  (base: ProfileLimits) =>
  (text: string): ProfileLimits | null => {
    const limits: Record<string, number> = { ...base };
    for (const part of text.split(",")) {
      const match = /^\s*([a-z]+)\s*=\s*(\d{1,15})\s*$/.exec(part);
      if (!match || !Object.hasOwn(base, match[1]!)) return null;
      limits[match[1]!] = Number(match[2]);
    }
    return limits as unknown as ProfileLimits;
  };

const ranges = (fallback: readonly Cidr[]) =>
  read(fallback, "a list of ranges like 10.0.0.0/8", listOf(parseCidr));
const names = read<readonly string[]>([], "a list of names like example.org", listOf(nameSuffix));
const ports = (fallback: PortSet) => read(fallback, "none, all, or ports like 80,443,8000-8999", parsePorts);
const limits = (profile: Profile) =>
  read(defaultLimits[profile], "limits like flows=64,hosts=60", limitsFrom(defaultLimits[profile]));
const sessions = (fallback: number) =>
  read(fallback, "a number of sessions", (text) => (/^\d{1,4}$/.test(text) ? Number(text) : null));
const modes = { off: "off", on: "on", "open-loopback": "open-loopback" } as const;

const Environment = z.object({
  VIRGA_EGRESS: read<keyof typeof modes>("off", "off, on or open-loopback", (text) =>
    Object.hasOwn(modes, text) ? modes[text as keyof typeof modes] : null,
  ),
  VIRGA_EGRESS_ALLOW: ranges([]),
  VIRGA_EGRESS_DENY: ranges([]),
  VIRGA_EGRESS_ALLOW_NAMES: names,
  VIRGA_EGRESS_DENY_NAMES: names,
  VIRGA_EGRESS_DENY_PORTS: ports([]),
  VIRGA_EGRESS_PORTS_ANONYMOUS: ports([]),
  VIRGA_EGRESS_PORTS_GUEST: ports([
    [80, 80],
    [443, 443],
  ]),
  VIRGA_EGRESS_PORTS_SIGNED_IN: ports(allPorts),
  VIRGA_EGRESS_LIMITS_ANONYMOUS: limits("anonymous"),
  VIRGA_EGRESS_LIMITS_GUEST: limits("guest"),
  VIRGA_EGRESS_LIMITS_SIGNED_IN: limits("signed-in"),
  VIRGA_EGRESS_SESSIONS_PER_ACCOUNT: sessions(defaultSessionsPer.account),
  VIRGA_EGRESS_SESSIONS_PER_ADDRESS: sessions(defaultSessionsPer.address),
});

/** Names of the environment that this file reads. */
export const egressNames: readonly string[] = Object.keys(Environment.shape);

export function readEgressConfig(env: Readonly<Record<string, unknown>>): Outcome<EgressConfig> {
  const parsed = Environment.safeParse(Object.fromEntries(egressNames.map((name) => [name, env[name]])));
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    const problem = `${String(issue?.path[0])} must be ${issue?.message ?? "a string"}`;
    return fail({ code: "bad-request", problem });
  }
  const read = parsed.data;
  return ok({
    mode: read.VIRGA_EGRESS === "off" ? "off" : "on",
    allow:
      read.VIRGA_EGRESS === "open-loopback"
        ? [...loopback, ...read.VIRGA_EGRESS_ALLOW]
        : read.VIRGA_EGRESS_ALLOW,
    deny: read.VIRGA_EGRESS_DENY,
    allowNames: read.VIRGA_EGRESS_ALLOW_NAMES,
    denyNames: read.VIRGA_EGRESS_DENY_NAMES,
    denyPorts: read.VIRGA_EGRESS_DENY_PORTS,
    ports: {
      anonymous: read.VIRGA_EGRESS_PORTS_ANONYMOUS,
      guest: read.VIRGA_EGRESS_PORTS_GUEST,
      "signed-in": read.VIRGA_EGRESS_PORTS_SIGNED_IN,
    },
    limits: {
      anonymous: read.VIRGA_EGRESS_LIMITS_ANONYMOUS,
      guest: read.VIRGA_EGRESS_LIMITS_GUEST,
      "signed-in": read.VIRGA_EGRESS_LIMITS_SIGNED_IN,
    },
    sessionsPer: {
      account: read.VIRGA_EGRESS_SESSIONS_PER_ACCOUNT,
      address: read.VIRGA_EGRESS_SESSIONS_PER_ADDRESS,
    },
  });
}

/** What holds while the environment cannot be read. */
export const closedConfig: EgressConfig = {
  mode: "off",
  allow: [],
  deny: [],
  allowNames: [],
  denyNames: [],
  denyPorts: [],
  ports: { anonymous: [], guest: [], "signed-in": [] },
  limits: defaultLimits,
  sessionsPer: defaultSessionsPer,
};
