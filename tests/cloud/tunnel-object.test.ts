import { SELF, evictDurableObject, runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { describe, expect, test } from "vitest";
import { decodeAeroL2, encodeAeroL2, pingPayload } from "#protocol/aero-l2.ts";
import { type L2Message, decodeL2, encodeL2, l2Limits } from "#protocol/virga-l2.ts";
import { lanDefaults } from "../../durable-objects/net/lan.ts";

/** The Tunnel object by itself: what it stores, which alarms it sets, and what its sockets find after it has slept. */
const origin = "http://localhost:8787";

/** One socket of a visitor, and the object behind it. */
class Visit {
  readonly #queue: Uint8Array[] = [];
  #wake = (): void => {};
  closed: number | undefined;
  readonly cookie: string;
  readonly socket: WebSocket;

  private constructor(cookie: string, socket: WebSocket) {
    this.cookie = cookie;
    this.socket = socket;
    socket.binaryType = "arraybuffer";
    socket.addEventListener("message", ({ data }) => {
      this.#queue.push(new Uint8Array(data as ArrayBuffer));
      this.#wake();
    });
    socket.addEventListener("close", ({ code }) => {
      this.closed = code;
      this.#wake();
    });
    socket.accept();
  }

  static async open(path: string, protocol: string, cookie?: string): Promise<Visit> {
    const session = cookie ?? (await SELF.fetch(`${origin}/session`, { method: "POST" })).headers;
    const shown = typeof session === "string" ? session : session.get("set-cookie")!.split(";")[0]!;
    const headers = { upgrade: "websocket", "sec-websocket-protocol": protocol, cookie: shown, origin };
    const { webSocket, status } = await SELF.fetch(origin + path, { headers });
    if (!webSocket) throw new Error(`refused with ${status}`);
    return new Visit(shown, webSocket);
  }

  get stub() {
    const token = this.cookie.slice("aero_session=".length).split(".")[0]!;
    const { sid } = JSON.parse(atob(token.replaceAll("-", "+").replaceAll("_", "/"))) as { sid: string };
    return env.TUNNEL.getByName(sid);
  }
  alarm(): Promise<number | null> {
    return runInDurableObject(this.stub, (_, { storage }) => storage.getAlarm());
  }
  /** What the object keeps beside its socket. */
  attachment(): Promise<Record<string, unknown>> {
    return runInDurableObject(this.stub, (_, state) => {
      const [socket] = state.getWebSockets();
      return socket!.deserializeAttachment() as Record<string, unknown>;
    });
  }
  async next(): Promise<Uint8Array | undefined> {
    while (this.#queue.length === 0 && this.closed === undefined)
      await new Promise<void>((resolve) => (this.#wake = resolve));
    return this.#queue.shift();
  }
  /** The next message of this type. */
  async nextL2<T extends L2Message["type"]>(type: T): Promise<Extract<L2Message, { type: T }>> {
    for (let bytes = await this.next(); bytes; bytes = await this.next()) {
      const message = decodeL2(bytes);
      if (message.ok && message.value.type === type) return message.value as Extract<L2Message, { type: T }>;
    }
    throw new Error(`closed with ${this.closed} before ${type}`);
  }
}

const nobody = new Uint8Array(16);
/** Until it is so. */
async function until(isSo: () => Promise<boolean>): Promise<void> {
  while (!(await isSo())) await new Promise((resolve) => setTimeout(resolve, 20));
}
async function enter(): Promise<{ visit: Visit; session: Uint8Array }> {
  const visit = await Visit.open("/l2", "virga-l2-v1");
  visit.socket.send(encodeL2.hello(nobody, 0));
  const { session, resumed } = await visit.nextL2("welcome");
  expect(resumed).toBe(false);
  return { visit, session };
}

/** Who has the gateway's address? (RFC 826) */
function arpRequest(): Uint8Array {
  const frame = new Uint8Array(42);
  frame.set([255, 255, 255, 255, 255, 255, 2, 0, 0, 0, 0, 9, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1]);
  frame.set([2, 0, 0, 0, 0, 9, 10, 0, 2, 15], 22);
  frame.set([10, 0, 2, 2], 38);
  return frame;
}

const heard = (received: number) => ({ received, credit: l2Limits.creditBytes });

describe("a virga-l2-v1 session", () => {
  test("leaves its numbers with its socket when it is quiet, and goes on after the object has slept", async () => {
    const { visit, session } = await enter();
    visit.socket.send(encodeL2.frames(0, heard(0), [arpRequest()]));
    const { frames } = await visit.nextL2("frames");
    expect([...frames[0]!.subarray(22, 28)]).toEqual([...lanDefaults.gatewayMac]);
    // The answer is under way until it is acknowledged: nothing is left with the socket that could be gone on with.
    visit.socket.send(encodeL2.ack(heard(1)));
    await until(async () => (await visit.attachment())["snapshot"] !== undefined);
    expect(await visit.alarm()).toBeNull();

    await evictDurableObject(visit.stub);
    expect(visit.closed).toBeUndefined();
    visit.socket.send(encodeL2.frames(1, heard(1), [arpRequest()]));
    const again = await visit.nextL2("frames");
    expect([again.first, again.frames.length]).toEqual([1, 1]);
    visit.socket.send(encodeL2.ack(heard(2)));

    // A second socket takes the session over.
    const next = await Visit.open("/l2", "virga-l2-v1", visit.cookie);
    next.socket.send(encodeL2.hello(session, 2));
    const welcome = await next.nextL2("welcome");
    expect([welcome.resumed, [...welcome.session], welcome.received]).toEqual([true, [...session], 2]);
    next.socket.close();
  });

  test("that was not quiet is told to begin anew: 1012", async () => {
    const { visit, session } = await enter();
    visit.socket.send(encodeL2.frames(0, heard(0), [arpRequest()]));
    await visit.nextL2("frames");
    expect((await visit.attachment())["snapshot"]).toBeUndefined();
    await evictDurableObject(visit.stub);
    // Anything wakes it.
    visit.socket.send(encodeL2.ping(new Uint8Array(8)));
    while ((await visit.next()) !== undefined);
    expect(visit.closed).toBe(1012);
    const next = await Visit.open("/l2", "virga-l2-v1", visit.cookie);
    next.socket.send(encodeL2.hello(session, 1));
    expect((await next.nextL2("welcome")).resumed).toBe(false);
    next.socket.close();
  });
});

describe("aero-l2-tunnel-v1 with an idle timeout", () => {
  test("waits by alarm and not by timer, sleeps, wakes, and waits on", async () => {
    const visit = await Visit.open("/l2", "aero-l2-tunnel-v1");
    visit.socket.send(encodeAeroL2.frame(arpRequest()));
    expect(decodeAeroL2((await visit.next())!)).toMatchObject({ ok: true, value: { type: "frame" } });
    await until(async () => (await visit.alarm()) !== null);
    await evictDurableObject(visit.stub);
    // Too early: the object looks, and sets the alarm again.
    expect(await runDurableObjectAlarm(visit.stub)).toBe(true);
    await until(async () => (await visit.alarm()) !== null);
    expect(visit.closed).toBeUndefined();
    visit.socket.send(encodeAeroL2.ping(pingPayload(5n)));
    expect(await visit.next()).toEqual(encodeAeroL2.pong(pingPayload(5n)));
    visit.socket.close();
  });
});

test("a socket that goes leaves nothing behind: no timer, no alarm, no attachment", async () => {
  const visit = await Visit.open("/tcp-mux", "aero-tcp-mux-v1");
  expect((await visit.stub.metrics()).sockets).toBe(1);
  visit.socket.close(1000);
  await until(async () => (await visit.stub.metrics()).sockets === 0);
  expect(await visit.alarm()).toBeNull();
});
