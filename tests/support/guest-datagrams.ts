import { createSocket } from "node:dgram";
import { once } from "node:events";
import { readIcmpFrame, readUdpFrame, udpFrame } from "./guest-frames.ts";
import type { NetGuest } from "./net-guest.ts";

export type Heard =
  | { readonly from: string; readonly fromPort: number; readonly toPort: number; readonly payload: Buffer }
  | { readonly icmp: "port" | "prohibited"; readonly toPort: number };

/** UDP of a test's guest: what its gateway answers, datagrams and ICMP errors about them, waits until it is asked for. */
export class GuestDatagrams {
  readonly #guest: NetGuest;
  readonly #heard: Heard[] = [];
  #wake = (): void => {};

  constructor(guest: NetGuest) {
    this.#guest = guest;
    guest.onFrame = (frame) => {
      const heard = read(frame);
      if (heard) this.#heard.push(heard);
      this.#wake();
      return heard !== null;
    };
  }

  send(fromPort: number, to: string, toPort: number, payload: Uint8Array | string): void {
    const { address: from, mac } = this.#guest;
    const bytes = typeof payload === "string" ? Buffer.from(payload) : payload;
    this.#guest.sendFrame(udpFrame({ from, fromPort, to, toPort }, bytes, { mac }));
  }

  async next(): Promise<Heard> {
    while (this.#heard.length === 0) await new Promise<void>((resolve) => (this.#wake = resolve));
    return this.#heard.shift()!;
  }
}

/** RFC 792: an error quotes the header of what it is about and eight bytes more, with the port in the third and fourth. */
function read(frame: Uint8Array): Heard | null {
  const udp = readUdpFrame(frame);
  if (udp)
    return {
      from: udp.from,
      fromPort: udp.sourcePort,
      toPort: udp.destinationPort,
      payload: Buffer.from(udp.data),
    };
  const icmp = readIcmpFrame(frame);
  if (icmp?.type !== 3) return null;
  return { icmp: icmp.code === 3 ? "port" : "prohibited", toPort: (icmp.data[22]! << 8) | icmp.data[23]! };
}

/** A server that answers every datagram with the same bytes backwards. */
export async function udpEcho(
  host: "127.0.0.1" | "::1" = "127.0.0.1",
): Promise<{ readonly port: number; close(): void; heard: number }> {
  const socket = createSocket(host === "::1" ? "udp6" : "udp4");
  const server = { port: 0, close: () => socket.close(), heard: 0 };
  socket.on("message", (payload, from) => {
    server.heard++;
    socket.send(Buffer.from(payload).reverse(), from.port, from.address);
  });
  socket.bind(0, host);
  await once(socket, "listening");
  return Object.assign(server, { port: socket.address().port });
}
