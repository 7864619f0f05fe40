import { describe, expect, test } from "vitest";
import type { Impairments } from "../../support/impairment.ts";
import { LinuxGuest, whyNoLinuxGuest } from "../../support/linux-guest.ts";
import { downloadBody, sha256 } from "../../support/test-world.ts";

/**
 * This machine's kernel as the guest, in a network namespace behind a TAP device: the judge that has not read our code.
 * The impairments are our own, because a kernel may have no netem; their seed is printed.
 */
const why = whyNoLinuxGuest();
const IPV4 = "192.0.2.1";
const IPV6 = "2001:db8::1";
const TIMEOUT_MS = 170_000;
const SAY_SOMETHING =
  "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'', ('10.0.2.2', 9))";

const ways: readonly { readonly name: string; readonly how: Impairments; readonly bytes: number }[] = [
  { name: "a perfect link", how: {}, bytes: 5_000_000 },
  { name: "1 % loss", how: { loss: 0.01, delayMs: 1 }, bytes: 1_000_000 },
  {
    name: "loss, reorder, duplicates, delay and damage",
    how: { loss: 0.02, reorder: 0.03, duplicate: 0.01, delayMs: 3, jitterMs: 2, corrupt: 0.002 },
    bytes: 500_000,
  },
  { name: "a narrow link", how: { bytesPerMs: 1000, queueMs: 50, delayMs: 10 }, bytes: 1_000_000 },
];

/** A guest for one test, with an IPv4 address and, when it is waited for, an IPv6 address of its own making. */
async function withGuest(
  how: Impairments,
  seed: number,
  body: (guest: LinuxGuest) => Promise<void>,
): Promise<void> {
  const guest = await LinuxGuest.start(how, seed);
  try {
    await body(guest);
  } finally {
    guest.stop();
  }
}

