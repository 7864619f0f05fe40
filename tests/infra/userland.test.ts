/** Debian's own programs as a check of the processor: each disk of tests/userland says what it found. */
import { existsSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { DiskRoom, RawFileDisk, withForgottenChanges } from "../../infra/headless/disks.ts";
import { startNodeMachine } from "../../infra/headless/node-machine.ts";
import { SerialDialogue } from "../../infra/headless/serial-dialogue.ts";
import { ImageStore } from "../../infra/store/image-store.ts";
import { ARCHITECTURES, userlandDisk } from "../userland/disk.ts";

const store = new ImageStore();
/** Its kernel and initial RAM disk start the userland. */
const tiny = existsSync("build/wasm/cpu.wasm") ? store.latest("tiny") : null;
/** An hour of two busy cores; nothing here is about time. */
const PATIENCE_MS = 3_600_000;
// prettier-ignore
const CHECKS = [
  "gcc-O0", "gcc-O2", "gcc-O3-sse4.2", "tcc",
  "strings-build", "strings default", "strings -AVX2", "strings -AVX2,-SSE4_2", "strings -AVX2,-SSE4_2,-SSSE3,-ERMS,-FSRM",
  "openssl-known", "openssl-known-without-aes-ni", "openssl-known-without-avx2",
  "openssl-ecdsa", "openssl-rsa", "openssl-speed",
  "python-test_struct", "python-test_math", "python-test_zlib", "python-test_hashlib", "python-test_decimal",
];

for (const architecture of ARCHITECTURES) {
  const path = userlandDisk(architecture);
  const isAsked = process.env["VIRGA_USERLAND"] !== undefined;
  const ready = isAsked && tiny !== null && existsSync(path);
  const why = ready
    ? ""
    : isAsked
      ? `, skipped: make its disk with node tests/userland/disk.ts ${architecture}`
      : ", skipped: it takes an hour; VIRGA_USERLAND=1 asks for it";
  describe.skipIf(!ready)(`Debian ${architecture}${why}`, () => {
    test(
      "compilers, C library, OpenSSL and Python find what they should",
      { timeout: PATIENCE_MS },
      async () => {
        const entry = tiny!.definition.boot[0]!;
        const room = new DiskRoom({ chunks: store.chunks, manifests: store.manifests });
        const dialogue = new SerialDialogue(() => {});
        const machine = await startNodeMachine({
          boot: { ...entry, commandLine: `${entry.commandLine} virga.init=/sbin/virga-checks` },
          kernel: await room.readWhole(entry.kernel),
          ...(entry.initrd && { initrd: await room.readWhole(entry.initrd) }),
          memoryMiB: 768,
          disks: [await withForgottenChanges(await RawFileDisk.open(path))],
          onSerial: (bytes) => {
            if (process.env["VIRGA_VERBOSE"]) process.stderr.write(bytes);
            dialogue.hear(bytes);
          },
        });
        const ended = await Promise.race([dialogue.heard(/^check: done$/m), machine.done]);
        machine.powerOff();
        await machine.done;
        expect(Array.isArray(ended), dialogue.transcript.slice(-3000)).toBe(true);
        const verdicts = [...dialogue.transcript.matchAll(/^check: (pass|fail) (.*)$/gm)];
        expect(
          verdicts.filter(([, verdict]) => verdict === "fail").map(([, , name]) => name),
          dialogue.transcript.slice(-6000),
        ).toEqual([]);
        expect(verdicts.map(([, , name]) => name)).toEqual(CHECKS);
      },
    );
  });
}
