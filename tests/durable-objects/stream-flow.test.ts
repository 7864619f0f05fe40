import { describe, expect, test } from "vitest";
import type { FlowSink } from "../../durable-objects/gateway/flow.ts";
import { type Pipe, StreamFlow } from "../../durable-objects/stream-flow.ts";

/** A connection over streams: what it asks of them, and when. */
const KiB = 1024;

/** The world's end: says how much the flow is ready to read, and answers when the test says so. */
class World implements FlowSink {
  readonly words: string[] = [];
  readonly received: number[] = [];
  readonly written: Uint8Array[] = [];
  isClosed = false;
  writerEnd: "close" | "abort" | undefined;
  #controller!: ReadableByteStreamController;
  #wake = (): void => {};
  /** Holds writes back while it is set. */
  held: Promise<void> | undefined;

  readonly pipe: Pipe = {
    readable: new ReadableStream({
      type: "bytes",
      start: (controller) => void (this.#controller = controller),
      cancel: () => void this.words.push("cancelled"),
    }),
    writable: new WritableStream<Uint8Array>({
      write: async (bytes) => {
        await this.held;
        this.written.push(bytes);
      },
      close: () => void (this.writerEnd = "close"),
      abort: () => void (this.writerEnd = "abort"),
    }),
    close: () => void (this.isClosed = true),
  };

  /** Bytes of the buffer that a read under way has brought. */
  get asked(): number | undefined {
    return this.#controller.byobRequest?.view?.byteLength;
  }
  async answer(count: number): Promise<void> {
    const before = this.received.length;
    this.#controller.byobRequest!.respond(count);
    while (this.received.length === before) await new Promise<void>((resolve) => (this.#wake = resolve));
    await turn();
  }
  onOpen(): void {
    this.words.push("open");
  }
  onRefused(): void {
    this.words.push("refused");
  }
  onBytes(bytes: Uint8Array): void {
    this.received.push(bytes.length);
    this.#wake();
  }
  onEnd(): void {
    this.words.push("end");
  }
  onBroken(): void {
    this.words.push("broken");
  }
  onWritten(count: number): void {
    this.words.push(`wrote ${count}`);
  }
}
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

async function opened(grant: number): Promise<{ world: World; flow: StreamFlow }> {
  const world = new World();
  const flow = new StreamFlow(world, () => Promise.resolve(world.pipe));
  flow.grant(grant);
  await turn();
  return { world, flow };
}

describe("reading", () => {
  test("an idle connection holds 1 KiB; a busy one reads 124 KiB at once, until it is idle again", async () => {
    const { world } = await opened(1 << 20);
    expect(world.asked).toBe(KiB);
    await world.answer(100);
    expect(world.asked).toBe(KiB);
    await world.answer(KiB);
    expect(world.asked).toBe(16 * KiB);
    await world.answer(16 * KiB);
    expect(world.asked).toBe(124 * KiB);
    await world.answer(124 * KiB);
    expect(world.asked).toBe(124 * KiB);
    await world.answer(1000);
    expect(world.asked).toBe(KiB);
    expect(world.received).toEqual([100, KiB, 16 * KiB, 124 * KiB, 1000]);
  });

  test("no more than was granted is asked for", async () => {
    const { world, flow } = await opened(3000);
    await world.answer(KiB);
    expect(world.asked).toBe(3000 - KiB);
    await world.answer(3000 - KiB);
    expect(world.asked).toBeUndefined();
    flow.grant(10);
    await turn();
    expect(world.asked).toBe(10);
  });
});

describe("giving a connection up", () => {
  test("closes the writable rather than aborting it, and frees the socket", async () => {
    const { world, flow } = await opened(0);
    flow.abort();
    await turn();
    expect([world.writerEnd, world.isClosed, world.words]).toEqual(["close", true, ["open", "cancelled"]]);
  });

  test("while its dial is under way: the dial is told, and what comes of it is closed", async () => {
    const world = new World();
    let unwanted: AbortSignal | undefined;
    const dialled = Promise.withResolvers<Pipe>();
    const flow = new StreamFlow(world, (signal) => {
      unwanted = signal;
      return dialled.promise;
    });
    flow.write(new Uint8Array(10));
    expect(unwanted?.aborted).toBe(false);
    flow.abort();
    expect(unwanted?.aborted).toBe(true);
    dialled.resolve(world.pipe);
    await turn();
    expect([world.writerEnd, world.isClosed, world.words]).toEqual(["close", true, ["cancelled"]]);
    expect(world.written).toEqual([]);
  });
});

test("what one turn writes leaves as one piece, and the end comes behind it", async () => {
  const { world, flow } = await opened(0);
  for (const byte of [1, 2, 3]) flow.write(Uint8Array.of(byte));
  flow.finish();
  flow.write(Uint8Array.of(9));
  await turn();
  expect(world.written).toEqual([Uint8Array.of(1, 2, 3)]);
  expect([world.writerEnd, world.words]).toEqual(["close", ["open", "wrote 3"]]);
});
