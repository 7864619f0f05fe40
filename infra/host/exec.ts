/** Runs tools of the host, with their words in the error when they fail. */
import { spawn, spawnSync } from "node:child_process";
import { closeSync, openSync } from "node:fs";

export interface RunOptions {
  readonly env?: Record<string, string>;
  readonly input?: string;
  readonly cwd?: string;
  /** Called with every line that the tool says. */
  readonly onLine?: (line: string) => void;
}

/** Debian keeps what only administrators need out of the path of others; formatting a file needs no administrator. */
const environment = (extra: Record<string, string> = {}): NodeJS.ProcessEnv => ({
  ...process.env,
  PATH: `${process.env["PATH"] ?? ""}:/usr/sbin:/sbin`,
  LC_ALL: "C.UTF-8",
  ...extra,
});

/** Standard output of a tool that ends soon. */
export function run(
  tool: string,
  args: readonly string[],
  options: RunOptions = {},
): { stdout: string; stderr: string } {
  const { input = "", cwd } = options;
  const result = spawnSync(tool, args, {
    env: environment(options.env),
    input,
    encoding: "utf8",
    maxBuffer: 2 ** 28,
    ...(cwd ? { cwd } : {}),
  });
  if (result.error) throw result.error;
  const { status, stdout, stderr } = result;
  if (status !== 0)
    throw new Error(`${tool} failed (${status}):\n${stdout.slice(-2000)}${stderr.slice(-2000)}`);
  return { stdout, stderr };
}

/** Standard output of a tool, into a file. */
export function runIntoFile(file: string, tool: string, args: readonly string[]): void {
  const handle = openSync(file, "w");
  try {
    const result = spawnSync(tool, args, {
      env: environment(),
      stdio: ["ignore", handle, "pipe"],
      encoding: "utf8",
    });
    if (result.error) throw result.error;
    if (result.status !== 0)
      throw new Error(`${tool} failed (${result.status}):\n${result.stderr.slice(-2000)}`);
  } finally {
    closeSync(handle);
  }
}

/** Runs a tool that takes its time, so that this process goes on meanwhile. */
export function runLong(tool: string, args: readonly string[], options: RunOptions = {}): Promise<void> {
  const { cwd, onLine } = options;
  return new Promise((resolve, reject) => {
    const child = spawn(tool, args, {
      env: environment(options.env),
      stdio: ["ignore", "pipe", "pipe"],
      ...(cwd ? { cwd } : {}),
    });
    let said = "";
    let partial = "";
    const hear = (piece: Buffer): void => {
      said = (said + piece.toString()).slice(-8000);
      const lines = (partial + piece.toString()).split("\n");
      partial = lines.pop() ?? "";
      for (const line of lines) onLine?.(line);
    };
    child.stdout.on("data", hear);
    child.stderr.on("data", hear);
    child.on("error", reject);
    child.on("close", (status) =>
      status === 0 ? resolve() : reject(new Error(`${tool} failed (${status}):\n${said.slice(-3000)}`)),
    );
  });
}

/** Where a tool is, or null. */
export function find(tool: string): string | null {
  const found = spawnSync("/bin/sh", ["-c", 'command -v "$0"', tool], {
    env: environment(),
    encoding: "utf8",
  });
  return found.status === 0 ? found.stdout.trim() : null;
}
