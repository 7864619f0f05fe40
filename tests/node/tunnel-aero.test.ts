import { expect, test } from "vitest";
import { decodeAeroL2, encodeAeroL2, pingPayload } from "#protocol/aero-l2.ts";
import { valueOf } from "../support/outcome.ts";
import { TestSocket, tunnelSite } from "../support/tunnel-site.ts";

/** The variables VIRGA_L2_* in workerd; what they mean, by the clock, is in gateway/aero-carrier.test.ts. */
const site = tunnelSite({
  VIRGA_L2_PING_MS: "100",
  VIRGA_L2_IDLE_MS: "6000",
  VIRGA_L2_QUOTA_BYTES: "100000",
  VIRGA_L2_FRAMES_PER_SECOND: "5000",
});
const open = (): Promise<TestSocket> => TestSocket.open(site, "/l2", ["aero-l2-tunnel-v1"]);
const next = async (socket: TestSocket) => {
  const message = await socket.next();
  return message === undefined ? undefined : valueOf(decodeAeroL2(new Uint8Array(message as Buffer)));
};

test("the server's PINGs count up while they are answered, and an idle tunnel closes without an ERROR", async () => {
  const socket = await open();
  const heard: bigint[] = [];
  for (let message = await next(socket); message; message = await next(socket)) {
    expect(message.type).toBe("ping");
    if (message.type !== "ping") continue;
    heard.push(Buffer.from(message.payload).readBigUInt64BE());
    socket.send(encodeAeroL2.pong(message.payload));
  }
  expect(heard.length).toBeGreaterThan(0);
  expect(heard).toEqual(heard.map((_, index) => BigInt(index + 1)));
  expect(await socket.untilClosed()).toEqual({ code: 1008, reason: "idle timeout" });
});

test("a PING that is not answered is the only one for three intervals, and is answered late all the same", async () => {
  const socket = await open();
  expect(await next(socket)).toEqual({ type: "ping", payload: pingPayload(1n) });
  expect(await next(socket)).toEqual({ type: "ping", payload: pingPayload(2n) });
  socket.drop();
});

test("the quota of bytes: ERROR 6, then 1008", async () => {
  const socket = await open();
  for (let count = 0; count < 60; count++) socket.send(encodeAeroL2.frame(new Uint8Array(2000)));
  let last = await next(socket);
  for (let message = last; message; message = await next(socket)) last = message;
  expect(last).toMatchObject({ type: "error", code: 6 });
  expect((await socket.untilClosed()).code).toBe(1008);
});
