import { createHash } from "node:crypto";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Plugin } from "vite";

/** Files of the build that the page never asks for, or that must always come from the network. */
const notKept = /^(service-worker\.js|_headers|virga\.config\.json|\.|.*\.map$)/;
const SCRIPT = "service-worker.js";

/**
 * Writes the list of built files, and a version made from their content, into the service worker in place of
 * `__FILES__`. Latin subsets of the fonts only: the others are fetched when a page uses them.
 */
export const precache: Plugin = {
  name: "precache",
  applyToEnvironment: ({ name }) => name === "client",
  writeBundle({ dir }) {
    if (!dir) return;
    const names = readdirSync(dir, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) =>
        join(entry.parentPath, entry.name)
          .slice(dir.length + 1)
          .replaceAll("\\", "/"),
      )
      .filter((name) => !notKept.test(name) && !(name.endsWith(".woff2") && !name.includes("-latin-wght")))
      .sort();
    const hash = createHash("sha256");
    for (const name of names) hash.update(name).update(readFileSync(join(dir, name)));
    const paths = names.map((name) => (name === "index.html" ? "/" : `/${name}`));
    const files = JSON.stringify({ version: hash.digest("hex").slice(0, 16), paths });
    const script = readFileSync(join(dir, SCRIPT), "utf8");
    if (!script.includes("__FILES__")) throw new Error(`${SCRIPT} has no __FILES__ to fill`);
    writeFileSync(join(dir, SCRIPT), `const __FILES__ = ${files};\n${script}`);
  },
};
