/** What is on a raw disk, as far as booting it needs: where the root file system probably is. */
import { closeSync, openSync, readSync } from "node:fs";

export interface Partition {
  readonly number: number;
  readonly offset: number;
  readonly sizeBytes: number;
  readonly isLinux: boolean;
  readonly fileSystem: string | null;
}

export interface DiskLayout {
  readonly table: "none" | "mbr" | "gpt";
  /** Of the whole disk, when there is no table. */
  readonly fileSystem: string | null;
  readonly partitions: readonly Partition[];
}

type Read = (offset: number, length: number) => Buffer;
const SECTOR_BYTES = 512;
/** "Linux filesystem data", 0FC63DAF-8483-4772-8E79-3D69D8477DE4, as it lies on the disk. */
const GPT_LINUX = "af3dc60f838472478e793d69d8477de4";
/** "Root partition, amd64/x86_64", 4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709. */
const GPT_ROOT = "e3bc684fcde8b14d96e7fbcaf984b709";

function fileSystemAt(read: Read, offset: number): string | null {
  const start = read(offset, 4096);
  if (start.readUInt16LE(1080) === 0xef53) return (start.readUInt32LE(1120) & 0x40) !== 0 ? "ext4" : "ext2/3";
  if (start.toString("latin1", 0, 4) === "XFSB") return "xfs";
  if (start.toString("latin1", 54, 59) === "FAT16" || start.toString("latin1", 82, 87) === "FAT32")
    return "fat";
  if (start.toString("latin1", 3, 7) === "NTFS") return "ntfs";
  if (start.toString("latin1", 0, 4) === "hsqs") return "squashfs";
  return null;
}

/** UEFI 2.10 §5.3: the header in sector 1 says where the entries are. */
function gptPartitions(read: Read): Partition[] {
  const header = read(SECTOR_BYTES, SECTOR_BYTES);
  const start = Number(header.readBigUInt64LE(72)) * SECTOR_BYTES;
  const count = Math.min(128, header.readUInt32LE(80));
  const entryBytes = header.readUInt32LE(84);
  const partitions: Partition[] = [];
  if (entryBytes < 128 || entryBytes > 4096) return partitions;
  for (let index = 0; index < count; index++) {
    const entry = read(start + index * entryBytes, 128);
    const type = entry.toString("hex", 0, 16);
    if (/^0+$/.test(type)) continue;
    const offset = Number(entry.readBigUInt64LE(32)) * SECTOR_BYTES;
    const sizeBytes = (Number(entry.readBigUInt64LE(40)) + 1) * SECTOR_BYTES - offset;
    const isLinux = type === GPT_LINUX || type === GPT_ROOT;
    partitions.push({
      number: index + 1,
      offset,
      sizeBytes,
      isLinux,
      fileSystem: fileSystemAt(read, offset),
    });
  }
  return partitions;
}

/** UEFI 2.10 §5.2.1. Logical partitions inside an extended one are not looked for. */
function mbrPartitions(read: Read, sector: Buffer): Partition[] {
  const partitions: Partition[] = [];
  for (let index = 0; index < 4; index++) {
    const at = 446 + index * 16;
    const type = sector[at + 4] ?? 0;
    const offset = sector.readUInt32LE(at + 8) * SECTOR_BYTES;
    const sizeBytes = sector.readUInt32LE(at + 12) * SECTOR_BYTES;
    if (type === 0 || sizeBytes === 0) continue;
    partitions.push({
      number: index + 1,
      offset,
      sizeBytes,
      isLinux: type === 0x83,
      fileSystem: fileSystemAt(read, offset),
    });
  }
  return partitions;
}

/** `read` gives zeros beyond the end. */
export function diskLayout(read: Read): DiskLayout {
  const fileSystem = fileSystemAt(read, 0);
  if (fileSystem) return { table: "none", fileSystem, partitions: [] };
  if (read(SECTOR_BYTES, 8).toString("latin1") === "EFI PART")
    return { table: "gpt", fileSystem: null, partitions: gptPartitions(read) };
  const sector = read(0, SECTOR_BYTES);
  if (sector.readUInt16LE(510) !== 0xaa55) return { table: "none", fileSystem: null, partitions: [] };
  return { table: "mbr", fileSystem: null, partitions: mbrPartitions(read, sector) };
}

export function diskLayoutOfFile(path: string): DiskLayout {
  const handle = openSync(path, "r");
  try {
    return diskLayout((offset, length) => {
      const bytes = Buffer.alloc(length);
      readSync(handle, bytes, 0, length, offset);
      return bytes;
    });
  } finally {
    closeSync(handle);
  }
}

/** The device name under which Linux finds the root file system of the first disk, or null when none looks like one. */
export function rootDevice({ table, fileSystem, partitions }: DiskLayout): string | null {
  if (table === "none") return fileSystem?.startsWith("ext") ? "/dev/vda" : null;
  const isRoot = (partition: Partition): boolean =>
    partition.isLinux && (partition.fileSystem?.startsWith("ext") ?? false);
  const largest = partitions.filter(isRoot).toSorted((a, b) => b.sizeBytes - a.sizeBytes)[0];
  return largest ? `/dev/vda${largest.number}` : null;
}
