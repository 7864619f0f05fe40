/** `virga relay`: a way out for tunnels whose platform has none, on a machine of the operator's. */
import type { Command } from "commander";
import { InvalidArgumentError } from "commander";
import { isIP } from "node:net";
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
  readonly webrtc: boolean;
  readonly webrtcAddress?: readonly string[];
  readonly webrtcPorts?: readonly [number, number];
}

const webRtcOf = ({ webrtcAddress, webrtcPorts }: Partial<RelayFlags>) => ({
  ...(webrtcAddress && { addresses: webrtcAddress }),
  ...(webrtcPorts && { ports: webrtcPorts }),
});

function addressArgument(text: string, before: readonly string[] = []): string[] {
  if (isIP(text) === 0) throw new InvalidArgumentError("Say an address of IPv4 or IPv6.");
  return [...before, text];
}

function portsArgument(text: string): [number, number] {
  const [first = 0, last = 0, ...rest] = text.split("-").map(portArgument);
  if (rest.length > 0 || first < 1 || last <= first)
    throw new InvalidArgumentError("Say two ports, as 50000-50100.");
  return [first, last];
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
    .option("--webrtc", "datagrams by WebRTC too", false)
    .option(
      "--webrtc-address <address>",
      "an address that browsers are told of beside this machine's own: the public one behind a NAT (repeat for more)",
      addressArgument,
    )
    .option("--webrtc-ports <first-last>", "UDP ports for it, for a firewall", portsArgument)
    .action(async ({ port, host, token, jwtSecret, udpFromAnybody, ...flags }: RelayFlags) => {
      // Who runs a relay wants a way out: what is on it is bounded by the other rules of egress.
      const env = { VIRGA_EGRESS: "on", ...process.env };
      const datagrams = { inbound: udpFromAnybody ? "any" : "address_and_port" } as const;
      const relay = await startRelay({
        port,
        host,
        token,
        jwtSecret,
        datagrams,
        env,
        ...(flags.webrtc && { webRtc: webRtcOf(flags) }),
      });
      say(
        `virga relay: ${relay.url} (/l2, /tcp-mux, /wisp/, /tcp, /udp${flags.webrtc ? ", /webrtc/offer" : ""})`,
      );
      await new Promise<void>((resolve) => {
        for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => resolve());
      });
      await relay.close();
    });
}
