/**
 * DNS over HTTPS (RFC 8484) for a machine from which no public upstream can be reached: a server on loopback that hands
 * questions to the resolvers of this system, over UDP and, when an answer does not fit, over TCP (RFC 7766).
 */
import { createSocket } from "node:dgram";
import { getServers } from "node:dns";
import { type IncomingMessage, type Server, type ServerResponse, createServer } from "node:http";
import { type AddressInfo, connect, isIPv6 } from "node:net";

const TYPE = "application/dns-message";
const QUESTION_BYTES = 4096;
const ANSWER_MS = 2000;
const HEADER_BYTES = 12;
const PROBE_MS = 1500;

interface Upstream {
  readonly host: string;
  readonly port: number;
}
const upstreams = (): Upstream[] =>
  getServers().map((server) => {
    const parts = /^\[([^\]]+)\](?::(\d+))?$/.exec(server) ?? /^([^:]+)(?::(\d+))?$/.exec(server);
    return { host: parts?.[1] ?? server, port: Number(parts?.[2] ?? 53) };
  });

/** One try; rejects when nothing comes in time. */
function askByUdp({ host, port }: Upstream, question: Uint8Array): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const socket = createSocket(isIPv6(host) ? "udp6" : "udp4");
    const timer = setTimeout(() => end(new Error("no answer in time")), ANSWER_MS);
    const end = (result: Buffer | Error): void => {
      clearTimeout(timer);
      socket.close();
      if (result instanceof Error) reject(result);
      else resolve(result);
    };
    socket.on("error", end);
    // Connected: datagrams of anybody else do not arrive.
    socket.connect(port, host, () => socket.send(question));
    socket.on("message", (answer) => {
      const isOurs =
        answer.length >= HEADER_BYTES && answer.readUInt16BE(0) === Buffer.from(question).readUInt16BE(0);
      if (isOurs) end(answer);
    });
  });
}

function askByTcp({ host, port }: Upstream, question: Uint8Array): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, host);
    let bytes = Buffer.alloc(0);
    socket.setTimeout(ANSWER_MS, () => socket.destroy(new Error("no answer in time")));
    socket.on("error", reject);
    socket.on("connect", () => {
      const length = Buffer.alloc(2);
      length.writeUInt16BE(question.length);
      socket.write(Buffer.concat([length, question]));
    });
    socket.on("data", (piece: Buffer) => {
      bytes = Buffer.concat([bytes, piece]);
      if (bytes.length < 2 || bytes.length < 2 + bytes.readUInt16BE(0)) return;
      resolve(bytes.subarray(2, 2 + bytes.readUInt16BE(0)));
      socket.destroy();
    });
    socket.on("close", () => reject(new Error("the resolver closed the connection")));
  });
}

const isTruncated = (answer: Buffer): boolean => (answer[2]! & 0x02) !== 0;

/** Asks this system's resolvers in turn; null where none answers. */
export async function askSystem(question: Uint8Array): Promise<Buffer | null> {
  for (const upstream of upstreams())
    try {
      const answer = await askByUdp(upstream, question);
      return isTruncated(answer) ? await askByTcp(upstream, question) : answer;
    } catch {
      // The next one may know.
    }
  return null;
}

async function bodyOf(request: IncomingMessage): Promise<Buffer | null> {
  const pieces: Buffer[] = [];
  let sizeBytes = 0;
  for await (const piece of request as AsyncIterable<Buffer>) {
    sizeBytes += piece.length;
    if (sizeBytes > QUESTION_BYTES) return null;
    pieces.push(piece);
  }
  return Buffer.concat(pieces);
}

async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const url = new URL(request.url ?? "/", "http://localhost");
  const encoded = url.searchParams.get("dns");
  const question =
    request.method === "POST" ? await bodyOf(request) : encoded ? Buffer.from(encoded, "base64url") : null;
  if (url.pathname !== "/dns-query" || !question || question.length < HEADER_BYTES) {
    response.writeHead(400).end();
    return;
  }
  const answer = await askSystem(question);
  if (!answer) {
    response.writeHead(502).end();
    return;
  }
  response.writeHead(200, { "content-type": TYPE, "cache-control": "no-store" }).end(answer);
}

export interface DohBridge {
  readonly url: string;
  stop(): Promise<void>;
}

export async function startDohBridge(): Promise<DohBridge> {
  const server: Server = createServer((request, response) => {
    serve(request, response).catch(() => response.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}/dns-query`,
    stop: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
}

/** The root's name servers: a question that every resolver can answer. */
const probe = Buffer.from([0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 1]);

/** Whether one of these upstreams of DNS over HTTPS answers from this machine. */
export async function answersDoh(urls: readonly string[]): Promise<boolean> {
  const tries = urls.map(async (url) => {
    const headers = { "content-type": TYPE, accept: TYPE };
    const signal = AbortSignal.timeout(PROBE_MS);
    const response = await fetch(url, { method: "POST", headers, body: probe, signal });
    const bytes = await response.arrayBuffer();
    if (response.status !== 200 || bytes.byteLength < HEADER_BYTES) throw new Error("no answer");
  });
  return Promise.any(tries).then(
    () => true,
    () => false,
  );
}
