import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { classOf } from "../../../durable-objects/policy/address-class.ts";
import { isIn, parseCidr } from "../../../durable-objects/policy/cidr.ts";
import {
  type EgressConfig,
  closedConfig,
  egressNames,
  readEgressConfig,
} from "../../../durable-objects/policy/config.ts";
import { hasPort, parsePorts } from "../../../durable-objects/policy/ports.ts";
import { sentenceOf } from "../../../durable-objects/policy/sentences.ts";
import { vet } from "../../../durable-objects/policy/vet.ts";
import { auditLine } from "../../../durable-objects/policy/audit.ts";
import { parseIp } from "../../../durable-objects/net/ip-text.ts";
import { refusalCodes } from "#protocol/tunnel-notices";
import { valueOf } from "../../support/outcome.ts";
import { readFileSync } from "node:fs";

const config = (env: Record<string, string> = {}): EgressConfig =>
  valueOf(readEgressConfig({ VIRGA_EGRESS: "on", ...env }));
/** The verdict on one address in one word. */
const judge = (
  address: string,
  env?: Record<string, string>,
  port = 443,
  ways = { fetch: false, relay: false },
) => {
  const verdict = vet(config(env), { port }, [address], "signed-in", ways);
  return verdict.ok ? verdict.via : verdict.code;
};

describe("addresses", () => {
  test.each([
    ["8.8.8.8", "public"],
    ["0.0.0.0", "reserved"],
    ["0.255.255.255", "reserved"],
    ["9.255.255.255", "public"],
    ["10.0.0.0", "private"],
    ["10.255.255.255", "private"],
    ["11.0.0.0", "public"],
    ["100.63.255.255", "public"],
    ["100.64.0.0", "private"],
    ["100.127.255.255", "private"],
    ["100.128.0.0", "public"],
    ["127.0.0.1", "loopback"],
    ["169.254.169.254", "link-local"],
    ["172.15.255.255", "public"],
    ["172.16.0.0", "private"],
    ["172.31.255.255", "private"],
    ["172.32.0.0", "public"],
    ["192.0.0.1", "reserved"],
    ["192.0.2.1", "documentation"],
    ["192.168.0.1", "private"],
    ["198.17.255.255", "public"],
    ["198.18.0.0", "reserved"],
    ["198.19.255.255", "reserved"],
    ["198.51.100.7", "documentation"],
    ["203.0.113.7", "documentation"],
    ["223.255.255.255", "public"],
    ["224.0.0.1", "multicast"],
    ["240.0.0.1", "reserved"],
    ["255.255.255.255", "reserved"],
    ["2a00:1450::1", "public"],
    ["::", "reserved"],
    ["::1", "loopback"],
    ["::ffff:8.8.8.8", "public"],
    ["::ffff:10.0.0.1", "private"],
    ["::ffff:0:127.0.0.1", "loopback"],
    ["::10.0.0.1", "private"],
    ["64:ff9b::127.0.0.1", "loopback"],
    ["64:ff9b::8.8.8.8", "public"],
    ["64:ff9b:1::8.8.8.8", "private"],
    ["2002:7f00:1::", "loopback"],
    ["2002:a00:1::1", "private"],
    ["2002:808:808::1", "public"],
    ["2001:0:4136:e378:8000:63bf:3fff:fdd2", "reserved"],
    ["2001:db8::1", "documentation"],
    ["3fff::1", "documentation"],
    ["fc00::1", "private"],
    ["fdff::1", "private"],
    ["fe80::1", "link-local"],
    ["fec0::1", "private"],
    ["ff02::1", "multicast"],
    ["4000::1", "reserved"],
    ["1::1", "reserved"],
    ["100::1", "reserved"],
  ])("%s is %s", (text, kind) => {
    expect(classOf(parseIp(text)!)).toBe(kind);
  });

  test.each([
    ["104.16.1.1", "platform-address"],
    ["172.67.0.1", "platform-address"],
    ["2606:4700::6810:1", "platform-address"],
    ["::ffff:104.16.1.1", "platform-address"],
    ["104.15.255.255", "connect"],
    ["104.28.0.0", "connect"],
  ])("%s: %s", (address, verdict) => {
    expect(judge(address)).toBe(verdict);
  });

  test("ranges are read strictly and hold exactly what they say", () => {
    for (const text of [
      "10.0.0.1/8",
      "10.0.0.0/33",
      "10.0.0.0/",
      "10.0.0.0/8/8",
      "::/129",
      "x",
      "10.0.0.0/-1",
    ])
      expect(parseCidr(text), text).toBeNull();
    const bit = fc.tuple(fc.uint8Array({ minLength: 4, maxLength: 4 }), fc.integer({ min: 0, max: 32 }));
    fc.assert(
      fc.property(bit, fc.uint8Array({ minLength: 4, maxLength: 4 }), ([prefix, bits], address) => {
        const word = (bytes: Uint8Array) => Number.parseInt(Buffer.from(bytes).toString("hex"), 16);
        const size = 2 ** (32 - bits);
        const start = Math.floor(word(prefix) / size) * size;
        const text = [24, 16, 8, 0].map((shift) => Math.floor(start / 2 ** shift) % 256).join(".");
        const isInside = word(address) >= start && word(address) < start + size;
        expect(isIn(parseCidr(`${text}/${bits}`)!, address)).toBe(isInside);
      }),
    );
  });
});

