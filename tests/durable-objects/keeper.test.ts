import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { Visit } from "#protocol/visit.ts";
import { type Company, Keeper } from "../../durable-objects/keeper.ts";
import { Names } from "../../durable-objects/gateway/names.ts";
import type { Admission } from "../../durable-objects/gateway/guarded-egress.ts";
import type { Refused } from "../../durable-objects/gateway/flow.ts";
import { readSettings } from "../../durable-objects/settings.ts";

const visit: Visit = {
  door: "virga",
  sid: "s1",
  profile: "signed-in",
  account: "ada",
  address: "192.0.2.77",
};
const noNames = new Names(
  () => Promise.resolve(new Uint8Array(12)),
  () => 0,
);

function keeper(env: Record<string, string> = {}, company?: Company): Keeper {
  const all = { VIRGA_EGRESS: "on", ...env };
  const made = new Keeper(all, readSettings(all), noNames, { fetch: false, relay: false }, company);
  made.visit = visit;
  return made;
}
const admitted = async (of: Keeper, host = "198.41.0.4", port = 443): Promise<Admission> => {
  const verdict = await of.admit({ host, port });
  if ("refusal" in verdict) throw new Error(verdict.sentence);
  return verdict;
};
const refused = async (of: Keeper, host: string, port = 443): Promise<Refused> => {
  const verdict = await of.admit({ host, port });
  if (!("refusal" in verdict)) throw new Error("it was let through");
  return verdict;
};

let lines: Record<string, unknown>[] = [];
beforeEach(() => {
  lines = [];
  vi.spyOn(console, "log").mockImplementation((line: string) => {
    lines.push(JSON.parse(line) as Record<string, unknown>);
  });
});
afterEach(() => {
  vi.restoreAllMocks();
  vi.useRealTimers();
});

describe("the log", () => {
  test("says who reached what, and how it ended", async () => {
    const admission = await admitted(keeper());
    admission.onDialled(null);
    admission.onBytes(7);
    expect(lines).toEqual([]);
    admission.onClosed(3, 4, "reset");
    expect(lines).toEqual([
      expect.objectContaining({
        audit: "flow",
        session: "s1",
        account: "ada",
        visitor: "192.0.2.77",
        profile: "signed-in",
        by: "virga",
        address: "198.41.0.4",
        port: 443,
        via: "connect",
        outcome: "reset",
        sentBytes: 3,
        receivedBytes: 4,
      }),
    ]);
  });

  test("says why a dial failed, and that an allowance cut a connection", async () => {
    const of = keeper({ VIRGA_EGRESS_LIMITS_SIGNED_IN: "bytes=10" });
    const failed = await admitted(of);
    failed.onDialled({ refusal: "timeout", code: "timeout", sentence: "" });
    failed.onClosed(0, 0, "reset");
    const cut = await admitted(of);
    cut.onDialled(null);
    expect(cut.onBytes(11)).toBe(false);
    cut.onClosed(11, 0, "too-many-bytes");
    expect(lines.map(({ outcome }) => outcome)).toEqual(["timeout", "too-many-bytes"]);
    expect((await refused(of, "198.41.0.4")).code).toBe("too-many-bytes");
  });

  test("of refusals has a bound, and says how many it has left out", async () => {
    vi.useFakeTimers({ now: 1_000_000 });
    const of = keeper();
    for (let count = 0; count < 100; count++)
      expect((await refused(of, "10.0.0.1")).code).toBe("private-address");
    expect(lines.length).toBe(60);
    expect(of.counts).toMatchObject({ denied: 100, blockedByAddress: 100 });
    vi.advanceTimersByTime(1000);
    await refused(of, "10.0.0.1");
    expect(lines.length).toBe(61);
    expect(lines.at(-1)).toMatchObject({ unwritten: 40 });
    vi.advanceTimersByTime(1000);
    await refused(of, "10.0.0.1");
    expect(lines.at(-1)).not.toHaveProperty("unwritten");
  });

  test.each([
    ["on", "192.0.2.77", "192.0.2.77"],
    ["short", "192.0.2.77", "192.0.2.0/24"],
    ["short", "2001:db8:1:2:3::4", "2001:db8:1:2::/64"],
    ["short", "", undefined],
  ])("with VIRGA_AUDIT=%s names %s as %s", async (audit, address, visitor) => {
    const of = keeper({ VIRGA_AUDIT: audit });
    of.visit = { ...visit, address };
    await refused(of, "10.0.0.1");
    expect(lines[0]!["visitor"]).toBe(visitor);
  });

  test("is silent where the operator wants it so, and knows who came in through a port", async () => {
    const silent = keeper({ VIRGA_AUDIT: "off" });
    await refused(silent, "10.0.0.1");
    expect(lines).toEqual([]);
    const span = { atMs: Date.now(), sentBytes: 10, receivedBytes: 2, protocol: "tcp" as const };
    keeper().logPort("203.0.113.9", 8080, "done", span);
    expect(lines[0]).toMatchObject({
      by: "port",
      visitor: "203.0.113.9",
      port: 8080,
      session: "s1",
      sentBytes: 10,
    });
  });
});

test("a page is told of a bound that was reached, once in two seconds, and when it is over", async () => {
  vi.useFakeTimers({ now: 1_000_000 });
  const of = keeper({ VIRGA_EGRESS_LIMITS_SIGNED_IN: "connections=2,burst=1" });
  await admitted(of);
  const { code } = await refused(of, "198.41.0.4");
  expect(of.quotaNotice(code)).toEqual({ type: "quota", of: "connections", limit: 2, retryAfterMs: 500 });
  expect(of.quotaNotice(code)).toBeUndefined();
  vi.advanceTimersByTime(2000);
  expect(of.quotaNotice(code)).toMatchObject({ of: "connections", retryAfterMs: 0 });
  expect(of.quotaNotice("private-address")).toBeUndefined();
});

describe("what a session is not alone in", () => {
  const hungUp: Refused = { refusal: "prohibited", code: "egress-off", sentence: "Please write to us." };

  test("the operator's word is asked before a name is, and given as it is", async () => {
    const entered = vi.fn<Company["enter"]>();
    const of = keeper({}, { refuses: () => Promise.resolve(hungUp), enter: entered });
    expect(await refused(of, "a.test")).toEqual(hungUp);
    expect(entered).not.toHaveBeenCalled();
  });

  test("a flow that finds no room there counts nowhere; one that does ends there too", async () => {
    const events: string[] = [];
    let isFull = true;
    const full: Refused = {
      refusal: "prohibited",
      code: "too-many-flows",
      sentence: "of this account together",
    };
    const of = keeper(
      { VIRGA_EGRESS_LIMITS_SIGNED_IN: "flows=1" },
      {
        refuses: () => Promise.resolve(null),
        enter: (_, isNewHost) =>
          Promise.resolve(
            isFull
              ? full
              : {
                  dialed: (hasFailed) => void events.push(`dialed ${hasFailed} ${isNewHost}`),
                  carried: (bytes) => bytes < 100,
                  closed: () => void events.push("closed"),
                },
          ),
      },
    );
    expect(await refused(of, "198.41.0.4")).toEqual(full);
    isFull = false;
    // The one place of the session was given back, and the host is as new as before.
    const admission = await admitted(of);
    admission.onDialled(null);
    expect([admission.onBytes(99), admission.onBytes(100)]).toEqual([true, false]);
    admission.onClosed(199, 0, "too-many-bytes");
    expect(events).toEqual(["dialed false true", "closed"]);
  });
});
