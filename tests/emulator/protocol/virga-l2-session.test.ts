import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { decodeL2, encodeL2, frameCost, framesRoom, l2Limits } from "#protocol/virga-l2";
import { type L2Options, type L2Snapshot, L2Session } from "#protocol/virga-l2-session";
import { valueOf } from "../../support/outcome.ts";
import { seededRandom } from "../../support/seeded-random.ts";

const id = (fill: number) => new Uint8Array(16).fill(fill);
/** A frame that says which one it is. */
function frame(number: number, length = 60): Uint8Array {
  const bytes = new Uint8Array(length);
  new DataView(bytes.buffer).setUint32(0, number);
  return bytes;
}
/** What a peer says that has received nothing. */
const none = { received: 0, credit: l2Limits.creditBytes };
const numberOf = (bytes: Uint8Array): number =>
  new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getUint32(0);
const numbers = (count: number): number[] => Array.from({ length: count }, (_, number) => number);
const words = (messages: Uint8Array[]): string[] =>
  messages.map((message) => {
    const read = valueOf(decodeL2(message));
    switch (read.type) {
      case "hello":
        return `HELLO ${read.session[0]} received ${read.received}`;
      case "welcome":
        return `WELCOME ${read.session[0]} ${read.resumed ? "resumed" : "new"} received ${read.received} credit ${read.credit}`;
      case "frames":
        return `FRAMES ${read.first}+${read.frames.length}`;
      case "ack":
        return `ACK ${read.received} credit ${read.credit}`;
      case "bye":
        return `BYE ${read.code}`;
      default:
        return read.type.toUpperCase();
    }
  });
/** Gives messages to a session and answers the frames' own numbers. */
const give = (to: L2Session, messages: Uint8Array[], nowMs = 0): number[] =>
  messages.flatMap((message) => {
    const got = to.onMessage(message, nowMs);
    expect(got.fault).toBeUndefined();
    const taken = got.frames.reduce((sum, bytes) => sum + frameCost(bytes), 0);
    to.consume(taken, nowMs);
    return got.frames.map(numberOf);
  });

/** Two ends that have greeted each other. */
function pair(client: Partial<L2Options> = {}, server: Partial<L2Options> = {}) {
  const ends = { client: new L2Session("client", client), server: new L2Session("server", server) };
  greet(ends, 7);
  return ends;
}
function greet({ client, server }: { client: L2Session; server: L2Session }, fresh: number, nowMs = 0) {
  client.attach();
  server.attach(id(fresh));
  const hello = client.flush(nowMs);
  give(server, hello, nowMs);
  const welcome = server.flush(nowMs);
  give(client, welcome, nowMs);
  return [...words(hello), ...words(welcome)];
}

