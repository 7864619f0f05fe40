import { beforeEach, describe, expect, test } from "vitest";
import { TunnelUplink } from "../../../emulator/network/tunnel-uplink.ts";
import type { TunnelNotice } from "../../../emulator/protocol/tunnel-notices.ts";
import { byeCodes, encodeL2, l2Limits } from "../../../emulator/protocol/virga-l2.ts";
import { TestTunnel } from "../../support/tunnel-pair.ts";

const frame = (number: number, length = 60): Uint8Array => {
  const bytes = new Uint8Array(length).fill(number & 255, 12);
  new DataView(bytes.buffer).setUint32(14, number);
  return bytes;
};
const numberOf = (bytes: Uint8Array): number =>
  new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getUint32(14);

let tunnel: TestTunnel;
let uplink: TunnelUplink;
let states: string[];
let received: Uint8Array[];
let notices: TunnelNotice[];
let roomy: number;

beforeEach(() => {
  tunnel = new TestTunnel();
  states = [];
  received = [];
  notices = [];
  roomy = 0;
  uplink = new TunnelUplink(tunnel, "wss://virga.test/l2", {
    frames(frames) {
      received.push(...frames.map((bytes) => bytes.slice()));
      for (const bytes of frames) uplink.consumed(bytes);
    },
    roomy: () => roomy++,
    state: (state, failure, retryInMs) =>
      states.push([state, failure?.code, retryInMs].filter((part) => part !== undefined).join(" ")),
    notice: (notice) => notices.push(notice),
  });
});

async function online(): Promise<void> {
  uplink.start();
  await tunnel.accept();
}

