/** What an image is made from, as one hash: when it is the same, the image is the same and need not be built. */
import { createHash } from "node:crypto";
import { readFileSync, readdirSync, statSync } from "node:fs";
import { join, relative } from "node:path";

/** Files whose change changes images: this room, the chunker and the manifest's codec. */
const SOURCES = [".", "../store/chunker.ts", "../../emulator/protocol/manifest.ts"];

function filesOf(path: string): string[] {
  if (!statSync(path).isDirectory()) return [path];
  return readdirSync(path, { recursive: true, encoding: "utf8" })
    .map((name) => join(path, name))
    .filter((file) => statSync(file).isFile() && !file.endsWith(".md"))
    .sort();
}

/** The hash of names, as seen from `root`, and contents: two checkouts agree. */
export function hashFiles(root: string, paths: readonly string[]): string {
  const hash = createHash("sha256");
  for (const path of paths)
    for (const file of filesOf(join(root, path)))
      hash
        .update(`${relative(root, file)}\0`)
        .update(readFileSync(file))
        .update("\0");
  return hash.digest("hex");
}

/** `ingredients`: packages and their versions, tools and theirs. */
export function recipeKey(slug: string, ingredients: readonly string[]): string {
  const hash = createHash("sha256").update(`${slug}\n${hashFiles(import.meta.dirname, SOURCES)}\n`);
  for (const ingredient of [...ingredients].sort()) hash.update(`${ingredient}\n`);
  return hash.digest("hex").slice(0, 32);
}