describe("a session", () => {
  test("begins with HELLO and WELCOME; what was queued before goes with the first flush", () => {
    const client = new L2Session("client");
    const server = new L2Session("server");
    expect(client.queue(frame(0))).toBe(true);
    expect(greet({ client, server }, 7)).toEqual([
      "HELLO 0 received 0",
      "WELCOME 7 new received 0 credit 1048576",
    ]);
    expect([client.sessionId, server.sessionId]).toEqual(["07".repeat(16), "07".repeat(16)]);
    const sent = client.flush(1);
    expect(words(sent)).toEqual(["FRAMES 0+1"]);
    expect(give(server, sent, 1)).toEqual([0]);
  });

  test("acknowledges after 20 ms, after 64 frames, or with frames of its own", () => {
    const { client, server } = pair();
    client.queue(frame(0));
    give(server, client.flush(10), 10);
    expect(server.pollAt()).toBe(30);
    expect(server.flush(29)).toEqual([]);
    expect(words(server.flush(30))).toEqual(["ACK 1 credit 1048638"]);
    expect(server.isQuiet).toBe(true);
    for (const number of numbers(64)) client.queue(frame(number));
    give(server, client.flush(40), 40);
    expect(words(server.flush(40))).toEqual(["ACK 65 credit 1052606"]);
    client.queue(frame(65));
    give(server, client.flush(50), 50);
    server.queue(frame(0));
    const [both] = server.flush(50);
    expect(valueOf(decodeL2(both!))).toMatchObject({ type: "frames", received: 66, credit: 1_052_668 });
    expect(server.isQuiet).toBe(false);
    expect(server.pollAt()).toBeUndefined();
  });

  test("a turn's frames go together at its end, however much is under way", () => {
    const { client } = pair();
    client.queue(frame(0, 1514));
    expect(words(client.flush(0))).toEqual(["FRAMES 0+1"]);
    for (const number of numbers(10)) client.queue(frame(number, 1514));
    expect(words(client.flush(0))).toEqual(["FRAMES 1+10"]);
    client.queue(frame(11));
    client.queue(frame(12));
    expect(words(client.flush(0))).toEqual(["FRAMES 11+2"]);
    expect(client.pollAt()).toBeUndefined();
  });

  test("fills messages up to 65,536 bytes and not further", () => {
    const { client, server } = pair();
    for (const number of numbers(100)) client.queue(frame(number, 1514));
    const sent = client.flush(0, true);
    for (const message of sent) expect(message.length).toBeLessThanOrEqual(65_536);
    expect(words(sent)).toEqual(["FRAMES 0+43", "FRAMES 43+43", "FRAMES 86+14"]);
    expect(give(server, sent)).toEqual(numbers(100));
  });

  test("makes long messages in the same memory again where the host's send copies, and short ones never", () => {
    const { client, server } = pair({ isCopied: true });
    const turn = (first: number): Uint8Array<ArrayBuffer>[] => {
      for (const number of numbers(100)) client.queue(frame(first + number, 1514));
      const sent = client.flush(0, true);
      expect(give(server, sent)).toEqual(numbers(100).map((number) => first + number));
      give(client, server.flush(0));
      return sent;
    };
    const [before, after] = [turn(0), turn(100)];
    expect(after.map(({ buffer }, at) => buffer === before[at]!.buffer)).toEqual([true, true, true]);
    expect(new Set(after.map(({ buffer }) => buffer)).size).toBe(3);
    client.queue(frame(200));
    const [short] = client.flush(0, true);
    expect(short!.buffer.byteLength).toBe(short!.length);
  });

  test("sends what credit allows, refuses what its queue does not hold, and goes on when the host consumes", () => {
    const { client, server } = pair({ queueBytes: 100_000 }, { receiveBytes: 262_144 });
    let taken = 0;
    for (const number of numbers(1000)) {
      if (!client.queue(frame(number, 998))) break;
      taken++;
      client.flush(0, true).forEach((message) => server.onMessage(message, 0));
    }
    expect(taken).toBe(262 + 100);
    expect(client.hasRoom).toBe(false);
    expect(client.heldBytes).toBe(362_000);
    // Acknowledged but not consumed: the credit stays where it was.
    const stalled = server.flush(0);
    expect(words(stalled)).toEqual(["ACK 262 credit 262144"]);
    give(client, stalled);
    expect(client.heldBytes).toBe(100_000);
    expect(client.flush(0, true)).toEqual([]);
    server.consume(100_000, 0);
    const opened = server.flush(0);
    expect(words(opened)).toEqual(["ACK 262 credit 362144"]);
    give(client, opened);
    expect(words(client.flush(0, true))).toEqual(["FRAMES 262+65", "FRAMES 327+35"]);
  });

  test("a peer that gives credit and never acknowledges cannot make it keep more than its own bound", () => {
    const client = new L2Session("client", { replayBytes: 100_000, queueBytes: 50_000 });
    client.attach();
    const greeting = { resumed: false, received: 0, credit: 2 ** 20, mtu: 1500 };
    client.onMessage(encodeL2.welcome({ session: id(1), ...greeting }), 0);
    for (const number of numbers(500)) {
      client.queue(frame(number, 998));
      client.flush(0, true);
    }
    expect(client.heldBytes).toBe(150_000);
  });

  test("answers PING and tells the host of PONG, NOTICE and BYE", () => {
    const { client, server } = pair();
    client.ping(frame(9, 8));
    give(server, client.flush(0));
    expect(server.notify('{"type":"x"}')).toBe(true);
    const [pong, notice] = server.flush(0);
    expect(client.onMessage(pong!, 0).pong).toEqual(frame(9, 8));
    expect(client.onMessage(notice!, 0).notice).toBe('{"type":"x"}');
    expect(client.onMessage(encodeL2.bye(7, "Going."), 0).bye).toEqual({ code: 7, sentence: "Going." });
    expect(client.onMessage(encodeL2.ack({ received: 0, credit: 0 }), 0)).toEqual({ frames: [] });
    expect(client.notify("{}")).toBe(false);
  });

  test("a peer that asks and asks gets 8 PONGs, and 20 more a second", () => {
    const { client, server } = pair();
    let pongs = 0;
    const ask = (count: number, nowMs: number): void => {
      for (let turn = 0; turn < count; turn++) {
        server.onMessage(encodeL2.ping(frame(9, 8)), nowMs);
        pongs += server.flush(nowMs).filter((message) => client.onMessage(message, nowMs).pong).length;
      }
    };
    ask(1000, 1000);
    expect(pongs).toBe(8);
    ask(1000, 1049);
    expect(pongs).toBe(8);
    ask(1000, 1050);
    expect(pongs).toBe(9);
    ask(1000, 61_000);
    expect(pongs).toBe(17);
    expect(server.isQuiet).toBe(true);
  });

  test("drops frames that no Ethernet has", () => {
    const { client } = pair();
    expect(client.queue(new Uint8Array(13))).toBe(true);
    expect(client.queue(new Uint8Array(l2Limits.frameMaxBytes + 1))).toBe(true);
    expect(client.flush(0)).toEqual([]);
  });
});

