/** What the tests use of the reference implementation of Wisp, which has no types. */
declare module "@mercuryworkshop/wisp-js/server" {
  import type { IncomingMessage } from "node:http";
  import type { Duplex } from "node:stream";
  export const server: {
    options: { allow_private_ips: boolean; allow_loopback_ips: boolean };
    routeRequest(request: IncomingMessage, socket: Duplex, head: Buffer): void;
  };
  export const logging: { NONE: number; set_level(level: number): void };
}

declare module "@mercuryworkshop/wisp-js/client" {
  interface WispStream {
    onopen: () => void;
    onmessage: (data: Uint8Array) => void;
    onclose: (reason: number) => void;
    send(data: Uint8Array): void;
    close(): void;
    /** What waits for credit. */
    readonly send_buffer: readonly Uint8Array[];
  }
  export const client: {
    ClientConnection: new (
      url: string,
      options?: { wisp_version?: number },
    ) => {
      onopen: () => void;
      onclose: () => void;
      onerror: () => void;
      /** 1 where the server has not said INFO. */
      readonly wisp_version: number;
      readonly udp_enabled: boolean;
      create_stream(host: string, port: number, type?: "tcp" | "udp"): WispStream;
      close(): void;
    };
  };
}
