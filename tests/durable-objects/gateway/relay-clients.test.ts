import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { TcpMuxParser, encodeTcpMux } from "#protocol/tcp-mux.ts";
import { decodeWisp, encodeWisp } from "#protocol/wisp.ts";
import type { FlowSink, Refused } from "../../../durable-objects/gateway/flow.ts";
import { HttpFlow, nextRequest } from "../../../durable-objects/gateway/http-flow.ts";
import { MuxClient } from "../../../durable-objects/gateway/mux-client.ts";
import { WispClient } from "../../../durable-objects/gateway/wisp-client.ts";

/** What a connection was told, in order. */
class Told implements FlowSink {
  readonly words: string[] = [];
  readonly pieces: Uint8Array[] = [];
  onOpen(): void {
    this.words.push("open");
  }
  onRefused({ code }: Refused): void {
    this.words.push(code);
  }
  onBytes(bytes: Uint8Array): void {
    this.pieces.push(bytes);
  }
  onEnd(): void {
    this.words.push("end");
  }
  onBroken(): void {
    this.words.push("broken");
  }
  writtenBytes = 0;
  onWritten(count: number): void {
    this.writtenBytes += count;
  }
}

class Sent {
  readonly messages: Uint8Array[] = [];
  send(message: Uint8Array | string): void {
    this.messages.push(message as Uint8Array);
  }
  close(): void {}
}

const bounds = { streamBytes: 1000, lateBytes: 100, totalBytes: 1500 };
const to = { host: "192.0.2.1", port: 80 };
const settle = (): Promise<void> => Promise.resolve();

