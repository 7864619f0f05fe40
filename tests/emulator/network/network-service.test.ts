import { beforeEach, describe, expect, test } from "vitest";
import { NetworkService } from "../../../emulator/network/network-service.ts";
import type { Uplink, UplinkEvents } from "../../../emulator/network/uplink.ts";
import type { FrameLink } from "../../../emulator/protocol/frame-link.ts";
import type { NetworkNotice } from "../../../emulator/protocol/network-messages.ts";
import { ManualClock } from "../../support/manual-clock.ts";

const CARD = [2, 0, 0, 0, 0, 0x10];
const GATEWAY = [2, 0, 0, 0, 0, 0x01];
const OTHER = [2, 0, 0, 0, 0, 0x20];
const frame = (to: number[], from: number[], mark = 0): Uint8Array<ArrayBuffer> =>
  Uint8Array.of(...to, ...from, 8, 0, mark);

/** The network's end of a card's wire, with a card that takes `places` frames. */
class TestLink implements FrameLink {
  readonly toNetwork: Uint8Array<ArrayBuffer>[] = [];
  readonly toCard: Uint8Array[] = [];
  places = Infinity;
  refused = 0;
  wake = (): void => {};
  send(bytes: Uint8Array): boolean {
    if (this.toCard.length >= this.places) {
      this.refused++;
      return false;
    }
    this.toCard.push(bytes.slice());
    return true;
  }
  receive(): Uint8Array<ArrayBuffer> | null {
    return this.toNetwork.shift() ?? null;
  }
  listen(wake: () => void): void {
    this.wake = wake;
  }
  close(): void {}
}

class TestUplink implements Uplink {
  room = Infinity;
  readonly sent: Uint8Array[] = [];
  readonly taken: Uint8Array[] = [];
  rttMs = 12;
  get hasRoom(): boolean {
    return this.sent.length < this.room;
  }
  start(): void {}
  send(bytes: Uint8Array): void {
    this.sent.push(bytes);
  }
  flush(): void {}
  consumed(bytes: Uint8Array): void {
    this.taken.push(bytes);
  }
  reconnect(): void {}
  close(): void {}
}

let clock: ManualClock;
let link: TestLink;
let uplink: TestUplink;
let events: UplinkEvents;
let notices: NetworkNotice[];
let service: NetworkService;

interface TestRoom {
  send(bytes: Uint8Array): void;
  readonly gateway?: boolean;
  whenGateway?(tell: () => void): void;
}

function plug(room?: TestRoom): (bytes: Uint8Array) => void {
  let hear: (bytes: Uint8Array) => void = () => {};
  service = new NetworkService(
    {
      clock,
      notify: (notice) => notices.push(notice),
      makeUplink(given) {
        events = given;
        return uplink;
      },
      joinRoom(given) {
        hear = given;
        if (!room) return undefined;
        return {
          send: (bytes) => room.send(bytes),
          whenGateway: (tell) => (room.gateway ? tell() : room.whenGateway?.(tell)),
          close() {},
        };
      },
    },
    link,
  );
  return (bytes) => hear(bytes);
}

beforeEach(() => {
  clock = new ManualClock();
  link = new TestLink();
  uplink = new TestUplink();
  notices = [];
});
const last = <Type extends NetworkNotice["type"]>(type: Type) =>
  notices.findLast((notice): notice is Extract<NetworkNotice, { type: Type }> => notice.type === type);

describe("between the card and the uplink", () => {
  test("frames pass both ways", () => {
    plug();
    link.toNetwork.push(frame(GATEWAY, CARD, 1), frame(GATEWAY, CARD, 2));
    link.wake();
    events.frames([frame(CARD, GATEWAY, 3)]);
    expect(uplink.sent.map((bytes) => bytes.at(-1))).toEqual([1, 2]);
    expect(link.toCard.map((bytes) => bytes.at(-1))).toEqual([3]);
    expect(uplink.taken).toHaveLength(1);
  });

  test("a full uplink leaves frames with the card until it has room", () => {
    plug();
    uplink.room = 1;
    link.toNetwork.push(frame(GATEWAY, CARD, 1), frame(GATEWAY, CARD, 2));
    link.wake();
    expect(uplink.sent).toHaveLength(1);
    expect(link.toNetwork).toHaveLength(1);
    uplink.room = 2;
    events.roomy();
    expect(uplink.sent.map((bytes) => bytes.at(-1))).toEqual([1, 2]);
  });

  test("a full card leaves frames unconsumed, so that the other end stops sending", () => {
    plug();
    link.places = 1;
    events.frames([frame(CARD, GATEWAY, 1), frame(CARD, GATEWAY, 2), frame(CARD, GATEWAY, 3)]);
    expect(uplink.taken).toHaveLength(1);
    link.places = 3;
    link.wake();
    expect(link.toCard.map((bytes) => bytes.at(-1))).toEqual([1, 2, 3]);
    expect(uplink.taken).toHaveLength(3);
  });

  test("with the cable out nothing passes, and what arrives does not hold the tunnel up", () => {
    plug();
    service.setCable(false);
    link.toNetwork.push(frame(GATEWAY, CARD));
    link.wake();
    events.frames([frame(CARD, GATEWAY)]);
    expect(uplink.sent).toEqual([]);
    expect(link.toCard).toEqual([]);
    expect(uplink.taken).toHaveLength(1);
    service.setCable(true);
    link.toNetwork.push(frame(GATEWAY, CARD));
    link.wake();
    expect(uplink.sent).toHaveLength(1);
  });
});

