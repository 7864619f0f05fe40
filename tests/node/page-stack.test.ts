import { createHash } from "node:crypto";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { WebSocket } from "ws";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { type Clock, realClock } from "../../emulator/network/clock.ts";
import { enterSession } from "../../emulator/network/gateway.ts";
import { pageDns } from "../../emulator/network/page-dns.ts";
import { FetchWay } from "../../emulator/network/page-fetch.ts";
import { PageUplink, type PageWay } from "../../emulator/network/page-uplink.ts";
import { RelayWay } from "../../emulator/network/relay-way.ts";
import type { Socket } from "../../emulator/network/tunnel-uplink.ts";
import type { Failure } from "../../emulator/protocol/failure.ts";
import type { TunnelNotice } from "../../emulator/protocol/tunnel-notices.ts";
import {
  type LoopbackServer,
  closedPort,
  echoServer,
  hashServer,
  pattern,
  sha256,
  sourceServer,
} from "../support/loopback.ts";
import { largeLan } from "../../durable-objects/net/lan.ts";
import { startRelay } from "../../infra/relay/relay.ts";
import { startCuttingProxy } from "../support/cutting-proxy.ts";
import { GuestDatagrams, udpEcho } from "../support/guest-datagrams.ts";
import { NetGuest } from "../support/net-guest.ts";
import { tunnelSite } from "../support/tunnel-site.ts";

/** The stack as the network worker runs it, with a relay that is the built Worker, and servers on the loopback. */
const MiB = 2 ** 20;
const file = pattern(8 * MiB, 3);
/** More than the buffers of two kernels and everything between them hold. */
const long = pattern(48 * MiB, 5);
const site = tunnelSite();
const servers = {} as Record<"echo" | "source" | "long" | "hash", LoopbackServer>;
const open: (() => void)[] = [];

beforeAll(async () => {
  Object.assign(servers, {
    echo: await echoServer(),
    source: await sourceServer(file),
    long: await sourceServer(long),
    hash: await hashServer(),
  });
});
afterEach(() => {
  for (const close of open.splice(0)) close();
});
afterAll(async () => {
  for (const server of Object.values(servers)) await server.close();
});

interface Plugged {
  readonly guest: NetGuest;
  readonly states: string[];
  readonly notices: TunnelNotice[];
  readonly uplink: PageUplink;
  /** Until the way says this. */
  readonly state: (wanted: string) => Promise<void>;
}

/** A guest whose card is the uplink's LAN. */
function plug(way: PageWay, resolve: (message: Uint8Array) => Promise<Uint8Array | null>): Plugged {
  const states: string[] = [];
  const notices: TunnelNotice[] = [];
  const waiters = new Set<() => void>();
  const uplink: PageUplink = new PageUplink(
    { clock: realClock, way, resolve, secret: new Uint8Array(32).fill(7) },
    {
      frames(frames) {
        guest.onFrames(frames);
        for (const frame of frames) uplink.consumed(frame);
      },
      roomy() {},
      state(state, failure?: Failure) {
        states.push(failure ? `${state} ${failure.code}` : state);
        for (const wake of waiters) wake();
      },
      notice: (notice) => notices.push(notice),
    },
  );
  const guest = new NetGuest(
    (frame) => uplink.send(frame),
    () => uplink.flush(),
    undefined,
    largeLan,
  );
  uplink.start();
  open.push(() => {
    guest.stop();
    uplink.close();
  });
  const state = async (wanted: string): Promise<void> => {
    while (!states.includes(wanted))
      await new Promise<void>((resolve) => {
        waiters.add(resolve);
      });
  };
  return { guest, states, notices, uplink, state };
}

const nobody = (): Promise<null> => Promise.resolve(null);
const openSocket = (url: string, protocols: string[]): Socket =>
  new WebSocket(url, protocols, { perMessageDeflate: false }) as unknown as Socket;
function relay(
  kind: "tcp-mux" | "wisp",
  origin: string | URL = site.url,
  clock: Clock = realClock,
): RelayWay {
  const url = new URL(kind === "wisp" ? "/wisp/" : "/tcp-mux", origin);
  url.protocol = "ws:";
  return new RelayWay({ clock, openSocket, enter: nobody }, kind, url.href);
}

test("the page is told when no name server answers", async () => {
  const { guest, notices } = plug(relay("tcp-mux"), nobody);
  const udp = new GuestDatagrams(guest);
  // virga.example, A, recursion desired (RFC 1035 §4.1).
  const question = Buffer.from("000701000001000000000000057669726761076578616d706c650000010001", "hex");
  udp.send(5353, "10.0.2.2", 53, question);
  await expect
    .poll(() => notices, { timeout: 10_000 })
    .toEqual([{ type: "names", failing: "virga.example" }]);
});