describe("Wisp's client", () => {
  test("a stream that nobody reads is kept to its bound, then closed, and the others go on", async () => {
    const [outlet, slow, other] = [new Sent(), new Told(), new Told()];
    const client = new WispClient(outlet, () => 0, bounds);
    client.onMessage(encodeWisp.continue(0, 8));
    client.dial(to, slow);
    client.dial(to, other).grant(1000);
    await settle();
    client.onMessage(encodeWisp.data(1, new Uint8Array(1000)));
    expect(slow.words).toEqual(["open"]);
    client.onMessage(encodeWisp.data(1, new Uint8Array(1)));
    expect([slow.words.at(-1), slow.pieces]).toEqual(["broken", []]);
    expect(decodeWisp(outlet.messages.at(-1)!)).toMatchObject({ value: { type: "close", stream: 1 } });
    client.onMessage(encodeWisp.data(2, new Uint8Array(5)));
    expect(other.pieces).toHaveLength(1);
    expect(client.streamCount).toBe(1);
  });

  test("when all streams together hold too much, the one that holds most is closed", async () => {
    const [outlet, slowest, slow] = [new Sent(), new Told(), new Told()];
    const client = new WispClient(outlet, () => 0, bounds);
    client.onMessage(encodeWisp.continue(0, 8));
    client.dial(to, slowest);
    client.dial(to, slow);
    await settle();
    client.onMessage(encodeWisp.data(1, new Uint8Array(900)));
    client.onMessage(encodeWisp.data(2, new Uint8Array(600)));
    expect(client.streamCount).toBe(2);
    client.onMessage(encodeWisp.data(2, new Uint8Array(1)));
    expect([slowest.words.at(-1), slow.words.at(-1)]).toEqual(["broken", "open"]);
    // What the closed one held is free again.
    client.onMessage(encodeWisp.data(2, new Uint8Array(399)));
    expect(client.streamCount).toBe(1);
  });

  describe("a server that is silent", () => {
    async function rig() {
      const [outlet, told] = [new Sent(), new Told()];
      const time = { nowMs: 0 };
      const client = new WispClient(outlet, () => time.nowMs, bounds);
      const at = (nowMs: number): void => {
        time.nowMs = nowMs;
        client.onTime();
      };
      const flow = client.dial(to, told);
      await settle();
      return { outlet, told, client, flow, at };
    }
    const probe = (stream: number) => encodeWisp.connect(stream, "tcp", "255.255.255.255", 9);

    test("one that never says how much credit there is, is none after 10 s", async () => {
      const { told, client, at } = await rig();
      at(9999);
      expect(told.words).toEqual(["open"]);
      at(10_000);
      expect([told.words, client.streamCount]).toEqual([["open", "no-relay"], 0]);
    });

    test("is asked 10 s after a question, and given up when that has no answer for 20 s", async () => {
      const { outlet, told, client, flow, at } = await rig();
      client.onMessage(encodeWisp.continue(0, 8));
      at(1000);
      flow.write(new Uint8Array(5));
      const sent = outlet.messages.length;
      at(10_999);
      expect(outlet.messages).toHaveLength(sent);
      at(11_000);
      at(12_000);
      expect(outlet.messages.slice(sent)).toEqual([probe(2)]);
      at(30_999);
      expect(told.words).toEqual(["open"]);
      at(31_000);
      expect([told.words, client.streamCount]).toEqual([["open", "no-relay"], 0]);
    });

    test("any word of it is an answer; then it is left alone for a minute", async () => {
      const { outlet, told, client, flow, at } = await rig();
      client.onMessage(encodeWisp.continue(0, 8));
      flow.write(new Uint8Array(5));
      at(10_000);
      const sent = outlet.messages.length;
      client.onMessage(encodeWisp.close(2, "blocked"));
      at(69_999);
      expect(outlet.messages).toHaveLength(sent);
      at(70_000);
      expect(outlet.messages.slice(sent)).toEqual([probe(3)]);
      expect(told.words).toEqual(["open"]);
    });

    test("is asked again and again while something waits for credit", async () => {
      const { outlet, told, client, flow, at } = await rig();
      client.onMessage(encodeWisp.continue(0, 1));
      flow.write(new Uint8Array(5));
      flow.write(new Uint8Array(5));
      for (const nowMs of [10_000, 20_000, 30_000]) {
        at(nowMs);
        const asked = decodeWisp(outlet.messages.at(-1)!);
        expect(asked).toMatchObject({ value: { type: "connect", host: "255.255.255.255" } });
        client.onMessage(encodeWisp.close(asked.ok ? asked.value.stream : 0, "unreachable"));
      }
      at(40_000);
      at(60_000);
      expect(told.words).toEqual(["open", "no-relay"]);
    });

    test("what waits when it closes a stream is gone, and what comes after is reset", async () => {
      const { told, client, flow } = await rig();
      flow.write(new Uint8Array(5));
      client.onMessage(encodeWisp.close(1, "voluntary"));
      await settle();
      expect([told.words, told.writtenBytes]).toEqual([["open", "end"], 5]);
      flow.write(new Uint8Array(5));
      await settle();
      expect(told.words).toEqual(["open", "end", "broken"]);
    });

    test("the time without connections does not count", async () => {
      const { outlet, client, flow, at } = await rig();
      client.onMessage(encodeWisp.continue(0, 8));
      flow.abort();
      at(1_000_000);
      client.dial(to, new Told());
      const sent = outlet.messages.length;
      at(1_009_999);
      expect(outlet.messages).toHaveLength(sent);
    });
  });
});

test.each([
  ["tcp-mux", () => new MuxClient(new Sent(), () => 0, bounds)],
  ["wisp", () => new WispClient(new Sent(), () => 0, bounds)],
])("%s: a dial after the socket is gone is refused, not forgotten", async (_, make) => {
  const client = make();
  client.onClosed();
  const told = new Told();
  client.dial(to, told);
  await settle();
  expect([told.words, client.streamCount]).toEqual([["no-relay"], 0]);
});

