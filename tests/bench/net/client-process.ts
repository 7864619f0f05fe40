import { readFileSync } from "node:fs";
import { performance } from "node:perf_hooks";
import { once } from "node:events";
import { WebSocket } from "ws";
import { decodeWisp, encodeWisp } from "../../../emulator/protocol/wisp.ts";
import { VirgaGuest } from "../../support/net-guest.ts";
import type { Result } from "../report.ts";

/**
 * The client of the net bench: the guest's TCP behind the tunnel, and the clients of its peers. In a process of its own with
 * a small young generation, as a browser's worker has one: a message's buffer is then freed soon after it was read, instead
 * of when all of them together make V8 collect everything. Told what to measure by its argument; tells the results on stdout.
 */
const MiB = 2 ** 20;
const BULK_BYTES = 64 * MiB;
const BATCH_BYTES = 65_536;
/** The first one warms up and does not count. */
const ROUNDS = 4;
const ECHOES = 300;
const CONNECTIONS = 400;
const AT_ONCE = 20;

interface Ports {
  source: number;
  sink: number;
  echo: number;
}
const wish = (bytes: number): Buffer => {
  const buffer = Buffer.alloc(8);
  buffer.writeBigUInt64BE(BigInt(bytes));
  return buffer;
};
const median = (values: number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1]!;
const megabytesPerSecond = (startMs: number, bytes = BULK_BYTES): number =>
  bytes / 1e3 / (performance.now() - startMs);

/** What `net.ts` says: where the site, the reference server and the world are. */
interface Task {
  readonly url: string;
  readonly reference: string;
  readonly ports: Ports;
  /** The process that started workerd. */
  readonly site: number;
  /** Everything, or throughput alone. */
  readonly isWhole: boolean;
}
const { url: siteUrl, reference, ports, site, isWhole } = JSON.parse(process.argv[2]!) as Task;

const open = async (
  url: string,
  protocols: string[],
  headers: Record<string, string> = {},
): Promise<WebSocket> => {
  const socket = new WebSocket(url, protocols, { perMessageDeflate: false, headers });
  await once(socket, "open");
  return socket;
};

/** One transfer in each direction over something that takes and gives bytes; MB/s. */
type Transfer = (port: number, direction: "down" | "up") => Promise<number>;

function barePipe(origin: string): Transfer {
  return async (port, direction) => {
    const socket = await open(`${origin}/?port=${port}`, [], { host: "bare.test" });
    const startMs = performance.now();
    let got = 0;
    let sent = 0;
    let unconfirmed = 0;
    const block = Buffer.alloc(BATCH_BYTES, 7);
    const toSend = direction === "up" ? BULK_BYTES : 0;
    const push = (): void => {
      while (unconfirmed < 8 && sent < toSend) {
        socket.send(block);
        sent += block.length;
        unconfirmed++;
      }
    };
    socket.send(wish(BULK_BYTES));
    push();
    await new Promise<void>((resolve) =>
      socket.on("message", (message: Buffer, isBinary) => {
        if (!isBinary) {
          unconfirmed--;
          push();
          return;
        }
        got += message.length;
        if (direction === "up" || got >= BULK_BYTES) resolve();
      }),
    );
    socket.terminate();
    return megabytesPerSecond(startMs);
  };
}

function tunnelled(tunnel: VirgaGuest): Transfer {
  return async (port, direction) => {
    const startMs = performance.now();
    const connection = tunnel.guest.connect("127.0.0.1", port);
    connection.discards = true;
    await connection.write(wish(BULK_BYTES));
    const block = Buffer.alloc(4 * BATCH_BYTES, 7);
    const toSend = direction === "up" ? BULK_BYTES : 0;
    for (let sent = 0; sent < toSend; sent += block.length) await connection.write(block);
    await connection.whole();
    connection.end();
    const expected = direction === "up" ? 1 : BULK_BYTES;
    if (connection.receivedBytes !== expected) throw new Error(`${connection.receivedBytes} bytes came`);
    return megabytesPerSecond(startMs);
  };
}