describe.each(["tcp-mux", "wisp"] as const)("through %s", (kind) => {
  test("bytes go both ways", async () => {
    const { guest, state, notices } = plug(relay(kind), nobody);
    await state("online");
    const connection = guest.connect("127.0.0.1", servers.echo.port);
    await connection.write(Buffer.from("hello"));
    while (connection.receivedBytes < 5) await connection.change();
    expect(Buffer.concat(connection.pieces).toString()).toBe("hello");
    connection.abort();
    expect(notices[0]).toMatchObject({ type: "flow-opened", egress: "relay", port: servers.echo.port });
  });

  test("a relay that freezes is given up: a sentence, a new socket, and the next connection works", async () => {
    const env = { VIRGA_EGRESS: "open-loopback", VIRGA_AUDIT: "off" };
    const far = await startRelay({ port: 0, host: "127.0.0.1", token: "", env });
    const wire = await startCuttingProxy(far.url.replace(/^ws/, "http"));
    // Only while it is frozen does time run faster than the machine.
    let ahead = 0;
    const clock = { ...realClock, nowMs: () => realClock.nowMs() + ahead };
    const { guest, state, states, notices } = plug(relay(kind, wire.url, clock), nobody);
    await state("online");
    const connection = guest.connect("127.0.0.1", servers.echo.port);
    await connection.write(Buffer.from("hello"));
    while (connection.receivedBytes < 5) await connection.change();
    expect(wire.freezeSockets()).toBe(1);
    await connection.write(Buffer.from("are you there?"));
    const hurry = setInterval(() => (ahead += 5000), 100);
    await expect(connection.whole()).rejects.toThrow("reset");
    clearInterval(hurry);
    await expect
      .poll(() => notices.filter(({ type }) => type === "flow-refused"))
      .toMatchObject([{ code: "no-relay", problem: "The operator's relay has stopped answering." }]);
    await state("reconnecting");
    await expect.poll(() => states.at(-1), { timeout: 60_000 }).toBe("online");
    expect(sha256(await guest.connect("127.0.0.1", servers.source.port).whole())).toBe(sha256(file));
    await wire.close();
    await far.close();
  });

  test("eight megabytes down, every byte as it was", async () => {
    const { guest, notices } = plug(relay(kind), nobody);
    // What guests call host.virga.internal.
    const connection = guest.connect("198.18.0.1", servers.source.port);
    expect(sha256(await connection.whole())).toBe(sha256(file));
    expect(notices[0]).toMatchObject({ type: "flow-opened", name: "host.virga.internal" });
  });

  test("a slow reader gets all of it", async () => {
    const { guest } = plug(relay(kind), nobody);
    const slow = guest.connect("127.0.0.1", servers.long.port);
    slow.isPaused = true;
    while (slow.receivedBytes === 0) await slow.change();
    await new Promise((resolve) => setTimeout(resolve, 500));
    slow.resume();
    expect(sha256(await slow.whole())).toBe(sha256(long));
  });

  test("fifty connections at once", async () => {
    const { guest } = plug(relay(kind), nobody);
    const all = Array.from({ length: 50 }, () => guest.connect("127.0.0.1", servers.echo.port));
    await Promise.all(all.map((connection, number) => connection.write(Buffer.from(`number ${number}`))));
    for (const [number, connection] of all.entries()) {
      const words = `number ${number}`;
      while (connection.receivedBytes < words.length) await connection.change();
      expect(Buffer.concat(connection.pieces).toString()).toBe(words);
    }
  });

  test("what refuses is closed, and private addresses are refused by the site's policy", async () => {
    const { guest, notices } = plug(relay(kind), nobody);
    await expect(guest.connect("127.0.0.1", await closedPort()).whole()).rejects.toThrow("reset");
    await expect(guest.connect("192.168.77.1", 80).whole()).rejects.toThrow("reset");
    const refused = notices.filter(({ type }) => type === "flow-refused");
    expect(refused.at(-1)).toMatchObject({ address: "192.168.77.1", code: "denied-address" });
  });

  test("a lost socket resets what went through it, and the next connection finds a new one", async () => {
    const sockets: WebSocket[] = [];
    const url = new URL(kind === "wisp" ? "/wisp/" : "/tcp-mux", site.url);
    url.protocol = "ws:";
    const host = {
      clock: realClock,
      enter: nobody,
      openSocket(address: string, protocols: string[]) {
        const socket = openSocket(address, protocols);
        sockets.push(socket as unknown as WebSocket);
        return socket;
      },
    };
    const { guest, state, states } = plug(new RelayWay(host, kind, url.href), nobody);
    await state("online");
    const connection = guest.connect("127.0.0.1", servers.echo.port);
    await connection.write(Buffer.from("x"));
    while (connection.receivedBytes < 1) await connection.change();
    sockets[0]!.terminate();
    while (!connection.closed) await connection.change();
    expect(connection.closed).toBe("reset");
    await state("reconnecting");
    while (states.at(-1) !== "online") await new Promise((resolve) => setTimeout(resolve, 20));
    const next = guest.connect("127.0.0.1", servers.source.port);
    expect(sha256(await next.whole())).toBe(sha256(file));
  });
});

