/** Reads tar archives of files (POSIX.1-2017 pax, GNU long names) into a tree, leaving file contents where they are. */
import { closeSync, openSync, readSync } from "node:fs";
import type { Node, Tree } from "./tree.ts";

const BLOCK_BYTES = 512;
const text = (bytes: Buffer): string => bytes.toString("utf8").replace(/\0.*$/s, "");

/** Numbers are octal text, or big-endian binary when the top bit of the first byte is set (GNU). */
function number(field: Buffer): number {
  if ((field[0] ?? 0) & 0x80) return field.subarray(1).reduce((sum, byte) => sum * 256 + byte, 0);
  return Number.parseInt(text(field).trim() || "0", 8);
}

/** Records "length key=value\n" of a pax extended header. */
function paxRecords(body: Buffer): Map<string, string> {
  const records = new Map<string, string>();
  for (let at = 0; at < body.length;) {
    const space = body.indexOf(0x20, at);
    const length = Number.parseInt(body.toString("latin1", at, space), 10);
    if (!(length > 0)) break;
    const record = body.toString("utf8", space + 1, at + length - 1);
    const equals = record.indexOf("=");
    records.set(record.slice(0, equals), record.slice(equals + 1));
    at += length;
  }
  return records;
}

const relative = (path: string): string => path.replace(/^(\.?\/)+/, "").replace(/\/+$/, "");

interface Names {
  readonly path?: string | undefined;
  readonly link?: string | undefined;
}

function nodeOf(header: Buffer, file: string, offset: number, sizeBytes: number, link: string): Node {
  const attributes = {
    mode: number(header.subarray(100, 108)) & 0o7777,
    uid: number(header.subarray(108, 116)),
    gid: number(header.subarray(116, 124)),
    modified: number(header.subarray(136, 148)),
  };
  const device = { major: number(header.subarray(329, 337)), minor: number(header.subarray(337, 345)) };
  const type = String.fromCharCode(header[156] || 0x30);
  if (type === "0" || type === "7")
    return { kind: "file", content: { file, offset, sizeBytes }, ...attributes };
  if (type === "1") return { kind: "hardlink", target: relative(link), ...attributes };
  if (type === "2") return { kind: "symlink", target: link, ...attributes };
  if (type === "3") return { kind: "character", ...device, ...attributes };
  if (type === "4") return { kind: "block", ...device, ...attributes };
  if (type === "5") return { kind: "directory", ...attributes };
  if (type === "6") return { kind: "fifo", ...attributes };
  throw new Error(`tar: entries of type ${type} are not known here`);
}

/** The tree in a tar file, in the archive's order. */
export function readTar(file: string): Tree {
  const tree: Tree = new Map();
  const handle = openSync(file, "r");
  const read = (offset: number, length: number): Buffer => {
    const bytes = Buffer.alloc(length);
    if (readSync(handle, bytes, 0, length, offset) < length)
      throw new Error(`${file}: the archive is cut short`);
    return bytes;
  };
  try {
    let names: Names = {};
    for (let at = 0; ;) {
      const header = read(at, BLOCK_BYTES);
      if (header.every((byte) => byte === 0)) return tree;
      const sizeBytes = number(header.subarray(124, 136));
      const type = String.fromCharCode(header[156] || 0x30);
      const body = at + BLOCK_BYTES;
      at = body + Math.ceil(sizeBytes / BLOCK_BYTES) * BLOCK_BYTES;
      if (type === "x") {
        const records = paxRecords(read(body, sizeBytes));
        names = { path: records.get("path") ?? names.path, link: records.get("linkpath") ?? names.link };
      } else if (type === "L" || type === "K") {
        const name = text(read(body, sizeBytes));
        names = type === "L" ? { ...names, path: name } : { ...names, link: name };
      } else if (type !== "g") {
        const prefix = header.toString("latin1", 257, 262) === "ustar" ? text(header.subarray(345, 500)) : "";
        const short = text(header.subarray(0, 100));
        const path = relative(names.path ?? (prefix ? `${prefix}/${short}` : short));
        if (path)
          tree.set(
            path,
            nodeOf(header, file, body, sizeBytes, names.link ?? text(header.subarray(157, 257))),
          );
        names = {};
      }
    }
  } finally {
    closeSync(handle);
  }
}