/** A Wisp client, for the reference server and for ours. */
function overWisp(url: string): Transfer {
  return async (port, direction) => {
    // The server speaks first: the listener must be there before the socket is open.
    const socket = new WebSocket(url, { perMessageDeflate: false });
    let credit = 0;
    let got = 0;
    let sent = 0;
    const block = Buffer.alloc(BATCH_BYTES, 7);
    const startMs = performance.now();
    const toSend = direction === "up" ? BULK_BYTES : 0;
    const push = (): void => {
      while (credit > 0 && sent < toSend) {
        credit--;
        socket.send(encodeWisp.data(1, block));
        sent += block.length;
      }
    };
    const done = new Promise<void>((resolve) =>
      socket.on("message", (message: Buffer) => {
        const packet = decodeWisp(new Uint8Array(message.buffer, message.byteOffset, message.length));
        if (!packet.ok) return;
        if (packet.value.type === "continue")
          credit = packet.value.packets - (packet.value.stream === 0 ? 1 : 0);
        if (packet.value.type === "continue" && packet.value.stream === 0) {
          socket.send(encodeWisp.connect(1, "tcp", "127.0.0.1", port));
          socket.send(encodeWisp.data(1, wish(BULK_BYTES)));
        }
        if (packet.value.type === "data") got += packet.value.bytes.length;
        if (packet.value.type === "close" || got >= (direction === "up" ? 1 : BULK_BYTES)) resolve();
        push();
      }),
    );
    await done;
    socket.terminate();
    return megabytesPerSecond(startMs);
  };
}

async function roundTrips(ask: () => Promise<void>): Promise<number> {
  const times: number[] = [];
  for (let count = 0; count < ECHOES; count++) {
    const startMs = performance.now();
    await ask();
    times.push(performance.now() - startMs);
  }
  return median(times);
}

async function bareRoundTrip(origin: string, port: number): Promise<number> {
  const socket = await open(`${origin}/?port=${port}`, [], { host: "bare.test" });
  let answered: (() => void) | undefined;
  socket.on("message", (_: Buffer, isBinary) => isBinary && answered?.());
  const result = await roundTrips(async () => {
    const answer = new Promise<void>((resolve) => (answered = resolve));
    socket.send(Buffer.from("x"));
    await answer;
  });
  socket.terminate();
  return result;
}

async function tunnelRoundTrip(tunnel: VirgaGuest, port: number): Promise<number> {
  const connection = tunnel.guest.connect("127.0.0.1", port);
  connection.discards = true;
  const result = await roundTrips(async () => {
    const before = connection.receivedBytes;
    await connection.write(Buffer.from("x"));
    while (connection.receivedBytes === before) await connection.change();
  });
  connection.abort();
  return result;
}

/** Connections that are made, say a byte, hear it and close, so many at a time; per second. */
async function connectionRate(connect: () => Promise<void>): Promise<number> {
  const startMs = performance.now();
  let left = CONNECTIONS;
  const worker = async (): Promise<void> => {
    while (left-- > 0) await connect();
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  return CONNECTIONS / ((performance.now() - startMs) / 1000);
}

async function tunnelConnection(tunnel: VirgaGuest, port: number): Promise<void> {
  const connection = tunnel.guest.connect("127.0.0.1", port);
  await connection.write(Buffer.from("x"));
  connection.end();
  await connection.whole();
}

async function bareConnection(origin: string, port: number): Promise<void> {
  const socket = await open(`${origin}/?port=${port}`, [], { host: "bare.test" });
  const answered = new Promise<void>((resolve) =>
    socket.on("message", (_: Buffer, isBinary) => {
      if (isBinary) resolve();
    }),
  );
  socket.send(Buffer.from("x"));
  await answered;
  socket.terminate();
}

/** Streams of one Wisp server; what connects one of them. */
async function wispConnections(url: string, port: number): Promise<() => Promise<void>> {
  const socket = new WebSocket(url, { perMessageDeflate: false });
  const waiting = new Map<number, () => void>();
  let next = 1;
  // Stream 0 is the server's greeting.
  const greeted = new Promise<void>((resolve) => waiting.set(0, resolve));
  socket.on("message", (message: Buffer) => {
    const packet = decodeWisp(new Uint8Array(message.buffer, message.byteOffset, message.length));
    if (packet.ok && (packet.value.type === "data" || packet.value.stream === 0))
      waiting.get(packet.value.stream)?.();
  });
  await greeted;
  return async () => {
    const stream = next++;
    const answered = new Promise<void>((resolve) => waiting.set(stream, resolve));
    socket.send(encodeWisp.connect(stream, "tcp", "127.0.0.1", port));
    socket.send(encodeWisp.data(stream, Buffer.from("x")));
    await answered;
    waiting.delete(stream);
    socket.send(encodeWisp.close(stream, "voluntary"));
  };
}

/** Processor time and memory of the workerd below this process of the site, if this system says (Linux). */
function workerd(above: number): { cpuMs: number; rssBytes: number } | undefined {
  try {
    let found: { cpuMs: number; rssBytes: number } | undefined;
    const children = (pid: number): number[] =>
      readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").split(" ").filter(Boolean).map(Number);
    const visit = (pid: number): void => {
      if (readFileSync(`/proc/${pid}/comm`, "utf8").trim() === "workerd") {
        const fields = readFileSync(`/proc/${pid}/stat`, "utf8")
          .replace(/^.*\) /, "")
          .split(" ");
        // utime and stime in ticks of 10 ms, rss in pages of 4 KiB (proc_pid_stat(5)).
        const rssBytes = Number(fields[21]) * 4096;
        const cpuMs = (Number(fields[11]) + Number(fields[12])) * 10;
        if (!found || rssBytes > found.rssBytes) found = { cpuMs, rssBytes };
      }
      children(pid).forEach(visit);
    };
    visit(above);
    return found;
  } catch {
    return undefined;
  }
}

