import { expect, test } from "vitest";
import { Unanswered } from "../../durable-objects/gateway/unanswered.ts";
import { Passage } from "../../durable-objects/port-websocket.ts";

/** A passage between a browser's socket and a server in the guest that reads when `gate` opens. */
function rig(gate: Promise<void>) {
  const [closes, written]: [number[], Uint8Array[]] = [[], []];
  let isPipeClosed = false;
  const socket = { send() {}, close: (code?: number) => void closes.push(code ?? 0) };
  const pipe = {
    read: () => new Promise<null>(() => {}),
    write: async (bytes: Uint8Array) => {
      await gate;
      written.push(bytes);
    },
    close: () => void (isPipeClosed = true),
  };
  const passage = new Passage(socket, pipe, new Unanswered(0));
  return { passage, closes, bytes: () => Buffer.concat(written), isPipeClosed: () => isPipeClosed };
}

test.each([
  ["empty messages", 0],
  ["messages of 64 KiB", 65_536],
])("a guest that does not read: %s wait up to 4 MiB, and then the browser is cut off", (_, size) => {
  const { passage, closes } = rig(new Promise(() => {}));
  const message = new Uint8Array(size).buffer;
  let sent = 0;
  // RFC 6455 §5.2: a masked frame has a head of six bytes at least.
  for (; closes.length === 0 && sent < 2 ** 20; sent++) passage.fromBrowser(message);
  expect(closes).toEqual([1011]);
  expect(sent * (size + 6)).toBeLessThan(4 * 2 ** 20 + 2 * (size + 14));
});

test("what waits arrives whole and in order, and the end behind it", async () => {
  const gate = Promise.withResolvers<void>();
  const { passage, bytes, closes, isPipeClosed } = rig(gate.promise);
  const texts = Array.from({ length: 1000 }, (_, index) => `message ${index}`);
  for (const text of texts) passage.fromBrowser(text);
  passage.browserClosed(1000, "");
  expect([closes, isPipeClosed()]).toEqual([[1000], false]);
  gate.resolve();
  await expect.poll(isPipeClosed).toBe(true);
  const heard: string[] = [];
  const all = bytes();
  let at = 0;
  for (; (all[at]! & 15) === 1;) {
    const length = all[at + 1]! & 127;
    const mask = all.subarray(at + 2, at + 6);
    const payload = all.subarray(at + 6, at + 6 + length).map((byte, index) => byte ^ mask[index & 3]!);
    heard.push(Buffer.from(payload).toString());
    at += 6 + length;
  }
  expect(heard).toEqual(texts);
  expect(all[at]! & 15).toBe(8);
});
