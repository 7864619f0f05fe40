import { expect, test } from "vitest";
import type { FlowSink, Outflow } from "../../../durable-objects/gateway/flow.ts";
import {
  type Admission,
  type FlowEnd,
  GuardedEgress,
} from "../../../durable-objects/gateway/guarded-egress.ts";

const to = { host: "192.0.2.1", port: 80 };
const MOST_BYTES = 1000;

/** Connections through a guard of 1,000 bytes to worlds that take what the test says. */
function rig() {
  const worlds: { sink: FlowSink; isAborted: boolean }[] = [];
  const ends: FlowEnd[] = [];
  const way = {
    dial(_: object, sink: FlowSink): Outflow {
      const world = { sink, isAborted: false };
      worlds.push(world);
      return { write() {}, finish() {}, abort: () => void (world.isAborted = true), grant() {} };
    },
  };
  const admission: Admission = {
    via: "connect",
    ...to,
    onDialled() {},
    onBytes: () => true,
    onClosed: (_sent, _received, why) => void ends.push(why),
  };
  const egress = new GuardedEgress({ admit: async () => admission }, { connect: way }, MOST_BYTES);
  const dial = async () => {
    const told: string[] = [];
    const note = (word: string) => (): void => void told.push(word);
    const flow = egress.dial(to, {
      onOpen: note("open"),
      onRefused: note("refused"),
      onBytes: note("bytes"),
      onEnd: note("end"),
      onBroken: note("broken"),
      onWritten: (count) => void told.push(`written ${count}`),
    });
    await new Promise((resolve) => setImmediate(resolve));
    const world = worlds.at(-1)!;
    world.sink.onOpen();
    return { told, flow, world };
  };
  return { dial, ends };
}
const soon = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test("of all connections together a bounded number of bytes waits: the one for which most does is cut", async () => {
  const { dial, ends } = rig();
  const [large, small, third] = [await dial(), await dial(), await dial()];
  large.flow.write(new Uint8Array(600));
  small.flow.write(new Uint8Array(400));
  expect(large.world.isAborted).toBe(false);
  third.flow.write(new Uint8Array(1));
  await soon();
  expect([large.world.isAborted, large.told, ends]).toEqual([true, ["open", "broken"], ["reset"]]);
  expect([small.told, third.told]).toEqual([["open"], ["open"]]);
  // What the world has taken counts no more, nor does what was given up.
  small.world.sink.onWritten(400);
  third.flow.abort();
  small.flow.write(new Uint8Array(1000));
  await soon();
  expect(small.told).toEqual(["open", "written 400"]);
  small.flow.write(new Uint8Array(1));
  await soon();
  expect(small.told.at(-1)).toBe("broken");
});

test("the bytes of one that has ended well count until they are taken, or lost", async () => {
  const { dial, ends } = rig();
  const [first, second] = [await dial(), await dial()];
  for (const { flow, world } of [first, second]) {
    flow.write(new Uint8Array(500));
    world.sink.onEnd();
    flow.finish();
  }
  expect(ends).toEqual(["done", "done"]);
  first.world.sink.onWritten(500);
  second.world.sink.onBroken();
  expect([first.told.slice(2), second.told.slice(2)]).toEqual([["written 500"], ["broken"]]);
  const third = await dial();
  third.flow.write(new Uint8Array(1000));
  await soon();
  expect(third.told).toEqual(["open"]);
});

test("one that has ended well and whose world never reads is cut like any other", async () => {
  const { dial } = rig();
  const first = await dial();
  first.flow.write(new Uint8Array(900));
  first.world.sink.onEnd();
  first.flow.finish();
  const second = await dial();
  second.flow.write(new Uint8Array(200));
  await soon();
  expect([first.world.isAborted, first.told.at(-1), second.told]).toEqual([true, "broken", ["open"]]);
});