/** Router advertisement, autoconfiguration and duplicate address detection by the kernel. */
async function untilIpv6(guest: LinuxGuest): Promise<string> {
  for (;;) {
    const shown = guest.run(["ip", "-6", "addr", "show", "dev", "tap0", "scope", "global"]);
    const found = /inet6 ([0-9a-f:]+)\/64/.exec(shown);
    if (found && !shown.includes("tentative")) return found[1]!;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

describe.skipIf(why !== undefined)(`a Linux guest${why === undefined ? "" : ` (${why})`}`, () => {
  for (const [index, { name, how, bytes }] of ways.entries()) {
    const seed = 100 + index;
    test(
      `${name}: downloads, uploads, half-close and a slow reader (seed ${seed})`,
      () =>
        withGuest(how, seed, async (guest) => {
          guest.configure();
          const [down] = (await guest.client("download", IPV4, bytes, 1)) as [string, number][];
          expect(down).toEqual([sha256(downloadBody(bytes, 0)), bytes]);
          for (const what of ["upload", "half-close", "echo"]) {
            const [pair] = (await guest.client(what, IPV4, bytes, 1)) as [string, string][];
            expect(pair![0], what).toBe(pair![1]);
          }
          const slow = (await guest.client("download", IPV4, 200_000, 2, "slow")) as [string, number][];
          expect(slow.map(([hash]) => hash)).toEqual(
            [0, 1].map((seed) => sha256(downloadBody(200_000, seed))),
          );
          // The kernel's last ACK may still be under way.
          const held = (): number[] => [guest.stack.counts.sendHeld, guest.stack.counts.receiveHeld];
          await expect.poll(held, { timeout: 30_000 }).toEqual([0, 0]);
        }),
      TIMEOUT_MS,
    );
  }

  for (const how of [{}, { loss: 0.01, delayMs: 2 }] as const)
    test(
      `200 connections at once${"loss" in how ? " with 1 % loss" : ""} (seed 200)`,
      () =>
        withGuest(how, 200, async (guest) => {
          guest.configure();
          const pairs = (await guest.client("echo", IPV4, 20_000, 200)) as [string, string][];
          expect(pairs.filter(([got, wanted]) => got !== wanted)).toEqual([]);
        }),
      TIMEOUT_MS,
    );

  test(
    "is refused in the words of its own errors",
    () =>
      withGuest({}, 1, async (guest) => {
        guest.configure();
        expect(await guest.client("refused", IPV4, 7004)).toEqual(["ECONNREFUSED"]);
        expect(await guest.client("refused", IPV4, 7005)).toEqual(["EHOSTUNREACH"]);
        expect(await guest.client("refused", IPV4, 7006)).toEqual(["EHOSTUNREACH"]);
        expect(await guest.client("udp", IPV4, 7011, 100)).toEqual(["ECONNREFUSED"]);
        expect(await guest.client("udp", IPV4, 443, 100)).toEqual(["ECONNREFUSED"]);
      }),
    TIMEOUT_MS,
  );

  test(
    "pings the gateway, and sends and receives datagrams in fragments",
    () =>
      withGuest({}, 2, async (guest) => {
        guest.configure();
        const ping = ["python3", guest.script, "udp", IPV4, "7010", "9000"];
        expect((await guest.exec(ping)).output.trim()).toBe("[true]");
        const { output } = await guest.exec(["busybox", "ping", "-c", "2", "-s", "4000", "10.0.2.2"]);
        if (!output.includes("not found")) expect(output).toContain("2 packets received");
      }),
    TIMEOUT_MS,
  );

  test(
    "gets its address by DHCP from a real client",
    () =>
      withGuest({}, 3, async (guest) => {
        const { code, output } = await guest.exec([
          "busybox",
          "udhcpc",
          "-i",
          "tap0",
          "-n",
          "-q",
          "-f",
          "-s",
          "/bin/true",
          "-t",
          "5",
          "-T",
          "1",
        ]);
        if (/not found|No such file/.test(output)) return;
        expect(code, output).toBe(0);
        expect(output).toMatch(/lease of 10\.0\.2\.15 obtained/);
      }),
    TIMEOUT_MS,
  );

  test(
    "configures IPv6 by itself and uses it",
    () =>
      withGuest({ delayMs: 1 }, 4, async (guest) => {
        const address = await untilIpv6(guest);
        expect(address.startsWith("fd00:7669:7267:")).toBe(true);
        const [down] = (await guest.client("download", IPV6, 1_000_000, 1)) as [string, number][];
        expect(down![0]).toBe(sha256(downloadBody(1_000_000, 0)));
        const [up] = (await guest.client("upload", IPV6, 1_000_000, 1)) as [string, string][];
        expect(up![0]).toBe(up![1]);
        expect(await guest.client("refused", IPV6, 7004)).toEqual(["ECONNREFUSED"]);
        expect(await guest.client("refused", IPV6, 7006)).toEqual(["EACCES"]);
        expect(await guest.client("udp", IPV6, 7010, 5000)).toEqual([true]);
        expect(await guest.client("udp", IPV6, 7011, 50)).toEqual(["ECONNREFUSED"]);
      }),
    TIMEOUT_MS,
  );

  test(
    "is opened to from outside: a published port",
    () =>
      withGuest({ loss: 0.01, delayMs: 1 }, 5, async (guest) => {
        guest.configure();
        const from = { address: "198.51.100.9", port: 0 };
        const body = downloadBody(300_000, 7);
        const args = ["python3", guest.script, "listen", "8080", "10.0.2.15"];
        // The gateway learns the guest's hardware address from whatever it says.
        guest.run(["python3", "-c", SAY_SOMETHING]);
        let flow: number | null = null;
        let isListening = false;
        const publish = (): void => {
          flow = guest.stack.open({ address: "10.0.2.15", port: 8080 }, from, performance.now());
          // What the guest said is still on its way to the gateway.
          if (flow === null) {
            setTimeout(publish, 20);
            return;
          }
          guest.world.adopt(flow, { address: from.address, port: 7000, from });
          guest.world.give(flow, body, true);
          guest.turn();
        };
        const { output } = await guest.exec(args, (text) => {
          if (isListening || !text.includes("listening")) return;
          isListening = true;
          publish();
        });
        const [bytes, peer] = JSON.parse(output.trim().split("\n").at(-1)!) as [number, string];
        expect([bytes, peer]).toEqual([body.length, from.address]);
        expect(guest.world.openedFlows).toEqual([flow]);
      }),
    TIMEOUT_MS,
  );
});
