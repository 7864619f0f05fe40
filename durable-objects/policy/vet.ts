import type { Profile, RefusalCode } from "#protocol/tunnel-notices.ts";
import { formatIp, parseIp } from "../net/ip-text.ts";
import { carriedIpv4, classOf } from "./address-class.ts";
import { type Cidr, isIn } from "./cidr.ts";
import { isCloudflare } from "./cloudflare-ranges.ts";
import type { EgressConfig } from "./config.ts";
import { hasPort } from "./ports.ts";
import { sentenceOf } from "./sentences.ts";

/** Where somebody wants to go. `name` is known where a name was asked for; it is judged, never resolved again. */
export interface VetTarget {
  readonly name?: string;
  readonly port: number;
}

/** Ways out beside the platform's `connect()`. `fetch` serves plain HTTP to port 80, a relay everything. */
export interface Ways {
  readonly fetch: boolean;
  readonly relay: boolean;
}

export type Verdict =
  /** Dial this literal, by this way, and nothing else. */
  | { readonly ok: true; readonly address: string; readonly via: "connect" | "fetch" | "relay" }
  | { readonly ok: false; readonly code: RefusalCode; readonly sentence: string };

const refuse = (code: RefusalCode): Verdict => ({ ok: false, code, sentence: sentenceOf(code) });

/** Mail between servers: the platform does not let anybody send it. */
const SMTP = 25;

/**
 * Judges a destination after resolution: the first of `addresses` that may be reached, or why none may. Deny wins over
 * allow. Addresses are literals; what is no address is passed over.
 */
export function vet(
  config: EgressConfig,
  target: VetTarget,
  addresses: readonly string[],
  profile: Profile,
  ways: Ways = { fetch: false, relay: false },
): Verdict {
  const code = judgeAsked(config, target, profile, ways);
  if (code) return refuse(code);
  let first: RefusalCode | undefined;
  for (const text of addresses) {
    const address = parseIp(text);
    if (!address) continue;
    const verdict = judgeAddress(config, address, target.port, ways);
    if (verdict.ok) return verdict;
    first ??= verdict.code;
  }
  return refuse(first ?? "name-not-found");
}

/** What can be said before anything is resolved: who asks, the port, the name. */
export function judgeAsked(
  config: EgressConfig,
  { name, port }: VetTarget,
  profile: Profile,
  ways: Ways,
): RefusalCode | undefined {
  if (config.mode === "off") return "egress-off";
  const ports = config.ports[profile];
  if (ports.length === 0) return profile === "signed-in" ? "egress-off" : "needs-account";
  if (port === SMTP && !ways.relay) return "platform-port";
  if (hasPort(config.denyPorts, port) || !hasPort(ports, port)) return "denied-port";
  if (name !== undefined && isUnder(config.denyNames, name)) return "denied-name";
  const { allowNames } = config;
  if (allowNames.length > 0 && (name === undefined || !isUnder(allowNames, name))) return "denied-name";
  return undefined;
}

/** Whether a name is one of these or below one. */
function isUnder(suffixes: readonly string[], name: string): boolean {
  const plain = name.toLowerCase().replace(/\.$/, "");
  return suffixes.some((suffix) => plain === suffix || plain.endsWith(`.${suffix}`));
}

/** An address that carries another one is in a range if either is. */
const isInAny = (ranges: readonly Cidr[], address: Uint8Array): boolean => {
  const inner = carriedIpv4(address);
  return ranges.some((range) => isIn(range, address) || (inner !== undefined && isIn(range, inner)));
};

function judgeAddress(config: EgressConfig, address: Uint8Array, port: number, ways: Ways): Verdict {
  if (isInAny(config.deny, address)) return refuse("denied-address");
  if (classOf(address) !== "public" && !isInAny(config.allow, address)) return refuse("private-address");
  const literal = formatIp(address);
  const isPlatform = isCloudflare(address) || isCloudflare(carriedIpv4(address) ?? address) || port === SMTP;
  if (!isPlatform) return { ok: true, address: literal, via: "connect" };
  if (ways.relay) return { ok: true, address: literal, via: "relay" };
  if (ways.fetch && port === 80) return { ok: true, address: literal, via: "fetch" };
  return refuse("platform-address");
}
