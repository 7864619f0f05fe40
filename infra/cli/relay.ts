/** `virga relay`: a way out for tunnels whose platform has none, on a machine of the operator's. */
import type { Command } from "commander";
import { InvalidArgumentError } from "commander";
import { startRelay } from "../relay/relay.ts";
import { say } from "./words.ts";

function portArgument(text: string): number {
  const port = Number(text);
  if (!/^\d{1,5}$/.test(text) || port > 65_535) throw new InvalidArgumentError("A port is 0 to 65535.");
  return port;
}

interface RelayFlags {
  readonly port: number;
  readonly host: string;
  readonly token: string;
  readonly jwtSecret: string;
  readonly udpFromAnybody: boolean;
}

export function addRelay(program: Command): void {
  program
    .command("relay")
    .description("Runs a relay: the internet for tunnels, with TCP and UDP sockets of this machine")
    .option("--port <port>", "where it listens", portArgument, 8790)
    .option("--host <address>", "the address that it listens on", "127.0.0.1")
    .option(
      "--token <token>",
      "what clients must show (or VIRGA_RELAY_TOKEN)",
      process.env["VIRGA_RELAY_TOKEN"] ?? "",
    )
    .option(
      "--jwt-secret <secret>",
      "of the tokens that a site mints for UDP: its VIRGA_UDP_RELAY_KEY (or VIRGA_RELAY_JWT_SECRET)",
      process.env["VIRGA_RELAY_JWT_SECRET"] ?? "",
    )
    .option("--udp-from-anybody", "ports of guests hear everybody, not only whom they wrote to", false)
    .action(async ({ port, host, token, jwtSecret, udpFromAnybody }: RelayFlags) => {
      // Who runs a relay wants a way out: what is on it is bounded by the other rules of egress.
      const env = { VIRGA_EGRESS: "on", ...process.env };
      const datagrams = { inbound: udpFromAnybody ? "any" : "address_and_port" } as const;
      const relay = await startRelay({ port, host, token, jwtSecret, datagrams, env });
      say(`virga relay: ${relay.url} (/l2, /tcp-mux, /wisp/, /tcp, /udp)`);
      await new Promise<void>((resolve) => {
        for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => resolve());
      });
      await relay.close();
    });
}
