import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Plugin } from "vite";

const SERVICE_WORKER = "service-worker.js";
/** Files that no page asks for, the operator's settings, and alphabets that most pages never show. */
const unlisted = (path: string): boolean =>
  /\.map$|^\.|^_headers$|^service-worker\.js$|^virga\.config\.json$/.test(path) ||
  (path.endsWith(".woff2") && !path.includes("-latin-wght"));

/**
 * Puts the list of the app's files in place of `__FILES__` in the service worker. Its version is a hash over names and
 * contents, so that the script's bytes change when any file does, and only then.
 */
export const appShell: Plugin = {
  name: "app-shell",
  apply: "build",
  enforce: "post",
  applyToEnvironment: (environment) => environment.name === "client",
  generateBundle: {
    order: "post",
    handler(_options, bundle) {
      const worker = bundle[SERVICE_WORKER];
      if (worker?.type !== "chunk") return;
      const contents = new Map<string, string | Uint8Array>();
      for (const file of Object.values(bundle))
        contents.set(file.fileName, file.type === "chunk" ? file.code : file.source);
      const { publicDir } = this.environment.config;
      for (const path of readdirSync(publicDir, { recursive: true, withFileTypes: true }))
        if (path.isFile()) {
          const file = join(path.parentPath, path.name);
          contents.set(file.slice(publicDir.length + 1), readFileSync(file));
        }
      const names = [...contents.keys()].filter((name) => !unlisted(name)).sort();
      const hash = createHash("sha256");
      for (const name of names) hash.update(`${name}\0`).update(contents.get(name) ?? "");
      const paths = names.map((name) => (name === "index.html" ? "/" : `/${name}`));
      const list = JSON.stringify({ version: hash.digest("hex").slice(0, 16), paths });
      worker.code = worker.code.replaceAll("__FILES__", list);
    },
  },
};