describe("rules", () => {
  test("off is off, for everybody", () => {
    for (const profile of ["anonymous", "guest", "signed-in"] as const)
      expect(vet(closedConfig, { port: 443 }, ["8.8.8.8"], profile)).toMatchObject({ code: "egress-off" });
    expect(readEgressConfig({})).toMatchObject({ ok: true, value: { mode: "off" } });
  });

  test("profiles reach what their ports say", () => {
    const ask = (profile: "anonymous" | "guest" | "signed-in", port: number) => {
      const verdict = vet(config(), { port }, ["8.8.8.8"], profile);
      return verdict.ok ? verdict.address : verdict.code;
    };
    expect([ask("anonymous", 443), ask("guest", 443), ask("guest", 22), ask("signed-in", 22)]).toEqual([
      "needs-account",
      "8.8.8.8",
      "denied-port",
      "8.8.8.8",
    ]);
    expect(ask("signed-in", 25)).toBe("platform-port");
  });

  test("private addresses are opened by the operator alone, and deny wins", () => {
    expect(judge("127.0.0.1")).toBe("private-address");
    expect(judge("127.0.0.1", { VIRGA_EGRESS: "open-loopback" })).toBe("connect");
    expect(judge("::1", { VIRGA_EGRESS: "open-loopback" })).toBe("connect");
    expect(judge("10.0.0.1", { VIRGA_EGRESS: "open-loopback" })).toBe("private-address");
    expect(judge("10.1.2.3", { VIRGA_EGRESS_ALLOW: "10.1.0.0/16, fd00::/8" })).toBe("connect");
    expect(judge("::ffff:10.1.2.3", { VIRGA_EGRESS_ALLOW: "10.1.0.0/16" })).toBe("connect");
    const both = { VIRGA_EGRESS_ALLOW: "10.1.0.0/16", VIRGA_EGRESS_DENY: "10.1.2.0/24" };
    expect(judge("10.1.2.3", both)).toBe("denied-address");
    expect(judge("::ffff:10.1.2.3", both)).toBe("denied-address");
    expect(judge("8.8.8.8", { VIRGA_EGRESS_DENY: "8.8.8.0/24" })).toBe("denied-address");
  });

  test("the first address that passes is dialled, as the literal that was judged", () => {
    const verdict = vet(
      config(),
      { name: "a.test", port: 443 },
      ["10.0.0.1", "x", "2A00:1450:0::1"],
      "guest",
    );
    expect(verdict).toEqual({ ok: true, address: "2a00:1450::1", via: "connect" });
    expect(vet(config(), { name: "a.test", port: 443 }, [], "guest")).toMatchObject({
      code: "name-not-found",
    });
    expect(vet(config(), { port: 443 }, ["10.0.0.1", "104.16.0.1"], "guest")).toMatchObject({
      code: "private-address",
    });
  });

  test("names: denied ones and what is below them; with an allow list, nothing else", () => {
    const ask = (name: string | undefined, env: Record<string, string>) => {
      const target = { port: 443, ...(name !== undefined && { name }) };
      const verdict = vet(config(env), target, ["8.8.8.8"], "guest");
      return verdict.ok ? "yes" : verdict.code;
    };
    const deny = { VIRGA_EGRESS_DENY_NAMES: "*.bad.test worse.test" };
    expect(ask("bad.test", deny)).toBe("denied-name");
    expect(ask("A.B.BAD.test.", deny)).toBe("denied-name");
    expect(ask("notbad.test", deny)).toBe("yes");
    expect(ask(undefined, deny)).toBe("yes");
    const allow = { VIRGA_EGRESS_ALLOW_NAMES: "good.test", VIRGA_EGRESS_DENY_NAMES: "bad.good.test" };
    expect(ask("www.good.test", allow)).toBe("yes");
    expect(ask("bad.good.test", allow)).toBe("denied-name");
    expect(ask("other.test", allow)).toBe("denied-name");
    expect(ask(undefined, allow)).toBe("denied-name");
  });

  test("what the platform refuses goes by fetch or by a relay, where there is one", () => {
    const fetch = { fetch: true, relay: false };
    const relay = { fetch: true, relay: true };
    expect(judge("104.16.0.1", {}, 80, fetch)).toBe("fetch");
    expect(judge("104.16.0.1", {}, 443, fetch)).toBe("platform-address");
    expect(judge("104.16.0.1", {}, 443, relay)).toBe("relay");
    expect(judge("8.8.8.8", {}, 25, fetch)).toBe("platform-port");
    expect(judge("8.8.8.8", {}, 25, relay)).toBe("relay");
    expect(judge("8.8.8.8", { VIRGA_EGRESS_DENY_PORTS: "25" }, 25, relay)).toBe("denied-port");
    expect(judge("10.0.0.1", {}, 443, relay)).toBe("private-address");
  });

  test("every refusal has a sentence", () => {
    for (const code of refusalCodes) expect(sentenceOf(code)).toMatch(/^[A-Z].*\.$/);
  });
});

