import { createHmac } from "node:crypto";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { fromBase64Url, toBase64Url } from "../../worker/base64url.ts";
import { mintRelayToken, readRelayToken } from "../../worker/relay-token.ts";
import { mintSession, readSession, sessionCookie, setCookie } from "../../worker/session-token.ts";

const SESSION = "eyJ2IjoxLCJzaWQiOiJzMSIsImV4cCI6MjAwMDAwMDAwMH0.ZkHpJm1RJhT70LIlzRS_57323Gou4UF-Za_K-EoHrl8";
const JWT =
  "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzaWQiOiJzMSIsImlhdCI6MSwiZXhwIjoyfQ.qXVzbLcLJfft34dSLmQZd5x1xheQnZMOfem02oNPevw";
const part = (value: unknown) =>
  Buffer.from(typeof value === "string" ? value : JSON.stringify(value)).toString("base64url");
/** Node's own HMAC, as an independent judge. */
const signed = (text: string) => `${text}.${createHmac("sha256", "k").update(text).digest("base64url")}`;

describe("base64url", () => {
  test.each(["A", "AAAAA", "AB", "AAB", "AA==", "A+A/", "AA\n", "Zé"])("%j is not canonical", (text) => {
    expect(fromBase64Url(text)).toBeNull();
  });
  test("every array of bytes has one form", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
        expect(toBase64Url(bytes)).toBe(Buffer.from(bytes).toString("base64url"));
        expect(fromBase64Url(toBase64Url(bytes))).toEqual(Uint8Array.from(bytes));
      }),
    );
  });
});

describe("session tokens", () => {
  const session = { sid: "s1", profile: "anonymous", expires: 2_000_000_000 } as const;
  test("the vector is minted and read", async () => {
    expect(await mintSession("k", session)).toBe(SESSION);
    expect(await readSession("k", SESSION, 0)).toEqual(session);
  });

  test("a profile goes along", async () => {
    const guest = { ...session, profile: "guest" } as const;
    expect(await readSession("k", await mintSession("k", guest), 0)).toEqual(guest);
  });

  test("over exactly when its time has come", async () => {
    expect(await readSession("k", SESSION, 2_000_000_000_000 - 1)).not.toBeNull();
    expect(await readSession("k", SESSION, 2_000_000_000_000)).toBeNull();
  });

  test.each([
    ["nothing", ""],
    ["no dot", SESSION.replace(".", "")],
    ["two dots", `${SESSION}.`],
    ["another secret's", signed(part({ v: 1, sid: "s1", exp: 2e9 })).replace(/.$/, "A")],
    ["a changed payload", SESSION.replace("eyJ2", "eyJ3")],
    ["a signature of 42 characters", SESSION.slice(0, -1)],
    ["a signature with loose bits", `${SESSION.slice(0, -1)}9`],
    ["padding", `${SESSION}=`],
    ["another alphabet", SESSION.replace("_", "/")],
    ["no JSON", signed(part("{"))],
    ["not UTF-8", signed(Buffer.from([0x22, 0xff, 0x22]).toString("base64url"))],
    ["version 2", signed(part({ v: 2, sid: "s1", exp: 2e9 }))],
    ["no sid", signed(part({ v: 1, exp: 2e9 }))],
    ["an empty sid", signed(part({ v: 1, sid: "", exp: 2e9 }))],
    ["exp as text", signed(part({ v: 1, sid: "s1", exp: "2000000000" }))],
    ["exp as a fraction", signed(part({ v: 1, sid: "s1", exp: 2e9 + 0.5 }))],
    ["exp beyond all numbers", signed(part('{"v":1,"sid":"s1","exp":1e999}'))],
    ["an unknown profile", signed(part({ v: 1, sid: "s1", exp: 2e9, profile: "root" }))],
    ["a payload of more than 16 KiB", signed(part({ v: 1, sid: "s".repeat(16_384), exp: 2e9 }))],
  ])("%s is refused", async (_, token) => {
    expect(await readSession("k", token, 0)).toBeNull();
  });

  test("the judge's own token is good", async () => {
    expect(await readSession("k", signed(part({ v: 1, sid: "s1", exp: 2e9 })), 0)).toEqual(session);
  });

  test("only the first cookie counts, even if it is empty", () => {
    expect(sessionCookie(null)).toBeUndefined();
    expect(sessionCookie("a=1; aero_session=x; aero_session=y")).toBe("x");
    expect(sessionCookie("aero_session=;aero_session=y")).toBe("");
    expect(sessionCookie("xaero_session=1; aero_session")).toBeUndefined();
  });

  test("the cookie is for this site, and on https for https alone", () => {
    const common = "aero_session=t; Path=/; Max-Age=86400; HttpOnly; SameSite=Lax";
    expect(setCookie("t", false)).toBe(common);
    expect(setCookie("t", true)).toBe(`${common}; Secure`);
  });

  test("any text is read or refused", async () => {
    await fc.assert(
      fc.asyncProperty(fc.oneof(fc.string(), fc.base64String().map(signed)), async (token) => {
        expect(await readSession("k", token, 0)).toBeNull();
      }),
      { numRuns: 300 },
    );
  });
});

describe("relay tokens", () => {
  const claims = { sid: "s1", iat: 1, exp: 2 };
  test("the vector is minted and read", async () => {
    expect(await mintRelayToken("k", claims)).toBe(JWT);
    expect(await readRelayToken("k", JWT, 1999)).toEqual(claims);
    expect(await readRelayToken("k", JWT, 2000)).toBeNull();
  });

  const token = (more: object, header: unknown = { alg: "HS256", typ: "JWT" }) =>
    signed(`${part(header)}.${part({ ...claims, ...more })}`);
  test.each([
    ["algorithm none", token({}, { alg: "none" })],
    ["algorithm HS512", token({}, { alg: "HS512" })],
    ["a type that is no text", token({}, { alg: "HS256", typ: 1 })],
    ["a header that is no JSON", token({}, "{")],
    ["no sid", token({ sid: undefined })],
    ["exp as text", token({ exp: "2" })],
    ["iat as a fraction", token({ iat: 1.5 })],
    ["not yet", token({ nbf: 2 })],
    ["nbf as text", token({ nbf: "1" })],
    ["unsigned", JWT.slice(0, JWT.lastIndexOf(".") + 1)],
    ["four parts", `${JWT}.x`],
    ["a long header", token({}, { alg: "HS256", x: "x".repeat(4096) })],
    ["a long payload", token({ x: "x".repeat(16_384) })],
  ])("%s is refused", async (_, text) => {
    expect(await readRelayToken("k", text, 1000)).toBeNull();
  });

  test("no type is as good as JWT", async () => {
    expect(await readRelayToken("k", token({}, { alg: "HS256" }), 1000)).toEqual(claims);
  });

  test("audience, issuer and origin hold where they are expected", async () => {
    const reads = async (more: object, expected: object) =>
      (await readRelayToken("k", token(more), 1000, expected)) !== null;
    expect(await reads({ aud: ["a", "b"] }, { audience: "b" })).toBe(true);
    expect(await reads({ aud: "a" }, { audience: "b" })).toBe(false);
    expect(await reads({}, { audience: "b" })).toBe(false);
    expect(await reads({ iss: "i" }, { issuer: "i" })).toBe(true);
    expect(await reads({}, { issuer: "i" })).toBe(false);
    expect(await reads({ origin: "https://a.test" }, { origin: "https://a.test" })).toBe(true);
    expect(await reads({ origin: "https://a.test" }, { origin: "https://b.test" })).toBe(false);
    expect(await reads({ origin: "https://a.test" }, {})).toBe(false);
  });
});