async function throughput(transfer: Transfer, ports: Ports): Promise<{ down: number[]; up: number[] }> {
  return { down: [await transfer(ports.source, "down")], up: [await transfer(ports.sink, "up")] };
}

async function measure(): Promise<readonly Result[]> {
  const url = new URL(siteUrl);
  const origin = `ws://127.0.0.1:${url.port}`;
  const session = await fetch(new URL("/session", url), { method: "POST" });
  const headers = { cookie: session.headers.getSetCookie()[0]!.split(";", 1)[0]! };
  const tunnel = await new VirgaGuest(`${origin}/l2`, { headers }).ready();
  const peers = {
    tunnel: tunnelled(tunnel),
    bare: barePipe(origin),
    reference: overWisp(reference),
    wisp: overWisp(`${origin}/wisp/`),
  };
  const all = { tunnel: [], bare: [], reference: [], wisp: [] } as unknown as Record<
    keyof typeof peers,
    { down: number; up: number; cpuMsPerMB: number }[]
  >;
  for (let round = 0; round < ROUNDS; round++)
    for (const name of Object.keys(peers) as (keyof typeof peers)[]) {
      const before = workerd(site);
      const { down, up } = await throughput(peers[name], ports);
      const after = workerd(site);
      const cpuMsPerMB = ((after?.cpuMs ?? 0) - (before?.cpuMs ?? 0)) / ((2 * BULK_BYTES) / 1e6);
      if (round > 0) all[name].push({ down: down[0]!, up: up[0]!, cpuMsPerMB });
    }
  const of = (name: keyof typeof peers, what: "down" | "up" | "cpuMsPerMB"): number =>
    median(all[name].map((row) => row[what]));
  const against = (name: string, value: number, unit: string, peer: string, theirs: number): Result => ({
    name,
    value,
    unit,
    peer,
    ratio: value / theirs,
  });
  const throughputs = [
    against("throughput-down", of("tunnel", "down"), "MB/s", "bare-pipe", of("bare", "down")),
    against("throughput-up", of("tunnel", "up"), "MB/s", "bare-pipe", of("bare", "up")),
    against("wisp-down", of("wisp", "down"), "MB/s", "wisp-js server", of("reference", "down")),
    against("wisp-up", of("wisp", "up"), "MB/s", "wisp-js server", of("reference", "up")),
    against("tunnel-down-to-wisp", of("tunnel", "down"), "MB/s", "wisp-js server", of("reference", "down")),
    against("cpu-per-megabyte", of("tunnel", "cpuMsPerMB"), "ms/MB", "bare-pipe", of("bare", "cpuMsPerMB")),
  ];
  if (!isWhole) return throughputs;
  const bareRtt = await bareRoundTrip(origin, ports.echo);
  const tunnelRtt = await tunnelRoundTrip(tunnel, ports.echo);
  const rate = await connectionRate(() => tunnelConnection(tunnel, ports.echo));
  const bareRate = await connectionRate(() => bareConnection(origin, ports.echo));
  const wispRate = await connectionRate(await wispConnections(reference, ports.echo));
  return [
    ...throughputs,
    against("round-trip", tunnelRtt, "ms", "bare-pipe", bareRtt),
    {
      name: "round-trip-added",
      value: tunnelRtt - bareRtt,
      unit: "ms",
      peer: "limit 1 ms",
      ratio: tunnelRtt - bareRtt,
    },
    against("connections", rate, "1/s", "bare-pipe", bareRate),
    against("connections-to-wisp", rate, "1/s", "wisp-js server", wispRate),
  ];
}

const results = await measure();
process.stdout.write(`${JSON.stringify(results)}\n`, () => process.exit(0));
