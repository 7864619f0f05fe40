import type { NetworkPath, PageStack } from "../protocol/network-messages.ts";
import { realClock } from "./clock.ts";
import { enterSession, webSocketUrl } from "./gateway.ts";
import { pageDns } from "./page-dns.ts";
import { FetchWay } from "./page-fetch.ts";
import { PageUplink } from "./page-uplink.ts";
import { RelayWay } from "./relay-way.ts";
import type { Uplink, UplinkEvents } from "./uplink.ts";

const fetcher: typeof fetch = (...request) => fetch(...request);

/** The stack of the tunnel in this worker, for sites without tunnels. */
export function inPage(path: Extract<NetworkPath, PageStack>, events: UplinkEvents): Uplink {
  const { sessionUrl } = path;
  const enter = () => (sessionUrl === undefined ? Promise.resolve(null) : enterSession(fetcher, sessionUrl));
  const openSocket = (address: string, protocols: string[]) => new WebSocket(address, protocols);
  const way =
    path.kind === "fetch"
      ? new FetchWay(fetcher, self.location.origin, enter)
      : new RelayWay(
          { clock: realClock, openSocket, enter },
          path.kind,
          webSocketUrl(path.relayUrl, self.location.origin),
        );
  const parts = {
    clock: realClock,
    way,
    resolve: pageDns(fetcher, path.dnsUrl, enter),
    secret: crypto.getRandomValues(new Uint8Array(32)),
  };
  return new PageUplink(parts, events);
}
