import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { decodeRelayDatagram, encodeRelayDatagram } from "#protocol/udp-relay.ts";
import type {
  DatagramEgress,
  DatagramEvent,
  DatagramSink,
  OpenDatagrams,
  Refused,
} from "../../../durable-objects/gateway/flow.ts";
import { GuardedDatagrams, noDatagrams } from "../../../durable-objects/gateway/guarded-datagrams.ts";
import type { Admission } from "../../../durable-objects/gateway/guarded-egress.ts";
import { UdpRelayClient } from "../../../durable-objects/gateway/udp-relay-client.ts";

/** What a door is told: answers as text, events by their kind. */
class Heard implements DatagramSink {
  readonly answers: string[] = [];
  readonly events: DatagramEvent[] = [];
  onReply(from: { address: string; port: number }, to: { port: number }, payload: Uint8Array): void {
    this.answers.push(`${from.address}:${from.port} ${to.port} ${Buffer.from(payload).toString()}`);
  }
  onEvent(event: DatagramEvent): void {
    this.events.push(event);
  }
  get kinds(): string[] {
    return this.events.map(({ kind }) => kind);
  }
}
const guest = (port = 4000, address = "10.0.2.15") => ({ address, port });
const world = (port = 53_000, address = "192.0.2.1") => ({ address, port });
const bytes = (text: string): Uint8Array => Buffer.from(text);
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe("the client's end of a relay's /udp", () => {
  /** A client whose socket is asked for and given by hand. */
  function rig() {
    const clock = { now: 1000 };
    const sent: (Uint8Array | string)[] = [];
    let [connects, closes] = [0, 0];
    const client = new UdpRelayClient({ now: () => clock.now, connect: () => void connects++ });
    const outlet = {
      send: (message: Uint8Array | string) => void sent.push(message),
      close: () => void closes++,
    };
    const ready = (more: object = {}): void => {
      client.onOpen(outlet);
      client.onMessage(JSON.stringify({ type: "ready", sessionId: "s", ...more }));
    };
    const heard = new Heard();
    const door = client.open(heard);
    const sentBytes = (): number =>
      sent.reduce((sum, message) => sum + (typeof message === "string" ? 0 : message.length), 0);
    return {
      client,
      clock,
      door,
      heard,
      outlet,
      ready,
      sent,
      sentBytes,
      counts: () => ({ connects, closes }),
    };
  }

  test("keeps 64 datagrams for the socket to come, and opens one socket for all", () => {
    const { door, ready, sent, counts } = rig();
    for (let i = 0; i < 100; i++) expect(door.send(guest(), world(), bytes(`${i}`))).toBeNull();
    ready();
    expect([sent.length, counts().connects]).toEqual([64, 1]);
    const first = decodeRelayDatagram(sent[0] as Uint8Array)!;
    expect([first.version, first.guestPort, first.remotePort]).toEqual([2, 4000, 53_000]);
  });

  test("a relay that never says that it is ready is given up, and its guests hear it", () => {
    const { client, clock, door, heard, outlet, counts } = rig();
    door.send(guest(), world(), bytes("x"));
    client.onOpen(outlet);
    clock.now += 10_000;
    client.onTime();
    expect([heard.kinds, counts().closes]).toEqual([["refused"], 1]);
    expect(door.send(guest(), world(), bytes("x"))?.code).toBe("no-relay");
    clock.now += 5000;
    expect(door.send(guest(), world(), bytes("x"))).toBeNull();
    expect(counts().connects).toBe(2);
  });

  test("gives each guest a port of its own, and each its answers", () => {
    const { client, door, heard, ready, sent } = rig();
    const other = new Heard();
    const second = client.open(other);
    door.send(guest(), world(), bytes("x"));
    ready();
    second.send(guest(), world(), bytes("y"));
    door.send(guest(4000, "10.0.2.16"), world(), bytes("z"));
    const ports = sent.map((message) => decodeRelayDatagram(message as Uint8Array)!.guestPort);
    expect([ports[0], new Set(ports).size]).toEqual([4000, 3]);
    for (const [at, guestPort] of ports.entries())
      client.onMessage(
        encodeRelayDatagram({
          version: 2,
          guestPort,
          remoteIp: Uint8Array.of(192, 0, 2, 1),
          remotePort: 53_000,
          payload: bytes(`to ${at}`),
        })!,
      );
    expect(heard.answers).toEqual(["192.0.2.1:53000 4000 to 0", "192.0.2.1:53000 4000 to 2"]);
    expect(other.answers).toEqual(["192.0.2.1:53000 4000 to 1"]);
  });

  test("sends 1 MiB beyond what the relay's PONG confirms and drops the rest", () => {
    const { client, door, ready, sent, sentBytes } = rig();
    door.send(guest(), world(), bytes("x"));
    ready({ pings: true, maxPayloadBytes: 65_507 });
    const payload = new Uint8Array(60_000);
    for (let i = 0; i < 100; i++) door.send(guest(), world(), payload);
    const most = 2 ** 20 + 61_000;
    expect(sentBytes()).toBeGreaterThan(2 ** 20 - 61_000);
    expect(sentBytes()).toBeLessThan(most);
    expect(sent.filter((message) => typeof message === "string")).toEqual(['{"type":"ping"}']);
    client.onMessage('{"type":"pong"}');
    for (let i = 0; i < 100; i++) door.send(guest(), world(), payload);
    expect(sentBytes()).toBeLessThan(2 * most);
    expect(client.counts.dropped).toBeGreaterThan(150);
  });

  test("to a relay that answers no pings: 256 KiB a second, and 1,200 bytes a payload", () => {
    const { clock, door, ready, sentBytes } = rig();
    door.send(guest(), world(), bytes("x"));
    ready();
    door.send(guest(), world(), new Uint8Array(1201));
    expect(sentBytes()).toBeLessThan(20);
    const flood = (): void => {
      for (let i = 0; i < 1000; i++) door.send(guest(), world(), new Uint8Array(1200));
    };
    flood();
    expect(sentBytes()).toBeLessThanOrEqual(256 * 1024);
    clock.now += 500;
    flood();
    expect(sentBytes()).toBeLessThanOrEqual(384 * 1024);
    expect(sentBytes()).toBeGreaterThan(380 * 1024);
  });

  test("1,024 ports at a time, each for a minute of silence; a door that closes gives up its own", () => {
    const { client, clock, door, heard, ready } = rig();
    door.send(guest(1), world(), bytes("x"));
    ready();
    for (let port = 2; port <= 1024; port++) expect(door.send(guest(port), world(), bytes("x"))).toBeNull();
    expect(door.send(guest(1025), world(), bytes("x"))?.code).toBe("too-many-flows");
    clock.now += 60_000;
    expect(door.send(guest(1025), world(), bytes("x"))).toBeNull();
    expect(client.isIdle).toBe(false);
    door.close();
    expect([client.isIdle, heard.events]).toEqual([true, []]);
  });

  test("tells whom a refusal of the relay is about", () => {
    const { client, door, heard, ready } = rig();
    door.send(guest(), world(), bytes("x"));
    ready();
    const ends = { guestPort: 4000, address: "192.0.2.1", port: 53_000 };
    client.onMessage(
      JSON.stringify({ type: "error", code: "unsupported_destination", message: "no", ...ends }),
    );
    expect(heard.events).toMatchObject([
      { kind: "refused", from: guest(), to: world(), why: { refusal: "prohibited" } },
    ]);
  });

  test("whatever a relay says, it throws nothing", () => {
    fc.assert(
      fc.property(
        fc.array(fc.oneof(fc.uint8Array({ maxLength: 40 }), fc.string({ maxLength: 80 }), fc.json()), {
          maxLength: 30,
        }),
        (messages) => {
          const { client, door, heard, outlet } = rig();
          client.onOpen(outlet);
          for (const message of messages) {
            client.onMessage(message);
            door.send(guest(), world(), bytes("x"));
            client.onTime();
          }
          client.onClosed();
          expect(heard.events.length).toBeLessThanOrEqual(2 * messages.length);
        },
      ),
      { numRuns: 500 },
    );
  });
});

