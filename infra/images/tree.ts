/** A file tree as archives describe it, before it becomes a file system. Paths are relative, without `./` or a final `/`. */
import { closeSync, openSync, readSync } from "node:fs";

/** Bytes that lie in a file of the host, or in memory. */
export type Content =
  | Uint8Array
  | { readonly file: string; readonly offset: number; readonly sizeBytes: number };

interface Attributes {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Seconds since 1970. */
  readonly modified: number;
}

export type Node = Attributes &
  (
    | { readonly kind: "directory" }
    | { readonly kind: "file"; readonly content: Content }
    | { readonly kind: "symlink"; readonly target: string }
    | { readonly kind: "hardlink"; readonly target: string }
    | { readonly kind: "character" | "block"; readonly major: number; readonly minor: number }
    | { readonly kind: "fifo" }
  );

export type Tree = Map<string, Node>;

export const sizeOf = (content: Content): number =>
  content instanceof Uint8Array ? content.length : content.sizeBytes;

export function bytesOf(content: Content): Uint8Array {
  if (content instanceof Uint8Array) return content;
  const bytes = new Uint8Array(content.sizeBytes);
  const handle = openSync(content.file, "r");
  try {
    for (let done = 0; done < bytes.length;) {
      const count = readSync(handle, bytes, done, bytes.length - done, content.offset + done);
      if (count === 0) throw new Error(`${content.file} ends early`);
      done += count;
    }
  } finally {
    closeSync(handle);
  }
  return bytes;
}

const attributes = (mode: number, modified: number): Attributes => ({ mode, uid: 0, gid: 0, modified });

/** Builds trees of our own: everything belongs to root and carries one time. */
export class TreeBuilder {
  readonly tree: Tree;
  readonly #modified: number;

  constructor(modified: number, tree: Tree = new Map()) {
    this.tree = tree;
    this.#modified = modified;
  }

  directory(path: string, mode = 0o755): this {
    this.#parents(path);
    this.tree.set(path, { kind: "directory", ...attributes(mode, this.#modified) });
    return this;
  }

  file(path: string, content: Content | string, mode = 0o644): this {
    this.#parents(path);
    const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
    this.tree.set(path, { kind: "file", content: bytes, ...attributes(mode, this.#modified) });
    return this;
  }

  symlink(path: string, target: string): this {
    this.#parents(path);
    this.tree.set(path, { kind: "symlink", target, ...attributes(0o777, this.#modified) });
    return this;
  }

  character(path: string, major: number, minor: number, mode = 0o600): this {
    this.#parents(path);
    this.tree.set(path, { kind: "character", major, minor, ...attributes(mode, this.#modified) });
    return this;
  }

  #parents(path: string): void {
    for (let slash = path.indexOf("/"); slash > 0; slash = path.indexOf("/", slash + 1)) {
      const parent = path.slice(0, slash);
      if (!this.tree.has(parent))
        this.tree.set(parent, { kind: "directory", ...attributes(0o755, this.#modified) });
    }
  }
}
