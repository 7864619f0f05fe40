import type { RefusalCode } from "#protocol/tunnel-notices.ts";

/** One sentence per refusal, for the network panel and for the logs of foreign clients. */
const sentences: Readonly<Record<RefusalCode, string>> = {
  "egress-off": "The operator has switched the internet off.",
  "needs-account": "The internet is open to visitors who have signed in.",
  "denied-port": "The operator's rules do not allow this port.",
  "denied-name": "The operator's rules do not allow this name.",
  "denied-address": "The operator's rules do not allow this address.",
  "private-address": "This address is not part of the public internet.",
  "too-many-flows": "Too many connections are open at once.",
  "too-many-connections": "New connections are being opened too fast.",
  "too-many-hosts": "Too many different hosts were contacted within a minute.",
  "too-many-bytes": "The allowance of bytes is used up.",
  "looks-like-a-scan": "So many connections have failed that this looks like a scan.",
  "platform-port": "Mail servers (port 25) cannot be reached from here.",
  "platform-address": "This host is behind Cloudflare, which can only be reached through a relay.",
  "no-udp": "Only DNS and NTP work over UDP here.",
  "no-relay": "The operator's relay does not answer.",
  "name-not-found": "The name has no address.",
  refused: "The host refused the connection.",
  unreachable: "The host cannot be reached.",
  timeout: "The host did not answer in time.",
  failed: "The connection could not be made.",
};
export const sentenceOf = (code: RefusalCode): string => sentences[code];

/** What is used up is not the session's own, but what it has in common with others. */
const shared = {
  account: "of this account together",
  address: "from this network address together",
} as const;
const sharedSentences: Readonly<Partial<Record<RefusalCode, (whose: string) => string>>> = {
  "too-many-flows": (whose) => `Too many connections are open at once, ${whose}.`,
  "too-many-connections": (whose) => `New connections are being opened too fast, ${whose}.`,
  "too-many-hosts": (whose) => `Too many different hosts were contacted within a minute, ${whose}.`,
  "too-many-bytes": (whose) => `The allowance of bytes is used up, ${whose}.`,
  "looks-like-a-scan": (whose) => `So many connections have failed, ${whose}, that this looks like a scan.`,
};
export const sharedSentenceOf = (code: RefusalCode, of: keyof typeof shared): string =>
  sharedSentences[code]?.(shared[of]) ?? sentenceOf(code);
