/** Which Virga server the commands speak to, and with which right. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parseEnv } from "node:util";

export const LOCAL_URL = "http://localhost:8787";

const isLocal = (url: string): boolean =>
  /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(new URL(url).hostname);

/** What was said, the environment's, or the one of the local stack, which is no secret. */
function tokenOf(name: string, url: string, given: string | undefined): string | undefined {
  const token = given ?? process.env[name];
  if (token) return token;
  const local = parseEnv(readFileSync(join(import.meta.dirname, "../local.env"), "utf8"))[name];
  return isLocal(url) ? local : undefined;
}

export function publishToken(url: string, given?: string): string {
  const token = tokenOf("VIRGA_PUBLISH_TOKEN", url, given);
  if (token) return token;
  throw new Error(`Publishing to ${url} needs a token: --token or VIRGA_PUBLISH_TOKEN.`);
}

export function operatorToken(url: string, given?: string): string {
  const token = tokenOf("VIRGA_OPERATOR_TOKEN", url, given);
  if (token) return token;
  throw new Error(`The operator of ${url} has a token: --token or VIRGA_OPERATOR_TOKEN.`);
}
