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
  "name-not-found": "The name has no address.",
  refused: "The host refused the connection.",
  unreachable: "The host cannot be reached.",
  timeout: "The host did not answer in time.",
  failed: "The connection could not be made.",
};
export const sentenceOf = (code: RefusalCode): string => sentences[code];
