import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, describe, expect, test } from "vitest";
import { ImageStore } from "../../infra/store/image-store.ts";

const isBuilt = new ImageStore().latest("tiny") !== null;
const cli = join(import.meta.dirname, "../../infra/cli/virga.ts");
const folder = mkdtempSync(join(tmpdir(), "virga-trace-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** The lines of a trace of tiny's boot, and what the command line said. */
async function trace(...options: string[]): Promise<{ lines: string[]; stderr: string }> {
  const file = join(folder, "trace");
  const args = [cli, "run", "tiny", "--exec", "true", "--trace", file, ...options];
  const { stderr } = await promisify(execFile)(process.execPath, args);
  return { lines: readFileSync(file, "utf8").trimEnd().split("\n"), stderr };
}

describe.skipIf(!isBuilt)(
  "virga run tiny --trace (skipped where the image was not built: npm start builds it)",
  () => {
    test("writes so many lines from such an instruction on, and the same ones again", async () => {
      const range = ["--trace-from", "100000000", "--trace-count", "500"];
      const { lines, stderr } = await trace(...range);
      expect(lines).toHaveLength(500);
      expect(lines[0]).toMatch(/^100000000 0010:ffffffff[0-9a-f]{8} (?:[0-9a-f]{2} )+ +[a-z]/);
      expect(lines.at(-1)).toMatch(/^100000499 /);
      expect(stderr).toContain("the trace is complete");
      expect((await trace(...range)).lines).toEqual(lines);
    }, 120_000);

    test("and GDB are not to be had together", async () => {
      await expect(trace("--gdb", ":0")).rejects.toMatchObject({
        stderr: expect.stringContaining("say one"),
      });
    }, 60_000);
  },
);
