import { expect, test } from "vitest";
import { namesNotice } from "../../../durable-objects/gateway/flow-notice.ts";
import { watchNames } from "../../../durable-objects/gateway/name-watch.ts";
import { readTunnelNotice } from "../../../emulator/protocol/tunnel-notices.ts";

/** A question for the IPv4 address of a name (RFC 1035 §4.1). */
function question(name: string): Uint8Array {
  const labels = name.split(".").flatMap((label) => [label.length, ...Buffer.from(label)]);
  return Uint8Array.from([0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, ...labels, 0, 0, 1, 0, 1]);
}
/** The same message as an answer with this response code. */
const answer = (message: Uint8Array, code: number) => message.with(2, 0x81).with(3, 0x80 | code);

function rig() {
  const told: (string | undefined)[] = [];
  let reply: (message: Uint8Array) => Promise<Uint8Array | null> = () => Promise.resolve(null);
  const ask = watchNames(
    (message) => reply(message),
    (failing) => void told.push(failing),
  );
  const look = (name: string, next: typeof reply) => {
    reply = next;
    return ask(question(name));
  };
  return { told, look };
}
const noError = (message: Uint8Array) => Promise.resolve(answer(message, 0));
const serverFailure = (message: Uint8Array) => Promise.resolve(answer(message, 2));
const noSuchName = (message: Uint8Array) => Promise.resolve(answer(message, 3));

test("what is told is the first state and each change, with the name that failed", async () => {
  const { told, look } = rig();
  await look("one.example", noError);
  await look("two.example", noSuchName);
  await look("three.example", serverFailure);
  await look("four.example", serverFailure);
  await look("five.example", noError);
  expect(told).toEqual([undefined, "three.example", undefined]);
});

test("silence and an error are failures, and the asker hears silence", async () => {
  const { told, look } = rig();
  expect(await look("one.example", () => Promise.resolve(null))).toBeNull();
  await look("two.example", noError);
  expect(await look("three.example", () => Promise.reject(new Error("lost")))).toBeNull();
  expect(told).toEqual(["one.example", undefined, "three.example"]);
});

test("a question that cannot be read fails without a name, and any name fits into a notice", async () => {
  const { told, look } = rig();
  await look("\u0001\u0002 .".repeat(30), serverFailure);
  for (const failing of [...told, undefined])
    expect(readTunnelNotice(JSON.stringify(namesNotice(failing)))).toMatchObject({ ok: true });
});
