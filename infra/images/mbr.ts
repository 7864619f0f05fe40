/** A classic partition table with one Linux partition (UEFI 2.10 §5.2.1, "Legacy MBR"). */

const SECTOR_BYTES = 512;

/** The first sector of a disk whose only partition runs from `startBytes` to the end. `signature` names the disk. */
export function masterBootRecord(diskBytes: number, startBytes: number, signature: number): Uint8Array {
  const sector = new Uint8Array(SECTOR_BYTES);
  const view = new DataView(sector.buffer);
  view.setUint32(440, signature, true);
  view.setUint8(446, 0x80);
  // Cylinder, head and sector numbers end at 1023/254/63; whoever reads them here is told to use the block addresses.
  sector.set([0xfe, 0xff, 0xff], 447);
  view.setUint8(450, 0x83);
  sector.set([0xfe, 0xff, 0xff], 451);
  view.setUint32(454, startBytes / SECTOR_BYTES, true);
  view.setUint32(458, (diskBytes - startBytes) / SECTOR_BYTES, true);
  view.setUint16(510, 0xaa55, true);
  return sector;
}
