import { describe, expect, inject, test } from "vitest";
import { FetchWay } from "../../durable-objects/fetch-way.ts";
import type { Destination, FlowSink, Outflow } from "../../durable-objects/gateway/flow.ts";

/** Plain HTTP by fetch(), inside workerd, with a server of this machine at the other end. */
const port = inject("worldPort");
const here: Destination = { host: "127.0.0.1", port };
const KiB = 1024;

/** A guest's client: what it was told, and how the connection ended. */
class Client implements FlowSink {
  readonly flow: Outflow;
  text = "";
  receivedBytes = 0;
  end: "end" | "broken" | "refused" | undefined;
  takenBytes = 0;
  #waiters: (() => void)[] = [];

  constructor(to: Destination = here, grantBytes = 1 << 20) {
    this.flow = new FetchWay().dial(to, this);
    this.flow.grant(grantBytes);
  }
  #wake(): void {
    for (const waiter of this.#waiters.splice(0)) waiter();
  }
  onOpen(): void {}
  onRefused(): void {
    this.end = "refused";
    this.#wake();
  }
  onBytes(bytes: Uint8Array): void {
    this.receivedBytes += bytes.length;
    this.text += new TextDecoder().decode(bytes);
    this.#wake();
  }
  onEnd(): void {
    this.end = "end";
    this.#wake();
  }
  onBroken(): void {
    this.end = "broken";
    this.#wake();
  }
  onWritten(count: number): void {
    this.takenBytes += count;
    this.#wake();
  }
  say(text: string): this {
    this.flow.write(new TextEncoder().encode(text));
    return this;
  }
  async until(isSo: () => boolean): Promise<void> {
    while (!isSo()) await new Promise<void>((resolve) => this.#waiters.push(resolve));
  }
  /** All of it, until the connection ends. */
  async whole(): Promise<string> {
    await this.until(() => this.end !== undefined);
    return this.text;
  }
}

const request = (line: string, ...headers: string[]): string =>
  [`${line} HTTP/1.1`, `Host: 127.0.0.1:${port}`, ...headers, "", ""].join("\r\n");
const state = async (): Promise<{ written: number; open: number; redirectsFollowed: number }> =>
  (await fetch(`http://127.0.0.1:${port}/state`)).json();
/** Asks until it is so. */
async function poll<T>(ask: () => Promise<T>, isSo: (value: T) => boolean): Promise<T> {
  for (;;) {
    const value = await ask();
    if (isSo(value)) return value;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

describe("FetchWay", () => {
  test("requests follow each other on one connection, with their query and headers", async () => {
    const client = new Client();
    client.say(request("GET /hello?a=1", "X-From: guest"));
    await client.until(() => client.text.endsWith("\r\n0\r\n\r\n"));
    expect(client.text).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
    expect(client.text).toContain("hello GET ?a=1 guest");
    client.text = "";
    client.say(request(`GET http://127.0.0.1:${port}/hello?b=2`, "Connection: close"));
    expect(await client.whole()).toContain("hello GET ?b=2");
    expect(client.end).toBe("end");
  });

  test("a body goes up and comes back while it is still being said", async () => {
    const client = new Client();
    client.say(request("POST /echo", "Transfer-Encoding: chunked", "Expect: 100-continue"));
    await client.until(() => client.text.includes("\r\n\r\n"));
    expect(client.text).toBe("HTTP/1.1 100 Continue\r\n\r\n");
    client.say("5\r\nfirst\r\n");
    await client.until(() => client.text.includes("first"));
    client.say("6\r\nsecond\r\n0\r\n\r\n");
    await client.until(() => client.text.endsWith("0\r\n\r\n"));
    expect(client.text).toContain("second");
    client.flow.abort();
  });

  test("a body of a length, longer than every buffer between", async () => {
    const client = new Client(here, 4 << 20);
    const body = "Q".repeat(1 << 20);
    client.say(request("PUT /echo", `Content-Length: ${body.length}`, "Connection: close"));
    for (let at = 0; at < body.length; at += 16 * KiB) client.say(body.slice(at, at + 16 * KiB));
    const text = await client.whole();
    expect(text.match(/Q/g)?.length).toBe(body.length);
    expect(client.end).toBe("end");
  });

  test("a client that takes nothing holds the server back; one that leaves frees it", async () => {
    const client = new Client(here, 100 * KiB);
    client.say(request("GET /pour"));
    await client.until(() => client.receivedBytes === 100 * KiB);
    let last = -1;
    const stands = ({ written: now }: { written: number }): boolean => {
      const isSame = now === last;
      last = now;
      return isSame;
    };
    const { written } = await poll(state, stands);
    console.log(`${(written / KiB).toFixed(0)} KiB left the server for a client that took 100 KiB`);
    expect(written).toBeLessThan(24 << 20);
    expect(client.receivedBytes).toBe(100 * KiB);
    client.flow.abort();
    await poll(state, ({ open }) => open === 0);
  });

  test("a client that leaves before there is an answer ends the request", async () => {
    const client = new Client();
    client.say(request("GET /never"));
    await poll(state, ({ open }) => open === 1);
    client.flow.abort();
    await poll(state, ({ open }) => open === 0);
    expect(client.end).toBeUndefined();
  });

  test("a redirect is the guest's to follow, past the policy again", async () => {
    const client = new Client();
    client.say(request("GET /elsewhere", "Connection: close"));
    const text = await client.whole();
    expect(text).toMatch(/^HTTP\/1\.1 302 Found\r\n/);
    expect(text).toMatch(/\r\nlocation: \/followed\r\n/i);
    expect((await state()).redirectsFollowed).toBe(0);
  });

  test.each([
    ["another Host", "421", request("GET /hello").replace(/Host: [^\r]*/, "Host: other.example")],
    ["no Host", "421", "GET /hello HTTP/1.1\r\n\r\n"],
    ["two Hosts", "421", request("GET /hello", "Host: other.example")],
    ["another site in the target", "421", request("GET http://other.example/hello")],
    ["WebSocket", "501", request("GET /hello", "Connection: Upgrade", "Upgrade: websocket")],
    ["CONNECT", "421", request("CONNECT 127.0.0.1:443")],
    ["TRACE", "501", request("TRACE /hello")],
    ["what is no HTTP", "400", "\x16\x03\x01 hello\r\n\r\n"],
  ])("%s is refused in words (%s)", async (_, status, text) => {
    const client = new Client();
    expect(await client.say(text).whole()).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `));
    expect(client.end).toBe("end");
    if (status !== "400") expect(client.text.split("\r\n\r\n")[1]).toMatch(/^[A-Z].*\.\n$/);
  });

  test("nobody there: 502 in words", async () => {
    const client = new Client({ host: "127.0.0.1", port: 1 });
    client.say("GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
    expect(await client.whole()).toMatch(/^HTTP\/1\.1 502 Bad Gateway\r\n[^]*The host did not answer/);
  });

  test("HTTP/1.0 gets a body without chunks, and the end of the connection", async () => {
    const client = new Client();
    client.say("GET /hello HTTP/1.0\r\n\r\n");
    const text = await client.whole();
    expect(text).not.toMatch(/transfer-encoding/i);
    expect(text).toMatch(/\r\n\r\nhello GET {2}$/);
    expect(client.end).toBe("end");
  });

  test("HEAD has no body, and a request that is cut short breaks the connection", async () => {
    const client = new Client();
    client.say(request("HEAD /hello"));
    await client.until(() => client.text.endsWith("\r\n\r\n"));
    expect(client.text).not.toContain("hello");
    client.say("GET /hel");
    client.flow.finish();
    await client.whole();
    expect(client.end).toBe("broken");
  });
});