describe("a lost socket", () => {
  test("loses nothing and doubles nothing, wherever the way there and the way back were cut", () => {
    for (let cut = 0; cut <= 6; cut++)
      for (let acks = 0; acks <= 2; acks++) {
        const ends = pair();
        const sent = numbers(6).map((number) => {
          ends.client.queue(frame(number));
          return ends.client.flush(0, true);
        });
        const first = sent.slice(0, cut).flatMap((messages) => give(ends.server, messages));
        const back = ends.server.flush(0, true);
        if (acks > 0) give(ends.client, back.slice(0, acks));
        ends.client.detach(5);
        ends.server.detach(5);
        expect(ends.client.queue(frame(6))).toBe(true);
        const greeting = greet(ends, 8, 100);
        expect(greeting).toEqual([
          "HELLO 7 received 0",
          `WELCOME 7 resumed received ${cut} credit ${l2Limits.creditBytes + 62 * cut}`,
        ]);
        const rest = give(ends.server, ends.client.flush(100, true), 100);
        expect([...first, ...rest], `cut ${cut} acks ${acks}`).toEqual(numbers(7));
      }
  });

  test("both ways at once, with the old message arriving again in part", () => {
    const ends = pair();
    for (const number of numbers(4)) ends.server.queue(frame(number));
    const [batch] = ends.server.flush(0);
    expect(give(ends.client, [batch!])).toEqual(numbers(4));
    ends.client.detach(0);
    ends.server.detach(0);
    greet(ends, 8);
    expect(ends.server.flush(0, true)).toEqual([]);
    ends.server.queue(frame(4));
    ends.server.queue(frame(5));
    // A server that is behind repeats two frames that the client has.
    const repeat = encodeL2.frames(2, none, [frame(2), frame(3), frame(4), frame(5)]);
    expect(give(ends.client, [repeat])).toEqual([4, 5]);
  });

  test("after 60 s the session is a new one, and only what was never sent goes over", () => {
    const ends = pair();
    ends.client.queue(frame(0));
    ends.client.flush(0);
    ends.client.queue(frame(1));
    ends.client.detach(1000);
    ends.server.detach(1000);
    expect([ends.server.isExpired(61_000), ends.server.isExpired(61_001)]).toEqual([false, true]);
    expect(greet(ends, 9, 61_001)).toEqual(["HELLO 7 received 0", "WELCOME 9 new received 0 credit 1048576"]);
    expect(give(ends.server, ends.client.flush(61_001, true), 61_001)).toEqual([1]);
  });

  test("a server that knows nothing of the session begins a new one", () => {
    const ends = pair();
    ends.client.detach(0);
    const server = new L2Session("server");
    expect(greet({ client: ends.client, server }, 3)[1]).toMatch(/^WELCOME 3 new/);
    expect(ends.client.sessionId).toBe("03".repeat(16));
  });

  test("a client whose session the server remembers wrongly asks for a new one the next time", () => {
    const { client } = pair();
    client.detach(0);
    client.attach();
    client.flush(0);
    const wrong = { session: id(7), resumed: true, received: 5, credit: 262_144, mtu: 1500 };
    expect(client.onMessage(encodeL2.welcome(wrong), 0).fault).toMatch(/WELCOME/);
    expect(client.flush(0)).toEqual([]);
    client.detach(0);
    client.attach();
    expect(words(client.flush(0))).toEqual(["HELLO 0 received 0"]);
  });
});

