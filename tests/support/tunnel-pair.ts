import { frameCost } from "../../emulator/protocol/virga-l2.ts";
import { L2Session } from "../../emulator/protocol/virga-l2-session.ts";
import type { Socket, TunnelHost } from "../../emulator/network/tunnel-uplink.ts";
import type { Failure } from "../../emulator/protocol/failure.ts";
import { ManualClock, settle } from "./manual-clock.ts";

/** The client's end of a socket without a network: the test is the network. */
export class TestSocket implements Socket {
  binaryType: BinaryType = "blob";
  readonly sent: Uint8Array[] = [];
  isClosed = false;
  readonly #listeners = new Map<string, ((event: object) => void)[]>();

  send(message: Uint8Array<ArrayBuffer>): void {
    this.sent.push(message.slice());
  }
  close(): void {
    this.isClosed = true;
  }
  addEventListener(type: string, listener: (event: object) => void): void {
    this.#listeners.set(type, [...(this.#listeners.get(type) ?? []), listener]);
  }
  fire(type: string, event: object = {}): void {
    for (const listener of this.#listeners.get(type) ?? []) listener(event);
  }
}

/** A tunnel's server as the protocol describes it, which keeps its session over sockets and echoes nothing. */
export class TestTunnel implements TunnelHost {
  readonly clock = new ManualClock();
  readonly sockets: TestSocket[] = [];
  readonly arrived: Uint8Array[] = [];
  server = new L2Session("server");
  refusal: Failure | null = null;
  entered = 0;
  #passed = 0;

  enter(): Promise<Failure | null> {
    this.entered++;
    return Promise.resolve(this.refusal);
  }

  openSocket(): Socket {
    const socket = new TestSocket();
    this.sockets.push(socket);
    this.#passed = 0;
    return socket;
  }

  get socket(): TestSocket {
    return this.sockets.at(-1)!;
  }

  /** The upgrade succeeded. */
  async accept(): Promise<void> {
    await settle();
    this.server.attach(Uint8Array.from({ length: 16 }, (_, at) => at + this.sockets.length));
    this.socket.fire("open");
    await this.exchange();
  }

  /** Carries messages both ways until both are quiet. */
  async exchange(): Promise<void> {
    for (let rounds = 0; rounds < 100; rounds++) {
      let moved = 0;
      for (; this.#passed < this.socket.sent.length; this.#passed++, moved++) {
        const { frames } = this.server.onMessage(this.socket.sent[this.#passed]!, this.clock.nowMs());
        this.arrived.push(...frames);
        for (const frame of frames) this.server.consume(frameCost(frame), this.clock.nowMs());
      }
      for (const message of this.server.flush(this.clock.nowMs(), true)) {
        this.socket.fire("message", { data: message.buffer });
        moved++;
      }
      if (moved === 0) return;
      await settle();
    }
    throw new Error("the two ends do not become quiet");
  }

  /** The socket breaks: what is on it is lost. */
  break(): void {
    this.server.detach(this.clock.nowMs());
    this.socket.fire("close");
  }
}