describe("configuration", () => {
  test("ports", () => {
    expect(parsePorts("none")).toEqual([]);
    expect(hasPort(parsePorts("all")!, 65_535)).toBe(true);
    const some = parsePorts("80, 443,8000-8999")!;
    expect([79, 80, 443, 7999, 8000, 8999, 9000].map((port) => hasPort(some, port))).toEqual([
      false,
      true,
      true,
      false,
      true,
      true,
      false,
    ]);
    for (const text of ["", "0", "65536", "9-8", "80;443", "a", "1,".repeat(65)])
      expect(parsePorts(text), text).toBeNull();
  });

  test.each([
    ["VIRGA_EGRESS", "yes"],
    ["VIRGA_EGRESS_ALLOW", "10.0.0.1/8"],
    ["VIRGA_EGRESS_DENY", "everything"],
    ["VIRGA_EGRESS_DENY_NAMES", "a b..c"],
    ["VIRGA_EGRESS_PORTS_GUEST", "http"],
    ["VIRGA_EGRESS_LIMITS_GUEST", "flows=many"],
    ["VIRGA_EGRESS_LIMITS_GUEST", "speed=5"],
    ["VIRGA_EGRESS_ALLOW", "10.0.0.0/8,".repeat(300)],
  ])("%s=%s refuses everything and says why", (name, value) => {
    const read = readEgressConfig({ VIRGA_EGRESS: "on", [name]: value });
    expect(read).toMatchObject({ ok: false, failure: { code: "bad-request" } });
    expect(JSON.stringify(read)).toContain(name);
  });

  test("limits replace what they name", () => {
    expect(config({ VIRGA_EGRESS_LIMITS_GUEST: "flows=3, hosts=9" }).limits.guest).toEqual({
      ...config().limits.guest,
      flows: 3,
      hosts: 9,
    });
  });

  test("infra/docs/egress.md explains every name", () => {
    const text = readFileSync("infra/docs/egress.md", "utf8");
    expect(egressNames.filter((name) => !text.includes(`\`${name}\``))).toEqual([]);
  });

  test("a log line is one line, and marked", () => {
    const line = auditLine({
      atMs: 0,
      session: "s",
      profile: "guest",
      by: "l2",
      name: "a\n".repeat(300),
      port: 443,
      via: "connect",
      outcome: "done",
      sentBytes: 1,
      receivedBytes: 2,
      durationMs: 3,
    });
    expect(line).not.toContain("\n");
    const read = JSON.parse(line) as { name: string };
    expect(read).toMatchObject({ audit: "flow", at: "1970-01-01T00:00:00.000Z", outcome: "done" });
    expect(read.name).toHaveLength(253);
  });

  test("any environment is read or refused, never thrown at", () => {
    fc.assert(
      fc.property(fc.constantFrom(...egressNames), fc.anything(), (name, value) => {
        const read = readEgressConfig({ [name]: value });
        expect(typeof read.ok).toBe("boolean");
      }),
    );
  });
});
