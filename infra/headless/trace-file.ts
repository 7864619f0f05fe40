/** A trace's lines in a file. The machine waits while they are written, so that no more than a buffer is ever held. */
import { closeSync, openSync, writeSync } from "node:fs";
import { Tracer } from "../../emulator/machine/tracer.ts";

const BUFFER_CHARACTERS = 1 << 16;

export interface TraceRange {
  readonly from: number;
  readonly count: number;
}

/** Opens the file at once, so that a path that cannot be written is said before the machine starts. */
export function traceTo(
  path: string,
  range: TraceRange,
  onEnd: () => void,
): { tracer: Tracer; close(): void } {
  let file: number | undefined = openSync(path, "w");
  let text = "";
  const flush = (): void => {
    const bytes = Buffer.from(text);
    text = "";
    if (file !== undefined) for (let at = 0; at < bytes.length;) at += writeSync(file, bytes, at);
  };
  const close = (): void => {
    flush();
    if (file !== undefined) closeSync(file);
    file = undefined;
  };
  const tracer = new Tracer({
    ...range,
    line(line) {
      text += `${line}\n`;
      if (text.length >= BUFFER_CHARACTERS) flush();
    },
    end() {
      close();
      onEnd();
    },
  });
  return { tracer, close };
}
