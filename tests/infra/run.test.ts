import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { inflateSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { ImageStore } from "../../infra/store/image-store.ts";

const isBuilt = new ImageStore().latest("tiny") !== null;
const cli = join(import.meta.dirname, "../../infra/cli/virga.ts");
const virga = (...args: string[]) =>
  promisify(execFile)(process.execPath, [
    join(import.meta.dirname, "../../infra/cli/virga.ts"),
    ...args,
  ]).then(
    ({ stdout, stderr }) => ({ code: 0, stdout, stderr }),
    ({ code, stdout, stderr }: { code: number; stdout: string; stderr: string }) => ({
      code,
      stdout,
      stderr,
    }),
  );

describe.skipIf(!isBuilt)(
  "virga run tiny (skipped where the image was not built: npm start builds it)",
  () => {
    test("boots to its shell, prints what the command prints and exits with its code", async () => {
      const answer = await virga("run", "tiny", "--exec", "uname -m; echo two >&2; exit 3");
      expect(answer).toMatchObject({ code: 3, stdout: "x86_64\ntwo\n" });
    }, 120_000);

    test("shows the console on request: the kernel's shell says who it is before the prompt", async () => {
      const { stderr } = await virga("run", "tiny", "--exec", "true", "--verbose");
      expect(stderr).toMatch(/Virga tiny: Linux 6\.\d+\.\d+[\s\S]*BusyBox v[\s\S]*root@tiny:~#/);
    }, 120_000);

    test("with --json it says what was measured, memory as asked for", async () => {
      const { code, stdout } = await virga(
        "run",
        "tiny",
        "--memory",
        "96",
        "--json",
        "--exec",
        "free -m | awk '/Mem/{print $2}'",
      );
      const answer = JSON.parse(stdout) as Record<string, number | string>;
      expect([code, answer["image"], answer["exitCode"]]).toEqual([0, "tiny", 0]);
      expect(Number(answer["output"])).toBeGreaterThan(40);
      expect(Number(answer["output"])).toBeLessThan(96);
      expect(answer["bootInstructions"]).toBeGreaterThan(10_000_000);
      expect(answer["verifiedBytes"]).toBeGreaterThan(1_000_000);
    }, 120_000);

    test("it has a network card unless told otherwise, at the place of its model", async () => {
      const cards =
        "cat /sys/bus/pci/devices/0000:00:0[568].0/device /sys/bus/pci/devices/0000:00:0[568].0/revision; true";
      const plugged = async (...args: string[]) =>
        (await virga("run", "tiny", ...args, "--exec", cards)).stdout;
      expect(await plugged()).toMatch(/^0x1041\n0x01\n$/);
      expect(await plugged("--net-model", "rtl8139-8139c")).toMatch(/^0x8139\n0x10\n$/);
      expect(await plugged("--net", "none")).toMatch(/No such file/);
    }, 240_000);

    test("what comes from a pipe is typed at the prompt, and power-off ends it", async () => {
      const child = execFile(process.execPath, [cli, "run", "tiny"]);
      let said = "";
      child.stdout?.on("data", (piece: string) => (said += piece));
      child.stdin?.end("echo $((40 + 2)) of them\npoweroff\n");
      const code = await new Promise((resolve) => child.on("exit", resolve));
      expect([code, /^42 of them\r?$/m.test(said)]).toEqual([0, true]);
    }, 120_000);

    test("in graphics, its screenshot is what the guest has written to its frame buffer", async () => {
      const folder = mkdtempSync(join(tmpdir(), "virga-shot-"));
      const file = join(folder, "screen.png");
      const paint =
        "printf '\\063\\042\\021\\377' >/tmp/a; for i in $(seq 18); do cat /tmp/a /tmp/a >/tmp/b; mv /tmp/b /tmp/a; done; cat /tmp/a >/dev/fb0; cat /proc/fb";
      const answer = await virga("run", "tiny", "--screen", "640x480", "--screenshot", file, "--exec", paint);
      expect(answer).toMatchObject({ code: 0, stdout: "0 EFI VGA\n" });
      const png = readFileSync(file);
      rmSync(folder, { recursive: true });
      expect([png.readUInt32BE(16), png.readUInt32BE(20)]).toEqual([640, 480]);
      const rows = inflateSync(png.subarray(41, 41 + png.readUInt32BE(33)));
      // Rows that no cursor is in.
      for (const row of [100, 200, 300])
        for (const x of [0, 320, 639]) {
          const at = row * (1 + 3 * 640) + 1 + 3 * x;
          expect([...rows.subarray(at, at + 3)]).toEqual([0x11, 0x22, 0x33]);
        }
    }, 120_000);

    test("a command that never ends is ended", async () => {
      const answer = await virga("run", "tiny", "--exec", "sleep 1000", "--timeout", "6");
      expect(answer.code).toBe(124);
      expect(answer.stderr).toContain("no answer within 6 s");
    }, 120_000);
  },
);
