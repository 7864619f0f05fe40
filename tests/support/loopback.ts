import { createHash } from "node:crypto";
import { type AddressInfo, type Server, type Socket, createServer } from "node:net";

/** Bytes that no two places have in common, from a seed: what is lost, doubled or swapped changes the hash. */
export function pattern(sizeBytes: number, seed: number): Buffer {
  const bytes = Buffer.alloc(sizeBytes);
  let state = seed >>> 0 || 1;
  for (let at = 0; at + 4 <= sizeBytes; at += 4) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    bytes.writeUInt32LE(state >>> 0, at);
  }
  return bytes;
}
export const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

export interface LoopbackServer {
  readonly port: number;
  /** Connections that are open now. */
  readonly open: ReadonlySet<Socket>;
  close(): Promise<void>;
}

async function listen(onSocket: (socket: Socket) => void): Promise<LoopbackServer> {
  const open = new Set<Socket>();
  const server: Server = createServer({ allowHalfOpen: true }, (socket) => {
    open.add(socket);
    socket.setNoDelay(true);
    socket.on("error", () => {});
    socket.on("close", () => open.delete(socket));
    onSocket(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    port,
    open,
    close: () =>
      new Promise((resolve) => {
        for (const socket of open) socket.destroy();
        server.close(() => resolve());
      }),
  };
}

/** Sends back what comes, and FIN for FIN. */
export const echoServer = (): Promise<LoopbackServer> => listen((socket) => void socket.pipe(socket));

/** Sends these bytes to everyone who connects, then FIN. */
export const sourceServer = (bytes: Buffer): Promise<LoopbackServer> =>
  listen((socket) => {
    socket.resume();
    socket.end(bytes);
  });

/** Reads to the end and answers with the hash of all of it. */
export const hashServer = (): Promise<LoopbackServer> =>
  listen((socket) => {
    const hash = createHash("sha256");
    socket.on("data", (piece: Buffer) => hash.update(piece));
    socket.on("end", () => socket.end(hash.digest("hex")));
  });

/** Takes connections and never reads from them. */
export const deafServer = (): Promise<LoopbackServer> => listen((socket) => void socket.pause());

/** A port that refuses. */
export async function closedPort(): Promise<number> {
  const server = await listen(() => {});
  await server.close();
  return server.port;
}
