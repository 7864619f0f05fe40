/** Which Virga server the commands speak to, and with which right. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parseEnv } from "node:util";

export const LOCAL_URL = "http://localhost:8787";

const isLocal = (url: string): boolean =>
  /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(new URL(url).hostname);

/** The publisher's token: what was said, the environment's, or the one of the local stack, which is no secret. */
export function publishToken(url: string, given?: string): string {
  const token = given ?? process.env["VIRGA_PUBLISH_TOKEN"];
  if (token) return token;
  const local = parseEnv(readFileSync(join(import.meta.dirname, "../local.env"), "utf8"))[
    "VIRGA_PUBLISH_TOKEN"
  ];
  if (isLocal(url) && local) return local;
  throw new Error(`Publishing to ${url} needs a token: --token or VIRGA_PUBLISH_TOKEN.`);
}
