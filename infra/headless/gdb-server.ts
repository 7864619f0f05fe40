/** A socket for GDB in front of a machine. What GDB says is read in emulator/machine/gdb. */
import { createServer, type Server, type Socket } from "node:net";
import { Debugger } from "../../emulator/machine/debugger.ts";
import { GdbSession } from "../../emulator/machine/gdb/session.ts";
import type { Machine } from "../../emulator/machine/machine.ts";

export interface Listening {
  readonly host: string;
  readonly port: number;
}

/** ":1234", "1234" or "host:1234"; without a host only this computer can connect. Undefined for anything else. */
export function readListening(text: string): Listening | undefined {
  const match = /^(?:(.*):)?(\d{1,5})$/.exec(text);
  const port = Number(match?.[2]);
  if (!match || port > 65_535) return undefined;
  return { host: match[1]?.replaceAll(/[[\]]/g, "") || "127.0.0.1", port };
}

/** Replies that GDB has not read; who asks on without reading is not GDB. */
const UNREAD_BYTES = 1 << 20;

/** Serves one GDB at a time. Anybody who connects has the whole machine in hand: there is no password in the protocol. */
export class GdbServer {
  readonly #server: Server;
  readonly #debugger: Debugger;
  #socket: Socket | undefined;

  private constructor(machine: Machine) {
    this.#debugger = new Debugger(machine);
    this.#server = createServer((socket) => void this.#serve(socket));
    void machine.done.then(() => this.close());
  }

  /** Rejects when the port cannot be had. */
  static async listen(machine: Machine, { host, port }: Listening): Promise<GdbServer> {
    const server = new GdbServer(machine);
    await new Promise<void>((resolve, reject) => {
      server.#server.once("error", reject).listen(port, host, resolve);
    });
    return server;
  }

  get port(): number {
    const address = this.#server.address();
    return typeof address === "object" && address ? address.port : 0;
  }

  close(): void {
    this.#server.close();
    this.#socket?.end();
  }

  async #serve(socket: Socket): Promise<void> {
    socket.on("error", () => socket.destroy());
    if (this.#socket) {
      socket.destroy();
      return;
    }
    this.#socket = socket;
    socket.setNoDelay(true).pause();
    if (!this.#debugger.paused) await this.#debugger.interrupt();
    const session = new GdbSession(this.#debugger, {
      send(bytes) {
        if (socket.writable) socket.write(bytes);
        if (socket.writableLength > UNREAD_BYTES) socket.destroy();
      },
      close: () => socket.end(),
    });
    socket.on("close", () => {
      this.#socket = undefined;
      session.disconnected();
    });
    socket.on("data", (bytes) => session.receive(bytes)).resume();
  }
}
