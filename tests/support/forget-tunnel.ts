import type { createTestHarness } from "wrangler";

interface Bindings {
  readonly TUNNEL: { getByName(name: string): { forget(): Promise<void> } };
}

/** The name of the visitor's Tunnel is in the payload of the session's token. */
export function sidOf(headers: Record<string, string>): string {
  const token = headers["cookie"]!.slice(headers["cookie"]!.indexOf("=") + 1);
  const claims = JSON.parse(Buffer.from(token.split(".")[0]!, "base64url").toString()) as { sid: string };
  return claims.sid;
}

/** Takes an object's memory and its sockets away while it is busy: wrangler's own eviction waits until nothing is open. */
export async function forgetTunnel(server: ReturnType<typeof createTestHarness>, sid: string): Promise<void> {
  const env = await server.getWorker().getEnv();
  const stub = (env as unknown as Bindings).TUNNEL.getByName(sid);
  // The object ends in the middle of the call, which therefore fails.
  await stub.forget().catch(() => {});
}
