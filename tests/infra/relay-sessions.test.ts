import { type ChildProcess, spawn } from "node:child_process";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Client } from "../../infra/relay/credentials.ts";
import { UdpSessions } from "../../infra/relay/udp-sessions.ts";
import { mintRelayToken } from "../../worker/relay-token.ts";
import { TestSocket } from "../support/tunnel-site.ts";

const named = (sid: string): Client => ({ sid, isNamed: true });
const nameless = (sid: string): Client => ({ sid, isNamed: false });
const MINUTE_MS = 60_000;
const PLACES = 256;
const MOST_RESERVED = 64;

describe("places for sessions", () => {
  test("one that is kept is its client's for a minute, and then nobody's", () => {
    let nowMs = 0;
    const sessions = new UdpSessions(() => nowMs);
    expect(sessions.reserve(named("a"))).toBe("reserved");
    expect(sessions.reserve(named("a"))).toBe("session_already_active");
    for (let count = 1; count < PLACES; count++)
      expect(sessions.enter(nameless(`${count}`))).toBeTypeOf("object");
    expect(sessions.enter(nameless("more"))).toBe("too_many_sessions");
    nowMs = MINUTE_MS - 1;
    expect(sessions.enter(nameless("more"))).toBe("too_many_sessions");
    nowMs = MINUTE_MS;
    expect(sessions.enter(nameless("more"))).toBeTypeOf("object");
    expect(sessions.enter(named("a"))).toBe("too_many_sessions");
  });

  test("who comes for it finds it however many are there, once", () => {
    const sessions = new UdpSessions(() => 0);
    expect([sessions.reserve(named("a")), sessions.reserve(nameless("b"))]).toEqual(["reserved", "reserved"]);
    for (let count = 2; count < PLACES; count++) sessions.enter(nameless(`${count}`));
    expect(sessions.enter(named("a"))).toBeTypeOf("object");
    expect([sessions.enter(named("a")), sessions.reserve(named("a"))]).toEqual([
      "session_already_active",
      "session_already_active",
    ]);
    // An id that is kept for somebody is no name that a token gives.
    expect(sessions.claimed(named("c"), "b")).toEqual(named("c"));
    expect(sessions.claimed(nameless("d"), "e")).toEqual(nameless("d"));
    expect(sessions.claimed(nameless("d"), "b")).toEqual(nameless("b"));
    expect(sessions.enter(nameless("b"))).toBeTypeOf("object");
    expect(sessions.claimed(nameless("d"), "b")).toEqual(nameless("d"));
  });

  test("asking for places alone does not fill the relay", () => {
    const sessions = new UdpSessions(() => 0);
    for (let count = 0; count < MOST_RESERVED; count++)
      expect(sessions.reserve(named(`${count}`))).toBe("reserved");
    expect(sessions.reserve(named("more"))).toBe("too_many_sessions");
    expect(sessions.enter(named("more"))).toBeTypeOf("object");
  });
});

describe("POST /session of `virga relay`", () => {
  const JWT_SECRET = "a secret of site and relay";
  let relay: ChildProcess;
  let url = "";
  beforeAll(async () => {
    const cli = join(import.meta.dirname, "../../infra/cli/virga.ts");
    const flags = ["relay", "--port", "0", "--token", "key", "--jwt-secret", JWT_SECRET];
    relay = spawn(process.execPath, [cli, ...flags], { stdio: ["ignore", "ignore", "pipe"] });
    for await (const line of createInterface(relay.stderr!)) {
      url = /ws:\/\/[\d.:]+/.exec(line)?.[0] ?? "";
      if (url !== "") break;
    }
  }, 60_000);
  afterAll(() => void relay?.kill());

  const iat = Math.floor(Date.now() / 1000);
  const ask = (shown: string, method = "POST"): Promise<Response> =>
    fetch(`${url.replace(/^ws/, "http")}/session`, { method, headers: { authorization: `Bearer ${shown}` } });
  const firstWord = async (query: string): Promise<unknown> => {
    const socket = await TestSocket.open({ url: new URL(url) }, `/udp?${query}`);
    const said = JSON.parse((await socket.next()) as string) as unknown;
    socket.drop();
    return said;
  };

  test("answers 201 with a raw id, which is that of the session that shows it", async () => {
    const answer = await ask("key");
    expect([answer.status, answer.headers.get("cache-control")]).toEqual([201, "no-store"]);
    const id = await answer.text();
    expect(id).toMatch(/^[0-9a-f]{32}$/);
    expect(await firstWord(`token=key&sessionId=${id}`)).toMatchObject({ type: "ready", sessionId: id });
    // It is good for one.
    expect(await firstWord(`token=key&sessionId=${id}`)).not.toMatchObject({ sessionId: id });
  });

  test("of the name in a token there is one, which its holder takes up", async () => {
    const token = await mintRelayToken(JWT_SECRET, { sid: "one", iat, exp: iat + 300 });
    const answer = await ask(token);
    expect([answer.status, await answer.text()]).toEqual([201, "one"]);
    const second = await ask(token);
    expect([second.status, await second.json()]).toMatchObject([409, { code: "session_already_active" }]);
    expect(await firstWord(`token=${token}`)).toMatchObject({ type: "ready", sessionId: "one" });
  });

  test("is for who may come in, and pages may ask from anywhere", async () => {
    const refused = await ask("another");
    expect([refused.status, await refused.json()]).toMatchObject([401, { code: "unauthorized" }]);
    expect((await ask("key", "GET")).status).toBe(405);
    const leave = await ask("key", "OPTIONS");
    expect([leave.status, leave.headers.get("access-control-allow-origin")]).toEqual([204, "*"]);
    // Without --webrtc the rest of signalling is not there.
    const offer = await fetch(`${url.replace(/^ws/, "http")}/webrtc/offer`, { method: "POST", body: "{}" });
    expect(offer.status).toBe(426);
  });
});
