import { joinBrowserRoom } from "./network/browser-room.ts";
import { realClock } from "./network/clock.ts";
import { checkInvite, enterSession, webSocketUrl } from "./network/gateway.ts";
import { NetworkService } from "./network/network-service.ts";
import { pageDns } from "./network/page-dns.ts";
import { FetchWay } from "./network/page-fetch.ts";
import { PageUplink } from "./network/page-uplink.ts";
import { RelayWay } from "./network/relay-way.ts";
import { TunnelUplink } from "./network/tunnel-uplink.ts";
import { openFrameLink } from "./protocol/frame-link.ts";
import type { NetworkCommand, NetworkNotice, NetworkPath, PageStack } from "./protocol/network-messages.ts";
import type { Uplink, UplinkEvents } from "./network/uplink.ts";

/** The network worker: from the card's wire to the tunnel, and nothing that the machine waits for. */
let service: NetworkService | undefined;

const fetcher: typeof fetch = (...request) => fetch(...request);

function makeUplink(path: NetworkPath, events: UplinkEvents): Uplink | undefined {
  switch (path.kind) {
    case "off":
      return undefined;
    case "tunnel": {
      const url = new URL(webSocketUrl(path.tunnelUrl, self.location.origin));
      if (path.invite) url.searchParams.set("lan", path.invite);
      return new TunnelUplink(
        {
          clock: realClock,
          openSocket: (address, protocol) => new WebSocket(address, protocol),
          enter: async () => {
            const refusal = await enterSession(fetcher, path.sessionUrl);
            if (refusal || !path.invite) return refusal;
            return checkInvite(fetcher, new URL(`/api/lans/${path.invite}`, path.sessionUrl).href);
          },
        },
        url.href,
        events,
      );
    }
    case "tcp-mux":
    case "wisp":
    case "fetch":
      return inPage(path, events);
    default:
      return path satisfies never;
  }
}

/** The stack of the tunnel in this worker, for sites without tunnels. */
function inPage(path: Extract<NetworkPath, PageStack>, events: UplinkEvents): Uplink {
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

function start({ path, link, room }: Extract<NetworkCommand, { type: "start" }>): void {
  service?.close();
  service = new NetworkService(
    {
      clock: realClock,
      notify: (notice: NetworkNotice) => self.postMessage(notice),
      makeUplink: (events) => makeUplink(path, events),
      joinRoom: (hear) => (room === undefined ? undefined : joinBrowserRoom(room, hear)),
    },
    openFrameLink(link),
  );
}

self.onmessage = ({ data }: MessageEvent<NetworkCommand>) => {
  switch (data.type) {
    case "start":
      return start(data);
    case "reconnect":
      return service?.reconnect();
    case "cable":
      return service?.setCable(data.connected);
    case "capture":
      return service?.setCapture(data.on);
    case "capture-file":
      return service?.captureFile();
    default:
      return data satisfies never;
  }
};
self.addEventListener("online", () => service?.reconnect());
