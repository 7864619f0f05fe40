import { request as httpRequest, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { createServer } from "node:http";
import type { BrowserContext, Page } from "playwright-core";
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import { WebSocket } from "ws";
import { consoleOf, makeProfile } from "../support/browser.ts";
import { sha256 } from "../support/loopback.ts";

/** Servers inside Debian, published from the panel, visited by their owner, by somebody with the link, and by strangers. */
const BOOT_MS = 300_000;
const LONG_MS = 600_000;
const profile = makeProfile();
let context: BrowserContext;
let page: Page;
let shell: ReturnType<typeof consoleOf>;

/** What Debian's small Python can: tells what it was sent, streams a body whose end waits, echoes by WebSocket. */
const SERVER = `
import base64, hashlib, socket, threading
go = threading.Event()
def say(out, body):
    out.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: %d\\r\\nSet-Cookie: guest=1\\r\\n\\r\\n" % len(body) + body)
def stream(out):
    out.sendall(b"HTTP/1.1 200 OK\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n5\\r\\nfirst\\r\\n")
    go.wait(60)
    out.sendall(b"6\\r\\nsecond\\r\\n0\\r\\n\\r\\n")
def echo(out, lines, key):
    accept = base64.b64encode(hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest())
    out.sendall(b"HTTP/1.1 101 Echo\\r\\nUpgrade: websocket\\r\\nConnection: Upgrade\\r\\nSec-WebSocket-Accept: " + accept + b"\\r\\n\\r\\n")
    while True:
        head = lines.read(2)
        if len(head) < 2 or head[0] & 15 == 8: return
        mask = lines.read(4)
        data = b"echo " + bytes(b ^ mask[i & 3] for i, b in enumerate(lines.read(head[1] & 127)))
        out.sendall(bytes([0x81, len(data)]) + data)
def serve(out):
    lines = out.makefile("rb")
    while True:
        first = lines.readline().decode().split()
        if len(first) < 3: return out.close()
        fields = {}
        for line in iter(lambda: lines.readline().decode("latin1").strip(), ""):
            name, value = line.split(":", 1)
            fields[name.lower()] = value.strip()
        if "upgrade" in fields: return echo(out, lines, fields["sec-websocket-key"])
        if first[0] == "POST": say(out, hashlib.sha256(lines.read(int(fields["content-length"]))).hexdigest().encode())
        elif first[1] == "/stream": stream(out)
        else:
            if first[1] == "/go": go.set()
            say(out, "".join(f"{name}: {value}\\n" for name, value in fields.items()).encode())
listener = socket.create_server(("", 8000), backlog=64)
while True: threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
`;

beforeAll(async () => {
  context = await profile.open();
  page = context.pages()[0] ?? (await context.newPage());
  await page.goto(`${inject("appUrl")}/m/debian`);
  shell = consoleOf(page);
  await shell.waitFor(/#$/m, BOOT_MS);
  const script = await carried(SERVER);
  await shell.run(
    `${script} >/tmp/server.py; (setsid python3 /tmp/server.py >/tmp/server.log 2>&1 &)`,
    60_000,
  );
  const ready = await shell.run(
    "for i in $(seq 60); do curl -s http://127.0.0.1:8000/ | grep host && break; sleep 1; done; cat /tmp/server.log",
    LONG_MS,
  );
  expect(ready).toMatch(/^host: /);
  await page.getByRole("button", { name: "Network" }).click();
}, BOOT_MS + LONG_MS);
afterAll(async () => {
  await context?.close();
  profile.remove();
});

/** A text that the guest fetches from this machine, so that nobody types it. */
async function carried(text: string): Promise<string> {
  const server = createServer((_, response) => response.end(text));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  server.unref();
  const { port } = server.address() as AddressInfo;
  return `curl -sS --retry 30 --retry-all-errors --retry-delay 1 http://host.virga.internal:${port}/`;
}

const panel = () => page.getByRole("complementary", { name: "Network" });
const row = (port: number) =>
  panel()
    .getByRole("listitem")
    .filter({ hasText: `Port ${port}` });

/** Publishes by the form, and answers the address in the list. */
async function publish(port: number, access: "you" | "who has the link" | "everybody"): Promise<string> {
  await panel().getByLabel("Port").fill(String(port));
  await panel().getByLabel("Who may reach it").selectOption(`for ${access}`);
  await panel().getByRole("button", { name: "Publish" }).click();
  await row(port).getByText(`for ${access}`).waitFor();
  return new URL((await row(port).getByRole("link").getAttribute("href"))!, page.url()).href;
}

/** A stranger's request: no cookies, and names below localhost are this machine whatever the resolver says. */
function stranger(
  url: string,
  cookie = "",
): Promise<{ status: number; body: string; headers: IncomingMessage["headers"] }> {
  const { host, port, pathname, search } = new URL(url);
  return new Promise((resolve, reject) => {
    const headers = { host, ...(cookie && { cookie }) };
    const asked = httpRequest({ host: "127.0.0.1", port, path: pathname + search, headers }, (answer) => {
      const pieces: Buffer[] = [];
      answer.on("data", (piece: Buffer) => pieces.push(piece));
      answer.on("end", () =>
        resolve({
          status: answer.statusCode ?? 0,
          body: Buffer.concat(pieces).toString(),
          headers: answer.headers,
        }),
      );
    });
    asked.on("error", reject).end();
  });
}

test(
  "for everybody: an origin of its own, and the guest sees no cookie of ours",
  { timeout: LONG_MS },
  async () => {
    const url = await publish(8000, "everybody");
    expect(new URL(url).origin).not.toBe(new URL(page.url()).origin);
    const visit = await context.newPage();
    await visit.goto(url);
    const sent = await visit.locator("body").innerText();
    expect(sent).toMatch(/host: /i);
    expect(sent).not.toMatch(/aero_session|virga|__host/i);
    // Asked again with the guest's own cookie, which is the only one.
    await visit.reload();
    expect(await visit.locator("body").innerText()).toMatch(/cookie: guest=1\n?/i);
    expect((await context.cookies(inject("appUrl"))).some(({ name }) => name === "guest")).toBe(false);
    await visit.close();
    const forged = await stranger(url, "aero_session=stolen; guest=2");
    expect(forged.body).toMatch(/cookie: guest=2\n/i);
    expect(forged.body).not.toContain("stolen");
  },
);

test("a body streams: its first part is there before its second is made", { timeout: LONG_MS }, async () => {
  const { host, port } = new URL((await row(8000).getByRole("link").getAttribute("href"))!);
  const url = `http://${host}`;
  const answer = await new Promise<IncomingMessage>((resolve, reject) =>
    httpRequest({ host: "127.0.0.1", port, path: "/stream", headers: { host } }, resolve)
      .on("error", reject)
      .end(),
  );
  const pieces = answer[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
  expect(String((await pieces.next()).value)).toBe("first");
  await stranger(`${url}/go`);
  expect(String((await pieces.next()).value)).toBe("second");
  expect((await pieces.next()).done).toBe(true);
});

test("two megabytes up, every byte as it was", { timeout: LONG_MS }, async () => {
  const body = Buffer.alloc(2_000_000, "the same twelve");
  const { host, port } = new URL((await row(8000).getByRole("link").getAttribute("href"))!);
  const said = await new Promise<string>((resolve, reject) => {
    const headers = { host, "content-length": body.length };
    const asked = httpRequest({ host: "127.0.0.1", port, method: "POST", path: "/", headers }, (answer) => {
      let text = "";
      answer.on("data", (piece: Buffer) => (text += piece.toString()));
      answer.on("end", () => resolve(text));
    });
    asked.on("error", reject).end(body);
  });
  expect(said).toBe(sha256(body));
});

test("a WebSocket goes through", { timeout: LONG_MS }, async () => {
  const { host, port } = new URL((await row(8000).getByRole("link").getAttribute("href"))!);
  const socket = new WebSocket(`ws://127.0.0.1:${port}/`, { headers: { host }, perMessageDeflate: false });
  await new Promise((resolve, reject) => socket.on("open", resolve).on("error", reject));
  for (const word of ["one", "two"]) {
    const heard = new Promise((resolve) =>
      socket.once("message", (data: Buffer) => resolve(data.toString())),
    );
    socket.send(word);
    expect(await heard).toBe(`echo ${word}`);
  }
  socket.terminate();
});

test("by link: the link opens it, the bare address does not", { timeout: LONG_MS }, async () => {
  const url = await publish(8000, "who has the link");
  expect((await stranger(new URL("/", url).href)).status).toBe(401);
  const entered = await stranger(url);
  expect(entered.status).toBe(303);
  const cookie = String(entered.headers["set-cookie"]?.[0]).split(";")[0]!;
  const inside = await stranger(new URL(entered.headers.location!, url).href, cookie);
  expect(inside.status).toBe(200);
  // What lets the visitor in is not the guest's business.
  expect(inside.body).not.toContain(cookie.split("=")[1]!);
});

test("private: its owner gets in by the panel, nobody else", { timeout: LONG_MS }, async () => {
  const opener = await publish(8000, "you");
  expect(new URL(opener).pathname).toMatch(/^\/api\/ports\/[a-z2-7]+\/open$/);
  expect((await stranger(opener)).status).toBe(401);
  const [visit] = await Promise.all([context.waitForEvent("page"), row(8000).getByRole("link").click()]);
  await visit.waitForLoadState();
  expect(await visit.locator("body").innerText()).toMatch(/host: /i);
  expect(new URL(visit.url()).origin).not.toBe(new URL(page.url()).origin);
  expect((await stranger(new URL("/", visit.url()).href)).status).toBe(401);
  await visit.close();
});

test("stopped: the address leads nowhere, and the list is empty", { timeout: LONG_MS }, async () => {
  const url = await publish(8000, "everybody");
  expect((await stranger(url)).status).toBe(200);
  await row(8000).getByRole("button", { name: "Stop" }).click();
  await row(8000).waitFor({ state: "detached" });
  expect((await stranger(url)).status).toBe(404);
});

test("a port where nobody listens says so", { timeout: LONG_MS }, async () => {
  const url = await publish(8123, "everybody");
  const nobody = await stranger(url);
  expect(nobody.status).toBe(502);
  await row(8123).getByRole("button", { name: "Stop" }).click();
});
