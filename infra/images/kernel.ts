/**
 * Takes the kernel proper out of a bzImage. The emulator starts an ELF vmlinux directly (Linux boot protocol §"64-bit boot
 * protocol"), which saves the guest the decompression: 4.6 of 6.7 thousand million instructions with XZ, and also
 * fewer stored bytes, because chunks are deflated anyway. Figures: infra/adr/0003-kernel.md.
 */
import { unpackLz4 } from "./lz4.ts";

/** Offsets in the setup header, Linux Documentation/arch/x86/boot.rst. */
const setup = { sectors: 0x1f1, magic: 0x202, version: 0x206, payloadOffset: 0x248, payloadLength: 0x24c };

/** The compressed kernel inside a bzImage of boot protocol ≥ 2.08, without the u32 unpacked size that ends it. */
function payloadOf(bzImage: Uint8Array): { packed: Uint8Array; unpackedBytes: number } {
  const view = new DataView(bzImage.buffer, bzImage.byteOffset, bzImage.byteLength);
  if (view.getUint32(setup.magic, true) !== 0x53726448)
    throw new Error("This is not a bzImage: no HdrS in its setup header");
  if (view.getUint16(setup.version, true) < 0x208)
    throw new Error("The bzImage is older than boot protocol 2.08");
  const start = ((bzImage[setup.sectors] || 4) + 1) * 512 + view.getUint32(setup.payloadOffset, true);
  const end = start + view.getUint32(setup.payloadLength, true) - 4;
  return { packed: bzImage.subarray(start, end), unpackedBytes: view.getUint32(end, true) };
}

interface Section {
  readonly name: string;
  readonly header: number;
  readonly offset: number;
  readonly size: number;
}

/** Sections of a 64-bit little-endian ELF file (System V ABI, chapter 4). */
function sectionsOf(elf: Uint8Array): { sections: Section[]; end: number } {
  const view = new DataView(elf.buffer, elf.byteOffset, elf.byteLength);
  if (view.getUint32(0, true) !== 0x464c457f || elf[4] !== 2)
    throw new Error("The kernel inside is not a 64-bit ELF file");
  const table = Number(view.getBigUint64(0x28, true));
  const entryBytes = view.getUint16(0x3a, true);
  const count = view.getUint16(0x3c, true);
  const at = (index: number) => table + index * entryBytes;
  const place = (index: number) => Number(view.getBigUint64(at(index) + 0x18, true));
  const names = place(view.getUint16(0x3e, true));
  const sections = Array.from({ length: count }, (_, index) => {
    const start = names + view.getUint32(at(index), true);
    const name = Buffer.from(elf.subarray(start, elf.indexOf(0, start))).toString("latin1");
    return {
      name,
      header: at(index),
      offset: place(index),
      size: Number(view.getBigUint64(at(index) + 0x20, true)),
    };
  });
  return { sections, end: at(count) };
}

/**
 * The uncompressed ELF kernel of an LZ4 bzImage. The relocations that follow the ELF file are cut off: the kernel is
 * loaded where it was linked. The BTF type information (for bpf only) is zeroed, which turns it into holes:
 * the kernel then says once that bpf lacks it, and saves 1.35 MB of 10.5 and the parsing.
 */
export function extractVmlinux(bzImage: Uint8Array): Uint8Array {
  const { packed, unpackedBytes } = payloadOf(bzImage);
  const unpacked = unpackLz4(packed, unpackedBytes);
  const { sections, end } = sectionsOf(unpacked);
  for (const { name, offset, size } of sections) if (name === ".BTF") unpacked.fill(0, offset, offset + size);
  return unpacked.subarray(0, end);
}

const SIGNATURE_MARK = "~Module signature appended~\n";

/**
 * A kernel module without its signature (12 bytes of trailer name its length; include/linux/module_signature.h) and with
 * its BTF marked empty. Nothing here enforces signatures, and checking RSA costs the guest more than all else in insmod.
 */
export function trimModule(module: Uint8Array): Uint8Array {
  let trimmed = new Uint8Array(module);
  const mark = Buffer.from(trimmed.subarray(-SIGNATURE_MARK.length)).toString("latin1");
  if (mark === SIGNATURE_MARK) {
    const trailer = trimmed.length - SIGNATURE_MARK.length;
    const signatureBytes = new DataView(trimmed.buffer).getUint32(trailer - 4, false);
    trimmed = trimmed.slice(0, trailer - 12 - signatureBytes);
  }
  const view = new DataView(trimmed.buffer);
  for (const { name, header, offset, size } of sectionsOf(trimmed).sections) {
    if (name !== ".BTF") continue;
    trimmed.fill(0, offset, offset + size);
    view.setBigUint64(header + 0x20, 0n, true);
  }
  return trimmed;
}
