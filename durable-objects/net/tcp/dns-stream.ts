import type { Application } from "./connection.ts";
import type { DnsService } from "../service.ts";

/** What a service of the gateway may do with its connection. */
export interface ServiceStream {
  write(bytes: Uint8Array): void;
  written(count: number): void;
  finish(): void;
}

const MAX_MESSAGE = 4096;
/** Questions of one connection that wait for their answers. */
const MAX_WAITING = 16;

/** DNS over TCP (RFC 7766): messages with a length of two bytes before each, answered in the order in which answers come. */
export function dnsStream(dns: DnsService, stream: ServiceStream, now: () => number): Application {
  let buffered = new Uint8Array(0);
  let waiting = 0;
  let isFinishing = false;
  const answer = (message: Uint8Array): void => {
    waiting--;
    const framed = new Uint8Array(2 + message.length);
    framed.set([message.length >> 8, message.length & 255]);
    framed.set(message, 2);
    stream.write(framed);
    if (isFinishing && waiting === 0) stream.finish();
  };
  return {
    onOpen() {},
    onBytes(bytes) {
      stream.written(bytes.length);
      const joined = new Uint8Array(buffered.length + bytes.length);
      joined.set(buffered);
      joined.set(bytes, buffered.length);
      let at = 0;
      while (at + 2 <= joined.length) {
        const length = (joined[at]! << 8) | joined[at + 1]!;
        if (length > MAX_MESSAGE || waiting >= MAX_WAITING) return stream.finish();
        if (at + 2 + length > joined.length) break;
        waiting++;
        dns.ask(joined.slice(at + 2, at + 2 + length), now(), answer, "tcp");
        at += 2 + length;
      }
      buffered = joined.slice(at);
    },
    onFinish() {
      isFinishing = true;
      if (waiting === 0) stream.finish();
    },
    onRoom() {},
    onClosed() {},
  };
}
