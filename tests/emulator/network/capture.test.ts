import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { Capture } from "../../../emulator/network/capture.ts";

const arp = Uint8Array.from([
  255, 255, 255, 255, 255, 255, 2, 0, 0, 0, 0, 1, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 1, 10, 0, 2, 2,
  0, 0, 0, 0, 0, 0, 10, 0, 2, 15,
]);

/** Reads the blocks of a file by the format's own rule: both lengths of a block agree and blocks fill the file. */
function blocks(file: Uint8Array): { type: number; body: Uint8Array }[] {
  const view = new DataView(file.buffer);
  const found = [];
  for (let at = 0; at < file.length;) {
    const size = view.getUint32(at + 4, true);
    expect(size % 4).toBe(0);
    expect(view.getUint32(at + size - 4, true)).toBe(size);
    found.push({ type: view.getUint32(at, true), body: file.subarray(at + 8, at + size - 4) });
    at += size;
  }
  return found;
}

test("a file is a section, an interface and the frames in order", () => {
  const capture = new Capture("guest-eth0");
  capture.add(arp, "inbound", 1_700_000_000_123.456);
  capture.add(arp.subarray(0, 41), "outbound", 1_700_000_000_124);
  const [section, link, first, second, ...rest] = blocks(capture.file());
  expect(rest).toEqual([]);
  expect(section?.type).toBe(0x0a0d0d0a);
  expect(new TextDecoder().decode(link!.body.subarray(12, 22))).toBe("guest-eth0");
  const view = new DataView(first!.body.buffer, first!.body.byteOffset);
  const time = (BigInt(view.getUint32(4, true)) << 32n) | BigInt(view.getUint32(8, true));
  expect(time).toBe(1_700_000_000_123_456n);
  expect(view.getUint32(12, true)).toBe(42);
  expect(first!.body.subarray(20, 62)).toEqual(arp);
  expect(first!.body.at(-8)).toBe(1);
  expect(second!.body.at(-8)).toBe(2);
});

test("a full capture counts what it does not keep and stays a whole file", () => {
  const capture = new Capture("guest-eth0", 1000);
  for (let index = 0; index < 100; index++) capture.add(arp, "outbound", index);
  const { frames, bytes, dropped } = capture.stats();
  expect(frames + dropped).toBe(100);
  expect(bytes).toBeLessThanOrEqual(1000);
  expect(blocks(capture.file())).toHaveLength(2 + frames);
});

const tcpdump = (() => {
  try {
    execFileSync("tcpdump", ["--version"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
})();

test.skipIf(!tcpdump)("tcpdump reads it (skipped where tcpdump is absent)", () => {
  const folder = mkdtempSync(join(tmpdir(), "virga-capture-"));
  try {
    const capture = new Capture("guest-eth0");
    capture.add(arp, "inbound", 1_700_000_000_123);
    writeFileSync(join(folder, "one.pcapng"), capture.file());
    const text = execFileSync("tcpdump", ["-n", "-r", join(folder, "one.pcapng")], { encoding: "utf8" });
    expect(text).toMatch(/who-has 10\.0\.2\.15.*10\.0\.2\.2/);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
