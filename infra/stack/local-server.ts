/** The whole cloud side on this machine: `wrangler dev` on the built Worker, with its state in a folder. */
import { type ChildProcess, spawn } from "node:child_process";
import { connect } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseEnv } from "node:util";
import { readFileSync } from "node:fs";
import { runLong } from "../host/exec.ts";
import { BUILT_CONFIG, once, root } from "./build-app.ts";

const HOST = "127.0.0.1";
const START_MS = 120_000;
const STOP_MS = 5_000;
const wrangler = join(root, "node_modules/wrangler/bin/wrangler.js");

/** infra/local.env, under what the environment already says. */
const environment = (): Record<string, string> => {
  const local = parseEnv(readFileSync(join(root, "infra/local.env"), "utf8")) as Record<string, string>;
  return { ...local, ...(process.env as Record<string, string>) };
};

/** Secrets come to the Worker by another way; these variables stand in wrangler.toml, or nowhere, and are replaced here. */
const SECRETS = /^VIRGA_(PUBLISH_TOKEN|SIGNING_KEY|SESSION_SECRET)$/;
/** What the environment says about the internet of guests, and what `over` says instead. */
const variables = (over: Readonly<Record<string, string>>): string[] =>
  Object.entries({ ...environment(), ...over })
    .filter(([name]) => name in over || (workerVariables.test(name) && !SECRETS.test(name)))
    .flatMap(([name, value]) => ["--var", `${name}:${value}`]);
const workerVariables =
  /^VIRGA_(EGRESS|RELAY|DOH|ORIGINS|OPEN_ORIGINS|HOSTS|TRUST|PUBLIC_URL|TUNNEL|UDP|L2|AUDIT|PORTS|CONNECT|OPERATOR)/;

/** Brings the database's schema up to date. */
export async function migrate(state: string): Promise<void> {
  const args = ["d1", "migrations", "apply", "virga", "--local", "--persist-to", state];
  await runLong(process.execPath, [wrangler, ...args], { cwd: root, env: environment() });
}

/** The same, unless it was done for these migrations and this state is still there. */
export const migrateOnce = (state: string): Promise<boolean> =>
  once("migrations", ["infra/migrations"], join(state, "v3/d1"), () => migrate(state));

const isTaken = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect(port, HOST);
    const answer = (taken: boolean): void => {
      socket.destroy();
      resolve(taken);
    };
    socket.on("connect", () => answer(true)).on("error", () => answer(false));
  });

/** The first port from here on that nobody listens on. */
export async function freePort(first: number): Promise<number> {
  for (let port = first; port < first + 100; port++) if (!(await isTaken(port))) return port;
  throw new Error(`No free port from ${first} to ${first + 99}`);
}

export class LocalServer {
  readonly url: string;
  readonly #child: ChildProcess;
  #said = "";
  readonly exited: Promise<number | null>;

  private constructor(child: ChildProcess, port: number) {
    this.#child = child;
    this.url = `http://localhost:${port}`;
    const hear = (piece: Buffer): void => {
      this.#said = (this.#said + piece.toString()).slice(-8000);
    };
    child.stdout?.on("data", hear);
    child.stderr?.on("data", hear);
    this.exited = new Promise((resolve) => {
      child.on("exit", resolve);
      child.on("error", () => resolve(null));
    });
  }

  /** `vars`: variables of the Worker that differ from what the environment and wrangler.toml say. */
  static async start(
    port: number,
    state: string,
    vars: Readonly<Record<string, string>> = {},
  ): Promise<LocalServer> {
    const args = [
      "dev",
      "-c",
      BUILT_CONFIG,
      "--persist-to",
      state,
      "--port",
      String(port),
      "--ip",
      HOST,
      "--log-level",
      "warn",
      "--show-interactive-dev-session=false",
      ...variables(vars),
    ];
    const child = spawn(process.execPath, [wrangler, ...args], {
      cwd: root,
      env: { ...environment(), WRANGLER_REGISTRY_PATH: join(state, "registry") },
      stdio: ["ignore", "pipe", "pipe"],
    });
    const server = new LocalServer(child, port);
    await server.#untilHealthy();
    return server;
  }

  /** The end of what it said, for the person who wants to know why it ended. */
  get lastWords(): string {
    return this.#said.trim();
  }

  async #untilHealthy(): Promise<void> {
    let ended = false;
    void this.exited.then(() => (ended = true));
    for (const end = Date.now() + START_MS; Date.now() < end; await sleep(100)) {
      const answer = await fetch(`${this.url}/healthz`, { signal: AbortSignal.timeout(5000) }).catch(
        () => null,
      );
      if (answer?.ok) return;
      if (ended) break;
    }
    await this.stop();
    throw new Error(`The local server did not start:\n${this.lastWords}`);
  }

  async stop(): Promise<void> {
    this.#child.kill("SIGTERM");
    const isStopped = await Promise.race([this.exited.then(() => true), sleep(STOP_MS, false)]);
    if (!isStopped) this.#child.kill("SIGKILL");
    await this.exited;
  }
}
