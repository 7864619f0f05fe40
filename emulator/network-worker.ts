import { joinBrowserRoom } from "./network/browser-room.ts";
import { realClock } from "./network/clock.ts";
import { checkInvite, enterSession, webSocketUrl } from "./network/gateway.ts";
import { NetworkService } from "./network/network-service.ts";
import { TunnelUplink } from "./network/tunnel-uplink.ts";
import { openFrameLink } from "./protocol/frame-link.ts";
import type { NetworkCommand, NetworkNotice, NetworkPath } from "./protocol/network-messages.ts";
import type { Uplink, UplinkEvents } from "./network/uplink.ts";

/** The network worker: from the card's wire to the tunnel, and nothing that the machine waits for. */
let service: NetworkService | undefined;

const fetcher: typeof fetch = (...request) => fetch(...request);

/** The stack in the page: fetched only by pages that run it. */
type InPage = typeof import("./network/in-page.ts").inPage;

function makeUplink(path: NetworkPath, events: UplinkEvents, inPage: InPage | undefined): Uplink | undefined {
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
      return inPage?.(path, events);
    default:
      return path satisfies never;
  }
}

async function start({ path, link, room }: Extract<NetworkCommand, { type: "start" }>): Promise<void> {
  service?.close();
  const wantsStack = path.kind !== "tunnel" && path.kind !== "off";
  const inPage = wantsStack ? (await import("./network/in-page.ts")).inPage : undefined;
  service = new NetworkService(
    {
      clock: realClock,
      notify: (notice: NetworkNotice) => self.postMessage(notice),
      makeUplink: (events) => makeUplink(path, events, inPage),
      joinRoom: (hear) => (room === undefined ? undefined : joinBrowserRoom(room, hear)),
    },
    openFrameLink(link),
  );
}

self.onmessage = ({ data }: MessageEvent<NetworkCommand>) => {
  switch (data.type) {
    case "start":
      return void start(data).catch((problem: unknown) => {
        console.error("network:", problem);
        const failure = { code: "offline", what: "the network's program" } as const;
        self.postMessage({ type: "state", state: "refused", failure } satisfies NetworkNotice);
      });
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