describe("aero-tcp-mux-v1's client", () => {
  test("a PING waits for room; after five seconds the stream that holds it is cut", async () => {
    const [outlet, slow] = [new Sent(), new Told()];
    let nowMs = 0;
    const client = new MuxClient(outlet, () => nowMs, bounds);
    client.dial(to, slow);
    await settle();
    client.onMessage(encodeTcpMux.data(1, new Uint8Array(101)));
    const sent = outlet.messages.length;
    client.onMessage(encodeTcpMux.ping(Uint8Array.of(1, 2, 3, 4)));
    expect(outlet.messages).toHaveLength(sent);
    nowMs = 4999;
    client.onTime();
    expect(outlet.messages).toHaveLength(sent);
    nowMs = 5000;
    client.onTime();
    expect(slow.words).toEqual(["open", "broken"]);
    expect(outlet.messages.slice(sent)).toEqual([
      encodeTcpMux.close(1, "rst"),
      encodeTcpMux.pong(Uint8Array.of(1, 2, 3, 4)),
    ]);
  });

  test("a relay that falls silent is asked, and after 30 s it is gone", async () => {
    const [outlet, told] = [new Sent(), new Told()];
    let nowMs = 0;
    const client = new MuxClient(outlet, () => nowMs, bounds);
    client.dial(to, told);
    await settle();
    const sent = outlet.messages.length;
    nowMs = 14_999;
    client.onTime();
    expect(outlet.messages).toHaveLength(sent);
    nowMs = 15_000;
    client.onTime();
    client.onTime();
    expect(outlet.messages.slice(sent)).toEqual([encodeTcpMux.ping(new Uint8Array(4))]);
    // Any word of it begins the count anew.
    client.onMessage(encodeTcpMux.pong(new Uint8Array(4)));
    // It is asked however late somebody looks.
    nowMs = 60_000;
    client.onTime();
    nowMs = 74_999;
    client.onTime();
    expect(told.words).toEqual(["open"]);
    nowMs = 75_000;
    client.onTime();
    expect([told.words, client.streamCount]).toEqual([["open", "no-relay"], 0]);
  });

  test("a stream whose ends have both been said is none, and delivers what it has", async () => {
    const [outlet, told] = [new Sent(), new Told()];
    const client = new MuxClient(outlet, () => 0, bounds);
    const flow = client.dial(to, told);
    await settle();
    flow.write(Uint8Array.of(1));
    flow.finish();
    client.onMessage(encodeTcpMux.data(1, new Uint8Array(50)));
    expect(client.streamCount).toBe(1);
    client.onMessage(encodeTcpMux.close(1, "fin"));
    expect(client.streamCount).toBe(0);
    flow.grant(100);
    expect([told.pieces.length, told.words]).toEqual([1, ["open", "end"]]);
    expect(outlet.messages.slice(1)).toEqual([
      encodeTcpMux.data(1, Uint8Array.of(1)),
      encodeTcpMux.close(1, "fin"),
    ]);
  });

  test("streams take turns, and the end of each comes behind its bytes", async () => {
    const outlet = new Sent();
    const client = new MuxClient(outlet, () => 0, bounds);
    const flows = [client.dial(to, new Told()), client.dial(to, new Told())];
    // The first fills the window: all others wait for its PONG.
    flows[0]!.write(new Uint8Array(2 ** 20));
    const sent = outlet.messages.length;
    for (const flow of flows) {
      for (let count = 0; count < 3; count++) flow.write(new Uint8Array(40_000).fill(count));
      flow.finish();
    }
    expect(outlet.messages).toHaveLength(sent);
    client.onMessage(encodeTcpMux.pong(new Uint8Array(4)));
    const parser = new TcpMuxParser();
    const said = outlet.messages.slice(sent).flatMap((message) => parser.push(message).frames);
    const order = said.filter(({ type }) => type !== "ping").map(({ type, stream }) => `${type} ${stream}`);
    expect(order).toEqual(["data 1", "data 2", "data 1", "data 2", "data 1", "data 2", "close 1", "close 2"]);
  });

  test("a PING is answered as soon as there is room", async () => {
    const [outlet, slow] = [new Sent(), new Told()];
    const client = new MuxClient(outlet, () => 0, bounds);
    const flow = client.dial(to, slow);
    await settle();
    client.onMessage(encodeTcpMux.data(1, new Uint8Array(101)));
    client.onMessage(encodeTcpMux.ping(Uint8Array.of(9)));
    flow.grant(1);
    expect(outlet.messages.at(-1)).toEqual(encodeTcpMux.pong(Uint8Array.of(9)));
  });
});

