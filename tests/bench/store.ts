import { makeProfile } from "../support/browser.ts";
import { bundled } from "../support/bundle.ts";
import { ImageServer } from "../support/image-server.ts";
import type { Result } from "./report.ts";

/** The store on the OPFS of Chromium: cache and overlay against the bare file system, in one run of one profile. */
export async function measure(): Promise<readonly Result[]> {
  const text = new TextEncoder();
  const server = await ImageServer.start();
  server.objects.set("/", text.encode("<!doctype html><title>store</title>"));
  server.objects.set("/store.js", text.encode(await bundled("tests/bench/store-worker.ts")));
  const profile = makeProfile();
  const browser = await profile.open();
  try {
    const page = await browser.newPage();
    await page.goto(server.origin);
    return await page.evaluate(
      () =>
        new Promise<Result[]>((resolve, reject) => {
          const worker = new Worker("/store.js", { type: "module" });
          worker.onerror = (event) => reject(new Error(event.message));
          worker.onmessage = ({ data }) => {
            if ("error" in data) reject(new Error(data.error));
            else resolve(data.figures);
          };
        }),
    );
  } finally {
    await browser.close();
    await server.close();
    profile.remove();
  }
}
