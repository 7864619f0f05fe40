/** The "newc" archive of an initial RAM file system (Linux Documentation/driver-api/early-userspace/buffer-format.rst). */
import { bytesOf, sizeOf } from "./tree.ts";
import type { Node, Tree } from "./tree.ts";

const TYPE_BITS = {
  file: 0o100000,
  directory: 0o040000,
  symlink: 0o120000,
  character: 0o020000,
  block: 0o060000,
  fifo: 0o010000,
} as const;

const padding = (length: number): number => -length & 3;

function bodyOf(node: Node): Uint8Array {
  if (node.kind === "file") return bytesOf(node.content);
  return node.kind === "symlink" ? new TextEncoder().encode(node.target) : new Uint8Array();
}

function header(inode: number, path: string, node: Node | undefined, bodyBytes: number): Buffer {
  if (node?.kind === "hardlink") throw new Error(`${path}: hard links have no place in this initrd`);
  const device = node?.kind === "character" || node?.kind === "block" ? node : { major: 0, minor: 0 };
  const mode = node ? TYPE_BITS[node.kind] | node.mode : 0;
  const fields = [
    inode,
    mode,
    node?.uid ?? 0,
    node?.gid ?? 0,
    1,
    node?.modified ?? 0,
    bodyBytes,
    0,
    0,
    device.major,
    device.minor,
    path.length + 1,
    0,
  ];
  const text = `070701${fields.map((field) => field.toString(16).padStart(8, "0")).join("")}${path}\0`;
  return Buffer.from(text + "\0".repeat(padding(text.length)), "latin1");
}

/** Packs a tree in its own order, uncompressed: the guest only copies it, and chunks are deflated anyway. */
export function packCpio(tree: Tree): Uint8Array {
  const parts: Uint8Array[] = [];
  let inode = 1;
  for (const [path, node] of tree) {
    const body = bodyOf(node);
    parts.push(header(inode++, path, node, node.kind === "file" ? sizeOf(node.content) : body.length), body);
    parts.push(new Uint8Array(padding(body.length)));
  }
  parts.push(header(0, "TRAILER!!!", undefined, 0));
  return Buffer.concat(parts);
}
