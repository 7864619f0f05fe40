import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { openFrameLink, portLinkEnds, sharedLinkEnds, type FrameLink } from "#protocol/frame-link";
import { FrameRing, MAX_FRAME_BYTES, ringBuffer } from "#protocol/frame-ring";
import { Worker } from "node:worker_threads";

const frameOf = (length: number, seed: number): Uint8Array =>
  Uint8Array.from({ length }, (_, i) => (i * 31 + seed) & 0xff);

const settle = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 5));

const forms: Record<string, () => [FrameLink, FrameLink]> = {
  rings() {
    const [a, b] = sharedLinkEnds(32_768);
    return [openFrameLink(a), openFrameLink(b)];
  },
  messages() {
    const [a, b] = portLinkEnds(new MessageChannel());
    return [openFrameLink(a), openFrameLink(b)];
  },
};

describe.for(Object.keys(forms))("a link of %s", (form) => {
  const pair = forms[form]!;

  test("carries frames in order, both ways, each its own copy", async () => {
    const [a, b] = pair();
    const sent = [14, 60, 61, 62, 63, 1514, 2048, 1].map((length, i) => frameOf(length, i));
    for (const frame of sent) expect(a.send(frame)).toBe(true);
    sent[0]!.fill(0);
    expect(b.send(frameOf(60, 9))).toBe(true);
    await settle();
    expect(b.receive()).toEqual(frameOf(14, 0));
    for (const frame of sent.slice(1)) expect(b.receive()).toEqual(frame);
    expect(b.receive()).toBeNull();
    expect(a.receive()).toEqual(frameOf(60, 9));
    a.close();
    b.close();
  });

  test("refuses what has no room, counts it, and tells when there is room again", async () => {
    const [a, b] = pair();
    let woken = 0;
    a.listen(() => woken++);
    let taken = 0;
    while (a.send(frameOf(1500, taken))) taken++;
    expect(taken).toBeGreaterThan(3);
    expect(a.refused).toBe(1);
    await settle();
    expect(woken).toBe(0);
    for (let i = 0; i < taken; i++) expect(b.receive()).toEqual(frameOf(1500, i));
    expect(b.receive()).toBeNull();
    await settle();
    expect(woken).toBe(1);
    expect(a.send(frameOf(1500, 0))).toBe(true);
    a.close();
    b.close();
  });

  test("wakes a listener that found nothing, for each time it found nothing", async () => {
    const [a, b] = pair();
    let woken = 0;
    b.listen(() => woken++);
    for (let round = 1; round <= 5; round++) {
      expect(b.receive()).toBeNull();
      await settle();
      expect(woken).toBe(round - 1);
      a.send(frameOf(64, round));
      a.send(frameOf(64, round));
      await settle();
      expect(woken).toBe(round);
      while (b.receive());
    }
    b.close();
    a.send(frameOf(64, 0));
    await settle();
    expect(woken).toBe(5);
    a.close();
  });

  test("what is no frame throws, for it is our own bug", () => {
    const [a, b] = pair();
    expect(() => a.send(new Uint8Array(0))).toThrow(RangeError);
    expect(() => a.send(new Uint8Array(MAX_FRAME_BYTES + 1))).toThrow(RangeError);
    a.close();
    b.close();
  });
});

test("a ring keeps order and bytes over any mixture of pushes and pops, its counters about to wrap", () => {
  fc.assert(
    fc.property(
      fc.array(fc.oneof(fc.integer({ min: 1, max: MAX_FRAME_BYTES }), fc.constant(0)), { maxLength: 300 }),
      fc.nat({ max: 32_767 }),
      (steps, start) => {
        const buffer = ringBuffer(32_768);
        new Int32Array(buffer, 0, 2).fill(-4 * start);
        const [producer, consumer] = [new FrameRing(buffer), new FrameRing(buffer)];
        const expected: Uint8Array[] = [];
        const recordBytes = ({ length }: { length: number }): number => 4 + ((length + 3) & ~3);
        let waiting = 0;
        steps.forEach((step, i) => {
          if (step === 0) {
            const frame = consumer.pop();
            expect(frame).toEqual(expected.shift() ?? null);
            if (frame) waiting -= recordBytes(frame);
          } else if (producer.push(frameOf(step, i))) {
            expected.push(frameOf(step, i));
            waiting += recordBytes({ length: step });
          } else
            expect(waiting + 2 * recordBytes({ length: step })).toBeGreaterThan(32_768 - 4 - MAX_FRAME_BYTES);
        });
        for (const frame of expected) expect(consumer.pop()).toEqual(frame);
        expect(consumer.pop()).toBeNull();
      },
    ),
  );
});

test("two threads: every frame arrives once, in order, though both sides sleep whenever they must", async () => {
  const [mine, theirs] = sharedLinkEnds(32_768);
  const echo = new Worker(new URL("../../support/echo-link-worker.ts", import.meta.url), {
    workerData: theirs,
  });
  const link = openFrameLink(mine);
  const COUNT = 20_000;
  let sent = 0;
  let received = 0;
  await new Promise<void>((resolve, reject) => {
    echo.on("error", reject);
    const pump = (): void => {
      for (let frame = link.receive(); frame; frame = link.receive()) {
        const length = 14 + (received % 1500);
        if (frame.length !== length || frame[5] !== ((5 * 31 + received) & 0xff))
          reject(new Error(`frame ${received} came back as ${frame.length} bytes`));
        if (++received === COUNT) return resolve();
      }
      while (sent < COUNT && link.send(frameOf(14 + (sent % 1500), sent))) sent++;
    };
    link.listen(pump);
    pump();
  });
  expect(received).toBe(COUNT);
  link.close();
  await echo.terminate();
});