describe("a sleeping object", () => {
  test("goes on from its snapshot, which is small and outlives JSON", () => {
    const { client, server } = pair();
    for (const number of numbers(3)) client.queue(frame(number));
    give(server, client.flush(0));
    server.queue(frame(0));
    give(client, server.flush(0, true));
    const text = JSON.stringify(server.snapshot());
    expect(text.length).toBeLessThan(400);
    const woken = L2Session.restore("server", {}, JSON.parse(text) as L2Snapshot);
    // The client's ACK of a frame that the woken server no longer has.
    give(woken, client.flush(20));
    client.queue(frame(3));
    expect(give(woken, client.flush(20, true))).toEqual([3]);
    woken.queue(frame(1));
    expect(give(client, woken.flush(40))).toEqual([1]);
  });

  test("cannot resume what it no longer has", () => {
    const { client, server } = pair();
    server.queue(frame(0));
    server.flush(0);
    const woken = L2Session.restore("server", {}, server.snapshot()!);
    client.detach(0);
    expect(greet({ client, server: woken }, 5)[1]).toMatch(/^WELCOME 5 new/);
  });
});

describe("a hostile peer", () => {
  const faults: [string, (server: L2Session) => Uint8Array | string][] = [
    ["text", () => "hello"],
    ["an unknown type", () => Uint8Array.of(99)],
    ["an oversized message", () => new Uint8Array(65_537).fill(3)],
    ["a gap", () => encodeL2.frames(1, none, [frame(0)])],
    ["an ACK of the future", () => encodeL2.ack({ received: 1, credit: none.credit })],
    ["credit that shrinks", () => encodeL2.ack({ received: 0, credit: none.credit - 1 })],
    ["credit beyond all windows", () => encodeL2.ack({ received: 0, credit: 2 ** 20 + 1 })],
    ["a second HELLO", () => encodeL2.hello(id(0), 0)],
    ["a NOTICE", () => encodeL2.notice("{}")!],
  ];
  test.each(faults)("%s ends in BYE(1)", (_, make) => {
    const { server } = pair();
    expect(server.onMessage(make(server), 0).fault).toMatch(/\w/);
    expect(words(server.flush(0))).toEqual(["BYE 1"]);
    expect(server.onMessage(encodeL2.frames(0, none, [frame(0)]), 0)).toEqual({ frames: [] });
    expect(server.isOpen).toBe(false);
  });

  test.each([
    ["FRAMES", encodeL2.frames(0, none, [frame(0)])],
    ["WELCOME", encodeL2.welcome({ session: id(1), resumed: false, received: 0, credit: 0, mtu: 1500 })],
  ])("%s before HELLO is refused", (_, message) => {
    const server = new L2Session("server");
    server.attach(id(1));
    expect(server.onMessage(message, 0).fault).toMatch(/first message/);
  });

  test("credit exceeded by one byte", () => {
    const { server } = pair({}, { receiveBytes: framesRoom });
    const full = Math.floor(framesRoom / 2050);
    const first = encodeL2.frames(
      0,
      none,
      numbers(full).map((number) => frame(number, 2048)),
    );
    expect(server.onMessage(first, 0).frames).toHaveLength(full);
    const rest = framesRoom - full * 2050;
    expect(server.onMessage(encodeL2.frames(full, none, [frame(0, rest - 2)]), 0).fault).toBeUndefined();
    expect(server.onMessage(encodeL2.frames(full + 1, none, [frame(0, 14)]), 0).fault).toMatch(/credit/);
  });

  test("a flood of PINGs and notices is bounded", () => {
    const { server } = pair();
    for (let count = 0; count < 1000; count++) {
      server.onMessage(encodeL2.ping(new Uint8Array(8)), 0);
      server.notify("{}");
    }
    expect(server.flush(0)).toHaveLength(8 + 64);
  });

  test("any sequence of messages leaves a session that never throws and keeps no more than its bounds", () => {
    const anyMessage = fc.oneof(
      fc.uint8Array({ maxLength: 64 }),
      fc.tuple(fc.nat(6), fc.integer({ min: 1, max: 4 })).map(([first, count]) =>
        encodeL2.frames(
          first,
          { received: count, credit: 600_000 * count },
          numbers(count).map((number) => frame(number)),
        ),
      ),
      fc.tuple(fc.nat(4), fc.nat(600_000)).map(([received, credit]) => encodeL2.ack({ received, credit })),
      fc.tuple(fc.nat(8), fc.nat(4)).map(([fill, received]) => encodeL2.hello(id(fill), received)),
      fc
        .record({ received: fc.nat(4), credit: fc.nat(2 ** 21), mtu: fc.nat(65535), resumed: fc.boolean() })
        .map((welcome) => encodeL2.welcome({ session: id(7), ...welcome })),
      fc.string(),
    );
    fc.assert(
      fc.property(fc.constantFrom("client", "server"), fc.array(anyMessage), (side, messages) => {
        const session = new L2Session(side, { queueBytes: 10_000 });
        session.attach(id(7));
        for (const [at, message] of messages.entries()) {
          const got = session.onMessage(message, at);
          session.queue(frame(at));
          session.flush(at);
          if (got.fault ?? got.bye) {
            session.detach(at);
            session.attach(id(at % 256));
          }
          expect(session.heldBytes).toBeLessThanOrEqual(10_000 + l2Limits.creditBytes);
        }
      }),
      { numRuns: 500 },
    );
  });
});