describe("the guard of datagrams", () => {
  const away: Refused = { refusal: "prohibited", code: "denied-port", sentence: "No." };
  function rig(verdict: () => Partial<Admission> | Refused = () => ({})) {
    const clock = { now: 1000 };
    const passed: string[] = [];
    const over: number[][] = [];
    let [asked, inner] = [0, undefined as DatagramSink | undefined];
    const next: OpenDatagrams = (sink) => {
      inner = sink;
      const egress: DatagramEgress = {
        send: (from, to, payload) => {
          passed.push(`${from.port} ${to.address}:${to.port} ${Buffer.from(payload).toString()}`);
          return null;
        },
        close: () => {},
      };
      return egress;
    };
    const admitDatagrams = async ({
      host,
      port,
    }: {
      host: string;
      port: number;
    }): Promise<Admission | Refused> => {
      asked++;
      const said = verdict();
      if ("refusal" in said) return said;
      const onClosed = (...counts: (number | string)[]): void =>
        void over.push(counts.slice(0, 2) as number[]);
      return { via: "relay", host, port, onDialled() {}, onBytes: () => true, onClosed, ...said };
    };
    const guard = new GuardedDatagrams({ admitDatagrams }, next, () => clock.now);
    const heard = new Heard();
    const door = guard.open(heard);
    return { guard, clock, passed, over, door, heard, asked: () => asked, inner: () => inner! };
  }

  test("asks once for each conversation, and holds eight datagrams until it knows", async () => {
    const { door, passed, heard, asked } = rig();
    for (let i = 0; i < 12; i++) door.send(guest(), world(), bytes(`${i}`));
    expect(passed).toEqual([]);
    await turn();
    expect([passed.length, asked(), heard.kinds]).toEqual([8, 1, ["opened"]]);
    door.send(guest(), world(), bytes("more"));
    expect(passed.at(-1)).toBe("4000 192.0.2.1:53000 more");
  });

  test("a guest that says by ICMP that it does not listen ends the conversation, and that one only", async () => {
    const { door, heard, over, asked } = rig();
    door.send(guest(), world(), bytes("x"));
    door.send(guest(4001), world(), bytes("x"));
    await turn();
    door.unheard!(guest(), world());
    door.unheard!(guest(9), world());
    await turn();
    expect([heard.kinds, over.length]).toEqual([["opened", "opened", "closed"], 1]);
    door.send(guest(), world(), bytes("again"));
    await turn();
    expect(asked()).toBe(3);
  });

  test("a refusal is told once and remembered for ten seconds", async () => {
    const { door, clock, heard, asked } = rig(() => away);
    door.send(guest(), world(), bytes("x"));
    await turn();
    expect(heard.kinds).toEqual(["refused"]);
    for (let i = 0; i < 5; i++) expect(door.send(guest(), world(), bytes("x"))).toBe(away);
    expect([asked(), heard.events.length]).toEqual([1, 1]);
    clock.now += 10_000;
    expect(door.send(guest(), world(), bytes("x"))).toBeNull();
    await turn();
    expect(asked()).toBe(2);
  });

  test("nobody answers who was not written to, and answers come from where the guest wrote to", async () => {
    const { door, inner, heard } = rig(() => ({ host: "127.0.0.1" }));
    door.send(guest(), world(7, "198.18.0.1"), bytes("x"));
    await turn();
    inner().onReply(world(7, "127.0.0.1"), guest(), bytes("yes"));
    inner().onReply(world(8, "127.0.0.1"), guest(), bytes("no"));
    inner().onReply(world(7, "127.0.0.1"), guest(4001), bytes("no"));
    expect(heard.answers).toEqual(["198.18.0.1:7 4000 yes"]);
  });

  test("a minute of silence ends a conversation with its numbers; who has no bytes left is cut off", async () => {
    let allowed = 5;
    const { guard, door, clock, inner, heard, over } = rig(() => ({
      onBytes: (count) => (allowed -= count) >= 0,
    }));
    door.send(guest(), world(), bytes("abc"));
    await turn();
    inner().onReply(world(), guest(), bytes("de"));
    clock.now += 60_000;
    guard.onTime();
    await turn();
    expect([over, heard.events.at(-1)]).toMatchObject([
      [[3, 2]],
      { kind: "closed", sentBytes: 3, receivedBytes: 2 },
    ]);
    door.send(guest(), world(), bytes("f"));
    await turn();
    expect([guard.count, over.length, heard.kinds.at(-1)]).toEqual([
      0,
      2,
      expect.stringMatching(/closed|refused/),
    ]);
  });

  test("1,024 conversations: the one that was silent longest makes room", async () => {
    const { guard, door, over } = rig();
    for (let port = 1; port <= 1030; port++) door.send(guest(port), world(), bytes("x"));
    await turn();
    for (let port = 2000; port < 2010; port++) door.send(guest(port), world(), bytes("x"));
    await turn();
    expect([guard.count, over.length]).toEqual([1024, 16]);
  });

  test("without a relay every conversation is refused in the same words", async () => {
    const heard = new Heard();
    const door = noDatagrams(() => 0)(heard);
    door.send(guest(), world(), bytes("x"));
    await turn();
    expect(heard.events).toMatchObject([{ kind: "refused", why: { code: "no-udp", refusal: "refused" } }]);
    expect(door.send(guest(), world(), bytes("x"))?.code).toBe("no-udp");
  });
});
