import { build } from "vite";

/** One module with everything it imports, as a browser can run it. */
export async function bundled(entry: string): Promise<string> {
  const output = await build({
    configFile: false,
    logLevel: "error",
    build: {
      write: false,
      target: "es2024",
      minify: false,
      rolldownOptions: { input: entry, output: { format: "es", codeSplitting: false } },
    },
  });
  const first = Array.isArray(output) ? output[0] : output;
  if (!first || !("output" in first)) throw new Error(`${entry} was not bundled`);
  return first.output[0].code;
}