describe.each(["tcp-mux", "wisp/"] as const)("datagrams beside /%s", (path) => {
  const plugged = (base: string) => {
    const host = { clock: realClock, openSocket, enter: nobody };
    return plug(new RelayWay(host, path === "wisp/" ? "wisp" : path, `${base}/${path}?token=key`), nobody);
  };

  test("go by the relay and back, and what it forbids is said in words", async () => {
    const echo = await udpEcho();
    const env = { VIRGA_EGRESS: "open-loopback", VIRGA_AUDIT: "off" };
    const far = await startRelay({ port: 0, host: "127.0.0.1", token: "key", env });
    open.push(() => {
      echo.close();
      void far.close();
    });
    const { guest, notices } = plugged(far.url);
    const udp = new GuestDatagrams(guest);
    udp.send(4000, "127.0.0.1", echo.port, "abc");
    expect(await udp.next()).toMatchObject({ from: "127.0.0.1", toPort: 4000, payload: Buffer.from("cba") });
    udp.send(4000, "10.1.1.1", 9, "abc");
    expect(await udp.next()).toEqual({ icmp: "prohibited", toPort: 9 });
    const told = notices.filter(({ type }) => type.startsWith("flow-"));
    expect(told).toMatchObject([
      { type: "flow-opened", protocol: "udp", egress: "relay", port: echo.port },
      { type: "flow-opened", protocol: "udp", address: "10.1.1.1" },
      {
        type: "flow-refused",
        protocol: "udp",
        address: "10.1.1.1",
        problem: expect.stringContaining("public internet"),
      },
    ]);
  });

  test("a site without a relay for UDP says so", async () => {
    const { guest, notices } = plugged(site.url.href.replace(/^http/, "ws").replace(/\/$/, ""));
    const udp = new GuestDatagrams(guest);
    udp.send(4000, "192.0.2.7", 9, "abc");
    expect(await udp.next()).toEqual({ icmp: "prohibited", toPort: 9 });
    const refused = notices.find(({ type }) => type === "flow-refused");
    expect(refused).toMatchObject({ problem: expect.stringContaining("need a relay") });
  });
});

test("one that never reads is cut, so that the others go on", async () => {
  const { guest } = plug(relay("tcp-mux"), nobody);
  const slow = guest.connect("127.0.0.1", servers.long.port);
  slow.isPaused = true;
  while (slow.receivedBytes === 0) await slow.change();
  const other = guest.connect("127.0.0.1", servers.long.port);
  expect(sha256(await other.whole())).toBe(sha256(long));
  expect(slow.closed).toBe("reset");
});

test("half-close by tcp-mux: the answer comes after everything was said", async () => {
  const { guest } = plug(relay("tcp-mux"), nobody);
  const connection = guest.connect("127.0.0.1", servers.hash.port);
  const upload = file.subarray(0, 3 * MiB);
  await connection.write(upload);
  connection.end();
  expect((await connection.whole()).toString()).toBe(sha256(upload));
});

test("a relay that wants nobody is told in words, and is not asked again by itself", async () => {
  const refusal: Failure = { code: "tunnel-refused", sentence: "Not from here." };
  const host = { clock: realClock, openSocket, enter: () => Promise.resolve(refusal) };
  const { guest, state } = plug(new RelayWay(host, "wisp", "ws://127.0.0.1:9/wisp/"), nobody);
  const connection = guest.connect("127.0.0.1", 80);
  await state("refused tunnel-refused");
  await expect(connection.whole()).rejects.toThrow("reset");
});

