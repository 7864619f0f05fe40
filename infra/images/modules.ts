/** Kernel modules in the order in which insmod wants them. */
import { trimModule } from "./kernel.ts";
import { bytesOf } from "./tree.ts";
import type { Tree } from "./tree.ts";

/** Modules go by underscores in `depends=`, by either in file names. */
const canonical = (name: string): string => name.replaceAll("-", "_");

/** What a module needs, from the zero-separated words of its .modinfo section. */
function dependenciesOf(module: Uint8Array): string[] {
  const text = Buffer.from(module.buffer, module.byteOffset, module.byteLength).toString("latin1");
  const found = /\0depends=([^\0]*)\0/.exec(text)?.[1] ?? "";
  return found.split(",").filter(Boolean).map(canonical);
}

/** File name → bytes of the named modules and all that they need, each after its needs. `tree` holds a kernel package. */
export function moduleClosure(tree: Tree, names: readonly string[]): Map<string, Uint8Array> {
  const paths = new Map<string, string>();
  for (const path of tree.keys()) {
    const name = /\/([^/]+)\.ko$/.exec(path)?.[1];
    if (name) paths.set(canonical(name), path);
  }
  const closure = new Map<string, Uint8Array>();
  const add = (name: string): void => {
    const node = tree.get(paths.get(name) ?? "");
    if (node?.kind !== "file") throw new Error(`The kernel package has no module ${name}`);
    if (closure.has(`${name}.ko`)) return;
    const bytes = bytesOf(node.content);
    for (const needed of dependenciesOf(bytes)) add(needed);
    closure.set(`${name}.ko`, trimModule(bytes));
  };
  for (const name of names) add(canonical(name));
  return closure;
}