describe("what the page is told", () => {
  test("bytes and rates once a second, then silence", async () => {
    plug();
    link.toNetwork.push(frame(GATEWAY, CARD));
    link.wake();
    await clock.advance(1_000);
    expect(last("stats")?.stats).toMatchObject({ sentBytes: 15, sentPerSecond: 15, rttMs: 12 });
    await clock.advance(1_000);
    expect(last("stats")?.stats).toMatchObject({ sentBytes: 15, sentPerSecond: 0 });
    const told = notices.length;
    await clock.advance(600_000);
    expect(notices).toHaveLength(told);
  });

  test("connections, newest first, the ended ones forgotten first", async () => {
    plug();
    const flow = { direction: "out", address: "192.0.2.1", port: 443 } as const;
    events.notice({ type: "flow-opened", flow: 1, ...flow, name: "a.test", egress: "connect" });
    events.notice({ type: "flow-refused", flow: 2, ...flow, code: "private-address" });
    for (let id = 3; id <= 101; id++)
      events.notice({ type: "flow-opened", flow: id, ...flow, egress: "connect" });
    await clock.advance(1_000);
    const flows = last("flows")!.flows;
    expect(flows).toHaveLength(100);
    expect(flows[0]?.id).toBe(101);
    expect(flows.at(-1)).toMatchObject({ id: 1, host: "a.test", state: "open" });
    expect(flows.some(({ id }) => id === 2)).toBe(false);
  });

  test("a capture of what the card sent and got", () => {
    plug();
    service.setCapture(true);
    link.toNetwork.push(frame(GATEWAY, CARD));
    link.wake();
    events.frames([frame(CARD, GATEWAY)]);
    service.captureFile();
    expect(last("capture-file")!.bytes.length).toBeGreaterThan(100);
    service.setCapture(false);
    expect(last("stats")?.stats.capture).toBeNull();
  });
});

describe("in a room", () => {
  test("a page without the gateway sends everything to the others", () => {
    const heard: Uint8Array[] = [];
    plug({ send: (bytes) => heard.push(bytes) });
    link.toNetwork.push(frame(GATEWAY, CARD));
    link.wake();
    expect(heard).toHaveLength(1);
    expect(uplink.sent).toEqual([]);
    expect(last("state")?.state).toBe("online");
  });

  test("the page with the gateway serves the others, and keeps to itself what is only its own", () => {
    const heard: Uint8Array[] = [];
    const hear = plug({ send: (bytes) => heard.push(bytes), gateway: true });
    hear(frame(GATEWAY, OTHER, 1));
    expect(uplink.sent.map((bytes) => bytes.at(-1))).toEqual([1]);
    events.frames([frame(OTHER, GATEWAY, 2)]);
    expect(heard.map((bytes) => bytes.at(-1))).toEqual([2]);
    expect(link.toCard.map((bytes) => bytes.at(-1))).toEqual([1]);
    link.toNetwork.push(frame(GATEWAY, CARD, 3));
    link.wake();
    expect(heard).toHaveLength(1);
    expect(uplink.sent).toHaveLength(2);
  });

  test("a page that takes the gateway over looks for it at home, not where it was", () => {
    const heard: Uint8Array[] = [];
    let take = (): void => {};
    const hear = plug({ send: (bytes) => heard.push(bytes), whenGateway: (tell) => (take = tell) });
    hear(frame(CARD, GATEWAY));
    link.toNetwork.push(frame(GATEWAY, CARD, 1));
    link.wake();
    expect([heard.length, uplink.sent.length]).toEqual([1, 0]);
    take();
    link.toNetwork.push(frame(GATEWAY, CARD, 2));
    link.wake();
    expect(uplink.sent.map((bytes) => bytes.at(-1))).toEqual([2]);
  });

  test("frames between two pages do not go to the world", () => {
    const heard: Uint8Array[] = [];
    const hear = plug({ send: (bytes) => heard.push(bytes), gateway: true });
    hear(frame([255, 255, 255, 255, 255, 255], OTHER, 1));
    link.toNetwork.push(frame(OTHER, CARD, 2));
    link.wake();
    expect(heard.map((bytes) => bytes.at(-1))).toEqual([2]);
    hear(frame(CARD, OTHER, 3));
    expect(link.toCard.map((bytes) => bytes.at(-1))).toEqual([1, 3]);
    expect(uplink.sent.map((bytes) => bytes.at(-1))).toEqual([1]);
  });
});