/** Both ways, over sockets that break anywhere: what was queued arrives once and in order. */
function simulate(seed: number, start: L2Snapshot | undefined) {
  const random = seededRandom(seed);
  const options = { queueBytes: 20_000, replayBytes: 65_600, receiveBytes: 70_000 };
  const made = (side: "client" | "server") =>
    start ? L2Session.restore(side, options, start) : new L2Session(side, options);
  const ends = { client: made("client"), server: made("server") };
  const wire = { client: [] as Uint8Array[], server: [] as Uint8Array[] };
  const queued = { client: 0, server: 0 };
  const got = { client: [] as number[], server: [] as number[] };
  let nowMs = 0;
  const connect = () => {
    wire.client = [];
    wire.server = [];
    for (const side of ["client", "server"] as const) ends[side].detach(nowMs);
    ends.client.attach();
    ends.server.attach(id(9));
  };
  const turn = (side: "client" | "server", breaks: boolean) => {
    const peer = side === "client" ? "server" : "client";
    const arriving = wire[side].splice(0, Math.ceil(random() * 3));
    got[side].push(...give(ends[side], arriving, nowMs));
    for (;;) {
      if (breaks && random() >= 0.7) break;
      if (queued[side] >= 400 || !ends[side].queue(frame(queued[side], 60 + Math.floor(random() * 1400))))
        break;
      queued[side]++;
    }
    wire[peer].push(...ends[side].flush(nowMs, random() < 0.2));
  };
  connect();
  for (let step = 0; step < 4000 && (got.client.length < 400 || got.server.length < 400); step++) {
    nowMs += Math.floor(random() * 5);
    if (step < 2000 && random() < 0.02) connect();
    turn(random() < 0.5 ? "client" : "server", step < 2000);
  }
  return got;
}
const everything = { client: numbers(400), server: numbers(400) };

describe("seeded simulation", () => {
  const seeds = Array.from({ length: 25 }, (_, seed) => seed + 1);
  test.each(seeds)("seed %i", (seed) => {
    expect(simulate(seed, undefined)).toEqual(everything);
  });

  const edge = { number: 0xffff_ffc0, bytes: 0xffff_8000 };
  const atWrap: L2Snapshot = {
    version: 1,
    session: "07".repeat(16),
    sent: { ...edge, underWay: 0, credit: (edge.bytes + 70_000) >>> 0 },
    received: { ...edge, credit: (edge.bytes + 70_000) >>> 0 },
  };
  test.each(seeds)("seed %i across the wrap of all counters", (seed) => {
    expect(simulate(seed, atWrap)).toEqual(everything);
  });
});