describe("a tunnel", () => {
  test("asks for a session first, then opens one socket with our subprotocol", async () => {
    await online();
    expect(tunnel.entered).toBe(1);
    expect(tunnel.sockets).toHaveLength(1);
    expect(tunnel.socket.binaryType).toBe("arraybuffer");
    expect(states).toEqual(["connecting", "online"]);
  });

  test("carries frames both ways in order, and measures the round trip", async () => {
    await online();
    for (let number = 0; number < 10; number++) {
      uplink.send(frame(number));
      tunnel.server.queue(frame(100 + number));
    }
    uplink.flush();
    await tunnel.exchange();
    expect(tunnel.arrived.map(numberOf)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect(received.map(numberOf)).toEqual([100, 101, 102, 103, 104, 105, 106, 107, 108, 109]);
    expect(uplink.rttMs).toBe(0);
  });

  test("takes no more than its queue while there is no socket, and says when there is room again", async () => {
    uplink.start();
    let taken = 0;
    for (; uplink.hasRoom; taken++) uplink.send(frame(taken, 1514));
    expect(taken).toBeGreaterThan(100);
    expect(taken * 1514).toBeLessThanOrEqual(l2Limits.creditBytes);
    await tunnel.accept();
    expect(uplink.hasRoom).toBe(true);
    expect(roomy).toBeGreaterThan(0);
    expect(tunnel.arrived.map(numberOf)).toEqual(Array.from({ length: taken }, (_, at) => at));
  });

  test("tells what the server says beside the frames, and passes over what it does not know", async () => {
    await online();
    tunnel.server.notify('{"type":"policy","profile":"guest","egress":"connect","internet":true}');
    tunnel.server.notify('{"type":"from-the-future"}');
    await tunnel.exchange();
    expect(notices).toEqual([{ type: "policy", profile: "guest", egress: "connect", internet: true }]);
  });
});

describe("a socket that is lost", () => {
  test("is followed by another, and no frame is lost or doubled", async () => {
    await online();
    uplink.send(frame(0));
    uplink.flush();
    await tunnel.exchange();
    // The next two leave and never arrive.
    uplink.send(frame(1));
    uplink.send(frame(2));
    uplink.flush();
    tunnel.break();
    uplink.send(frame(3));
    expect(states.at(-1)).toBe("reconnecting 275");
    await tunnel.clock.advance(275);
    await tunnel.accept();
    expect(tunnel.arrived.map(numberOf)).toEqual([0, 1, 2, 3]);
    expect(states.at(-1)).toBe("online");
  });

  test("is tried again after ever longer waits", async () => {
    uplink.start();
    for (let tries = 0; tries < 9; tries++) {
      await tunnel.clock.advance(0);
      tunnel.socket.fire("error");
      await tunnel.clock.advance(20_000);
    }
    const waits = states.filter((state) => /\d/.test(state)).map((state) => Number(state.split(" ")[1]));
    expect(waits.slice(0, 9)).toEqual([275, 550, 1100, 2200, 4400, 8800, 16500, 16500, 16500]);
  });

  test("that never opens counts as lost after ten seconds", async () => {
    uplink.start();
    await tunnel.clock.advance(9_999);
    expect(tunnel.sockets).toHaveLength(1);
    await tunnel.clock.advance(1_000);
    expect(tunnel.sockets).toHaveLength(2);
    expect(tunnel.sockets[0]!.isClosed).toBe(true);
  });

  test("late words of the old one change nothing", async () => {
    await online();
    const old = tunnel.socket;
    tunnel.break();
    await tunnel.clock.advance(275);
    await tunnel.accept();
    old.fire("close");
    old.fire("message", { data: new ArrayBuffer(3) });
    await tunnel.clock.advance(1_000);
    expect(states.at(-1)).toBe("online");
    expect(tunnel.sockets).toHaveLength(2);
  });

  test("silence while frames go out is noticed within twenty seconds", async () => {
    await online();
    await tunnel.clock.advance(60_000);
    uplink.send(frame(1));
    uplink.flush();
    await tunnel.clock.advance(20_000);
    expect(tunnel.sockets).toHaveLength(2);
    expect(states.at(-1)).toBe("reconnecting");
  });

  test("without traffic nothing is sent: the tunnel may sleep", async () => {
    await online();
    const before = tunnel.socket.sent.length;
    await tunnel.clock.advance(600_000);
    expect(tunnel.socket.sent).toHaveLength(before);
    expect(states.at(-1)).toBe("online");
  });
});

describe("a server that", () => {
  const bye = (code: number) =>
    tunnel.socket.fire("message", { data: encodeL2.bye(code, "Not here.").buffer });

  test("does not give a session is not asked again until a person says so", async () => {
    tunnel.refusal = { code: "tunnel-refused", sentence: "The operator has switched it off." };
    uplink.start();
    await tunnel.clock.advance(600_000);
    expect(states).toEqual(["connecting", "refused tunnel-refused"]);
    tunnel.refusal = null;
    uplink.reconnect();
    await tunnel.accept();
    expect(states.at(-1)).toBe("online");
  });

  test("cannot be reached is asked again by itself", async () => {
    tunnel.refusal = { code: "offline", what: "the tunnel" };
    uplink.start();
    await tunnel.clock.advance(300);
    tunnel.refusal = null;
    await tunnel.clock.advance(1_000);
    await tunnel.accept();
    expect(states.at(-1)).toBe("online");
  });

  test("has switched the internet off ends the tries with its sentence", async () => {
    await online();
    bye(byeCodes.internetOff);
    await tunnel.clock.advance(600_000);
    expect(states.at(-1)).toBe("refused tunnel-refused");
    expect(tunnel.sockets).toHaveLength(1);
  });

  test("wants new credentials gets them before the next socket", async () => {
    await online();
    bye(byeCodes.credentials);
    await tunnel.clock.advance(300);
    expect(tunnel.entered).toBe(2);
    expect(tunnel.sockets).toHaveLength(2);
  });

  test("goes away is resumed at once with the credentials that are there", async () => {
    await online();
    bye(byeCodes.goingAway);
    await tunnel.clock.advance(300);
    expect(tunnel.entered).toBe(1);
    expect(tunnel.sockets).toHaveLength(2);
  });

  test("forgot the session gives a new one, and frames not yet sent go there", async () => {
    await online();
    tunnel.break();
    tunnel.server = new (tunnel.server.constructor as new (side: "server") => typeof tunnel.server)("server");
    uplink.send(frame(7));
    await tunnel.clock.advance(275);
    await tunnel.accept();
    expect(tunnel.arrived.map(numberOf)).toEqual([7]);
  });

  test("talks nonsense loses its socket and is tried again", async () => {
    await online();
    tunnel.socket.fire("message", { data: Uint8Array.of(99, 1, 2).buffer });
    expect(tunnel.socket.isClosed).toBe(true);
    await tunnel.clock.advance(300);
    expect(tunnel.sockets).toHaveLength(2);
  });
});

test("a closed tunnel leaves no timer behind", async () => {
  await online();
  uplink.send(frame(1));
  uplink.flush();
  uplink.close();
  const before = states.length;
  await tunnel.clock.advance(600_000);
  expect(tunnel.sockets).toHaveLength(1);
  expect(states).toHaveLength(before);
});
