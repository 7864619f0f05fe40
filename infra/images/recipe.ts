/** What an image is made from, as one hash: when it is the same, the image is the same and need not be built. */
import { createHash } from "node:crypto";
import { hashFiles } from "../host/hash-files.ts";

/** Files whose change changes images: this room, the chunker and the manifest's codec. */
const SOURCES = [".", "../store/chunker.ts", "../../emulator/protocol/manifest.ts"];

/** `ingredients`: packages and their versions, tools and theirs. */
export function recipeKey(slug: string, ingredients: readonly string[]): string {
  const hash = createHash("sha256").update(`${slug}\n${hashFiles(import.meta.dirname, SOURCES)}\n`);
  for (const ingredient of [...ingredients].sort()) hash.update(`${ingredient}\n`);
  return hash.digest("hex").slice(0, 32);
}
