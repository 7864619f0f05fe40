import { expect, test } from "vitest";
import { checkInvite, enterSession, webSocketUrl } from "../../../emulator/network/gateway.ts";

const answering =
  (status: number, body: unknown = {}, headers: Record<string, string> = {}): typeof fetch =>
  () =>
    Promise.resolve(new Response(JSON.stringify(body), { status, headers }));

test.each([
  ["/l2", "wss://virga.test/l2"],
  ["http://127.0.0.1:8787/l2", "ws://127.0.0.1:8787/l2"],
  ["wss://other.test/eth", "wss://other.test/eth"],
])("%s is reached at %s", (given, url) => {
  expect(webSocketUrl(given, "https://virga.test")).toBe(url);
});

test.each([
  ["a session", answering(201), null],
  ["nobody", () => Promise.reject(new TypeError("failed")), { code: "offline", what: "the tunnel" }],
  ["a broken server", answering(502), { code: "offline", what: "the tunnel" }],
  [
    "a refusal in words",
    answering(403, { error: "forbidden", message: "Not from here." }),
    { code: "tunnel-refused", sentence: "Not from here." },
  ],
  ["a refusal without", answering(404, []), { code: "tunnel-refused", sentence: "The server answered 404." }],
  [
    "too many",
    answering(429, {}, { "retry-after": "7" }),
    { code: "too-many-requests", retryAfterSeconds: 7 },
  ],
])("entering meets %s", async (_, fetcher, outcome) => {
  expect(await enterSession(fetcher, "/session")).toEqual(outcome);
});

test.each([
  ["leads into a room", 204, null],
  [
    "leads nowhere",
    404,
    { code: "tunnel-refused", sentence: "This invite leads to no network; ask for another one." },
  ],
  // The tunnel itself will say more.
  ["cannot be asked about", 503, null],
])("an invite that %s", async (_, status, outcome) => {
  const answer = new Response(null, { status });
  expect(await checkInvite(() => Promise.resolve(answer), "/api/lans/x")).toEqual(outcome);
});
