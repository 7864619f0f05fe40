import { spawnSync } from "node:child_process";

/**
 * `npm run deploy`: the built Worker and its files, then the schema of its database. Buckets and databases that do not
 * exist yet are made by wrangler. Arguments go to `wrangler deploy`; `--dry-run` changes nothing anywhere.
 */
const args = process.argv.slice(2);
const config = "build/dist/virga/wrangler.json";

function wrangler(...command: string[]): void {
  const { status } = spawnSync("npm", ["run", "-s", "wrangler", "--", ...command], { stdio: "inherit" });
  if (status !== 0) process.exit(status ?? 1);
}

wrangler("deploy", "-c", config, ...args);
if (!args.includes("--dry-run")) wrangler("d1", "migrations", "apply", "virga", "--remote");
