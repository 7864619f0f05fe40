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
    .action(async ({ port, host, token }: { port: number; host: string; token: string }) => {
      // Who runs a relay wants a way out: what is on it is bounded by the other rules of egress.
      const env = { VIRGA_EGRESS: "on", ...process.env };
      const relay = await startRelay({ port, host, token, env });
      say(`virga relay: ${relay.url} (/l2, /tcp-mux, /wisp/, /tcp, /udp)`);
      await new Promise<void>((resolve) => {
        for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => resolve());
      });
      await relay.close();
    });
}
