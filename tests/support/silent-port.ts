import { once } from "node:events";
import { type AddressInfo, type Socket, connect, createServer } from "node:net";
import { Worker, isMainThread, parentPort } from "node:worker_threads";

/** A port that answers nobody: its backlog is full and never accepted, so that Linux drops each SYN. */
export interface SilentPort {
  readonly port: number;
  close(): Promise<void>;
}

if (!isMainThread) {
  const server = createServer();
  server.listen({ port: 0, host: "127.0.0.1", backlog: 1 }, () => {
    parentPort!.postMessage((server.address() as AddressInfo).port);
    // Nothing is accepted by a thread that waits.
    setTimeout(() => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0), 0);
  });
}

export async function silentPort(): Promise<SilentPort> {
  const worker = new Worker(new URL(import.meta.url));
  const [port] = (await once(worker, "message")) as [number];
  const fillers: Socket[] = [];
  // The first ones still find room; one that finds none after a second shows that the port is silent.
  for (let isFull = false; !isFull;) {
    const socket = connect(port, "127.0.0.1").on("error", () => {});
    fillers.push(socket);
    const timer = new Promise<true>((resolve) => setTimeout(resolve, 1000, true));
    isFull = await Promise.race([once(socket, "connect").then(() => false), timer]);
  }
  return {
    port,
    async close() {
      for (const socket of fillers) socket.destroy();
      await worker.terminate();
    },
  };
}
