import { type IncomingMessage, request } from "node:http";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { WebSocket } from "ws";
import type { PublishedPort } from "#protocol/published-port.ts";
import { pattern, sha256 } from "../support/loopback.ts";
import { type GuestConnection, VirgaGuest } from "../support/net-guest.ts";
import { tunnelSite, visitorHeaders } from "../support/tunnel-site.ts";

const site = tunnelSite();
/** An operator without a wildcard. */
const pathSite = tunnelSite({ VIRGA_PORTS_HOST: "/p" });
const file = pattern(2 ** 20, 3);
let owner: Record<string, string>;
let tunnel: VirgaGuest;
/** Heads of the requests that reached the guest. */
const heads: string[] = [];

/** Far more than all windows and buffers on the way hold together. */
const MUCH = 96 * 2 ** 20;
const MOST_ON_THE_WAY = 32 * 2 ** 20;
/** Bytes that the guest has handed on, and the visitor. */
const moved = { down: 0, up: 0 };
let letRead = (): void => {};
const mayRead = new Promise<void>((resolve) => (letRead = resolve));
/** Where a number has come to rest: it has not changed for so many looks. */
async function atRest(look: () => number): Promise<number> {
  let last = -1;
  for (let same = 0; same < 10; same = look() === last ? same + 1 : 0) {
    last = look();
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  return last;
}

/** A server inside the guest: reads a request's head, and answers by its path. */
async function serve(connection: GuestConnection): Promise<void> {
  let text = "";
  while (!text.includes("\r\n\r\n") && !connection.isEnded && !connection.closed) {
    await connection.change();
    text = Buffer.concat(connection.pieces).toString("latin1");
  }
  const end = text.indexOf("\r\n\r\n") + 4;
  const head = text.slice(0, end);
  heads.push(head);
  const path = head.split(" ", 2)[1];
  const write = (answer: string | Buffer): Promise<void> => connection.write(Buffer.from(answer));
  if (path === "/file") {
    await write(
      `HTTP/1.1 200 OK\r\nContent-Length: ${file.length}\r\nSet-Cookie: a=1; Domain=.localhost\r\n\r\n`,
    );
    await write(file);
  } else if (path === "/much") {
    await write(`HTTP/1.1 200 OK\r\nContent-Length: ${MUCH}\r\n\r\n`);
    for (moved.down = 0; moved.down < MUCH; moved.down += file.length) await write(file);
  } else if (path === "/slow") {
    // Nothing of the body is read before somebody says so.
    connection.isPaused = true;
    connection.discards = true;
    await mayRead;
    connection.resume();
    while (connection.receivedBytes - end < MUCH) await connection.change();
    await write("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwhole");
  } else if (path === "/chunks")
    await write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n");
  else if (path === "/upload") {
    const wanted = Number(/content-length: (\d+)/i.exec(head)![1]);
    while (connection.receivedBytes - end < wanted) await connection.change();
    const body = Buffer.concat(connection.pieces).subarray(end);
    await write(`HTTP/1.1 200 OK\r\nContent-Length: 64\r\n\r\n${sha256(body)}`);
  } else if (path === "/socket") {
    const key = /sec-websocket-key: (\S+)/i.exec(head)![1]!;
    const digest = await crypto.subtle.digest(
      "SHA-1",
      new TextEncoder().encode(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`),
    );
    const accept = Buffer.from(digest).toString("base64");
    await write(
      `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
    );
    // One masked text frame of a few bytes: it goes back unmasked and in upper case.
    while (connection.receivedBytes - end < 6) await connection.change();
    const frame = Buffer.concat(connection.pieces).subarray(end);
    const length = frame[1]! & 127;
    const words = frame.subarray(6, 6 + length).map((byte, at) => byte ^ frame[2 + (at & 3)]!);
    await write(
      Buffer.concat([Buffer.from([0x81, length]), Buffer.from(Buffer.from(words).toString().toUpperCase())]),
    );
    return;
  } else await write("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
  connection.end();
}

beforeAll(async () => {
  owner = await visitorHeaders(site);
  const url = new URL("/l2", site.url).href.replace(/^http/, "ws");
  tunnel = await new VirgaGuest(url, { headers: owner }).ready();
  tunnel.guest.listen(8080, "10.0.2.2", (connection) => void serve(connection));
  // The gateway learns the guest's address from what it sends.
  await expect(tunnel.guest.connect("10.99.0.1", 80).whole()).rejects.toThrow("reset");
});
afterAll(() => tunnel.stop());

const api = (method: string, path: string, body?: object, headers = owner): Promise<Response> =>
  fetch(new URL(path, site.url), {
    method,
    headers: { ...headers, ...(body && { "content-type": "application/json" }) },
    redirect: "manual",
    ...(body && { body: JSON.stringify(body) }),
  });
async function publish(access: string, port = 8080): Promise<PublishedPort> {
  const response = await api("POST", "/api/ports", { port, access });
  expect(response.status).toBe(201);
  return (await response.json()) as PublishedPort;
}

interface Answer {
  status: number;
  headers: Record<string, string | string[] | undefined>;
  body: Buffer;
}
/** `<id>.localhost` is this machine, whatever its resolver thinks. */
function ask(
  address: string,
  options: { method?: string; headers?: Record<string, string>; body?: Buffer } = {},
): Promise<Answer> {
  const url = new URL(address);
  const { method = "GET", headers = {}, body } = options;
  return new Promise((resolve, reject) => {
    const asking = request(
      {
        host: "127.0.0.1",
        port: url.port,
        path: url.pathname + url.search,
        method,
        headers: { host: url.host, ...headers, ...(body && { "content-length": String(body.length) }) },
      },
      (response) => {
        const pieces: Buffer[] = [];
        response.on("data", (piece: Buffer) => pieces.push(piece));
        response.on("error", reject);
        response.on("end", () =>
          resolve({
            status: response.statusCode ?? 0,
            headers: response.headers,
            body: Buffer.concat(pieces),
          }),
        );
      },
    );
    asking.on("error", reject);
    asking.end(body);
  });
}
const at = (port: PublishedPort, path: string): string => new URL(path, port.url).href;

describe("a published port", () => {
  test("answers on a host of its own; bodies stream whole, and cookies of ours stay out", async () => {
    const port = await publish("public");
    expect(new URL(port.url).hostname).toBe(`${port.id}.localhost`);
    const download = await ask(at(port, "/file"), { headers: { cookie: `${owner["cookie"]}; theirs=1` } });
    expect([download.status, sha256(download.body)]).toEqual([200, sha256(file)]);
    expect(download.headers["set-cookie"]).toEqual(["a=1"]);
    expect(heads.at(-1)).toMatch(/^cookie: theirs=1\r$/im);
    expect(heads.at(-1)).not.toContain("aero_session");
    expect((await ask(at(port, "/chunks"))).body.toString()).toBe("onetwo");
    const upload = await ask(at(port, "/upload"), { method: "POST", body: file.subarray(0, 300_000) });
    expect(upload.body.toString()).toBe(sha256(file.subarray(0, 300_000)));
    // Nothing of the app is served beside the guest's content.
    expect((await ask(at(port, "/api/images"))).status).toBe(404);
    expect((await ask(at(port, "/"))).status).toBe(404);
  });

  test("a body that nobody reads waits where it comes from, and then arrives whole", async () => {
    const port = await publish("public");
    const url = new URL(port.url);
    const options = { host: "127.0.0.1", port: url.port, headers: { host: url.host } };
    const response = await new Promise<IncomingMessage>((resolve, reject) =>
      request({ ...options, path: "/much" }, resolve)
        .on("error", reject)
        .end(),
    );
    expect(await atRest(() => moved.down)).toBeLessThan(MOST_ON_THE_WAY);
    let got = 0;
    for await (const piece of response) got += (piece as Buffer).length;
    expect(got).toBe(MUCH);

    const headers = { ...options.headers, "content-length": String(MUCH) };
    const asking = request({ ...options, headers, method: "POST", path: "/slow" });
    const answered = new Promise<IncomingMessage>((resolve, reject) =>
      asking.on("response", resolve).on("error", reject),
    );
    const sending = (async () => {
      for (moved.up = 0; moved.up < MUCH; moved.up += file.length)
        await new Promise<void>((resolve) => asking.write(file, () => resolve()));
      asking.end();
    })();
    expect(await atRest(() => moved.up)).toBeLessThan(MOST_ON_THE_WAY);
    letRead();
    await sending;
    expect((await (await answered).toArray()).join("")).toBe("whole");
  });

  test("passes a WebSocket on", async () => {
    const port = await publish("public");
    const { host, port: number } = new URL(port.url);
    const socket = new WebSocket(`ws://127.0.0.1:${number}/socket`, { headers: { host } });
    const answer = new Promise<string>((resolve, reject) => {
      socket.on("error", reject);
      socket.on("message", (message: Buffer) => resolve(message.toString()));
    });
    socket.on("open", () => socket.send("hello"));
    expect(await answer).toBe("HELLO");
    socket.terminate();
  });

  test("private: only with a ticket of its owner", async () => {
    const port = await publish("private");
    expect((await ask(at(port, "/chunks"))).status).toBe(401);
    expect((await api("GET", port.openPath, undefined, {})).status).toBe(401);
    const opened = await api("GET", port.openPath);
    const ticket = new URL(opened.headers.get("location")!);
    expect([opened.status, ticket.hostname]).toEqual([303, `${port.id}.localhost`]);
    const entered = await ask(ticket.href);
    expect([entered.status, entered.headers["location"]]).toEqual([303, "/"]);
    const pass = (entered.headers["set-cookie"] as string[])[0]!.split(";", 1)[0]!;
    expect((await ask(at(port, "/chunks"), { headers: { cookie: pass } })).status).toBe(200);
    expect(heads.at(-1)).not.toContain("virga_port");
    const forged = pass.replace(/.$/, (last) => (last === "A" ? "B" : "A"));
    expect((await ask(at(port, "/chunks"), { headers: { cookie: forged } })).status).toBe(401);
  });

  test("by link: the token opens, and another does not", async () => {
    const port = await publish("link");
    const entered = await ask(port.url);
    expect(entered.status).toBe(303);
    const other = new URL(port.url);
    other.searchParams.set("virga-pass", `0.${"A".repeat(43)}`);
    expect((await ask(other.href)).status).toBe(401);
  });

  test("is listed, told to the page, and stopped", async () => {
    const port = await publish("public");
    const listed = (await (await api("GET", "/api/ports")).json()) as { ports: PublishedPort[] };
    expect(listed.ports.map(({ id }) => id)).toEqual([port.id]);
    expect(tunnel.notices.some((notice) => notice.type === "ports" && notice.ports[0]?.id === port.id)).toBe(
      true,
    );
    expect((await api("DELETE", `/api/ports/${port.id}`, undefined, {})).status).toBe(401);
    expect((await api("DELETE", `/api/ports/${port.id}`)).status).toBe(204);
    expect((await ask(at(port, "/chunks"))).status).toBe(404);
    expect((await api("DELETE", `/api/ports/${port.id}`)).status).toBe(404);
  });

  test("a port where nothing listens is 502", async () => {
    const port = await publish("public", 9);
    expect((await ask(at(port, "/"))).status).toBe(502);
  });

  test("nobody publishes without a session, and nobody from a guest's page", async () => {
    const wish = { port: 80, access: "public" };
    expect((await api("POST", "/api/ports", wish, {})).status).toBe(401);
    const foreign = { ...owner, origin: `http://abcdefghijklmnopqrst.localhost:${site.url.port}` };
    expect((await api("POST", "/api/ports", wish, foreign)).status).toBe(401);
  });
});

test("without a wildcard a port answers below /p/, sandboxed and without any cookie", async () => {
  const headers = await visitorHeaders(pathSite);
  const url = new URL("/l2", pathSite.url).href.replace(/^http/, "ws");
  const machine = await new VirgaGuest(url, { headers }).ready();
  machine.guest.listen(8080, "10.0.2.2", (connection) => void serve(connection));
  await expect(machine.guest.connect("10.99.0.1", 80).whole()).rejects.toThrow("reset");
  const published = await fetch(new URL("/api/ports", pathSite.url), {
    method: "POST",
    headers: { ...headers, "content-type": "application/json" },
    body: JSON.stringify({ port: 8080, access: "public" }),
  });
  const { id, url: address } = (await published.json()) as PublishedPort;
  expect(new URL(address).pathname).toBe(`/p/${id}/`);
  const answer = await ask(`${address}file`, { headers: { ...headers, authorization: "Basic eDp5" } });
  expect([answer.status, sha256(answer.body)]).toEqual([200, sha256(file)]);
  expect(answer.headers["content-security-policy"]).toMatch(/^sandbox /);
  expect(answer.headers["content-security-policy"]).not.toContain("allow-same-origin");
  expect(answer.headers["set-cookie"]).toBeUndefined();
  expect(heads.at(-1)).not.toMatch(/^(cookie|authorization):/im);
  expect(heads.at(-1)).toMatch(/^GET \/file HTTP/);
  machine.stop();
});
