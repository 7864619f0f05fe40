import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { readDns } from "../../../durable-objects/net/dns-message.ts";
import { DnsCache, dnsCacheLimits } from "../../../durable-objects/net/dns-cache.ts";
import { type ResolverConfig, Resolver, dnsLimits } from "../../../durable-objects/net/dns.ts";
import { type DnsParts, dnsMessage, opt, soa, wireName } from "../../support/dns.ts";
import { hex } from "../../support/hex.ts";

const codes = ["NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED"];

/** A resolver, what it asked the world, and what it answered. */
function rig(config: Partial<ResolverConfig> = {}) {
  const upstream: { query: number; message: Uint8Array }[] = [];
  const answers: Uint8Array[] = [];
  const resolver = new Resolver({
    gateway: "10.0.2.2",
    domain: "virga.internal",
    resolve: (query, message) => void upstream.push({ query, message }),
    ...config,
  });
  const ask = (parts: DnsParts, nowMs = 0, transport: "udp" | "tcp" = "udp") =>
    resolver.ask(dnsMessage(parts), nowMs, (message) => void answers.push(message), transport);
  /** Answers the oldest question that waits, in the spelling that came. */
  const reply = (parts: DnsParts, nowMs = 0) => {
    const { query, message } = upstream.shift()!;
    const { question } = readDns(message)!;
    const name = Buffer.from(question.name).toString("latin1");
    const labels: string[] = [];
    for (let at = 0; name.charCodeAt(at) !== 0; at += 1 + name.charCodeAt(at))
      labels.push(name.slice(at + 1, at + 1 + name.charCodeAt(at)));
    const echo = { id: 0, flags: 0x8180, name: labels.join("."), type: question.type };
    resolver.onAnswer(query, dnsMessage({ ...echo, ...parts }), nowMs);
  };
  return { resolver, upstream, answers, ask, reply };
}
/** An answer as one line. */
function line(message: Uint8Array | undefined): string {
  if (!message) return "silence";
  const read = readDns(message);
  if (!read) return `${codes[message[3]! & 15]} without a question`;
  const flags = [
    (read.flags & 0x0400) !== 0 ? " aa" : "",
    (read.flags & 0x0200) !== 0 ? " tc" : "",
    (read.flags & 0x0020) !== 0 ? " ad" : "",
  ].join("");
  const records = read.records.map(({ type, ttl, dataAt, end }) =>
    type === 41 ? " opt" : ` ${type}/${ttl}/${hex(message.subarray(dataAt, end))}`,
  );
  return `${codes[read.flags & 15]}${flags}${records.join("")}`;
}
const A = (ttl: number, ...data: number[]) => ({ type: 1, ttl, data });