/** Whole frames, changed frames and noise. */
const anything = (frames: readonly Uint8Array[]) =>
  fc.oneof(
    fc.uint8Array({ maxLength: 64 }),
    fc.tuple(fc.constantFrom(...frames), fc.nat(40), fc.nat(255)).map(([frame, at, value]) => {
      const changed = frame.slice();
      if (at < changed.length) changed[at] = value;
      return changed;
    }),
  );

test("any messages of a relay: the clients never throw and keep no more than they may", async () => {
  const mux = [
    encodeTcpMux.data(1, new Uint8Array(400)),
    encodeTcpMux.close(1, "fin"),
    encodeTcpMux.close(2, "rst"),
    encodeTcpMux.ping(Uint8Array.of(1)),
    encodeTcpMux.pong(Uint8Array.of(1)),
  ];
  const wisp = [
    encodeWisp.continue(0, 4),
    encodeWisp.continue(1, 4),
    encodeWisp.data(1, new Uint8Array(400)),
    encodeWisp.close(2, "refused"),
  ];
  const messages = fc.tuple(
    fc.array(anything(mux), { maxLength: 40 }),
    fc.array(anything(wisp), { maxLength: 40 }),
  );
  await fc.assert(
    fc.asyncProperty(messages, async ([forMux, forWisp]) => {
      const clients = [
        [new MuxClient(new Sent(), () => 0, bounds), forMux],
        [new WispClient(new Sent(), () => 0, bounds), forWisp],
      ] as const;
      for (const [client, given] of clients) {
        const told = [new Told(), new Told()];
        for (const sink of told) client.dial(to, sink).write(new Uint8Array(10));
        await settle();
        for (const message of given) client.onMessage(message);
        client.onClosed();
        for (const { words } of told)
          expect(words.filter((word) => word === "broken").length).toBeLessThan(2);
        expect(client.streamCount).toBe(0);
      }
    }),
    { numRuns: 500 },
  );
});

test("any bytes of a guest: the HTTP side ends the connection, one way or the other", async () => {
  const pieces = fc.array(
    fc.oneof(
      fc.uint8Array({ maxLength: 40 }),
      fc
        .constantFrom(
          "GET / HTTP/1.1\r\n",
          "Host: a\r\n",
          "Content-Length: 3\r\n",
          "Transfer-Encoding: chunked\r\n",
          "\r\n",
          "2\r\nab\r\n",
          "0\r\n\r\n",
        )
        .map((text) => new TextEncoder().encode(text)),
    ),
    { maxLength: 12 },
  );
  await fc.assert(
    fc.asyncProperty(pieces, async (given) => {
      const told = new Told();
      const done = Promise.withResolvers<void>();
      const flow = new HttpFlow(told, async (connection) => {
        try {
          let rest: Uint8Array | null = new Uint8Array(0);
          while (rest) {
            const asked = await nextRequest(connection, rest);
            for (let more = asked !== null; more;) more = (await asked!.body.pieces()) !== null;
            rest = asked ? asked.body.rest : null;
          }
        } finally {
          done.resolve();
        }
      });
      flow.grant(1_000_000);
      for (const piece of given) flow.write(piece);
      flow.finish();
      await done.promise;
      await new Promise((resolve) => setImmediate(resolve));
      expect(told.words).toHaveLength(2);
      expect(told.words[1]).toMatch(/end|broken/);
    }),
    { numRuns: 500 },
  );
});