test("names are asked of the site, whose session is renewed when it knows none", async () => {
  let cookie = "";
  const fetcher: typeof fetch = async (input, init) => {
    const url = new URL(input as string, site.url);
    const headers = new Headers(init?.headers);
    if (cookie) headers.set("cookie", cookie);
    headers.set("origin", site.url.origin);
    const response = await fetch(url, { ...init, headers });
    cookie = response.headers.get("set-cookie")?.split(";")[0] ?? cookie;
    return response;
  };
  let entered = 0;
  const enter = (): Promise<Failure | null> => {
    entered++;
    return enterSession(fetcher, "/session");
  };
  const ask = pageDns(fetcher, "/dns-query", enter);
  // RFC 6761 §6.3: the site's resolver answers localhost by itself.
  const question = Buffer.from("123401000001000000000000096c6f63616c686f73740000010001", "hex");
  const answer = await ask(question);
  expect(entered).toBe(1);
  expect(Buffer.from(answer!).readUInt16BE(0)).toBe(0x1234);
  expect(answer![2]! & 0x80).toBe(0x80);
  expect(await pageDns(fetcher, "http://127.0.0.1:9/dns-query", enter)(question)).toBeNull();
});

describe("by the browser's fetch", () => {
  const server = createServer((request, response) => {
    const hash = createHash("sha256");
    request.on("data", (bytes: Buffer) => hash.update(bytes));
    request.on("end", () => {
      if (request.url === "/file") response.end(file);
      else if (request.url === "/none") response.writeHead(204).end();
      else response.end(`${request.method} ${request.url} ${hash.digest("hex")}`);
    });
  });
  beforeAll(() => new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve)));
  afterAll(() => void server.close());

  const way = (): FetchWay => new FetchWay((...request) => fetch(...request), "http://page.test", nobody);
  const hostField = (): string => `127.0.0.1:${(server.address() as AddressInfo).port}`;
  async function talk(lines: readonly string[], body: Uint8Array = new Uint8Array(0)): Promise<string> {
    const { guest } = plug(way(), nobody);
    const connection = guest.connect("198.51.100.7", 80);
    await connection.write(Buffer.from(`${lines.join("\r\n")}\r\n\r\n`));
    if (body.length > 0) await connection.write(body);
    return (await connection.whole()).toString("latin1");
  }

  test("two requests on one connection", async () => {
    const said = await talk([
      `GET /one HTTP/1.1\r\nHost: ${hostField()}\r\n\r\nGET /two HTTP/1.1`,
      `Host: ${hostField()}`,
      "Connection: close",
    ]);
    expect(said.match(/HTTP\/1\.1 200 OK/g)).toHaveLength(2);
    expect(said).toMatch(/GET \/one [\s\S]*GET \/two /);
  });

  test("a body down, whole, to a client of HTTP/1.0", async () => {
    const said = await talk(["GET /file HTTP/1.0", `Host: ${hostField()}`]);
    const at = said.indexOf("\r\n\r\n") + 4;
    expect(sha256(Buffer.from(said.slice(at), "latin1"))).toBe(sha256(file));
  });

  test("a body up, after leave to send it", async () => {
    const upload = file.subarray(0, MiB);
    const said = await talk(
      [
        "PUT /up HTTP/1.1",
        `Host: ${hostField()}`,
        `Content-Length: ${MiB}`,
        "Expect: 100-continue",
        "Connection: close",
      ],
      upload,
    );
    expect(said).toMatch(/^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 200 OK/);
    expect(said).toContain(`PUT /up ${sha256(upload)}`);
  });

  test("an answer without a body, and a body that is too long", async () => {
    expect(await talk(["GET /none HTTP/1.1", `Host: ${hostField()}`, "Connection: close"])).toMatch(
      /^HTTP\/1\.1 204 [^\r]*\r\n/,
    );
    expect(await talk(["PUT / HTTP/1.1", `Host: ${hostField()}`, "Content-Length: 99999999"])).toMatch(
      /^HTTP\/1\.1 413 /,
    );
  });

  test("what the browser does not fetch is a 502 in words; what is not HTTP, a 400", async () => {
    const said = await talk(["GET / HTTP/1.1", `Host: 127.0.0.1:${await closedPort()}`]);
    expect(said).toMatch(/^HTTP\/1\.1 502 Bad Gateway\r\n/);
    expect(said).toMatch(/The browser did not fetch http:\/\/127\.0\.0\.1:\d+\//);
    expect(await talk(["nonsense"])).toMatch(/^HTTP\/1\.1 400 /);
  });

  test("other ports are refused in words", async () => {
    const { guest, notices } = plug(way(), nobody);
    await expect(guest.connect("198.51.100.7", 22).whole()).rejects.toThrow("reset");
    expect(notices).toMatchObject([{ type: "flow-refused", code: "denied-port" }]);
  });
});
