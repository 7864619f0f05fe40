/** DNS for a machine in this terminal: its questions go, as they are, to the servers that this host asks. */
import { createSocket } from "node:dgram";
import { getServers } from "node:dns";
import { connect } from "node:net";

const PATIENCE_MS = 3_000;
const PORT = 53;
const MAX_MESSAGE_BYTES = 65_535;
const Flag = { response: 0x80, truncated: 0x02, recursion: 0x80 } as const;
const SERVER_FAILURE = 2;

/** `address`, `address:port`, or `[address]:port` as node:dns writes them. */
function endpointOf(server: string): { address: string; port: number } {
  const [, bracketed, plain, port] = /^(?:\[(.+)\]|([^:]+|[0-9a-f:]+?))(?::(\d+))?$/i.exec(server) ?? [];
  const isBareIpv6 = !bracketed && server.split(":").length > 2;
  return isBareIpv6
    ? { address: server, port: PORT }
    : { address: bracketed ?? plain ?? server, port: Number(port ?? PORT) };
}

/** Answers a question in wire format; SERVFAIL when no server does. */
export async function askServers(message: Uint8Array): Promise<Uint8Array> {
  for (const server of getServers()) {
    const to = endpointOf(server);
    const answer = await byDatagram(message, to);
    if (answer && !(answer[2]! & Flag.truncated)) return answer;
    const whole = answer && (await byStream(message, to));
    if (whole) return whole;
  }
  return failureOf(message);
}

/** The question alone, with response code 2 (RFC 1035 §4.1.1). */
function failureOf(message: Uint8Array): Uint8Array {
  const answer = message.slice();
  answer[2]! |= Flag.response;
  answer[3] = Flag.recursion | SERVER_FAILURE;
  return answer;
}

const isAnswerTo = (message: Uint8Array, answer: Uint8Array): boolean =>
  answer.length >= 12 && answer[0] === message[0] && answer[1] === message[1];

function byDatagram(
  message: Uint8Array,
  { address, port }: { address: string; port: number },
): Promise<Uint8Array | null> {
  const { promise, resolve } = Promise.withResolvers<Uint8Array | null>();
  const socket = createSocket(address.includes(":") ? "udp6" : "udp4");
  const done = (answer: Uint8Array | null): void => {
    clearTimeout(timer);
    socket.removeAllListeners().on("error", () => {});
    socket.close();
    resolve(answer);
  };
  const timer = setTimeout(() => done(null), PATIENCE_MS);
  socket.on("error", () => done(null));
  socket.on("message", (bytes) => isAnswerTo(message, bytes) && done(new Uint8Array(bytes)));
  socket.connect(port, address, () => socket.send(message));
  return promise;
}

/** Messages carry their length in two bytes (RFC 1035 §4.2.2). */
function byStream(
  message: Uint8Array,
  { address, port }: { address: string; port: number },
): Promise<Uint8Array | null> {
  const { promise, resolve } = Promise.withResolvers<Uint8Array | null>();
  let heard = Buffer.alloc(0);
  const socket = connect({ host: address, port, timeout: PATIENCE_MS });
  const done = (answer: Uint8Array | null): void => {
    socket.destroy();
    resolve(answer);
  };
  socket.on("timeout", () => done(null)).on("error", () => done(null));
  socket.on("close", () => resolve(null));
  socket.on("data", (bytes: Buffer) => {
    heard = Buffer.concat([heard, bytes]);
    if (heard.length >= 2 && heard.length >= 2 + heard.readUInt16BE(0))
      done(new Uint8Array(heard.subarray(2, 2 + heard.readUInt16BE(0))));
    else if (heard.length > 2 + MAX_MESSAGE_BYTES) done(null);
  });
  socket.write(Buffer.concat([Uint8Array.of(message.length >>> 8, message.length), message]));
  return promise;
}
