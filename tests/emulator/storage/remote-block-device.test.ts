import { expect, test } from "vitest";
import { fail, ok } from "../../../emulator/protocol/failure.ts";
import type { DiskReply, DiskRequest } from "../../../emulator/protocol/storage-messages.ts";
import {
  readWhole,
  RemoteBlockDevice,
  type RemotePort,
} from "../../../emulator/storage/remote-block-device.ts";

/** The other end of the port: keeps requests until the test answers them. */
class FakePort implements RemotePort {
  onmessage: RemotePort["onmessage"] = null;
  readonly requests: DiskRequest[] = [];
  postMessage(request: DiskRequest): void {
    this.requests.push(request);
  }
  answer(index: number, outcome: DiskReply["outcome"]): void {
    this.onmessage?.(new MessageEvent("message", { data: { id: this.requests[index]!.id, outcome } }));
  }
}

test("answers find their questions in any order, and failures are handed on", async () => {
  const port = new FakePort();
  const disk = new RemoteBlockDevice(port, 4096, false);
  const [first, second] = [disk.read(0, 512), disk.read(512, 512)];
  const third = disk.flush();
  expect(port.requests.map(({ type, id }) => [type, id])).toEqual([
    ["read", 1],
    ["read", 2],
    ["flush", 3],
  ]);
  port.answer(1, ok({ bytes: Uint8Array.of(2) }));
  port.answer(2, ok({}));
  port.answer(0, fail({ code: "offline", what: "chunk" }));
  port.answer(0, ok({ bytes: Uint8Array.of(9) }));
  expect(await Promise.all([first, second, third])).toEqual([
    fail({ code: "offline", what: "chunk" }),
    ok(Uint8Array.of(2)),
    ok(null),
  ]);
});

test("a write that failed can be asked again with the same bytes, which a real port has taken the first of", async () => {
  const { port1, port2 } = new MessageChannel();
  const disk = new RemoteBlockDevice(port1, 4096, false);
  const written: number[][] = [];
  port2.onmessage = ({ data }: MessageEvent<DiskRequest>) => {
    if (data.type === "write") written.push([...data.bytes]);
    const outcome = written.length === 1 ? fail({ code: "storage-full", neededBytes: 3 }) : ok({});
    port2.postMessage({ id: data.id, outcome });
  };
  const bytes = Uint8Array.of(1, 2, 3);
  expect((await disk.write(0, bytes)).ok).toBe(false);
  expect(await disk.write(0, bytes)).toEqual(ok(null));
  expect(written).toEqual([
    [1, 2, 3],
    [1, 2, 3],
  ]);
  port1.close();
});

test("a read without bytes is our bug, not zeros", async () => {
  const port = new FakePort();
  const read = new RemoteBlockDevice(port, 512, true).read(0, 512);
  port.answer(0, ok({}));
  expect(await read).toMatchObject({ ok: false, failure: { code: "internal" } });
});

test("a whole file comes in pieces, whatever its length, and says how far it is", async () => {
  const port = new FakePort();
  const sizeBytes = 5 * 2 ** 20 + 7;
  const done: number[] = [];
  const whole = readWhole(new RemoteBlockDevice(port, sizeBytes, true), (bytes) => done.push(bytes));
  for (let i = 0; i < 6; i++) {
    const request = port.requests[i]!;
    if (request.type === "read") port.answer(i, ok({ bytes: new Uint8Array(request.length).fill(i + 1) }));
    await new Promise((resolve) => setImmediate(resolve));
  }
  const outcome = await whole;
  expect(outcome.ok && [outcome.value.length, outcome.value[0], outcome.value.at(-1)]).toEqual([
    sizeBytes,
    1,
    6,
  ]);
  expect(done.at(-1)).toBe(sizeBytes);
});

test("one piece that cannot be had is the failure of the whole", async () => {
  const port = new FakePort();
  const whole = readWhole(new RemoteBlockDevice(port, 3, true), () => {});
  port.answer(0, fail({ code: "corrupt", what: "x" }));
  expect(await whole).toEqual(fail({ code: "corrupt", what: "x" }));
});
