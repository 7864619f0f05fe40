import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { judgeHost, judgeOrigin, normalHost, normalOrigin, ownOrigin } from "../../worker/origins.ts";

describe("origins", () => {
  test.each([
    [" https://A.Test ", "https://a.test"],
    ["https://a.test/", "https://a.test"],
    ["https://a.test:443", "https://a.test"],
    ["http://a.test:80", "http://a.test"],
    ["http://a.test:443", "http://a.test:443"],
    ["HTTPS://a.test:8443", "https://a.test:8443"],
    ["http://127.1", "http://127.0.0.1"],
    ["http://0x7f.1:8080", "http://127.0.0.1:8080"],
    ["http://0177.0.0.1", "http://127.0.0.1"],
    ["http://4294967295", "http://255.255.255.255"],
    ["http://[2001:DB8:0:0:0:0:0:7]", "http://[2001:db8::7]"],
    ["http://[::ffff:127.0.0.1]:80", "http://[::ffff:7f00:1]"],
  ])("%j", (text, normal) => {
    expect(normalOrigin(text)).toBe(normal);
  });

  test.each([
    "",
    "null",
    "a.test",
    "ftp://a.test",
    "https:a.test",
    "https:///a.test",
    "https://user@a.test",
    "https://user:pw@a.test",
    "https://a.test?",
    "https://a.test#",
    "https://a.test/x",
    "https://a.test//",
    "https://a.test/.",
    "https://a.test:",
    "https://a.test:0",
    "https://a.test:65536",
    "https://a.test:80x",
    "https://a.test\\",
    "https://a.test,https://b.test",
    "https://a.test https://b.test",
    "https://a%2etest",
    "https://ä.test",
    "https://a\u0000.test",
    "https://2001:db8::7",
    "https://[2001:db8::7",
    "https://[zz]",
    "https://256.1.1.1",
    "https://4294967296",
    `https://${"a".repeat(600)}`,
  ])("%j is none", (text) => {
    expect(normalOrigin(text)).toBeNull();
  });

  const own = "https://virga.test";
  const judge = (header: string | null, ...allowed: string[]) =>
    judgeOrigin(header, own, { allowed, isOpen: false });
  test("without a list, the same host only", () => {
    expect(judge("https://virga.test")).toBe("ok");
    expect(judge("https://VIRGA.test:443/")).toBe("ok");
    expect(judge("https://virga.test:444")).toBe("denied");
    expect(judge("https://other.test")).toBe("denied");
    expect(judge(null)).toBe("missing");
    expect(judge("  ")).toBe("missing");
    expect(judge("null")).toBe("denied");
  });

  test("with one, the same host and what it names; * is any that is one", () => {
    expect(judge("https://virga.test", "https://other.test")).toBe("ok");
    expect(judge("https://other.test", "https://other.test")).toBe("ok");
    expect(judge("https://third.test", "https://other.test")).toBe("denied");
    expect(judge("http://other.test", "https://other.test")).toBe("denied");
    expect(judge("https://third.test", "*")).toBe("ok");
    expect(judge("null", "*")).toBe("denied");
    expect(judge("null", "null")).toBe("ok");
    expect(judge("nonsense", "*")).toBe("denied");
    expect(judgeOrigin(null, own, { allowed: [], isOpen: true })).toBe("ok");
  });

  test("hosts", () => {
    expect(normalHost("A.test:443", "https")).toBe("a.test");
    expect(normalHost("a.test/", "https")).toBeNull();
    expect(judgeHost("a.test:443", "https", ["a.test"])).toBe("ok");
    expect(judgeHost("b.test", "https", ["a.test"])).toBe("denied");
    expect(judgeHost("b.test", "https", [])).toBe("ok");
    expect(judgeHost("b@test", "https", [])).toBe("invalid");
    expect(judgeHost(null, "https", [])).toBe("missing");
  });

  test("a proxy's word counts where it is trusted", () => {
    const headers = { "x-forwarded-host": "virga.test", "x-forwarded-proto": "https" };
    const request = new Request("http://inner.test/l2", { headers });
    expect(ownOrigin(request, false).origin).toBe("http://inner.test");
    expect(ownOrigin(request, true).origin).toBe("https://virga.test");
    const forged = new Request("http://inner.test/", { headers: { "x-forwarded-host": "a,b" } });
    expect(ownOrigin(forged, true).origin).toBe("http://inner.test");
  });

  test("what is normal stays as it is, and nothing throws", () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.webUrl(),
          fc.ipV4().map((ip) => `http://${ip}`),
        ),
        (text) => {
          const normal = normalOrigin(text);
          expect(normalOrigin(normal ?? "https://a.test")).toBe(normal ?? "https://a.test");
        },
      ),
    );
  });
});