describe("the resolver forwards", () => {
  test("a question with id 0, its spelling, and EDNS; and the answer with the asker's id", () => {
    const { upstream, answers, ask, reply } = rig();
    ask({ name: "MiRRor.TEST", id: 0xabcd });
    expect(hex(upstream[0]!.message)).toBe(
      `00000100000100000000000106${hex(Buffer.from("MiRRor"))}04${hex(Buffer.from("TEST"))}0000010001` +
        "0000291000000000000000",
    );
    reply({ answers: [A(60, 192, 0, 2, 1)], additional: [opt(1232)] });
    expect(hex(answers[0]!.subarray(0, 12))).toBe("abcd81800001000100000000");
    expect(hex(answers[0]!.subarray(12, 25))).toBe(hex(Uint8Array.from(wireName("MiRRor.TEST"))));
    expect(line(answers[0])).toBe("NOERROR 1/60/c0000201");
  });

  test.each([
    ["AAAA", 28],
    ["CNAME", 5],
    ["MX", 15],
    ["TXT", 16],
    ["SRV", 33],
    ["HTTPS", 65],
    ["a type of tomorrow", 65_000],
  ])("%s byte for byte", (_, type) => {
    const { answers, ask, reply } = rig();
    ask({ type });
    reply({ answers: [{ type, ttl: 30, data: [1, 2, 3, 0xc0, 12] }] });
    expect(line(answers[0])).toBe(`NOERROR ${type}/30/010203c00c`);
  });

  test("from its cache with TTLs that age, in the spelling and with the id of each asker", () => {
    const { resolver, upstream, answers, ask, reply } = rig();
    ask({});
    reply({ answers: [A(60, 192, 0, 2, 1), A(90, 192, 0, 2, 2)] });
    ask({ name: "MIRROR.test", id: 7 }, 10_999);
    expect(line(answers[1])).toBe("NOERROR 1/50/c0000201 1/80/c0000202");
    expect(hex(answers[1]!.subarray(0, 2))).toBe("0007");
    expect(Buffer.from(answers[1]!).toString("latin1")).toContain("MIRROR");
    expect(resolver.counts).toMatchObject({ questions: 2, cacheHits: 1, cached: 1 });
    ask({}, 60_000);
    expect(upstream).toHaveLength(1);
  });

  test("no longer than 300 s, and never what says 0", () => {
    const { upstream, ask, reply } = rig();
    ask({});
    reply({ answers: [A(86_400, 192, 0, 2, 1)] });
    ask({}, 299_999);
    expect(upstream).toHaveLength(0);
    ask({}, 300_000);
    expect(upstream).toHaveLength(1);
    reply({ answers: [A(0, 192, 0, 2, 1)] }, 300_000);
    ask({}, 300_000);
    expect(upstream).toHaveLength(1);
    reply({ answers: [A(0x8000_0001, 192, 0, 2, 1)] }, 300_000);
    ask({}, 300_000);
    expect(upstream).toHaveLength(1);
  });

  test.each([
    ["NXDOMAIN", 0x8183],
    ["NODATA", 0x8180],
  ])("%s for as long as RFC 2308 says", (_, flags) => {
    const { upstream, answers, ask, reply } = rig();
    ask({});
    reply({ flags, authority: [soa(40, 20)] });
    ask({}, 19_999);
    expect(upstream).toHaveLength(0);
    expect(line(answers[1])).toMatch(/ 6\/21\//);
    ask({}, 20_000);
    reply({ flags }, 20_000);
    ask({}, 20_000);
    expect(upstream).toHaveLength(1);
  });

  test("one question for many askers, each with its own spelling", () => {
    const { upstream, answers, ask, reply } = rig();
    ask({ id: 1 });
    ask({ id: 2, name: "MIRROR.TEST" });
    expect(upstream).toHaveLength(1);
    reply({ answers: [A(60, 192, 0, 2, 1)] });
    expect(answers.map((answer) => hex(answer.subarray(0, 2)))).toEqual(["0001", "0002"]);
    expect(Buffer.from(answers[1]!).toString("latin1")).toContain("MIRROR");
  });

  test("questions that want signatures apart from those that do not", () => {
    const { upstream, answers, ask, reply } = rig();
    ask({});
    ask({ additional: [opt(1232, 0x8000)] });
    expect(upstream).toHaveLength(2);
    expect(hex(upstream[1]!.message)).toMatch(/0000291000000080000000$/);
    reply({ flags: 0x81a0, answers: [A(60, 192, 0, 2, 1)] });
    reply({ flags: 0x81a0, answers: [A(60, 192, 0, 2, 1)] });
    expect(answers.map(line)).toEqual(["NOERROR 1/60/c0000201", "NOERROR ad 1/60/c0000201 opt"]);
  });
});

describe("sizes", () => {
  const many = (count: number) => Array.from({ length: count }, (_, index) => A(60, 192, 0, 2, index));
  test.each([
    ["UDP without EDNS", 29, "udp", [], ""],
    ["UDP without EDNS, one too many", 31, "udp", [], " tc"],
    ["UDP with EDNS", 74, "udp", [opt(1232)], ""],
    ["UDP with EDNS, one too many", 80, "udp", [opt(1232)], " tc"],
    ["UDP with EDNS that promises too much", 80, "udp", [opt(65_535)], " tc"],
    ["UDP with EDNS that asks for less than 512", 29, "udp", [opt(100)], ""],
    ["TCP", 200, "tcp", [], ""],
  ] as const)("%s", (_, count, transport, additional, flag) => {
    const { answers, ask, reply } = rig();
    ask({ additional }, 0, transport);
    reply({ answers: many(count) });
    expect(line(answers[0])).toMatch(new RegExp(`^NOERROR${flag}( |$)`));
    expect(readDns(answers[0]!)!.records.filter(({ type }) => type === 1)).toHaveLength(flag ? 0 : count);
    expect(answers[0]!.length).toBeLessThanOrEqual(
      transport === "tcp" ? 65_535 : additional.length > 0 ? 1232 : 512,
    );
  });

  test("EDNS of another version is BADVERS, two OPT records are an error", () => {
    const { answers, ask } = rig();
    ask({ additional: [opt(1232, 0x0001_0000)] });
    const [option] = readDns(answers[0]!)!.records;
    expect(option!.ttl >>> 24).toBe(1);
    ask({ additional: [opt(1232), opt(1232)] });
    expect(line(answers[1])).toBe("FORMERR without a question");
  });
});

describe("the resolver itself answers", () => {
  const hosts = () => [
    { hostName: "debian", address: "10.0.2.15" },
    { hostName: undefined, address: "10.0.2.16" },
  ];
  test.each([
    ["gateway.virga.internal", 1, "NOERROR 1/60/0a000202"],
    ["Debian.Virga.Internal", 1, "NOERROR 1/60/0a00020f"],
    ["debian.virga.internal", 28, "NOERROR"],
    ["nobody.virga.internal", 1, "NXDOMAIN"],
    ["undefined.virga.internal", 1, "NXDOMAIN"],
    ["virga.internal", 1, "NOERROR"],
    [
      "15.2.0.10.in-addr.arpa",
      12,
      `NOERROR 12/60/${hex(Uint8Array.from(wireName("debian.virga.internal")))}`,
    ],
    ["16.2.0.10.in-addr.arpa", 12, "REFUSED"],
    ["1.1.168.192.in-addr.arpa", 12, "REFUSED"],
    ["168.192.in-addr.arpa", 12, "REFUSED"],
    ["100.51.198.in-addr.arpa", 12, "REFUSED"],
    [`1.${"0.".repeat(31)}ip6.arpa`, 12, "REFUSED"],
    [`${"0.".repeat(28)}0.8.e.f.ip6.arpa`, 12, "REFUSED"],
    ["mirror.test", 255, "REFUSED"],
    ["mirror.test", 252, "REFUSED"],
  ])("%s type %i", (name, type, expected) => {
    const { upstream, answers, ask } = rig({ hosts });
    ask({ name, type });
    expect(line(answers[0])).toBe(expected);
    expect(upstream).toEqual([]);
  });

  test.each([
    "1.2.0.192.example.in-addr.arpa",
    "in-addr.arpa",
    "8.8.8.8.in-addr.arpa",
    "virga.internal.test",
  ])("not %s", (name) => {
    const { upstream, ask } = rig({ hosts });
    ask({ name, type: 12 });
    expect(upstream).toHaveLength(1);
  });

  test("another class is refused, another opcode not implemented, nonsense is a format error", () => {
    const { resolver, answers, ask } = rig();
    ask({ class: 3 });
    ask({ flags: 0x2800 });
    resolver.ask(new Uint8Array(12), 0, (message) => void answers.push(message));
    resolver.ask(dnsMessage({}).subarray(0, 20), 0, (message) => void answers.push(message));
    ask({ flags: 0x8180 });
    resolver.ask(new Uint8Array(11), 0, (message) => void answers.push(message));
    expect(answers.map(line)).toEqual([
      "REFUSED",
      "NOTIMP without a question",
      "FORMERR without a question",
      "FORMERR without a question",
    ]);
  });
});

describe("failure and bounds", () => {
  test.each([
    ["another name", { name: "other.test" }],
    ["another type", { type: 28 }],
    ["a question", { flags: 0x0100 }],
  ])("an answer to %s is SERVFAIL", (_, parts) => {
    const { answers, ask, reply, resolver } = rig();
    ask({});
    reply({ answers: [A(60, 192, 0, 2, 1)], ...parts });
    expect(line(answers[0])).toBe("SERVFAIL");
    expect(resolver.counts.cached).toBe(0);
  });

  test("SERVFAIL of the world is passed on and not kept; a cut answer neither", () => {
    const { upstream, answers, ask, reply } = rig();
    ask({});
    reply({ flags: 0x8182 });
    ask({});
    reply({ flags: 0x8380, answers: [A(60, 192, 0, 2, 1)] });
    ask({});
    expect(upstream).toHaveLength(1);
    expect(line(answers[0])).toBe("SERVFAIL");
  });

  test("1024 questions wait, the next is SERVFAIL; what nobody answers is given up after 10 s", () => {
    const { resolver, upstream, answers, ask } = rig();
    for (let number = 0; number < 1025; number++) ask({ name: `n${number}.test` });
    expect(upstream).toHaveLength(dnsLimits.pending);
    expect(answers.map(line)).toEqual(["SERVFAIL"]);
    ask({ name: "later.test" }, 10_001);
    expect(resolver.counts.pending).toBe(1);
    resolver.onAnswer(upstream[0]!.query, new Uint8Array(0), 10_001);
    expect(answers).toHaveLength(1);
  });

  test("a question that was given up is asked again", () => {
    const { upstream, ask } = rig();
    ask({});
    ask({}, 10_001);
    expect(upstream).toHaveLength(2);
  });

  test("33 askers of one question: the last is SERVFAIL at once", () => {
    const { answers, ask } = rig();
    for (let number = 0; number < 33; number++) ask({ id: number });
    expect(answers.map(line)).toEqual(["SERVFAIL"]);
  });

  test("the cache keeps 10,000 entries, those used last", () => {
    const { resolver, upstream, ask, reply } = rig();
    for (let number = 0; number <= dnsCacheLimits.entries; number++) {
      ask({ name: `n${number}.test` });
      reply({ answers: [A(60, 192, 0, 2, 1)] });
      if (number === 5000) ask({ name: "n0.test" });
    }
    expect(resolver.counts.cached).toBe(dnsCacheLimits.entries);
    ask({ name: "n0.test" });
    expect(upstream).toHaveLength(0);
    ask({ name: "n1.test" });
    expect(upstream).toHaveLength(1);
  });

  test("and 4 MiB of bytes", () => {
    const { resolver, ask, reply } = rig();
    const data = Array.from({ length: 40_000 }, () => 1);
    for (let number = 0; number < 200; number++) {
      ask({ name: `n${number}.test`, type: 16 });
      reply({ answers: [{ type: 16, ttl: 60, data }] });
    }
    expect(resolver.counts.cachedBytes).toBeLessThanOrEqual(dnsCacheLimits.bytes);
    expect(resolver.counts.cached).toBeGreaterThan(90);
  });

  test("a cache may be shared, and there need be no LAN", () => {
    const cache = new DnsCache();
    const shared: Partial<ResolverConfig> = { cache };
    const first = rig(shared);
    first.ask({});
    first.reply({ answers: [A(60, 192, 0, 2, 1)] });
    const second: Uint8Array[] = [];
    const resolver = new Resolver({ cache, resolve: () => second.push(new Uint8Array(0)) });
    resolver.ask(dnsMessage({}), 0, (message) => void second.push(message), "https");
    resolver.ask(dnsMessage({ name: "gateway.virga.internal" }), 0, () => {});
    expect(second.map((message) => (message.length > 0 ? line(message) : "asked"))).toEqual([
      "NOERROR 1/60/c0000201",
      "asked",
    ]);
  });

  test("remembers 10,000 names, by the name that was asked for", () => {
    const { resolver, ask, reply } = rig();
    ask({ name: "WWW.mirror.test", type: 28 });
    const v6 = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7];
    reply({
      answers: [
        { type: 5, ttl: 60, data: wireName("cdn.test") },
        { name: "cdn.test", type: 28, ttl: 60, data: v6 },
      ],
    });
    expect(resolver.nameOf("2001:db8::7")).toBe("www.mirror.test");
    expect(resolver.nameOf("192.0.2.1")).toBeUndefined();
    for (let number = 0; number < 110; number++) {
      ask({ name: `n${number}.test` });
      const answers = Array.from({ length: 100 }, (_, index) => A(60, 198, 18, number, index));
      reply({ answers });
    }
    expect(resolver.counts.names).toBe(dnsLimits.names);
    expect(resolver.nameOf("2001:db8::7")).toBeUndefined();
    expect(resolver.nameOf("198.18.109.99")).toBe("n109.test");
  });

  test("any bytes from the guest and from the world: never throws, every answer can be read", () => {
    const anyMessage = fc.oneof(
      fc.uint8Array({ maxLength: 80 }),
      fc
        .tuple(
          fc.record({
            flags: fc.constantFrom(0x0100, 0x8180, 0x0110),
            name: fc.constantFrom("a.test", "A.TEST", "", "2.2.0.10.in-addr.arpa"),
            type: fc.constantFrom(1, 12, 28, 41),
            answers: fc.array(fc.constantFrom(A(60, 1, 2, 3, 4), A(0, 1, 2, 3, 4), opt(9)), { maxLength: 2 }),
            additional: fc.array(fc.constantFrom(opt(512), opt(4096, 0x8000)), { maxLength: 2 }),
          }),
          fc.array(fc.tuple(fc.nat(70), fc.nat(255)), { maxLength: 3 }),
        )
        .map(([parts, damage]) => {
          const bytes = dnsMessage(parts);
          for (const [at, value] of damage) if (at < bytes.length) bytes[at] = value;
          return bytes;
        }),
    );
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.boolean(), anyMessage), { maxLength: 12 }), (steps) => {
        const { resolver, upstream, answers } = rig();
        for (const [at, [isQuestion, bytes]] of steps.entries())
          if (isQuestion) resolver.ask(bytes, at * 1000, (message) => void answers.push(message));
          else resolver.onAnswer(upstream[0]?.query ?? 1, bytes, at * 1000);
        for (const answer of answers) {
          expect(answer[2]! & 0x80).toBe(0x80);
          expect(answer.length === 12 || readDns(answer) !== null).toBe(true);
          expect(answer.length).toBeLessThanOrEqual(dnsLimits.udpBytes);
        }
      }),
      { numRuns: 1000 },
    );
  });
});
