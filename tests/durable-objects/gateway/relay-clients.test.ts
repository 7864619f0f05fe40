import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { encodeTcpMux } from "#protocol/tcp-mux.ts";
import { decodeWisp, encodeWisp } from "#protocol/wisp.ts";
import type { FlowSink } from "../../../durable-objects/gateway/flow.ts";
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
  onRefused(): void {
    this.words.push("refused");
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
  onWritten(): void {}
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
    const client = new WispClient(outlet, bounds);
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
    const client = new WispClient(outlet, bounds);
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
});

test.each([
  ["tcp-mux", () => new MuxClient(new Sent(), () => 0, bounds)],
  ["wisp", () => new WispClient(new Sent(), bounds)],
])("%s: a dial after the socket is gone is refused, not forgotten", async (_, make) => {
  const client = make();
  client.onClosed();
  const told = new Told();
  client.dial(to, told);
  await settle();
  expect([told.words, client.streamCount]).toEqual([["refused"], 0]);
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
    expect([client.isLate, outlet.messages.length]).toEqual([true, sent]);
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
    expect(client.isLate).toBe(false);
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
    nowMs = 44_999;
    client.onTime();
    expect(told.words).toEqual(["open"]);
    nowMs = 45_000;
    client.onTime();
    expect([told.words, client.streamCount]).toEqual([["open", "broken"], 0]);
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
        [new WispClient(new Sent(), bounds), forWisp],
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
