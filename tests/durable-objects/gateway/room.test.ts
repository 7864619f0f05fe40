import { describe, expect, test } from "vitest";
import { Room, perfectLink } from "../../../durable-objects/gateway/room.ts";

const MESSAGE_BYTES = 64 * 1024;
/** A frame to everybody that lies in a message, as a member sends many in one. */
function frameIn(message: Uint8Array<ArrayBuffer>, at: number, length: number): Uint8Array {
  const frame = message.subarray(at, at + length);
  frame.fill(255, 0, 6);
  frame.set([2, 0, 0, 0, 0, 7], 6);
  return frame;
}

describe("what waits for a member", () => {
  test.each([
    ["on a perfect link", perfectLink],
    ["on a slow one", { ...perfectLink, delayMs: 5 }],
  ])("%s keeps at most eight times itself, whatever its sender packs around it", (_, conditions) => {
    const room = new Room(conditions);
    const heard: Uint8Array[] = [];
    const sender = { deliver() {} };
    room.join(sender);
    room.join({ deliver: (frame) => void heard.push(frame) });
    for (let count = 0; count < 100; count++)
      room.onFrame(sender, frameIn(new Uint8Array(MESSAGE_BYTES), 100, 60), 0);
    // One that fills much of its message stays where it is.
    room.onFrame(sender, frameIn(new Uint8Array(MESSAGE_BYTES), 0, 16_000), 0);
    room.onTime(5);
    expect(heard.map(({ length }) => length)).toEqual([...Array<number>(100).fill(60), 16_000]);
    for (const { buffer, length } of heard) expect(buffer.byteLength).toBeLessThanOrEqual(8 * length);
  });

  test("on a slow link it is bounded, and what finds no room is counted", () => {
    const room = new Room({ ...perfectLink, delayMs: 5 });
    const heard: Uint8Array[] = [];
    const sender = { deliver() {} };
    room.join(sender);
    room.join({ deliver: (frame) => void heard.push(frame) });
    for (let count = 0; count < 1000; count++)
      room.onFrame(sender, frameIn(new Uint8Array(1514), 0, 1514), 0);
    room.onTime(5);
    expect(heard).toHaveLength(Math.floor((512 * 1024) / 1514));
    expect(room.counts.overflowed).toBe(1000 - heard.length);
  });
});
