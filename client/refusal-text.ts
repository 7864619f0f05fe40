import type { FlowRow } from "#protocol/network-messages";
import type { TunnelNotice } from "#protocol/tunnel-notices";
import * as show from "./numbers.ts";

type Quota = Extract<TunnelNotice, { type: "quota" }>;
const quotaSentences: { readonly [Of in Quota["of"]]: string } = {
  connections: "New connections are being opened too fast; some were refused.",
  flows: "As many connections are open as this site allows; more are refused until some end.",
  bytes: "The data that this site allows is used up; it fills again through the day.",
  hosts: "More different hosts were contacted within a minute than this site allows.",
  scan: "So many connections failed that this looks like a scan; new ones are refused.",
};

/** A bound that was reached, and when it is over if that is known. */
export const quotaWords = ({ of, retryAfterMs }: Pick<Quota, "of" | "retryAfterMs">): string =>
  retryAfterMs > 0
    ? `${quotaSentences[of]} Trying again helps in ${show.seconds(retryAfterMs)}.`
    : quotaSentences[of];

/** `name`: of which no name server answered. */
export const nameWords = (name: string): string =>
  `The name ${name} could not be looked up, because no name server answers. Addresses in digits can still be reached.`;

/** Why a connection was refused, or how it ended, in a few words for a list. Empty: nothing to say. */
export function reasonWords(reason: FlowRow["reason"]): string {
  switch (reason) {
    case undefined:
    case "done":
      return "";
    case "reset":
      return "cut off";
    case "timeout":
      return "no answer";
    case "egress-off":
      return "the internet is off on this site";
    case "needs-account":
      return "sign in to reach the internet";
    case "denied-port":
      return "this site does not allow this port";
    case "denied-name":
    case "denied-address":
      return "this site does not allow this destination";
    case "private-address":
      return "private addresses are not reachable";
    case "too-many-flows":
      return "too many connections are open";
    case "too-many-connections":
      return "too many new connections; slower";
    case "too-many-hosts":
      return "too many different hosts; slower";
    case "too-many-bytes":
      return "the data for today is used up";
    case "looks-like-a-scan":
      return "stopped: it looks like a scan";
    case "platform-port":
      return "the cloud does not allow this port";
    case "platform-address":
      return "the cloud cannot reach this host";
    case "no-udp":
      return "UDP needs a relay, and this site has none";
    case "no-relay":
      return "the relay does not answer";
    case "name-not-found":
      return "there is no such name";
    case "refused":
      return "the host refused";
    case "unreachable":
      return "the host cannot be reached";
    case "failed":
      return "could not be opened";
    default:
      return reason satisfies never;
  }
}
