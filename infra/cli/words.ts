/** Words for people go to standard error: standard output belongs to what was asked for. */
export const say = (line: string): void => {
  process.stderr.write(`${line}\n`);
};

/** What went wrong, for people. */
export function wordsOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { code, path } = error as NodeJS.ErrnoException;
  if (path !== undefined && code === "ENOENT") return `There is no file ${path}.`;
  if (path !== undefined && code === "EACCES") return `The file ${path} may not be read.`;
  if (path !== undefined && code === "EISDIR") return `${path} is a folder.`;
  return error.message;
}

export function bytesInWords(bytes: number): string {
  const units = ["bytes", "kB", "MB", "GB", "TB"];
  let unit = 0;
  let value = bytes;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return unit === 0
    ? `${bytes} bytes`
    : `${value < 10 ? value.toFixed(1) : Math.round(value)} ${units[unit]}`;
}

/** One line that is written over and over on a terminal, and now and then elsewhere. */
export class ProgressLine {
  #lastMs = 0;
  #isOpen = false;

  show(line: string): void {
    const now = Date.now();
    const { isTTY } = process.stderr;
    if (now - this.#lastMs < (isTTY ? 100 : 5000)) return;
    this.#lastMs = now;
    process.stderr.write(isTTY ? `\r\x1b[K${line}` : `${line}\n`);
    this.#isOpen = isTTY;
  }

  end(): void {
    if (this.#isOpen) process.stderr.write("\r\x1b[K");
    this.#isOpen = false;
  }
}
