import { describe, expect, test } from "vitest";
import { authModes, gatewayNames, gatewaySettings } from "../../worker/gateway-settings.ts";
import { mintRelayToken } from "../../worker/relay-token.ts";
import { mintSession } from "../../worker/session-token.ts";
import { admit } from "../../worker/visitor.ts";
import { readFileSync } from "node:fs";

const VIRGA_SESSION_SECRET = "a secret of the tests";
const base = { VIRGA_SESSION_SECRET, VIRGA_TUNNEL_TOKEN: "key-1", VIRGA_TUNNEL_JWT_SECRET: "jwt secret" };
const session = await mintSession(VIRGA_SESSION_SECRET, { sid: "s1", profile: "guest", expires: 2e9 });
const jwt = await mintRelayToken("jwt secret", { sid: "j1", iat: 1, exp: 2e9 });
const cookie = { cookie: `aero_session=${session}` };
const origin = { origin: "https://virga.test" };

/** Profile, or status and message, of an upgrade. */
async function ask(path: string, headers: Record<string, string>, env: Record<string, string> = {}) {
  const request = new Request(`https://virga.test${path}`, { headers: { ...origin, ...headers } });
  const admission = await admit(request, { ...base, ...env }, 0);
  return admission.ok ? admission.visitor.profile : `${admission.status} ${admission.message}`;
}

describe("who may open a tunnel", () => {
  test.each([
    ["the cookie", "/l2", cookie, "guest"],
    ["?token=", "/l2?token=key-1", {}, "signed-in"],
    ["?apiKey=", "/l2?apiKey=key-1", {}, "signed-in"],
    ["an offered subprotocol", "/l2", { "sec-websocket-protocol": "x, aero-l2-token.key-1" }, "signed-in"],
    ["nothing", "/l2", {}, "401 a credential is needed"],
    ["a wrong key", "/l2?token=key-2", {}, "401 the credential is not valid"],
    ["a wrong key before a right one", "/l2?token=key-2&apiKey=key-1", {}, "401 the credential is not valid"],
    ["a wrong key beside a good cookie", "/l2?token=key-2", cookie, "guest"],
    ["a broken cookie", "/l2", { cookie: "aero_session=x" }, "401 the credential is not valid"],
    ["a bearer, which is for JWTs", "/l2", { authorization: "Bearer key-1" }, "401 a credential is needed"],
    ["no credential on a foreign page", "/l2", { origin: "https://evil.test" }, "401 a credential is needed"],
    [
      "a good cookie on a foreign page",
      "/l2",
      { ...cookie, origin: "https://evil.test" },
      "403 this origin is not allowed",
    ],
  ] as const)("%s", async (_, path, headers, expected) => {
    expect(await ask(path, headers)).toBe(expected);
  });

  const anonymous = "anonymous";
  const missing = "401 a credential is needed";
  const invalid = "401 the credential is not valid";
  /** Per mode: with nothing, the cookie, the key, a JWT, cookie and key. */
  const table: Readonly<Record<(typeof authModes)[number], readonly string[]>> = {
    none: [anonymous, "guest", anonymous, anonymous, "guest"],
    session: [missing, "guest", invalid, invalid, "guest"],
    token: [missing, missing, "signed-in", invalid, "signed-in"],
    jwt: [missing, missing, invalid, "guest", invalid],
    cookie_or_jwt: [missing, "guest", invalid, "guest", "guest"],
    session_or_token: [missing, "guest", "signed-in", invalid, "signed-in"],
    session_and_token: [missing, missing, missing, missing, "guest"],
  };
  test.each(authModes)("mode %s", async (mode) => {
    const env = { VIRGA_TUNNEL_AUTH: mode };
    const asked = [
      ask("/l2", {}, env),
      ask("/l2", cookie, env),
      ask("/l2?token=key-1", {}, env),
      ask(`/l2?token=${jwt}`, {}, env),
      ask("/l2?token=key-1", cookie, env),
    ];
    expect(await Promise.all(asked)).toEqual(table[mode]);
  });

  test("a JWT may come as a bearer, and other names of the modes work", async () => {
    expect(await ask("/l2", { authorization: `Bearer ${jwt}` }, { VIRGA_TUNNEL_AUTH: "jwt" })).toBe("guest");
    expect(await ask("/l2?apiKey=key-1", {}, { VIRGA_TUNNEL_AUTH: "api_key" })).toBe("signed-in");
  });

  test("a JWT for another audience or issuer opens nothing", async () => {
    const jwtMode = { VIRGA_TUNNEL_AUTH: "jwt" };
    const claims = { sid: "j1", iat: 1, exp: 2e9, aud: "tunnel", iss: "virga.test" };
    const path = `/l2?token=${await mintRelayToken("jwt secret", claims)}`;
    const good = { ...jwtMode, VIRGA_TUNNEL_JWT_AUDIENCE: "tunnel", VIRGA_TUNNEL_JWT_ISSUER: "virga.test" };
    expect(await ask(path, {}, good)).toBe("guest");
    expect(await ask(path, {}, { ...good, VIRGA_TUNNEL_JWT_AUDIENCE: "relay" })).toBe(invalid);
    expect(await ask(path, {}, { ...good, VIRGA_TUNNEL_JWT_ISSUER: "other.test" })).toBe(invalid);
  });

  test("an empty key opens nothing", async () => {
    expect(await ask("/l2?token=", {}, { VIRGA_TUNNEL_TOKEN: "" })).toBe(invalid);
    expect(await ask("/l2?token=x", {}, { VIRGA_TUNNEL_JWT_SECRET: "", VIRGA_TUNNEL_AUTH: "jwt" })).toBe(
      invalid,
    );
  });

  test("hosts, and a site that is going away", async () => {
    expect(await ask("/l2", cookie, { VIRGA_HOSTS: "other.test" })).toBe("403 this host is not allowed");
    expect(await ask("/l2", cookie, { VIRGA_HOSTS: "virga.test" })).toBe("guest");
    expect(await ask("/l2", {}, { VIRGA_DRAINING: "1" })).toBe("503 draining");
  });
});

describe("settings", () => {
  test.each([
    ["VIRGA_SESSION_SECRET", "short"],
    ["VIRGA_TUNNEL_AUTH", "maybe"],
    ["VIRGA_ORIGINS", "virga.test"],
    ["VIRGA_HOSTS", "https://virga.test"],
    ["VIRGA_UDP_RELAY_AUTH", "basic"],
  ])("%s=%s is seen at once", (name, value) => {
    expect(() => gatewaySettings({ ...base, [name]: value })).toThrow(name);
  });

  test("infra/docs/gateway.md explains every name", () => {
    const text = readFileSync("infra/docs/gateway.md", "utf8");
    expect(gatewayNames.filter((name) => !text.includes(`\`${name}\``))).toEqual([]);
  });
});
