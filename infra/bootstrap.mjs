// `npm start` and `npm test` begin here, on whatever Node the host has (18 or newer): installs the dependencies when they are
// not those of package-lock.json, then goes on with the Node that came with them.
// @ts-check
import { spawn, spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const [script = "start", ...args] = process.argv.slice(2);

/** @param {string} path @returns {Record<string, { version?: string, optional?: boolean, devOptional?: boolean }>} */
const packagesOf = (path) => JSON.parse(readFileSync(path, "utf8")).packages;

/** True when every package of the lockfile that every platform needs is installed in its version. */
function isInstalled() {
  const installed = join(root, "node_modules/.package-lock.json");
  if (!existsSync(installed)) return false;
  const there = packagesOf(installed);
  return Object.entries(packagesOf(join(root, "package-lock.json"))).every(
    ([path, { version, optional, devOptional }]) =>
      path === "" || optional || devOptional || there[path]?.version === version,
  );
}

/** The newest Node at hand: the one of node_modules, or this one if it can run TypeScript. */
function modernNode() {
  for (const name of [`node-linux-${process.arch}`]) {
    const path = join(root, "node_modules", name, "bin/node");
    if (existsSync(path)) return path;
  }
  const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
  return major > 22 || (major === 22 && minor >= 18) ? process.execPath : null;
}

if (!isInstalled()) {
  console.log("virga: installing dependencies (npm ci)");
  const { status } = spawnSync("npm", ["ci", "--no-audit", "--no-fund", "--loglevel=error"], {
    cwd: root,
    stdio: "inherit",
  });
  if (status !== 0) process.exit(status ?? 1);
}
const node = modernNode();
if (!node) {
  console.error(
    `virga: Node ${process.versions.node} is too old and npm has none for ${process.platform} ${process.arch}: install Node 22.18 or newer.`,
  );
  process.exit(1);
}
const bin = join(root, "node_modules/.bin");
const env = { ...process.env, PATH: `${dirname(node)}:${bin}:${process.env.PATH}` };
const child = spawn(node, [join(root, "infra", `${script}.ts`), ...args], {
  cwd: root,
  env,
  stdio: "inherit",
});
// A terminal sends Ctrl-C to both; whoever stops this process alone means the other too.
for (const signal of /** @type {const} */ (["SIGINT", "SIGTERM", "SIGHUP"]))
  process.on(signal, () => child.kill(signal));
// npm may be killed without its children hearing of it.
const parent = process.ppid;
setInterval(() => {
  if (process.ppid !== parent) child.kill("SIGTERM");
}, 1000).unref();
child.on("exit", (code, signal) => process.exit(code ?? (signal ? 1 : 0)));
